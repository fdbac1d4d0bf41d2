"""How a loss object of fastloss becomes a differentiable function of tensors.

With "mean" and "sum" value and gradient are computed together in the forward pass, as one kernel does both, and
backward multiplies by the upstream gradient. With "none" every row has its own upstream gradient, which a loss whose
rows share embeddings needs inside its kernel: backward calls that, and the forward pass computes the value alone.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from fastloss._products import products_by
from fastloss._several import UNWANTED
from fastloss.torch._tensors import Array, array_of, check_tensor, product, real_type, tensor_of

HALF = (torch.bfloat16, torch.float16)

# Whether this backward pass leaves the graph for another one; unless it does, gradients may be scaled where they lie.
_graph_is_kept = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)
_transforms_active = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)

# Of each loss, by the name of an array or scalar, which of the gradients that it returns is that one's.
_PLACES: dict[Any, dict[str, int]] = {}


_NO_PRODUCTS = nullcontext()


def products(loss: Any) -> AbstractContextManager[None]:
    """Where the loss runs: with torch's own products of matrices, should it make any."""
    return products_by(product) if loss.kind == "several" else _NO_PRODUCTS


class Call:
    """One call of a loss, but for its tensors, which are its arrays and then those among its keywords.

    With ``mirrored``, the loss is one of the difference of its two arrays, and the second one's gradient is the
    first's with the sign turned. ``wanted`` says whether there is a backward pass to prepare for.
    """

    __slots__ = ("dtype", "keywords", "loss", "mirrored", "names", "wanted")

    def __init__(self, loss: Any, keywords: dict[str, Any], names: tuple[str, ...], mirrored: bool) -> None:
        self.loss, self.keywords, self.names, self.mirrored = loss, keywords, names, mirrored
        self.wanted = False
        self.dtype: Any = None

    def _arguments(self, tensors: Any) -> tuple[list[Array | None], dict[str, Any]]:
        arrays = [None if t is None else array_of(t, n) for t, n in zip(tensors, self.names, strict=True)]
        count = len(self.loss.arrays)
        if len(arrays) == count:
            return arrays, self.keywords
        return arrays[:count], self.keywords | dict(zip(self.names[count:], arrays[count:], strict=True))

    def value(self, tensors: Any) -> Any:
        """The value as the loss gives it."""
        arrays, keywords = self._arguments(tensors)
        with products(self.loss):
            return self.loss(*arrays, **keywords)

    def value_and_grad(self, tensors: Any, needed: Any, upstream: Array | None = None) -> tuple[Any, list[Any]]:
        """The value, and a tensor for the gradient of every tensor that needs one, else None."""
        arrays, keywords = self._arguments(tensors)
        if upstream is not None:
            keywords = keywords | {"grad_output": upstream}
        if self.loss.kind == "several" and self.loss._spares:
            there = zip(self.loss.arrays, arrays, needed, strict=False)
            needs = [need for name, array, need in there if array is not None and name in self.loss.gradients]
            keywords = keywords | {"grad_out": [None if need else UNWANTED for need in needs]}
        with products(self.loss):
            value, found = self.loss.value_and_grad(*arrays, **keywords)
        if not isinstance(found, tuple):
            return value, [tensor_of(found, tensors[0].dtype), *(None for _ in tensors[1:])]
        places, results = places_of(self.loss), []
        own = (*self.loss.arrays, *self.names[len(self.loss.arrays) :])
        for name, tensor, need in zip(own, tensors, needed, strict=True):
            gradient = found[places[name]] if need else None
            if isinstance(gradient, float):  # of a learnable scalar
                results.append(torch.full_like(tensor, gradient, requires_grad=False))
            else:
                results.append(None if gradient is None else tensor_of(gradient, tensor.dtype))
        return value, results


class Reduced(torch.autograd.Function):  # type: ignore[misc]
    """A mean or a sum."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Any) -> Any:
        """The value; where it is wanted, the gradient is computed in the same pass and kept."""
        if not call.wanted:
            return torch.scalar_tensor(call.value(tensors), dtype=call.dtype)
        value, gradients = call.value_and_grad(tensors, ctx.needs_input_grad[1:])
        ctx.call = call
        ctx.save_for_backward(*gradients)
        return torch.scalar_tensor(value, dtype=call.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        """The gradients that were kept, times the upstream gradient."""
        if torch.is_grad_enabled():
            return None, *_once(ctx, Reduced._scaled, upstream)
        return None, *Reduced._scaled(ctx, upstream)

    @staticmethod
    def _scaled(ctx: Any, upstream: Any) -> list[Any]:
        gradients = list(ctx.saved_tensors)
        factor = upstream.item()
        turned = None
        if ctx.call.mirrored and ctx.needs_input_grad[2]:
            turned = gradients[0] * -factor
        if factor != 1.0:
            scaled = torch.Tensor.mul if _graph_is_kept() else torch.Tensor.mul_
            gradients = [None if g is None else scaled(g, factor) for g in gradients]
        if turned is not None:
            gradients[1] = turned
        return gradients


class Unreduced(torch.autograd.Function):  # type: ignore[misc]
    """A loss for each row."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Any) -> Any:
        """The values."""
        if call.wanted:
            ctx.call = call
            ctx.save_for_backward(*tensors)
        return tensor_of(call.value(tensors), call.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        """The gradients of the rows weighted by their upstream gradients, in one pass."""
        if torch.is_grad_enabled():
            return None, *_once(ctx, Unreduced._weighted, upstream)
        return None, *Unreduced._weighted(ctx, upstream)

    @staticmethod
    def _weighted(ctx: Any, upstream: Any) -> list[Any]:
        needed = ctx.needs_input_grad[1:]
        weights = array_of(upstream, "grad_output")
        gradients: list[Any] = ctx.call.value_and_grad(ctx.saved_tensors, needed, weights)[1]
        if ctx.call.mirrored and needed[1]:
            gradients[1] = -gradients[0]
        return gradients


class Once(torch.autograd.Function):  # type: ignore[misc]
    """Gradients that have no gradient themselves, and say so: else those of a penalty on them would be lost unseen."""

    @staticmethod
    def forward(ctx: Any, name: str, *gradients: Any) -> Any:
        """The same numbers."""
        ctx.name = name
        return tuple(g.clone() for g in gradients)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        """There is none."""
        raise RuntimeError(f"fastloss.torch.{ctx.name} cannot be differentiated twice: its kernels give first "
                           "derivatives; torch.nn.functional's can, where gradients are differentiated")  # fmt: skip


def _once(ctx: Any, compute: Any, upstream: Any) -> list[Any]:
    """The gradients under ``create_graph=True``, so that their own backward pass raises."""
    with torch.no_grad():
        gradients = compute(ctx, upstream)
    there = [g.detach().requires_grad_() for g in gradients if g is not None]
    marked = iter(Once.apply(ctx.call.loss.__name__, *there))
    return [None if g is None else next(marked) for g in gradients]


def run(
    loss: Any,
    arrays: tuple[Any, ...],
    reduction: str,
    parameters: dict[str, Any],
    *,
    names: tuple[str, ...] | None = None,
    mirrored: bool = False,
) -> Any:
    """The loss of tensors as a tensor: what every public function calls.

    Parameters
    ----------
    loss
        A loss object of fastloss.
    arrays
        Its arrays, as tensors; None for one that is omitted.
    reduction
        "mean", "sum" or "none".
    parameters
        Its keywords; tensors among them are read as arrays.
    names
        What the arrays are called by the user, where not as in the loss.
    mirrored
        Whether the loss is one of the difference of its two arrays.
    """
    if torch.compiler.is_compiling():
        return outside_of_the_graph(_run, loss, arrays, reduction, parameters, names or loss.arrays, mirrored)
    return _run(loss, arrays, reduction, parameters, names or loss.arrays, mirrored)


def _run(
    loss: Any,
    tensors: tuple[Any, ...],
    reduction: str,
    parameters: dict[str, Any],
    names: tuple[str, ...],
    mirrored: bool,
) -> Any:
    if _transforms_active():
        refuse_transforms(loss.__name__)
    own = loss.arrays
    given = {name: value for name, value in parameters.items() if isinstance(value, Tensor)}
    keywords = {"reduction": reduction, **parameters}
    if given:
        tensors, names, own = (*tensors, *given.values()), (*names, *given), (*own, *given)
        for name in given:
            del keywords[name]
    call = Call(loss, keywords, names, mirrored)
    if torch.is_autocast_enabled("cpu"):
        # As torch's own losses: in float32, and float32 is what they return.
        tensors = tuple(in_float32(t) for t in tensors)
    if torch.is_grad_enabled():
        for k, tensor in enumerate(tensors):
            if isinstance(tensor, Tensor) and tensor.requires_grad:
                if own[k] not in places_of(loss) and not (mirrored and k == 1):
                    raise ValueError(f"{names[k]} requires grad, but fastloss.torch.{loss.__name__} has no gradient "
                                     f"for it; expected {names[k]}.detach()")  # fmt: skip
                call.wanted = True
    check_tensor(tensors[0], names[0])
    call.dtype = real_type(tensors[0])
    return (Unreduced if reduction == "none" else Reduced).apply(call, *tensors)


def places_of(loss: Any) -> dict[str, int]:
    """Of each argument that has a gradient, its place among those that the loss returns."""
    found = _PLACES.get(loss)
    if found is None:
        names = (*loss.gradients, *loss.scalars) if loss.kind == "several" else loss.arrays[:1]
        found = _PLACES[loss] = {name: k for k, name in enumerate(names)}
    return found


def outside_of_the_graph(function: Any, *arguments: Any) -> Any:
    """Call a function where torch.compile finds a break of the graph; it would trace NumPy calls as its own."""
    return torch.compiler.disable(function)(*arguments)


def refuse_transforms(name: str) -> None:
    """Raise under torch.func, whose wrapped tensors no kernel can read."""
    if _transforms_active():
        raise RuntimeError(f"fastloss.torch.{name} does not work under torch.func (vmap, grad, jvp ...): its kernels "
                           "read plain tensors alone; use torch.autograd")  # fmt: skip


def in_float32(tensor: Any) -> Any:
    """What autocast makes of the input of a loss: half-precision tensors become float32."""
    return tensor.float() if isinstance(tensor, Tensor) and tensor.dtype in HALF else tensor
