"""Rows of scores q_i . k_j and their gradients, tile by tile from a BLAS; the scores are never all in memory.

A tile of queries is multiplied with all keys, a row kernel turns the scores in place into their gradients while they
are in cache, and two more products take those to the queries and the keys. Tiles depend on the shapes alone, never on
the number of threads. 8192 x 8192 with D = 256 in float32 needs 35 MB, and nine tenths of its time are the three
products. The row kernel runs on one thread: BLAS has threads of its own, idle ones of either team spin, and teams that
take turns wait for each other's cores for longer than the kernel takes (with two threads 4.0 times as long at 512 x 512
with D = 128, 3.1 times at 1024, 1.2 times at 4096 with D = 256). Not here: what a query is (a ``Queries``), and whose
gradient goes where.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from fastloss import _core
from fastloss._arguments import Array
from fastloss._several import Run
from fastloss._threads import num_threads
from fastloss._unit import contiguous

# Problems of few_products().
BATCH, SHARED, ARC, SPEAKERS = _core.few_kinds

# Elements of a tile of scores (16 MB of float32): large enough for BLAS, which packs all keys for every tile, and small
# against inputs worth tiling. Rows of a tile: no fewer than LEAST, which BLAS would pack keys for in vain.
TILE, LEAST = 2**22, 64

# Elements of the other arrays of a tile: of its queries, and of a block of the keys' gradients.
TILE_QUERIES, KEY_BLOCK = 2**19, 2**21

PLAIN = {"label_smoothing": 0.0, "temperature": 1.0, "logit_softcap": 0.0, "z_loss": 0.0}


# Writes the product of two matrices of one real type, of any strides, into a third, of contiguous rows.
Product = Callable[[Array, Array, Array], object]

_product: ContextVar[Product] = ContextVar("fastloss_product", default=np.matmul)


@contextmanager
def products_by(product: Product) -> Iterator[None]:
    """Have products made by somebody else than NumPy's BLAS, whose threads the rest of the process uses as well."""
    token = _product.set(product)
    try:
        yield
    finally:
        _product.reset(token)


class Queries(Protocol):
    """Where tiles of queries come from and their gradients go."""

    @property
    def wanted(self) -> bool:
        """Whether their gradients are wanted, which take a product of their own."""

    def load(self, first: int, last: int) -> tuple[Array, Array | None]:
        """Queries (rows, D), contiguous, and scores that replace those of each row's label (or None)."""

    def store(self, first: int, last: int, gradient: Array | None, own: Array | None) -> None:
        """Take the gradients of what ``load`` gave, the queries' unless ``wanted`` is False (then None).

        Both arrays may be changed. The keys' gradients are up to date.
        """


# (scores of a tile in; their gradients out, if wanted), first and last row, the labels' scores, whether gradients are
# wanted -> the sum of the weighted losses, the gradients of the labels' scores
Kernel = Callable[[Array, int, int, Array | None, bool], tuple[float, Array | None]]


def tile_rows(width: int, dimension: int) -> int:
    """How many queries make a tile."""
    return max(LEAST, min(TILE // max(1, width), TILE_QUERIES // max(1, dimension)))


def run_tiles(
    rows: int,
    width: int,
    queries: Queries,
    keys: Array,
    kernel: Kernel,
    key_gradient: Array | None,
    wanted: bool,
    add: bool = False,
) -> float:
    """Sum of the losses of all rows of scores.

    ``keys`` (M, D) is contiguous; ``width`` is M, or more where scores of labels have columns of their own.
    ``key_gradient`` (M, D), contiguous, or None where it is not wanted; overwritten, or added to with ``add``.
    ``wanted``: whether any gradient is, be it one that ``queries`` make of those of the labels' scores alone.
    """
    m, dimension = keys.shape
    multiply = _product.get()
    step = min(tile_rows(width, dimension), max(1, rows))
    line = -(-width // 16) * 16  # rows of scores begin on cache lines
    buffer = np.empty((step, line), keys.dtype)
    block = max(1, KEY_BLOCK // max(1, dimension))
    pulls = np.empty((step if queries.wanted else 0, dimension), keys.dtype)
    adds = key_gradient is not None and (add or rows > step)
    spare = np.empty((min(block, m) if adds else 0, dimension), keys.dtype)
    if key_gradient is not None and not (rows or add):
        key_gradient[...] = 0
    totals = []
    with np.errstate(all="ignore"):
        for first in range(0, rows, step):
            last = min(first + step, rows)
            q, own = queries.load(first, last)
            scores = buffer[: last - first, :width]
            products = scores[:, :m]
            multiply(q, keys.T, products)
            with num_threads(1):
                total, own_gradient = kernel(scores, first, last, own, wanted)
            totals.append(total)
            if not wanted:
                continue
            pull = pulls[: last - first] if queries.wanted else None
            if pull is not None:
                multiply(products, keys, pull)
            if key_gradient is not None:
                for start in range(0, m, block):
                    part = slice(start, min(start + block, m))
                    if first == 0 and not add:
                        multiply(products[:, part].T, q, key_gradient[part])
                    else:
                        more = spare[: part.stop - start]
                        multiply(products[:, part].T, q, more)
                        key_gradient[part] += more
            queries.store(first, last, pull, own_gradient)
    return total_of(totals)


def total_of(totals: list[float]) -> float:
    """The sum of the tiles' sums, correctly rounded where it is finite."""
    try:
        return math.fsum(totals)
    except (OverflowError, ValueError):  # beyond float64, or infinities of both signs
        return float(np.sum(totals))


@dataclass(frozen=True)
class Softmax:
    """The row kernel of all these losses: softmax cross-entropy with the row's label.

    ``label``: int64, -1 where a row counts for nothing. ``weight``, ``upstream``: float64, one number a row, or None.
    ``factor``: of every gradient. ``hide(scores, first, last)`` may set scores to -inf. ``unreduced``: where the
    weighted losses go, float64, or None.
    """

    label: Array
    weight: Array | None
    upstream: Array | None
    factor: float
    class_weight: Array | None = None
    unreduced: Array | None = None
    hide: Callable[[Array, int, int], None] | None = None
    options: dict[str, float] = field(default_factory=lambda: PLAIN)

    def __call__(
        self, scores: Array, first: int, last: int, own: Array | None, wanted: bool
    ) -> tuple[float, Array | None]:
        label, at = self.label[first:last], np.arange(last - first)
        if own is not None:
            scores[at, label] = own
        if self.hide is not None:
            self.hide(scores, first, last)

        def part(array: Any) -> Any:
            return None if array is None else array[first:last]

        rows = scores[:, :, None]
        total = _core.cross_entropy(
            rows, label[:, None], False, self.options, self.class_weight, -1, part(self.weight), part(self.upstream),
            self.factor, rows if wanted else None, None, part(self.unreduced),
        )  # fmt: skip
        if own is None or not wanted:
            return total, None
        gradient = scores[at, label]
        scores[at, label] = 0
        return total, gradient


# ---- Few embeddings, whose products need no BLAS ----

is_few = _core.is_few


def few_products(
    kind: int,
    run: Run,
    real: np.dtype[Any],
    arrays: list[Array],
    label: Array,
    numbers: tuple[float, ...],
    class_weight: Array | None = None,
    utterances: int = 0,
) -> tuple[float, float]:
    """All of a call that ``is_few`` but the checks: the sum of the losses and, of GE2E, the derivative by w."""
    with np.errstate(all="ignore"):
        given = [contiguous(a, real) for a in arrays]
    made = [accumulator(out) for out in run.gradients]
    result: tuple[float, float] = _core.few(
        kind, given, label, numbers, utterances, flat(run.weight), flat(run.upstream), run.scale, class_weight,
        flat(run.unreduced), made,
    )  # fmt: skip
    for out, gradient in zip(run.gradients, made, strict=True):
        if out is not gradient:
            out[...] = gradient
    return result


# ---- What the losses that use tiles share ----


def dead_rows(weight: Array | None) -> Array | None:
    """Which rows count for nothing, whatever they hold; None where all count."""
    if weight is None:
        return None
    dead = weight.ravel() == 0
    return dead if dead.any() else None


def flat(array: Array | None) -> Array | None:
    """One number a row, in one dimension."""
    return None if array is None else array.reshape(-1)


def accumulator(out: Any) -> Any:
    """The output itself where BLAS can write to it, else a new array of its shape; None for none."""
    fit = out is None or (out.flags.c_contiguous and out.flags.aligned)
    return out if fit else np.empty(out.shape, out.dtype)
