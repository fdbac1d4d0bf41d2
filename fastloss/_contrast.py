"""InfoNCE and multiple negatives ranking: rows of a batch against other rows, as softmax cross-entropy of products.

Shapes of a call, and which product goes where. Not here: the tiles (_products.py), lengths and projections (_unit.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss import _core, _products
from fastloss._arguments import Array
from fastloss._products import (
    BATCH,
    PLAIN,
    SHARED,
    TILE_QUERIES,
    Softmax,
    accumulator,
    dead_rows,
    few_products,
    flat,
    run_tiles,
    tile_rows,
    total_of,
)
from fastloss._several import Problem, Run
from fastloss._unit import contiguous, dots, project, unit_rows

# Pairs of a group that are hidden at a time.
HIDDEN = 2**18


class Vectors:
    """All rows of an array as unit vectors with ``inverse``, 1 / length; or as they are, ``inverse`` being None."""

    def __init__(self, x: Array, real: np.dtype[Any], normalize: bool) -> None:
        self.inverse: Array | None = None
        if normalize:
            self.rows = np.empty(x.shape, real)
            self.inverse = unit_rows(x, self.rows)
        else:
            self.rows = contiguous(x, real)

    def restore(self, gradient: Array, out: Array | None, dead: Array | None = None) -> None:
        """Gradients with respect to these vectors back to the rows they were made of; 0 where all queries are dead."""
        if out is None:
            return
        restored(self.rows, self.inverse, gradient, 1.0, out)
        if dead is not None and dead.all():
            out[...] = 0


def restored(unit: Array, inverse: Array | None, gradient: Array, factor: float, out: Array) -> None:
    """Gradients with respect to unit vectors (``inverse`` None: plain rows), times a factor, back to the rows."""
    if inverse is not None or out is not gradient or factor != 1:
        project(None if inverse is None else unit, inverse, gradient, out, factor)


class BatchQueries:
    """Rows of an array as queries, made tile by tile, so that ``out`` may be the array's own buffer.

    ``positives``: what row i is compared with where its label has no key among the keys; their gradients go to
    ``positive_out``.
    """

    def __init__(
        self,
        x: Array,
        scale: float,
        normalize: bool,
        real: np.dtype[Any],
        dead: Array | None,
        out: Array | None,
        positives: Vectors | None = None,
        positive_out: Array | None = None,
    ) -> None:
        self.x, self.scale, self.normalize, self.real, self.dead, self.out = x, scale, normalize, real, dead, out
        self.positives, self.positive_out = positives, positive_out
        self.wanted = out is not None

    def load(self, first: int, last: int) -> tuple[Array, Array | None]:
        """The tile's unit vectors, times the scale."""
        rows = self.x[first:last]
        self.unit = np.empty(rows.shape, self.real)
        self.inverse = None
        if self.normalize:
            self.inverse = unit_rows(rows, self.unit)
        else:
            self.unit[...] = rows
        self.scaled = self.unit * self.real.type(self.scale)
        if self.dead is not None:
            self.scaled[self.dead[first:last]] = 0
        own = None
        if self.positives is not None:
            own = dots(self.scaled, self.positives.rows[first:last])
        return self.scaled, own

    def store(self, first: int, last: int, gradient: Array | None, own: Array | None) -> None:
        """The queries' gradients, and those of the positives."""
        dead = None if self.dead is None else self.dead[first:last]
        if own is not None and self.positives is not None:
            key = self.positives.rows[first:last]
            if gradient is not None:
                gradient += own[:, None] * key
            if self.positive_out is not None:
                out = self.positive_out[first:last]
                inverse = None if self.positives.inverse is None else self.positives.inverse[first:last]
                restored(key, inverse, own[:, None] * self.scaled, 1.0, out)
                if dead is not None:
                    out[dead] = 0
        if self.out is not None and gradient is not None:
            restored(self.unit, self.inverse, gradient, self.scale, self.out[first:last])
            if dead is not None:
                self.out[first:last][dead] = 0


class VectorQueries:
    """Vectors made before as queries; their gradients are added to, or written over, an array of gradients."""

    def __init__(self, vectors: Array, scale: float, dead: Array | None, gradient: Array | None, add: bool) -> None:
        self.vectors, self.scale, self.dead = vectors, vectors.dtype.type(scale), dead
        self.gradient, self.add = gradient, add
        self.wanted = gradient is not None

    def load(self, first: int, last: int) -> tuple[Array, None]:
        """The tile's vectors, times the scale."""
        scaled = self.vectors[first:last] * self.scale
        if self.dead is not None:
            scaled[self.dead[first:last]] = 0
        return scaled, None

    def store(self, first: int, last: int, gradient: Array | None, own: Array | None) -> None:
        """Scale the gradients, and put them where they belong."""
        if self.gradient is None or gradient is None:
            return
        gradient *= self.scale
        if self.dead is not None:
            gradient[self.dead[first:last]] = 0
        if self.add:
            self.gradient[first:last] += gradient
        else:
            self.gradient[first:last] = gradient


class SameGroup:
    """Hides the other members of a row's group from its softmax."""

    def __init__(self, group_ids: Array) -> None:
        self.order = np.argsort(group_ids, kind="stable")
        ordered = group_ids[self.order]
        self.start = np.searchsorted(ordered, group_ids, side="left")
        self.count = np.searchsorted(ordered, group_ids, side="right") - self.start

    def __call__(self, scores: Array, first: int, last: int) -> None:
        """Set their scores to -inf."""
        several = first + np.flatnonzero(self.count[first:last] > 1)
        begin = 0
        while begin < len(several):
            sizes = np.cumsum(self.count[several[begin : begin + HIDDEN]])
            end = begin + max(1, int(np.searchsorted(sizes, HIDDEN, side="right")))
            self._hide(scores, several[begin:end], first)
            begin = end

    def _hide(self, scores: Array, rows: Array, first: int) -> None:
        count = self.count[rows]
        before = np.cumsum(count) - count
        place = np.repeat(self.start[rows] - before, count) + np.arange(count.sum())
        own = scores[rows - first, rows].copy()
        scores[np.repeat(rows - first, count), self.order[place]] = -np.inf
        scores[rows - first, rows] = own


def labels(n: int, dead: Array | None, label: Any) -> Array:
    """The label of each of n rows, -1 where a row counts for nothing."""
    full = np.empty(n, np.int64)
    full[:] = label
    if dead is not None:
        full[dead] = -1
    return full


def kernel_of(run: Run, label: Array, hide: Any = None) -> Softmax:
    """The row kernel of a call."""
    return Softmax(label, flat(run.weight), flat(run.upstream), run.scale, None, flat(run.unreduced), hide)


def batch_loss(
    run: Run, real: np.dtype[Any], queries: Array, keys: Array, scale: float, normalize: bool, hide: Any = None
) -> float:
    """Each query against all keys of the batch, its own key being right."""
    n, dead = len(queries), dead_rows(run.weight)
    label = labels(n, dead, np.arange(n))
    if hide is None and _products.is_few(n, n, queries.shape[1]):
        return few_products(BATCH, run, real, [queries, keys], label, (scale, normalize))[0]
    vectors, kernel = Vectors(keys, real, normalize), kernel_of(run, label, hide)
    out, key_out = run.gradients or (None, None)
    gradient = accumulator(key_out)
    source = BatchQueries(queries, scale, normalize, real, dead, out)
    total = run_tiles(n, n, source, vectors.rows, kernel, gradient, bool(run.gradients))
    vectors.restore(gradient, key_out, dead)
    return total


class BothWays:
    """The row kernel of scores whose columns are softmaxes too, the label of column i being row i. All in one tile."""

    def __init__(self, rows: Softmax, hide: Any, unreduced: Array) -> None:
        self.rows, self.hide, self.unreduced = rows, hide, unreduced

    def __call__(
        self, scores: Array, first: int, last: int, own: Array | None, wanted: bool
    ) -> tuple[float, Array | None]:
        rows = self.rows
        if self.hide is not None:
            self.hide(scores, first, last)
        back = np.empty(scores.shape, scores.dtype) if wanted else None
        total = _core.cross_entropy(
            scores[None], rows.label[None], False, PLAIN, None, -1, rows.weight, rows.upstream, rows.factor,
            None if back is None else back[None], None, self.unreduced,
        )  # fmt: skip
        total += rows(scores, first, last, None, wanted)[0]
        if back is not None:
            scores += back
        return total, None


def symmetric_loss(run: Run, real: np.dtype[Any], a: Array, b: Array, scale: float, hide: Any) -> float:
    """The mean of both directions: rows of a against all of b, and rows of b against all of a.

    Where all scores make one tile, its rows and columns are the two directions; else each has tiles of its own.
    """
    n, dead = len(a), dead_rows(run.weight)
    label = labels(n, dead, np.arange(n))
    sides = [Vectors(a, real, True), Vectors(b, real, True)]
    gradients, wanted = [accumulator(g) for g in run.gradients] or [None, None], bool(run.gradients)
    values = np.empty((2, n))

    def kernel(k: int, hidden: Any) -> Softmax:
        return Softmax(label, flat(run.weight), flat(run.upstream), run.scale / 2, None, values[k], hidden)

    if n <= tile_rows(n, a.shape[1]):
        source = VectorQueries(sides[0].rows, scale, None, gradients[0], add=False)
        both = BothWays(kernel(0, None), hide, values[1])
        total = run_tiles(n, n, source, sides[1].rows, both, gradients[1], wanted)
    else:
        total = 0.0
        for k in (0, 1):
            source = VectorQueries(sides[k].rows, scale, dead, gradients[k], add=k == 1)
            keys, key_gradient = sides[1 - k].rows, gradients[1 - k]
            total += run_tiles(n, n, source, keys, kernel(k, hide), key_gradient, wanted, add=k == 1)
    if run.unreduced is not None:
        run.unreduced[...] = values[0] / 2 + values[1] / 2
    for side, gradient, out in zip(sides, gradients, run.gradients, strict=False):
        side.restore(gradient, out, dead)
    return total / 2


def ranking_numbers(real: np.dtype[Any], values: dict[str, Any]) -> tuple[float, bool]:
    """What a call without groups and one way takes of its parameters; else ValueError."""
    if values["symmetric"] or values["group_ids"] is not None:
        raise ValueError("no short way")
    return float(real.type(values["scale"])), True


def multiple_negatives(real: np.dtype[Any], arrays: tuple[Any, ...], values: dict[str, Any]) -> Problem:
    """What one call of multiple_negatives_ranking_loss evaluates."""
    anchors, positives = arrays
    if anchors.ndim != 2:
        raise ValueError(f"anchors has shape {anchors.shape}; expected (B, D)")
    arguments.same_shape(positives, "positives", anchors, "anchors")
    hide = None
    if values["group_ids"] is not None:
        ids = arguments.as_array(values["group_ids"], "group_ids")
        if ids.dtype.kind not in "iu":
            raise TypeError(f"group_ids has dtype {ids.dtype}; expected integers")
        if ids.shape != anchors.shape[:1]:
            raise ValueError(f"group_ids has shape {ids.shape}; expected {anchors.shape[:1]}: one group a row")
        hide = SameGroup(ids)

    scale = float(real.type(values["scale"]))

    def run(r: Run) -> tuple[float]:
        if values["symmetric"]:
            return (symmetric_loss(r, real, anchors, positives, scale, hide),)
        return (batch_loss(r, real, anchors, positives, scale, True, hide),)

    return Problem(anchors.shape[:1], run)


def info_nce_numbers(real: np.dtype[Any], values: dict[str, Any]) -> tuple[float, bool]:
    """What scores are multiplied by, and whether they are those of unit vectors."""
    temperature = values["temperature"]
    scale = 1 / float(real.type(temperature))
    if scale > float(np.finfo(real).max):
        raise ValueError(f"temperature = {temperature!r} is out of range; expected one whose inverse {real} can hold")
    return scale, values["normalize"]


def info_nce(real: np.dtype[Any], arrays: tuple[Any, ...], values: dict[str, Any]) -> Problem:
    """What one call of info_nce_loss evaluates."""
    query, key, negatives = arrays
    if query.ndim != 2:
        raise ValueError(f"query has shape {query.shape}; expected (B, D)")
    arguments.same_shape(key, "key", query, "query")
    scale, normalize = info_nce_numbers(real, values)
    n, dimension = query.shape
    good = negatives is None or (negatives.ndim == 2 and negatives.shape[1] == dimension)
    good = good or (negatives.ndim == 3 and negatives.shape[::2] == query.shape)
    if not good:
        raise ValueError(f"negatives has shape {negatives.shape}; expected (K, {dimension}), shared by all rows, or "
                         f"({n}, K, {dimension}), each row's own")  # fmt: skip

    def run(r: Run) -> tuple[float]:
        if negatives is None:
            return (batch_loss(r, real, query, key, scale, normalize),)
        if negatives.ndim == 2:
            return (shared_negatives_loss(r, real, query, key, negatives, scale, normalize),)
        return (own_negatives_loss(r, real, query, key, negatives, scale, normalize),)

    return Problem((n,), run)


def shared_negatives_loss(
    run: Run, real: np.dtype[Any], query: Array, key: Array, negatives: Array, scale: float, normalize: bool
) -> float:
    """Each query against its own key, in a last column, and the same negatives for all."""
    n, count, dead = len(query), len(negatives), dead_rows(run.weight)
    label = labels(n, dead, count)
    if count and _products.is_few(n, count + 1, query.shape[1]):
        return few_products(SHARED, run, real, [query, key, negatives], label, (scale, normalize))[0]
    positives, others = Vectors(key, real, normalize), Vectors(negatives, real, normalize)
    kernel = kernel_of(run, label)
    out, key_out, others_out = run.gradients or (None, None, None)
    gradient = accumulator(others_out)
    source = BatchQueries(query, scale, normalize, real, dead, out, positives, key_out)
    total = run_tiles(n, count + 1, source, others.rows, kernel, gradient, bool(run.gradients))
    others.restore(gradient, others_out, dead)
    return total


def own_negatives_loss(
    run: Run, real: np.dtype[Any], query: Array, key: Array, negatives: Array, scale: float, normalize: bool
) -> float:
    """Each query against its own key, in a last column, and negatives of its own."""
    n, count, dimension = negatives.shape
    dead = dead_rows(run.weight)
    out, key_out, others_out = run.gradients or (None, None, None)
    kernel = kernel_of(run, labels(n, dead, count))
    source = BatchQueries(query, scale, normalize, real, dead, out, Vectors(key, real, normalize), key_out)
    step = max(1, TILE_QUERIES // max(1, (count + 1) * dimension))
    totals = []
    with np.errstate(all="ignore"):
        for first in range(0, n, step):
            last = min(first + step, n)
            q, own = source.load(first, last)
            vectors = Vectors(negatives[first:last].reshape((last - first) * count, dimension), real, normalize)
            others = vectors.rows.reshape(last - first, count, dimension)
            scores = np.empty((last - first, count + 1), real)
            scores[:, :count] = np.matmul(others, q[:, :, None])[:, :, 0]
            total, own_gradient = kernel(scores, first, last, own, bool(run.gradients))
            totals.append(total)
            if not run.gradients:
                continue
            products = scores[:, :count]
            if others_out is not None:
                slopes = (products[:, :, None] * q[:, None, :]).reshape(vectors.rows.shape)
                vectors.restore(slopes, slopes)
                others_out[first:last] = slopes.reshape(others.shape)
                if dead is not None:
                    others_out[first:last][dead[first:last]] = 0
            pull = np.matmul(products[:, None, :], others)[:, 0, :] if source.wanted else None
            source.store(first, last, pull, own_gradient)
    return total_of(totals)
