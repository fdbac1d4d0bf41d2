"""Regression losses: a prediction and a target of one shape, one loss per element."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastloss._arguments import non_negative, positive
from fastloss._pointwise import pointwise_loss


@pointwise_loss()
def mse_loss(prediction: ArrayLike, target: ArrayLike, /) -> None:
    r"""Squared error.

    .. math:: \ell = r^2, \quad \ell' = 2r, \quad \ell'' = 2, \qquad r = \text{prediction} - \text{target}

    Parameters
    ----------
    prediction : array_like
        Any shape. float32 and float64 are computed as they are, float16 and bfloat16 in float32,
        integers and bool in float64.
    target : array_like
        The same shape, any real type.

    Notes
    -----
    torch, Keras and most textbooks mean this when they say squared error; scikit-learn and optax
    mean :data:`half_mse_loss`.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.mse_loss([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])
    0.375
    """


@pointwise_loss()
def half_mse_loss(prediction: ArrayLike, target: ArrayLike, /) -> None:
    r"""Half the squared error, whose gradient is the residual itself.

    .. math:: \ell = \tfrac{1}{2} r^2, \quad \ell' = r, \quad \ell'' = 1, \qquad r = \text{prediction} - \text{target}

    Parameters
    ----------
    prediction : array_like
        Any shape. float32 and float64 are computed as they are, float16 and bfloat16 in float32,
        integers and bool in float64.
    target : array_like
        The same shape, any real type.

    Notes
    -----
    scikit-learn's ``HalfSquaredError`` and optax's ``l2_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.half_mse_loss([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])
    0.1875
    """


@pointwise_loss()
def l1_loss(prediction: ArrayLike, target: ArrayLike, /) -> None:
    r"""Absolute error; its minimum is the median, which outliers do not move.

    .. math:: \ell = |r|, \quad \ell' = \operatorname{sign} r, \quad \ell'' = 0,
              \qquad r = \text{prediction} - \text{target}

    Parameters
    ----------
    prediction : array_like
        Any shape. float32 and float64 are computed as they are, float16 and bfloat16 in float32,
        integers and bool in float64.
    target : array_like
        The same shape, any real type.

    Notes
    -----
    The gradient at r = 0 is 0, as in torch; scikit-learn takes -1 there. Also named ``mae_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.l1_loss([30.0] * 5, [10.0, 20.0, 30.0, 40.0, 100.0])
    22.0
    """


mae_loss = l1_loss


@pointwise_loss(delta=positive)
def huber_loss(prediction: ArrayLike, target: ArrayLike, /, *, delta: float = 1.0) -> None:
    r"""Huber loss: squared error for small residuals, absolute error for outliers.

    .. math:: \ell = \begin{cases} \tfrac{1}{2} r^2 & |r| \le \delta \\
              \delta (|r| - \tfrac{1}{2}\delta) & |r| > \delta \end{cases}
              \qquad r = \text{prediction} - \text{target}

    The gradient is r clipped to [-delta, delta]; the Hessian is 1 inside, ends included, and 0
    outside.

    Parameters
    ----------
    prediction : array_like
        Any shape. float32 and float64 are computed as they are, float16 and bfloat16 in float32,
        integers and bool in float64.
    target : array_like
        The same shape, any real type.
    delta : float
        Where the two parts meet, > 0, in the units of the residual.

    Notes
    -----
    ``huber_loss(delta=d)`` is d times ``smooth_l1_loss(beta=d)``. A residual of any size costs its
    linear part; the square is never formed.

    References
    ----------
    P. J. Huber, "Robust Estimation of a Location Parameter", Annals of Mathematical Statistics 35
    (1964).

    Examples
    --------
    >>> import fastloss as fl
    >>> value, grad = fl.huber_loss.value_and_grad([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0])
    >>> value, grad.tolist()
    (0.1875, [-0.125, 0.125, 0.0, 0.25])
    """


@pointwise_loss(beta=non_negative)
def smooth_l1_loss(prediction: ArrayLike, target: ArrayLike, /, *, beta: float = 1.0) -> None:
    r"""Smooth L1 loss: absolute error with its kink rounded off.

    .. math:: \ell = \begin{cases} r^2 / (2\beta) & |r| < \beta \\
              |r| - \tfrac{1}{2}\beta & |r| \ge \beta \end{cases}
              \qquad r = \text{prediction} - \text{target}

    The gradient is r/beta inside and sign(r) outside; the Hessian is 1/beta inside, else 0.

    Parameters
    ----------
    prediction : array_like
        Any shape. float32 and float64 are computed as they are, float16 and bfloat16 in float32,
        integers and bool in float64.
    target : array_like
        The same shape, any real type.
    beta : float
        Width of the quadratic part, >= 0, in the units of the residual; 0 gives ``l1_loss``.

    References
    ----------
    R. Girshick, "Fast R-CNN", ICCV 2015.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.smooth_l1_loss([2.5, 0.0, 2.0, 8.0], [3.0, -0.5, 2.0, 7.0], beta=2.0)
    0.09375
    """
