"""Losses of similarities between many embeddings, in plain NumPy: softmax cross-entropy of scaled (cosine) products.

The scale of a result is the magnitude of its largest terms with the errors that its sums of products may have: a dot
product of D terms, its vectors rounded, is off by no more than (D + 8) u |q| |k|, u = 2^-24 or 2^-53; a relative error
of twice that goes into every probability and into the loss times 1 - p_target; and gradients are sums of N, M or D
products. ``error_units`` counts these in the unit in which 4 ULP of the scale bound the error.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ._reduce import Array, Terms, class_labels, is_integer, is_number, require
from ._several import Weigh, several
from .activations import partition, sigmoid, sum_of_others

# Given what rows count for: gradients, or their scales.
Gradients = Callable[[Weigh], tuple[Array, ...]]


# Probabilities near float32's smallest have fewer digits, and those below are 0.
VANISHING = 2.0**-120


def error_units(products: float) -> float:
    """Rounding errors of half an ULP, so many of them, in units of four ULP of which half is certain."""
    return products / 4


def _vector_rows(vectors: Array, parameters: Mapping[str, Any]) -> tuple[Array, Array]:
    """One row for each embedding."""
    shape = vectors.shape[:-1]
    return np.ones(shape), np.ones(shape, bool)


class Unit:
    """Rows divided by their length (0 stays 0), or plain rows."""

    def __init__(self, rows: Array, normalize: bool = True) -> None:
        top = np.max(np.abs(rows), axis=-1, keepdims=True, initial=0)
        top = np.where(top > 0, top, 1)
        length = np.sqrt(np.sum((rows / top) ** 2, axis=-1, keepdims=True))
        zero = length == 0
        self.length = length * top  # may overflow: only its inverse is used where rows are normalized
        self.normalized = normalize
        self.rows = np.where(zero, 0, rows / top / np.where(zero, 1, length)) if normalize else rows
        self.inverse = np.where(zero, 0, 1 / np.where(zero, 1, length) / top) if normalize else np.ones_like(length)

    @property
    def norm(self) -> Array:
        """The length of the rows in use, without their last axis."""
        return np.where(self.inverse == 0, 0, 1)[..., 0] if self.normalized else self.length[..., 0]

    def back(self, gradient: Array) -> Array:
        """The gradient with respect to the rows: (g - u (u . g)) / length, what is left of it along the sphere."""
        if not self.normalized:
            return gradient
        along = np.sum(self.rows * gradient, axis=-1, keepdims=True)
        return np.asarray(self.inverse * (gradient - self.rows * along))

    def back_scale(self, terms: Array) -> Array:
        """The magnitude of its terms, from those of the gradient."""
        if not self.normalized:
            return terms
        size = np.abs(self.rows)
        return np.asarray(self.inverse * (terms + size * np.sum(size * terms, axis=-1, keepdims=True)))


def take(array: Array, label: Array) -> Array:
    """One element of each row."""
    return np.take_along_axis(array, label[..., None], axis=-1)[..., 0]


def put(array: Array, label: Array, values: Array) -> Array:
    """A copy with one element of each row replaced."""
    array = array.copy()
    np.put_along_axis(array, label[..., None], values[..., None], axis=-1)
    return array


def softmax_rows(scores: Array, label: Array, error: Array) -> tuple[Array, Array, Array, Array]:
    """Loss and its scale, slopes p - y and theirs; ``error``: of each row's scores, in ``error_units``."""
    if not scores.size:
        return np.zeros(label.shape), np.zeros(label.shape), scores, scores
    part = partition(scores)
    p, q = part.exps / (1 + part.rest), sum_of_others(part.exps) / (1 + part.rest)
    value, missed = take(part.distance + part.tail, label), take(q, label)
    slope = put(p, label, -missed)
    return value, value + 2 * error * missed, slope, np.abs(slope) * (1 + 2 * error[..., None]) + VANISHING


def slope_terms(slope: Array, slope_scale: Array, products: float, weigh: Weigh) -> Array:
    """The magnitude of slopes that are multiplied and added up: their own error, and that of so many products."""
    return np.asarray(np.abs(weigh(slope_scale)) + (1 + error_units(products)) * np.abs(weigh(slope)))


def live(weigh: Weigh, shape: tuple[int, ...]) -> Array:
    """Which rows count for anything: those of weight 0 make 0 of NaN."""
    return np.isnan(weigh(np.full(shape, np.nan)))


def alive(rows: Array, weigh: Weigh) -> Array:
    """The rows, 0 where they count for nothing."""
    return np.where(live(weigh, rows.shape[:-1])[..., None], rows, 0)


def in_batch(
    query: Unit, key: Unit, scale: Array, hidden: Array | None = None
) -> tuple[Array, Array, Gradients, Gradients]:
    """Each query against all keys, its own being right: value, its scale, gradients and their scales (functions)."""
    n, dimension = query.rows.shape
    scores = scale * (query.rows @ key.rows.T)
    if hidden is not None:
        scores = np.where(hidden, -np.inf, scores)
    error = error_units(dimension + 8) * scale * query.norm * np.max(key.norm, initial=0)
    value, value_scale, slope, slope_scale = softmax_rows(scores, np.arange(n), error)

    def grad(weigh: Weigh) -> tuple[Array, Array]:
        g, q = scale * weigh(slope), alive(query.rows, weigh)
        return alive(query.back(g @ key.rows), weigh), key.back(g.T @ q)

    def grad_scale(weigh: Weigh) -> tuple[Array, Array]:
        g = scale * slope_terms(slope, slope_scale, 2 * n + dimension, weigh)
        return (
            alive(query.back_scale(g @ np.abs(key.rows)), weigh),
            key.back_scale(g.T @ np.abs(alive(query.rows, weigh))),
        )

    return value, value_scale, grad, grad_scale


@several(rows=_vector_rows)
def info_nce_loss(
    query: Array, key: Array, negatives: Array | None = None, *, temperature: float = 0.07, normalize: bool = True
) -> Terms:
    """InfoNCE -log(e^(q.k+ / T) / sum of e^(q.k / T)): the positive is in the sum, and so are the negatives.

    Without ``negatives`` these are the other rows of ``key``; else shared by all queries (K, D) or each one's own
    (B, K, D).
    """
    require(is_number(temperature, above=0), "temperature must be finite and > 0")
    scale = 1 / query.dtype.type(temperature)
    q, k = Unit(query, normalize), Unit(key, normalize)
    if negatives is None:
        return _terms(in_batch(q, k, scale))
    n, dimension = query.shape
    others = Unit(negatives, normalize)
    shared = negatives.ndim == 2
    candidates = others.rows[None] if shared else others.rows
    plain = np.matmul(np.broadcast_to(candidates, (n, *candidates.shape[1:])), q.rows[:, :, None])[..., 0]
    scores = scale * np.concatenate([np.sum(q.rows * k.rows, axis=-1, keepdims=True), plain], axis=1)
    longest = np.maximum(k.norm, np.max(others.norm, axis=-1, initial=0))
    error = error_units(dimension + 8) * scale * q.norm * longest
    value, value_scale, slope, slope_scale = softmax_rows(scores, np.zeros(n, int), error)

    def grad(weigh: Weigh) -> tuple[Array, ...]:
        g, rows = scale * weigh(slope), alive(q.rows, weigh)
        own, rest = g[:, :1], g[:, 1:]
        dq = own * k.rows + np.sum(rest[:, :, None] * candidates, axis=1)
        dn = rest.T @ rows if shared else rest[:, :, None] * rows[:, None, :]
        dn = others.back(dn)
        return alive(q.back(dq), weigh), alive(k.back(own * rows), weigh), dn if shared else alive3(dn, weigh)

    def grad_scale(weigh: Weigh) -> tuple[Array, ...]:
        g = scale * slope_terms(slope, slope_scale, n + len(scores.T) + dimension, weigh)
        rows = np.abs(alive(q.rows, weigh))
        own, rest = g[:, :1], g[:, 1:]
        dq = own * np.abs(k.rows) + np.sum(rest[:, :, None] * np.abs(candidates), axis=1)
        dn = others.back_scale(rest.T @ rows if shared else rest[:, :, None] * rows[:, None, :])
        return (
            alive(q.back_scale(dq), weigh),
            alive(k.back_scale(own * rows), weigh),
            dn if shared else alive3(dn, weigh),
        )

    return Terms(value=value, grad=grad, value_scale=value_scale, grad_scale=grad_scale)


def alive3(array: Array, weigh: Weigh) -> Array:
    """The same as ``alive`` for several rows each."""
    return np.where(live(weigh, array.shape[:1])[:, None, None], array, 0)


def _terms(parts: tuple[Array, Array, Gradients, Gradients]) -> Terms:
    """Value, its scale, gradients and theirs as ``Terms``."""
    value, value_scale, grad, grad_scale = parts
    return Terms(value=value, grad=grad, value_scale=value_scale, grad_scale=grad_scale)


@several(rows=_vector_rows)
def multiple_negatives_ranking_loss(
    anchors: Array,
    positives: Array,
    *,
    scale: float = 20.0,
    symmetric: bool = False,
    group_ids: ArrayLike | None = None,
) -> Terms:
    """Cross-entropy of the rows of scale cos(a_i, p_j) with label i; ``symmetric``: the mean with that of the columns.

    Rows of one group are no negatives of one another: their scores are left out of the sum.
    """
    require(is_number(scale, above=0), "scale must be finite and > 0")
    a, p, s = Unit(anchors), Unit(positives), anchors.dtype.type(scale)
    hidden = None
    if group_ids is not None:
        groups = np.asarray(group_ids)
        require(groups.shape == anchors.shape[:1], "group_ids must have one element for each row")
        hidden = (groups[:, None] == groups) & ~np.eye(len(groups), dtype=bool)
    forth = in_batch(a, p, s, hidden)
    if not symmetric:
        return _terms(forth)
    back = in_batch(p, a, s, hidden)

    def both(one: Gradients, other: Gradients) -> Gradients:
        def gradient(weigh: Weigh) -> tuple[Array, ...]:
            (da, dp), (more_p, more_a) = one(weigh), other(weigh)
            return (da + more_a) / 2, (dp + more_p) / 2

        return gradient

    return Terms(
        value=(forth[0] + back[0]) / 2,
        grad=both(forth[2], back[2]),
        value_scale=(forth[1] + back[1]) / 2,
        grad_scale=both(forth[3], back[3]),
    )


def _class_rows(target: Array, parameters: Mapping[str, Any]) -> tuple[Array, Array]:
    """Class weight and liveness of every row, from the target alone."""
    _, alive_rows, weight = class_labels(
        target, None, parameters.get("class_weight"), parameters.get("ignore_index", -100)
    )
    return weight, alive_rows


@several(labels=(2,), rows=_class_rows)
def arcface_loss(
    embeddings: Array,
    class_centers: Array,
    target: Array,
    *,
    scale: float = 64.0,
    margin: float = 0.5,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
) -> Terms:
    """Cross-entropy of scale cos(theta_j), the target's angle being theta + margin.

    Where theta + margin > pi, cos(theta) - margin sin(margin) instead, which keeps falling. The gradient with respect
    to the angle goes along the unit tangent, which is 0 where there is none (at angles of 0 and pi, for zero vectors).
    """
    require(is_number(scale, above=0), "scale must be finite and > 0")
    require(is_number(margin, at_least=0), "margin must be finite and >= 0")
    require(is_integer(target) and target.shape == embeddings.shape[:-1], "target must hold one class index a row")
    real, shape, (classes, dimension) = embeddings.dtype.type, target.shape, class_centers.shape
    s, m = real(scale), real(margin)
    label, alive_rows, row_weight = class_labels(target, classes, class_weight, ignore_index)
    alive_rows = alive_rows & (row_weight > 0)
    e, w = Unit(embeddings.reshape(math.prod(shape), dimension)), Unit(class_centers)
    flat = label.ravel()
    own = w.rows[flat]
    cosine = np.clip(np.sum(e.rows * own, axis=-1), -1, 1)
    toward_w, toward_e = own - cosine[:, None] * e.rows, e.rows - cosine[:, None] * own
    sine = np.sqrt(np.sum(toward_w**2, axis=-1))
    sine = np.where(sine < 32 * np.finfo(real).eps, 0, sine)  # parallel, but for rounding
    sine = np.where((e.inverse[:, 0] == 0) | (w.inverse[flat, 0] == 0), 1, sine)
    theta = np.arctan2(sine, cosine)
    beyond = theta + m > real(np.pi)
    score = np.where(beyond, cosine - m * np.sin(m), np.cos(theta + m))
    push = np.where(beyond, np.sin(theta), np.sin(theta + m))  # minus the derivative by the angle
    over_sine = np.where(sine == 0, 0, 1 / np.where(sine == 0, 1, sine))
    scores = put(s * (e.rows @ w.rows.T), flat, s * score)
    error = np.full(flat.shape, error_units(dimension + 8) * s)
    value, value_scale, slope, slope_scale = softmax_rows(scores, flat, error)
    by_class = row_weight.ravel()
    value, value_scale = by_class * value, by_class * value_scale
    slope, slope_scale = by_class[:, None] * slope, by_class[:, None] * slope_scale
    onehot = np.arange(classes) == flat[:, None]

    def weighed(weigh: Weigh, rows: Array) -> Array:
        return weigh(rows.reshape(*shape, classes)).reshape(len(flat), classes)

    def among_classes(rows: Array) -> Array:
        return np.where(onehot, 1, 0).T @ np.where(rows == 0, 0, rows)

    def living(weigh: Weigh, rows: Array) -> Array:
        return np.where(live(weigh, shape).reshape(-1, 1), rows, 0)

    def grad(weigh: Weigh) -> tuple[Array, Array]:
        g = s * weighed(weigh, slope)
        pull = take(g, flat) * push * over_sine
        rest, q = np.where(onehot, 0, g), living(weigh, e.rows)
        de = e.back(rest @ w.rows + pull[:, None] * toward_w)
        dw = w.back(rest.T @ q + among_classes(living(weigh, pull[:, None] * toward_e)))
        return living(weigh, de).reshape(embeddings.shape), dw

    def grad_scale(weigh: Weigh) -> tuple[Array, Array]:
        g = s * slope_terms(slope, slope_scale, len(flat) + classes + 2 * dimension, lambda rows: weighed(weigh, rows))
        # An angle that is off by some ULP moves the tangent by as many over its sine.
        pull = (take(g, flat) * over_sine)[:, None] * (np.abs(own) + np.abs(e.rows))
        rest, q = np.where(onehot, 0, g), np.abs(living(weigh, e.rows))
        de = e.back_scale(rest @ np.abs(w.rows) + pull)
        dw = w.back_scale(rest.T @ q + among_classes(living(weigh, pull)))
        return living(weigh, de).reshape(embeddings.shape), dw

    return Terms(
        value=value.reshape(shape),
        grad=grad,
        value_scale=value_scale.reshape(shape),
        grad_scale=grad_scale,
        row_weight=row_weight,
        live=alive_rows,
    )


@several(rows=_vector_rows)
def ge2e_loss(embeddings: Array, *, w: float = 10.0, b: float = -5.0, variant: str = "softmax") -> Terms:
    """GE2E of embeddings (speakers, utterances, D): S = w cos(e, c) + b against every speaker's centroid.

    The centroid of the utterance's own speaker leaves the utterance out. ``"softmax"``: -S_own + log sum e^S;
    ``"contrast"``: 1 - sigmoid(S_own) + the largest sigmoid(S) of the others. Sums stand for means, whose cosines are
    the same.
    """
    require(embeddings.ndim == 3, "embeddings must have the shape (speakers, utterances, D)")
    require(variant in ("softmax", "contrast"), "variant must be 'softmax' or 'contrast'")
    require(is_number(w) and is_number(b), "w and b must be finite")
    speakers, utterances, dimension = embeddings.shape
    require(not speakers or utterances >= 2, "a centroid without the utterance needs two utterances")
    require(variant == "softmax" or speakers != 1, "the contrast variant needs two speakers")
    real = embeddings.dtype.type
    factor, offset = real(w), real(b)
    without = (1 - np.eye(utterances)).astype(embeddings.dtype)
    e, c, m = Unit(embeddings), Unit(np.sum(embeddings, axis=1)), Unit(without @ embeddings)
    label = np.broadcast_to(np.arange(speakers)[:, None], (speakers, utterances))
    cosine = put(e.rows @ c.rows.T, label, np.sum(e.rows * m.rows, axis=-1))
    scores = factor * cosine + offset
    # A sum of vectors that nearly cancel is as inexact as its terms are large.
    size = np.sum(Unit(embeddings, False).norm, axis=1)
    spread = np.max(np.nan_to_num(size * c.inverse[:, 0], nan=0), initial=1)
    spread = max(spread, np.max(np.nan_to_num(size[:, None] * m.inverse[..., 0], nan=0), initial=1))
    units = error_units((dimension + 8) + 2 * utterances * spread)
    error = np.full((speakers, utterances), units * np.abs(factor))
    if variant == "softmax":
        value, value_scale, slope, slope_scale = softmax_rows(scores, label, error)
    elif scores.size:
        rival = np.argmax(put(scores, label, np.full(label.shape, -np.inf, scores.dtype)), axis=-1)
        mine, other = take(scores, label), take(scores, rival)
        value = sigmoid(-mine) + sigmoid(other)
        down, up = -sigmoid(mine) * sigmoid(-mine), sigmoid(other) * sigmoid(-other)
        slope = put(put(np.zeros_like(scores), label, down), rival, up)
        inexact = 2 * (error + error_units(np.abs(offset)))
        value_scale = value + inexact * (np.abs(down) + up)
        slope_scale = np.abs(slope) * (1 + inexact[..., None])
    else:
        value, value_scale, slope, slope_scale = (np.zeros(label.shape),) * 2 + (scores,) * 2

    def parts(g: Array) -> tuple[Array, Array]:
        return put(g, label, np.zeros(label.shape, g.dtype)) if g.size else g, take(g, label) if g.size else g[..., 0]

    def grad(weigh: Weigh) -> tuple[Array, Array, Array]:
        g, rows = weigh(slope), alive(e.rows, weigh)
        rest, own = parts(g)
        de = alive(e.back(factor * (rest @ c.rows + own[..., None] * m.rows)), weigh)
        dc = c.back(factor * np.einsum("jik,jid->kd", rest, rows))
        dm = alive(m.back(factor * own[..., None] * rows), weigh)
        # b moves all scores alike, which softmax does not see.
        db = np.sum(g) if variant == "contrast" else real(0)
        counted = np.where(live(weigh, g.shape[:-1])[..., None], g * cosine, 0)
        return de + dc[:, None, :] + without @ dm, np.asarray(np.sum(counted)), np.asarray(db)

    def grad_scale(weigh: Weigh) -> tuple[Array, Array, Array]:
        g = slope_terms(slope, slope_scale, speakers * (1 + utterances) + 2 * dimension + 4 * units, weigh)
        rows, (rest, own), size = np.abs(alive(e.rows, weigh)), parts(g), np.abs(factor)
        de = alive(e.back_scale(size * (rest @ np.abs(c.rows) + own[..., None] * np.abs(m.rows))), weigh)
        dc = c.back_scale(size * np.einsum("jik,jid->kd", rest, rows))
        dm = alive(m.back_scale(size * own[..., None] * rows), weigh)
        counted = np.where(live(weigh, g.shape[:-1])[..., None], g, 0)
        return (
            de + dc[:, None, :] + np.sum(dm, axis=1, keepdims=True),
            np.asarray(np.sum(counted)),
            np.asarray(np.sum(g)),
        )

    return Terms(value=value, grad=grad, value_scale=value_scale, grad_scale=grad_scale)
