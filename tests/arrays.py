"""Every layout an array can have: pairs of a name and an array equal to the one given, laid out differently."""

from collections.abc import Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class Subclass(np.ndarray):
    """An ndarray subclass without behaviour of its own."""


def misaligned(a: Array) -> Array:
    """The same values one byte off alignment."""
    raw = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    raw[...] = a
    return raw


def spaced(a: Array, axis: int) -> Array:
    """Every second element of an array twice as long along one axis; what lies between is NaN or -1."""
    shape = list(a.shape)
    shape[axis] *= 2
    wide = np.full(shape, np.nan if a.dtype.kind == "f" else 1, a.dtype)
    view = wide[tuple(slice(None, None, 2) if k == axis % a.ndim else slice(None) for k in range(a.ndim))]
    view[...] = a
    return view


def transposed(a: Array) -> Array:
    """The same values with the axes the other way round in memory."""
    return np.ascontiguousarray(a.T).T


def reversed_axis(a: Array, axis: int) -> Array:
    """The same values behind a negative stride."""
    flip = tuple(slice(None, None, -1) if k == axis % a.ndim else slice(None) for k in range(a.ndim))
    return np.ascontiguousarray(a[flip])[flip]


def writable_layouts(a: Array) -> Iterator[tuple[str, Array]]:
    """Layouts whose elements are separate, so that they may be outputs."""
    a = np.asarray(a)
    yield "C", a.copy()
    if a.ndim == 0:
        return
    yield "spaced last", spaced(a, -1)
    yield "reversed last", reversed_axis(a, -1)
    if a.ndim > 1:
        yield "Fortran", np.asfortranarray(a)
        yield "transposed", transposed(a)
        yield "spaced first", spaced(a, 0)
        yield "reversed first", reversed_axis(a, 0)
        yield "padded rows", np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, 3)])[..., : a.shape[-1]]
    yield "misaligned", misaligned(a)


def layouts(a: Array) -> Iterator[tuple[str, Any]]:
    """All layouts of an input, and other holders of the same values."""
    a = np.asarray(a)
    yield from writable_layouts(a)
    if a.dtype.itemsize > 1:
        yield "big-endian", a.astype(a.dtype.newbyteorder(">"))
    read_only = a.copy()
    read_only.flags.writeable = False
    yield "read-only", read_only
    yield "subclass", a.copy().view(Subclass)
    if a.ndim:
        yield "list", a.tolist()
    yield "buffer", memoryview(a.copy())
