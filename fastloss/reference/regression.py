"""Regression losses in plain NumPy: r = prediction - target. A NaN in either makes all results NaN."""

import numpy as np

from ._reduce import Array, Terms, is_number, pointwise, require


def constant(value: float, residual: Array) -> Array:
    """A derivative that depends on the residual only by its being a number."""
    return np.where(np.isnan(residual), residual, value)


@pointwise
def mse_loss(prediction: Array, target: Array) -> Terms:
    """Squared error, r^2 (torch, Keras)."""
    r = prediction - target
    return Terms(r * r, 2 * r, constant(2, r))


@pointwise
def half_mse_loss(prediction: Array, target: Array) -> Terms:
    """Half the squared error, r^2 / 2 (scikit-learn, optax l2_loss)."""
    r = prediction - target
    return Terms(r / 2 * r, r, constant(1, r))


@pointwise
def l1_loss(prediction: Array, target: Array) -> Terms:
    """Absolute error, |r|; the gradient at r = 0 is 0 (torch; scikit-learn has -1)."""
    r = prediction - target
    return Terms(np.abs(r), np.sign(r), constant(0, r))


mae_loss = l1_loss


@pointwise
def huber_loss(prediction: Array, target: Array, *, delta: float = 1.0) -> Terms:
    """Huber loss: r^2 / 2 where |r| <= delta, else delta (|r| - delta / 2)."""
    require(is_number(delta, above=0), "delta must be finite and > 0")
    r = prediction - target
    inside = np.abs(r) <= delta
    return Terms(
        value=np.where(inside, r / 2 * r, delta * (np.abs(r) - delta / 2)),
        grad=np.where(inside, r, delta * np.sign(r)),
        hess=np.where(inside, 1, constant(0, r)),
    )


@pointwise
def smooth_l1_loss(prediction: Array, target: Array, *, beta: float = 1.0) -> Terms:
    """Smooth L1: r^2 / (2 beta) where |r| < beta, else |r| - beta / 2; beta = 0 is the L1 loss (torch)."""
    require(is_number(beta, at_least=0), "beta must be finite and >= 0")
    r = prediction - target
    beta = r.dtype.type(beta)
    inside = np.abs(r) < beta
    return Terms(
        value=np.where(inside, r / 2 * (r / beta), np.abs(r) - beta / 2),
        grad=np.where(inside, r / beta, np.sign(r)),
        hess=np.where(inside, 1 / beta, constant(0, r)),
    )


@pointwise
def log_cosh_loss(prediction: Array, target: Array) -> Terms:
    """Log-cosh: log(1 + 2 sinh^2(r / 2)) for small r, |r| - log 2 + log(1 + e^(-2|r|)) for large."""
    r = prediction - target
    size = np.abs(r)
    near = np.log1p(2 * np.sinh(np.minimum(size, 1) / 2) ** 2)
    far = size + np.log1p(np.exp(-2 * size)) - np.log(r.dtype.type(2))
    return Terms(np.where(size < 1, near, far), np.tanh(r), 1 / np.cosh(r) ** 2)


@pointwise
def pseudo_huber_loss(prediction: Array, target: Array, *, delta: float = 1.0) -> Terms:
    """Pseudo-Huber loss, delta^2 (sqrt(1 + (r / delta)^2) - 1) = delta r^2 / (delta + sqrt(delta^2 + r^2))."""
    require(is_number(delta, above=0), "delta must be finite and > 0")
    r = prediction - target
    q = np.abs(r) / delta
    root = np.hypot(1, q)
    far = np.isinf(r)
    return Terms(
        value=np.where(far, np.inf, np.abs(r) * delta * (q / (1 + root))),
        grad=np.where(far, delta * np.sign(r), r / root),
        hess=1 / root**3,
    )


@pointwise
def quantile_loss(prediction: Array, target: Array, *, quantile: float = 0.5) -> Terms:
    """Quantile (pinball) loss, max(q (t - x), (q - 1) (t - x)) (scikit-learn); the gradient at x = t is 0."""
    require(is_number(quantile, above=0) and quantile < 1, "quantile must lie in (0, 1)")
    r = prediction - target
    q = r.dtype.type(quantile)
    return Terms(
        value=np.maximum(-q * r, (1 - q) * r),
        grad=np.where(r == 0, 0, np.where(r > 0, 1 - q, constant(-q, r))),
        hess=constant(0, r),
    )


def require_count(x: Array, name: str) -> None:
    """Refuse anything below 0; NaN goes through to its own element."""
    require((x >= 0) | np.isnan(x), f"{name} must be >= 0")


def largest(*terms: Array) -> Array:
    """The magnitude of the largest of the finite terms."""
    return np.asarray(np.max(np.where(np.isfinite(terms), np.abs(terms), 0), axis=0))


@pointwise
def poisson_nll_loss(prediction: Array, target: Array, *, log_input: bool = True, full: bool = False) -> Terms:
    """Poisson negative log-likelihood of t: e^x - t x, or x - t log x with log_input=False; 0 log 0 = 0 (torch).

    full adds Stirling's approximation of log t! where t > 1: t log t - t + log(2 pi t) / 2.
    """
    x, t = prediction, target
    require_count(t, "target")
    if not log_input:
        require_count(x, "prediction")
    mean, log_mean = (np.exp(x), x) if log_input else (np.abs(x), np.log(np.abs(x)))
    fit = np.where(t == 0, np.where(np.isnan(x), x, 0), t * log_mean)
    value = np.where(np.isinf(mean) & ~np.isnan(t), mean, mean - fit)
    scale = largest(mean, fit)
    if full:
        many = np.maximum(t, 1)
        entropy = many * np.log(many)
        stirling = entropy - many + np.log(2 * t.dtype.type(np.pi) * many) / 2
        value = value + np.where(t > 1, stirling, 0)
        scale = largest(scale, np.where(t > 1, entropy, 0), np.where(t > 1, t, 0))
    if log_input:
        return Terms(value, mean - t, np.where(np.isnan(t), t, mean), scale, largest(mean, t))
    ratio = np.where(t == 0, fit, t / mean)
    return Terms(value, 1 - ratio, np.where(t == 0, fit, ratio / mean), scale, largest(1 + 0 * t, ratio))


@pointwise
def gamma_nll_loss(prediction: Array, target: Array) -> Terms:
    """Gamma negative log-likelihood of t > 0 with mean e^x, constants dropped: x + t e^-x (scikit-learn, log link)."""
    x, t = prediction, target
    require((t > 0) | np.isnan(t), "target must be > 0")
    ratio = t * np.exp(-x)
    return Terms(
        value=np.where(np.isinf(ratio), ratio, x + ratio),
        grad=1 - ratio,
        hess=ratio,
        value_scale=largest(x, ratio),
        grad_scale=largest(np.ones_like(x), ratio),
    )


@pointwise
def tweedie_loss(prediction: Array, target: Array, *, power: float = 1.5) -> Terms:
    """Tweedie loss of t with mean e^x: e^((2-p)x) / (2-p) - t e^((1-p)x) / (1-p) (scikit-learn, log link).

    The limits at p = 1 and 2, without the constants that become infinite, are the Poisson and the gamma loss.
    """
    x, t = prediction, target
    require(is_number(power), "power must be finite")
    if power == 1:
        return poisson_nll_loss.formula(x, t)
    if power == 2:
        return gamma_nll_loss.formula(x, t)
    require_count(t, "target")
    require((power < 2) | (t != 0), "target must be > 0 for power >= 2")
    p = x.dtype.type(power)
    a, b = 2 - p, 1 - p
    u = np.exp(a * x)
    v = np.where(t == 0, np.where(np.isnan(x), x, 0), t * np.exp(b * x))

    def difference(first: Array, second: Array) -> Array:
        """At an infinite x the power that grows faster wins: u / v = e^x / t."""
        both = np.isinf(first) & np.isinf(second)
        return np.where(both, np.where(x > 0, first, -second), first - second)

    return Terms(
        value=difference(u / a, v / b),
        grad=difference(u, v),
        hess=difference(a * u, b * v),
        value_scale=largest(u / a, v / b),
        grad_scale=largest(u, v),
        hess_scale=largest(a * u, b * v),
    )
