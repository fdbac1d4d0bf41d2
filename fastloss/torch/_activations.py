"""Activations, differentiable any number of times: their derivatives are made of activations again."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

import fastloss as fl
from fastloss.torch._autograd import in_float32, outside_of_the_graph, refuse_transforms
from fastloss.torch._tensors import array_of, check_tensor, real_type, tensor_of


class _Activation(torch.autograd.Function):  # type: ignore[misc]
    """One of the activations, by the name it has in fastloss."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, name: str, dim: int | None) -> Any:
        """The values."""
        keywords = {} if dim is None else {"axis": dim}
        ctx.name, ctx.dim = name, dim
        ctx.save_for_backward(input)
        return tensor_of(getattr(fl, name)(array_of(input, "input"), **keywords), real_type(input))

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        """The derivative, through functions that have one themselves."""
        (x,) = ctx.saved_tensors
        return _SLOPES[ctx.name](upstream, x, ctx.dim), None, None


def _apply(name: str, input: Tensor, dim: int | None = None) -> Any:
    if torch.compiler.is_compiling():
        return outside_of_the_graph(_apply_outside, name, input, dim)
    return _apply_outside(name, input, dim)


def _apply_outside(name: str, input: Tensor, dim: int | None) -> Any:
    refuse_transforms(name)
    check_tensor(input, "input")
    if torch.is_autocast_enabled("cpu"):
        input = in_float32(input)
    return _Activation.apply(input, name, dim)


def _softmax_slope(g: Any, x: Any, dim: int) -> Any:
    y = _apply("softmax", x, dim)
    weighted = g * y
    return weighted - y * weighted.sum(dim, keepdim=True)


_SLOPES: dict[str, Any] = {
    # A product of two small numbers where 1 - sigmoid(x) would have no digits left.
    "sigmoid": lambda g, x, dim: g * _apply("sigmoid", x) * _apply("sigmoid", -x),
    "log_sigmoid": lambda g, x, dim: g * _apply("sigmoid", -x),
    "softplus": lambda g, x, dim: g * _apply("sigmoid", x),
    "softmax": _softmax_slope,
    "log_softmax": lambda g, x, dim: g - _apply("softmax", x, dim) * g.sum(dim, keepdim=True),
    "logsumexp": lambda g, x, dim: g.unsqueeze(dim) * _apply("softmax", x, dim),
}


def sigmoid(input: Tensor) -> Tensor:
    """Logistic function of a tensor, within 1 ULP."""
    return _apply("sigmoid", input)


def logsigmoid(input: Tensor) -> Tensor:
    """Logarithm of the logistic function of a tensor, within 1 ULP."""
    return _apply("log_sigmoid", input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * input)) / beta of a tensor.

    Nothing overflows, so there is no need for `threshold`, above which torch gives the input itself: one of 20 or more
    is without effect here, and with less it is torch's own function.
    """
    if threshold < 20.0:
        return torch.nn.functional.softplus(input, beta, threshold)
    return _apply("softplus", input) if beta == 1 else _apply("softplus", input * beta) / beta


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Softmax of a tensor; without `dim` the dimension is chosen by torch's rule, with its warning."""
    return _over_classes("softmax", input, dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Tensor:
    """Logarithm of the softmax of a tensor; confident rows keep their digits."""
    return _over_classes("log_softmax", input, dim, dtype)


def logsumexp(input: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    """Logarithm of the sum of exponentials over one dimension, as ``torch.logsumexp``."""
    result = _over_classes("logsumexp", input, dim, None)
    return result.unsqueeze(dim) if keepdim else result


def _over_classes(name: str, input: Tensor, dim: int | None, dtype: Any) -> Any:
    if dim is None:
        dim = 0 if input.ndim in (0, 1, 3) else 1
        warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as "
                      "an argument.", stacklevel=3)  # fmt: skip
    return _apply(name, input if dtype is None else input.to(dtype), dim)
