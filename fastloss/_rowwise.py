"""How losses of rows of classes are declared and called: a class axis anywhere, labels or probabilities.

Not here: formulas, and what cross-entropy alone has (``_cross_entropy.py``).
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss import _backend, _core, _layout, _settings
from fastloss._arguments import Array
from fastloss._half import widened
from fastloss._loss import make_loss

# Any label fits below it: how many classes there are where only the target is known.
UNKNOWN_CLASSES = 2**62

NO_NUMBERS = np.empty(0)


@dataclass(frozen=True)
class Numbers:
    """A row loss's own parameters as its kernel takes them.

    ``values`` are listed in the kernel's file; ``factor`` and ``by_class`` multiply the loss of a row, without being
    weights (focal loss's alpha).
    """

    values: Array = field(default_factory=lambda: NO_NUMBERS)
    factor: float = 1.0
    by_class: Array | None = None


# The parameters by name, the computing type, the number of classes.
Prepare = Callable[[dict[str, Any], np.dtype[Any], int], Any]


def rowwise_loss(
    *,
    targets: str,
    numbers: Prepare = lambda values, real, classes: Numbers(),
    domains: Callable[[dict[str, Any]], tuple[str, str]] = lambda values: ("any", "any"),
    hessian: bool = True,
    work: float = 0.6,
) -> Callable[[Callable[..., Any]], Any]:
    """Declare a loss of rows of classes whose kernel is listed in csrc/row_losses.def.

    Parameters
    ----------
    targets : {"labels", "probabilities"}
        What the target holds.
    numbers
        The checks of the loss's own parameters.
    domains
        What predictions and probability targets may be: "any", "unit interval" or "non-negative".
    hessian
        Whether a diagonal Hessian makes sense.
    work
        Nanoseconds an element on one thread: where a second one begins to pay.
    """

    def declare(function: Callable[..., Any]) -> Any:
        index = _core.names_of_rows()[function.__name__]

        def run(own: Numbers, call: RowCall) -> float:
            return _core.row_loss(
                index, work, call.x, call.target, call.soft, own.values, call.class_weight, own.by_class, own.factor,
                call.ignore_index, call.sample_weight, call.upstream, call.scale, call.grad, call.hess, call.unreduced,
            )  # fmt: skip

        declared = {p.name: p.default for p in list(inspect.signature(function).parameters.values())[2:]}
        quick = None
        if targets == "labels" and domains(declared) == ("any", "any"):
            plain = tuple(numbers(declared, np.dtype(real), 1).values for real in (np.float32, np.float64))
            quick = (index, work, tuple(declared.values()), list(declared).index("ignore_index"), plain)
        return declare_rows(function, targets, evaluate, numbers, run, domains=domains, hessian=hessian, _quick=quick)

    return declare


def declare_rows(
    function: Callable[..., Any],
    targets: str,
    evaluate: Callable[..., Any],
    prepare: Prepare,
    run: Callable[[Any, RowCall], float],
    *,
    domains: Callable[[dict[str, Any]], tuple[str, str]] = lambda values: ("any", "any"),
    hessian: bool = True,
    **attributes: Any,
) -> Any:
    """The loss object of a declared row loss; ``targets`` may be "either" here, ``run`` calls its kernel."""
    parameters = list(inspect.signature(function).parameters.values())
    labelled = "class_weight=None, ignore_index=-100, " if targets != "probabilities" else ""
    return make_loss(
        function,
        arrays=2,
        entry_points=3 if hessian else 2,
        denominator_of=f"target, /, *, {labelled}axis=-1, sample_weight=None",
        evaluate=evaluate,
        denominator=denominator if labelled else denominator_of_probabilities,
        attributes={
            "_parameter_names": [p.name for p in parameters[2:]],
            "_first": parameters[0].name,
            "_targets": targets,
            "_prepare": staticmethod(prepare),
            "_run": staticmethod(run),
            "_row_domains": staticmethod(domains),
            "kind": "rowwise",
            **attributes,
        },
        unreduced="an array of the prediction's shape without the class axis",
        gradients=None if hessian else ((parameters[0].name,), ()),
    )


@dataclass
class RowCall:
    """What a row kernel is called with: arrays as (outer, C, inner), numbers per row flat, None where absent."""

    x: Array
    target: Array
    soft: bool
    class_weight: Array | None
    ignore_index: int | None
    sample_weight: Array | None
    upstream: Array | None
    scale: float
    grad: Array | None
    hess: Array | None
    unreduced: Array | None


def denominator(
    loss: Any, target: object, class_weight: object, ignore_index: object, axis: object, sample_weight: object
) -> float:
    """Sum of sample weight times class weight over the rows that are not ignored."""
    t = arguments.as_array(target, "target")
    ignored = _ignore_index(ignore_index)
    real = np.dtype(np.float64)
    if t.dtype.kind not in "iu":
        if loss._targets == "labels":
            raise TypeError(f"target has dtype {t.dtype}; class indices must be integers")
        return denominator_of_probabilities(loss, t, axis, sample_weight)
    by_class = None if class_weight is None else per_class(class_weight, "class_weight", None, real)
    classes = UNKNOWN_CLASSES if by_class is None else by_class.size
    return _check_labels(t, t.reshape(-1, 1), classes, ignored, by_class, sample_weight, real)[1]


def denominator_of_probabilities(loss: Any, target: object, axis: object, sample_weight: object) -> float:
    """Sum of the sample weights over the rows."""
    t = arguments.as_array(target, "target")
    k = arguments.check_axis(axis, t.ndim)
    shape = t.shape[:k] + t.shape[k + 1 :]
    return _check_weights(sample_weight, shape, np.dtype(np.float64))[1]


def _ignore_index(value: object) -> int | None:
    if value is None:
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise TypeError(f"ignore_index = {value!r} is not an integer or None") from error


def per_class(value: object, name: str, classes: int | None, real: np.dtype[Any]) -> Array:
    """One finite number >= 0 per class, contiguous, in the computing type."""
    given = arguments.as_array(value, name)
    if given.ndim != 1 or (classes is not None and given.shape != (classes,)):
        expected = "one dimension" if classes is None else f"shape ({classes},): one number per class"
        raise ValueError(f"{name} has shape {given.shape}; expected {expected}")
    with np.errstate(over="ignore"):
        rounded = np.ascontiguousarray(given, dtype=real)
    if not (np.isfinite(rounded) & (rounded >= 0)).all():
        raise arguments.bad_weight(given, name, real)
    return rounded


def _sample_weights(value: object, shape: tuple[int, ...]) -> Array | None:
    """One weight per row, of any type and layout; not looked at yet."""
    if value is None:
        return None
    return np.broadcast_to(arguments.real_values(value, "sample_weight", "the unreduced loss", shape), shape)


def _bad_weight(value: object, shape: tuple[int, ...], flat: int, real: np.dtype[Any]) -> ValueError:
    """The error for the weight of row ``flat``: it names the element of the array that was given, not its broadcast."""
    given = widened(arguments.real_values(value, "sample_weight", "the unreduced loss", shape))
    found = np.unravel_index(flat, shape) if shape else ()
    at = tuple(0 if n == 1 else int(i) for i, n in zip(found, given.shape, strict=True)) if given.ndim else ()
    where = "[" + ", ".join(str(i) for i in at) + "]" if at else ""
    return ValueError(f"sample_weight{where} = {given[at]} is not a weight; expected a finite number >= 0 in {real}")


def _check_weights(value: object, shape: tuple[int, ...], real: np.dtype[Any]) -> tuple[Array | None, float]:
    """The weights of rows that all count, and their sum, or ValueError for one that is none."""
    weights = _sample_weights(value, shape)
    if weights is None:
        return None, float(math.prod(shape))
    good, total = _core.weight_total(weights, real.itemsize == 8)
    if not good:
        with np.errstate(over="ignore"):
            rounded = widened(weights).astype(real)
        raise _bad_weight(value, shape, int(np.argmax(~(np.isfinite(rounded) & (rounded >= 0)))), real)
    return weights, total


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
    weights = _sample_weights(sample_weight, target.shape)
    by_class = None if class_weight is None else class_weight.astype(np.float64)
    bad, bad_weight, total = _core.check_labels(labels, classes, ignored, by_class, weights, real.itemsize == 8)
    if bad_weight >= 0:
        raise _bad_weight(sample_weight, target.shape, bad_weight, real)
    if bad >= 0:
        upper = "0 or more" if classes == UNKNOWN_CLASSES else f"[0, {classes})"
        ignoring = "" if ignored is None else f" and is not ignore_index ({ignored})"
        where, value = arguments.element(target, bad), target.reshape(-1)[bad]
        outside = f"outside {upper}" if classes != UNKNOWN_CLASSES else "not 0 or more"
        raise ValueError(f"target{where} = {value} is {outside}{ignoring}")
    return weights, total


def _is_soft(loss: Any, target: Array, shape: tuple[int, ...], axis: int) -> bool:
    """Whether the target holds probabilities; raises where it is nothing that the loss takes."""
    rows = shape[:axis] + shape[axis + 1 :]
    name, targets = loss._first, loss._targets
    if targets == "probabilities":
        if target.shape == shape:
            return True
        hint = ": class indices go to sparse_categorical_cross_entropy" if target.shape == rows else ""
        raise ValueError(f"target has shape {target.shape} but {name} have shape {shape}; expected probabilities of "
                         f"that shape{hint}")  # fmt: skip
    either = targets == "either"
    if target.dtype.kind in "iu":
        if target.shape == shape:
            instead = ", or probabilities of a floating type" if either else ""
            raise TypeError(f"target has dtype {target.dtype} and the {name}' shape {shape}; expected class indices of "
                            f"shape {rows}{instead}")  # fmt: skip
        if target.shape != rows:
            raise ValueError(f"target has shape {target.shape} but {name} have shape {shape} with class axis {axis}; "
                             f"expected class indices of shape {rows}")  # fmt: skip
        return False
    if target.shape == shape and either:
        return True
    if target.shape == rows or not either:
        instead = f" (probabilities would have the {name}' shape {shape})" if either else ""
        raise TypeError(f"target has dtype {target.dtype}; class indices of shape {rows} must be integers{instead}")
    raise ValueError(f"target has shape {target.shape} but {name} have shape {shape}; expected probabilities of that "
                     f"shape or integer class indices of shape {rows}")  # fmt: skip


def _check_domains(
    domains: tuple[str, str],
    x: Array,
    name: str,
    t: Array,
    live: Callable[[], Array],
    axis: int,
    real: np.dtype[Any],
) -> None:
    """Raise for the first target or prediction outside its domain; predictions in rows that count nothing may be it."""
    for domain, array, what in ((domains[1], t, "target"), (domains[0], x, name)):
        if domain == "any" or _core.inside_domain(array, real.itemsize == 8, domain):
            continue
        array = widened(array)
        with np.errstate(over="ignore"):
            rounded = array.astype(real)
        bad = (rounded < 0) | (rounded > 1) if domain == "unit interval" else rounded < 0
        if what == name:
            bad &= np.expand_dims(live(), axis)
        if bad.any():
            flat = int(np.argmax(bad))
            expected = "a number in [0, 1]" if domain == "unit interval" else "a number >= 0"
            raise ValueError(f"{what}{arguments.element(array, flat)} = {array.reshape(-1)[flat]} is out of range; "
                             f"expected {expected}")  # fmt: skip


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
    """What the entry points of a row loss call; ``want`` is 0, 1 or 2 derivatives."""
    if (
        want < 2
        and loss._quick is not None
        and sample_weight is None
        and denominator is None
        and grad_output is None
        and out is None
        and (reduction == "mean" or reduction == "sum")
        and _settings.get_backend() == "native"
    ):
        index, work, plain, ignored_at, own = loss._quick
        result = _core.quick_rows(
            index, work, want, prediction, target, parameters, plain, ignored_at, own, reduction == "mean", grad_out
        )
        if result is not None:
            return result
    return general(
        loss, want, prediction, target, parameters, sample_weight, reduction, denominator, grad_output,
        (out, grad_out, hess_out),
    )  # fmt: skip


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
    """Any combination of options, layouts and types; every check comes before the first write."""
    values = dict(zip(loss._parameter_names, parameters, strict=True))
    arguments.check_reduction(reduction)
    given_denominator = arguments.check_denominator(denominator, reduction)
    name = loss._first
    x, real = arguments.as_prediction(prediction, name)
    if x.ndim == 0:
        raise ValueError(f"{name} are 0-dimensional; expected a class axis")
    axis = arguments.check_axis(values["axis"], x.ndim)
    t = arguments.as_operand(target, "target")
    shape, classes = x.shape, x.shape[axis]
    rows = shape[:axis] + shape[axis + 1 :]
    n_rows = math.prod(rows)
    soft = _is_soft(loss, t, shape, axis)
    if classes == 0 and n_rows:
        raise ValueError(f"{name} have shape {shape}: {n_rows} rows of no classes")
    own = loss._prepare(values, real, classes)
    ignored = _ignore_index(values.get("ignore_index"))
    class_weight = values.get("class_weight")
    by_class = None if class_weight is None else per_class(class_weight, "class_weight", classes, real)
    factor, upstream = arguments.upstream(grad_output, reduction, rows)
    outer, _, inner = _layout.sizes(shape, axis)
    target_rows: Array = t.reshape((outer, classes, inner) if soft else (outer, inner))
    if soft:
        weights, weight_sum = _check_weights(sample_weight, rows, real)
    else:
        weights, weight_sum = _check_labels(t, target_rows, classes, ignored, by_class, sample_weight, real)

    given_arrays = {k: v for k, v in values.items() if isinstance(v, np.ndarray)}
    inputs = arguments.named_arrays(**{name: prediction}, target=target, sample_weight=sample_weight,
                                    grad_output=grad_output, **given_arrays)  # fmt: skip
    results = arguments.check_outputs(outputs, want, reduction, (rows, shape, shape), x.dtype, inputs)

    def live() -> Array:
        with np.errstate(over="ignore"):
            mask = np.ones(rows, bool) if weights is None else widened(weights).astype(real) != 0
        return mask if soft or ignored is None else mask & (t != ignored)

    _check_domains(loss._row_domains(values), x, name, t, live, axis, real)
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
    derivatives = [None if r is None else _layout.rows_output(r, axis) for r in results[1:]]
    if x.size:
        grad, hess = (None if d is None else d[0] for d in derivatives)
        value = loss._run(own, RowCall(
            _layout.rows_view(x, axis), target_rows, soft, by_class, ignored, weights, upstream,
            factor / divisor if divisor else 0.0, grad, hess, results[0],
        ))  # fmt: skip
    for r, d in zip(results[1:], derivatives, strict=True):
        if r is not None and d is not None and d[1]:
            r[...] = d[0].reshape(shape)
    if reduction == "mean":
        value = value / divisor if divisor else math.nan
    final = (results[0] if reduction == "none" else value, *results[1:])
    if backend == "check":
        _backend.compare(loss, twin, final, want, shape, real)
    return final[0] if want == 0 else final[: want + 1]
