"""The cases of activations and of the elementary functions that losses are built from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import fastloss as fl
from fastloss import _backend, _core, activations
from fastloss._arguments import Array
from fastloss.check import _inputs as inputs
from fastloss.check._bounds import LOSS_BOUND, elementary_bound
from fastloss.check._case import Case, Real, Subject, Truth
from fastloss.check._losses import CLASSES, PARALLEL_ELEMENTS, QUICK_CLASSES

Function = Callable[..., Array]


def activation_subjects() -> list[Subject]:
    """Elementwise functions, public or not, and the public ones that take a class axis."""
    elementwise = [
        Subject(name, partial(_elementwise, name), lambda real, isa: elementary_bound(isa))
        for name in _core.names_of_unary()
    ]
    rowwise = [
        Subject(name, partial(_rowwise, name), lambda real, isa: LOSS_BOUND)
        for name in fl.__all__
        if "axis" in _parameters(getattr(activations, name, None))
    ]
    return [*elementwise, *rowwise]


def _parameters(function: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters) if inspect.isfunction(function) else {}


def _elementwise(name: str, real: Real, quick: bool) -> list[Case]:
    n = 20_000 if quick else PARALLEL_ELEMENTS
    rng = inputs.generator(7)
    given = {
        "random": inputs.random_values("any", rng, PARALLEL_ELEMENTS, real),
        "all magnitudes": inputs.log_uniform(rng, n, real),
        "wide": (rng.uniform(-800, 800, n)).astype(real),
        "near 1": (1 + rng.standard_normal(n) * np.exp2(-rng.uniform(0, 24, n))).astype(real),
        "extreme": inputs.neighbours(inputs.special_numbers(real)),
    }
    return [Case(label, partial(_apply, name, x), [_elementwise_truth(name, x)]) for label, x in given.items()]


def _apply(name: str, x: Array) -> list[Array]:
    """A function by its name, in public or as the kernels have it."""
    if name in fl.__all__:
        return [getattr(fl, name)(x)]
    y = np.empty_like(x)
    _core.elementwise(_core.names_of_unary()[name], x, y)
    return [y]


def _elementwise_truth(name: str, x: Array) -> Truth:
    if name in fl.__all__:
        return _public_truth(name, x)
    with np.errstate(all="ignore"):
        return Truth("value", getattr(np, name)(x.astype(np.longdouble)), x.dtype)


def _public_truth(name: str, x: Array, axis: int | None = None) -> Truth:
    with fl.backend("check"):  # the reference in the longest type there is
        value, scale = _backend.reference_activation(name, x, axis)
    return Truth("value", value, x.dtype, scale=scale)


def _rowwise(name: str, real: Real, quick: bool) -> list[Case]:
    elements = 6_000 if quick else 20_000
    cases: list[Case] = []
    for classes in QUICK_CLASSES if quick else CLASSES:
        for adversarial in (False, True):
            x = inputs.row_inputs(real, max(elements // classes, 20), classes, adversarial)
            label = f"{'adversarial' if adversarial else 'random'} {x.shape[0]} x {classes}"
            cases += _row_cases(name, label, x)
    many = inputs.row_inputs(real, PARALLEL_ELEMENTS // 10, 10, False)
    return [*cases, Case("many", lambda: [getattr(fl, name)(many)])]


def _row_cases(name: str, label: str, x: Array) -> Iterator[Case]:
    function: Function = getattr(fl, name)
    across = np.ascontiguousarray(x.T)
    yield Case(label, lambda: [function(x)], [_public_truth(name, x, 1)])
    yield Case(f"{label}, axis 0", lambda: [function(across, axis=0)], [_public_truth(name, across, 0)])
