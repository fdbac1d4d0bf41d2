"""Norms of the per-sample gradients of linear layers without the gradients, and the weighted product; see linear.py.

For inputs a (B, T, d) and output gradients e (B, T, c) sample i's gradient is G_i = sum_t e_it a_it^T (and sum_t e_it
for the bias). Every norm here is an upper bound of the exact one. With u = 2^-53, S_i = sum_t ||a_it|| ||e_it||:

- T = 1: ||a|| ||e||, from row norms that are right to 2^-40.
- 2 T^2 <= d c: the Gram form s = <A A^T, E E^T>. A dot product of n terms, in any order, is within n u (1 + n u) of
  the product of the two norms, so s is within E = (d + c + T^2 + 10) 1.01 u S^2 of the exact square, and ||G||^2 <=
  max(s, 0) + E. Where E > 2^-20 s cancellation has eaten the digits and the row is instantiated.
- Else, and there: G in double, each element a sum of T products, so the exact norm is <= ||G|| + (T + 2) u S.

The factor. Rounding f e to the real type, of unit r, changes G by at most f r S and, in subnormals, by least sqrt(c)
sum_t ||a_t||. So f = (C - that) / (norm + 2 r S) keeps the exact norm of what enters the product within C.

With a time axis all that can cost more than the gradients themselves (made_costs_less). They are then made in the real
type, a tile at a time, and clipped as any others are: what is added is within C exactly, whatever the rounding of G.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss import _arguments as arguments
from fastloss.privacy._gradients import Gradients
from fastloss.privacy._passes import clip_gradients
from fastloss.privacy._rules import Rule

Array = npt.NDArray[Any]

UNIT = 2.0**-53
SLACK = 1 + 2.0**-40
DOUBTFUL = 2.0**-20

# What handling a number of inputs and output gradients costs, in numbers of made gradients; see made_costs_less.
GHOST_COST = 6

# Bytes of doubles that a tile of samples may take.
TILE_BYTES = 4 * 2**20


@dataclass
class Norms:
    """Of every sample: an upper bound of the norm, S, and what subnormals may add to it."""

    norm: Array
    spread: Array
    least: Array


class Layer:
    """Inputs (B, T, d) and output gradients (B, T, c) of one real type, contiguous."""

    def __init__(self, inputs: object, output_grads: object, bias: bool, suffix: str = "") -> None:
        a = arguments.as_array(inputs, f"inputs{suffix}")
        e = arguments.as_array(output_grads, f"output_grads{suffix}")
        if a.ndim < 2 or e.ndim != a.ndim or a.shape[:-1] != e.shape[:-1]:
            raise ValueError(f"inputs{suffix} has shape {a.shape} and output_grads{suffix} has shape {e.shape}; "
                             "expected (B, d) and (B, c), or (B, T, d) and (B, T, c)")  # fmt: skip
        self.real = np.dtype(np.float32) if {a.dtype, e.dtype} == {np.dtype(np.float32)} else np.dtype(np.float64)
        self.batch: int = a.shape[0]
        self.times = math.prod(a.shape[1:-1])
        self.inputs = np.require(a, self.real, ["C", "A"]).reshape(self.batch, self.times, a.shape[-1])
        self.grads = np.require(e, self.real, ["C", "A"]).reshape(self.batch, self.times, e.shape[-1])
        self.bias = bias
        self.columns, self.rows = int(a.shape[-1]), int(e.shape[-1])

    @property
    def size(self) -> int:
        """Coordinates of one sample's gradient."""
        return self.rows * (self.columns + self.bias)

    def norms(self) -> Norms:
        """Upper bounds of the norms, NaN or inf where a row holds one."""
        a = row_norms(self.inputs.reshape(self.batch * self.times, self.columns)).reshape(self.batch, self.times)
        e = row_norms(self.grads.reshape(self.batch * self.times, self.rows)).reshape(self.batch, self.times)
        with np.errstate(invalid="ignore", over="ignore"):
            extended = np.hypot(a, 1.0) if self.bias else a
            spread = (extended * e).sum(axis=1) * SLACK
            least = float(np.finfo(self.real).smallest_subnormal) * math.sqrt(self.rows) * extended.sum(axis=1) * SLACK
        if self.times == 1:
            return Norms(spread * SLACK + 2.0**-1000, spread, least)
        norm = np.where(np.isfinite(spread), 0.0, np.nan)
        todo = np.flatnonzero((spread > 0) & np.isfinite(spread))
        if 2 * self.times**2 <= self.rows * self.columns:
            todo = self._by_gram(todo, spread, norm)
        for rows in tiles(todo, self.rows * self.columns):
            g = instantiate(self.inputs[rows].astype(np.float64), self.grads[rows].astype(np.float64))
            norm[rows] = row_norms(g.reshape(len(rows), -1))
            if self.bias:
                norm[rows] = np.hypot(norm[rows], row_norms(self.grads[rows].sum(axis=1, dtype=np.float64)))
            norm[rows] = (norm[rows] + (self.times + 2) * UNIT * spread[rows]) * SLACK
        return Norms(norm + 2.0**-1000, spread, least)

    def _by_gram(self, todo: Array, spread: Array, norm: Array) -> Array:
        """Fill in the norms of these rows; return the doubtful ones."""
        # Products that under- or overflow on their way have no such bound.
        moderate = np.maximum(largest(self.inputs), largest(self.grads)) < 1e70
        terms, doubtful = self.columns + self.rows + self.times**2 + 10, []
        for rows in tiles(todo, self.times * (self.columns + self.rows + 2 * self.times)):
            a, e = self.inputs[rows].astype(np.float64), self.grads[rows].astype(np.float64)
            with np.errstate(invalid="ignore", over="ignore"):
                square = np.einsum("rst,rst->r", a @ a.swapaxes(1, 2), e @ e.swapaxes(1, 2))
                if self.bias:
                    total = e.sum(axis=1)
                    square += np.einsum("rc,rc->r", total, total)
                error = terms * 1.01 * UNIT * spread[rows] ** 2
                norm[rows] = np.sqrt(np.maximum(square, 0) + error) * SLACK
                good = (error <= DOUBTFUL * square) & (square > 1e-150) & moderate[rows]
            doubtful.append(rows[~good])
        return np.concatenate(doubtful) if doubtful else todo

    def is_moderate(self) -> bool:
        """Whether no finite sample's gradient has products beyond the range of the layer's type, or lost below it."""
        a = row_norms(self.inputs.reshape(self.batch, self.times * self.columns))
        e = row_norms(self.grads.reshape(self.batch, self.times * self.rows))
        with np.errstate(invalid="ignore", over="ignore"):
            size = a * e  # no element is larger
        info = np.finfo(self.real)
        good = (size == 0) | ~np.isfinite(size) | ((size > float(info.tiny) ** 0.5) & (size < float(info.max) ** 0.5))
        return bool(good.all() and np.isfinite(size[np.isfinite(a) & np.isfinite(e)]).all())

    def made(self, rows: slice, double: bool = False) -> list[Array]:
        """The gradients of a few samples, weight (b, c, d) and bias (b, c)."""
        real = np.dtype(np.float64) if double else self.real
        a, e = self.inputs[rows].astype(real, copy=False), self.grads[rows].astype(real, copy=False)
        with np.errstate(invalid="ignore", over="ignore"):
            parts = [instantiate(a, e)]
            if self.bias:
                parts.append(e.sum(axis=1, dtype=np.float64).astype(real))
        return parts

    def add_weighted(self, factors: Array, weight: Array, bias: Array | None) -> None:
        """Add sum_i f_i G_i to doubles; a row of factor 0 adds nothing, whatever it holds."""
        unit = np.empty((self.rows, self.columns), self.real)
        for rows in tiles(np.arange(self.batch), self.times * self.rows, least=256 // max(self.times, 1)):
            chosen = slice(rows[0], rows[-1] + 1)
            f, a = factors[chosen, None, None], self.inputs[chosen]
            with np.errstate(invalid="ignore", over="ignore"):
                e = np.multiply(self.grads[chosen], f, dtype=np.float64).astype(self.real)
            dropped = factors[chosen] == 0
            if dropped.any():
                e[dropped] = 0
                a = a.copy()
                a[dropped] = 0
            terms = len(rows) * self.times
            np.matmul(e.reshape(terms, self.rows).T, a.reshape(terms, self.columns), out=unit)
            weight += unit
            if bias is not None:
                bias += e.sum(axis=(0, 1), dtype=np.float64)


def largest(values: Array) -> Array:
    """The largest absolute value of every sample."""
    flat = values.reshape(len(values), -1)
    result: Array = np.maximum(flat.max(axis=1, initial=0), -flat.min(axis=1, initial=0)).astype(np.float64)
    return result


def instantiate(inputs: Array, grads: Array) -> Array:
    """G of every sample, (b, c, d)."""
    result: Array = grads.swapaxes(1, 2) @ inputs
    return result


def tiles(rows: Array, size: int, least: int = 1) -> Iterator[Array]:
    """Some rows at a time, each taking that many doubles; fixed by the shapes, so that sums are too."""
    step = max(TILE_BYTES // max(8 * size, 1), least)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def row_norms(matrix: Array) -> Array:
    """L2 norms in double, right also where squares overflow."""
    norms, _ = clip_gradients(Gradients(matrix), Rule("l2", "flat", (math.inf,), (0,)), None)
    result: Array = norms[0]
    return result


def joined(layers: list[Norms]) -> Norms:
    """One norm per sample over all layers; squares would lose norms below 1e-154, which must not pass for 0."""
    if len(layers) == 1:
        return layers[0]
    norm, spread = (np.hypot.reduce(x) * SLACK for x in ([y.norm for y in layers], [y.spread for y in layers]))
    return Norms(norm, spread, np.sum([x.least for x in layers], axis=0))


def factors_of(norms: list[Norms], bound: float, real: np.dtype[Any]) -> Array:
    """What every sample is multiplied by: exactly 1 within the bound, 0 where it is not finite."""
    whole = joined(norms)
    with np.errstate(invalid="ignore", over="ignore"):
        f = (bound - whole.least) / (whole.norm + float(np.finfo(real).eps) * whole.spread) * (1 - 2.0**-50)
        f = np.where(whole.norm <= bound, 1.0, np.maximum(f, 0.0))
        return np.where(np.isfinite(whole.norm), f, 0.0)


def made_costs_less(layers: list[Layer]) -> bool:
    """Whether gradients that are made a tile at a time, and clipped while the caches hold them, cost less than norms
    and a product. Of a sample the latter takes T (d + c) numbers several times and in double, the former d c once: 3.1
    times as fast for T = 64, d = c = 128 in float32 (one thread), 1.2 for d = c = 512, 0.6 for T = 4 and 128. For T = 1
    norms are next to nothing. What is made in the type of the layer must neither overflow nor underflow.
    """
    ghost, made = sum(x.times * (x.rows + x.columns) for x in layers), sum(x.rows * x.columns for x in layers)
    return GHOST_COST * ghost >= made and all(x.times > 1 and x.is_moderate() for x in layers)
