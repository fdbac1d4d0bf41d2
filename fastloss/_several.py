"""How a loss of several arrays is declared and called: embeddings of pairs and triplets, similarities, overlaps.

Such a loss says which of its arrays have gradients and what its parameters must be; one function of its own looks at
the shapes of a call and returns a ``Problem``: the shape of the unreduced loss, and what evaluates it. Everything that
all losses share (types, weights, reductions, outputs, other backends) happens here, and no arithmetic.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss import _backend, _core, _settings
from fastloss._arguments import Array
from fastloss._half import assign, widened
from fastloss._loss import make_loss

# In ``grad_out``, in the place of an array: that gradient is not wanted, and None comes back for it. Not public; for
# fastloss.torch, and only of a loss that ``spares``.
UNWANTED: Any = object()


@dataclass(frozen=True)
class Run:
    """What the evaluation of a problem is given: everything checked, nothing to convert.

    ``weight`` (the sample weights, rounded to the computing type; 0 for ignored rows) and ``upstream`` are float64
    arrays of the unreduced shape, contiguous, or None for 1 everywhere. The value of a row is the loss times its
    weight; its gradient is multiplied by weight, upstream and ``scale``. A row of weight 0 contributes exactly 0.
    ``unreduced`` (None: not wanted) is a contiguous array of the unreduced shape for the weighted values;
    ``gradients`` has an array of any strides and of the computing type for every given array that has a gradient, of
    its shape, the first possibly being that array's own buffer; it is empty where no gradient is wanted. Of a loss that
    ``spares``, single ones may be None.
    """

    scale: float
    weight: Array | None
    upstream: Array | None
    unreduced: Array | None
    gradients: list[Any]


@dataclass(frozen=True)
class Problem:
    """One call of a loss, its shapes and labels checked.

    ``run`` returns the sum of the weighted values, and after it the derivatives with respect to learnable scalars (if
    the loss has any). ``row_weight`` (class weights of the targets, which the formula contains) and ``ignored`` (rows
    whose sample weight is not looked at) are of the unreduced shape: both enter the denominator of the mean.
    ``unreduced_type``: what ``run`` wants to store values in; the computing type where it is None.
    """

    shape: tuple[int, ...]
    run: Callable[[Run], Sequence[float]]
    row_weight: Array | None = None
    ignored: Array | None = None
    unreduced_type: Any = np.float64


Prepare = Callable[[np.dtype[Any], tuple[Any, ...], dict[str, Any]], Problem]


def several_loss(
    *,
    gradients: tuple[str, ...],
    prepare: Prepare,
    checks: dict[str, Callable[[Any, str], Any]],
    scalars: tuple[str, ...] = (),
    unreduced: str = "an array of the leading axes, without D",
    denominator_of: str = "target, /, *, sample_weight=None",
    denominator: Callable[..., float] | None = None,
    attributes: dict[str, Any] | None = None,
    reads_half: bool = True,
    numbers: Callable[[np.dtype[Any], dict[str, Any]], tuple[Any, ...]] | None = None,
    other_label: int | None = None,
    quick: Any = None,
    few: tuple[int, Callable[[np.dtype[Any], dict[str, Any]], tuple[float, ...]]] | None = None,
    spares: bool = False,
) -> Callable[[Callable[..., Any]], Any]:
    """Declare a loss of several arrays, the first of which decides the type.

    Parameters
    ----------
    gradients
        The arrays that have a gradient, in argument order, the first array among them. The gradient is a tuple of those
        that were given; of a loss with one gradient and no learnable scalars it is that array itself.
    prepare
        ``(computing type, arrays, parameters) -> Problem``: raises unless shapes and labels are right. The first array
        is of the computing type or of a half type, the others of any real type; an omitted one is None. Nothing may be
        written.
    checks
        For every parameter, in order, the check it must pass: what it returns is what ``prepare`` gets.
    scalars
        Parameters whose derivatives follow those of the arrays, as floats.
    unreduced
        What ``reduction="none"`` returns, in words.
    denominator_of, denominator
        The signature of the method ``denominator`` as written in code, and what it calls with those arguments; by
        default every element of the target is one row.
    attributes
        More class attributes of the loss.
    reads_half
        Whether ``prepare`` takes arrays of half types, whose gradients then have the first array's type; else they come
        converted to float32, and the gradients are rounded afterwards.
    numbers, other_label
        Of a loss of rows of embeddings: what its kernel takes of checked parameters, and the label that targets hold
        beside 1, for the short way to it (``_quick_pairs.pxi``).
    quick
        The short way of another loss: an object with ``QuickPairs``'s method ``run``.
    few
        Of a loss of products of embeddings: its kind in ``_few.pxi``, and what that takes of checked parameters; a
        ValueError where there is no short way to it.
    spares
        Whether a gradient that is not wanted, beside one that is, saves the evaluation work: whoever needs only some
        may then put ``UNWANTED`` into ``grad_out``.
    """

    def declare(function: Callable[..., Any]) -> Any:
        parameters = inspect.signature(function).parameters.values()
        count = sum(p.kind is p.POSITIONAL_ONLY for p in parameters)
        shortcut = quick

        def checked(given: tuple[Any, ...], is_double: bool, use: Any) -> Any:
            real = np.dtype(np.float64 if is_double else np.float32)
            return use(real, _checked(checks, given, real))

        if numbers is not None:
            shortcut = _core.QuickPairs(
                function.__name__, len(gradients), lambda given, double: checked(given, double, numbers), other_label
            )
        if few is not None:
            kind, of_few = few
            shortcut = _core.QuickFew(kind, lambda given, double: (checked(given, double, of_few),))
        total = denominator or (lambda target, sample_weight: total_weight(np.shape(target), sample_weight))
        return make_loss(
            function,
            arrays=count,
            entry_points=2,
            denominator_of=denominator_of,
            evaluate=evaluate,
            denominator=lambda loss, *given: total(*given),
            attributes={
                "_prepare": staticmethod(prepare),
                "_checks": checks,
                "_reads_half": reads_half,
                "_quick": shortcut,
                "_spares": spares,
                "_parameter_names": list(checks),
                "gradients": gradients,
                "scalars": scalars,
                "kind": "several",
                **(attributes or {}),
            },
            unreduced=unreduced,
            gradients=(gradients, scalars),
        )

    return declare


def _checked(
    checks: dict[str, Callable[[Any, str], Any]], parameters: tuple[Any, ...], real: np.dtype[Any]
) -> dict[str, Any]:
    """The parameters by name, each of which is what it must be, and a number of the computing type."""
    values = {}
    for (name, check), value in zip(checks.items(), parameters, strict=True):
        values[name] = check(value, name)
        if isinstance(values[name], float) and math.isfinite(values[name]):
            arguments.representable(values[name], name, real)
    return values


def total_weight(shape: tuple[int, ...], sample_weight: object) -> float:
    """The sum of the sample weights over an unreduced shape."""
    weight = _sample_weights(sample_weight, shape, np.dtype(np.float64), None)
    return float(math.prod(shape)) if weight is None else _core.weight_total(weight, True)[1]


def _sample_weights(value: object, shape: tuple[int, ...], real: np.dtype[Any], ignored: Array | None) -> Array | None:
    """The weights over the unreduced shape, rounded to the computing type, in float64; those of ignored rows are 0."""
    if value is None:
        return None
    given = widened(arguments.real_values(value, "sample_weight", "the unreduced loss", shape))
    with np.errstate(over="ignore"):
        weight = np.broadcast_to(given, shape).astype(real).astype(np.float64, order="C")
    if ignored is None:
        looked_at = given
    else:
        weight[ignored] = 0.0
        looked_at = np.where(ignored, 0, given)
    if not (np.isfinite(weight) & (weight >= 0)).all():
        raise arguments.bad_weight(np.asarray(looked_at), "sample_weight", real)
    return weight


def _weight_sum(problem: Problem, weight: Array | None) -> float:
    """What the mean divides by: sample weight times class weight over the rows that are not ignored."""
    if problem.row_weight is None and problem.ignored is None:
        return float(math.prod(problem.shape)) if weight is None else _core.weight_total(weight, True)[1]
    product = np.ones(problem.shape) if weight is None else weight
    if problem.row_weight is not None:
        product = product * problem.row_weight
    if problem.ignored is not None:
        product = np.where(problem.ignored, 0.0, product)
    return _core.weight_total(product, True)[1]


def _outputs(
    gradients: list[str],
    out: object,
    grad_out: object,
    want: int,
    reduction: str,
    shapes: list[tuple[int, ...]],
    dtype: np.dtype[Any],
    inputs: list[tuple[str, Array]],
) -> list[Array | None]:
    """``out`` and the gradients' arrays (for the value, none): the given ones checked, the missing ones new."""
    if out is not None and reduction != "none":
        raise ValueError(f"out needs reduction='none'; it was {reduction!r}")
    places: Sequence[object] = [None] * len(gradients)
    names = ["grad_out"] if len(places) == 1 else [f"grad_out[{k}]" for k in range(len(places))]
    if isinstance(grad_out, tuple | list):
        places = grad_out
    elif grad_out is not None and len(places) == 1:
        places = [grad_out]
    elif grad_out is not None:
        raise TypeError(f"grad_out is a {type(grad_out).__name__}; expected a tuple of {len(places)}: an array or None "
                        f"for each of {', '.join(gradients)}")  # fmt: skip
    if len(places) != len(names):
        raise ValueError(f"grad_out has {len(places)} elements; expected {len(names)}: an array or None for each of "
                         f"{', '.join(gradients)}")  # fmt: skip
    given = [("out", out), *(zip(names, places, strict=True) if want else ())]
    taken = list(inputs)
    results: list[Array | None] = []
    for k, (name, array) in enumerate(given):
        if array is UNWANTED:
            results.append(None)
        elif array is not None:
            checked = arguments.check_output(array, name, shapes[k], dtype, taken, own=k < 2)
            results.append(checked)
            taken.append((name, checked))
        else:
            results.append(_core.new_array(shapes[k], dtype) if k or reduction == "none" else None)
    return results


def evaluate(loss: Any, want: int, *rest: Any) -> Any:
    """What the entry points call, with the arrays, the parameters and the common keywords behind one another."""
    *given, parameters, sample_weight, reduction, denominator, grad_output, out, grad_out, _ = rest
    if (
        loss._quick is not None
        and sample_weight is None
        and denominator is None
        and grad_output is None
        and out is None
        and (reduction == "mean" or reduction == "sum")
        and _settings.get_backend() == "native"
    ):
        result = loss._quick.run(want, given, parameters, reduction == "mean", grad_out)
        if result is not None:
            return result
    arguments.check_reduction(reduction)
    given_denominator = arguments.check_denominator(denominator, reduction)
    first, real = arguments.as_prediction(given[0], loss.arrays[0])
    result_type = first.dtype
    arrays = (first, *(None if a is None else arguments.as_operand(a, name)
                       for a, name in zip(given[1:], loss.arrays[1:], strict=True)))  # fmt: skip
    if not loss._reads_half:
        arrays = tuple(None if a is None else widened(a) for a in arrays)
    values = _checked(loss._checks, parameters, real)
    problem: Problem = loss._prepare(real, arrays, values)
    shape = problem.shape
    weight = _sample_weights(sample_weight, shape, real, problem.ignored)
    factor, upstream = arguments.upstream(grad_output, reduction, shape)
    if upstream is not None:
        upstream = np.ascontiguousarray(widened(upstream), dtype=np.float64)

    by_name = dict(zip(loss.arrays, arrays, strict=True))
    named = dict(zip(loss.arrays, given, strict=True))
    inputs = arguments.named_arrays(**named, sample_weight=sample_weight, grad_output=grad_output,
                                    **{k: v for k, v in values.items() if isinstance(v, np.ndarray)})  # fmt: skip
    present = [name for name in loss.gradients if by_name[name] is not None]  # what is omitted has no gradient
    shapes = [shape, *(by_name[name].shape for name in present)]
    results = _outputs(present, out, grad_out, want, reduction, shapes, result_type, inputs)

    divisor = 1.0
    if reduction == "mean":
        divisor = _weight_sum(problem, weight) if given_denominator is None else given_denominator
    backend = _settings.get_backend()
    if backend != "native":
        twin = _backend.reference_result(
            loss, want, arrays, dict(zip(loss._parameter_names, parameters, strict=True)), sample_weight, reduction,
            given_denominator, grad_output, real,
        )  # fmt: skip
        if backend == "reference":
            return _assembled(loss, want, *_backend.finish_several(twin, want, reduction, results))

    stored = problem.unreduced_type or (result_type if loss._reads_half else real)
    unreduced = results[0]
    if unreduced is not None and (unreduced.dtype != stored or not unreduced.flags.c_contiguous):
        unreduced = np.empty(shape, stored)
    kept = result_type if loss._reads_half else real
    computed = [r if r is None or r.dtype == kept else np.empty(r.shape, real) for r in results[1:]]
    scale = factor / divisor if divisor else 0.0
    value, *scalars = problem.run(Run(scale, weight, upstream, unreduced, computed))
    for result, source in zip(results, [unreduced, *computed], strict=True):
        if result is not None and source is not result and source is not None:
            assign(result, source if source.dtype == result_type else _rounded(source, real))
    if reduction == "mean":
        value = value / divisor if divisor else math.nan
    final = _assembled(loss, want, results[0] if reduction == "none" else value, [*results[1:], *scalars])
    if backend == "check":
        _backend.compare_several(loss._name, [*present, *loss.scalars], twin, final, want, first.shape, real)
    return final


def _rounded(values: Array, real: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):
        return values.astype(real, copy=False)


def _assembled(loss: Any, want: int, value: Any, gradients: Sequence[Any]) -> Any:
    """The result of an entry point: value, or value and gradients, a single one by itself."""
    if want == 0:
        return value
    return value, gradients[0] if len(gradients) == 1 else tuple(gradients)
