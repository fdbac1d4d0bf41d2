"""Losses of metric learning in plain NumPy: distances and similarities of rows of embeddings."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._reduce import Array, Terms, is_integer, is_number, require
from ._several import several

# A difference of two distances (or of one and the margin) this small beside them may be rounding alone.
NEARLY_NOTHING = 2.0**-48


def distance(r: Array, p: float = 2.0) -> tuple[Array, Array]:
    """The p-norm of each row of differences, and its gradient with respect to r: 0 at distance 0."""
    largest = np.max(np.abs(r), axis=-1, keepdims=True, initial=0)
    unit = np.where((largest > 0) & np.isfinite(largest), largest, 1)
    t = np.abs(r) / unit
    if p == math.inf:
        d, slope = largest, np.where(np.arange(r.shape[-1]) == np.argmax(np.abs(r), axis=-1)[..., None], np.sign(r), 0)
    elif p == 1:
        d, slope = np.sum(np.abs(r), axis=-1, keepdims=True), np.sign(r)
    else:
        length = np.sum(t**p, axis=-1, keepdims=True) ** (1 / r.dtype.type(p))
        d, slope = unit * length, np.sign(r) * (t / length) ** (p - 1)
    return d[..., 0], np.where(np.isnan(d), d, np.where(d == 0, 0, slope))


def same_rows(target: Array, x: Array) -> None:
    """Raise unless there is one label for every row."""
    require(target.shape == x.shape[:-1], "target must have the embeddings' shape without D")


@several()
def contrastive_loss(
    x1: Array, x2: Array, target: Array, *, margin: float = 1.0, similar_label: int = 1, half: bool = True
) -> Terms:
    """Contrastive loss h [s d^2 + (1 - s) max(0, margin - d)^2], s = 1 for similar pairs, h = 1/2 or 1."""
    require(is_number(margin, at_least=0), "margin must be finite and >= 0")
    require(similar_label in (0, 1), "similar_label must be 0 or 1")
    require(x1.shape == x2.shape and x1.ndim, "shapes differ")
    same_rows(target, x1)
    require((target == 0) | (target == 1), "target must be 0 or 1")
    h = x1.dtype.type(0.5 if half else 1)
    r = x1 - x2
    d, slope = distance(r)
    similar = target == similar_label
    z = np.where(margin - d <= 0, 0, margin - d)
    largest = np.maximum(d, margin)
    beside = np.where(margin - d < -NEARLY_NOTHING * largest, 0, np.maximum(z, NEARLY_NOTHING * largest))
    active = (z != 0)[..., None]
    apart = np.where(active, -2 * h * z[..., None] * slope, 0)
    grad = np.where(similar[..., None], 2 * h * r, apart)
    scale = np.where(similar[..., None], np.abs(grad), np.abs(2 * h * largest[..., None] * slope))
    return Terms(
        value=h * np.where(similar, d * d, z * z),
        grad=lambda weigh: (weigh(grad), weigh(-grad)),
        value_scale=h * np.where(similar, d * d, beside * largest),
        grad_scale=lambda weigh: (weigh(scale),) * 2,
    )


def rows_of_anchor(anchor: Array, parameters: Mapping[str, Any]) -> tuple[Array, Array]:
    """One row for every anchor."""
    return np.ones(anchor.shape[:-1]), np.ones(anchor.shape[:-1], bool)


@several(rows=rows_of_anchor)
def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    margin: float = 1.0,
    squared: bool = False,
    p: float = 2,
    swap: bool = False,
) -> Terms:
    """Triplet margin loss max(0, d(a, p) - d(a, n) + margin), or of squared distances.

    With ``swap`` the negative's distance is min(d(a, n), d(p, n)), the first where they are equal.
    """
    require(is_number(margin, at_least=0), "margin must be finite and >= 0")
    require(p >= 1, "p must be at least 1")
    require(anchor.shape == positive.shape == negative.shape and anchor.ndim, "shapes differ")
    near, far, other = (distance(r, p) for r in (anchor - positive, anchor - negative, positive - negative))
    swapped = np.asarray(other[0] < far[0]) & swap

    def cost(r: Array, d: Array, slope: Array) -> tuple[Array, Array]:
        if not squared:
            return d, slope
        return d * d, np.where(d[..., None] == 0, 0, 2 * r if p == 2 else 2 * d[..., None] * slope)

    to_positive, pull = cost(anchor - positive, *near)
    from_anchor, push = cost(anchor - negative, *far)
    from_positive, push_positive = cost(positive - negative, *other)
    to_negative = np.where(swapped, from_positive, from_anchor)
    z = to_positive - to_negative + margin
    active = ~(z <= 0)[..., None]
    by_anchor = np.where(swapped[..., None], 0, push)
    by_positive = np.where(swapped[..., None], push_positive, 0)
    gradients = (pull - by_anchor, -pull - by_positive, by_anchor + by_positive)
    sizes = [np.abs(part) for part in (pull, by_anchor, by_positive)]
    scales = (np.maximum(sizes[0], sizes[1]), np.maximum(sizes[0], sizes[2]), np.maximum(sizes[1], sizes[2]))
    return Terms(
        value=np.where(z <= 0, 0, z),
        grad=lambda weigh: tuple(weigh(np.where(active, g, 0)) for g in gradients),
        value_scale=np.maximum(np.maximum(to_positive, to_negative), margin),
        grad_scale=lambda weigh: tuple(weigh(np.where(active, g, 0)) for g in scales),
    )


@several()
def margin_ranking_loss(x1: Array, x2: Array, target: Array, *, margin: float = 0.0) -> Terms:
    """Margin ranking loss max(0, margin - t (x1 - x2)), t = -1 or +1; gradient 0 at the kink."""
    require(is_number(margin, at_least=0), "margin must be finite and >= 0")
    require(x1.shape == x2.shape == target.shape, "shapes differ")
    require(np.abs(target) == 1, "target must be -1 or +1")
    z = margin - target * (x1 - x2)
    slope = np.where(z > 0, -target, np.where(np.isnan(z), z, 0))
    return Terms(
        value=np.where(z < 0, 0, z),
        grad=lambda weigh: (weigh(slope), weigh(-slope)),
        value_scale=np.maximum(np.maximum(np.abs(x1), np.abs(x2)), margin),
    )


@several()
def cosine_embedding_loss(x1: Array, x2: Array, target: Array, *, margin: float = 0.0) -> Terms:
    """Cosine embedding loss: 1 - c for t = 1, max(0, c - margin) for t = -1; a row of zeros has c = 0, gradient 0."""
    require(is_number(margin, at_least=0), "margin must be finite and >= 0")
    require(x1.shape == x2.shape and x1.ndim, "shapes differ")
    same_rows(target, x1)
    require(np.abs(target) == 1, "target must be -1 or +1")
    largest = [np.max(np.abs(x), axis=-1, keepdims=True, initial=0) for x in (x1, x2)]
    unit1, unit2 = (np.where(m == 0, 1, m) for m in largest)
    u, v = x1 / unit1, x2 / unit2
    uu, vv, uv, size = (np.sum(x, axis=-1, keepdims=True) for x in (u * u, v * v, u * v, np.abs(u * v)))
    empty = (uu == 0) | (vv == 0)
    lengths = np.where(empty, 1, np.sqrt(uu) * np.sqrt(vv))
    uu, vv = np.where(empty, 1, uu), np.where(empty, 1, vv)
    c = np.clip(uv / lengths, -1, 1)
    similar = (target == 1)[..., None]
    z = c - margin
    slope = np.where(similar, -1, np.where(z <= 0, 0, 1))
    live = (slope != 0) & ~empty
    grad1, grad2 = (
        np.where(live, slope * (b / lengths - a * c / aa) / unit, 0)
        for a, b, aa, unit in ((u, v, uu, unit1), (v, u, vv, unit2))
    )
    scale1, scale2 = (
        np.where(live, np.maximum(np.abs(b / lengths), np.abs(a * size / lengths / aa)) / unit, 0)
        for a, b, aa, unit in ((u, v, uu, unit1), (v, u, vv, unit2))
    )
    return Terms(
        value=np.where(similar, 1 - c, np.where(z <= 0, 0, z))[..., 0],
        grad=lambda weigh: (weigh(grad1), weigh(grad2)),
        value_scale=np.where(similar, 1, np.maximum(size / lengths, margin))[..., 0],
        grad_scale=lambda weigh: (weigh(scale1), weigh(scale2)),
    )


@several(labels=(2,))
def center_loss(embeddings: Array, centers: Array, target: Array) -> Terms:
    """Center loss |e - c_t|^2 / 2; the gradient of a center adds up the rows of its class."""
    require(is_integer(target), "target must hold class indices")
    require(centers.ndim == 2 and embeddings.ndim and centers.shape[1] == embeddings.shape[-1], "shapes differ")
    same_rows(target, embeddings)
    require((target >= 0) & (target < len(centers)), "target is outside [0, C)")
    label = target.astype(np.int64)
    r = embeddings - centers[label]

    def added(rows: Array) -> Array:
        sums = np.zeros(centers.shape, rows.dtype)
        np.add.at(sums, label, rows)
        return sums

    return Terms(
        value=np.sum(r * r, axis=-1) / 2,
        grad=lambda weigh: (weigh(r), added(weigh(-r))),
        grad_scale=lambda weigh: (weigh(np.abs(r)), added(weigh(np.abs(r)))),
    )
