"""How cross-entropy is called: rows of logits, a class axis anywhere, labels or probabilities."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss import _backend, _core, _layout, _settings
from fastloss._arguments import Array
from fastloss._loss import make_loss

# Any label fits below it: how many classes there are where only the target is known.
UNKNOWN_CLASSES = 2**62


def rowwise_loss(function: Callable[..., Any]) -> Any:
    """Declare a loss of rows of logits with integer or probability targets."""
    parameters = list(inspect.signature(function).parameters.values())[2:]
    return make_loss(
        function,
        arrays=2,
        entry_points=3,
        denominator_of="target, /, *, class_weight=None, ignore_index=-100, axis=-1, sample_weight=None",
        evaluate=evaluate,
        denominator=denominator,
        attributes={
            "_parameter_names": [p.name for p in parameters],
            "_plain": tuple(p.default for p in parameters),
            "kind": "rowwise",
        },
        unreduced="an array of the prediction's shape without the class axis",
    )


def denominator(
    loss: Any, target: object, class_weight: object, ignore_index: object, axis: object, sample_weight: object
) -> float:
    """Sum of sample weight times class weight over the rows that are not ignored."""
    t = arguments.as_array(target, "target")
    ignored = _ignore_index(ignore_index)
    real = np.dtype(np.float64)
    if t.dtype.kind not in "iu":
        k = arguments.check_axis(axis, t.ndim)
        shape = t.shape[:k] + t.shape[k + 1 :]
        weights = _sample_weights(sample_weight, shape, real, None)
        return float(math.prod(shape)) if weights is None else _core.weight_total(weights, True)[1]
    by_class = None if class_weight is None else _class_weight(class_weight, None, real)
    classes = UNKNOWN_CLASSES if by_class is None else by_class.size
    return _check_labels(t, t.reshape(-1, 1), classes, ignored, by_class, sample_weight, real)[1]


def _ignore_index(value: object) -> int | None:
    if value is None:
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise TypeError(f"ignore_index = {value!r} is not an integer or None") from error


def _class_weight(value: object, classes: int | None, real: np.dtype[Any]) -> Array:
    """One weight per class, contiguous, in the computing type."""
    weight = arguments.as_array(value, "class_weight")
    if weight.ndim != 1 or (classes is not None and weight.shape != (classes,)):
        expected = "one dimension" if classes is None else f"shape ({classes},): one weight per class"
        raise ValueError(f"class_weight has shape {weight.shape}; expected {expected}")
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(weight, dtype=real)
    if not (np.isfinite(rounded) & (rounded >= 0)).all():
        raise arguments.bad_weight(weight, "class_weight", real)
    return rounded


def _sample_weights(value: object, shape: tuple[int, ...], real: np.dtype[Any], ignored: Array | None) -> Array | None:
    """One weight per row, rounded to the computing type, flat and in float64; those of ignored rows become 0."""
    if value is None:
        return None
    given = arguments.real_values(value, "sample_weight", "the unreduced loss", shape)
    with np.errstate(over="ignore"):
        weight = np.broadcast_to(given, shape).astype(real).astype(np.float64)
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if ignored is not None:
        bad &= ~ignored
        weight[ignored] = 0.0
    if bad.any():
        # Name the element of the array that was given, not that of its broadcast.
        found = np.unravel_index(int(np.argmax(bad)), bad.shape)
        at = tuple(0 if n == 1 else int(i) for i, n in zip(found, given.shape, strict=True)) if given.ndim else ()
        where = "[" + ", ".join(str(i) for i in at) + "]" if at else ""
        raise ValueError(f"sample_weight{where} = {given[at]} is not a weight; expected a finite number >= 0 "
                         f"in {real}")  # fmt: skip
    return weight.reshape(-1)


def _check_labels(
    target: Array,
    labels: Array,
    classes: int,
    ignored: int | None,
    class_weight: Array | None,
    sample_weight: object,
    real: np.dtype[Any],
) -> tuple[Array | None, float]:
    """The row weights and the sum of weights, or ValueError for a label that is no class; ``labels`` is 2-d."""
    mask = None
    if sample_weight is not None and ignored is not None:
        mask = np.asarray(target == ignored)
    weights = _sample_weights(sample_weight, target.shape, real, mask)
    by_class = None if class_weight is None else class_weight.astype(np.float64)
    bad, total = _core.check_labels(labels, classes, ignored, by_class, weights)
    if bad >= 0:
        upper = "0 or more" if classes == UNKNOWN_CLASSES else f"[0, {classes})"
        ignoring = "" if ignored is None else f" and is not ignore_index ({ignored})"
        where, value = arguments.element(target, bad), target.reshape(-1)[bad]
        outside = f"outside {upper}" if classes != UNKNOWN_CLASSES else "not 0 or more"
        raise ValueError(f"target{where} = {value} is {outside}{ignoring}")
    return weights, total


def _is_soft(target: Array, shape: tuple[int, ...], axis: int) -> bool:
    """Whether the target holds probabilities; raises where it is neither those nor class indices."""
    rows = shape[:axis] + shape[axis + 1 :]
    if target.dtype.kind in "iu":
        if target.shape == shape:
            raise TypeError(f"target has dtype {target.dtype} and the logits' shape {shape}; expected class indices of "
                            f"shape {rows}, or probabilities of a floating type")  # fmt: skip
        if target.shape != rows:
            raise ValueError(f"target has shape {target.shape} but logits have shape {shape} with class axis {axis}; "
                             f"expected class indices of shape {rows}")  # fmt: skip
        return False
    if target.shape == shape:
        return True
    if target.shape == rows:
        raise TypeError(f"target has dtype {target.dtype}; class indices of shape {rows} must be integers "
                        f"(probabilities would have the logits' shape {shape})")  # fmt: skip
    raise ValueError(f"target has shape {target.shape} but logits have shape {shape}; expected probabilities of that "
                     f"shape or integer class indices of shape {rows}")  # fmt: skip


def _upstream(grad_output: object, reduction: str, shape: tuple[int, ...]) -> tuple[float, Array | None]:
    factor, array = arguments.upstream(grad_output, reduction, shape)
    return factor, None if array is None else np.ascontiguousarray(array, dtype=np.float64).reshape(-1)


def _options(values: dict[str, Any]) -> dict[str, float]:
    """The scalar parameters, checked; logit_softcap 0 stands for none."""
    cap = values["logit_softcap"]
    return {
        "label_smoothing": arguments.fraction(values["label_smoothing"], "label_smoothing"),
        "temperature": arguments.positive(values["temperature"], "temperature"),
        "logit_softcap": 0.0 if cap is None else arguments.positive(cap, "logit_softcap"),
        "z_loss": arguments.non_negative(values["z_loss"], "z_loss"),
    }


def evaluate(
    loss: Any,
    want: int,
    logits: object,
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
    """What the entry points of a row loss call; ``want`` is 0, 1 or 2 derivatives."""
    if (
        want < 2
        and sample_weight is None
        and denominator is None
        and grad_output is None
        and out is None
        and (reduction == "mean" or reduction == "sum")
        and _settings.get_backend() == "native"
    ):
        result = _core.quick_cross_entropy(want, logits, target, parameters, loss._plain, reduction == "mean", grad_out)
        if result is not None:
            return result
    return general(
        loss, want, logits, target, parameters, sample_weight, reduction, denominator, grad_output,
        (out, grad_out, hess_out),
    )  # fmt: skip


def general(
    loss: Any,
    want: int,
    logits: object,
    target: object,
    parameters: tuple[Any, ...],
    sample_weight: object,
    reduction: str,
    denominator: object,
    grad_output: object,
    outputs: tuple[object, object, object],
) -> Any:
    """Any combination of options, layouts and types; every check comes before the first write."""
    values = dict(zip(loss._parameter_names, parameters, strict=True))
    arguments.check_reduction(reduction)
    given_denominator = arguments.check_denominator(denominator, reduction)
    x, result_type = arguments.as_prediction(logits, "logits")
    if x.ndim == 0:
        raise ValueError("logits are 0-dimensional; expected a class axis")
    axis = arguments.check_axis(values["axis"], x.ndim)
    t = arguments.as_array(target, "target")
    shape, real, classes = x.shape, x.dtype, x.shape[axis]
    rows = shape[:axis] + shape[axis + 1 :]
    n_rows = math.prod(rows)
    soft = _is_soft(t, shape, axis)
    if classes == 0 and n_rows:
        raise ValueError(f"logits have shape {shape}: {n_rows} rows of no classes")
    options = _options(values)
    for name, number in options.items():
        arguments.representable(number, name, real)
    ignored = _ignore_index(values["ignore_index"])
    by_class = None if values["class_weight"] is None else _class_weight(values["class_weight"], classes, real)
    factor, upstream = _upstream(grad_output, reduction, rows)
    outer, _, inner = _layout.sizes(shape, axis)
    target_rows: Array = t.reshape((outer, classes, inner) if soft else (outer, inner))
    if soft:
        weights = _sample_weights(sample_weight, rows, real, None)
        weight_sum = float(n_rows) if weights is None else _core.weight_total(weights, True)[1]
    else:
        weights, weight_sum = _check_labels(t, target_rows, classes, ignored, by_class, sample_weight, real)

    inputs = arguments.named_arrays(logits=logits, target=target, sample_weight=sample_weight, grad_output=grad_output,
                                    class_weight=values["class_weight"])  # fmt: skip
    results = arguments.check_outputs(outputs, want, reduction, (rows, shape, shape), result_type, inputs)

    divisor = 1.0
    if reduction == "mean":
        divisor = weight_sum if given_denominator is None else given_denominator
    backend = _settings.get_backend()
    if backend != "native":
        twin = _backend.reference_result(
            loss, want, (x, t), values, sample_weight, reduction, given_denominator, grad_output, real
        )
        if backend == "reference":
            return _backend.finish(twin, want, reduction, results)

    value = 0.0
    unreduced = None if results[0] is None else np.empty(n_rows)
    derivatives = [
        None if r is None else _layout.rows_output(r if r.dtype == real else np.empty(shape, real), axis)
        for r in results[1:]
    ]
    if x.size:
        grad, hess = (None if d is None else d[0] for d in derivatives)
        value = _core.cross_entropy(
            _layout.rows_view(x, axis), target_rows, soft, options, by_class, ignored, weights, upstream,
            factor / divisor if divisor else 0.0, grad, hess, unreduced,
        )  # fmt: skip
    for r, d in zip(results[1:], derivatives, strict=True):
        if r is not None and d is not None and (d[1] or r.dtype != real):
            r[...] = d[0].reshape(shape)
    if results[0] is not None and unreduced is not None:
        with np.errstate(over="ignore"):
            results[0][...] = unreduced.reshape(rows)
    if reduction == "mean":
        value = value / divisor if divisor else math.nan
    final = (results[0] if reduction == "none" else value, *results[1:])
    if backend == "check":
        _backend.compare(loss, twin, final, want, shape, real)
    return final[0] if want == 0 else final[: want + 1]
