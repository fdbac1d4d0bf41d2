"""Multi-class losses in plain NumPy: rows of logits, class axis last (the ``axis`` keyword is dealt with before)."""

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


@rowwise
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
