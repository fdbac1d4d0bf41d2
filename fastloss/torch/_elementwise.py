"""Losses of elements that torch.nn.functional has, with its names, arguments, defaults and conventions."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

import fastloss as fl
from fastloss.torch._autograd import run
from fastloss.torch._common import former_reduction, loss
from fastloss.torch._tensors import check_tensor

_INPUT = ("input", "target")


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


@loss("input", "target")
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
    reduction = former_reduction(size_average, reduce, reduction)
    return run(fl.mse_loss, (x, t), reduction, names=_INPUT, mirrored=True, **_element_weight(weight, x))


@loss("input", "target")
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Absolute error, as ``torch.nn.functional.l1_loss``; the mean divides by the sum of the weights.

    input, target : Tensor
        Of one shape; of different ones they are broadcast, with a warning. The target may require grad too.
    weight : Tensor, optional
        Finite and >= 0, of the input's shape.
    """
    x, t = _pair(input, target)
    reduction = former_reduction(size_average, reduce, reduction)
    return run(fl.l1_loss, (x, t), reduction, names=_INPUT, mirrored=True, **_element_weight(weight, x))


@loss("input", "target")
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Smooth L1 loss, as ``torch.nn.functional.smooth_l1_loss``.

    input, target : Tensor
        Of one shape; of different ones they are broadcast, with a warning. The target may require grad too.
    beta : float
        Width of the quadratic part, >= 0.
    """
    reduction = former_reduction(size_average, reduce, reduction)
    return run(fl.smooth_l1_loss, _pair(input, target), reduction, (beta,), names=_INPUT, mirrored=True)


@loss("input", "target")
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Huber loss, as ``torch.nn.functional.huber_loss``; the mean divides by the number of elements.

    input, target : Tensor
        Of one shape; of different ones they are broadcast, with a warning. The target may require grad too.
    delta : float
        Where the quadratic part meets the linear one, > 0.
    weight : Tensor, optional
        Finite and >= 0, of the input's shape.
    """
    x, t = _pair(input, target)
    weights = _element_weight(weight, x)
    if weights and reduction == "mean" and x.numel():
        weights["denominator"] = x.numel()
    return run(fl.huber_loss, (x, t), reduction, (delta,), names=_INPUT, mirrored=True, **weights)


@loss("input")
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
    reduction = former_reduction(size_average, reduce, reduction)
    return run(fl.binary_cross_entropy, (input, target), reduction, names=_INPUT, **_rescaled(weight, input, reduction))


@loss("input")
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
    reduction = former_reduction(size_average, reduce, reduction)
    weights = _rescaled(weight, input, reduction)
    return run(fl.binary_cross_entropy_with_logits, (input, target), reduction, (pos_weight,), names=_INPUT, **weights)


@loss("input")
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean over the last dimension of the binary cross-entropy of logits, as torch's function of this name.

    input, target : Tensor
        Logits and numbers in [0, 1], (N, C) or (C,).
    weight : Tensor, optional
        One number for each class.
    """
    reduction = former_reduction(size_average, reduce, reduction)
    loss = binary_cross_entropy_with_logits(input, target, weight, reduction=reduction)
    if reduction == "mean":
        return loss
    return loss.mean(-1) if reduction == "none" else loss / input.shape[-1]


@loss("input")
def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """Logistic loss of scores, as ``torch.nn.functional.soft_margin_loss``; nothing overflows.

    input, target : Tensor
        Scores, and labels that are -1 or +1, of one shape.
    """
    return run(fl.soft_margin_loss, (input, target), former_reduction(size_average, reduce, reduction), names=_INPUT)


@loss("input")
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

    input, target : Tensor
        Logarithms of means, or with ``log_input=False`` means >= 0; counts >= 0 of the same shape.
    log_input : bool
        What the input is.
    full : bool
        Whether Stirling's approximation of log t! is added where t > 1.
    eps : float
        Added to a mean (``log_input=False``) inside the logarithm, as torch does; with 0 a mean of 0 is exact.
    """
    reduction = former_reduction(size_average, reduce, reduction)
    parameters = (log_input, full)
    if log_input or eps == 0:
        return run(fl.poisson_nll_loss, (input, target), reduction, parameters, names=_INPUT)
    # x + eps - t log(x + eps) is the loss of a mean of x + eps, and more than what is wanted by eps.
    loss = run(fl.poisson_nll_loss, (input + eps, target), reduction, parameters, names=_INPUT)
    return loss - (eps * input.numel() if reduction == "sum" else eps)
