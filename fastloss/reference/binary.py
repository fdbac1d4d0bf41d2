"""Binary and multi-label losses in plain NumPy: labels in [0, 1], or -1 and +1 for the hinges."""

import numpy as np
from numpy.typing import ArrayLike

from ._reduce import Array, Terms, is_number, pointwise, product, require
from .activations import sigmoid, softplus


def require_probability(x: Array, name: str) -> None:
    """Refuse anything outside [0, 1] except NaN, which goes through to its own element."""
    require(((x >= 0) & (x <= 1)) | np.isnan(x), f"{name} must lie in [0, 1]")


def require_sign(target: Array) -> None:
    """Refuse every label but -1 and +1, NaN included."""
    require(np.abs(target) == 1, "target must be -1 or +1")


@pointwise
def binary_cross_entropy(prediction: Array, target: Array) -> Terms:
    """Cross-entropy of a probability x, -[t log x + (1 - t) log(1 - x)], with 0 log 0 = 0 and no clipping.

    The gradient (x - t) / (x (1 - x)) is -1 at x = t = 1 and 1 at x = t = 0: the limits for a fixed label.
    """
    x, t = prediction, target
    require_probability(x, "prediction")
    require_probability(t, "target")
    slope = (x - t) / np.abs(x * (1 - x))  # x may be -0
    return Terms(
        value=product(t, -np.log(x)) + product(1 - t, -np.log1p(-x)),
        grad=np.where((x == t) & (x * (1 - x) == 0), 1 - 2 * x, slope),
        hess=np.where(t == 0, 0, t / x / x) + np.where(t == 1, 0, (1 - t) / (1 - x) / (1 - x)),
    )


log_loss = binary_cross_entropy


@pointwise
def binary_cross_entropy_with_logits(prediction: Array, target: Array, *, pos_weight: ArrayLike | None = None) -> Terms:
    """Cross-entropy of a logit x, w t softplus(-x) + (1 - t) softplus(x); w = pos_weight, 1 or per column (torch)."""
    x, t = prediction, target
    require_probability(t, "target")
    w = np.asarray(1 if pos_weight is None else pos_weight, x.dtype)
    require(np.isfinite(w) & (w >= 0), "pos_weight must be finite and >= 0")
    positive, negative = np.broadcast_to(w, x.shape) * t, 1 - t
    down, up = positive * sigmoid(-x), negative * sigmoid(x)
    return Terms(
        value=product(positive, softplus(-x)) + product(negative, softplus(x)),
        grad=up - down,
        hess=(positive + negative) * sigmoid(x) * sigmoid(-x),
        grad_scale=np.maximum(up, down),
    )


@pointwise
def balanced_cross_entropy(
    prediction: Array, target: Array, *, pos_weight: float = 1.0, neg_weight: float = 1.0
) -> Terms:
    """Cross-entropy of a probability x with a weight per class, -[w1 t log x + w2 (1 - t) log(1 - x)].

    The mean divides by the number of elements, not by the weights.
    """
    x, t = prediction, target
    require_probability(x, "prediction")
    require_probability(t, "target")
    for weight in (pos_weight, neg_weight):
        require(is_number(weight, at_least=0), "pos_weight and neg_weight must be finite and >= 0")
    positive, negative = pos_weight * t, neg_weight * (1 - t)
    down, up = product(positive, 1 / x), product(negative, 1 / (1 - x))
    return Terms(
        value=product(positive, -np.log(x)) + product(negative, -np.log1p(-x)),
        grad=up - down,
        hess=product(down, 1 / x) + product(up, 1 / (1 - x)),
        grad_scale=np.maximum(up, down),
    )


def focal_terms(x: Array, t: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Of a logit and a label: cross-entropy, the two parts of its slope (up - down), q = 1 - p_t and q'.

    p_t = p t + (1 - p) (1 - t) for soft labels too.
    """
    require_probability(t, "target")
    p, not_p = sigmoid(x), sigmoid(-x)
    loss = product(t, softplus(-x)) + product(1 - t, softplus(x))
    return loss, (1 - t) * p, t * not_p, t * not_p + (1 - t) * p, (1 - 2 * t) * p * not_p


@pointwise
def focal_loss(prediction: Array, target: Array, *, gamma: float = 2.0, alpha: float | None = None) -> Terms:
    """Focal loss alpha_t q^gamma CE of a logit, q = 1 - p_t (RetinaNet; soft labels as in torchvision).

    q' / q, the slope of log q, is 1 - p or -p for a hard label even where q itself underflows.
    """
    x, t = prediction, target
    require(is_number(gamma, at_least=0), "gamma must be finite and >= 0")
    require(alpha is None or 0 <= alpha <= 1, "alpha must lie in [0, 1]")
    loss, up, down, q, slope = focal_terms(x, t)
    a = np.asarray(1 if alpha is None else alpha, x.dtype)
    alpha_t = np.ones_like(x) if alpha is None else a * t + (1 - a) * (1 - t)
    factor = alpha_t * q ** np.asarray(gamma, x.dtype)
    r = np.where(t == 0, sigmoid(-x), np.where(t == 1, -sigmoid(x), slope / q))
    variance, spread = sigmoid(x) * sigmoid(-x), sigmoid(-x) - sigmoid(x)
    bends = gamma * (gamma - 1) * r * r, gamma * r * spread
    return Terms(
        value=product(factor, loss),
        grad=factor * (up - down + product(gamma * r, loss)),
        hess=factor * (variance + 2 * gamma * r * (up - down) + product(bends[0] + bends[1], loss)),
        grad_scale=factor * largest(up, down, product(gamma * r, loss)),
        hess_scale=factor
        * largest(variance, 2 * gamma * r * up, 2 * gamma * r * down, *(product(b, loss) for b in bends)),
    )


def largest(*terms: Array) -> Array:
    """The magnitude of the largest term, element by element."""
    return np.asarray(np.max([np.broadcast_to(np.abs(term), terms[0].shape) for term in terms], axis=0))


@pointwise
def poly_loss(prediction: Array, target: Array, *, epsilon: ArrayLike = (1.0,), form: str = "paper") -> Terms:
    """Cross-entropy of a logit plus the sum of epsilon_j q^j, q = 1 - p_t; with form="taylor" of epsilon_j q^j / j."""
    x, t = prediction, target
    coefficients = np.atleast_1d(np.asarray(epsilon, x.dtype))
    require(coefficients.ndim == 1 and np.isfinite(coefficients).all(), "epsilon must be finite numbers")
    require(form in ("paper", "taylor"), "form must be 'paper' or 'taylor'")
    loss, up, down, q, slope = focal_terms(x, t)
    variance = sigmoid(x) * sigmoid(-x)
    bend = slope * (sigmoid(-x) - sigmoid(x))  # q''
    p0, p1, p2 = np.zeros((3, 2, *x.shape), x.dtype)  # P(q), P'(q) and P''(q), and the same of absolute terms
    for j, coefficient in enumerate(coefficients, 1):
        e = coefficient / j if form == "taylor" else coefficient
        for k, factor in enumerate((e, abs(e))):
            p0[k] += factor * q**j
            p1[k] += j * factor * q ** (j - 1)
            p2[k] += j * (j - 1) * factor * q ** max(j - 2, 0)
    return Terms(
        value=loss + p0[0],
        grad=up - down + p1[0] * slope,
        hess=variance + p2[0] * slope**2 + p1[0] * bend,
        value_scale=largest(loss, p0[1]),
        grad_scale=largest(up, down, p1[1] * slope),
        hess_scale=largest(variance, p2[1] * slope**2, p1[1] * bend),
    )


@pointwise
def hinge_loss(prediction: Array, target: Array, *, margin: float = 1.0) -> Terms:
    """Hinge loss max(0, m - t x); its gradient is -t where t x < m, else 0."""
    require_sign(target)
    require(is_number(margin, at_least=0), "margin must be finite and >= 0")
    gap = np.maximum(margin - target * prediction, 0)
    return Terms(gap, 0 - target * np.sign(gap), 0 * np.sign(gap))


@pointwise
def squared_hinge_loss(prediction: Array, target: Array, *, margin: float = 1.0) -> Terms:
    """Squared hinge loss max(0, m - t x)^2 (scikit-learn LinearSVC)."""
    require_sign(target)
    require(is_number(margin, at_least=0), "margin must be finite and >= 0")
    gap = np.maximum(margin - target * prediction, 0)
    return Terms(gap * gap, 0 - 2 * target * gap, 2 * np.sign(gap))


@pointwise
def soft_margin_loss(prediction: Array, target: Array) -> Terms:
    """Logistic loss of a sign, log(1 + e^(-t x)) (torch)."""
    require_sign(target)
    x, t = prediction, target
    return Terms(softplus(-t * x), -t * sigmoid(-t * x), sigmoid(x) * sigmoid(-x))


@pointwise
def exponential_loss(prediction: Array, target: Array) -> Terms:
    """Exponential loss t e^-x + (1 - t) e^x of a score (AdaBoost, scikit-learn)."""
    x, t = prediction, target
    require_probability(t, "target")
    down, up = product(t, np.exp(-x)), product(1 - t, np.exp(x))
    return Terms(value=up + down, grad=up - down, hess=up + down, grad_scale=np.maximum(up, down))
