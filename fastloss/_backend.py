"""The "reference" and "check" backends: the NumPy twin's answer, and how far the kernels' may be from it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastloss._half import Array, assign, half_name, widened
from fastloss._settings import get_backend

# How many units in the last place of its largest term a native result may be off: 4 by the numeric
# policy, and the sample weight, the upstream gradient and the denominator round once each.
KERNEL_ULPS = 8.0

# The reference is evaluated in the longest type there is, since float64 is no judge of float64; where
# that is float64 itself, differences of large logits cost it up to 475 units.
EXTENDED = np.finfo(np.longdouble).nmant > 52
REFERENCE_ERROR = 64 * 2.0**-63 if EXTENDED else 512 * 2.0**-53


class MismatchError(AssertionError):
    """The native kernel and the NumPy reference disagree (backend ``"check"``)."""


def reference_result(
    loss: Any,
    want: int,
    arrays: tuple[Array | None, ...],
    parameters: dict[str, Any],
    sample_weight: object,
    reduction: str,
    denominator: float | None,
    grad_output: object,
    real: np.dtype[Any],
) -> Any:
    """The twin's evaluation of the same call, its inputs rounded to the computing type as the kernels round them."""
    from fastloss import reference

    def rounded(value: Any) -> Any:
        if isinstance(value, float):
            return float(real.type(value))
        array = widened(np.asarray(value))
        return array.astype(real) if array.dtype.kind == "f" else value  # None is of kind "O"

    twin = getattr(reference, loss._name)
    checking = get_backend() == "check"
    parameters = {
        k: rounded(v) if isinstance(v, float | np.ndarray | list | tuple) else v for k, v in parameters.items()
    }
    return twin.evaluate(
        *(rounded(a) for a in arrays),
        parameters=parameters,
        sample_weight=None if sample_weight is None else rounded(sample_weight),
        reduction=reduction,
        denominator=denominator,
        grad_output=None if grad_output is None else widened(np.asarray(grad_output)),
        want=("value", "grad", "hess")[want],
        dtype=np.longdouble if checking else np.float64,
    )


def reference_activation(name: str, x: Array, axis: int | None = None) -> tuple[Any, Any]:
    """The twin's activation of an array, and the scale of each result."""
    from fastloss import reference

    x = widened(x)
    precise = x.astype(np.longdouble) if get_backend() == "check" else x
    keywords = {} if axis is None else {"axis": axis}
    result = getattr(reference, name)(precise, **keywords)
    scale = np.abs(result)
    if name == "logsumexp" and x.shape[axis or 0]:
        top = np.abs(np.max(x, axis=axis))  # may cancel the logarithm
        scale = np.maximum(scale, np.where(np.isfinite(top), top, 0))
    return result, scale


def finish(twin: Any, want: int, reduction: str, results: list[Array | None]) -> Any:
    """The twin's results as the public call returns them: rounded into the given or new outputs."""
    values = (twin.value, twin.grad, twin.hess)
    for array, value in zip(results, values, strict=True):
        if array is not None:
            assign(array, value)
    final = (results[0] if reduction == "none" else float(twin.value), *results[1:])
    return final[0] if want == 0 else final[: want + 1]


def compare(
    loss: Any, twin: Any, final: tuple[Any, ...], want: int, shape: tuple[int, ...], real: np.dtype[Any]
) -> None:
    """Raise MismatchError where a native result is out of bounds."""
    expected = (twin.value, twin.grad, twin.hess)
    scales = (twin.value_scale, twin.grad_scale, twin.hess_scale)
    for k in range(want + 1):
        what = ("value", "gradient", "Hessian")[k]
        check_close(loss._name, what, final[k], expected[k], scales[k], shape, real)


def _parts(gradient: Any) -> tuple[Any, ...]:
    """The gradients of a loss of several arrays, of which a single one is no tuple."""
    return gradient if isinstance(gradient, tuple) else (gradient,)


def finish_several(twin: Any, want: int, reduction: str, results: list[Array | None]) -> tuple[Any, list[Any]]:
    """The twin's value and gradients (none where not wanted) of a loss of several arrays, rounded into the outputs."""
    values = [twin.value, *(_parts(twin.grad) if want else ())]
    for array, value in zip(results, values, strict=False):  # what has no array is a number
        if array is not None:
            assign(array, value)
    scalars = [float(v) for v in values[len(results) :]]
    return (results[0] if reduction == "none" else float(twin.value)), [*results[1:], *scalars]


def compare_several(
    loss: str, gradients: list[str], twin: Any, final: Any, want: int, shape: tuple[int, ...], real: np.dtype[Any]
) -> None:
    """Raise MismatchError where a native result of a loss of several arrays is out of bounds."""
    value, gradient = final if want else (final, ())
    check_close(loss, "value", value, twin.value, twin.value_scale, shape, real)
    if want:
        parts = zip(gradients, _parts(gradient), _parts(twin.grad), _parts(twin.grad_scale), strict=True)
        for name, got, expected, scale in parts:
            if got is not None:  # None: it was not wanted
                check_close(loss, f"gradient of {name}", got, expected, scale, shape, real)


def check_close(
    name: str, what: str, native: Any, expected: Any, scale: Any, shape: tuple[int, ...], real: np.dtype[Any]
) -> None:
    """Raise MismatchError naming the worst element unless ``native`` is within bounds of ``expected``."""
    worst, index, bound = worst_excess(native, expected, scale, real)
    if worst <= 1.0:
        return
    got = widened(np.asarray(native))[index]
    want = np.asarray(expected)[index]
    where = f" at index {tuple(int(i) for i in index)}" if index else ""
    raise MismatchError(
        f"{name}: {what} of arrays of shape {shape} ({real}) differs from the reference{where}: "
        f"native {float(got)!r}, reference {float(want)!r}, bound {bound:.3g}"
    )


def worst_excess(native: Any, expected: Any, scale: Any, real: np.dtype[Any]) -> tuple[float, tuple[Any, ...], float]:
    """How many bounds the worst element is off (<= 1 is good; inf where one is not finite alone), where, its bound."""
    half = half_name(native.dtype) if isinstance(native, np.ndarray) else None
    got = np.asarray(widened(np.asarray(native)), np.longdouble)
    want = np.asarray(expected, np.longdouble)
    if half:
        # rounded once more, to the half type
        eps = 2.0**-11 if half == "float16" else 2.0**-8
        tiny = 2.0**-24 if half == "float16" else 2.0**-133
        largest = 65504.0 if half == "float16" else 3.3895313892515355e38
    else:
        info = np.finfo(real)
        eps, tiny, largest = (
            float(info.eps) * KERNEL_ULPS,
            float(info.smallest_subnormal) * KERNEL_ULPS,
            float(info.max),
        )
    with np.errstate(all="ignore"):
        size = np.maximum(np.abs(want), np.asarray(scale, np.longdouble))
        bound = size * (eps + REFERENCE_ERROR) + tiny
        excess = np.abs(got - want) / bound
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        # A result that the type cannot hold is infinite there and finite in float64.
        overflow = np.isinf(got) & (np.abs(want) >= largest * (1 - 8 * eps)) & (np.sign(got) == np.sign(want))
        excess = np.where(same | overflow, 0.0, np.where(np.isfinite(excess), excess, math.inf))
    if excess.size == 0:
        return 0.0, (), 0.0
    index = np.unravel_index(int(np.argmax(excess)), excess.shape) if excess.ndim else ()
    return float(excess[index]), index, float(bound[index])
