"""Losses of segmentation in plain NumPy: overlaps of a prediction and a target."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._reduce import Array, Terms, is_number, require
from ._several import several

Axes = int | tuple[int, ...] | None


def kept_axes(axis: Axes, ndim: int) -> list[int]:
    """The axes that are not summed."""
    summed = range(ndim) if axis is None else np.atleast_1d(np.asarray(axis, int)) % ndim
    return [k for k in range(ndim) if k not in summed]


def rows_of_target(target: Array, parameters: Mapping[str, Any]) -> tuple[Array, Array]:
    """One row for every index of the axes that are not summed."""
    shape = tuple(target.shape[k] for k in kept_axes(parameters.get("axis"), target.ndim))
    return np.ones(shape), np.ones(shape, bool)


@several(rows=rows_of_target)
def dice_loss(
    prediction: Array, target: Array, *, squared: bool = True, smooth: float = 0.0, axis: Axes = None
) -> Terms:
    """Dice loss 1 - (2 sum p g + smooth) / (sum p^2 + sum g^2 + smooth), or with sum p + sum g below; 0 / 0 is 0.

    As the quotient of what only one of both has, sum (p - g)^2 or sum p (1 - g) + g (1 - p), and the denominator.
    """
    require(is_number(smooth, at_least=0), "smooth must be finite and >= 0")
    require(prediction.shape == target.shape, "shapes differ")
    kept = kept_axes(axis, prediction.ndim)
    order = [*kept, *(k for k in range(prediction.ndim) if k not in kept)]
    moved = [a.transpose(order) for a in (prediction, target)]
    shape = moved[0].shape
    rows = shape[: len(kept)]
    p, g = (a.reshape((*rows, math.prod(shape[len(kept) :]))) for a in moved)
    apart = (p - g) ** 2 if squared else p * (1 - g) + g * (1 - p)
    size = np.sum(p * p + g * g if squared else p + g, axis=-1, keepdims=True) + smooth
    total = np.sum(apart, axis=-1, keepdims=True)
    empty = (size == 0) & (total == 0)
    size = np.where(empty, 1, size)
    loss = total / size
    if squared:
        slope, scale = 2 * ((p - g) - loss * p), 2 * np.maximum(np.abs(p - g), np.abs(loss * p))
    else:
        slope, scale = (1 - loss) - 2 * g, np.maximum(np.maximum(1, np.abs(loss)), 2 * np.abs(g))

    def restored(derivative: Array) -> Array:
        return derivative.reshape(shape).transpose(np.argsort(order))

    return Terms(
        value=loss[..., 0],
        grad=lambda weigh: (restored(weigh(np.where(empty, 0, slope / size))),),
        value_scale=(np.sum(np.abs(apart), axis=-1, keepdims=True) / np.abs(size))[..., 0],
        grad_scale=lambda weigh: (restored(weigh(np.where(empty, 0, scale / np.abs(size)))),),
    )
