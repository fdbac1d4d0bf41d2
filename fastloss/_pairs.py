"""How the losses of metric learning meet their kernels: shapes and labels checked, rows described, one call each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss import _core
from fastloss._arguments import Array
from fastloss._half import half_name, widened
from fastloss._several import UNWANTED, Problem, Run, total_weight

# The kernel of scores that are ranked: pointwise, the second score in the place of pos_weight.
RANKING = _core.PointwiseKernel("margin_ranking_loss", (None, 0.0), tuple, "any", "sign", True, 0.4)

KERNELS = _core.names_of_pairs()

# Nanoseconds an element of one array, value and gradients, on one thread: where a second one begins to pay.
WORK = {"contrastive_loss": 0.6, "triplet_margin_loss": 1.0, "cosine_embedding_loss": 1.0, "center_loss": 0.5}
WORK_OF_OTHER_NORMS = 20.0

# The short way of center_loss.
CENTERS = _core.QuickCenters("center_loss", WORK["center_loss"], UNWANTED)


def zero_or_one(value: object, name: str) -> int:
    """0 or 1."""
    x = arguments.number(value, name, 0.0, 1.0)
    if x not in (0.0, 1.0):
        raise ValueError(f"{name} = {value!r} is out of range; expected 0 or 1")
    return int(x)


def norm_order(value: object, name: str) -> float:
    """The p of a p-norm: at least 1, infinity too."""
    if isinstance(value, float) and value == math.inf:
        return value
    return arguments.number(value, name, 1.0, math.inf)


def bad_label(target: Array, bad: Array, expected: str) -> ValueError:
    """The error for the first label that is none."""
    flat = int(np.argmax(bad))
    value = target.reshape(-1)[flat]
    return ValueError(f"target{arguments.element(target, flat)} = {value} is out of range; expected {expected}")


def _leading(first: Array, name: str, others: Sequence[tuple[Array, str]] = ()) -> tuple[int, ...]:
    """The shape without D, once all embeddings have one shape."""
    if first.ndim == 0:
        raise ValueError(f"{name} has shape (); expected embeddings of shape (..., D)")
    for array, other in others:
        arguments.same_shape(array, other, first, name)
    return first.shape[:-1]


def _same_rows(target: Array, shape: tuple[int, ...], name: str) -> None:
    if target.shape != shape:
        raise ValueError(f"target has shape {target.shape} but {name} has shape (*{shape}, D); expected one label for "
                         f"each row: shape {shape}")  # fmt: skip


def _contiguous(array: Array, real: np.dtype[Any], rows: int) -> Array:
    """The embeddings as rows of the computing type or a half type: as they lie, or the one copy of them."""
    with np.errstate(over="ignore"):
        kept = array.dtype if half_name(array.dtype) else real
        return np.require(array, kept, ["C", "A"]).reshape(rows, array.shape[-1])


def _contiguous_outputs(gradients: Sequence[Array | None]) -> list[Any]:
    return [
        g if g is None or (g.flags.c_contiguous and g.flags.aligned) else np.empty(g.shape, g.dtype) for g in gradients
    ]


def _flat(values: Array | None) -> Array | None:
    return None if values is None else values.reshape(-1)


def _rows(
    name: str,
    shape: tuple[int, ...],
    real: np.dtype[Any],
    embeddings: Sequence[Array],
    numbers: Numbers,
    label: Array | None = None,
) -> Problem:
    """The problem of a loss whose rows are made of one row of each array."""
    rows = math.prod(shape)
    arrays = [_contiguous(a, real, rows) for a in embeddings]

    def run(call: Run) -> tuple[float]:
        gradients = _contiguous_outputs(call.gradients)
        total = _core.pair_rows(
            KERNELS[name], arrays, None, label, numbers[0], numbers[1], call.scale, _flat(call.weight),
            _flat(call.upstream), _flat(call.unreduced), [g.reshape(arrays[0].shape) for g in gradients],
        )  # fmt: skip
        _take_home(gradients, call.gradients)
        return (total,)

    return Problem(shape, run)


def _take_home(computed: Sequence[Array], gradients: Sequence[Array]) -> None:
    for source, to in zip(computed, gradients, strict=True):
        if source is not to:
            to[...] = source


# What a kernel takes of a loss's checked parameters: its numbers, its work, and the label that counts as 1 where labels
# are 0 and 1.
Numbers = tuple[tuple[float, ...], float, int | None]


def contrastive_numbers(real: np.dtype[Any], parameters: dict[str, Any]) -> Numbers:
    """Margin, factor."""
    numbers = (parameters["margin"], 0.5 if parameters["half"] else 1.0)
    return numbers, WORK["contrastive_loss"], parameters["similar_label"]


def triplet_numbers(real: np.dtype[Any], parameters: dict[str, Any]) -> Numbers:
    """Margin, order of the norm, whether squared, whether swapped."""
    order = float(real.type(parameters["p"]))
    work = WORK["triplet_margin_loss"] if order in (1.0, 2.0, math.inf) else WORK_OF_OTHER_NORMS
    return (parameters["margin"], order, float(parameters["squared"]), float(parameters["swap"])), work, None


def cosine_numbers(real: np.dtype[Any], parameters: dict[str, Any]) -> Numbers:
    """Margin."""
    return (parameters["margin"],), WORK["cosine_embedding_loss"], None


def contrastive(real: np.dtype[Any], arrays: tuple[Any, ...], parameters: dict[str, Any]) -> Problem:
    """contrastive_loss."""
    x1, x2, target = arrays[0], arrays[1], widened(arrays[2])
    shape = _leading(x1, "x1", [(x2, "x2")])
    _same_rows(target, shape, "x1")
    bad = (target != 0) & (target != 1)
    if bad.any():
        raise bad_label(target, bad, "0 or 1")
    similar = (target == parameters["similar_label"]).astype(np.float64).reshape(-1)
    return _rows("contrastive_loss", shape, real, [x1, x2], contrastive_numbers(real, parameters), similar)


def triplet(real: np.dtype[Any], arrays: tuple[Any, ...], parameters: dict[str, Any]) -> Problem:
    """triplet_margin_loss."""
    anchor, positive, negative = arrays
    shape = _leading(anchor, "anchor", [(positive, "positive"), (negative, "negative")])
    return _rows("triplet_margin_loss", shape, real, arrays, triplet_numbers(real, parameters))


def rows_of_anchor(anchor: object, sample_weight: object) -> float:
    """The sum of the weights over the leading axes."""
    return total_weight(_leading(arguments.as_array(anchor, "anchor"), "anchor"), sample_weight)


def cosine(real: np.dtype[Any], arrays: tuple[Any, ...], parameters: dict[str, Any]) -> Problem:
    """cosine_embedding_loss."""
    x1, x2, target = arrays[0], arrays[1], widened(arrays[2])
    shape = _leading(x1, "x1", [(x2, "x2")])
    _same_rows(target, shape, "x1")
    bad = (target != 1) & (target != -1)
    if bad.any():
        raise bad_label(target, bad, "-1 or +1")
    label = target.astype(np.float64).reshape(-1)
    return _rows("cosine_embedding_loss", shape, real, [x1, x2], cosine_numbers(real, parameters), label)


def center(real: np.dtype[Any], arrays: tuple[Any, ...], parameters: dict[str, Any]) -> Problem:
    """center_loss."""
    embeddings, centers, target = arrays
    shape = _leading(embeddings, "embeddings")
    columns = embeddings.shape[-1]
    if centers.ndim != 2 or centers.shape[1] != columns:
        raise ValueError(f"centers has shape {centers.shape} but embeddings has shape {embeddings.shape}; expected "
                         f"one row for each class: shape (C, {columns})")  # fmt: skip
    if target.dtype.kind not in "iu":
        raise TypeError(f"target has dtype {target.dtype}; expected class indices of an integer type")
    _same_rows(target, shape, "embeddings")
    classes = centers.shape[0]
    bad = _core.check_labels(target.reshape(-1, 1), classes, None, None, None, True)[0]
    if bad >= 0:
        where, value = arguments.element(target, bad), target.reshape(-1)[bad]
        raise ValueError(f"target{where} = {value} is outside [0, {classes})")
    rows, label = math.prod(shape), target.astype(np.int64).reshape(-1)
    x, c = _contiguous(embeddings, real, rows), _contiguous(centers, real, classes)

    def run(call: Run) -> tuple[float]:
        weight, upstream = _flat(call.weight), _flat(call.upstream)
        gradients = _contiguous_outputs(call.gradients)
        flat: list[Array | None] = []
        if gradients:
            of_embeddings, of_centers = gradients
            # The centers first: the embeddings' gradient may be written over the embeddings.
            if of_centers is not None:
                _core.center_gradients(x, c, label, call.scale, weight, upstream, of_centers)
            flat = [None if of_embeddings is None else of_embeddings.reshape(x.shape), None]
        total = _core.pair_rows(
            KERNELS["center_loss"], [x, c], label, None, (), WORK["center_loss"], call.scale, weight, upstream,
            _flat(call.unreduced), flat,
        )  # fmt: skip
        _take_home(gradients, call.gradients)
        return (total,)

    return Problem(shape, run)


class QuickRanking:
    """The short way of margin_ranking_loss."""

    def run(self, want: int, given: list[Any], parameters: tuple[Any, ...], mean: bool, grad_out: object) -> Any:
        """As QuickPairs.run(); the second score's gradient lies where the kernel's Hessian would."""
        x1, x2, target = given
        places = (None, None) if grad_out is None else grad_out
        if type(places) is not tuple or len(places) != 2:
            return None
        result = RANKING.quick(2 if want else 0, x1, target, (None, *parameters), mean, *places, x2)
        return (result[0], result[1:]) if want and result is not None else result


def ranking(real: np.dtype[Any], arrays: tuple[Any, ...], parameters: dict[str, Any]) -> Problem:
    """margin_ranking_loss."""
    x1, x2, target = arrays
    arguments.same_shape(x2, "x2", x1, "x1")
    arguments.same_shape(target, "target", x1, "x1")

    def run(call: Run) -> tuple[float]:
        if not x1.size:
            return (0.0,)
        in_place = bool(call.gradients) and arguments.same_buffer(call.gradients[0], x1)
        outputs = [call.unreduced, *(call.gradients or (None, None))]
        operands = [x1, target, x2, call.weight, call.upstream]
        numbers = (parameters["margin"],)
        bad, total = RANKING.run(real.itemsize == 8, numbers, 1.0, call.scale, operands, outputs, in_place)
        if bad:
            with np.errstate(over="ignore"):
                label = widened(target)
                raise bad_label(label, np.abs(label.astype(real)) != 1, "-1 or +1")
        return (total,)

    return Problem(x1.shape, run, unreduced_type=None)
