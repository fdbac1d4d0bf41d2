"""numexpr where it fits: pointwise losses and activations, whose formulas are strings.

Losses go into an array that is given, their mean is NumPy's (numexpr's own sum takes one thread).
Constants are arrays' scalars, so that float32 stays float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numexpr as ne
import numpy as np

from bench import THREADS
from bench.problems import Call, Problem

# The loss of an element and its gradient times the number of elements.
LOSSES = {
    "mse_loss": ("(x - t) * (x - t)", "2 * (x - t)"),
    "half_mse_loss": ("half * (x - t) * (x - t)", "x - t"),
    "l1_loss": ("abs(x - t)", "where(x > t, one, where(x < t, -one, 0 * one))"),
    "huber_loss": (
        "where(abs(x - t) <= 1, half * (x - t) * (x - t), abs(x - t) - half)",
        "where(abs(x - t) <= 1, x - t, where(x > t, one, -one))",
    ),
    "binary_cross_entropy_with_logits": (
        "where(x > 0, x, 0 * one) - x * t + log1p(exp(-abs(x)))",
        "one / (1 + exp(-x)) - t",
    ),
    "hinge_loss": ("where(t * x < 1, 1 - t * x, 0 * one)", "where(t * x < 1, -t, 0 * one)"),
}
LOSSES["smooth_l1_loss"] = LOSSES["huber_loss"]
ACTIVATIONS = {"sigmoid": "one / (1 + exp(-x))", "softplus": "where(x > 0, x, 0 * one) + log1p(exp(-abs(x)))"}


def calls(p: Problem) -> Iterator[Call]:
    ne.set_num_threads(THREADS)
    real = np.dtype(p.dtype).type
    if p.kind == "activation" and p.name in ACTIVATIONS:
        names: dict[str, Any] = {"x": p.prediction, "one": real(1)}
        formula, out = ACTIVATIONS[p.name], np.empty_like(p.prediction)
        yield Call("numexpr", lambda: ne.evaluate(formula, names, {}, out=out), lambda result: (1.0, result))
    elif p.kind == "loss" and p.name in LOSSES:
        loss, slope = LOSSES[p.name]
        slope = f"({slope}) * scale"
        names = {"x": p.prediction, "t": p.target, "one": real(1), "half": real(0.5), "scale": real(1 / p.terms)}
        losses, grad = np.empty_like(p.prediction), np.empty_like(p.prediction)

        def run() -> Any:
            ne.evaluate(loss, names, {}, out=losses)
            ne.evaluate(slope, names, {}, out=grad)
            return losses.mean(), grad

        yield Call("numexpr", run)
