"""Half types against float32, value and gradient into given outputs: ``python -m bench.halves``, a minute.

Prints ratios of medians of interleaved rounds: how many times as fast float16 and bfloat16 are. Not part of the report.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastloss as fl
from bench import THREADS
from bench.measure import Others, medians
from bench.problems import Call
from fastloss._half import assign

TYPES = {"float32": np.dtype(np.float32), "float16": np.dtype(np.float16), "bfloat16": fl.bfloat16_bits}
ROUNDS = 15
ELEMENTS = 16_000_000


def narrowed(values: Any, half: Any) -> Any:
    out = np.empty(values.shape, half)
    assign(out, values)
    return out


def pointwise(name: str) -> Callable[[Any], Callable[[], Any]]:
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal(ELEMENTS, np.float32), rng.random(ELEMENTS, np.float32)

    def make(kind: Any) -> Callable[[], Any]:
        loss, a, b, grad = getattr(fl, name), narrowed(x, kind), narrowed(t, kind), np.zeros(ELEMENTS, kind)
        return lambda: loss.value_and_grad(a, b, grad_out=grad)

    return make


def cross_entropy(rows: int, classes: int) -> Callable[[Any], Callable[[], Any]]:
    rng = np.random.default_rng(2)
    x, t = rng.standard_normal((rows, classes), np.float32), rng.integers(0, classes, rows)

    def make(kind: Any) -> Callable[[], Any]:
        logits, grad = narrowed(x, kind), np.zeros(x.shape, kind)
        return lambda: fl.cross_entropy.value_and_grad(logits, t, grad_out=grad)

    return make


def clipping(rows: int, columns: int) -> Callable[[Any], Callable[[], Any]]:
    x = np.random.default_rng(3).standard_normal((rows, columns), np.float32)

    def make(kind: Any) -> Callable[[], Any]:
        grads, out = narrowed(x, kind), np.zeros(columns, np.float32)
        return lambda: fl.privacy.clip_and_sum(grads, 1.0, out=out)

    return make


WORK = {
    f"huber_loss {ELEMENTS:.1e}": lambda: pointwise("huber_loss"),
    f"binary_cross_entropy_with_logits {ELEMENTS:.1e}": lambda: pointwise("binary_cross_entropy_with_logits"),
    "cross_entropy 512 x 32000": lambda: cross_entropy(512, 32000),
    "clip_and_sum 256 x 100000": lambda: clipping(256, 100_000),
}


def main() -> None:
    print("| work | float32, ms | float16 | bfloat16 | CPUs that others took |\n|---|---|---|---|---|")
    for name, make in WORK.items():
        call = make()
        with Others() as others:
            found = medians([Call(kind, call(dtype), threads=THREADS) for kind, dtype in TYPES.items()], ROUNDS)
        ratios = " | ".join(f"{found['float32'] / found[kind]:.2f}" for kind in ("float16", "bfloat16"))
        print(f"| {name} | {found['float32'] * 1e3:.2f} | {ratios} | {others.share:.2f} |", flush=True)


if __name__ == "__main__":
    main()
