"""Every argument check of the losses, and every error text. No arithmetic on results happens here.

Each function takes what the user passed and returns it in the form the drivers want, or raises: the
message names the argument, the value, where it is, and what was expected.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss import _core
from fastloss._half import computing_type, half_name, widened

Array = npt.NDArray[Any]

REDUCTIONS = ("mean", "sum", "none")


def element(array: Array, flat: int) -> str:
    """``[2, 5]``: the index of an element, as it is written in code; empty for a 0-d array."""
    if array.ndim == 0:
        return ""
    return "[" + ", ".join(str(int(i)) for i in np.unravel_index(flat, array.shape)) + "]"


def as_operand(value: object, name: str) -> Array:
    """A numeric array in native byte order and as it lies in memory, or TypeError; of a half type too."""
    if type(value) is np.ndarray and value.dtype.char in "fd" and value.dtype.isnative:
        return value  # without the look at names below, which costs 60 us while its code is in no cache
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; its mask would be lost: pass the data and sample_weight=~mask")
    try:
        array = np.asarray(value)
    except (TypeError, RuntimeError, ValueError) as error:
        # A tensor on another device or one that requires grad refuses here, in its own words.
        raise TypeError(f"{name} of type {type(value).__name__} cannot be read as an array: {error}") from error
    dtype = array.dtype
    if half_name(dtype):
        return array
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise TypeError(f"{name} has dtype {dtype}; expected a real array: float32, float64, float16, bfloat16, "
                        "an integer type or bool")  # fmt: skip
    if not dtype.isnative:
        return array.astype(dtype.newbyteorder("="))
    return array


def as_array(value: object, name: str) -> Array:
    """The same with float16 and bfloat16 in float32, for what NumPy is to compute with."""
    return widened(as_operand(value, name))


def as_prediction(value: object, name: str) -> tuple[Array, np.dtype[Any]]:
    """The prediction in its real type, which results have too, and the type that it is computed in."""
    array = as_operand(value, name)
    if array.dtype.kind in "iub":
        array = array.astype(np.float64)
    return array, computing_type(array.dtype)


def same_shape(target: Array, target_name: str, prediction: Array, prediction_name: str) -> None:
    """Unequal shapes raise: a silent broadcast of (N,) against (N, 1) is a wrong loss."""
    if target.shape != prediction.shape:
        raise ValueError(f"{target_name} has shape {target.shape} but {prediction_name} has shape "
                         f"{prediction.shape}; expected equal shapes")  # fmt: skip


def number(value: object, name: str, low: float, high: float, low_open: bool = False, high_open: bool = False) -> float:
    """A finite Python number in an interval."""
    if isinstance(value, bool | np.bool_ | str | bytes | complex) or getattr(value, "ndim", 0) != 0:
        raise TypeError(f"{name} = {value!r} is not a number")
    try:
        x = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} = {value!r} is not a number") from error
    except OverflowError:  # an integer beyond every double
        x = math.inf
    inside = (x > low if low_open else x >= low) and (x < high if high_open else x <= high)
    if not (inside and math.isfinite(x)):
        if high == math.inf:
            bound = f" {'>' if low_open else '>='} {low:g}" if low > -math.inf else ""
            expected = f"a finite number{bound}"
        else:
            expected = f"a number in {'(' if low_open else '['}{low:g}, {high:g}{')' if high_open else ']'}"
        raise ValueError(f"{name} = {value!r} is out of range; expected {expected}")
    return x


def finite(value: object, name: str) -> float:
    """Any finite number."""
    return number(value, name, -math.inf, math.inf)


def positive(value: object, name: str) -> float:
    """A finite number above 0."""
    return number(value, name, 0.0, math.inf, low_open=True)


def non_negative(value: object, name: str) -> float:
    """A finite number of at least 0."""
    return number(value, name, 0.0, math.inf)


def fraction(value: object, name: str) -> float:
    """A number in [0, 1]."""
    return number(value, name, 0.0, 1.0)


def flag(value: object, name: str) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} = {value!r} is not a bool; expected True or False")
    return bool(value)


def inner_fraction(value: object, name: str) -> float:
    """A number in (0, 1)."""
    return number(value, name, 0.0, 1.0, low_open=True, high_open=True)


def optional_fraction(value: object, name: str) -> float | None:
    """None, or a number in [0, 1]."""
    return None if value is None else fraction(value, name)


def numbers(value: object, name: str) -> tuple[float, ...]:
    """A finite number or a sequence of them, as a tuple."""
    if isinstance(value, str | bytes) or getattr(value, "ndim", 1) > 1:
        raise TypeError(f"{name} = {value!r} is neither a number nor a sequence of numbers")
    if not hasattr(value, "__len__") or getattr(value, "ndim", 1) == 0:
        return (number(value, name, -math.inf, math.inf),)
    return tuple(number(v, f"{name}[{k}]", -math.inf, math.inf) for k, v in enumerate(value))  # type: ignore[arg-type, var-annotated]


def one_of(*choices: str) -> Callable[[object, str], str]:
    """A check for one of several words."""

    def check(value: object, name: str) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"{name} = {value!r} is unknown; expected {' or '.join(map(repr, choices))}")
        return value

    check.choices = choices  # type: ignore[attr-defined]
    return check


def representable(value: Any, name: str, real: np.dtype[Any]) -> Any:
    """A parameter that is still in its domain once rounded to the computing type: neither lost nor infinite."""
    if isinstance(value, tuple):
        return tuple(representable(v, f"{name}[{k}]", real) for k, v in enumerate(value))
    if not isinstance(value, float):
        return value
    with np.errstate(over="ignore", under="ignore"):
        rounded = float(real.type(value))
    if (rounded == 0) != (value == 0) or math.isinf(rounded):
        raise ValueError(f"{name} = {value!r} is out of range; expected a number that {real} can hold")
    return value


def check_reduction(reduction: object) -> str:
    """One of the three reductions."""
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        raise ValueError(f"reduction = {reduction!r} is unknown; expected 'mean', 'sum' or 'none'")
    return reduction


def check_denominator(denominator: object, reduction: str) -> float | None:
    """None, or what "mean" divides by."""
    if denominator is None:
        return None
    if reduction != "mean":
        raise ValueError(f"denominator = {denominator!r} needs reduction='mean'; it was {reduction!r}")
    return positive(denominator, "denominator")


def check_axis(axis: object, ndim: int, name: str = "axis") -> int:
    """A class axis as a non-negative number."""
    try:
        k = operator.index(axis)  # type: ignore[arg-type]
    except TypeError as error:
        raise TypeError(f"{name} = {axis!r} is not an integer") from error
    if not -ndim <= k < ndim:
        raise ValueError(f"{name} = {k} is out of range for logits of {ndim} dimensions")
    return k % ndim


def real_values(value: object, name: str, what: str, shape: tuple[int, ...]) -> Array:
    """An array that broadcasts to ``shape`` with the same number of dimensions; of a half type too."""
    array = as_operand(value, name)
    fits = array.ndim == len(shape) and all(m in (n, 1) for m, n in zip(array.shape, shape, strict=True))
    if array.ndim != 0 and not fits:
        raise ValueError(f"{name} has shape {array.shape}, which does not broadcast to {what} of shape {shape} "
                         f"with the same number of dimensions")  # fmt: skip
    return array


def bad_weight(weight: Array, name: str, real: np.dtype[Any]) -> ValueError:
    """The error for the first weight that is negative, NaN, infinite, or infinite once rounded to ``real``."""
    weight = widened(weight)
    with np.errstate(over="ignore"):
        rounded = np.asarray(weight).astype(real)
    flat = int(np.argmax(~(np.isfinite(rounded) & (rounded >= 0))))
    value = weight.reshape(-1)[flat] if weight.ndim else weight[()]
    return ValueError(f"{name}{element(weight, flat)} = {value} is not a weight; expected a finite number >= 0 "
                      f"in {real}")  # fmt: skip


def check_output(
    out: object,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    inputs: Sequence[tuple[str, Array]],
    *,
    own: bool = True,
) -> Array:
    """An output array as it must be; ``inputs`` are what it must not overlap (the first may be it, if ``own``)."""
    if type(out) is not np.ndarray:
        raise TypeError(
            f"{name} is a {type(out).__name__}; expected a numpy.ndarray of shape {shape} and dtype {dtype}"
        )
    if out.dtype != dtype or not out.dtype.isnative:
        raise TypeError(f"{name} has dtype {out.dtype.str}; expected {dtype} in native byte order")
    if out.shape != shape:
        raise ValueError(f"{name} has shape {out.shape}; expected {shape}")
    if not out.flags.writeable:
        raise ValueError(f"{name} is read-only")
    if has_internal_overlap(out):
        raise ValueError(f"{name} has strides {out.strides} that make elements share memory")
    for k, (other_name, other) in enumerate(inputs):
        exact = own and k == 0 and same_buffer(out, other)
        if not exact and overlaps(out, other):
            allowed = "; only the prediction's own buffer, exactly, may be an output" if k == 0 else ""
            raise ValueError(f"{name} overlaps {other_name} in memory{allowed}")
    return out


def check_outputs(
    given: tuple[object, object, object],
    want: int,
    reduction: str,
    shapes: tuple[tuple[int, ...], ...],
    dtype: np.dtype[Any],
    inputs: list[tuple[str, Array]],
) -> list[Array | None]:
    """``out``, ``grad_out`` and ``hess_out``: the given ones checked, the missing ones new, None where not wanted."""
    if given[0] is not None and reduction != "none":
        raise ValueError(f"out needs reduction='none'; it was {reduction!r}")
    taken = list(inputs)
    results: list[Array | None] = []
    for k, name in enumerate(("out", "grad_out", "hess_out")):
        array = given[k]
        if array is not None:
            results.append(check_output(array, name, shapes[k], dtype, taken))
            taken.append((name, results[-1]))  # type: ignore[arg-type]
        else:
            needed = reduction == "none" if k == 0 else k <= want
            results.append(_core.new_array(shapes[k], dtype) if needed else None)
    return results


def named_arrays(**values: object) -> list[tuple[str, Array]]:
    """The arrays that an output must not overlap, the prediction first."""
    return [(name, np.asarray(value)) for name, value in values.items() if value is not None]


def upstream(grad_output: object, reduction: str, shape: tuple[int, ...]) -> tuple[float, Array | None]:
    """``grad_output`` as a scalar factor or, with "none", an array of the unreduced shape; of a half type too."""
    if grad_output is None:
        return 1.0, None
    array = as_operand(grad_output, "grad_output")
    if array.ndim == 0:
        return float(widened(array)), None
    if reduction != "none":
        raise ValueError(f"grad_output has shape {array.shape}; expected a scalar with reduction={reduction!r}")
    if array.shape != shape:
        raise ValueError(f"grad_output has shape {array.shape}; expected a scalar or the unreduced shape {shape}")
    return 1.0, array


def same_buffer(a: Array, b: Array) -> bool:
    """Whether two arrays are the same elements at the same places."""
    return (
        a.__array_interface__["data"][0] == b.__array_interface__["data"][0]
        and a.dtype == b.dtype
        and a.shape == b.shape
        and a.strides == b.strides
    )


def overlaps(a: Array, b: Array) -> bool:
    """Whether two arrays share memory; where that is too hard to tell, whether their extents do."""
    if not np.may_share_memory(a, b):
        return False
    try:
        return bool(np.shares_memory(a, b, max_work=10_000))  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def has_internal_overlap(array: Array) -> bool:
    """Whether two elements of the array share memory (sufficient test: axes sorted by stride must nest)."""
    if array.size <= 1:
        return False
    reach = array.itemsize
    for stride, n in sorted((abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1):
        if stride < reach:
            return True
        reach = stride * (n - 1) + reach
    return False
