"""How the losses of overlaps meet their kernels: which axes are summed, and one call."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss import _core
from fastloss._several import Problem, Run, total_weight


def axes(value: object, name: str) -> Any:
    """None, or a tuple of integers; whether they fit is seen when the array is."""
    if value is None:
        return None
    given = value if isinstance(value, tuple | list) else (value,)
    try:
        return tuple(operator.index(k) for k in given)
    except TypeError as error:
        raise TypeError(f"{name} = {value!r} is not an integer, a tuple of integers or None") from error


def _split(given: tuple[int, ...] | None, ndim: int) -> tuple[list[int], list[int]]:
    """The axes that stay and those that are summed."""
    if given is None:
        return [], list(range(ndim))
    for k in given:
        if not -ndim <= k < ndim:
            raise ValueError(f"axis = {k} is out of range for a prediction of {ndim} dimensions")
    summed = [k % ndim for k in given]
    if len(set(summed)) < len(summed):
        raise ValueError(f"axis = {given} names an axis twice")
    return [k for k in range(ndim) if k not in summed], sorted(summed)


def dice_denominator(target: object, axis: object, sample_weight: object) -> float:
    """The sum of the weights over the axes that stay."""
    shape = arguments.as_array(target, "target").shape
    kept, _ = _split(axes(axis, "axis"), len(shape))
    return total_weight(tuple(shape[k] for k in kept), sample_weight)


def dice(real: np.dtype[Any], arrays: tuple[Any, ...], parameters: dict[str, Any]) -> Problem:
    """dice_loss."""
    prediction, target = arrays
    arguments.same_shape(target, "target", prediction, "prediction")
    kept, summed = _split(parameters["axis"], prediction.ndim)
    shape = tuple(prediction.shape[k] for k in kept)
    order = (*kept, *summed)

    def run(call: Run) -> tuple[float]:
        if not prediction.size:  # nothing overlaps with nothing
            if call.unreduced is not None:
                call.unreduced[...] = 0.0
            return (0.0,)
        gradient = call.gradients[0].transpose(order) if call.gradients else None
        weight, upstream, unreduced = (None if a is None else a.reshape(-1) for a in
                                       (call.weight, call.upstream, call.unreduced))  # fmt: skip
        total = _core.dice(
            prediction.transpose(order), target.transpose(order), math.prod(shape), parameters["squared"],
            parameters["smooth"], call.scale, weight, upstream, unreduced, gradient,
        )  # fmt: skip
        return (total,)

    return Problem(shape, run)
