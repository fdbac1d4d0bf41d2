"""Segmentation: losses of the overlap of a predicted mask with the true one."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastloss import _core, _overlap
from fastloss._arguments import flag, non_negative
from fastloss._several import several_loss


@several_loss(
    gradients=("prediction",),
    prepare=_overlap.dice,
    checks={"squared": flag, "smooth": non_negative, "axis": _overlap.axes},
    unreduced="an array of the axes that are not summed (0-d by default)",
    denominator_of="target, /, *, axis=None, sample_weight=None",
    denominator=_overlap.dice_denominator,
    quick=_core.QuickDice(),
)
def dice_loss(
    prediction: ArrayLike,
    target: ArrayLike,
    /,
    *,
    squared: bool = True,
    smooth: float = 0.0,
    axis: int | tuple[int, ...] | None = None,
) -> None:
    r"""Dice loss: one minus twice the overlap of two masks, relative to their sizes.

    .. math:: \ell = 1 - \frac{2 \sum p g + s}{\sum p^2 + \sum g^2 + s}
              \qquad \text{or, not squared,} \qquad 1 - \frac{2 \sum p g + s}{\sum p + \sum g + s}

    Parameters
    ----------
    prediction : array_like
        Any shape: the probability p of each pixel (not logits; any real number is accepted).
        float32 and float64 are computed as they are, float16 and bfloat16 in float32, integers and
        bool in float64.
    target : array_like
        The same shape, any real type: the true mask g, 0 or 1, or soft.
    squared : bool
        Squares in the denominator (the source document, V-Net), or the plain sums (optax, Keras).
    smooth : float
        s, >= 0, added above and below.
    axis : int, tuple of int or None
        The axes that are summed: None for all, and one loss for each index of the others. For
        batches of masks ``(N, H, W)`` take ``(1, 2)`` for one loss per mask.

    Notes
    -----
    Both masks empty and s = 0: loss 0, gradient 0; only one of them empty: loss 1. The mean divides
    by the number of losses (of axes that are not summed), not of pixels. The loss is computed as
    sum (p - g)^2 (or sum p (1 - g) + g (1 - p)) over the denominator, so that a nearly perfect
    overlap keeps its digits.

    References
    ----------
    F. Milletari, N. Navab, S.-A. Ahmadi, "V-Net", 3DV 2016. Source document 001.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.dice_loss([0.5, 1.0, 0.0], [1, 1, 0])
    0.07692307692307693
    >>> fl.dice_loss([[0.5, 1.0, 0.0], [0.0, 0.0, 0.0]], [[1, 1, 0], [0, 0, 0]], axis=1, reduction="none")
    array([0.07692308, 0.        ])
    """
