"""Multi-class losses in plain NumPy: rows of logits, class axis last (the ``axis`` keyword is dealt with before)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._reduce import Array, Terms, class_labels, is_integer, is_number, product, require, rowwise, weigh
from .activations import partition, sum_of_others


def softcapped(x: Array, cap: float | None, temperature: float) -> tuple[Array, Array, Array, Array]:
    """Scores s = cap tanh(x / cap) / T, their distance to the row's maximum, and s' and s''; infinities pass.

    tanh a - tanh b = 2 (1 - e^-2(a-b)) e^-2m / ((1 + e^-2|a|) (1 + e^-2|b|)) for a >= b, with m the smaller of
    |a| and |b| where their signs agree, else 0: saturated logits keep their differences.
    """
    top = np.max(x, axis=-1, keepdims=True)
    if cap is None:
        one = np.ones_like(x)
        return x / temperature, (top - x) / temperature, one / temperature, 0 * one
    a, b, gap = np.broadcast_to(top / cap, x.shape), x / cap, (top - x) / cap
    za, zb = np.exp(-2 * np.abs(a)), np.exp(-2 * np.abs(b))
    between = np.where(a * b > 0, np.maximum(za, zb), 1)
    distance = -2 * cap * np.expm1(-2 * gap) * between / ((1 + za) * (1 + zb))
    sech2 = 4 * zb / (1 + zb) ** 2
    passed, infinite = np.isinf(x), np.isinf(x) | np.isinf(top)
    return (
        np.where(passed, x, cap * np.tanh(b)) / temperature,
        np.where(infinite, np.inf, distance) / temperature,
        np.where(passed, 1, sech2) / temperature,
        np.where(passed, 0, -2 / cap * np.tanh(b) * sech2) / temperature,
    )


@rowwise()
def cross_entropy(
    logits: Array,
    target: Array,
    *,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    temperature: float = 1.0,
    logit_softcap: float | None = None,
    z_loss: float = 0.0,
) -> Terms:
    """Softmax cross-entropy -sum_c u_c log p_c (+ z_loss lse^2), p = softmax(softcap(x) / T).

    u_c = w_c y'_c with the smoothed target y' = (1 - a) y + (a / C) sum(y). With respect to the scores
    the gradient is (sum u) p - u, the diagonal Hessian (sum u) p (1 - p); softcap and temperature follow
    by the chain rule. Labels: the row weighs w_target in D; probabilities: 1 (as torch, where sum(y) = 1).
    """
    require(is_number(label_smoothing, at_least=0) and label_smoothing <= 1, "label_smoothing must lie in [0, 1]")
    require(is_number(temperature, above=0), "temperature must be finite and > 0")
    require(logit_softcap is None or is_number(logit_softcap, above=0), "logit_softcap must be finite and > 0")
    require(is_number(z_loss, at_least=0), "z_loss must be finite and >= 0")
    real, n_classes = logits.dtype.type, logits.shape[-1]
    alpha, z, cap = real(label_smoothing), real(z_loss), None if logit_softcap is None else real(logit_softcap)
    weight = np.ones(n_classes, real) if class_weight is None else np.asarray(class_weight, real)
    if is_integer(target):
        label, live, row_weight = class_labels(target, n_classes, class_weight, ignore_index)
        y = (np.arange(n_classes) == label[..., None]).astype(real)
        if alpha == 0:
            live = live & (row_weight > 0)
    else:
        class_labels(np.zeros(0, int), n_classes, class_weight, None)  # the checks of class_weight
        y, live, row_weight = target, np.ones(target.shape[:-1], bool), np.ones(target.shape[:-1])
    if n_classes == 0:
        return Terms(np.zeros(live.shape, real), logits, logits, row_weight=row_weight, live=live)

    u = weight * ((1 - alpha) * y + alpha / n_classes * np.sum(y, axis=-1, keepdims=True))
    scores, distance, slope, curvature = softcapped(logits, cap, real(temperature))
    part = partition(logits, distance)
    p, q = part.exps / (1 + part.rest), sum_of_others(part.exps) / (1 + part.rest)  # q = 1 - p
    losses = product(u, part.distance + part.tail)
    pull, push = sum_of_others(u) * p, u * q  # (sum u) p - u = pull - push
    value, value_scale = losses.sum(-1), np.abs(losses).sum(-1)
    grad, grad_scale = pull - push, np.maximum(np.abs(pull), np.abs(push))
    hess = np.sum(u, axis=-1, keepdims=True) * p * q
    hess_scale = np.abs(hess)
    if z > 0:
        top, amount = np.max(scores, axis=-1, keepdims=True), z * row_weight
        lse, largest = top + part.tail, np.maximum(np.abs(top), part.tail)  # the larger of its two terms
        value = value + weigh(amount, (lse * lse)[..., 0])
        value_scale = np.maximum(value_scale, weigh(amount, (largest * largest)[..., 0]))
        grad = grad + weigh(amount, 2 * product(p, lse))
        grad_scale = np.maximum(grad_scale, weigh(amount, 2 * product(p, largest)))
        hess = hess + weigh(amount, 2 * (p * p + product(p * q, lse)))
        hess_scale = np.maximum(hess_scale, weigh(amount, 2 * np.maximum(p * p, product(p * q, largest))))
    return Terms(
        value=value,
        grad=grad * slope,
        hess=hess * slope**2 + product(curvature, grad),
        value_scale=value_scale,
        grad_scale=grad_scale * np.abs(slope),
        hess_scale=np.maximum(hess_scale * slope**2, product(np.abs(curvature), grad_scale)),
        row_weight=row_weight,
        live=live,
    )


def at_label(array: Array, label: Array) -> Array:
    """The element of every row at its label, keeping the axis."""
    return np.take_along_axis(array, label[..., None], axis=-1)


def own_class_weight(class_weight: ArrayLike | None, n_classes: int, real: type) -> ArrayLike | None:
    """Class weights rounded to the computing type."""
    return None if class_weight is None else np.asarray(class_weight, real)


@dataclass(frozen=True)
class Curve:
    """A loss f(p) of the target's softmax probability p: f, A = -p f', (1 - p) B with B = -p A', and their scales."""

    value: Array
    pull: Array
    bend: Array
    value_scale: Array
    pull_scale: Array
    bend_scale: Array


def of_target_probability(
    logits: Array, label: Array, live: Array, row_weight: Array, factor: Array, curve: Callable[..., Curve]
) -> Terms:
    """The terms of ``factor * f(p)``: gradient A (p_j - y_j), diagonal Hessian A p_j (1 - p_j) + B (p_j - y_j)^2."""
    if logits.shape[-1] == 0:
        return Terms(np.zeros(live.shape, logits.dtype), logits, logits, row_weight=row_weight, live=live)
    part = partition(logits)
    p, q = part.exps / (1 + part.rest), sum_of_others(part.exps) / (1 + part.rest)  # q = 1 - p
    pt, qt, loss = at_label(p, label), at_label(q, label), at_label(part.distance, label) + part.tail
    c = curve(pt, qt, loss)
    is_target = np.arange(logits.shape[-1]) == label[..., None]
    share = np.where(p == 0, 0, p / np.where(qt == 0, 1, qt))  # p_j / (1 - p) <= 1

    def hess(pull: Array, bend: Array) -> tuple[Array, Array]:
        return np.where(is_target, qt * pt * pull, p * q * pull), np.where(is_target, qt * bend, p * share * bend)

    flat, curved = hess(c.pull, c.bend)
    scales = hess(c.pull_scale, c.bend_scale)
    row = factor * row_weight
    return Terms(
        value=weigh(row, c.value[..., 0]),
        grad=weigh(row, c.pull * np.where(is_target, -qt, p)),
        hess=weigh(row, flat + curved),
        value_scale=weigh(row, c.value_scale[..., 0]),
        grad_scale=weigh(row, c.pull_scale * np.where(is_target, qt, p)),
        hess_scale=weigh(row, np.maximum(scales[0], scales[1])),
        row_weight=row_weight,
        live=live,
    )


@rowwise(targets="labels")
def softmax_focal_loss(
    logits: Array,
    target: Array,
    *,
    gamma: float = 2.0,
    alpha: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
) -> Terms:
    """Focal loss alpha_t (1 - p)^gamma (-log p), p the softmax probability of the target.

    A = (1 - p)^gamma (1 + gamma p r) with r = -log p / (1 - p), which is 1 at p = 1, and
    (1 - p) B = gamma (1 - p)^gamma (2 p + p log p + (gamma - 1) p^2 r).
    """
    require(is_number(gamma, at_least=0), "gamma must be finite and >= 0")
    real = logits.dtype.type
    weight = own_class_weight(class_weight, logits.shape[-1], real)
    label, live, row_weight = class_labels(target, logits.shape[-1], weight, ignore_index)
    factor = np.ones(()) if alpha is None else np.asarray(alpha, real)
    require(factor.ndim == 0 or factor.shape == logits.shape[-1:], "alpha must be a number or have shape (C,)")
    require(np.isfinite(factor) & (factor >= 0) & ((factor <= 1) | (factor.ndim > 0)), "alpha must lie in [0, 1]")
    g = real(gamma)

    def focal(p: Array, q: Array, loss: Array) -> Curve:
        power = q**g
        r, pl = np.where(q == 0, 1, loss / q), product(p, loss)
        pr = product(p, r)
        pull, terms = power * (1 + g * pr), (2 * p, -pl, (g - 1) * p * pr)
        bend_scale = g * power * np.maximum.reduce([np.abs(t) for t in terms])
        return Curve(power * loss, pull, g * power * sum(terms), power * loss, pull, bend_scale)

    return of_target_probability(
        logits, label, live, row_weight, factor[label] if factor.ndim else np.broadcast_to(factor, label.shape), focal
    )


@rowwise(targets="labels")
def poly_cross_entropy(
    logits: Array,
    target: Array,
    *,
    epsilon: ArrayLike = (1.0,),
    form: str = "paper",
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
) -> Terms:
    """PolyLoss -log p + sum_j e_j (1 - p)^j, p the softmax probability of the target; "taylor" divides e_j by j."""
    require(form in ("paper", "taylor"), "form must be 'paper' or 'taylor'")
    real = logits.dtype.type
    weight = own_class_weight(class_weight, logits.shape[-1], real)
    label, live, row_weight = class_labels(target, logits.shape[-1], weight, ignore_index)
    e = np.atleast_1d(np.asarray(epsilon, real))
    require(e.ndim == 1 and np.isfinite(e).all(), "epsilon must be finite numbers")
    j = np.arange(1, e.size + 1).astype(real)
    c = e / j if form == "taylor" else e

    def poly(p: Array, q: Array, loss: Array) -> Curve:
        def series(k: Array, first: int) -> Array:
            return np.asarray(np.sum(k * q ** np.arange(first, first + k.size), axis=-1, keepdims=True))

        def sums(c: Array) -> tuple[Array, Array, Array]:
            """The polynomial in q and its first two derivatives."""
            return series(c, 1), series(c * j, 0), series((c * j * (j - 1))[1:], 0)

        value, first, second = sums(c)
        sizes = sums(np.abs(c))
        return Curve(
            loss + value, 1 + p * first, p * q * (p * second - first),
            np.maximum(loss, sizes[0]), 1 + p * sizes[1], p * q * np.maximum(p * sizes[2], sizes[1]),
        )  # fmt: skip

    return of_target_probability(logits, label, live, row_weight, np.ones(label.shape), poly)


@rowwise(targets="labels", hessian=False)
def multiclass_hinge_loss(
    logits: Array,
    target: Array,
    *,
    margin: float = 1.0,
    variant: str = "weston-watkins",
    scale: str = "none",
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
) -> Terms:
    """Hinge loss of the excesses z_j = x_j - (x_t - margin), j != t: the sum of max(0, z_j), or the largest.

    A class at -inf does not exist; of equally large excesses the one of lowest index counts.
    """
    require(is_number(margin, at_least=0), "margin must be finite and >= 0")
    require(variant in ("weston-watkins", "crammer-singer"), "variant is unknown")
    require(scale in ("none", "classes"), "scale is unknown")
    n_classes, real = logits.shape[-1], logits.dtype.type
    weight = own_class_weight(class_weight, n_classes, real)
    label, live, row_weight = class_labels(target, n_classes, weight, ignore_index)
    if n_classes == 0:
        return Terms(np.zeros(live.shape, real), logits, row_weight=row_weight, live=live)
    own = at_label(logits, label)
    is_target = np.arange(n_classes) == label[..., None]
    base, back = own - real(margin), (own - real(margin)) - own
    low = (own - (base - back)) - (real(margin) + back)  # own - margin = base + low, exactly
    z = np.where(is_target | (logits == -np.inf), 0, (logits - base) - np.where(np.isfinite(low), low, 0))
    size = np.maximum(np.maximum(np.abs(logits), np.abs(own)), real(margin))
    hit = z > 0
    if variant == "crammer-singer":
        hit &= np.arange(n_classes) == np.argmax(np.where(is_target, -np.inf, logits), axis=-1)[..., None]
    undefined = np.isnan(logits).any(-1) | np.isnan(z).any(-1) | ((n_classes > 1) & (logits == -np.inf).all(-1))
    grad = np.where(is_target, -np.sum(hit, axis=-1, keepdims=True), hit).astype(real)
    value, value_scale = np.sum(np.where(hit, z, 0), axis=-1), np.sum(np.where(hit, size, 0), axis=-1)
    row = row_weight / (n_classes if scale == "classes" else 1)
    return Terms(
        value=weigh(row, np.where(undefined, np.nan, value)),
        grad=weigh(row, np.where(undefined[..., None], np.nan, grad)),
        value_scale=weigh(row, value_scale),
        row_weight=row_weight,
        live=live,
    )


@rowwise(targets="probabilities")
def categorical_cross_entropy(probabilities: Array, target: Array) -> Terms:
    """Cross-entropy -sum_c y_c log q_c of probabilities q and labels y, nothing clipped."""
    require(~((probabilities < 0) | (probabilities > 1)), "probabilities must lie in [0, 1]")
    terms = product(target, -np.log(probabilities))
    ratio = np.where(target == 0, 0 * probabilities, target / probabilities)
    return Terms(
        value=terms.sum(-1),
        grad=0 - ratio,
        hess=np.where(target == 0, ratio, ratio / probabilities),
        value_scale=np.abs(terms).sum(-1),
    )


@rowwise(targets="labels")
def sparse_categorical_cross_entropy(
    probabilities: Array,
    target: Array,
    *,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
) -> Terms:
    """Cross-entropy -log q_t of probabilities q and an integer label t."""
    n_classes, real = probabilities.shape[-1], probabilities.dtype.type
    weight = own_class_weight(class_weight, n_classes, real)
    label, live, row_weight = class_labels(target, n_classes, weight, ignore_index)
    require(~((probabilities < 0) | (probabilities > 1)) | ~live[..., None], "probabilities must lie in [0, 1]")
    if n_classes == 0:
        return Terms(np.zeros(live.shape, real), probabilities, probabilities, row_weight=row_weight, live=live)
    own = at_label(probabilities, label)
    is_target = np.arange(n_classes) == label[..., None]
    return Terms(
        value=weigh(row_weight, 0 - np.log(own)[..., 0]),
        grad=weigh(row_weight, np.where(is_target, -1 / own, 0)),
        hess=weigh(row_weight, np.where(is_target, 1 / own / own, 0)),
        row_weight=row_weight,
        live=live,
    )


@rowwise(targets="probabilities")
def kl_divergence(prediction: Array, target: Array, *, from_logits: bool = False) -> Terms:
    """Kullback-Leibler divergence sum_c p_c (log p_c - log q_c), p the target, q the prediction or its softmax.

    The difference of the logarithms is log1p((p - q) / q) where p and q are close. From logits the gradient
    is (sum p) q - p, the diagonal Hessian (sum p) q (1 - q).
    """
    require(~(target < 0), "target must not be negative")
    if not from_logits:
        require(~(prediction < 0), "prediction must not be negative")
        difference = target - prediction
        near = np.abs(difference) < prediction / 2
        ratio = np.where(target == 0, 0 * prediction, target / prediction)
        logs = np.where(near, np.log1p(difference / prediction), np.log(target) - np.log(prediction))
        terms = np.where(target == 0, ratio, target * logs)
        hess = np.where(target == 0, ratio, ratio / prediction)
        return Terms(value=terms.sum(-1), grad=0 - ratio, hess=hess, value_scale=np.abs(terms).sum(-1))
    if prediction.shape[-1] == 0:
        return Terms(np.zeros(prediction.shape[:-1], prediction.dtype), prediction, prediction)
    part = partition(prediction)
    q, not_q = part.exps / (1 + part.rest), sum_of_others(part.exps) / (1 + part.rest)
    cross, entropy = product(target, part.distance + part.tail), product(target, np.log(target))
    pull, push = sum_of_others(target) * q, target * not_q
    return Terms(
        value=(cross + entropy).sum(-1),
        grad=pull - push,
        hess=np.sum(target, axis=-1, keepdims=True) * q * not_q,
        value_scale=np.maximum(np.abs(cross).sum(-1), np.abs(entropy).sum(-1)),
        grad_scale=np.maximum(np.abs(pull), np.abs(push)),
    )
