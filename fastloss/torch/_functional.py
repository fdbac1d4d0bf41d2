"""The losses that torch.nn.functional has, with its names, arguments, defaults and conventions."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

import fastloss as fl
from fastloss.torch._autograd import run
from fastloss.torch._kl_div import kl_div as _kl_div
from fastloss.torch._tensors import check_tensor, class_axis

_INPUT = ("input", "target")


def _reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction, or what the two arguments it replaced stand for, with torch's own warning."""
    if size_average is None and reduce is None:
        return reduction
    average, reduced = size_average is None or size_average, reduce is None or reduce
    meant = ("mean" if average else "sum") if reduced else "none"
    warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{meant}' instead.",
                  stacklevel=3)  # fmt: skip
    return meant


def _pair(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The two as they are; of different shapes, with torch's own warning, broadcast."""
    if isinstance(input, Tensor) and isinstance(target, Tensor) and input.shape != target.shape:
        warnings.warn(f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). "
                      "This will likely lead to incorrect results due to broadcasting. Please ensure they have the "
                      "same size.", stacklevel=3)  # fmt: skip
        return tuple(torch.broadcast_tensors(input, target))
    return input, target


def _element_weight(weight: Tensor | None, input: Tensor) -> dict[str, Any]:
    """The weight of each element, which torch wants of the very shape of the input."""
    if weight is None:
        return {}
    check_tensor(input, "input")
    check_tensor(weight, "weight")
    if weight.shape != input.shape:
        raise ValueError(f"weight has shape {tuple(weight.shape)} but input has shape {tuple(input.shape)}; expected "
                         "equal shapes")  # fmt: skip
    return {"sample_weight": weight}


def _rescaled(weight: Tensor | None, input: Tensor, reduction: str) -> dict[str, Any]:
    """A weight that multiplies the loss and does not enter what the mean divides by."""
    if weight is None:
        return {}
    check_tensor(input, "input")
    check_tensor(weight, "weight")
    parameters: dict[str, Any] = {"sample_weight": weight.expand(input.shape)}
    if reduction == "mean" and input.numel():
        parameters["denominator"] = input.numel()
    return parameters


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Squared error, as ``torch.nn.functional.mse_loss``; the mean divides by the sum of the weights.

    input, target : Tensor
        Of one shape; of different ones they are broadcast, with a warning. The target may require grad too.
    weight : Tensor, optional
        Finite and >= 0, of the input's shape.
    """
    x, t = _pair(input, target)
    reduction = _reduction(size_average, reduce, reduction)
    return run(fl.mse_loss, (x, t), reduction, _element_weight(weight, x), names=_INPUT, mirrored=True)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Absolute error, as ``torch.nn.functional.l1_loss``; arguments as those of ``mse_loss``."""
    x, t = _pair(input, target)
    reduction = _reduction(size_average, reduce, reduction)
    return run(fl.l1_loss, (x, t), reduction, _element_weight(weight, x), names=_INPUT, mirrored=True)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Smooth L1 loss, as ``torch.nn.functional.smooth_l1_loss``; the target may require grad too."""
    reduction = _reduction(size_average, reduce, reduction)
    return run(fl.smooth_l1_loss, _pair(input, target), reduction, {"beta": beta}, names=_INPUT, mirrored=True)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Huber loss, as ``torch.nn.functional.huber_loss``: its mean divides by the number of elements, whatever the
    weights. The target may require grad too.
    """
    x, t = _pair(input, target)
    weights = _element_weight(weight, x)
    if weights and reduction == "mean" and x.numel():
        weights["denominator"] = x.numel()
    return run(fl.huber_loss, (x, t), reduction, {"delta": delta, **weights}, names=_INPUT, mirrored=True)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross-entropy of probabilities, as ``torch.nn.functional.binary_cross_entropy``.

    torch cuts a logarithm off at -100 and a derivative at 1e12; here a probability of 0 for what happened costs +inf.

    input, target : Tensor
        Numbers in [0, 1], of one shape.
    weight : Tensor, optional
        Multiplies the loss; it broadcasts to the input, and does not enter what the mean divides by.
    """
    reduction = _reduction(size_average, reduce, reduction)
    return run(fl.binary_cross_entropy, (input, target), reduction, _rescaled(weight, input, reduction), names=_INPUT)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy of logits, as ``torch.nn.functional.binary_cross_entropy_with_logits``.

    input, target : Tensor
        Logits, infinite ones too, and numbers in [0, 1], of one shape.
    weight : Tensor, optional
        Multiplies the loss; it broadcasts to the input, and does not enter what the mean divides by.
    pos_weight : Tensor, optional
        Multiplies the positive part; it broadcasts to the input.
    """
    reduction = _reduction(size_average, reduce, reduction)
    parameters = {"pos_weight": pos_weight, **_rescaled(weight, input, reduction)}
    return run(fl.binary_cross_entropy_with_logits, (input, target), reduction, parameters, names=_INPUT)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean over the last dimension of the binary cross-entropy of logits, as torch's function of this name."""
    reduction = _reduction(size_average, reduce, reduction)
    loss = binary_cross_entropy_with_logits(input, target, weight, reduction=reduction)
    if reduction == "mean":
        return loss
    return loss.mean(-1) if reduction == "none" else loss / input.shape[-1]


def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """Logistic loss of scores and labels -1 and +1, as ``torch.nn.functional.soft_margin_loss``; nothing overflows."""
    return run(fl.soft_margin_loss, (input, target), _reduction(size_average, reduce, reduction), {}, names=_INPUT)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Poisson negative log-likelihood, as ``torch.nn.functional.poisson_nll_loss``.

    eps : float
        Added to a mean (``log_input=False``) inside the logarithm, as torch does; with 0 a mean of 0 is exact.
    """
    reduction = _reduction(size_average, reduce, reduction)
    parameters = {"log_input": log_input, "full": full}
    if log_input or eps == 0:
        return run(fl.poisson_nll_loss, (input, target), reduction, parameters, names=_INPUT)
    # x + eps - t log(x + eps) is the loss of a mean of x + eps, and more than what is wanted by eps.
    loss = run(fl.poisson_nll_loss, (input + eps, target), reduction, parameters, names=_INPUT)
    return loss - (eps * input.numel() if reduction == "sum" else eps)


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
    reduction : {"mean", "batchmean", "sum", "none"}
        ``"mean"`` divides by the number of elements, with torch's warning; ``"batchmean"`` by the first dimension.
    """
    if size_average is None and reduce is None and reduction == "mean":
        warnings.warn("reduction: 'mean' divides the total loss by both the batch size and the support size. "
                      "'batchmean' divides only by the batch size, and aligns with the KL div math definition.",
                      stacklevel=2)  # fmt: skip
    reduction = _reduction(size_average, reduce, reduction)
    parameters: dict[str, Any] = {"log_target": log_target}
    if reduction == "batchmean":
        reduction = "mean" if input.ndim else "sum"
        if input.ndim and len(input):
            parameters["denominator"] = len(input)
    return run(_kl_div, (input, target), reduction, parameters)


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
    parameters = {
        "class_weight": weight,
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "axis": class_axis(input),
    }
    return run(fl.cross_entropy, (input, target), _reduction(size_average, reduce, reduction), parameters, names=_INPUT)


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

    Of ``p=2`` fastloss has no kernel: that is torch's own function. The mean divides by the number of rows.
    """
    reduction = _reduction(size_average, reduce, reduction)
    if p != 1:
        return torch.nn.functional.multi_margin_loss(input, target, p, margin, weight, reduction=reduction)
    parameters: dict[str, Any] = {"margin": margin, "class_weight": weight, "scale": "classes", "ignore_index": None}
    if reduction == "mean" and weight is not None and target.numel():
        parameters["denominator"] = target.numel()
    if input.ndim == 1:
        target = target.reshape(())
    return run(fl.multiclass_hinge_loss, (input, target), reduction, parameters, names=_INPUT)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Cosine embedding loss of (N, D) or (D,), labels -1 and +1, as ``torch.nn.functional.cosine_embedding_loss``."""
    names = ("input1", "input2", "target")
    return run(fl.cosine_embedding_loss, (input1, input2, target), _reduction(size_average, reduce, reduction),
               {"margin": margin}, names=names)  # fmt: skip


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Margin ranking loss of three tensors of one shape, as ``torch.nn.functional.margin_ranking_loss``.

    At the kink the gradient is 0; torch's is that of the slope.
    """
    names = ("input1", "input2", "target")
    return run(fl.margin_ranking_loss, (input1, input2, target), _reduction(size_average, reduce, reduction),
               {"margin": margin}, names=names)  # fmt: skip


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
    """Triplet margin loss of rows (..., D), as ``torch.nn.functional.triplet_margin_loss``.

    eps : float
        Added to every difference from the anchor, as torch does; it is not added to the difference that ``swap``
        compares, which moves that distance by at most ``eps * D ** (1 / p)``. With 0 a distance of 0 has gradient 0.
    """
    moved = anchor + eps if eps else anchor
    parameters = {"margin": margin, "p": p, "swap": swap}
    return run(fl.triplet_margin_loss, (moved, positive, negative), _reduction(size_average, reduce, reduction),
               parameters)  # fmt: skip
