"""Metric learning by similarities: softmax cross-entropy over the products of many embeddings, never all in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastloss import _arcface, _contrast, _ge2e
from fastloss._arguments import finite, flag, non_negative, one_of, positive
from fastloss._products import ARC, BATCH, SPEAKERS
from fastloss._several import several_loss, total_weight


def _as_given(value: Any, name: str) -> Any:
    """A parameter that is checked together with the arrays."""
    return value


def _per_vector(vectors: object, sample_weight: object) -> float:
    """The sum of the weights, one for each embedding."""
    return total_weight(np.shape(vectors)[:-1], sample_weight)  # type: ignore[arg-type]


@several_loss(
    gradients=("query", "key", "negatives"),
    prepare=_contrast.info_nce,
    checks={"temperature": positive, "normalize": flag},
    unreduced="an array of shape (B,)",
    denominator_of="query, /, *, sample_weight=None",
    denominator=_per_vector,
    few=(BATCH, _contrast.info_nce_numbers),
    reads_half=False,
    spares=True,
)
def info_nce_loss(
    query: ArrayLike,
    key: ArrayLike,
    negatives: ArrayLike | None = None,
    /,
    *,
    temperature: float = 0.07,
    normalize: bool = True,
) -> None:
    r"""InfoNCE (NT-Xent): which key belongs to a query, as softmax cross-entropy of their similarities.

    .. math:: \ell_i = -\log \frac{e^{q_i \cdot k_i / \tau}}{e^{q_i \cdot k_i / \tau} + \sum_n e^{q_i \cdot n / \tau}}

    with the positive in the sum. Without ``negatives`` the other rows of key are the negatives of
    each query; with them they are not. With ``normalize`` all rows are divided by their length
    first, and gradients are those of the rows as given.

    Parameters
    ----------
    query : array_like
        Embeddings (B, D). float32 and float64 are computed as they are, float16 and bfloat16 in
        float32, integers and bool in float64; the other arrays are rounded to this type.
    key : array_like
        The positive of each query, (B, D).
    negatives : array_like, optional
        (K, D), shared by all queries, or (B, K, D), each query's own. K = 0 leaves a loss of 0.
    temperature : float
        tau > 0. Small temperatures are what it is for: no term is added inside the logarithm.
    normalize : bool
        Whether similarities are cosines (of a zero vector: 0, and its gradient 0) or plain products.

    Notes
    -----
    The gradient is a tuple of as many arrays as were given: two without ``negatives``, else three.

    Scores are produced in tiles by NumPy's BLAS and consumed in cache: memory beyond inputs and outputs is a
    tile (16 MB in float32), a copy of the normalised keys, and one more tile of gradients, whatever B is. Results have
    the same bits for any number of threads of fastloss; those of the BLAS may change them. Few embeddings (at most 8192
    scores, whose products take at most 2^18 multiplications) are multiplied without it, in float64.

    A product of D terms in the type's own precision is off by up to (D + 8) u ``|q| |k|``, u = 2^-24 or
    2^-53, before it is divided by tau (typically by the square root of D instead of D). The loss of a
    row is off by at most twice that times 1 - p of the positive, a gradient by that times the sum of its absolute
    terms; the rest is rounding of the last digits: a confidently right row keeps its own.

    References
    ----------
    A. van den Oord, Y. Li, O. Vinyals, "Representation Learning with Contrastive Predictive Coding",
    2018. T. Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations",
    ICML 2020 (NT-Xent).

    Examples
    --------
    >>> import fastloss as fl
    >>> query, key = [[1.0, 0.0], [0.0, 2.0]], [[3.0, 4.0], [0.0, 1.0]]
    >>> value, (grad_query, grad_key) = fl.info_nce_loss.value_and_grad(query, key, temperature=1.0)
    >>> round(value, 12)
    0.517813409934
    """


@several_loss(
    gradients=("anchors", "positives"),
    prepare=_contrast.multiple_negatives,
    checks={"scale": positive, "symmetric": flag, "group_ids": _as_given},
    unreduced="an array of shape (B,)",
    denominator_of="anchors, /, *, sample_weight=None",
    denominator=_per_vector,
    few=(BATCH, _contrast.ranking_numbers),
    reads_half=False,
    spares=True,
)
def multiple_negatives_ranking_loss(
    anchors: ArrayLike,
    positives: ArrayLike,
    /,
    *,
    scale: float = 20.0,
    symmetric: bool = False,
    group_ids: ArrayLike | None = None,
) -> None:
    r"""Multiple negatives ranking: the positives of a batch's other anchors are the negatives of each.

    .. math:: \ell_i = -\log \frac{e^{s \cos(a_i, p_i)}}{\sum_j e^{s \cos(a_i, p_j)}}

    which is InfoNCE with cosines and the temperature 1/s.

    Parameters
    ----------
    anchors : array_like
        Embeddings (B, D). float32 and float64 are computed as they are, float16 and bfloat16 in
        float32, integers and bool in float64; positives are rounded to this type.
    positives : array_like
        The positive of each anchor, (B, D).
    scale : float
        s > 0: one over the temperature of other libraries.
    symmetric : bool
        The mean of this loss and of the one with anchors and positives exchanged (row i of either).
    group_ids : array_like, optional
        Integers of shape (B,). Rows of one group are duplicates, not negatives of one another: they
        are left out of each other's sums.

    Notes
    -----
    Memory, threads and accuracy are those of ``info_nce_loss`` (``symmetric``: one more normalised copy, of the
    anchors). A zero vector has cosine 0 and gradient 0.

    References
    ----------
    M. Henderson et al., "Efficient Natural Language Response Suggestion for Smart Reply", 2017.
    N. Reimers, I. Gurevych, "Sentence-BERT", EMNLP 2019 (the library's ``MultipleNegativesRankingLoss``).

    Examples
    --------
    >>> import fastloss as fl
    >>> anchors, positives = [[1.0, 0.0], [0.0, 2.0], [2.0, 0.1]], [[3.0, 4.0], [0.0, 1.0], [3.0, 4.0]]
    >>> round(fl.multiple_negatives_ranking_loss(anchors, positives), 12)
    0.474092513631
    >>> round(fl.multiple_negatives_ranking_loss(anchors, positives, group_ids=[0, 1, 0]), 12)
    0.011996686591
    """


@several_loss(
    gradients=("embeddings", "class_centers"),
    prepare=_arcface.arcface,
    checks={"scale": positive, "margin": non_negative, "class_weight": _as_given, "ignore_index": _as_given},
    unreduced="an array of the target's shape",
    denominator_of="target, /, *, class_weight=None, ignore_index=-100, sample_weight=None",
    denominator=_arcface.arcface_denominator,
    few=(ARC, _arcface.arcface_numbers),
    reads_half=False,
    spares=True,
)
def arcface_loss(
    embeddings: ArrayLike,
    class_centers: ArrayLike,
    target: ArrayLike,
    /,
    *,
    scale: float = 64.0,
    margin: float = 0.5,
    class_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
) -> None:
    r"""ArcFace: softmax cross-entropy of scaled cosines, the target's angle enlarged by a margin.

    .. math:: \ell = -\log \frac{e^{s \varphi(\theta_t)}}{e^{s \varphi(\theta_t)} + \sum_{j \ne t} e^{s \cos \theta_j}},
              \qquad \varphi(\theta) = \begin{cases} \cos(\theta + m) & \theta + m \le \pi \\
              \cos \theta - m \sin m & \text{else} \end{cases}

    theta_j being the angle between the embedding and the center of class j. The second branch keeps
    falling where cos(theta + m) would rise again.

    Parameters
    ----------
    embeddings : array_like
        (..., D), of any length. float32 and float64 are computed as they are, float16 and bfloat16 in
        float32, integers and bool in float64; the centers are rounded to this type.
    class_centers : array_like
        (C, D), of any length: the weights of the last layer, one row a class.
    target : array_like
        Class indices of any integer type, of the shape of embeddings without D.
    scale : float
        s > 0.
    margin : float
        m >= 0, in radians.
    class_weight : array_like, optional
        Weights of shape (C,), finite, >= 0; ``"mean"`` divides by their sum over the targets.
    ignore_index : int or None
        Rows with this class index contribute exactly 0 to value, gradients and denominator, whatever
        they hold. None ignores nothing.

    Notes
    -----
    The derivative of phi by the angle is -sin(theta + m) and follows the unit tangent of the sphere,
    so it is finite everywhere. Where there is no tangent (theta = 0 or pi) and for zero vectors (whose cosines are
    0) the target's own part of the gradient is the zero subgradient. Angles of targets are computed in
    float64, from the tangent's length: a small angle keeps its digits.

    The other scores come in tiles from NumPy's BLAS (see ``info_nce_loss`` for threads and accuracy, its
    1/tau being s); memory beyond inputs and outputs is a tile and one normalised copy of the centers.

    References
    ----------
    J. Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019.

    Examples
    --------
    >>> import fastloss as fl
    >>> embeddings, centers = [[2.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 3.0]]
    >>> value, (grad, grad_centers) = fl.arcface_loss.value_and_grad(embeddings, centers, [0, 1], scale=4.0)
    >>> round(value, 12)
    0.949577006403
    """


@several_loss(
    gradients=("embeddings",),
    scalars=("w", "b"),
    prepare=_ge2e.ge2e,
    checks={"w": finite, "b": finite, "variant": one_of("softmax", "contrast")},
    unreduced="an array of shape (speakers, utterances)",
    denominator_of="embeddings, /, *, sample_weight=None",
    denominator=_per_vector,
    few=(SPEAKERS, _ge2e.ge2e_numbers),
    reads_half=False,
)
def ge2e_loss(embeddings: ArrayLike, /, *, w: float = 10.0, b: float = -5.0, variant: str = "softmax") -> None:
    r"""Generalized end-to-end loss (GE2E): every utterance against the centroids of all speakers.

    .. math:: S_{ji,k} = w \cos(e_{ji}, c_k) + b, \qquad
              \ell_{ji} = -S_{ji,j} + \log \sum_k e^{S_{ji,k}} \quad \text{or} \quad
              1 - \sigma(S_{ji,j}) + \max_{k \ne j} \sigma(S_{ji,k})

    c_k being the mean of the embeddings of speaker k; the utterance's own speaker's leaves the utterance out.

    Parameters
    ----------
    embeddings : array_like
        (speakers, utterances, D), at least 2 utterances each. They are used as given: whoever wants centroids of unit
        vectors (as the paper) passes unit vectors. float32 and float64 are computed as they are,
        float16 and bfloat16 in float32, integers and bool in float64.
    w, b : float
        Learnable scale and offset of the similarities. Any finite number; the paper keeps w > 0.
    variant : {"softmax", "contrast"}
        The first or the second formula. ``"contrast"`` needs at least 2 speakers; of equally similar
        other speakers it takes the one with the lowest index.

    Notes
    -----
    The gradient is a tuple: an array for the embeddings (through every centroid they are in), and
    floats for w and b; b is without effect on the softmax variant, and its derivative 0 there.
    ``grad_out`` is the one array. The paper sums over all utterances: ``reduction="sum"``.

    Memory beyond inputs and outputs is a tile of scores and about a dozen float64 arrays of the size of embeddings.

    A zero vector, a centroid of zero too, has cosine 0 and gradient 0. Own centroids, lengths and gradients
    through them are computed in float64; the other similarities come in tiles from NumPy's BLAS (see
    ``info_nce_loss`` for threads and accuracy, its 1/tau being w).

    References
    ----------
    L. Wan et al., "Generalized End-to-End Loss for Speaker Verification", ICASSP 2018.

    Examples
    --------
    >>> import fastloss as fl
    >>> embeddings = [[[1.0, 0.0], [2.0, 1.0]], [[0.0, 1.0], [-1.0, 3.0]]]
    >>> value, (grad, grad_w, grad_b) = fl.ge2e_loss.value_and_grad(embeddings)
    >>> round(value, 12), grad_b
    (0.000754724366, 0.0)
    """
