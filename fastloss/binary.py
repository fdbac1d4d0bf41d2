"""Binary and multi-label losses: a score or probability and a label of one shape, one loss per element."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastloss._arguments import non_negative, numbers, one_of, optional_fraction
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


@pointwise_loss(
    target_domain="unit interval",
    prediction_domain="unit interval",
    work=1.5,
    pos_weight=non_negative,
    neg_weight=non_negative,
)
def balanced_cross_entropy(
    prediction: ArrayLike, target: ArrayLike, /, *, pos_weight: float = 1.0, neg_weight: float = 1.0
) -> None:
    r"""Binary cross-entropy of probabilities with a weight for each class.

    .. math:: \ell = -\bigl[w_1 t \log x + w_2 (1 - t) \log (1 - x)\bigr], \quad
              \ell' = \frac{w_2 (1 - t)}{1 - x} - \frac{w_1 t}{x}, \quad
              \ell'' = \frac{w_1 t}{x^2} + \frac{w_2 (1 - t)}{(1 - x)^2}

    Parameters
    ----------
    prediction : array_like
        Probabilities x in [0, 1], any shape. float32 and float64 are computed as they are, float16
        and bfloat16 in float32, integers and bool in float64.
    target : array_like
        Labels t in [0, 1] (soft ones too), the same shape, any real type, bool included.
    pos_weight, neg_weight : float
        The weights w1 and w2 of positive and negative labels, finite and >= 0; usually inverse to how
        frequent the classes are.

    Notes
    -----
    As the source documents print it, the logarithms are those of probabilities, and the mean divides by
    the number of elements: the weights are part of the loss and never enter its denominator. (With
    scikit-learn's ``class_weight`` they would: pass them as ``sample_weight`` for that.) The documents'
    one-line implementation, torch's ``binary_cross_entropy(..., weight=tensor([w1, w2]))``, is not this
    loss: it weights the first and second element, not the classes. Nothing is clipped; see
    :data:`binary_cross_entropy`. Of logits, the same is ``w2`` times
    :data:`binary_cross_entropy_with_logits` with ``pos_weight=w1 / w2``.

    Examples
    --------
    >>> import fastloss as fl
    >>> y, p = [1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]
    >>> loss = fl.balanced_cross_entropy(p, y, pos_weight=3.0, neg_weight=1.0, reduction="none")
    >>> loss.round(4).tolist()
    [2.0794, 0.6931, 0.6931, 0.6931]
    """


@pointwise_loss(
    target_domain="unit interval",
    work=1.5,
    numbers=lambda gamma, alpha: (gamma, float(alpha is not None), alpha or 0.0),
    gamma=non_negative,
    alpha=optional_fraction,
)
def focal_loss(prediction: ArrayLike, target: ArrayLike, /, *, gamma: float = 2.0, alpha: float | None = None) -> None:
    r"""Focal loss of logits: cross-entropy in which easy elements count less.

    .. math:: \ell = \alpha_t\,(1 - p_t)^{\gamma}\,\mathrm{CE}, \quad
              \mathrm{CE} = t \log(1 + e^{-x}) + (1 - t) \log(1 + e^{x}), \quad
              p_t = p t + (1 - p)(1 - t), \quad p = \sigma(x)

    with :math:`\alpha_t = \alpha t + (1 - \alpha)(1 - t)`, or 1 without ``alpha``. For a hard label CE is
    :math:`-\log p_t`, and with :math:`s = 2t - 1`

    .. math:: \ell' = -s\,\alpha_t (1 - p_t)^{\gamma} \bigl[1 - p_t - \gamma p_t \log p_t\bigr], \quad
              \ell'' = \alpha_t p_t (1 - p_t)^{\gamma}
              \bigl[(1 + 2 \gamma)(1 - p_t) - \gamma (\gamma p_t - 1 + p_t) \log p_t\bigr]

    Parameters
    ----------
    prediction : array_like
        Logits x, any shape. float32 and float64 are computed as they are, float16 and bfloat16 in
        float32, integers and bool in float64.
    target : array_like
        Labels t in [0, 1], the same shape, any real type, bool included. For soft ones the formula above
        holds as it stands (torchvision's convention).
    gamma : float
        The focusing exponent, any number >= 0. 0 is :data:`binary_cross_entropy_with_logits`, bit for
        bit without ``alpha``; 0, 1 and 2 are quicker than others.
    alpha : float, optional
        The weight in [0, 1] of positive labels, 1 - alpha being that of negative ones (RetinaNet: 0.25).
        It is part of the loss and does not enter the mean's denominator.

    Notes
    -----
    Computed from the logit, so nothing is clipped and no digits are lost: a confidently wrong logit keeps
    its gradient (Keras clips probabilities at 1e-7: about 0), a confidently right one its small loss, and
    gamma below 1 is finite at p_t = 1. Infinite logits give the limit. (The error of a logarithm is
    multiplied by gamma: above gamma = 20 it passes 4 units in the last place.) The Hessian is negative
    where the loss is concave, at confidently wrong logits for example: boosting needs a floor there. The
    mean divides by the number of elements; RetinaNet divides by that of positive anchors
    (``denominator=``).

    References
    ----------
    Lin et al., Focal Loss for Dense Object Detection, 2017, arXiv:1708.02002.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.focal_loss([0.0, 4.0, -4.0], [1, 1, 1], reduction="none").round(6).tolist()
    [0.173287, 6e-06, 3.874907]
    """


@pointwise_loss(
    target_domain="unit interval",
    work=1.2,
    numbers=lambda epsilon, form: (float(len(epsilon)), float(form == "taylor"), *epsilon),
    epsilon=numbers,
    form=one_of("paper", "taylor"),
)
def poly_loss(prediction: ArrayLike, target: ArrayLike, /, *, epsilon: ArrayLike = (1.0,), form: str = "paper") -> None:
    r"""Poly loss of logits: cross-entropy plus a polynomial in 1 - p_t.

    .. math:: \ell = \mathrm{CE} + \sum_{j=1}^{N} \epsilon_j q^j, \quad
              \ell' = p - t + \sum_j j \epsilon_j q^{j-1} q', \quad
              q = 1 - p_t, \quad q' = (1 - 2t)\,p\,(1 - p), \quad p = \sigma(x)

    where CE is :data:`binary_cross_entropy_with_logits` and :math:`p_t = p t + (1 - p)(1 - t)`.

    Parameters
    ----------
    prediction : array_like
        Logits x, any shape. float32 and float64 are computed as they are, float16 and bfloat16 in
        float32, integers and bool in float64.
    target : array_like
        Labels t in [0, 1] (soft ones too), the same shape, any real type, bool included.
    epsilon : float or sequence of float
        The coefficients of the first N powers, any N and any finite numbers.
    form : {"paper", "taylor"}
        Whether the coefficients are as they stand, as in the paper, or each is divided by its j.

    Notes
    -----
    The paper's Poly-N has no division. One of the source documents prints the sum with a division by j, as
    in the series :math:`-\log p_t = \sum_j q^j / j` that is modified: its coefficients are j times the
    paper's, and ``form="taylor"`` takes them. For N = 1 both forms are one. Infinite logits give the limit.
    ``epsilon`` may be empty: cross-entropy.

    References
    ----------
    Leng et al., PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions, 2022,
    arXiv:2204.12511.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.poly_loss([0.0, 0.0], [1, 0], epsilon=[2.0, -4.0], reduction="none").round(6).tolist()
    [0.693147, 0.693147]
    >>> fl.poly_loss([0.0], [1], epsilon=[2.0, -4.0], form="taylor") == fl.poly_loss([0.0], [1], epsilon=[2.0, -2.0])
    True
    """


@pointwise_loss(target_domain="sign", target_hint="; labels 0 and 1 become t = 2 * y - 1", margin=non_negative)
def hinge_loss(prediction: ArrayLike, target: ArrayLike, /, *, margin: float = 1.0) -> None:
    r"""Hinge loss of a linear support vector machine.

    .. math:: \ell = \max(0, m - t x), \quad \ell' = \begin{cases} -t & t x < m \ 0 & t x \ge m \end{cases},
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
              \ell'' = \begin{cases} 2 & t x < m \ 0 & t x \ge m \end{cases}

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


@pointwise_loss(target_domain="sign", target_hint="; labels 0 and 1 become t = 2 * y - 1", work=1.0)
def soft_margin_loss(prediction: ArrayLike, target: ArrayLike, /) -> None:
    r"""Soft margin (logistic) loss of a score and a sign.

    .. math:: \ell = \log(1 + e^{-t x}), \quad \ell' = -t\,\sigma(-t x), \quad \ell'' = \sigma(x)\,\sigma(-x)

    Parameters
    ----------
    prediction : array_like
        Scores x, any shape. float32 and float64 are computed as they are, float16 and bfloat16 in
        float32, integers and bool in float64.
    target : array_like
        Labels t, exactly -1 or +1, the same shape.

    Notes
    -----
    The same as :data:`binary_cross_entropy_with_logits` with labels (t + 1) / 2, and as torch's
    ``soft_margin_loss``, which overflows to inf below t x = -88 in float32 and gives 0 above 17; here a score of
    -1000 costs 1000, and a confident one keeps its digits.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.soft_margin_loss([0.0, -1000.0, 1000.0], [1, 1, 1], reduction="none").round(6).tolist()
    [0.693147, 1000.0, 0.0]
    """


@pointwise_loss(target_domain="unit interval", work=0.9)
def exponential_loss(prediction: ArrayLike, target: ArrayLike, /) -> None:
    r"""Exponential loss of AdaBoost.

    .. math:: \ell = t\,e^{-x} + (1 - t)\,e^{x}, \quad \ell' = (1 - t)\,e^{x} - t\,e^{-x}, \quad \ell'' = \ell

    Parameters
    ----------
    prediction : array_like
        Scores x, any shape. float32 and float64 are computed as they are, float16 and bfloat16 in
        float32, integers and bool in float64.
    target : array_like
        Labels t in [0, 1] (soft ones too), the same shape, any real type, bool included; not -1 and +1.

    Notes
    -----
    scikit-learn's ``ExponentialLoss``: x is half the log-odds, p = 1 / (1 + e^(-2x)) its inverse link.
    The limit at infinite scores: 0 where the label agrees, else +inf, and no 0 times infinity in between.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.exponential_loss.value_grad_hess([0.0, 0.0], [1, 0], reduction="sum")
    (2.0, array([-1.,  1.]), array([1., 1.]))
    """
