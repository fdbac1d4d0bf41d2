"""What is measured besides the cells: cost against size on one and two threads, and the cost of small calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from cases import BY_NAME, SEVERAL

import fastloss as fl
from bench import THREADS
from bench.limits import memory_left
from bench.measure import medians
from bench.problems import ACTIVATIONS, NAMES, Call, Problem

POINTWISE = ("mse_loss", "huber_loss", "hinge_loss", "binary_cross_entropy_with_logits")
CLASSES = 1000  # of cross_entropy against size; fewer elements are one row
LARGEST = 10**8
PER_DECADE = 4
SMALL_SIZES = (1, 10, 100)
# Times np.add(a, b, out=c) that a call on up to 100 elements may take.
SMALL_LIMIT = {"value": 4.0, "value and gradient": 5.0}
ADD = "np.add(a, b, out=c)"
# What the time of a loss is compared with, and on which shape: rows whose target holds probabilities with the same.
YARDSTICKS: dict[str, tuple[int, ...]] = {
    "binary_cross_entropy_with_logits": (1_000_000,),
    "cross_entropy": (1024, 1000),
    "cross_entropy, probabilities": (1024, 1000),
}


def sizes(largest: int) -> list[int]:
    steps = int(np.log10(largest) * PER_DECADE + 1e-9)
    return sorted({round(10 ** (k / PER_DECADE)) for k in range(steps + 1)})


def shape_of(name: str, n: int) -> tuple[int, ...]:
    return (n,) if name in POINTWISE else (max(1, n // CLASSES), min(n, CLASSES))


def against_size(name: str, largest: int, rounds: int) -> Iterator[tuple[int, dict[str, float]]]:
    """Elements, and seconds of value and gradient in float32 on one and on two threads."""
    loss = getattr(fl, name)
    # The largest problem's arrays serve all: prediction, target and gradient.
    n = max(n for n in sizes(largest) if n == 1 or 20 * n <= memory_left())
    whole = Problem(name, (n,) if name in POINTWISE else shape_of(name, n), "float32")
    x, t, grad = whole.prediction.reshape(-1), whole.target, np.zeros(n, "float32")
    for size in sorted({int(np.prod(shape_of(name, size))) for size in sizes(n)}):  # in whole rows
        shape = shape_of(name, size)
        a, g = x[:size].reshape(shape), grad[:size].reshape(shape)
        b = t[: shape[0]] if name not in POINTWISE else t[:size]
        if name not in POINTWISE and shape[1] < CLASSES:
            b = b % shape[1]

        def run(a: Any = a, b: Any = b, g: Any = g) -> Any:
            return loss.value_and_grad(a, b, grad_out=g)

        yield size, medians([Call(str(k), run, threads=k) for k in (1, THREADS)], rounds)


def catalogue(rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of every loss, value and gradient in float32, and of its yardstick in the same rounds."""
    elements, rows, _ = YARDSTICKS.values()
    problems = {name: Problem(name, rows if BY_NAME[name].rowwise else elements, "float32") for name in NAMES}
    problems["cross_entropy, probabilities"] = Problem("cross_entropy", rows, "float32", soft=True)
    calls: dict[str, list[Call]] = {}  # by yardstick
    for label, p in problems.items():
        yardstick = list(YARDSTICKS)[0 if not p.rowwise else 1 if not p.dense else 2]
        calls.setdefault(yardstick, []).append(_into_given(label, p, p.prediction, {}))
    divergence, logits = problems["kl_divergence"], problems["cross_entropy"].prediction
    calls["cross_entropy, probabilities"].append(
        _into_given("kl_divergence, from logits", divergence, logits, {"from_logits": True})
    )
    result = {}
    for yardstick, group in calls.items():
        found = medians(group, rounds)
        for call in group:
            seconds = {"seconds": found[call.library], "yardstick": found[OURS + yardstick]}
            result[call.library.removeprefix(OURS)] = seconds
    return result


OURS = "fastloss "  # none of these calls is another's rival, and dropped for being slow


def _into_given(label: str, p: Problem, x: Any, options: dict[str, Any]) -> Call:
    """Value and gradient of a problem, for a prediction x, the gradient into an array of its own."""
    loss, t, grad = getattr(fl, p.name), p.target, np.empty_like(x)
    return Call(OURS + label, lambda: loss.value_and_grad(x, t, grad_out=grad, **options))


def small_calls(n: int, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of np.add on arrays of n elements, and of every loss on such: its value, and value and gradients, these
    into given arrays; activations have values alone."""
    a, b = (Problem("mse_loss", (n,), "float32").random() for _ in range(2))
    c = np.empty_like(a)
    calls = [Call(f"{ADD}|value", lambda: np.add(a, b, out=c))]
    rows = max(1, n // 10)
    for name in NAMES:
        p = Problem(name, (n,), "float32")
        p = Problem(name, (rows, n // rows), "float32") if p.rowwise else p
        calls += _both(name, (p.prediction, p.target), np.empty_like(p.prediction))
    for case in SEVERAL:
        shape = (2, 2, max(1, n // 4)) if case.name == "ge2e_loss" else (rows, n // rows)
        arrays = case.smooth(np.random.default_rng(0), shape, np.dtype(np.float32), {})
        loss = getattr(fl, case.name)
        outputs = tuple(np.empty_like(arrays[loss.arrays.index(g)]) for g in loss.gradients)
        calls += _both(case.name, arrays, outputs if len(outputs) > 1 else outputs[0])
    x = a.reshape(rows, n // rows)
    for name in ACTIVATIONS:
        calls.append(_activation(name, x))
    result: dict[str, dict[str, float]] = {}
    for call, seconds in medians(calls, rounds).items():
        name, what = call.split("|")
        result.setdefault(name.removeprefix(OURS), {})[what] = seconds
    return result


def _both(name: str, arrays: tuple[Any, ...], outputs: Any) -> list[Call]:
    loss = getattr(fl, name)
    return [
        Call(f"{OURS}{name}|value", lambda: loss(*arrays)),
        Call(f"{OURS}{name}|value and gradient", lambda: loss.value_and_grad(*arrays, grad_out=outputs)),
    ]


def _activation(name: str, x: Any) -> Call:
    function = getattr(fl, name)
    out = np.empty(x.shape[:-1] if name == "logsumexp" else x.shape, x.dtype)
    return Call(f"{OURS}{name}|value", lambda: function(x, out=out))
