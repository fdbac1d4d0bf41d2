"""Regression losses in plain NumPy: r = prediction - target. A NaN residual makes all results NaN."""

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
