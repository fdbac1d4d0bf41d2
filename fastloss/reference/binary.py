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
    slope = (x - t) / (x * (1 - x))
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
