"""Multi-class losses: rows of logits with a class axis, one loss per row."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastloss._cross_entropy import cross_entropy_loss


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
