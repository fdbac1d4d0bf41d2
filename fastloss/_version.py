"""The version: here once, read by the build and by ``fastloss.__version__``."""

__version__ = "0.1.0"
