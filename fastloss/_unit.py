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


def project(unit: Array | None, inverse: Array | None, gradient: Array, out: Array, times: float = 1.0) -> None:
    """The gradient with respect to rows from that with respect to their unit vectors: times inverse (g - u (u . g)).

    Where ``unit`` and ``inverse`` are None the rows are no unit vectors: times g. ``out`` has any strides and may be
    ``gradient``.
    """
    if not _core.project_rows(unit, inverse, times, gradient, out):
        for part in chunks(*gradient.shape):
            with np.errstate(all="ignore"):
                rows = contiguous(gradient[part], out.dtype if unit is None else unit.dtype)
                tangent = np.empty(rows.shape, rows.dtype)
                own = None if unit is None else contiguous(unit[part], rows.dtype)
                done = _core.project_rows(own, None if inverse is None else inverse[part], times, rows, tangent)
                assert done
                out[part] = tangent


def contiguous(x: Array, real: np.dtype[Any]) -> Array:
    """The array in a type, aligned and C-contiguous: itself if it is, else a copy. BLAS takes no other."""
    return np.require(x, dtype=real, requirements=("C", "A"))


def dots(a: Array, b: Array) -> Array:
    """The product of every row with its counterpart, in float64; of one type, each row contiguous."""
    out = np.empty(len(a))
    done = _core.dot_rows(a, b, out)
    assert done
    return out
