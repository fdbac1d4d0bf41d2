"""Half types against float32, value and gradient into given outputs: ``python -m bench.halves -o FILE``, two minutes.

How many times as fast as float32 float16 and bfloat16 are, by medians of interleaved rounds, all of them read and
written natively; and how many times as fast native float16 is as conversions by NumPy before and after float32 kernels.
Half types halve the traffic, not the arithmetic, which is float32's: so the table has what that takes alone, from a
part of the work that the caches hold.
Sums, not means: gradients of a mean of so many elements are too small for float16, and NumPy takes a hundred times as
long for those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastloss as fl
from bench import page
from bench.measure import Others, medians
from bench.problems import Call
from fastloss._half import assign

CONVERTED = "float16 by way of float32"
CACHED = "float32 within the caches"
TYPES = {"float32": np.dtype(np.float32), "float16": np.dtype(np.float16), "bfloat16": fl.bfloat16_bits}
ROUNDS = 15
ELEMENTS = 16_000_000


Make = Callable[..., Callable[[], Any]]  # (type, whether it is converted, how many times less work) -> the call


def narrowed(values: Any, half: Any) -> Any:
    out = np.empty(values.shape, half)
    assign(out, values)
    return out


def pointwise(name: str, hard: bool = False) -> Make:
    """A loss of so many elements, targets between 0 and 1, or 0 and 1 themselves."""
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal(ELEMENTS, np.float32), rng.random(ELEMENTS, np.float32)
    t = np.round(t) if hard else t

    def make(kind: Any, convert: bool = False, part: int = 1) -> Callable[[], Any]:
        n = ELEMENTS // part
        loss, a, b, grad = getattr(fl, name), narrowed(x[:n], kind), narrowed(t[:n], kind), np.zeros(n, kind)
        if not convert:
            return lambda: loss.value_and_grad(a, b, reduction="sum", grad_out=grad)
        wide = np.zeros(ELEMENTS, np.float32)

        def run() -> None:
            loss.value_and_grad(a.astype(np.float32), b.astype(np.float32), reduction="sum", grad_out=wide)
            np.copyto(grad, wide, casting="same_kind")

        return run

    return make


def cross_entropy(rows: int, classes: int) -> Make:
    rng = np.random.default_rng(2)
    x, t = rng.standard_normal((rows, classes), np.float32), rng.integers(0, classes, rows)

    def make(kind: Any, convert: bool = False, part: int = 1) -> Callable[[], Any]:
        logits, labels = narrowed(x[: rows // part], kind), t[: rows // part]
        grad = np.zeros(logits.shape, kind)
        if not convert:
            return lambda: fl.cross_entropy.value_and_grad(logits, labels, reduction="sum", grad_out=grad)
        wide = np.zeros(x.shape, np.float32)

        def run() -> None:
            np.copyto(wide, logits)
            fl.cross_entropy.value_and_grad(wide, labels, reduction="sum", grad_out=wide)
            np.copyto(grad, wide, casting="same_kind")

        return run

    return make


def clipping(rows: int, columns: int) -> Make:
    x = np.random.default_rng(3).standard_normal((rows, columns), np.float32)

    def make(kind: Any, convert: bool = False, part: int = 1) -> Callable[[], Any]:
        grads, out = narrowed(x[: rows // part], kind), np.zeros(columns, np.float32)
        if not convert:
            return lambda: fl.privacy.clip_and_sum(grads, 1.0, out=out)
        return lambda: fl.privacy.clip_and_sum(grads.astype(np.float32), 1.0, out=out)

    return make


# The work, and how many times less of it the caches hold.
WORK = {
    "`mse_loss` 1.6e7": (lambda: pointwise("mse_loss"), 160),
    "`huber_loss` 1.6e7": (lambda: pointwise("huber_loss"), 160),
    "`binary_cross_entropy_with_logits` 1.6e7": (lambda: pointwise("binary_cross_entropy_with_logits"), 160),
    "`focal_loss` 1.6e7, hard labels": (lambda: pointwise("focal_loss", True), 160),
    "`focal_loss` 1.6e7, soft labels": (lambda: pointwise("focal_loss"), 160),
    "`cross_entropy` 1024×1000": (lambda: cross_entropy(1024, 1000), 16),
    "`cross_entropy` 16000×1000": (lambda: cross_entropy(16000, 1000), 250),
    "`cross_entropy` 512×32000": (lambda: cross_entropy(512, 32000), 128),
    "`privacy.clip_and_sum` 256×100000": (lambda: clipping(256, 100_000), 128),
}


def table(rounds: int, threads: int) -> Iterator[str]:
    yield "| work | float32 | its arithmetic alone | float16 | bfloat16 | float16, over conversions by NumPy |"
    yield "|---|---|---|---|---|---|"
    for name, (make, part) in WORK.items():
        call = make()
        calls = [Call(kind, call(dtype), threads=threads) for kind, dtype in TYPES.items()]
        calls.append(Call(CONVERTED, call(TYPES["float16"], convert=True), threads=threads))
        calls.append(Call(CACHED, call(TYPES["float32"], part=part), threads=1))
        found = medians(calls, rounds)
        wide, alone = found["float32"], found[CACHED] * part / threads
        ratios = " | ".join(f"{wide / found[kind]:.2f}×" for kind in ("float16", "bfloat16"))
        against = found[CONVERTED] / found["float16"]
        yield f"| {name} | {wide * 1e3:.3g} ms | {alone * 1e3:.3g} ms | {ratios} | {against:.2f}× |"


def main() -> int:
    given = page.options("halves", __doc__, ROUNDS)
    with Others() as others:
        lines = page.shown(table(given.rounds, given.threads))
    how = (f"From `python -m bench.halves`: {given.threads} threads, value and gradient into given arrays,\n"
           f"medians of {given.rounds} interleaved rounds; how many times as fast as float32. The arithmetic alone:\n"
           f"a part of the work that the caches hold, on one thread, times the parts, over the threads. Other\n"
           f"processes took {others.share:.0%} of the CPUs.")  # fmt: skip
    page.write(given.output, "Half precision beside float32", how, lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
