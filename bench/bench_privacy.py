"""Clipped and noised means, and noise alone: fastloss, and every library that is installed."""

from collections.abc import Callable
from typing import Any

import pytest

from bench.bench_losses import call_of, problem
from bench.problems import Call, Problem
from bench.steps import TOLERANCE, Step, apart, calls, clipped_mean

LIBRARIES = ("fastloss", "numpy", "torch", "jax", "opacus")
CLIP_SIZES = ((1024, 1000), (256, 100_000))
NOISE_SIZE = 10_000_000


def run(benchmark: Any, measure: Callable[[Call], None], p: Problem, library: str, group: str) -> None:
    call = call_of(p, library)
    if call is None:
        pytest.skip(f"{library} is not installed, or has nothing of the kind")
    worst = p.error(call)
    benchmark.group = group
    benchmark.extra_info |= {"library": library, "correct": worst <= p.tolerance(call), "error": worst}
    if library == "fastloss":
        assert worst <= p.tolerance(call)
    measure(call)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", CLIP_SIZES, ids=lambda s: "x".join(map(str, s)))
def bench_clip_and_noise(
    benchmark: Any, measure: Callable[[Call], None], shape: tuple[int, int], dtype: str, library: str
) -> None:
    p = problem("clip_and_noise", shape, dtype, "clip")
    run(benchmark, measure, p, library, f"clip_and_noise {'x'.join(map(str, shape))} {dtype}")


@pytest.mark.parametrize("library", LIBRARIES[:-1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def bench_noise(benchmark: Any, measure: Callable[[Call], None], dtype: str, library: str) -> None:
    p = problem("gaussian", (NOISE_SIZE,), dtype, "noise")
    run(benchmark, measure, p, library, f"gaussian noise {NOISE_SIZE} {dtype}")


@pytest.mark.parametrize("step", [Step(8, ((30,), (4, 5))), Step(8, layer=(1, 6, 5)), Step(8, layer=(3, 6, 5))])
def bench_clip_and_noise_by_all_ways(benchmark: Any, measure: Callable[[Call], None], step: Step) -> None:
    """Small steps of the report's comparison with Opacus; all ways must agree, and fastloss's is measured."""
    ways = list(calls(step))
    for call in ways:
        if call.reset:
            call.reset()
        assert call.proof is not None
        assert apart(call.proof(), clipped_mean(step)) < TOLERANCE, call.library
    benchmark.group = step.name
    measure(ways[0])


@pytest.mark.parametrize("library", ["fastloss", "fastloss, new outputs", "numpy"])
def bench_secure_noise(benchmark: Any, measure: Callable[[Call], None], library: str) -> None:
    """Integers added to sums, as the secure path does; NumPy's normal numbers in float32 beside them."""
    p = problem("discrete_gaussian", (NOISE_SIZE,), "float32", "noise")
    run(benchmark, measure, p, library, f"secure noise {NOISE_SIZE}")
