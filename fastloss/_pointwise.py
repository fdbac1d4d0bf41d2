"""How a pointwise loss is declared and called: any shape, one loss per element.

The common call goes straight to the compiled driver; everything else (weights, unreduced losses,
odd layouts and types, other backends, errors) takes the general path below.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss import _backend, _core, _settings
from fastloss._arguments import Array
from fastloss._half import widened
from fastloss._loss import make_loss

# Bits of the status that the driver returns.
BAD_TARGET, BAD_PREDICTION = 1, 2

# What a parameter becomes, or raises: a number, several, or what ``numbers`` makes numbers of.
Check = Callable[[object, str], Any]

# What elements may be; where that depends on the scalar parameters, a function of them (as the checks return them).
Domain = str | Callable[..., str]


def pointwise_loss(
    *,
    target_domain: Domain = "any",
    prediction_domain: Domain = "any",
    target_hint: str = "",
    array_parameter: str | None = None,
    work: float = 0.3,
    numbers: Callable[..., tuple[float, ...]] = lambda *checked: checked,
    **checks: Check,
) -> Callable[[Callable[..., Any]], Any]:
    """Declare a pointwise loss.

    Parameters
    ----------
    target_domain, prediction_domain : {"any", "unit interval", "sign", "non-negative", "positive"} or callable
        What the elements may be; the driver checks them in the same pass.
    target_hint
        Added to the error about a target outside its domain.
    array_parameter
        The first parameter, where it may be an array that broadcasts to the prediction.
    work
        Nanoseconds an element on one thread: where a second one begins to pay.
    numbers
        What the kernel is given for the checked parameters.
    **checks
        For every parameter but the array, in order, the check it must pass.
    """

    def declare(function: Callable[..., Any]) -> Any:
        defaults = tuple(p.default for p in list(inspect.signature(function).parameters.values())[2:])
        name = function.__name__

        def check(values: tuple[Any, ...]) -> dict[str, Any]:
            return {k: f(v, k) for (k, f), v in zip(checks.items(), values, strict=True)}

        def kernel_numbers(values: tuple[Any, ...]) -> tuple[float, ...]:
            return numbers(*check(values).values())

        def domains(numbers: tuple[float, ...]) -> tuple[str, str]:
            prediction, target = (d(*numbers) if callable(d) else d for d in (prediction_domain, target_domain))
            return prediction, target

        kernel = _core.PointwiseKernel(
            name,
            defaults,
            kernel_numbers,
            prediction_domain,
            target_domain,
            array_parameter is not None,
            work,
        )
        attributes = {
            "_kernel": kernel,
            "_short": staticmethod(kernel.quick),
            "_check": staticmethod(check),
            "_numbers": staticmethod(numbers),
            "_array_parameter": array_parameter,
            "_parameter_names": ([array_parameter] if array_parameter else []) + list(checks),
            "_domains": staticmethod(domains),
            "_target_hint": target_hint,
            "kind": "pointwise",
        }
        return make_loss(
            function,
            arrays=2,
            entry_points=3,
            denominator_of="target, /, *, sample_weight=None",
            evaluate=evaluate,
            denominator=denominator,
            attributes=attributes,
        )

    return declare


def evaluate(
    loss: Any,
    want: int,
    prediction: object,
    target: object,
    parameters: tuple[Any, ...],
    sample_weight: object,
    reduction: str,
    denominator: object,
    grad_output: object,
    out: object,
    grad_out: object,
    hess_out: object,
) -> Any:
    """What the entry points of a pointwise loss call; ``want`` is 0, 1 or 2 derivatives."""
    if (
        sample_weight is None
        and denominator is None
        and grad_output is None
        and out is None
        and (reduction == "mean" or reduction == "sum")
        and _settings.get_backend() == "native"
    ):
        result = loss._short(want, prediction, target, parameters, reduction == "mean", grad_out, hess_out)
        if result is not None:
            return result
    return general(
        loss, want, prediction, target, parameters, sample_weight, reduction, denominator, grad_output,
        (out, grad_out, hess_out),
    )  # fmt: skip


def denominator(loss: Any, target: object, sample_weight: object) -> float:
    """The sum of the weights over the unreduced shape."""
    t = arguments.as_operand(target, "target")
    if sample_weight is None:
        return float(t.size)
    return _weights(sample_weight, t.shape, np.dtype(np.float64))[1]


def _weights(sample_weight: object, shape: tuple[int, ...], real: np.dtype[Any]) -> tuple[Array, float]:
    """The weights as a view of the unreduced shape, and their sum over it."""
    weight = arguments.real_values(sample_weight, "sample_weight", "the unreduced loss", shape)
    good, total = _core.weight_total(weight, real.itemsize == 8)
    if not good:
        raise arguments.bad_weight(weight, "sample_weight", real)
    view = np.broadcast_to(weight, shape)
    return view, total * (view.size / weight.size if weight.size else 0.0)


def _array_parameter(value: object, name: str, shape: tuple[int, ...]) -> tuple[float, Array | None]:
    """A parameter that is one number, or one per column (any array that broadcasts to the prediction)."""
    if value is None:
        return 1.0, None
    array = arguments.as_array(value, name)
    if array.ndim == 0:
        return arguments.non_negative(array[()].item(), name), None
    try:
        view = np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"{name} has shape {array.shape}, which does not broadcast to the prediction's {shape}"
        ) from None
    bad = ~(np.isfinite(array) & (array >= 0))
    if bad.any():
        flat = int(np.argmax(bad))
        raise ValueError(f"{name}{arguments.element(array, flat)} = {array.reshape(-1)[flat]} is out of range; "
                         "expected a finite number >= 0")  # fmt: skip
    return 1.0, view


_EXPECTED = {
    "unit interval": "a number in [0, 1]",
    "sign": "-1 or +1",
    "non-negative": "a number >= 0",
    "positive": "a number > 0",
}


def _outside(array: Array, domain: str, real: np.dtype[Any]) -> Array:
    """Where an array leaves its domain, once rounded to the computing type. NaN passes all but "sign"."""
    with np.errstate(over="ignore"):
        a = widened(array).astype(real)
    if domain == "unit interval":
        return np.asarray((a < 0) | (a > 1))
    if domain == "sign":
        return np.asarray(np.abs(a) != 1)
    if domain in ("non-negative", "positive"):
        return np.asarray(a < 0 if domain == "non-negative" else a <= 0)
    return np.zeros(a.shape, bool)


def _check_domains(
    loss: Any, numbers: tuple[float, ...], x: Array, t: Array, weight: Array | None, real: np.dtype[Any]
) -> None:
    """Raise for the first target or prediction outside its domain; predictions of weight 0 don't count."""
    x_domain, t_domain = loss._domains(numbers)
    for array, name, domain, hint in ((t, "target", t_domain, loss._target_hint), (x, "prediction", x_domain, "")):
        bad = _outside(array, domain, real)
        if name == "prediction" and weight is not None:
            bad &= widened(weight).astype(real) != 0
        if bad.any():
            flat = int(np.argmax(bad))
            value = widened(array.reshape(-1)[flat : flat + 1])[0]
            raise ValueError(f"{name}{arguments.element(array, flat)} = {value} is out of range; "
                             f"expected {_EXPECTED[domain]}{hint}")  # fmt: skip


def general(
    loss: Any,
    want: int,
    prediction: object,
    target: object,
    parameters: tuple[Any, ...],
    sample_weight: object,
    reduction: str,
    denominator: object,
    grad_output: object,
    outputs: tuple[object, object, object],
) -> Any:
    """Any combination of options, layouts and types; raises before anything is written."""
    arguments.check_reduction(reduction)
    given_denominator = arguments.check_denominator(denominator, reduction)
    x, real = arguments.as_prediction(prediction, "prediction")
    t = arguments.as_operand(target, "target")
    arguments.same_shape(t, "target", x, "prediction")
    shape = x.shape
    aux_value, aux = 1.0, None
    if loss._array_parameter:
        aux_value, aux = _array_parameter(parameters[0], loss._array_parameter, shape)
        checked = loss._check(parameters[1:])
    else:
        checked = loss._check(parameters)
    for name, value in checked.items():
        arguments.representable(value, name, real)
    numbers = loss._numbers(*checked.values())
    weight, weight_sum = None, float(x.size)
    if sample_weight is not None:
        weight, weight_sum = _weights(sample_weight, shape, real)
    factor, upstream = arguments.upstream(grad_output, reduction, shape)

    inputs = arguments.named_arrays(prediction=prediction, target=target, sample_weight=sample_weight,
                                    grad_output=grad_output)  # fmt: skip
    if aux is not None:
        inputs.append((loss._array_parameter, aux))
    results = arguments.check_outputs(outputs, want, reduction, (shape, shape, shape), x.dtype, inputs)
    in_place = any(r is not None and arguments.same_buffer(r, inputs[0][1]) for r in results)

    divisor = 1.0
    if reduction == "mean":
        divisor = weight_sum if given_denominator is None else given_denominator
    backend = _settings.get_backend()
    if backend != "native":
        _check_domains(loss, numbers, x, t, weight, real)
        twin = _backend.reference_result(
            loss, want, (x, t), dict(zip(loss._parameter_names, parameters, strict=True)), sample_weight, reduction,
            given_denominator, grad_output, real,
        )  # fmt: skip
        if backend == "reference":
            return _backend.finish(twin, want, reduction, results)

    value = 0.0
    if x.size:
        scale = factor / divisor if divisor else 0.0
        operands = [x, t, aux, weight, upstream]
        status, value = loss._kernel.run(real.itemsize == 8, numbers, aux_value, scale, operands, results, in_place)
        if status:
            _check_domains(loss, numbers, x, t, weight, real)
            if in_place:  # bad predictions, all of weight 0: the check stopped before the pass
                _, value = loss._kernel.run(real.itemsize == 8, numbers, aux_value, scale, operands, results, False)
    if reduction == "mean":
        value = value / divisor if divisor else math.nan
    final = (results[0] if reduction == "none" else value, *results[1:])
    if backend == "check":
        _backend.compare(loss, twin, final, want, shape, real)
    return final[0] if want == 0 else final[: want + 1]
