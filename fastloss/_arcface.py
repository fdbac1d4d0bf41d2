"""ArcFace: embeddings against class centers, where the score of a row's own class is that of its angle plus a margin.

Own scores are worked out row by row in float64, from the angle, and put in their place in the tile. Not here: the tiles
(_products.py), lengths and projections (_unit.py).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss import _core, _products
from fastloss._arguments import Array
from fastloss._products import ARC, Softmax, accumulator, few_products, flat, run_tiles
from fastloss._row_arguments import UNKNOWN_CLASSES, check_labels, ignored_label, per_class
from fastloss._several import Problem, Run
from fastloss._unit import project, unit_rows

FLOAT64 = np.dtype(np.float64)


def arcface_numbers(real: np.dtype[Any], values: dict[str, Any]) -> tuple[float, float, float, float]:
    """Scale, margin, and its cosine and sine; of a call without class weights, else ValueError."""
    if values["class_weight"] is not None:
        raise ValueError("no short way")
    return numbers_of(real, values)


def numbers_of(real: np.dtype[Any], values: dict[str, Any]) -> tuple[float, float, float, float]:
    """Scale, margin, and its cosine and sine."""
    scale, margin = float(real.type(values["scale"])), float(real.type(values["margin"]))
    return scale, margin, math.cos(margin), math.sin(margin)


class AngularQueries:
    """Embeddings as queries; the score of a row's own class is that of its angle plus the margin (csrc/pairs/arc.h)."""

    def __init__(
        self,
        x: Array,
        centers: Array,
        target: Array,
        numbers: tuple[float, float, float, float],
        dead: Array,
        real: np.dtype[Any],
    ) -> None:
        self.x, self.centers, self.target, self.dead, self.real = x, centers, target, dead, real
        self.scale, *self.margin = numbers
        self.out: Array | None = None
        self.center_gradient: Array | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is a place for the embeddings' gradients."""
        return self.out is not None

    def load(self, first: int, last: int) -> tuple[Array, Array]:
        """The tile's unit vectors times the scale, and the scores of the rows' own classes."""
        rows, dead = self.x[first:last], self.dead[first:last]
        self.e, self.w = np.empty(rows.shape), np.empty(rows.shape)
        self.inverse = unit_rows(rows.astype(self.real, copy=False), self.e)
        known = unit_rows(self.centers[self.target[first:last]].astype(self.real, copy=False), self.w)
        own, self.slope = np.empty(last - first), np.empty(last - first)
        self.toward_w, self.toward_e = np.empty(rows.shape), np.empty(rows.shape)
        given = [self.e, self.inverse, self.w, known]
        _core.arc_rows([*given, own, self.slope, self.toward_w, self.toward_e], tuple(self.margin))
        self.scaled = (self.e * self.scale).astype(self.real)
        self.scaled[dead] = 0
        return self.scaled, own * self.scale

    def store(self, first: int, last: int, gradient: Array | None, own: Array | None) -> None:
        """Add the tangents of the rows' own classes to both gradients, and take the embeddings' home."""
        if own is None:
            return
        dead = self.dead[first:last]
        force = (own * self.scale * self.slope)[:, None]
        if self.out is not None and gradient is not None:
            project(self.e, self.inverse, gradient * self.scale + force * self.toward_w, self.out[first:last])
            self.out[first:last][dead] = 0
        if self.center_gradient is not None:
            self._add_to_centers(np.flatnonzero(~dead), self.target[first:last], force * self.toward_e)

    def _add_to_centers(self, live: Array, target: Array, gradient: Array) -> None:
        """Add up the rows of each class, in order, and add the sums to the gradients of the classes' centers."""
        if not live.size:
            return
        live = live[np.argsort(target[live], kind="stable")]
        ordered = target[live]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        sums = np.add.reduceat(gradient[live], starts, axis=0)
        self.center_gradient[ordered[starts]] += sums.astype(self.real)  # type: ignore[index]


def arcface(real: np.dtype[Any], arrays: tuple[Any, ...], values: dict[str, Any]) -> Problem:
    """What one call of arcface_loss evaluates."""
    embeddings, centers, target = arrays
    if embeddings.ndim == 0:
        raise ValueError("embeddings are 0-dimensional; expected (..., D)")
    if centers.ndim != 2:
        raise ValueError(f"class_centers has shape {centers.shape}; expected (C, D)")
    shape, (classes, dimension) = embeddings.shape[:-1], centers.shape
    if embeddings.shape[-1] != dimension:
        raise ValueError(f"class_centers has shape {centers.shape} but embeddings have shape {embeddings.shape}; "
                         f"expected (C, {embeddings.shape[-1]})")  # fmt: skip
    if target.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {target.dtype}; expected class indices of an integer type")
    if target.shape != shape:
        raise ValueError(f"target has shape {target.shape} but embeddings have shape {embeddings.shape}; expected "
                         f"class indices of shape {shape}")  # fmt: skip
    if classes == 0 and target.size:
        raise ValueError(f"class_centers has shape {centers.shape}: {target.size} rows of no classes")
    ignore_index = ignored_label(values["ignore_index"])
    by_class = (
        None if values["class_weight"] is None else per_class(values["class_weight"], "class_weight", classes, real)
    )
    check_labels(target, target.reshape(-1, 1), classes, ignore_index, by_class, None, real)
    ignored = None if ignore_index is None else np.asarray(target == ignore_index)
    if ignored is not None and not ignored.any():
        ignored = None
    label = (target if ignored is None else np.where(ignored, target.dtype.type(0), target)).astype(np.int64)
    row_weight = None if by_class is None or not label.size else by_class.astype(np.float64)[label]
    numbers = numbers_of(real, values)

    def run(r: Run) -> tuple[float]:
        dead = np.zeros(label.size, bool) if ignored is None else ignored.ravel().copy()
        for weight in (r.weight, row_weight):
            if weight is not None:
                dead |= weight.ravel() == 0
        live = np.where(dead, -1, label.ravel())
        if _products.is_few(label.size, classes, dimension):
            return (few_products(ARC, r, real, [embeddings, centers], live, numbers, by_class)[0],)
        x, keys = embeddings.reshape(label.size, dimension), np.empty(centers.shape, real)
        inverse = unit_rows(centers, keys)
        kernel = Softmax(live, flat(r.weight), flat(r.upstream), r.scale, by_class,
                         flat(r.unreduced))  # fmt: skip
        source = AngularQueries(x, centers, label.ravel(), numbers, dead, real)
        whole, center_out = r.gradients or (None, None)
        rows_out: Any = None if whole is None else whole.reshape(x.shape)
        source.out = rows_out
        source.center_gradient = gradient = accumulator(center_out)
        total = run_tiles(len(x), classes, source, keys, kernel, gradient, bool(r.gradients))
        if center_out is not None:
            project(keys, inverse, gradient, center_out)
            if dead.all():
                center_out[...] = 0
        if whole is not None and not np.may_share_memory(rows_out, whole):  # strides that reshape could not follow
            whole[...] = rows_out.reshape(whole.shape)
        return (total,)

    return Problem(shape, run, row_weight, ignored)


def arcface_denominator(target: object, class_weight: object, ignore_index: object, sample_weight: object) -> float:
    """Sum of sample weight times class weight over the rows that are not ignored."""
    t = arguments.as_array(target, "target")
    by_class = None if class_weight is None else per_class(class_weight, "class_weight", None, FLOAT64)
    classes = UNKNOWN_CLASSES if by_class is None else by_class.size
    return check_labels(t, t.reshape(-1, 1), classes, ignored_label(ignore_index), by_class, sample_weight, FLOAT64)[1]
