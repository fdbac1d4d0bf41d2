"""How a loss object of fastloss becomes a differentiable function of tensors.

With "mean" and "sum" value and gradient are computed together in the forward pass, as one kernel does both, and
backward multiplies by the upstream gradient. With "none" every row has its own upstream gradient, which a loss whose
rows share embeddings needs inside its kernel: backward calls that, and the forward pass computes the value alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastloss.torch._tensors import Array, array_of, check_tensor, real_type, tensor_of

# Whether this backward pass leaves the graph for another one; unless it does, gradients may be scaled where they lie.
_graph_is_kept = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)
_transforms_active = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)


HALF = (torch.bfloat16, torch.float16)


class Call:
    """One call of a loss, but for its tensors.

    ``names`` are those of the tensors: the loss's arrays, then keywords. ``places`` says for each which of the loss's
    gradients is its own (None: none); with ``mirrored``, the loss is one of the difference of its two arrays, and
    the second one's gradient is the first's with the sign turned.
    """

    __slots__ = ("dtype", "keywords", "loss", "mirrored", "names", "places", "reduction", "wanted")

    def __init__(self, loss: Any, reduction: str, keywords: dict[str, Any], mirrored: bool) -> None:
        self.loss, self.reduction, self.keywords, self.mirrored = loss, reduction, keywords, mirrored
        self.names: list[str] = []
        self.places: list[int | None] = []
        self.wanted = False
        self.dtype: Any = None

    def evaluate(self, tensors: Any, gradient: bool, upstream: Array | None = None) -> Any:
        """The value, or value and tuple of gradients, as the loss gives them."""
        count = len(self.loss.arrays)
        arrays = [None if t is None else array_of(t, n) for t, n in zip(tensors[:count], self.names, strict=False)]
        keywords = self.keywords
        if len(tensors) > count:
            given = zip(self.names[count:], tensors[count:], strict=True)
            keywords = keywords | {name: array_of(t, name) for name, t in given}
        if not gradient:
            return self.loss(*arrays, reduction=self.reduction, **keywords)
        if upstream is not None:
            keywords = keywords | {"grad_output": upstream}
        value, gradients = self.loss.value_and_grad(*arrays, reduction=self.reduction, **keywords)
        return value, gradients if isinstance(gradients, tuple) else (gradients,)

    def gradient_of(self, k: int, tensor: Any, gradients: Any) -> Any:
        """The gradient of one of the tensors, None where it has none; learnable scalars have numbers for theirs."""
        place = self.places[k]
        found = None if place is None else gradients[place]
        if found is None:
            return None
        if isinstance(found, float):
            return torch.full_like(tensor, found, requires_grad=False)
        return tensor_of(found, tensor.dtype)


class Reduced(torch.autograd.Function):  # type: ignore[misc]
    """A mean or a sum."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Any) -> Any:
        """The value; where it is wanted, the gradient is computed in the same pass and kept."""
        if not call.wanted:
            return torch.scalar_tensor(call.evaluate(tensors, False), dtype=call.dtype)
        value, gradients = call.evaluate(tensors, True)
        needed = ctx.needs_input_grad[1:]
        ctx.name = call.loss.__name__
        ctx.mirrored = call.mirrored and needed[1]
        if call.mirrored:
            needed = (needed[0] or needed[1], *(False for _ in needed[1:]))
        ctx.save_for_backward(
            *(call.gradient_of(k, t, gradients) if needed[k] else None for k, t in enumerate(tensors))
        )
        return torch.scalar_tensor(value, dtype=call.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        """The gradients that were kept, times the upstream gradient."""
        with torch.no_grad():
            gradients = Reduced._scaled(ctx, upstream)
        return None, *_once(ctx.name, gradients)

    @staticmethod
    def _scaled(ctx: Any, upstream: Any) -> list[Any]:
        gradients = list(ctx.saved_tensors)
        factor = upstream.item()
        turned = gradients[0] * -factor if ctx.mirrored else None
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
        return tensor_of(call.evaluate(tensors, False), call.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        """The gradients of the rows weighted by their upstream gradients, in one pass."""
        with torch.no_grad():
            gradients = Unreduced._weighted(ctx, upstream)
        return None, *_once(ctx.call.loss.__name__, gradients)

    @staticmethod
    def _weighted(ctx: Any, upstream: Any) -> list[Any]:
        call, tensors = ctx.call, ctx.saved_tensors
        _, gradients = call.evaluate(tensors, True, array_of(upstream, "grad_output"))
        results: list[Any] = [None] * len(tensors)
        for k, tensor in enumerate(tensors):
            if ctx.needs_input_grad[k + 1]:
                turned = call.mirrored and k == 1
                results[k] = call.gradient_of(0 if turned else k, tensor, gradients)
                if turned:
                    results[k] = results[k].neg()
        return results


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


def _once(name: str, gradients: list[Any]) -> list[Any]:
    """The gradients as they are, or under ``create_graph=True`` so that their own backward pass raises."""
    if not torch.is_grad_enabled():
        return gradients
    there = [g.detach().requires_grad_() for g in gradients if g is not None]
    marked = iter(Once.apply(name, *there))
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
        Its keywords; tensors among them are read as arrays, and those that are None may be left out.
    names
        What the arrays are called by the user, where not as in the loss.
    mirrored
        Whether the loss is one of the difference of its two arrays.
    """
    if torch.compiler.is_compiling():
        return outside_of_the_graph(_run, loss, arrays, reduction, parameters, names, mirrored)
    return _run(loss, arrays, reduction, parameters, names, mirrored)


def _run(
    loss: Any,
    arrays: tuple[Any, ...],
    reduction: str,
    parameters: dict[str, Any],
    names: tuple[str, ...] | None,
    mirrored: bool,
) -> Any:
    refuse_transforms(loss.__name__)
    tensors = list(arrays)
    call = Call(loss, reduction, {}, mirrored)
    call.names.extend(names or loss.arrays)
    for name, value in parameters.items():
        if isinstance(value, Tensor):
            call.names.append(name)
            tensors.append(value)
        else:
            call.keywords[name] = value
    if torch.is_autocast_enabled("cpu"):
        # As torch's own losses: in float32, and float32 is what they return.
        tensors = [in_float32(t) for t in tensors]
    differentiable = _differentiable(loss)
    enabled = torch.is_grad_enabled()
    for k, tensor in enumerate(tensors):
        own = loss.arrays[k] if k < len(loss.arrays) else call.names[k]
        call.places.append(differentiable.get(own))
        if enabled and isinstance(tensor, Tensor) and tensor.requires_grad:
            if call.places[k] is None and not (mirrored and k == 1):
                raise ValueError(f"{call.names[k]} requires grad, but fastloss.torch.{loss.__name__} has no gradient "
                                 f"for it; expected {call.names[k]}.detach()")  # fmt: skip
            call.wanted = True
    check_tensor(tensors[0], call.names[0])
    call.dtype = real_type(tensors[0])
    return (Unreduced if reduction == "none" else Reduced).apply(call, *tensors)


_PLACES: dict[str, dict[str, int]] = {}


def _differentiable(loss: Any) -> dict[str, int]:
    """The place of each argument's gradient among those that the loss returns."""
    found: dict[str, int] | None = _PLACES.get(loss.__name__)
    if found is None:
        names = (*loss.gradients, *loss.scalars) if loss.kind == "several" else loss.arrays[:1]
        found = _PLACES[loss.__name__] = {name: k for k, name in enumerate(names)}
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
