"""What this build is and how it runs here."""

from __future__ import annotations

import platform

import numpy as np

from fastloss import _core
from fastloss._settings import get_backend
from fastloss._threads import get_num_threads
from fastloss._version import __version__


def configuration() -> dict[str, str]:
    """Return the lines that show_config prints."""
    states = _core.isa_names()
    usable = [name for name, (compiled, supported) in states.items() if compiled and supported]
    elsewhere = [name for name, (compiled, supported) in states.items() if compiled and not supported]
    date = _core.openmp_version()
    return {
        "fastloss": __version__,
        "Python": f"{platform.python_version()}, NumPy {np.__version__}, {platform.machine()} {platform.system()}",
        "compiler": _core.compiler(),
        "instruction set": f"{_core.isa_selected()} (usable: {', '.join(usable)}"
        + (f"; compiled in but not supported here: {', '.join(elsewhere)})" if elsewhere else ")"),
        "OpenMP": f"yes ({date})" if date else "no: serial build",
        "threads": str(get_num_threads()),
        "backend": get_backend(),
    }


def show_config() -> None:
    """Print version, compiler, instruction sets compiled in and chosen, OpenMP, threads and backend.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.show_config()  # doctest: +ELLIPSIS
    fastloss         ...
    Python           ...
    """
    for name, value in configuration().items():
        print(f"{name:<16} {value}")
