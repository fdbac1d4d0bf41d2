"""Rows of embeddings divided by their length, and gradients taken back through that division (csrc/pairs/unit.h).

Arrays that the kernels can't read are converted piece by piece. Not here: products of rows (_products.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastloss import _core
from fastloss._arguments import Array

# Elements that are converted at a time: what is made on the way stays in cache and small.
CHUNK = 2**16


def chunks(rows: int, columns: int) -> list[slice]:
    """The rows cut into pieces of CHUNK elements or less."""
    step = max(1, CHUNK // max(1, columns))
    return [slice(k, min(k + step, rows)) for k in range(0, rows, step)]


def unit_rows(x: Array, out: Array) -> Array:
    """Write the rows of x, rounded to out's type and divided by their length, to out; return 1 / length in float64.

    The inverse length of a zero vector is 0. One that float64 cannot hold is its largest number, so that a gradient
    of 0 stays 0.
    """
    inverse = np.empty(len(x))
    if not _core.unit_rows(x, out, inverse):
        for part in chunks(*x.shape):
            with np.errstate(all="ignore"):
                rows = contiguous(x[part], out.dtype)
            done = _core.unit_rows(rows, out[part], inverse[part])
            assert done
    return inverse


def project(unit: Array, factor: Array, gradient: Array, out: Array) -> None:
    """The gradient with respect to rows from that with respect to their unit vectors: factor (g - u (u . g)).

    ``factor`` is the inverse length, times whatever else each row is to be multiplied by. ``out`` has any strides and
    may be ``gradient``.
    """
    if not _core.project_rows(unit, factor, gradient, out):
        for part in chunks(*unit.shape):
            with np.errstate(all="ignore"):
                rows = contiguous(gradient[part], unit.dtype)
                tangent = np.empty(rows.shape, unit.dtype)
                done = _core.project_rows(contiguous(unit[part], unit.dtype), factor[part], rows, tangent)
                assert done
                out[part] = tangent


def contiguous(x: Array, real: np.dtype[Any]) -> Array:
    """The array in a type, aligned and C-contiguous: itself if it is, else a copy. BLAS takes no other."""
    return np.require(x, dtype=real, requirements=("C", "A"))


def dots(a: Array, b: Array) -> Array:
    """The product of every row with its counterpart."""
    return np.asarray(np.einsum("ij,ij->i", a, b))
