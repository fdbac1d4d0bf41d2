"""Comparing results: error in units in the last place, and the reference evaluated in extended precision."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import fastloss as fl

Array = np.ndarray[Any, Any]
DTYPES = (np.float32, np.float64)

# The reference's own error in float64 units: measured against mpmath with an 80-bit long double
# (see tests/truth.py); where long double is float64 it cannot judge float64 to better than this.
EXTENDED = np.finfo(np.longdouble).nmant > 52
REFERENCE_ULPS = {np.dtype(np.float32): 0.001, np.dtype(np.float64): 0.6 if EXTENDED else 512.0}


def ulps(got: Any, want: Any, scale: Any, dtype: Any) -> Array:
    """The error of every result in ULPs at its truth, or at its scale where that is larger.

    NaN matches NaN alone, an infinity itself or a truth that rounds to it; else the error is inf.
    """
    info = np.finfo(np.dtype(dtype))
    got, want = np.asarray(got, np.longdouble), np.asarray(want, np.longdouble)
    with np.errstate(all="ignore"):
        size = np.abs(np.asarray(scale, np.longdouble))
        size = np.where(np.isfinite(size), np.maximum(size, np.abs(want)), np.abs(want))
        exponent = np.clip(np.frexp(size)[1] - 1, info.minexp, info.maxexp - 1)
        exponent = np.where(size == 0, info.minexp, exponent)
        error = np.abs(got - want) / np.ldexp(np.longdouble(1), exponent - info.nmant)
        overflow = np.ldexp(np.longdouble(2) - np.ldexp(np.longdouble(1), -info.nmant - 1), info.maxexp - 1)
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        same |= np.isinf(got) & (np.abs(want) >= overflow) & (np.sign(got) == np.sign(want))
        return np.asarray(np.where(same, 0.0, np.where(np.isfinite(error), error, np.inf)), np.float64)


def rounded(value: Any, dtype: Any) -> Any:
    """Floats rounded to the computing type, as kernels meet them; everything else as it is."""
    if isinstance(value, Mapping):
        return {k: rounded(v, dtype) for k, v in value.items()}
    if isinstance(value, float):
        return float(np.dtype(dtype).type(value))
    if isinstance(value, tuple):
        return tuple(rounded(v, dtype) for v in value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value.astype(dtype)
    return value


def truth(
    name: str, prediction: Any, target: Any, parameters: Mapping[str, Any], dtype: Any, **common: Any
) -> fl.reference.Evaluation:
    """The reference in extended precision, of inputs rounded to the computing type."""
    common = {k: rounded(v, dtype) if k == "sample_weight" else v for k, v in common.items()}
    loss = getattr(fl.reference, name)
    return loss.evaluate(
        rounded(np.asarray(prediction), dtype),
        rounded(np.asarray(target), dtype),
        parameters=rounded(parameters, dtype),
        dtype=np.longdouble,
        **common,
    )


def worst_ulps(results: tuple[Any, ...], expected: fl.reference.Evaluation, dtype: Any) -> list[float]:
    """The largest error of value, gradient and Hessian (those given)."""
    pairs = (
        (expected.value, expected.value_scale),
        (expected.grad, expected.grad_scale),
        (expected.hess, expected.hess_scale),
    )
    errors = [ulps(got, *pair, dtype) for got, pair in zip(results, pairs, strict=False)]
    return [float(e.max(initial=0.0)) for e in errors]


def results_of(name: str, *arrays: Any, **keywords: Any) -> tuple[Any, ...]:
    """Value and every derivative that a loss has."""
    loss = getattr(fl, name)
    return getattr(loss, "value_grad_hess", loss.value_and_grad)(*arrays, **keywords)  # type: ignore[no-any-return]


def same_bits(a: Any, b: Any) -> bool:
    """Equal bits, any NaN being equal to any other; types and shapes equal too."""
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same_bits, a, b))
    x, y = np.asarray(a), np.asarray(b)
    if type(a) is not type(b) or x.dtype != y.dtype or x.shape != y.shape:
        return False
    return bool(np.all((x == y) & (np.signbit(x) == np.signbit(y)) | (np.isnan(x) & np.isnan(y))))


def relative_error(got: float, want: float) -> float:
    """|got - want| / |want|, 0 where they are equal."""
    return 0.0 if got == want else abs(got - want) / abs(want) if want else math.inf


def rounds_to_a_kink(case: Any, x: Array, t: Array, parameters: Mapping[str, Any]) -> Array:
    """Where a residual rounds to a kink without being it: the Hessian jumps there, and either side is right."""
    if case.rowwise:
        return np.zeros(np.shape(x), bool)
    kinks = np.asarray(case.kinks(parameters)).astype(x.dtype)
    return np.isin(np.abs(x - t), np.abs(kinks)) & (x - t != x.astype(np.longdouble) - t)
