"""Who is measured: one module for each library, whose ``calls(problem)`` yields what it offers for a problem.

A library that can't be imported is left out, and named in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from bench.problems import Call, Problem

# Module: the packages it needs. fastloss comes first and is no rival.
MODULES = {
    "with_numpy": ("numpy",),
    "with_sklearn": ("scikit-learn",),
    "with_torch": ("torch",),
    "with_torch_compile": ("torch",),
    "with_jax": ("jax", "optax"),
    "with_numexpr": ("numexpr",),
    "with_opacus": ("opacus",),
}
PACKAGES = tuple(dict.fromkeys(name for names in MODULES.values() for name in names))


def _imported() -> tuple[dict[str, Callable[[Problem], Iterator[Call]]], dict[str, str]]:
    found, missing = {}, {}
    for module, packages in MODULES.items():
        try:
            found[module] = import_module(f"bench.rivals.{module}").calls
        except ImportError as error:
            missing[module] = f"{' with '.join(packages)} ({error})"
    return found, missing


_FOUND, MISSING = _imported()


def rivals(problem: Problem, only: str | None = None) -> Iterator[Call]:
    """The calls of all libraries (or modules called ``only``) that are installed and have this piece of work."""
    for module, calls in _FOUND.items():
        if only in (None, module):
            yield from calls(problem)


def versions() -> list[str]:
    names = []
    for package in ("fastloss", *PACKAGES):
        try:
            names.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            if package == "fastloss":
                from fastloss import __version__

                names.append(f"fastloss {__version__}")
    return names
