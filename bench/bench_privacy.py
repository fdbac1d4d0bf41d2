"""Clipped and noised means, and noise alone: fastloss, NumPy as it is written, torch."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.privacy_subjects import (
    CLIP_SIZES,
    NOISE_SIZE,
    clip_calls,
    clip_error,
    gradients,
    noise_calls,
    noise_error,
)
from bench.subjects import TOLERANCE, Call

LIBRARIES = ("fastloss", "numpy", "torch")


def call_of(calls: Iterator[Call], library: str) -> Call:
    found = next((c for c in calls if c.library == library), None)
    if found is None:
        pytest.skip(f"{library} is not installed")
    return found


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", CLIP_SIZES, ids=lambda s: "x".join(map(str, s)))
def bench_clip_and_noise(
    benchmark: Any, measure: Callable[[Call], None], shape: tuple[int, int], dtype: str, library: str
) -> None:
    grads = gradients(shape, dtype)
    call = call_of(clip_calls(grads), library)
    worst = clip_error(library, grads)
    # A large sum of single-precision products: torch and NumPy round each, so the last digits differ.
    correct = worst <= 10 * TOLERANCE[dtype]
    benchmark.group = f"clip_and_noise {'x'.join(map(str, shape))} {dtype}"
    benchmark.extra_info |= {"library": library, "correct": correct, "error": worst}
    if library == "fastloss":
        assert correct
    measure(call)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def bench_noise(benchmark: Any, measure: Callable[[Call], None], dtype: str, library: str) -> None:
    call = call_of(noise_calls(NOISE_SIZE, dtype), library)
    distance = noise_error(call)
    benchmark.group = f"gaussian noise {NOISE_SIZE} {dtype}"
    benchmark.extra_info |= {"library": library, "correct": distance < 5, "error": distance}
    if library == "fastloss":
        assert distance < 5
    measure(call)
