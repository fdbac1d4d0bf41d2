"""Metric learning: losses of distances and similarities of embeddings, with gradients for every embedding."""

from __future__ import annotations

from numpy.typing import ArrayLike

from fastloss import _pairs
from fastloss._arguments import flag, non_negative
from fastloss._several import several_loss


@several_loss(
    gradients=("x1", "x2"),
    prepare=_pairs.contrastive,
    checks={"margin": non_negative, "similar_label": _pairs.zero_or_one, "half": flag},
    numbers=_pairs.contrastive_numbers,
    other_label=0,
)
def contrastive_loss(
    x1: ArrayLike,
    x2: ArrayLike,
    target: ArrayLike,
    /,
    *,
    margin: float = 1.0,
    similar_label: int = 1,
    half: bool = True,
) -> None:
    r"""Contrastive loss: similar pairs are pulled together, others pushed apart until the margin.

    .. math:: \ell = \tfrac{1}{2} \left[ s\,d^2 + (1 - s) \max(0, m - d)^2 \right], \qquad d = \|x_1 - x_2\|_2

    The gradient with respect to x1 is x1 - x2 for similar pairs, -(m - d) (x1 - x2) / d for others
    within the margin, else 0; that of x2 is its negative. Pairs at distance 0 have gradient 0.

    Parameters
    ----------
    x1, x2 : array_like
        Embeddings, one shape ``(..., D)``. float32 and float64 are computed as they are, float16
        and bfloat16 in float32, integers and bool in float64; x2 is rounded to the type of x1.
    target : array_like
        Shape ``(...)``, any real type: 0 or 1, whether each pair is similar.
    margin : float
        m >= 0, in the units of the distance.
    similar_label : int
        The target of similar pairs: 1, or 0 as in Hadsell's paper.
    half : bool
        With the factor 1/2 or without.

    Notes
    -----
    Source document 002 prints the formula with 1/(2N), as here, and a program without the half:
    ``half=False``. Distances neither overflow nor underflow; nothing is added to them.

    References
    ----------
    R. Hadsell, S. Chopra, Y. LeCun, "Dimensionality Reduction by Learning an Invariant Mapping",
    CVPR 2006.

    Examples
    --------
    >>> import fastloss as fl
    >>> value, (grad1, grad2) = fl.contrastive_loss.value_and_grad([[3.0, 4.0]], [[0.0, 0.0]], [1])
    >>> value, grad1.tolist(), grad2.tolist()
    (12.5, [[3.0, 4.0]], [[-3.0, -4.0]])
    """


@several_loss(
    gradients=("anchor", "positive", "negative"),
    prepare=_pairs.triplet,
    checks={"margin": non_negative, "squared": flag, "p": _pairs.norm_order, "swap": flag},
    numbers=_pairs.triplet_numbers,
    denominator_of="anchor, /, *, sample_weight=None",
    denominator=_pairs.rows_of_anchor,
)
def triplet_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    /,
    *,
    margin: float = 1.0,
    squared: bool = False,
    p: float = 2,
    swap: bool = False,
) -> None:
    r"""Triplet margin loss: the positive should be nearer to the anchor than the negative, by the margin.

    .. math:: \ell = \max(0, d(a, p) - d(a, n) + m), \qquad d(x, y) = \|x - y\|_p

    Where the loss is positive, each distance gives both of its rows a gradient; else (at the kink
    too) all are 0. A pair at distance 0 gives none.

    Parameters
    ----------
    anchor, positive, negative : array_like
        Embeddings, one shape ``(..., D)``. float32 and float64 are computed as they are, float16
        and bfloat16 in float32, integers and bool in float64; positive and negative are rounded to
        the type of anchor.
    margin : float
        m >= 0, in the units of the distance (or of its square).
    squared : bool
        Squares of the distances, as source document 002 and FaceNet have it; torch and the
        metric-learning libraries take the distances.
    p : float
        The norm, at least 1, ``math.inf`` too (the gradient is then that of the first of the
        largest differences). 1, 2 and infinity are fast.
    swap : bool
        Take the lesser of d(a, n) and d(p, n) for the negative, d(a, n) where they are equal.

    Notes
    -----
    torch adds 1e-6 to every difference; nothing is added here. The distance of the 1-norm sums
    absolute differences, and all distances are positive, which two other libraries have had wrong.

    References
    ----------
    F. Schroff, D. Kalenichenko, J. Philbin, "FaceNet", CVPR 2015 (squared). V. Balntas et al.,
    "Learning local feature descriptors with triplets and shallow convolutional neural networks",
    BMVC 2016 (swap).

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.triplet_margin_loss([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 5.5]])
    0.5
    >>> fl.triplet_margin_loss([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 5.5]], p=1)
    2.5
    """


@several_loss(
    gradients=("x1", "x2"),
    prepare=_pairs.ranking,
    checks={"margin": non_negative},
    unreduced="an array of the shape of x1",
    quick=_pairs.QuickRanking(),
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


@several_loss(
    gradients=("x1", "x2"),
    prepare=_pairs.cosine,
    checks={"margin": non_negative},
    numbers=_pairs.cosine_numbers,
    other_label=-1,
)
def cosine_embedding_loss(x1: ArrayLike, x2: ArrayLike, target: ArrayLike, /, *, margin: float = 0.0) -> None:
    r"""Cosine embedding loss: similar pairs should point the same way, others not.

    .. math:: \ell = \begin{cases} 1 - c & t = 1 \\ \max(0, c - m) & t = -1 \end{cases}
              \qquad c = \frac{x_1 \cdot x_2}{\|x_1\| \|x_2\|}

    Parameters
    ----------
    x1, x2 : array_like
        Embeddings, one shape ``(..., D)``. float32 and float64 are computed as they are, float16
        and bfloat16 in float32, integers and bool in float64; x2 is rounded to the type of x1.
    target : array_like
        Shape ``(...)``: +1 for similar pairs, -1 for others.
    margin : float
        Cosines up to m >= 0 cost others nothing.

    Notes
    -----
    A row of zeros has cosine 0 and gradient 0. Cosines lie in [-1, 1], and that of equal rows is
    exactly 1. torch adds 1e-12 below the root and lets other targets pass.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.cosine_embedding_loss([[1.0, 0.0], [1.0, 0.0]], [[3.0, 4.0], [3.0, 4.0]], [1, -1], reduction="none")
    array([0.4, 0.6])
    """


@several_loss(
    gradients=("embeddings", "centers"),
    prepare=_pairs.center,
    checks={},
    quick=_pairs.CENTERS,
    spares=True,
)
def center_loss(embeddings: ArrayLike, centers: ArrayLike, target: ArrayLike, /) -> None:
    r"""Center loss: every embedding is pulled to the center of its class, and the center to them.

    .. math:: \ell = \tfrac{1}{2} \|e - c_t\|^2

    The gradient with respect to an embedding is e - c; that of a center is the sum of c - e over
    the rows of its class, 0 for a class without rows.

    Parameters
    ----------
    embeddings : array_like
        Shape ``(..., D)``. float32 and float64 are computed as they are, float16 and bfloat16 in
        float32, integers and bool in float64.
    centers : array_like
        Shape ``(C, D)``: one row for each class, rounded to the type of the embeddings.
    target : array_like
        Shape ``(...)``, any integer type: the class of each embedding.

    Notes
    -----
    The paper moves its centers by an average of its own instead of the gradient; for that divide
    the gradient of the sum (``reduction="sum"``) by 1 plus the number of rows of each class.

    References
    ----------
    Y. Wen, K. Zhang, Z. Li, Y. Qiao, "A Discriminative Feature Learning Approach for Deep Face
    Recognition", ECCV 2016.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.center_loss([[3.0, 4.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]], [0, 1])
    6.25
    """
