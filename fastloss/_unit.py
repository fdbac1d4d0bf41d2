"""Rows of embeddings divided by their length, and gradients taken back through that division.

A zero vector stays zero, as does its gradient: its cosine with anything is 0. Lengths are taken in float64, where a
float32 can neither overflow nor vanish when squared; float64 rows of extreme length are scaled by a power of two first.
Not here: products of rows (_products.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastloss._arguments import Array

# Elements that are worked on at a time: what is made on the way stays in cache and small.
CHUNK = 2**16

# Sums of squares between these are good to the last digits; beyond, a square may have overflowed or lost digits.
SMALLEST, LARGEST = 2.0**-900, 2.0**900


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
    with np.errstate(all="ignore"):
        for part in chunks(*x.shape):
            wide = x[part].astype(out.dtype, copy=False).astype(np.float64, order="C")
            squares = np.einsum("ij,ij->i", wide, wide)
            inverse[part] = 1 / np.sqrt(squares)
            extreme = ~((squares > SMALLEST) & (squares < LARGEST))
            np.multiply(wide, inverse[part, None], out=out[part], casting="same_kind")
            if extreme.any():
                at = part.start + np.flatnonzero(extreme)
                out[at], inverse[at] = _unit_extreme(wide[extreme])
    return inverse


def _unit_extreme(x: Array) -> tuple[Array, Array]:
    """Unit vectors and inverse lengths of rows which are 0, very short, very long or not finite."""
    exponent = np.frexp(np.abs(x).max(axis=1, initial=0.0))[1]
    scaled = np.ldexp(x, -exponent[:, None])
    length = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
    zero = length == 0
    unit = scaled / np.where(zero, 1, length)[:, None]
    inverse = np.minimum(np.ldexp(1 / length, -exponent), np.finfo(np.float64).max)
    return unit, np.where(zero, 0, inverse)


def project(unit: Array, factor: Array, gradient: Array, out: Array) -> None:
    """The gradient with respect to rows from that with respect to their unit vectors: factor (g - u (u . g)).

    ``factor`` is the inverse length, times whatever else each row is to be multiplied by. ``out`` has any strides and
    may be ``gradient``.
    """
    with np.errstate(all="ignore"):
        for part in chunks(*unit.shape):
            u, g = unit[part], gradient[part]
            tangent = g - u * np.einsum("ij,ij->i", u, g)[:, None]
            np.multiply(tangent, factor[part, None], out=out[part], casting="same_kind")


def contiguous(x: Array, real: np.dtype[Any]) -> Array:
    """The array in a type, aligned and C-contiguous: itself if it is, else a copy. BLAS takes no other."""
    return np.require(x, dtype=real, requirements=("C", "A"))


def dots(a: Array, b: Array) -> Array:
    """The product of every row with its counterpart."""
    return np.asarray(np.einsum("ij,ij->i", a, b))
