"""float16 and bfloat16 as NumPy meets them: which arrays are of a half type, and their numbers in float32.

Kernels convert them block by block; what is here serves messages, the reference backend and the losses that call BLAS.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# bfloat16 without a package that knows it: its 16 bits under a name.
BFLOAT16 = np.dtype([("bfloat16", np.uint16)])


def half_name(dtype: np.dtype[Any]) -> str | None:
    """Which half type in native byte order a dtype is, None for every other."""
    if dtype.itemsize != 2 or not dtype.isnative:
        return None
    if dtype.kind == "f":
        return "float16"
    return "bfloat16" if dtype.kind == "V" and (dtype == BFLOAT16 or dtype.name == "bfloat16") else None


def computing_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type that a prediction of this real type is computed in: float32 for a half type, else itself."""
    return np.dtype(np.float32) if half_name(dtype) else dtype


def widened(array: Array) -> Array:
    """A copy in float32 of an array of a half type; any other as it is."""
    name = half_name(array.dtype)
    if name is None:
        return array
    if name == "float16":
        return array.astype(np.float32)
    return np.asarray(array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def assign(out: Array, values: Any) -> None:
    """``out[...] = values``, rounded to the nearest, ties to even, for a half type from float32."""
    with np.errstate(over="ignore"):
        if out.dtype != BFLOAT16:
            out[...] = values
            return
        bits = np.asarray(values, np.float32).view(np.uint32)
        rounded = bits + np.uint32(0x7FFF) + (bits >> 16 & 1)
        out["bfloat16"] = np.where((bits & 0x7FFFFFFF) > 0x7F800000, bits | 0x400000, rounded) >> 16
