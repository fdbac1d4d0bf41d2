"""What is measured besides the cells: cost against size on one and two threads, and the cost of small calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import fastloss as fl
from bench import THREADS
from bench.limits import memory_left
from bench.measure import medians
from bench.problems import NAMES, Call, Problem

POINTWISE = ("mse_loss", "huber_loss", "hinge_loss", "binary_cross_entropy_with_logits")
CLASSES = 1000  # of cross_entropy against size; fewer elements are one row
LARGEST = 10**8
PER_DECADE = 4
SMALL_SIZES = (1, 10, 100)
# Times np.add(a, b, out=c) that a call on up to 100 elements may take.
SMALL_LIMIT = {"value": 4.0, "value and gradient": 5.0}
ADD = "np.add(a, b, out=c)"
# What the time of a loss is compared with, and on which shape.
YARDSTICKS: dict[str, tuple[int, ...]] = {
    "binary_cross_entropy_with_logits": (1_000_000,),
    "cross_entropy": (1024, 1000),
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
    """Seconds of every loss of one prediction, value and gradient in float32, and of its yardstick in the same rounds.

    A million elements beside binary cross-entropy with logits; 1024 rows of 1000 classes beside cross-entropy.
    """
    result = {}
    for yardstick, shape in YARDSTICKS.items():
        names = [name for name in NAMES if Problem(name, (1, 1), "float32").rowwise == (len(shape) == 2)]
        calls = []
        for name in names:
            p = Problem(name, shape, "float32")
            loss, x, t, grad = getattr(fl, name), p.prediction, p.target, np.empty_like(p.prediction)

            def run(loss: Any = loss, x: Any = x, t: Any = t, grad: Any = grad) -> Any:
                return loss.value_and_grad(x, t, grad_out=grad)

            calls.append(Call(f"fastloss {name}", run))
        found = medians(calls, rounds)
        for name in names:
            result[name] = {"seconds": found[f"fastloss {name}"], "yardstick": found[f"fastloss {yardstick}"]}
    return result


def small_calls(n: int, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of every loss on n elements, its value and value and gradient, and of np.add on such arrays."""
    a, b = (Problem("mse_loss", (n,), "float32").random() for _ in range(2))
    c = np.empty_like(a)
    calls = [Call(ADD, lambda: np.add(a, b, out=c))]
    for name in NAMES:
        p = Problem(name, (n,), "float32")
        if p.rowwise:
            rows = max(1, n // 10)
            p = Problem(name, (rows, n // rows), "float32")
        loss, x, t = getattr(fl, name), p.prediction, p.target
        grad = np.empty_like(x)

        def value(loss: Any = loss, x: Any = x, t: Any = t) -> Any:
            return loss(x, t)

        def both(loss: Any = loss, x: Any = x, t: Any = t, grad: Any = grad) -> Any:
            return loss.value_and_grad(x, t, grad_out=grad)

        calls += [Call(f"{name}|value", value), Call(f"{name}|value and gradient", both)]
    found = medians(calls, rounds)
    result = {ADD: {"value": found[ADD]}}
    for name in NAMES:
        result[name] = {what: found[f"{name}|{what}"] for what in SMALL_LIMIT}
    return result
