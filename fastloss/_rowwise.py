"""How losses of rows of classes are declared and called: a class axis anywhere, labels or probabilities.

Not here: formulas, and what cross-entropy alone has (``_cross_entropy.py``).
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss import _backend, _core, _layout, _settings
from fastloss._arguments import Array
from fastloss._half import widened
from fastloss._loss import make_loss
from fastloss._row_arguments import (
    UNKNOWN_CLASSES,
    check_labels,
    check_row_domains,
    check_weights,
    ignored_label,
    is_soft,
    per_class,
)

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
    first: Callable[[dict[str, Any]], bool] = lambda values: False,
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
    first
        Whether the kernel needs its first pass, which then is the look at the targets' domain.
    hessian
        Whether a diagonal Hessian makes sense.
    work
        Nanoseconds an element on one thread: where a second one begins to pay.
    """

    def declare(function: Callable[..., Any]) -> Any:
        index = _core.names_of_rows()[function.__name__]

        def run(own: Numbers, call: RowCall) -> float | None:
            return _core.row_loss(
                index, work, call.x, call.target, call.soft, own.values, call.class_weight, own.by_class, own.factor,
                call.ignore_index, call.sample_weight, call.upstream, call.scale, call.grad, call.hess, call.unreduced,
                call.first,
            )  # fmt: skip

        quick = _quick(function, targets, numbers, domains, work)
        return declare_rows(
            function, targets, evaluate, numbers, run, domains=domains, first=first, hessian=hessian,
            _short=staticmethod(quick.run),
        )  # fmt: skip

    return declare


def _quick(function: Callable[..., Any], targets: str, numbers: Prepare, domains: Any, work: float) -> Any:
    """The short way to the kernel: with the declared defaults, and with either value of a parameter that is a bool."""
    declared = {p.name: p.default for p in list(inspect.signature(function).parameters.values())[2:]}
    flags = [name for name, default in declared.items() if isinstance(default, bool)]
    variants = []
    for values in itertools.product((False, True), repeat=len(flags)):
        given = declared | dict(zip(flags, values, strict=True))
        own = (numbers(given, np.dtype(real), 1).values for real in (np.float32, np.float64))
        variants.append((tuple(given.values()), *own, *domains(given)))
    ignored_at = list(declared).index("ignore_index") if targets == "labels" else -1
    return _core.QuickRows(function.__name__, work, variants, ignored_at)


def declare_rows(
    function: Callable[..., Any],
    targets: str,
    evaluate: Callable[..., Any],
    prepare: Prepare,
    run: Callable[[Any, RowCall], float | None],
    *,
    domains: Callable[[dict[str, Any]], tuple[str, str]] = lambda values: ("any", "any"),
    first: Callable[[dict[str, Any]], bool] = lambda values: False,
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
            "_first_pass": staticmethod(first),
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
    first: bool = False


def denominator(
    loss: Any, target: object, class_weight: object, ignore_index: object, axis: object, sample_weight: object
) -> float:
    """Sum of sample weight times class weight over the rows that are not ignored."""
    t = arguments.as_array(target, "target")
    ignored = ignored_label(ignore_index)
    real = np.dtype(np.float64)
    if t.dtype.kind not in "iu":
        if loss._targets == "labels":
            raise TypeError(f"target has dtype {t.dtype}; class indices must be integers")
        return denominator_of_probabilities(loss, t, axis, sample_weight)
    by_class = None if class_weight is None else per_class(class_weight, "class_weight", None, real)
    classes = UNKNOWN_CLASSES if by_class is None else by_class.size
    return check_labels(t, t.reshape(-1, 1), classes, ignored, by_class, sample_weight, real)[1]


def denominator_of_probabilities(loss: Any, target: object, axis: object, sample_weight: object) -> float:
    """Sum of the sample weights over the rows."""
    t = arguments.as_array(target, "target")
    k = arguments.check_axis(axis, t.ndim)
    shape = t.shape[:k] + t.shape[k + 1 :]
    return check_weights(sample_weight, shape, np.dtype(np.float64))[1]


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
        and sample_weight is None
        and denominator is None
        and grad_output is None
        and out is None
        and (reduction == "mean" or reduction == "sum")
        and _settings.get_backend() == "native"
    ):
        result = loss._short(want, prediction, target, parameters, reduction == "mean", grad_out)
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
    soft = is_soft(loss, t, shape, axis)
    if classes == 0 and n_rows:
        raise ValueError(f"{name} have shape {shape}: {n_rows} rows of no classes")
    own = loss._prepare(values, real, classes)
    ignored = ignored_label(values.get("ignore_index"))
    class_weight = values.get("class_weight")
    by_class = None if class_weight is None else per_class(class_weight, "class_weight", classes, real)
    factor, upstream = arguments.upstream(grad_output, reduction, rows)
    outer, _, inner = _layout.sizes(shape, axis)
    target_rows: Array = t.reshape((outer, classes, inner) if soft else (outer, inner))
    if soft:
        weights, weight_sum = check_weights(sample_weight, rows, real)
    else:
        weights, weight_sum = check_labels(t, target_rows, classes, ignored, by_class, sample_weight, real)

    given_arrays = {k: v for k, v in values.items() if isinstance(v, np.ndarray)}
    inputs = arguments.named_arrays(**{name: prediction}, target=target, sample_weight=sample_weight,
                                    grad_output=grad_output, **given_arrays)  # fmt: skip
    results = arguments.check_outputs(outputs, want, reduction, (rows, shape, shape), x.dtype, inputs)

    def live() -> Array:
        with np.errstate(over="ignore"):
            mask = np.ones(rows, bool) if weights is None else widened(weights).astype(real) != 0
        return mask if soft or ignored is None else mask & (t != ignored)

    def check_domains(target_too: bool) -> None:
        of_x, of_target = loss._row_domains(values)
        check_row_domains((of_x, of_target if target_too else "any"), x, name, t, live, axis, real)

    backend = _settings.get_backend()
    first = loss._first_pass(values)
    check_domains(not (first and backend == "native"))
    divisor = 1.0
    if reduction == "mean":
        divisor = weight_sum if given_denominator is None else given_denominator
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
            factor / divisor if divisor else 0.0, grad, hess, results[0], first,
        ))  # fmt: skip
        if value is None:
            check_domains(True)
    for r, d in zip(results[1:], derivatives, strict=True):
        if r is not None and d is not None and d[1]:
            r[...] = d[0].reshape(shape)
    if reduction == "mean":
        value = value / divisor if divisor else math.nan
    final = (results[0] if reduction == "none" else value, *results[1:])
    if backend == "check":
        _backend.compare(loss, twin, final, want, shape, real)
    return final[0] if want == 0 else final[: want + 1]
