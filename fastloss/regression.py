"""Regression losses: a prediction and a target of one shape, one loss per element."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastloss._arguments import finite, flag, inner_fraction, non_negative, positive
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


@pointwise_loss(work=2.0)
def log_cosh_loss(prediction: ArrayLike, target: ArrayLike, /) -> None:
    r"""Log-cosh loss: half the squared error for small residuals, absolute error minus log 2 for large ones, smooth.

    .. math:: \ell = \log\cosh r, \quad \ell' = \tanh r, \quad \ell'' = 1 - \tanh^2 r,
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
    The usual r + softplus(-2r) - log 2 (Keras, optax) cancels near 0, where it has no right digit;
    here relative accuracy is kept down to r = 0, and the Hessian's in its far tail.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, grad = fl.log_cosh_loss.value_and_grad([1e-9, -1000.0], [0.0, 0.0], reduction="none")
    >>> [f"{v:.12g}" for v in value], grad.tolist()
    (['5e-19', '999.306852819'], [1e-09, -1.0])
    """


@pointwise_loss(delta=positive, work=1.3)
def pseudo_huber_loss(prediction: ArrayLike, target: ArrayLike, /, *, delta: float = 1.0) -> None:
    r"""Pseudo-Huber (Charbonnier) loss: a Huber loss with all derivatives.

    .. math:: \ell = \delta^2 \Bigl(\sqrt{1 + (r/\delta)^2} - 1\Bigr), \quad
              \ell' = \frac{r}{\sqrt{1 + (r/\delta)^2}}, \quad
              \ell'' = \bigl(1 + (r/\delta)^2\bigr)^{-3/2}, \qquad r = \text{prediction} - \text{target}

    Parameters
    ----------
    prediction : array_like
        Any shape. float32 and float64 are computed as they are, float16 and bfloat16 in float32,
        integers and bool in float64.
    target : array_like
        The same shape, any real type.
    delta : float
        Where the quadratic part passes into the linear one, > 0, in the units of the residual.

    Notes
    -----
    Scaled as the Huber loss is: r^2 / 2 near 0, slope delta far away. No square overflows, and
    small residuals keep their relative accuracy.

    References
    ----------
    P. Charbonnier, L. Blanc-Feraud, G. Aubert, M. Barlaud, "Deterministic Edge-Preserving
    Regularization in Computed Imaging", IEEE Transactions on Image Processing 6 (1997).

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.pseudo_huber_loss([0.75, -1e200], [0.0, 0.0], reduction="none").tolist()
    [0.25, 1e+200]
    """


@pointwise_loss(quantile=inner_fraction)
def quantile_loss(prediction: ArrayLike, target: ArrayLike, /, *, quantile: float = 0.5) -> None:
    r"""Quantile (pinball) loss; its minimum is the q-quantile of the targets.

    .. math:: \ell = \max\bigl(q\,(t - x),\ (q - 1)(t - x)\bigr), \quad
              \ell' = \begin{cases} 1 - q & x > t \\ -q & x < t \\ 0 & x = t \end{cases}, \quad \ell'' = 0

    Parameters
    ----------
    prediction : array_like
        x, any shape. float32 and float64 are computed as they are, float16 and bfloat16 in float32,
        integers and bool in float64.
    target : array_like
        t, the same shape, any real type.
    quantile : float
        q in (0, 1): the share of targets that should lie below the prediction.

    Notes
    -----
    q = 0.5 is half the absolute error. scikit-learn's ``PinballLoss``, whose gradient at x = t is
    -q.

    References
    ----------
    R. Koenker, G. Bassett, "Regression Quantiles", Econometrica 46 (1978).

    Examples
    --------
    >>> import fastloss as fl
    >>> value, grad = fl.quantile_loss.value_and_grad([1.0, 5.0], [3.0, 3.0], quantile=0.75, reduction="none")
    >>> value.tolist(), grad.tolist()
    ([1.5, 0.5], [-0.75, 0.25])
    """


@pointwise_loss(
    target_domain="non-negative",
    prediction_domain=lambda log_input, full: "any" if log_input else "non-negative",
    log_input=flag,
    full=flag,
    work=1.0,
)
def poisson_nll_loss(
    prediction: ArrayLike, target: ArrayLike, /, *, log_input: bool = True, full: bool = False
) -> None:
    r"""Negative log-likelihood of counts that are Poisson distributed, up to terms without the prediction.

    .. math:: \ell = e^x - t x, \quad \ell' = e^x - t, \quad \ell'' = e^x

    With ``log_input=False`` the prediction is the mean itself:

    .. math:: \ell = x - t \log x, \quad \ell' = 1 - \frac{t}{x}, \quad \ell'' = \frac{t}{x^2}

    Parameters
    ----------
    prediction : array_like
        x, the logarithm of the mean (or, >= 0, the mean), any shape. float32 and float64 are computed
        as they are, float16 and bfloat16 in float32, integers and bool in float64.
    target : array_like
        Counts t >= 0, whole or not, the same shape, any real type.
    log_input : bool
        Whether the prediction is the logarithm of the mean.
    full : bool
        Whether Stirling's approximation of log t!, t log t - t + log(2 pi t) / 2, is added where
        t > 1. It changes no derivative.

    Notes
    -----
    torch's ``poisson_nll_loss``, but for a mean it takes log(x + 1e-8), which bounds the loss of a mean
    of 0; here nothing is added, 0 log 0 is 0, and t > 0 of mean 0 costs +inf. scikit-learn's
    ``HalfPoissonLoss`` is the same up to a constant.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.poisson_nll_loss([0.0, 1.0], [0, 3], reduction="none").round(12).tolist()
    [1.0, -0.281718171541]
    >>> fl.poisson_nll_loss([0.0, 1.0], [0, 3], log_input=False, reduction="none").tolist()
    [0.0, 1.0]
    """


@pointwise_loss(target_domain="positive", work=0.9)
def gamma_nll_loss(prediction: ArrayLike, target: ArrayLike, /) -> None:
    r"""Negative log-likelihood of positive amounts that are gamma distributed, for the logarithm of their mean.

    .. math:: \ell = x + t e^{-x}, \quad \ell' = 1 - t e^{-x}, \quad \ell'' = t e^{-x}

    Parameters
    ----------
    prediction : array_like
        x, the logarithm of the mean, any shape. float32 and float64 are computed as they are, float16
        and bfloat16 in float32, integers and bool in float64.
    target : array_like
        Amounts t > 0, the same shape, any real type.

    Notes
    -----
    Terms without x are dropped, and the shape of the distribution is a factor that does not move the
    minimum. scikit-learn's ``HalfGammaLoss``, which subtracts log t + 1.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, grad = fl.gamma_nll_loss.value_and_grad([0.0, 0.0], [1.0, 3.0], reduction="none")
    >>> value.tolist(), grad.tolist()
    ([1.0, 3.0], [0.0, -2.0])
    """


@pointwise_loss(
    target_domain=lambda power: "positive" if power >= 2 else "non-negative",
    power=finite,
    work=2.0,
)
def tweedie_loss(prediction: ArrayLike, target: ArrayLike, /, *, power: float = 1.5) -> None:
    r"""Tweedie loss: half the deviance of a variance that grows as a power of the mean, for the mean's logarithm.

    .. math:: \ell = \frac{e^{(2-p)x}}{2-p} - t\,\frac{e^{(1-p)x}}{1-p}, \quad
              \ell' = e^{(2-p)x} - t e^{(1-p)x}, \quad
              \ell'' = (2-p)\,e^{(2-p)x} - (1-p)\,t e^{(1-p)x}

    Parameters
    ----------
    prediction : array_like
        x, the logarithm of the mean, any shape. float32 and float64 are computed as they are, float16
        and bfloat16 in float32, integers and bool in float64.
    target : array_like
        t >= 0, and > 0 for a power of 2 or more, the same shape, any real type.
    power : float
        p, any finite number: 0 squared error of the mean, 1 Poisson, between 1 and 2 amounts that are
        often exactly 0 (claims, rainfall), 2 gamma, 3 inverse Gaussian.

    Notes
    -----
    Terms without x are dropped, those too that become infinite at p = 1 and 2: there the loss is
    :data:`poisson_nll_loss` and :data:`gamma_nll_loss`, bit for bit. scikit-learn's
    ``HalfTweedieLoss`` differs by such a constant, and accepts negative targets for p <= 0. No
    distribution has a power between 0 and 1; the formula is computed nevertheless.

    References
    ----------
    B. Jorgensen, "Exponential Dispersion Models", Journal of the Royal Statistical Society B 49 (1987).

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.tweedie_loss([0.0, 0.0], [0.0, 3.0], reduction="none").tolist()
    [2.0, 8.0]
    """
