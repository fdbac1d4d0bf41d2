"""Mean loss and gradient of every loss: fastloss, the reference, and every library that compiles nothing."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest

import fastloss as fl
from bench.problems import NAMES, Call, Problem
from bench.rivals import rivals, with_fastloss
from bench.rivals.with_fastloss import FRESH, GIVEN

POINTWISE_SIZES = ((100,), (10_000,), (1_000_000,), (16_000_000,))
ROW_SIZES = ((64, 10), (4096, 10), (1024, 1000), (512, 32000))
LIBRARIES = ("fastloss", "fastloss, new array", "reference", "numpy", "sklearn", "torch", "jax", "numexpr")

problem = lru_cache(maxsize=1)(Problem)


def sizes(name: str) -> tuple[tuple[int, ...], ...]:
    return ROW_SIZES if Problem(name, (1, 1), "float32").rowwise else POINTWISE_SIZES


def plan() -> list[Any]:
    """Every loss at every size in float32, and at the middle sizes in float64."""
    return [
        pytest.param(name, shape, dtype, library, id="-".join((name, "x".join(map(str, shape)), dtype, library)))
        for name in NAMES
        for dtype in ("float32", "float64")
        for k, shape in enumerate(sizes(name))
        if dtype == "float32" or k in (1, 2)
        for library in LIBRARIES
        if not (library == "reference" and (k == 3 or dtype == "float64"))
        if not (library == "fastloss, new array" and k == 0)
    ]


def call_of(p: Problem, library: str) -> Call | None:
    if library == "reference":
        twin = getattr(fl.reference, p.name)
        return Call(library, lambda: twin.value_and_grad(p.prediction, p.target))
    if library.startswith("fastloss"):
        wanted = GIVEN if library == "fastloss" else FRESH
        return next(call for call in with_fastloss.calls(p) if call.library == wanted)
    return next(rivals(p, f"with_{library}"), None)


@pytest.mark.parametrize(("name", "shape", "dtype", "library"), plan())
def bench_value_and_grad(
    benchmark: Any,
    measure: Callable[[Call], None],
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    library: str,
) -> None:
    p = problem(name, shape, dtype)
    call = call_of(p, library)
    if call is None:
        pytest.skip(f"{library} is not installed, or has no such loss")
    worst = p.error(call)
    benchmark.group = f"{name} {'x'.join(map(str, shape))} {dtype}"
    benchmark.extra_info |= {"library": library, "correct": worst <= p.tolerance(call), "error": worst}
    if library.startswith("fastloss"):
        assert worst <= p.tolerance(call)
    measure(call)
