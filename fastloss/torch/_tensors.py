"""Tensors as NumPy arrays and back, without copies. No losses, no autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastloss import _core

try:
    import ml_dtypes
except ImportError:  # bfloat16 is then converted to float32 and back
    ml_dtypes = None

Array = npt.NDArray[Any]

# What tensors may hold.
REAL = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64)
DTYPES = frozenset((*REAL, *WHOLE, torch.bool))


# The formats of their buffers, for tensors that are read without an array in between.
_core.know_tensors({
    torch.float32: b"f", torch.float64: b"d", torch.int64: b"q", torch.int32: b"i", torch.int16: b"h", torch.int8: b"b",
    torch.uint64: b"Q", torch.uint32: b"I", torch.uint16: b"H", torch.uint8: b"B",
}, torch.empty_like)  # fmt: skip


def check_tensor(tensor: object, name: str) -> None:
    """Raise TypeError for what is no dense tensor of real numbers on the CPU."""
    if isinstance(tensor, Tensor) and tensor.is_cpu and tensor.layout is torch.strided and tensor.dtype in DTYPES:
        return
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} is a {type(tensor).__name__}; expected a torch.Tensor")
    if not tensor.is_cpu:
        raise TypeError(f"{name} is on device {str(tensor.device)!r}; expected a tensor on the CPU, where fastloss "
                        "computes")  # fmt: skip
    raise TypeError(f"{name} has dtype {tensor.dtype} and layout {tensor.layout}; expected a dense real tensor")


def array_of(tensor: Tensor, name: str) -> Array:
    """The tensor's own memory as an array of any strides, or TypeError."""
    check_tensor(tensor, name)
    if tensor.dtype is not torch.bfloat16:
        array: Array = tensor.numpy(force=True)
        return array
    # NumPy has no such type; its bits are read by the type that has registered itself with NumPy.
    plain = tensor.detach()
    if ml_dtypes is None:
        return np.asarray(plain.float().numpy())
    return np.asarray(plain.view(torch.uint16).numpy().view(ml_dtypes.bfloat16))


def class_axis(tensor: Tensor, dim: int | None = None) -> int:
    """The class dimension as an axis; by default dimension 1, or the one that there is."""
    if not isinstance(tensor, Tensor):
        check_tensor(tensor, "input")
    # The last one by its other name: the default, with which calls are quickest.
    return dim if dim is not None else 1 if tensor.ndim > 2 else -1


def tensor_of(array: Array, dtype: torch.dtype) -> Tensor:
    """A new array as a tensor of this dtype: its own memory where that is the array's type."""
    if array.dtype.kind == "V":  # bfloat16, the one such type that comes from fastloss
        tensor = torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    else:
        tensor = torch.from_numpy(array)
    return tensor if tensor.dtype == dtype else tensor.to(dtype)


def product(a: Array, b: Array, out: Array) -> None:
    """The product of two matrices by torch's BLAS, into a third.

    After a layer torch's threads still spin for a while, and threads of another BLAS wait for their cores: a step with
    ``info_nce_loss`` took 1.7 times as long with NumPy's.
    """
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        torch.mm(torch.from_numpy(a), torch.from_numpy(b), out=torch.from_numpy(out))


def real_type(tensor: Tensor) -> torch.dtype:
    """The dtype of results: the tensor's own, of integers float64."""
    return tensor.dtype if tensor.is_floating_point() else torch.float64
