"""What is measured: a piece of work and its inputs, the calls that do it, and whether their results are right.

The inputs are ordinary ones. Not those of the tests: they are full of extremes, which slow some libraries down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from cases import BY_NAME, CASES

from bench import THREADS, idiomatic

Array = np.ndarray[Any, Any]
NAMES = tuple(case.name for case in CASES)
ACTIVATIONS = ("sigmoid", "softplus", "softmax", "log_softmax", "logsumexp")
BOUND, MULTIPLIER = 1.0, 1.1  # of clip_and_noise
STEPS = MULTIPLIER * 2.0**20  # scale of the integer noise of its secure path

# Largest relative errors with which a call still counts as right.
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


@dataclass(frozen=True)
class Problem:
    """A piece of work: mean loss and gradient (``kind`` "loss"), mean loss ("value"), or what ``name`` says."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: str = "loss"  # or "value", "activation", "clip", "noise"
    soft: bool = False  # probabilities as the target of cross_entropy
    axis: int = -1
    in_place: bool = False

    @property
    def rowwise(self) -> bool:
        return self.name in BY_NAME and BY_NAME[self.name].rowwise

    @property
    def dense(self) -> bool:
        """Whether the target holds probabilities of classes."""
        return self.soft or (self.rowwise and BY_NAME[self.name].targets == "probabilities")

    @property
    def domain(self) -> str:
        return BY_NAME[self.name].inputs.__name__ if self.name in BY_NAME else self.kind

    @property
    def terms(self) -> int:
        """What the mean divides by."""
        return self.target.size // self.shape[self.axis] if self.dense else self.target.size

    def random(self, spread: float = 1.0) -> Array:
        """Normal numbers; a million of them repeated, since drawing many takes longer than measuring on them."""
        n = int(np.prod(self.shape))
        drawn = np.random.default_rng(n % 97).standard_normal(min(n, 1_000_003), self.dtype)
        return np.resize(drawn * np.dtype(self.dtype).type(spread), self.shape)

    @cached_property
    def prediction(self) -> Array:
        real = np.dtype(self.dtype).type
        if self.kind == "clip":  # rows of norms about the bound: some half of them are clipped
            spread = np.random.default_rng(0).uniform(0.5, 1.5, (self.shape[0], 1)).astype(self.dtype)
            return self.random(BOUND / self.shape[1] ** 0.5) * spread
        if self.kind == "noise":
            return np.empty(0, self.dtype)
        if self.domain == "probabilities":
            return np.asarray(real(0.5) + real(0.48) * np.sin(self.random(3)))
        if self.domain.endswith("distributions"):
            weights = np.exp(self.random())
            return np.asarray(weights / weights.sum(axis=self.axis, keepdims=True))
        return self.random(1 if self.domain in ("residuals", "counts", "amounts") else 3)

    @cached_property
    def target(self) -> Array:
        real = np.dtype(self.dtype).type
        rng = np.random.default_rng(1)
        if self.domain == "residuals":
            return np.roll(self.random(), 1) if self.prediction.size > 1 else self.random(0.5)
        if self.domain in ("counts", "amounts"):
            drawn = np.abs(np.roll(self.random(2), 1)) + real(0.01)
            return np.floor(drawn) if self.domain == "counts" else drawn
        if self.dense:
            weights = np.exp(np.roll(self.random(), 1))
            return np.asarray(weights / weights.sum(axis=self.axis, keepdims=True))
        if self.rowwise:
            shape = list(self.shape)
            classes = shape.pop(self.axis)
            return rng.integers(0, classes, shape)
        binary = np.resize(rng.integers(0, 2, min(self.prediction.size, 1_000_003)), self.shape).astype(self.dtype)
        return 2 * binary - 1 if self.domain == "signed_scores" else binary

    @cached_property
    def truth(self) -> tuple[Any, Array]:
        """Value and gradient (or result) by the idiomatic formula, in float64."""
        x = self.prediction.astype(np.float64)
        if self.kind == "activation":
            return 1.0, getattr(idiomatic, self.name)(x)
        if self.kind == "clip":
            return 1.0, idiomatic.clip_and_noise(x, BOUND, 0.0, np.random.default_rng())
        t = self.target if self.rowwise and not self.dense else self.target.astype(np.float64)
        return idiomatic.value_and_grad(self.name, self.axis)(x, t)

    def error(self, call: Call) -> float:
        """Largest relative error of the value and of the gradient (the latter relative to its largest element).

        For noise: how far its first two moments are from the right ones, in units of five standard errors.
        """
        if call.reset:
            call.reset()
        value, grad = call.result((call.proof or call.run)())
        if self.kind == "noise":
            drawn = np.asarray(grad, np.float64)
            # Variance and fourth central moment of what is drawn.
            variance, fourth = (2.0, 24.0) if self.name == "laplace" else (1.0, 3.0)
            of_mean = abs(drawn.mean()) * (drawn.size / variance) ** 0.5
            of_variance = abs(drawn.var() - variance) * (drawn.size / (fourth - variance**2)) ** 0.5
            return float(max(of_mean, of_variance)) / 5
        true_value, true_grad = self.truth
        worst = abs(float(value) - float(true_value)) / abs(float(true_value))
        if self.kind != "value":
            got = np.asarray(grad).reshape(true_grad.shape)
            worst = float(np.maximum(worst, np.abs(got - true_grad).max() / np.abs(true_grad).max()))  # keeps NaN
        return worst

    def tolerance(self, call: Call) -> float:
        if self.kind == "noise":
            return 1.0
        # A large sum of single-precision products: others round each of them, so the last digits differ.
        return TOLERANCE[self.dtype] * (10 if self.kind == "clip" else 1) + call.slack


@dataclass(frozen=True)
class Call:
    """``run()`` is timed; ``reset()``, where there is one, is not; ``result()`` reads what the last run() left.

    ``proof``, where there is one, is run in the place of ``run`` to see whether the results are right; ``times`` is
    how often ``run`` does the work, ``threads`` with how many fastloss does it, and ``slack`` by how much the result
    may differ besides, where the library's definition does.
    """

    library: str
    run: Callable[[], Any]
    result: Callable[[Any], tuple[Any, Any]] = lambda returned: returned
    reset: Callable[[], None] | None = None
    proof: Callable[[], Any] | None = None
    times: float = 1.0
    slack: float = 0.0
    threads: int = THREADS


def label(shape: tuple[int, ...]) -> str:
    """As 1024×1000; long round numbers as powers of ten."""
    return "×".join(
        f"{n:.2g}".replace("e+0", "e") if n == 10_000 or (n >= 10**6 and n % 10**5 == 0) else str(n) for n in shape
    )
