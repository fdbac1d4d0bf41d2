"""Which backend answers: the native kernels, the NumPy reference, or both, compared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

BACKENDS = ("native", "reference", "check")

_in_context: ContextVar[str | None] = ContextVar("fastloss_backend", default=None)


def _checked(name: object, where: str) -> str:
    if not isinstance(name, str) or name not in BACKENDS:
        raise ValueError(f"{where} = {name!r} is unknown; expected 'native', 'reference' or 'check'")
    return name


_of_process = _checked(os.environ.get("FASTLOSS_BACKEND") or "native", "FASTLOSS_BACKEND")


def get_backend() -> str:
    """Return the backend that answers calls made here and now."""
    return _in_context.get() or _of_process


def set_backend(name: str) -> None:
    """Choose the backend of the whole process.

    Parameters
    ----------
    name : {"native", "reference", "check"}
        The compiled kernels (default), the NumPy float64 reference, or both: ``"check"`` returns the
        native result and raises :class:`fastloss.MismatchError` where the two differ by more than
        the kernel's bound plus the reference's own error.

    Raises
    ------
    ValueError
        For any other name.
    """
    global _of_process
    _of_process = _checked(name, "backend")


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Choose the backend inside a ``with`` block (for this thread or task alone).

    Examples
    --------
    >>> import fastloss as fl
    >>> with fl.backend("reference"):
    ...     fl.huber_loss([2.5, 0.0], [3.0, -0.5])
    0.125
    """
    token = _in_context.set(_checked(name, "backend"))
    try:
        yield
    finally:
        _in_context.reset(token)
