"""Metric learning: losses of distances and similarities of embeddings, with gradients for every embedding."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastloss import _pairs
from fastloss._arguments import non_negative
from fastloss._several import several_loss


@several_loss(
    gradients=("x1", "x2"),
    prepare=_pairs.ranking,
    checks={"margin": non_negative},
    unreduced="an array of the shape of x1",
)
def margin_ranking_loss(x1: ArrayLike, x2: ArrayLike, target: ArrayLike, /, *, margin: float = 0.0) -> None:
    r"""Margin ranking loss: of two scores the right one should be larger, by the margin.

    .. math:: \ell = \max(0, m - t (x_1 - x_2)), \qquad t \in \{-1, +1\}

    The gradient with respect to x1 is -t where the loss is positive, else 0 (at the kink too); that
    of x2 is its negative.

    Parameters
    ----------
    x1, x2 : array_like
        Scores, any one shape. float32 and float64 are computed as they are, float16 and bfloat16 in
        float32, integers and bool in float64; x2 is rounded to the type of x1.
    target : array_like
        The same shape: +1 where x1 should be ranked higher, -1 where x2 should.
    margin : float
        By how much, >= 0, in the units of the scores.

    Notes
    -----
    torch's ``MarginRankingLoss``, which lets any target pass, and has gradient -t at the kink too.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, (grad1, grad2) = fl.margin_ranking_loss.value_and_grad([0.3, 0.9], [0.5, 0.1], [1, 1])
    >>> value, grad1.tolist(), grad2.tolist()
    (0.1, [-0.5, 0.0], [0.5, 0.0])
    """
