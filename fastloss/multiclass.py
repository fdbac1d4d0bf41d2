"""Multi-class losses: rows of logits with a class axis, one loss per row."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastloss._cross_entropy import cross_entropy_loss
from fastloss._row_numbers import divergence_domains, divergence_numbers, focal_numbers, hinge_numbers, poly_numbers
from fastloss._rowwise import rowwise_loss


@cross_entropy_loss
def cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    /,
    *,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    label_smoothing: float = 0.0,
    temperature: float = 1.0,
    logit_softcap: float | None = None,
    z_loss: float = 0.0,
    axis: int = -1,
) -> None:
    r"""Softmax cross-entropy from logits, with class indices or class probabilities as targets.

    .. math:: \ell = -\sum_c u_c \log p_c + z\,w_t \operatorname{lse}(a)^2, \qquad
              p = \operatorname{softmax}(a), \quad a = \frac{\kappa \tanh(x / \kappa)}{T}, \quad
              u_c = w_c \Bigl[(1 - \alpha) y_c + \frac{\alpha}{C} \sum_k y_k\Bigr]

    with y the one-hot row of a class index or the probabilities given, alpha the label smoothing,
    w the class weights, T the temperature, kappa the softcap and z the z-loss. With respect to a,
    the gradient is (sum u) p - u + 2 z w_t lse p and the diagonal Hessian
    (sum u) p (1 - p) + 2 z w_t (p^2 + lse p (1 - p)); results are with respect to the logits x.

    Parameters
    ----------
    logits : array_like
        At least one axis, that of the C classes. float32 and float64 are computed as they are,
        float16 and bfloat16 in float32, integers and bool in float64. -inf masks a class.
    target : array_like
        Class indices of any integer type, of the logits' shape without the class axis; or
        probabilities of a floating type and the logits' shape, which need not sum to 1.
    class_weight : array_like, optional
        Weights w of shape (C,), finite, >= 0.
    ignore_index : int or None
        Rows with this class index contribute exactly 0 to value, derivatives and denominator,
        whatever they hold. None ignores nothing. Without effect on probability targets.
    label_smoothing : float
        alpha in [0, 1]: the share of the label that is spread evenly over all classes.
    temperature : float
        T > 0.
    logit_softcap : float, optional
        kappa > 0, in the units of the logits: caps them smoothly before the temperature.
    z_loss : float
        z >= 0.
    axis : int
        The class axis.

    Notes
    -----
    ``"mean"`` divides by the sum of sample weight times class weight of the target (torch's
    convention), for probability targets by the sum of the sample weights. Smoothing spreads
    alpha/C times the row's sum (torch: alpha/C, equal where the sum is 1); class weights apply to
    the smoothed target.

    A row whose target has the largest logit is computed as log1p of the sum of the other
    exponentials, so a confidently right row keeps its digits. Infinite logits give the limit; a NaN
    stays in its row.

    References
    ----------
    C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", CVPR 2016 (label
    smoothing). B. Zoph et al., "ST-MoE: Designing Stable and Transferable Sparse Expert Models",
    2022 (z-loss).

    Examples
    --------
    >>> import numpy as np
    >>> import fastloss as fl
    >>> logits = np.array([[1.5, 2.0, 3.0], [0.2, 1.1, 0.8], [2.4, 1.6, 3.5]])
    >>> round(fl.cross_entropy(logits, np.array([2, 1, 0])), 15)
    0.907436708922799
    >>> print(f"{fl.cross_entropy(np.float32([[18.0, 0.0]]), np.array([0])):.6e}")
    1.522998e-08
    """


@rowwise_loss(targets="labels", numbers=focal_numbers, work=1.2)
def softmax_focal_loss(
    logits: ArrayLike,
    target: ArrayLike,
    /,
    *,
    gamma: float = 2.0,
    alpha: ArrayLike | None = None,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    axis: int = -1,
) -> None:
    r"""Focal loss of a softmax: cross-entropy in which confidently right rows count less.

    .. math:: \ell = -\alpha_t (1 - p_t)^\gamma \log p_t, \qquad p = \operatorname{softmax}(x)

    With A = (1 - p_t)^gamma (1 - gamma p_t log p_t / (1 - p_t)) the gradient is
    alpha_t A (p_j - [j = t]).

    Parameters
    ----------
    logits : array_like
        At least one axis, that of the C classes. float32 and float64 are computed as they are,
        float16 and bfloat16 in float32, integers and bool in float64. -inf masks a class.
    target : array_like
        Class indices of any integer type, of the logits' shape without the class axis.
    gamma : float
        The focusing exponent, any number >= 0. 0 is :data:`cross_entropy`, bit for bit.
    alpha : float or array_like, optional
        A number in [0, 1] for all rows, or one number >= 0 per class. It is part of the loss and does
        not enter the mean's denominator, as class_weight does.
    class_weight : array_like, optional
        Weights of shape (C,), finite, >= 0.
    ignore_index : int or None
        Rows with this class index contribute exactly 0 to value, derivatives and denominator,
        whatever they hold. None ignores nothing.
    axis : int
        The class axis.

    Notes
    -----
    1 - p_t is the sum of the other probabilities, so a confidently right row keeps its digits; gamma
    below 1 has gradient 0 at p_t = 1; a confidently wrong row has the full gradient (implementations
    that clip p_t lose it). The Hessian can be negative.

    References
    ----------
    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.softmax_focal_loss([[0.0, 0.0], [4.0, 0.0]], [0, 0], reduction="none").round(6).tolist()
    [0.173287, 6e-06]
    """


@rowwise_loss(targets="labels", numbers=poly_numbers, work=0.7)
def poly_cross_entropy(
    logits: ArrayLike,
    target: ArrayLike,
    /,
    *,
    epsilon: ArrayLike = (1.0,),
    form: str = "paper",
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    axis: int = -1,
) -> None:
    r"""PolyLoss of a softmax: cross-entropy plus a polynomial in 1 - p_t.

    .. math:: \ell = -\log p_t + \sum_{j=1}^{N} \epsilon_j (1 - p_t)^j, \qquad p = \operatorname{softmax}(x)

    With A = 1 + p_t sum_j j epsilon_j (1 - p_t)^(j-1) the gradient is A (p_j - [j = t]).

    Parameters
    ----------
    logits : array_like
        At least one axis, that of the C classes. float32 and float64 are computed as they are,
        float16 and bfloat16 in float32, integers and bool in float64. -inf masks a class.
    target : array_like
        Class indices of any integer type, of the logits' shape without the class axis.
    epsilon : float or sequence of float
        The coefficients of the first N powers, any N and any finite numbers. None or zeros are
        :data:`cross_entropy`, bit for bit.
    form : {"paper", "taylor"}
        Whether the coefficients are as they stand, as in the paper, or each is divided by its j.
    class_weight : array_like, optional
        Weights of shape (C,), finite, >= 0.
    ignore_index : int or None
        Rows with this class index contribute exactly 0 to value, derivatives and denominator,
        whatever they hold. None ignores nothing.
    axis : int
        The class axis.

    Notes
    -----
    The paper's Poly-N has no division; source document 001 prints the sum with a division by j, as
    in the series of -log p_t that is modified: its coefficients are j times the paper's. optax has
    N = 1 alone, where both are one.

    References
    ----------
    Leng et al., "PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions", ICLR 2022.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.poly_cross_entropy([[0.0, 0.0]], [1], epsilon=[2.0, -4.0]), 6)  # log 2 + 2 / 2 - 4 / 4
    0.693147
    """


@rowwise_loss(targets="labels", numbers=hinge_numbers, hessian=False, work=0.4)
def multiclass_hinge_loss(
    logits: ArrayLike,
    target: ArrayLike,
    /,
    *,
    margin: float = 1.0,
    variant: str = "weston-watkins",
    scale: str = "none",
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    axis: int = -1,
) -> None:
    r"""Multi-class hinge loss, of Weston and Watkins or of Crammer and Singer.

    .. math:: \ell_{\mathrm{WW}} = \sum_{j \ne t} \max(0, m - x_t + x_j), \qquad
              \ell_{\mathrm{CS}} = \max\Bigl(0, m - x_t + \max_{j \ne t} x_j\Bigr)

    The gradient is 1 at every class that is inside the margin (Crammer-Singer: at the largest, the
    lowest index of equals), and minus their number at the target.

    Parameters
    ----------
    logits : array_like
        Scores, at least one axis, that of the C classes. float32 and float64 are computed as they are,
        float16 and bfloat16 in float32, integers and bool in float64. -inf masks a class.
    target : array_like
        Class indices of any integer type, of the logits' shape without the class axis.
    margin : float
        m >= 0.
    variant : {"weston-watkins", "crammer-singer"}
        The sum over the other classes, or the worst of them.
    scale : {"none", "classes"}
        "classes" divides the loss by C, as torch's multi_margin_loss does.
    class_weight : array_like, optional
        Weights of shape (C,), finite, >= 0.
    ignore_index : int or None
        Rows with this class index contribute exactly 0 to value, derivatives and denominator,
        whatever they hold. None ignores nothing.
    axis : int
        The class axis.

    Notes
    -----
    Piecewise linear: the second derivative is 0 almost everywhere, so there is no value_grad_hess.
    torch divides by C here, we don't unless told so; optax and Keras have only Crammer-Singer.

    References
    ----------
    J. Weston and C. Watkins, "Support vector machines for multi-class pattern recognition", ESANN 1999.
    K. Crammer and Y. Singer, "On the algorithmic implementation of multiclass kernel-based vector
    machines", JMLR 2001.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.multiclass_hinge_loss([[2.0, 1.5, 1.25]], [0]), fl.multiclass_hinge_loss(
    ...     [[2.0, 1.5, 1.25]], [0], variant="crammer-singer"
    ... )
    (0.75, 0.5)
    """


@rowwise_loss(targets="probabilities", domains=lambda values: ("unit interval", "any"), work=0.8)
def categorical_cross_entropy(probabilities: ArrayLike, target: ArrayLike, /, *, axis: int = -1) -> None:
    r"""Cross-entropy of probabilities with one-hot or soft labels.

    .. math:: \ell = -\sum_c y_c \log q_c, \quad \frac{\partial \ell}{\partial q_c} = -\frac{y_c}{q_c}, \quad
              \frac{\partial^2 \ell}{\partial q_c^2} = \frac{y_c}{q_c^2}

    Parameters
    ----------
    probabilities : array_like
        Predicted q in [0, 1]; at least one axis, that of the C classes. float32 and float64 are
        computed as they are, float16 and bfloat16 in float32, integers and bool in float64.
    target : array_like
        Labels y of the same shape and any real type: one-hot rows or probabilities, which need not
        sum to 1.
    axis : int
        The class axis.

    Notes
    -----
    Nothing is clipped or renormalised: y = 0 costs nothing, y > 0 at q = 0 costs +inf. Derivatives
    are with respect to each q by itself. Where there are logits, :data:`cross_entropy` is exact.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.categorical_cross_entropy([[0.05, 0.9, 0.05]], [[0, 1, 0]]), 15)
    0.105360515657826
    """


@rowwise_loss(targets="labels", domains=lambda values: ("unit interval", "any"), work=0.2)
def sparse_categorical_cross_entropy(
    probabilities: ArrayLike,
    target: ArrayLike,
    /,
    *,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    axis: int = -1,
) -> None:
    r"""Cross-entropy of probabilities with integer labels.

    .. math:: \ell = -\log q_t, \quad \frac{\partial \ell}{\partial q_t} = -\frac{1}{q_t}, \quad
              \frac{\partial^2 \ell}{\partial q_t^2} = \frac{1}{q_t^2}

    Parameters
    ----------
    probabilities : array_like
        Predicted q in [0, 1]; at least one axis, that of the C classes. float32 and float64 are
        computed as they are, float16 and bfloat16 in float32, integers and bool in float64.
    target : array_like
        Class indices of any integer type, of the predictions' shape without the class axis.
    class_weight : array_like, optional
        Weights of shape (C,), finite, >= 0.
    ignore_index : int or None
        Rows with this class index contribute exactly 0 to value, derivatives and denominator,
        whatever they hold. None ignores nothing.
    axis : int
        The class axis.

    Notes
    -----
    Nothing is clipped: q_t = 0 costs +inf with gradient -inf. The other probabilities of a row have
    derivative 0 and are checked for their domain alone.

    Examples
    --------
    >>> import fastloss as fl
    >>> round(fl.sparse_categorical_cross_entropy([[0.05, 0.9, 0.05]], [1]), 15)
    0.105360515657826
    """


@rowwise_loss(
    targets="probabilities",
    numbers=divergence_numbers,
    domains=divergence_domains,
    first=lambda values: values["from_logits"],
    work=1.0,
)
def kl_divergence(prediction: ArrayLike, target: ArrayLike, /, *, from_logits: bool = False, axis: int = -1) -> None:
    r"""Kullback-Leibler divergence of predicted from given probabilities, one loss per row.

    .. math:: \ell = \sum_c p_c (\log p_c - \log q_c), \quad
              \frac{\partial \ell}{\partial q_c} = -\frac{p_c}{q_c}, \quad
              \frac{\partial^2 \ell}{\partial q_c^2} = \frac{p_c}{q_c^2}

    p is the target, q the prediction. From logits x, q = softmax(x), the gradient (sum p) q - p and
    the diagonal Hessian (sum p) q (1 - q).

    Parameters
    ----------
    prediction : array_like
        Probabilities q >= 0, or logits; at least one axis, that of the C classes. float32 and float64
        are computed as they are, float16 and bfloat16 in float32, integers and bool in float64.
    target : array_like
        Probabilities p >= 0 of the same shape, any real type.
    from_logits : bool
        Whether the prediction holds logits. The target never does.
    axis : int
        The class axis.

    Notes
    -----
    The mean is over rows (torch: "batchmean"). p = 0 costs 0, also at q = 0; p > 0 at q = 0 costs
    +inf. Nothing is renormalised: sums other than 1 are taken as they are, and the divergence may
    then be negative. torch takes logarithms as its first argument; optax gives NaN for p = 0.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.kl_divergence([[0.5, 0.5]], [[1.0, 0.0]]), fl.kl_divergence([[0.0, 0.0]], [[1.0, 0.0]], from_logits=True)
    (0.6931471805599453, 0.6931471805599453)
    """
