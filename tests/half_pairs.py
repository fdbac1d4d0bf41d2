"""Every (prediction, target) pair of a loss in a half type, 2^32 of them: ``python tests/half_pairs.py [LOSS TYPE]``.

Prints a row of half/RESULTS.md for each. Value and gradient must be those of the float32 kernel, which test_values.py
judges, rounded to the nearest, ties to even (``fastloss._half.assign``: NumPy for float16, integers for bfloat16); so
must the gradient beside a sum, which comes from loops of its own. One target of 64 is compared with the reference in
float64 too. Not here: what is rounded how (test_half.py).
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

import fastloss as fl
from fastloss import _core
from fastloss._half import assign, widened

EVERY = np.arange(2**16, dtype=np.uint16)
CHUNK, JUDGED = 8, 64  # targets that meet all predictions at a time; of so many, one is judged by the reference
LOSSES = ("mse_loss", "huber_loss", "binary_cross_entropy_with_logits")
TYPES = {"float16": np.dtype(np.float16), "bfloat16": fl.bfloat16_bits}


class Found(NamedTuple):
    """Pairs looked at, results that are not the rounded float32 ones, the largest errors in ULPs of the half type."""

    pairs: int
    wrong: int
    value_ulps: float
    gradient_ulps: float


def targets_of(name: str, half: Any) -> Any:
    """All targets: every number of the type, of which cross-entropy takes those in [0, 1] and NaN."""
    t = EVERY.view(half)
    with np.errstate(invalid="ignore"):
        outside = (widened(t) < 0) | (widened(t) > 1)
    return t[~outside] if name == "binary_cross_entropy_with_logits" else t


def measure(name: str, half: Any) -> Found:
    loss, targets = getattr(fl, name), targets_of(name, half)
    pairs = wrong = 0
    errors = [0.0, 0.0]
    x = np.tile(EVERY, CHUNK).view(half)
    wide = widened(x)
    results = [np.empty(x.shape, half) for _ in range(2)]
    wides = [np.empty(x.shape, np.float32) for _ in range(2)]
    rounded, summed = (np.empty(x.shape, half) for _ in range(2))
    for first in range(0, targets.size, CHUNK):
        chunk = targets[first : first + CHUNK]
        n = chunk.size * EVERY.size
        t = np.repeat(chunk, EVERY.size)
        for array, target, (value, grad) in ((x, t, results), (wide, widened(t), wides)):
            loss.value_and_grad(array[:n], target, reduction="none", out=value[:n], grad_out=grad[:n])
        loss.value_and_grad(x[:n], t, reduction="sum", grad_out=summed[:n])
        for got, want in zip([*results, summed], [*wides, wides[1]], strict=True):
            assign(rounded[:n], want[:n])
            differ = np.flatnonzero(got[:n].view(np.uint16) != rounded[:n].view(np.uint16))
            wrong += int(np.count_nonzero(~(np.isnan(widened(got[differ])) & np.isnan(want[differ]))))
        pairs += n
        if first % JUDGED:
            continue
        k = (first // JUDGED) % chunk.size * EVERY.size
        part = slice(k, k + EVERY.size)
        with np.errstate(all="ignore"):
            truth = getattr(fl.reference, name).evaluate(
                wide[part].astype(float), widened(t[part]).astype(float), parameters={}, reduction="none", want="grad"
            )
            for j, (want, scale) in enumerate(((truth.value, truth.value_scale), (truth.grad, truth.grad_scale))):
                errors[j] = max(errors[j], worst(results[j][part], want, scale, half))
    return Found(pairs, wrong, *errors)


def worst(got: Any, truth: Any, scale: Any, half: Any) -> float:
    """The largest error of the results that the type can hold."""
    digits, least, largest = (11, -24, 65504.0) if half == np.float16 else (8, -133, 3.38e38)
    good = np.isfinite(truth) & (np.abs(truth) < largest)
    size = np.maximum(np.abs(truth), np.where(np.isfinite(scale), scale, 0))[good]
    ulp = np.ldexp(1.0, np.maximum(np.frexp(size)[1] - digits, least))
    return float(np.max(np.abs(widened(got)[good] - truth[good]) / ulp, initial=0.0))


if __name__ == "__main__":
    chosen = [tuple(sys.argv[1:])] if len(sys.argv) == 3 else [(name, half) for name in LOSSES for half in TYPES]
    for name, half in chosen:
        f = measure(name, TYPES[half])
        print(f"| {name} | {half} | {_core.isa_selected()} | {f.pairs:,} | {f.wrong} | {f.value_ulps:.4f} "
              f"| {f.gradient_ulps:.4f} |".replace(",", " "), flush=True)  # fmt: skip
