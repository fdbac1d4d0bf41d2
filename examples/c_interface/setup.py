"""Two modules that call the kernels of fastloss from C: python setup.py build_ext --inplace, then python compare.py."""

from Cython.Build import cythonize
from setuptools import Extension, setup

import fastloss as fl

INCLUDE = [fl.get_include()]
setup(
    name="fastloss-c-interface-example",
    ext_modules=cythonize(
        [
            Extension("sgd", ["sgd.pyx"], include_dirs=INCLUDE),
            Extension("perplexity", ["perplexity.c"], include_dirs=INCLUDE),
        ]
    ),
)
