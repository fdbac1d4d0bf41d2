"""The cases of every loss object, whatever losses there are: found in fastloss, described by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

import fastloss as fl
from fastloss import _backend
from fastloss._arguments import Array
from fastloss._loss import Loss
from fastloss.check import _inputs as inputs
from fastloss.check._bounds import DOCUMENT_BOUND, OPTIONS_EXTRA, OPTIONS_FLOOR, WEIGHTED_EXTRA, loss_bound
from fastloss.check._case import Case, Real, Results, Subject, Truth
from fastloss.check._documents import WORKED_NUMBERS
from fastloss.check._several import several_cases

# More than the least work that is shared out to threads, and no multiple of a block.
PARALLEL_ELEMENTS = 110_003

# Rows of so many classes take different paths through the row kernels.
CLASSES = (1, 2, 3, 10, 33, 100, 257, 1000, 5003)
QUICK_CLASSES = (1, 3, 10, 257, 1000)


def loss_subjects() -> list[Subject]:
    """Every public loss once, under its own name."""
    losses = {name: thing for name in fl.__all__ if isinstance(thing := vars(fl).get(name), Loss)}
    return [
        Subject(name, partial(_cases, loss), partial(_bound, name))
        for name, loss in losses.items()
        if loss._name == name
    ]


def _bound(name: str, real: Real, isa: str) -> float:
    return loss_bound(name)


def _cases(loss: Any, real: Real, quick: bool) -> list[Case]:
    makers: dict[str, Callable[[Any, Real, bool], Iterator[Case]]] = {
        "pointwise": _pointwise,
        "rowwise": _rowwise,
        "several": several_cases,
    }
    if loss.kind not in makers:
        raise NotImplementedError(f"no inputs are known for losses of kind {loss.kind!r}")
    return [*makers[loss.kind](loss, real, quick), *_documents(loss, real)]


# ---- From a call to a case ----


def _reference(loss: Any, arrays: tuple[Array, Array], keywords: dict[str, Any], common: dict[str, Any]) -> Any:
    """The reference's evaluation of a call, in the longest type there is."""
    options = {"sample_weight": None, "reduction": "none", "grad_output": None, **common}
    with fl.backend("check"):
        return _backend.reference_result(
            loss, _orders(loss), arrays, keywords, options["sample_weight"], options["reduction"], None,
            options["grad_output"], arrays[0].dtype,
        )  # fmt: skip


def _truths(loss: Any, arrays: tuple[Array, Array], keywords: dict[str, Any], common: dict[str, Any]) -> list[Truth]:
    """What the reference says about value and derivatives."""
    twin = _reference(loss, arrays, keywords, common)
    extra, floor, others = WEIGHTED_EXTRA if common else 0.0, 0.0, []
    if loss.kind == "pointwise":
        others = [] if common else _beside_kinks(loss, arrays, keywords)
    elif set(keywords) - set(inputs.LAYOUT):
        extra += OPTIONS_EXTRA
        floor = OPTIONS_FLOOR * float(np.finfo(arrays[0].dtype).tiny)

    def truth(column: str, value: Any, scale: Any, others: Sequence[Array] = ()) -> Truth:
        scale = np.maximum(scale, floor)
        return Truth(column, value, arrays[0].dtype, scale=scale, extra=extra, others=others)

    truths = [truth("value", twin.value, twin.value_scale), truth("gradient", twin.grad, twin.grad_scale)]
    if twin.hess is not None:
        truths.append(truth("Hessian", twin.hess, twin.hess_scale, others))
    return truths


def _beside_kinks(loss: Any, arrays: tuple[Array, Array], keywords: dict[str, Any]) -> list[Array]:
    """Hessians one rounding of the residual away on either side: at a kink they jump, and both are right."""
    if inputs.domains(loss, keywords) != ("any", "any"):
        return []
    x, t = arrays
    up, down = x.dtype.type(np.inf), x.dtype.type(-np.inf)
    with np.errstate(all="ignore"):
        nudged = [(np.nextafter(x, a), np.nextafter(t, b)) for a, b in ((up, down), (down, up))]
    return [_reference(loss, pair, keywords, {}).hess for pair in nudged]


def _orders(loss: Any) -> int:
    """How many derivatives the loss has."""
    return 2 if hasattr(loss, "value_grad_hess") else 1


def _call(loss: Any, arrays: tuple[Array, Array], **keywords: Any) -> list[Array]:
    """Value and all derivatives."""
    entry = loss.value_grad_hess if _orders(loss) == 2 else loss.value_and_grad
    return [np.asarray(result) for result in entry(*arrays, **keywords)]


def _unreduced(loss: Any, name: str, arrays: tuple[Array, Array], **keywords: Any) -> Case:
    return Case(
        name,
        lambda: _call(loss, arrays, reduction="none", **keywords),
        _truths(loss, arrays, keywords, {}),
    )


def _weighted(loss: Any, name: str, arrays: tuple[Array, Array], weights: Array, **keywords: Any) -> Case:
    common = {"sample_weight": weights, "reduction": "mean", "grad_output": 0.7}
    return Case(
        f"{name}, weighted mean",
        lambda: _call(loss, arrays, **keywords, **common),
        _truths(loss, arrays, keywords, common),
    )


def _reduced(loss: Any, arrays: tuple[Array, Array]) -> Case:
    """The mean with its derivatives, and a sum, of enough work for every thread."""

    def call() -> Results:
        terms = loss(*arrays, reduction="none")
        return [terms, *_call(loss, arrays), np.asarray(loss(*arrays, reduction="sum"))]

    return Case("many", call, sums=True)


def _weights(shape: tuple[int, ...], real: Real) -> Array:
    """Sample weights, a tenth of them 0."""
    rng = inputs.generator(5, *shape)
    return np.asarray((rng.uniform(0.1, 3, shape) * (rng.uniform(size=shape) > 0.1)).astype(real))


# ---- Losses of single elements ----


def _pointwise(loss: Any, real: Real, quick: bool) -> Iterator[Case]:
    n = 4_000 if quick else 20_000
    x_domain, t_domain = inputs.domains(loss, {})
    rng = inputs.generator(6)
    ones = np.ones((1, 8), real)  # in every domain
    for parameters in inputs.parameter_sets(loss, (ones, ones)):
        shown = _shown(parameters)
        for name, x, t in inputs.pointwise_inputs(loss, parameters, real, n):
            yield _unreduced(loss, f"{name}{shown}", (x, t), **parameters)
            if name == "random":
                yield _weighted(loss, f"{name}{shown}", (x, t), _weights(x.shape, real), **parameters)
    many = tuple(inputs.random_values(d, rng, PARALLEL_ELEMENTS, real) for d in (x_domain, t_domain))
    yield _reduced(loss, (many[0], many[1]))


def _shown(parameters: dict[str, Any]) -> str:
    parts = (f"{name}={'array' if isinstance(v, np.ndarray) else v}" for name, v in parameters.items())
    return f" ({', '.join(parts)})" if parameters else ""


# ---- Losses of rows of classes ----


def _rowwise(loss: Any, real: Real, quick: bool) -> Iterator[Case]:
    elements = 3_000 if quick else 10_000
    many_options = (10,) if quick else (10, 257)
    for classes in QUICK_CLASSES if quick else CLASSES:
        rows = max(elements // classes, 20)
        for adversarial in (False, True):
            logits = inputs.row_inputs(real, rows, classes, adversarial)
            x = inputs.row_predictions(loss, logits, {})
            name = f"{'adversarial' if adversarial else 'random'} {rows} x {classes}"
            for number, (kind, target) in enumerate(inputs.row_targets(loss, logits)):
                yield _unreduced(loss, f"{name}, {kind}", (x, target))
                across = target if target.ndim == 1 else np.ascontiguousarray(target.T)
                yield _unreduced(loss, f"{name}, {kind}, axis 0", (np.ascontiguousarray(x.T), across), axis=0)
                if classes in many_options:
                    yield from _with_options(loss, f"{name}, {kind}", logits, target)
                if not adversarial and number == 0:
                    yield _weighted(loss, name, (x, target), _weights((rows,), real))
    for classes in (10, 1000):
        logits = inputs.row_inputs(real, PARALLEL_ELEMENTS // classes, classes, False)
        _, target = inputs.row_targets(loss, logits)[0]
        yield _reduced(loss, (inputs.row_predictions(loss, logits, {}), target))


def _with_options(loss: Any, name: str, logits: Array, target: Array) -> Iterator[Case]:
    for parameters in inputs.parameter_sets(loss, (inputs.row_predictions(loss, logits, {}), target))[1:]:
        x = inputs.row_predictions(loss, logits, parameters)
        yield _unreduced(loss, f"{name}{_shown(parameters)}", (x, target), **parameters)


# ---- Worked numbers ----


def _documents(loss: Any, real: Real) -> Iterator[Case]:
    """The source documents' inputs; in float64 their values too."""
    for name, prediction, target, parameters, expected in WORKED_NUMBERS:
        if name != loss._name:
            continue
        t = np.asarray(target)
        arrays = (np.asarray(prediction, real), t if t.dtype.kind == "i" else t.astype(real))
        yield _unreduced(loss, f"worked number {expected}", arrays, **parameters)
        if real == np.float64:
            yield _worked(loss, arrays, parameters, expected)


def _worked(loss: Any, arrays: tuple[Array, Array], parameters: dict[str, Any], expected: float) -> Case:
    def relation(results: Results) -> list[str]:
        value = float(results[0])
        good = abs(value - expected) <= DOCUMENT_BOUND * abs(expected)
        return [] if good else [f"the value is {value!r}"]

    return Case(f"value {expected}", lambda: [np.asarray(loss(*arrays, **parameters))], relation=relation)
