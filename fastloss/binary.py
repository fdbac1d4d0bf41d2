"""Binary and multi-label losses: a score or probability and a label of one shape, one loss per element."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastloss._arguments import non_negative
from fastloss._pointwise import pointwise_loss


@pointwise_loss(target_domain="unit interval", prediction_domain="unit interval", work=1.5)
def binary_cross_entropy(prediction: ArrayLike, target: ArrayLike, /) -> None:
    r"""Binary cross-entropy (log loss) of probabilities.

    .. math:: \ell = -\bigl[t \log x + (1 - t) \log (1 - x)\bigr], \quad
              \ell' = \frac{x - t}{x (1 - x)}, \quad
              \ell'' = \frac{t}{x^2} + \frac{1 - t}{(1 - x)^2}

    Parameters
    ----------
    prediction : array_like
        Probabilities x in [0, 1], any shape. float32 and float64 are computed as they are, float16
        and bfloat16 in float32, integers and bool in float64.
    target : array_like
        Labels t in [0, 1] (soft ones too), the same shape, any real type, bool included.

    Notes
    -----
    Nothing is clipped: 0 log 0 is 0, a probability of 0 for what happened costs +inf with gradient
    -inf, and at x = t = 1 the gradient is its limit -1. Keras and torch clip here and lose the
    gradient. Where there are logits, use :data:`binary_cross_entropy_with_logits`. Also named
    ``log_loss``.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.binary_cross_entropy([0.9, 0.1, 0.8, 0.7], [1, 0, 1, 1]), 15)
    0.197634881642149
    """


log_loss = binary_cross_entropy


@pointwise_loss(target_domain="unit interval", array_parameter="pos_weight", work=1.0)
def binary_cross_entropy_with_logits(
    prediction: ArrayLike, target: ArrayLike, /, *, pos_weight: ArrayLike | None = None
) -> None:
    r"""Binary cross-entropy of logits, exact for confident ones too.

    .. math:: \ell = w t \log(1 + e^{-x}) + (1 - t) \log(1 + e^{x}), \quad
              \ell' = (1 - t)\,\sigma(x) - w t\,\sigma(-x), \quad
              \ell'' = (w t + 1 - t)\,\sigma(x)\,\sigma(-x)

    Parameters
    ----------
    prediction : array_like
        Logits x, any shape. float32 and float64 are computed as they are, float16 and bfloat16 in
        float32, integers and bool in float64.
    target : array_like
        Labels t in [0, 1] (soft ones too), the same shape, any real type, bool included.
    pos_weight : float or array_like, optional
        Weight w >= 0 of the positive part, a number or an array that broadcasts to the prediction
        (one per column, say). It is part of the loss and does not enter the mean's denominator.

    Notes
    -----
    Infinite logits give the limit: +inf costs 0 for t = 1 and +inf for t = 0. A confidently right
    logit keeps its relative accuracy: x = -15, t = 0 costs 3.06e-7 in float32, not 0.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.binary_cross_entropy_with_logits([0.0, -1000.0], [1, 0], reduction="none").tolist()
    [0.6931471805599453, 0.0]
    """


@pointwise_loss(target_domain="sign", target_hint="; labels 0 and 1 become t = 2 * y - 1", margin=non_negative)
def hinge_loss(prediction: ArrayLike, target: ArrayLike, /, *, margin: float = 1.0) -> None:
    r"""Hinge loss of a linear support vector machine.

    .. math:: \ell = \max(0, m - t x), \quad \ell' = \begin{cases} -t & t x < m \\ 0 & t x \ge m \end{cases},
              \quad \ell'' = 0

    Parameters
    ----------
    prediction : array_like
        Scores x, any shape. float32 and float64 are computed as they are, float16 and bfloat16 in
        float32, integers and bool in float64.
    target : array_like
        Labels t, exactly -1 or +1, the same shape.
    margin : float
        m >= 0.

    Notes
    -----
    Labels 0 and 1 raise: with them the loss would be a constant for one class and nobody would see.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.hinge_loss([0.0, 0.5, 0.9, 1.0, 1.5], [1, 1, 1, 1, 1], reduction="none").round(12).tolist()
    [1.0, 0.5, 0.1, 0.0, 0.0]
    """


@pointwise_loss(target_domain="sign", target_hint="; labels 0 and 1 become t = 2 * y - 1", margin=non_negative)
def squared_hinge_loss(prediction: ArrayLike, target: ArrayLike, /, *, margin: float = 1.0) -> None:
    r"""Squared hinge loss: a hinge without a kink.

    .. math:: \ell = \max(0, m - t x)^2, \quad \ell' = -2 t \max(0, m - t x), \quad
              \ell'' = \begin{cases} 2 & t x < m \\ 0 & t x \ge m \end{cases}

    Parameters
    ----------
    prediction : array_like
        Scores x, any shape. float32 and float64 are computed as they are, float16 and bfloat16 in
        float32, integers and bool in float64.
    target : array_like
        Labels t, exactly -1 or +1, the same shape.
    margin : float
        m >= 0.

    Notes
    -----
    The default loss of scikit-learn's ``LinearSVC``.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.squared_hinge_loss([0.0, 0.5, 2.0], [1, 1, -1], reduction="none").tolist()
    [1.0, 0.25, 9.0]
    """
