"""Losses of rows that torch.nn.functional has, of classes or embeddings, as it has them: names, arguments, defaults."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

import fastloss as fl
from fastloss.torch._autograd import run
from fastloss.torch._common import former_reduction, loss
from fastloss.torch._kl_div import kl_div as _kl_div
from fastloss.torch._tensors import class_axis

_INPUT = ("input", "target")
_INPUTS = ("input1", "input2", "target")


@loss("input")
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Kullback-Leibler divergence of logarithms of probabilities, as ``torch.nn.functional.kl_div``.

    What has probability 0 costs 0, also where the input is -inf (torch: NaN).

    input : Tensor
        Logarithms of probabilities.
    target : Tensor
        Probabilities, or with ``log_target`` their logarithms, of the same shape.
    log_target : bool
        What the target is.
    reduction : {"mean", "batchmean", "sum", "none"}
        ``"mean"`` divides by the number of elements, with torch's warning; ``"batchmean"`` by the first dimension.
    """
    if size_average is None and reduce is None and reduction == "mean":
        warnings.warn("reduction: 'mean' divides the total loss by both the batch size and the support size. "
                      "'batchmean' divides only by the batch size, and aligns with the KL div math definition.",
                      stacklevel=2)  # fmt: skip
    reduction = former_reduction(size_average, reduce, reduction)
    denominator = None
    if reduction == "batchmean":
        reduction = "mean" if input.ndim else "sum"
        if input.ndim and len(input):
            denominator = len(input)
    return run(_kl_div, (input, target), reduction, (log_target,), denominator=denominator)


@loss("input")
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Softmax cross-entropy, as ``torch.nn.functional.cross_entropy``.

    input : Tensor
        Logits (N, C, ...) or (C,).
    target : Tensor
        Class indices of any integer type, (N, ...) or (); or probabilities of the input's shape.
    weight : Tensor, optional
        One finite number >= 0 per class. The mean divides by the sum of those of the targets.
    ignore_index : int
        Rows of this class cost nothing and count nothing; if all are, the mean is NaN and the gradient 0.
    label_smoothing : float
        In [0, 1].
    """
    if size_average is not None or reduce is not None:
        reduction = former_reduction(size_average, reduce, reduction)
    parameters = (weight, ignore_index, label_smoothing, 1.0, None, 0.0, class_axis(input))
    return run(fl.cross_entropy, (input, target), reduction, parameters, _INPUT)


@loss("input")
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Multi-class hinge loss divided by the number of classes, as ``torch.nn.functional.multi_margin_loss``.

    The mean divides by the number of rows.

    input : Tensor
        Scores (N, C) or (C,).
    target : Tensor
        Class indices, (N,) or ().
    p : {1, 2}
        Of 2 fastloss has no kernel: that is torch's own function.
    margin : float
        At least 0.
    weight : Tensor, optional
        One finite number >= 0 per class.
    """
    reduction = former_reduction(size_average, reduce, reduction)
    if p != 1:
        return torch.nn.functional.multi_margin_loss(input, target, p, margin, weight, reduction=reduction)
    parameters = (margin, "weston-watkins", "classes", weight, None, -1)
    rows = target.numel() if reduction == "mean" and weight is not None else 0
    if input.ndim == 1:
        target = target.reshape(())
    return run(fl.multiclass_hinge_loss, (input, target), reduction, parameters, names=_INPUT,
               denominator=rows or None)  # fmt: skip


@loss("input1", "input2")
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Cosine embedding loss, as ``torch.nn.functional.cosine_embedding_loss``.

    input1, input2 : Tensor
        Embeddings (N, D) or (D,).
    target : Tensor
        Labels -1 and +1, (N,) or ().
    margin : float
        Cosines of dissimilar pairs up to it, >= 0, cost nothing.
    """
    return run(fl.cosine_embedding_loss, (input1, input2, target), former_reduction(size_average, reduce, reduction),
               (margin,), names=_INPUTS)  # fmt: skip


@loss("input1", "input2")
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Margin ranking loss, as ``torch.nn.functional.margin_ranking_loss``.

    At the kink the gradient is 0; torch's is that of the slope.

    input1, input2, target : Tensor
        Scores, and +1 where the first should be the higher one, else -1; of one shape.
    margin : float
        At least 0.
    """
    return run(fl.margin_ranking_loss, (input1, input2, target), former_reduction(size_average, reduce, reduction),
               (margin,), names=_INPUTS)  # fmt: skip


@loss("anchor", "positive", "negative")
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Triplet margin loss, as ``torch.nn.functional.triplet_margin_loss``.

    anchor, positive, negative : Tensor
        Embeddings (..., D), of one shape.
    margin : float
        At least 0.
    p : float
        The norm, at least 1.
    swap : bool
        Whether the negative's distance is the lesser of those from the anchor and from the positive.
    eps : float
        Added to every difference from the anchor, as torch does; it is not added to the difference that ``swap``
        compares, which moves that distance by at most ``eps * D ** (1 / p)``. With 0 a distance of 0 has gradient 0.
    """
    moved = anchor + eps if eps else anchor
    parameters = (margin, False, p, swap)
    return run(fl.triplet_margin_loss, (moved, positive, negative), former_reduction(size_average, reduce, reduction),
               parameters)  # fmt: skip
