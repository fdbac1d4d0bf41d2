"""fastloss: outputs given, new outputs, and outputs given on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import fastloss as fl
from bench.problems import BOUND, MULTIPLIER, STEPS, Call, Problem

GIVEN, FRESH, ONE_THREAD = "fastloss", "fastloss, new outputs", "fastloss, 1 thread"


def calls(p: Problem) -> Iterator[Call]:
    given, fresh = {"loss": _loss, "value": _value, "activation": _activation, "clip": _clip, "noise": _noise}[p.kind](
        p
    )
    yield given
    yield replace(given, library=ONE_THREAD, threads=1)
    if fresh is not None:
        yield fresh


def _loss(p: Problem) -> tuple[Call, Call | None]:
    loss, t = getattr(fl, p.name), p.target
    options: dict[str, Any] = {} if p.axis == -1 else {"axis": p.axis}
    if p.in_place:
        x = p.prediction.copy()

        def run() -> Any:
            return loss.value_and_grad(x, t, grad_out=x, **options)

        def proof() -> Any:
            np.copyto(x, p.prediction)
            return run()

        # The logits become gradients, and theirs: numbers that cost as much.
        return Call(GIVEN, run, proof=proof), None
    x, grad = p.prediction, np.empty_like(p.prediction)
    given = Call(GIVEN, lambda: loss.value_and_grad(x, t, grad_out=grad, **options))
    return given, Call(FRESH, lambda: loss.value_and_grad(x, t, **options))


def _value(p: Problem) -> tuple[Call, Call | None]:
    loss, x, t = getattr(fl, p.name), p.prediction, p.target
    return Call(GIVEN, lambda: loss(x, t), lambda value: (value, None)), None


def _activation(p: Problem) -> tuple[Call, Call | None]:
    function: Callable[..., Any] = getattr(fl, p.name)
    x = p.prediction
    out = np.empty(len(x) if p.name == "logsumexp" else x.shape, p.dtype)
    given = Call(GIVEN, lambda: function(x, out=out), lambda result: (1.0, result))
    return given, Call(FRESH, lambda: function(x), lambda result: (1.0, result))


def _clip(p: Problem) -> tuple[Call, Call | None]:
    grads, generator = p.prediction, fl.privacy.NoiseGenerator()
    out = np.empty(grads.shape[1], grads.dtype)

    def run(multiplier: float = MULTIPLIER, out: Any = out) -> Any:
        return fl.privacy.clip_and_noise(
            grads, BOUND, multiplier, expected_batch_size=len(grads), rng=generator, out=out
        )

    given = Call(GIVEN, run, lambda mean: (1.0, mean), proof=lambda: run(0.0))
    return given, Call(FRESH, lambda: run(out=None), lambda mean: (1.0, mean), proof=lambda: run(0.0, None))


def _noise(p: Problem) -> tuple[Call, Call | None]:
    generator, n = fl.privacy.NoiseGenerator(), p.shape
    draw = getattr(generator, p.name)
    if p.name == "discrete_gaussian":
        sums = np.zeros(n, np.int64)

        def fresh() -> Any:
            return draw(n, STEPS)

        def scaled(drawn: Any) -> tuple[float, Any]:
            return 1.0, drawn / STEPS

        add = Call(GIVEN, lambda: generator._add_integers("gaussian", STEPS, sums), scaled, proof=fresh)
        return add, Call(FRESH, fresh, scaled)
    real, out = np.dtype(p.dtype), np.empty(p.shape, p.dtype)
    given = Call(GIVEN, lambda: draw(n, dtype=real, out=out), lambda drawn: (1.0, drawn))
    return given, Call(FRESH, lambda: draw(n, dtype=real), lambda drawn: (1.0, drawn))
