"""The C interface as ctypes sees it: the table behind the capsule. Its order is the ABI: it only grows."""

import ctypes
from typing import Any

import numpy as np

import fastloss as fl
from fastloss import _core

SIZE, POINTER, DOUBLE, INT, NAME = (
    ctypes.c_ssize_t,
    ctypes.c_void_p,
    ctypes.c_double,
    ctypes.c_int,
    ctypes.c_char_p,
)
PARAMETERS = 16


class LossOfC(ctypes.Structure):
    """fastloss_loss."""

    _fields_ = (("number", INT), ("parameters", INT), ("parameter", DOUBLE * PARAMETERS))


class Options(ctypes.Structure):
    """fastloss_cross_entropy_options."""

    _fields_ = (
        ("label_smoothing", DOUBLE),
        ("temperature", DOUBLE),
        ("logit_softcap", DOUBLE),
        ("z_loss", DOUBLE),
        ("class_weight", POINTER),
    )


# Of each function: result and arguments. Those from pointwise on exist for float and for double, in this order.
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "loss_init": (INT, ctypes.POINTER(LossOfC), NAME, INT, POINTER),
    "activation": (INT, NAME),
}
for _name, _signature in {
    "pointwise": (None, ctypes.POINTER(LossOfC), SIZE, POINTER, POINTER, POINTER, DOUBLE, POINTER, POINTER, POINTER),
    "pointwise_sum": (DOUBLE, ctypes.POINTER(LossOfC), SIZE, POINTER, POINTER, POINTER, DOUBLE, POINTER),
    "elementwise": (None, INT, SIZE, POINTER, POINTER),
    "cross_entropy": (
        *(SIZE, ctypes.POINTER(Options), SIZE, SIZE, POINTER, POINTER, POINTER),
        *(POINTER, POINTER, POINTER),
    ),
    "softmax": (INT, SIZE, SIZE, POINTER, POINTER),
    "log_softmax": (INT, SIZE, SIZE, POINTER, POINTER),
    "logsumexp": (INT, SIZE, SIZE, POINTER, POINTER),
}.items():
    FUNCTIONS |= {f"{_name}_f32": _signature, f"{_name}_f64": _signature}


class Table(ctypes.Structure):
    """fastloss_api."""

    _fields_ = (
        ("abi_major", INT),
        ("abi_minor", INT),
        ("version", NAME),
        *((name, ctypes.CFUNCTYPE(*signature)) for name, signature in FUNCTIONS.items()),
    )


def table() -> Table:
    """The table of this process."""
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return Table.from_address(pointer_of(_core._C_API, b"fastloss._core._C_API"))


def function(name: str, dtype: Any) -> Any:
    """One of its functions, for this type."""
    return getattr(table(), f"{name}_f{8 * np.dtype(dtype).itemsize}")


def address(array: "np.ndarray[Any, Any] | None") -> int | None:
    """What C is given for an array."""
    return None if array is None else array.ctypes.data


def loss(name: str, **parameters: Any) -> LossOfC:
    """A pointwise loss with these keywords, as fastloss_loss_init makes it."""
    numbers = np.array(fl.kernels.parameters(name, **parameters))
    made = LossOfC()
    assert table().loss_init(made, name.encode(), numbers.size, address(numbers)) == 0
    return made
