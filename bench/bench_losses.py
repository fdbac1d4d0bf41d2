"""Mean loss and gradient of every loss: fastloss, NumPy as it is written, the reference, torch, scikit-learn."""

from collections.abc import Callable
from typing import Any

import pytest

from bench.subjects import NAMES, SKLEARN, TOLERANCE, TORCH, Call, calls, error, problem, sizes

LIBRARIES = ("fastloss", "fastloss, new array", "numpy", "reference", "torch", "scikit-learn")


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


@pytest.mark.parametrize(("name", "shape", "dtype", "library"), plan())
def bench_value_and_grad(
    benchmark: Any,
    measure: Callable[[Call], None],
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    library: str,
) -> None:
    call = next((c for c in calls(problem(name, shape, dtype)) if c.library == library), None)
    if call is None:
        known = {"torch": TORCH, "scikit-learn": SKLEARN}.get(library)
        pytest.skip(f"{library} {'has no such loss' if known else 'is not installed'}")
    worst = error(call, name, shape, dtype)
    benchmark.group = f"{name} {'x'.join(map(str, shape))} {dtype}"
    benchmark.extra_info |= {"library": library, "correct": worst <= TOLERANCE[dtype], "error": worst}
    if library.startswith("fastloss"):
        assert worst <= TOLERANCE[dtype]
    measure(call)
