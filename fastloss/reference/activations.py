"""Activations in plain NumPy, and rows of logits measured from their maximum.

Not losses: no target, no weights, no derivatives.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._reduce import Array


def as_real(x: ArrayLike) -> Array:
    """An array of float64, or of longdouble where it is one."""
    array = np.asarray(x)
    return array if array.dtype == np.longdouble else array.astype(np.float64)


def sigmoid(x: ArrayLike, /) -> Array:
    """Logistic function 1 / (1 + e^-x), from e^-|x| so that nothing overflows and small results are exact."""
    x = as_real(x)
    with np.errstate(all="ignore"):
        z = np.exp(-np.abs(x))
        return np.asarray(np.where(x < 0, z, 1) / (1 + z))


def softplus(x: ArrayLike, /) -> Array:
    """Softplus log(1 + e^x) = max(x, 0) + log1p(e^-|x|)."""
    x = as_real(x)
    with np.errstate(all="ignore"):
        return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def log_sigmoid(x: ArrayLike, /) -> Array:
    """Logarithm of the sigmoid, -softplus(-x)."""
    return np.asarray(-softplus(-as_real(x)))


@dataclass(frozen=True)
class Partition:
    """Rows of scores s (last axis) measured from their maximum, which is left out of the sum.

    Everything but top is a sum of non-negative numbers, so a confident row keeps its precision:
    logsumexp = top + tail, -log p = distance + tail, p = exps / (1 + rest).
    """

    top: Array  # the maximum of each row, keeping its axis
    distance: Array  # top - s >= 0
    exps: Array  # e^-distance
    rest: Array  # the sum of exps without the maximum's own 1
    tail: Array  # log(1 + rest)


def partition(scores: Array, distance: Array | None = None) -> Partition:
    """Measure rows from their maximum.

    ``distance``: that of other scores, a monotone function of these which infinities pass unchanged.

    One +inf leaves everything else at probability 0. All -inf, +inf twice or a NaN make a row NaN.
    """
    peak = np.argmax(scores, axis=-1, keepdims=True)  # the first NaN where there is one
    top = np.take_along_axis(scores, peak, axis=-1)
    undefined = np.isnan(top) | (top == -np.inf) | (np.sum(scores == np.inf, axis=-1, keepdims=True) > 1)
    distance = np.where(scores == top, 0, top - scores if distance is None else distance)
    distance = np.where(undefined, np.nan, distance)
    exps = np.exp(-distance)
    is_peak = np.arange(scores.shape[-1]) == peak
    rest = np.sum(np.where(is_peak, 0 * exps, exps), axis=-1, keepdims=True)
    return Partition(top, distance, exps, rest, np.log1p(rest))


def sum_of_others(terms: Array) -> Array:
    """The sum over all j != c of non-negative terms, for every c (last axis), without cancellation.

    Subtracting a term from the total is harmless for every term but the largest.
    """
    is_largest = np.arange(terms.shape[-1]) == np.argmax(terms, axis=-1, keepdims=True)
    rest = np.sum(np.where(is_largest, 0, terms), axis=-1, keepdims=True)
    largest = np.max(terms, axis=-1, keepdims=True)
    others: Array = np.where(is_largest, rest, largest + (rest - terms))
    return others


def softmax(x: ArrayLike, /, *, axis: int = -1) -> Array:
    """Softmax e^x_c / sum of e^x_j."""
    rows = np.moveaxis(as_real(x), axis, -1)
    if rows.size == 0:
        return as_real(x).copy()
    with np.errstate(all="ignore"):
        part = partition(rows)
        return np.moveaxis(part.exps / (1 + part.rest), -1, axis)


def log_softmax(x: ArrayLike, /, *, axis: int = -1) -> Array:
    """Logarithm of softmax, x - logsumexp(x), as -(distance to the maximum) - log1p(rest)."""
    rows = np.moveaxis(as_real(x), axis, -1)
    if rows.size == 0:
        return as_real(x).copy()
    with np.errstate(all="ignore"):
        part = partition(rows)
        return np.moveaxis(0 - part.distance - part.tail, -1, axis)


def logsumexp(x: ArrayLike, /, *, axis: int = -1) -> Array:
    """Logarithm of the sum of e^x; -inf for an empty axis or one that is all -inf, +inf where any is."""
    rows = np.moveaxis(as_real(x), axis, -1)
    if rows.shape[-1] == 0:
        return np.full(rows.shape[:-1], -np.inf, rows.dtype)
    with np.errstate(all="ignore"):
        part = partition(rows)
        sums: Array = np.where(np.isinf(part.top), part.top, part.top + part.tail)
        return np.asarray(sums[..., 0])
