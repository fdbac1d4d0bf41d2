"""Arrays with a class axis as the row drivers take them: views of shape (outer, classes, inner)."""

from __future__ import annotations

import math

import numpy as np

from fastloss._arguments import Array


def sizes(shape: tuple[int, ...], axis: int) -> tuple[int, int, int]:
    """The shape with the axes before and after the class axis each merged into one."""
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def rows_view(array: Array, axis: int) -> Array:
    """An input as (outer, classes, inner): a view wherever strides allow, else the one copy of it."""
    view = array.reshape(sizes(array.shape, axis))
    if not view.flags.aligned or any(s % view.itemsize for s in view.strides):
        view = np.ascontiguousarray(view)
    return view


def rows_output(array: Array, axis: int) -> tuple[Array, bool]:
    """An output as (outer, classes, inner), and whether it is a new array that must be copied home."""
    view = rows_view(array, axis)
    if array.size and not np.may_share_memory(view, array):
        return np.empty_like(view), True
    return view, False
