"""How a loss object of fastloss becomes a differentiable function of tensors.

With "mean" and "sum" value and gradient are computed together in the forward pass, as one kernel does both, and
backward multiplies by the upstream gradient. With "none" every row has its own upstream gradient, which a loss whose
rows share embeddings needs inside its kernel: backward calls that, and the forward pass computes the value alone.

A step of a small network drives all of this out of the caches nearest to the core, where a line of Python then costs a
few times what it does in a loop. So the common call has a short way (``_short``), and the others a general one.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from fastloss._core import TensorView
from fastloss._products import products_by
from fastloss._settings import get_backend
from fastloss._several import UNWANTED
from fastloss.torch._tensors import Array, array_of, check_tensor, product, real_type, tensor_of

HALF = (torch.bfloat16, torch.float16)

# Whether this backward pass leaves the graph for another one; unless it does, gradients may be scaled where they lie.
_graph_is_kept = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)
_transforms_active = getattr(torch._C, "_are_functorch_transforms_active", lambda: False)

# Of each loss, by the name of an array or scalar, which of the gradients that it returns is that one's.
_PLACES: dict[Any, dict[str, int]] = {}

_REDUCED = ("mean", "sum")

_NO_PRODUCTS = nullcontext()

_scalar_tensor, _is_grad_enabled = torch.scalar_tensor, torch.is_grad_enabled
_is_compiling = torch.compiler.is_dynamo_compiling


def products(loss: Any) -> AbstractContextManager[None]:
    """Where the loss runs: with torch's own products of matrices, should it make any."""
    return products_by(product) if loss.kind == "several" else _NO_PRODUCTS


class Call:
    """One call of a loss, but for its tensors, which are its arrays and then those among its keywords."""

    __slots__ = ("keywords", "loss", "names")

    def __init__(self, loss: Any, keywords: dict[str, Any], names: tuple[str, ...]) -> None:
        self.loss, self.keywords, self.names = loss, keywords, names

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
            if not all(needs):
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
    """A mean or a sum, computed before, and its gradients."""

    @staticmethod
    def forward(ctx: Any, known: Any, *tensors: Any) -> Any:
        """The value; where there are gradients, they are kept, one or None for each tensor.

        ``known``: value, dtype, gradients, loss.
        """
        value, dtype, gradients, ctx.loss = known
        if gradients is not None:
            ctx.save_for_backward(*gradients)
        return _scalar_tensor(value, dtype=dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        """The gradients that were kept, times the upstream gradient."""
        gradients = ctx.saved_tensors
        factor = upstream.item()
        if _graph_is_kept():  # for another pass: who gets a gradient may write to it
            gradients = [None if g is None else g * factor for g in gradients]
        elif factor != 1.0:
            gradients = [None if g is None else g.mul_(factor) for g in gradients]
        if _is_grad_enabled():
            gradients = _once(ctx.loss, gradients)
        return None, *gradients


# What the engine calls: torch's own apply() looks for this function anew, for a hundredth of a step of a small network.
Reduced._backward_cls.apply = Reduced.backward


class Mirrored(Reduced):
    """Of a loss of a difference, whose second gradient is the first with its sign turned."""

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        """Both gradients, of which the first was kept."""
        _, first, _, *others = Reduced.backward(ctx, upstream)
        return None, first, -first, *others


class Unreduced(torch.autograd.Function):  # type: ignore[misc]
    """A loss for each row."""

    @staticmethod
    def forward(ctx: Any, call: Call, mirrored: bool, *tensors: Any) -> Any:
        """The values."""
        if any(ctx.needs_input_grad):
            ctx.call, ctx.mirrored = call, mirrored
            ctx.save_for_backward(*tensors)
        return tensor_of(call.value(tensors), real_type(tensors[0]))

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        """The gradients of the rows weighted by their upstream gradients, in one pass."""
        needed = ctx.needs_input_grad[2:]
        with torch.no_grad():
            weights = array_of(upstream, "grad_output")
            gradients = ctx.call.value_and_grad(ctx.saved_tensors, needed, weights)[1]
            if ctx.mirrored and needed[1]:
                gradients[1] = -gradients[0]
        if torch.is_grad_enabled():
            gradients = _once(ctx.call.loss, gradients)
        return None, None, *gradients


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


def _once(loss: Any, gradients: Any) -> list[Any]:
    """The gradients under ``create_graph=True``, so that their own backward pass raises."""
    there = [g.detach().requires_grad_() for g in gradients if g is not None]
    marked = iter(Once.apply(loss.__name__, *there))
    return [None if g is None else next(marked) for g in gradients]


# Function.apply without what it does for torch.func, under which nothing gets here: 0.98 of a step of a small network.
_apply_reduced = super(torch.autograd.Function, Reduced).apply
_apply_mirrored = super(torch.autograd.Function, Mirrored).apply
_apply_unreduced = super(torch.autograd.Function, Unreduced).apply


def run(
    loss: Any,
    arrays: tuple[Any, ...],
    reduction: str,
    parameters: tuple[Any, ...] = (),
    names: tuple[str, ...] | None = None,
    mirrored: bool = False,
    sample_weight: Any = None,
    denominator: Any = None,
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
        Its own parameters, all of them in its order; tensors among them are read as arrays.
    names
        What the arrays are called by the user, where not as in the loss.
    mirrored
        Whether the loss is one of the difference of its two arrays.
    sample_weight, denominator
        As the loss has them.
    """
    if _is_compiling():
        return outside_of_the_graph(
            _run, loss, arrays, reduction, parameters, names or loss.arrays, mirrored, sample_weight, denominator
        )
    short, x, target = loss._short, arrays[0], arrays[-1]
    # Autocast has nothing to do for tensors that fit a view.
    if (
        short is not None
        and sample_weight is None
        and denominator is None
        and reduction in _REDUCED
        and type(x) is Tensor
        and type(target) is Tensor
        and not target.requires_grad
        and not _transforms_active()
        and get_backend() == "native"
    ):
        wanted = x.requires_grad and _is_grad_enabled()
        found = short(int(wanted), TensorView(x), TensorView(target), parameters, reduction == "mean", None)
        if found is not None:
            value, gradients = (found[0], (found[1].tensor, None)) if wanted else (found, None)
            return _apply_reduced((value, x.dtype, gradients, loss), x, target)
    return _run(loss, arrays, reduction, parameters, names or loss.arrays, mirrored, sample_weight, denominator)


def _run(
    loss: Any,
    tensors: tuple[Any, ...],
    reduction: str,
    parameters: tuple[Any, ...],
    names: tuple[str, ...],
    mirrored: bool,
    sample_weight: Any,
    denominator: Any,
) -> Any:
    """Any call."""
    if _transforms_active():
        refuse_transforms(loss.__name__)
    if torch.is_autocast_enabled("cpu"):
        # As torch's own losses: in float32, and float32 is what they return.
        tensors, parameters = tuple(map(in_float32, tensors)), tuple(map(in_float32, parameters))
        sample_weight = in_float32(sample_weight)
    keywords = dict(zip(loss._parameter_names, parameters, strict=True), reduction=reduction)
    for name, value in (("sample_weight", sample_weight), ("denominator", denominator)):
        if value is not None:
            keywords[name] = value
    given = [name for name, value in keywords.items() if isinstance(value, Tensor)]
    tensors = (*tensors, *(keywords.pop(name) for name in given))
    call = Call(loss, keywords, (*names, *given))
    needed = [isinstance(t, Tensor) and t.requires_grad and torch.is_grad_enabled() for t in tensors]
    for name, own, need in zip(call.names, (*loss.arrays, *given), needed, strict=True):
        if need and own not in places_of(loss) and not (mirrored and own == loss.arrays[1]):
            raise ValueError(f"{name} requires grad, but fastloss.torch.{loss.__name__} has no gradient "
                             f"for it; expected {name}.detach()")  # fmt: skip
    check_tensor(tensors[0], names[0])
    if reduction == "none":
        return _apply_unreduced(call, mirrored, *tensors)
    value, gradients = call.value_and_grad(tensors, needed) if True in needed else (call.value(tensors), None)
    apply = _apply_mirrored if mirrored and needed[1] else _apply_reduced
    return apply((value, real_type(tensors[0]), gradients, loss), *tensors)


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
