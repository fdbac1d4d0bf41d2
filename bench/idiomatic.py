"""What people write in NumPy today: (mean loss, its gradient), or an activation, in a few lines each.

All in the inputs' own type. Plain and quick to read rather than careful: where it is stable, it is so by the
usual one-line trick.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Result = tuple[Any, Array]


def mse_loss(x: Array, t: Array) -> Result:
    r = x - t
    return np.mean(r * r), 2 / r.size * r


def half_mse_loss(x: Array, t: Array) -> Result:
    r = x - t
    return np.mean(r * r) / 2, r / r.size


def l1_loss(x: Array, t: Array) -> Result:
    r = x - t
    return np.mean(np.abs(r)), np.sign(r) / r.size


def huber_loss(x: Array, t: Array) -> Result:
    r = x - t
    g = np.clip(r, -1, 1)
    return np.mean(g * (r - g / 2)), g / r.size


smooth_l1_loss = huber_loss  # the same function at beta = delta = 1


def log_cosh_loss(x: Array, t: Array) -> Result:
    r = x - t
    return np.mean(np.logaddexp(r, -r) - np.log(2)), np.tanh(r) / r.size


def pseudo_huber_loss(x: Array, t: Array) -> Result:
    r = x - t
    root = np.sqrt(1 + r * r)
    return np.mean(root - 1), r / root / r.size


def quantile_loss(x: Array, t: Array) -> Result:
    r = t - x
    return np.mean(np.maximum(r / 2, -r / 2)), -np.sign(r) / 2 / r.size


def poisson_nll_loss(x: Array, t: Array) -> Result:
    e = np.exp(x)
    return np.mean(e - t * x), (e - t) / x.size


def gamma_nll_loss(x: Array, t: Array) -> Result:
    e = t * np.exp(-x)
    return np.mean(x + e), (1 - e) / x.size


def tweedie_loss(x: Array, t: Array) -> Result:
    root = np.exp(x / 2)
    return np.mean(2 * root + 2 * t / root), (root - t / root) / x.size


def binary_cross_entropy(p: Array, t: Array) -> Result:
    value = -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))
    return value, (p - t) / (p * (1 - p)) / p.size


def binary_cross_entropy_with_logits(x: Array, t: Array) -> Result:
    value = np.mean(np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x))))
    return value, (1 / (1 + np.exp(-x)) - t) / x.size


balanced_cross_entropy = binary_cross_entropy  # both weights are 1


def focal_loss(x: Array, t: Array) -> Result:
    """Hard labels, gamma = 2."""
    s = 2 * t - 1
    q = 1 / (1 + np.exp(s * x))
    log_p = -(np.maximum(-s * x, 0) + np.log1p(np.exp(-np.abs(x))))
    return -np.mean(q * q * log_p), s * q * q * (2 * (1 - q) * log_p - q) / x.size


def poly_loss(x: Array, t: Array) -> Result:
    """Hard labels, one coefficient, 1."""
    s = 2 * t - 1
    q = 1 / (1 + np.exp(s * x))
    value = np.maximum(-s * x, 0) + np.log1p(np.exp(-np.abs(x))) + q
    return np.mean(value), -s * q * (2 - q) / x.size


def soft_margin_loss(x: Array, t: Array) -> Result:
    m = t * x
    value = np.mean(np.maximum(-m, 0) + np.log1p(np.exp(-np.abs(m))))
    return value, -t / (1 + np.exp(m)) / x.size


def exponential_loss(x: Array, t: Array) -> Result:
    e = np.exp(x)
    return np.mean(t / e + (1 - t) * e), ((1 - t) * e - t / e) / x.size


def hinge_loss(x: Array, t: Array) -> Result:
    m = 1 - t * x
    return np.mean(np.maximum(m, 0)), np.where(m > 0, -t, 0) / x.size


def squared_hinge_loss(x: Array, t: Array) -> Result:
    m = np.maximum(1 - t * x, 0)
    return np.mean(m * m), -2 / x.size * m * t


def cross_entropy(x: Array, t: Array) -> Result:
    e = x - x.max(axis=1, keepdims=True)
    rows = np.arange(len(x))
    picked = e[rows, t]
    np.exp(e, out=e)
    total = e.sum(axis=1, keepdims=True)
    value = np.mean(np.log(total[:, 0]) - picked)
    e /= total
    e[rows, t] -= 1
    e /= len(x)
    return value, e


def clip_and_noise(grads: Array, bound: float, multiplier: float, rng: np.random.Generator) -> Array:
    factors = np.minimum(1, bound / np.linalg.norm(grads, axis=1))
    total = factors @ grads
    if multiplier:
        total += multiplier * bound * rng.standard_normal(total.shape, total.dtype)
    return total / len(grads)


def _probabilities_of(x: Array, t: Array) -> tuple[Array, Array, Array]:
    """The softmax, that of the target with a second axis, and its logarithm."""
    e = x - x.max(axis=1, keepdims=True)
    picked = e[np.arange(len(x)), t][:, None]
    np.exp(e, out=e)
    total = e.sum(axis=1, keepdims=True)
    e /= total
    return e, np.take_along_axis(e, t[:, None], 1), picked - np.log(total)


def _along_softmax(p: Array, t: Array, slope: Array) -> Array:
    """The gradient of a function of p_t, from its slope in p_t times p_t."""
    p *= -slope / len(p)
    p[np.arange(len(p)), t] += slope[:, 0] / len(p)
    return p


def softmax_focal_loss(x: Array, t: Array) -> Result:
    p, p_t, log_p = _probabilities_of(x, t)
    slope = 2 * (1 - p_t) * p_t * log_p - (1 - p_t) ** 2
    return -np.mean((1 - p_t) ** 2 * log_p), _along_softmax(p, t, slope)


def poly_cross_entropy(x: Array, t: Array) -> Result:
    p, p_t, log_p = _probabilities_of(x, t)
    return np.mean(1 - p_t - log_p), _along_softmax(p, t, -1 - p_t)


def multiclass_hinge_loss(x: Array, t: Array) -> Result:
    rows = np.arange(len(x))
    m = np.maximum(1 + x - x[rows, t][:, None], 0)
    m[rows, t] = 0
    value, grad = m.sum() / len(x), (m > 0).astype(x.dtype)
    grad[rows, t] = -grad.sum(axis=1)
    grad /= len(x)
    return value, grad


def categorical_cross_entropy(q: Array, t: Array) -> Result:
    return -np.vdot(t, np.log(q)) / len(q), -t / q / len(q)


def sparse_categorical_cross_entropy(q: Array, t: Array) -> Result:
    rows, grad = np.arange(len(q)), np.zeros_like(q)
    grad[rows, t] = -1 / q[rows, t] / len(q)
    return -np.mean(np.log(q[rows, t])), grad


def kl_divergence(q: Array, t: Array) -> Result:
    return np.vdot(t, np.log(t) - np.log(q)) / len(q), -t / q / len(q)


def cross_entropy_along(x: Array, t: Array, axis: int) -> Result:
    """Labels, with the classes along any axis."""
    e = x - x.max(axis=axis, keepdims=True)
    labels = np.expand_dims(t, axis)
    picked = np.take_along_axis(e, labels, axis)
    np.exp(e, out=e)
    total = e.sum(axis=axis, keepdims=True)
    value = np.mean(np.log(total) - picked)
    e /= total
    np.put_along_axis(e, labels, np.take_along_axis(e, labels, axis) - 1, axis)
    e /= t.size
    return value, e


def cross_entropy_soft(x: Array, t: Array) -> Result:
    """Probabilities as targets."""
    log_p = x - x.max(axis=1, keepdims=True)
    e = np.exp(log_p)
    total = e.sum(axis=1, keepdims=True)
    log_p -= np.log(total)
    value = -np.vdot(t, log_p) / len(x)
    e *= t.sum(axis=1, keepdims=True) / total
    e -= t
    e /= len(x)
    return value, e


def cross_entropy_value(x: Array, t: Array) -> Any:
    e = x - x.max(axis=1, keepdims=True)
    picked = e[np.arange(len(x)), t]
    np.exp(e, out=e)
    return np.mean(np.log(e.sum(axis=1)) - picked)


def value_and_grad(name: str, axis: int = -1) -> Callable[[Array, Array], Result]:
    """The formula of a loss, by its name, the axis of its classes and the type of its targets."""
    if name != "cross_entropy":
        function: Callable[[Array, Array], Result] = globals()[name]
        return function

    def by_target(x: Array, t: Array) -> Result:
        if t.dtype.kind == "f":
            return cross_entropy_soft(x, t)
        return cross_entropy(x, t) if axis == -1 else cross_entropy_along(x, t, axis)

    return by_target


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    return e


def log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted


def logsumexp(x: Array) -> Array:
    largest = x.max(axis=1)
    return largest + np.log(np.exp(x - largest[:, None]).sum(axis=1))
