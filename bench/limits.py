"""What a cell can't be faster than: the larger of two floors, memory traffic and arithmetic.

Traffic is measured by NumPy's plainest passes over arrays of the same number and size, halves on two threads, in
turns with the contenders of the cell: a read (max), a copy, a multiplication in place, a fill. They follow each other,
array after array as in the work, so that as much has to stay in the caches from one call to the next; a pass over
three arrays at once may come out slightly ahead of that. What is smaller than ``LEAST`` bytes in all, which the cores'
own caches hold, is measured at that size and costs in proportion.

Arithmetic is the elementary functions at the rate of the bare function on a cached array, on two threads: the
better of NumPy's and of fastloss's own kernel, as the slope between two lengths (so that no call is counted).
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from bench import THREADS
from bench.problems import Array, Call, Problem
from fastloss import _core

LEAST = 1 << 19  # bytes that stand for fewer
TOGETHER = 1 << 26  # bytes that a turn moves at least, so that starting threads doesn't count

LIMIT = "limit: "
ONE = np.float32(1)
# Name: (what is moved, how, bytes moved for every byte of the array). The better of two ways counts: copyto's stores
# go past the caches where arrays are large, which pays on some machines.
PASSES: dict[str, tuple[str, Callable[[Array, Array], Any], int]] = {
    "max": ("read", lambda source, to: source.max(), 1),
    "copyto": ("copy", lambda source, to: np.copyto(to, source), 2),
    "multiply": ("copy", lambda source, to: np.multiply(source, ONE, out=to), 2),
    "multiply in place": ("scale", lambda source, to: np.multiply(source, ONE, out=source), 2),
    "fill": ("fill", lambda source, to: to.fill(1), 1),
}


def traffic(p: Problem) -> dict[str, int]:
    """Bytes of every kind of pass that the work can't do without: array by array, each touched once.

    A copy reads and writes so many, each. Labels count twice, since all are checked before anything is written.
    """
    n = math.prod(p.shape) * np.dtype(p.dtype).itemsize
    if p.name == "discrete_gaussian":
        return {"scale": 2 * n}  # int64 sums that it is added to
    if p.kind == "noise":
        return {"fill": n}
    if p.kind == "clip" or p.name == "logsumexp":
        return {"read": n}
    if p.kind == "activation":
        return {"copy": n}
    target = 2 * p.target.nbytes if p.rowwise and not p.dense else p.target.nbytes
    if p.kind == "value":
        return {"read": n + target}
    return {"read": target, "scale" if p.in_place else "copy": n}


def arithmetic(p: Problem) -> dict[str, float]:
    """How many elementary functions the work needs; what is cheaper is not counted, nor is the stream cipher."""
    n = math.prod(p.shape)
    rows = n // p.shape[p.axis]
    counts: dict[str, dict[str, float]] = {
        "cross_entropy": {"exp": n, "log": rows, "divide": rows},
        "binary_cross_entropy_with_logits": {"exp": n, "log": n, "divide": n},
        "focal_loss": {"exp": n, "log": n, "divide": n},
        "sigmoid": {"exp": n, "divide": n},
        "softplus": {"exp": n, "log": n},
        "softmax": {"exp": n, "divide": rows},
        "log_softmax": {"exp": n, "log": rows},
        "logsumexp": {"exp": n, "log": rows},
        # Box-Muller: two numbers from one radius; a sine or cosine counts as an exponential (NumPy's is slower).
        "gaussian": {"log": n / 2, "sqrt": n / 2, "exp": n},
        "laplace": {"log": n},
    }
    return counts.get(p.name, {})


def calls(p: Problem) -> Iterator[Call]:
    """The passes over memory, as contenders of the cell: every choice of one way for each kind."""
    kinds = traffic(p)
    scale = max(1.0, LEAST / sum(kinds.values()))
    ways = [[name for name, (kind, _, _) in PASSES.items() if kind == wanted] for wanted in kinds]
    for names in itertools.product(*ways):
        yield _passes(names, [math.ceil(scale * nbytes) for nbytes in kinds.values()], scale)


def _passes(names: tuple[str, ...], sizes: list[int], scale: float) -> Call:
    """One turn over all arrays; scale: how many times too large they are."""
    jobs = []
    for name, nbytes in zip(names, sizes, strict=True):
        kind, function, _ = PASSES[name]
        source = np.ones(max(nbytes // 4, THREADS), np.float32)
        to = np.ones_like(source) if kind in ("copy", "fill") else source
        jobs.append((function, np.array_split(source, THREADS), np.array_split(to, THREADS)))
    repeat = max(1, TOGETHER // sum(sizes))

    def part(k: int) -> None:
        for _ in range(repeat):
            for function, source, to in jobs:
                function(source[k], to[k])

    def run() -> None:
        list(_pool().map(part, range(THREADS)))

    return Call(LIMIT + " + ".join(names), run, times=repeat * scale)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS)


def floors(p: Problem, found: dict[str, float]) -> tuple[float, float]:
    """Seconds of the traffic and of the arithmetic."""
    return _best(found)[1], sum(count * rate(name, p.dtype) for name, count in arithmetic(p).items())


def _best(found: dict[str, float]) -> tuple[str, float]:
    """The fastest passes and their seconds."""
    passes = [(name.removeprefix(LIMIT), seconds) for name, seconds in found.items() if name.startswith(LIMIT)]
    return min(passes, key=lambda way: way[1])


def gigabytes_per_second(p: Problem, found: dict[str, float]) -> dict[str, float]:
    """The bandwidth of the fastest passes; what is read and what is written both count."""
    name, seconds = _best(found)
    moved = sum(PASSES[way][2] * nbytes for way, nbytes in zip(name.split(" + "), traffic(p).values(), strict=True))
    return {name: moved / seconds / 1e9}


@cache
def rate(name: str, dtype: str) -> float:
    """Seconds of one elementary function where all threads compute it."""
    n = 8192  # elements: with the result they fit the cache of a core
    x = np.random.default_rng(0).random(n).astype(dtype) + np.dtype(dtype).type(0.5)
    out = np.empty_like(x)
    ufunc = getattr(np, name)
    kernels: list[Callable[[Array, Array], Any]] = [
        (lambda x, out: ufunc(x, x, out=out)) if name == "divide" else (lambda x, out: ufunc(x, out=out))
    ]
    index = _core.names_of_unary().get(name)
    if index is not None:
        kernels.append(lambda x, out: _core.elementwise(index, x, out))

    def seconds(kernel: Callable[[Array, Array], Any], length: int) -> float:
        a, b, times = x[:length], out[:length], []
        for _ in range(15):
            start = time.perf_counter()
            for _ in range(50):
                kernel(a, b)
            times.append((time.perf_counter() - start) / 50)
        return statistics.median(times)

    slopes = [(seconds(kernel, n) - seconds(kernel, n // 4)) / (n - n // 4) for kernel in kernels]
    return max(min(slopes), 0.0) / THREADS


def memory_left() -> int:
    """Bytes that arrays may take: half of what is free (page cache, which could be given up, does not count)."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
