"""Per-sample gradients as the kernels want them: one array or a list, tuple or dict of arrays, as (B, D) matrices.

Structure, types, layouts and their errors; no clipping.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss import _arguments as arguments
from fastloss import _core
from fastloss._half import computing_type, half_name, widened

Array = npt.NDArray[Any]


class Gradients:
    """Gradients of a batch: ``matrices`` are views (or copies) of shape (B, D) of one real type, or of half types.

    A copy is made of an array of another type or byte order, or whose single samples are not
    C-contiguous; rows may have any stride. ``real`` is the type of what is made of them.
    """

    def __init__(self, grads: object) -> None:
        self.kind, self.keys, values = _take_apart(grads)
        given = [arguments.as_operand(value, name) for value, name in zip(values, self.names, strict=True)]
        for array, name in zip(given, self.names, strict=True):
            if array.ndim == 0:
                raise ValueError(f"{name} is a scalar; expected an array of shape (B, ...), one row per sample")
            if array.shape[0] != given[0].shape[0]:
                raise ValueError(f"{name} has {array.shape[0]} samples but {self.names[0]} has {given[0].shape[0]}; "
                                 "expected the same batch size")  # fmt: skip
        kinds = {np.dtype(np.float64) if array.dtype.kind in "iub" else computing_type(array.dtype) for array in given}
        self.real = np.dtype(np.float32) if kinds == {np.dtype(np.float32)} else np.dtype(np.float64)
        self.given = given
        self.batch_size: int = given[0].shape[0]
        self.shapes = [array.shape[1:] for array in given]
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.matrices = [_matrix(array, self.real) for array in given]

    @property
    def wide(self) -> list[Array]:
        """The matrices in a type that NumPy computes with."""
        return [widened(matrix) for matrix in self.matrices]

    @property
    def names(self) -> list[str]:
        """What each array is called in code: ``grads``, ``grads[0]`` or ``grads['weight']``."""
        return ["grads"] if self.kind is None else [f"grads[{key!r}]" for key in self.keys]

    def rebuild(self, arrays: Sequence[Array]) -> Any:
        """Arrays, one per parameter, in the structure of the gradients."""
        if self.kind is None:
            return arrays[0]
        if self.kind is dict:
            return dict(zip(self.keys, arrays, strict=True))
        return self.kind(arrays)

    def match(self, value: object, name: str) -> list[Any]:
        """The parts of something that must have the structure of the gradients."""
        if self.kind is None:
            return [value]
        if self.kind is dict:
            if not isinstance(value, dict) or list(value) != self.keys:
                shown = list(value) if isinstance(value, dict) else type(value).__name__
                raise ValueError(f"{name} is {shown}; expected a dict with the keys of grads: {self.keys}")
            return list(value.values())
        if not isinstance(value, list | tuple) or len(value) != len(self.keys):
            shown = f"of length {len(value)}" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
            raise ValueError(f"{name} is {shown}; expected a list or tuple of {len(self.keys)}, as grads")
        return list(value)

    def outputs(self, out: object) -> tuple[Any, list[Array]]:
        """What the caller gets back and the arrays to write: checked outputs, or new ones."""
        if out is None:
            arrays = [_core.new_array(shape, self.real) for shape in self.shapes]
            return self.rebuild(arrays), arrays
        arrays = self.match(out, "out")
        names = [name.replace("grads", "out", 1) for name in self.names]
        for k, (array, name) in enumerate(zip(arrays, names, strict=True)):
            arguments.check_output(array, name, self.shapes[k], self.real, [])
            for other, other_name in [*zip(self.given, self.names, strict=True), *zip(arrays[:k], names, strict=False)]:
                if arguments.overlaps(array, other):
                    raise ValueError(f"{name} overlaps {other_name} in memory")
        return out, arrays

    def first_nonfinite(self, row: int) -> str:
        """Where a row holds its first NaN or inf: ``grads[3, 1] = nan``."""
        for name, array in zip(self.names, self.given, strict=True):
            values = widened(array[row : row + 1])[0]
            bad = ~np.isfinite(values)
            if bad.any():
                at = (row, *(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape)))
                return f"{name}[{', '.join(map(str, at))}] = {values[at[1:]]}"
        raise AssertionError("the row is finite")


def _take_apart(grads: object) -> tuple[type | None, list[Any], list[object]]:
    """Structure (None for one array), keys and arrays. A list is a structure where it holds arrays; nested lists of
    numbers are one array.
    """
    if isinstance(grads, dict):
        if not grads:
            raise ValueError("grads is an empty dict; expected at least one array")
        return dict, list(grads), list(grads.values())
    if isinstance(grads, list | tuple):
        is_array = [getattr(value, "ndim", 0) > 0 for value in grads]
        if any(is_array):
            return (tuple if isinstance(grads, tuple) else list), list(range(len(grads))), list(grads)
        if not grads:
            raise ValueError(f"grads is an empty {type(grads).__name__}; expected at least one array")
    return None, [None], [grads]


def _matrix(array: Array, real: np.dtype[Any]) -> Array:
    """The array as (B, D) of the real or its half type with contiguous rows: a view where it can be one."""
    if half_name(array.dtype):
        real = array.dtype
    if array.dtype != real or not array.flags.aligned:
        array = np.require(array, real, "A")
    matrix = array if array.ndim == 2 else array.reshape(array.shape[0], math.prod(array.shape[1:]))
    if matrix.shape[1] > 1 and matrix.strides[1] != real.itemsize:
        matrix = np.ascontiguousarray(matrix)
    return matrix
