"""What all benchmarks share: threads, and how long each is measured."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import fastloss as fl
from bench import THREADS
from bench.problems import Call

SECONDS = 0.15  # of rounds per benchmark, 3 rounds at least


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    with fl.num_threads(THREADS):
        yield


@pytest.fixture
def measure(benchmark: Any) -> Callable[[Call], None]:
    """Times a call: short ones in batches, one that needs a reset with that outside the time where it matters."""

    def timed(call: Call) -> None:
        run, reset = call.run, call.reset

        def with_reset() -> None:
            reset()
            run()

        start = time.perf_counter()
        with_reset() if reset else run()
        once = max(time.perf_counter() - start, 1e-6)
        iterations = max(1, min(1000, int(200e-6 / once)))
        rounds = max(3, min(200, int(SECONDS / (once * iterations))))
        if reset and iterations == 1:
            benchmark.pedantic(run, setup=reset, rounds=rounds, warmup_rounds=1)
        else:
            function = with_reset if reset else run
            benchmark.pedantic(function, rounds=rounds, iterations=iterations, warmup_rounds=1)

    return timed
