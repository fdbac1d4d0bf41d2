"""Private steps beside Opacus: the same gradients and the same bound. Are the results equal, what time, what memory?

``python -m bench --cells "private*"`` measures this part alone. Steps begin where the backward pass ends: with
per-sample gradients that are there, or with what goes into and comes back from a linear layer. For the latter there are
two ways: to instantiate the per-sample gradients, or not to ("ghost" norms and one weighted product).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.limits import memory_left
from bench.measure import Others, medians
from bench.problems import BOUND, MULTIPLIER, Array, Call, label
from fastloss import privacy

try:
    from bench.rivals import with_opacus
except ImportError:  # named in the report, as every peer that is not installed
    with_opacus = None  # type: ignore[assignment]

OURS, OURS_MADE = "fastloss", "fastloss, instantiated"
# Of the largest element. Steps differ by rounding in float32, and by the 1e-6 that Opacus adds to norms about 1.
TOLERANCE = 2e-4


@dataclass(frozen=True)
class Step:
    """Per-sample gradients of parameters of these shapes; or a linear layer's inputs (batch, times, columns) and output
    gradients (batch, times, rows).
    """

    batch: int
    shapes: tuple[tuple[int, ...], ...] = ()
    layer: tuple[int, int, int] = (0, 0, 0)

    @property
    def name(self) -> str:
        if self.shapes:
            return f"private step {self.batch} × " + " + ".join(label(shape) for shape in self.shapes)
        times, columns, rows = self.layer
        time = f", T={times}" if times > 1 else ""
        return f"private linear layer B={self.batch}{time}, {columns} to {rows}"

    @property
    def coordinates(self) -> int:
        return sum(map(math.prod, self.shapes)) or self.layer[1] * self.layer[2]

    def random(self, *shape: int) -> Array:
        """A million numbers, repeated; and a factor for every sample, so that some half of them are clipped."""
        drawn = np.random.default_rng(len(shape)).standard_normal(min(math.prod(shape), 1_000_003), np.float32)
        spread = np.random.default_rng(0).uniform(0.5, 1.5, (self.batch,) + (1,) * (len(shape) - 1))
        return np.asarray(np.resize(drawn, shape) * spread.astype(np.float32))

    @cached_property
    def grads(self) -> list[Array]:
        scale = np.float32(BOUND / math.sqrt(self.coordinates))
        return [self.random(self.batch, *shape) * scale for shape in self.shapes]

    @cached_property
    def inputs(self) -> Array:
        return self.random(self.batch, *self.layer[0:2]) / np.float32(np.sqrt(np.float32(self.layer[1])))

    @cached_property
    def output_grads(self) -> Array:
        times, _, rows = self.layer
        return np.roll(self.random(self.batch, times, rows), 1, axis=1) * np.float32(BOUND / math.sqrt(times * rows))


STEPS = (
    Step(1024, ((1000,),)),
    Step(256, ((100_000,),)),
    Step(64, ((1_000_000,),)),
    Step(256, ((784, 256), (256,), (256, 10), (10,))),
    Step(1024, layer=(1, 512, 512)),
    Step(1024, layer=(1, 128, 128)),
    Step(256, layer=(64, 512, 512)),
    Step(256, layer=(64, 128, 128)),
)


def calls(step: Step) -> Iterator[Call]:
    """All ways to do a step; each gives the arrays of the noised mean, its proof those of the clipped mean."""
    options: dict[str, Any] = {"expected_batch_size": step.batch, "rng": privacy.NoiseGenerator()}
    if step.shapes:
        out = [np.ones(shape, np.float32) for shape in step.shapes]

        def clip(multiplier: float = MULTIPLIER) -> list[Array]:
            return list(privacy.clip_and_noise(step.grads, BOUND, multiplier, out=out, **options))

        yield _call(OURS, clip)
        if with_opacus is not None:
            yield _call("Opacus", *with_opacus.clip_step(step.grads))
        return

    def ghost(multiplier: float = MULTIPLIER) -> list[Array]:
        return [privacy.linear_clip_and_noise(step.inputs, step.output_grads, BOUND, multiplier, **options)]

    def instantiated(multiplier: float = MULTIPLIER) -> list[Array]:
        a, e = step.inputs, step.output_grads
        made = e.reshape(step.batch, -1, 1) * a if step.layer[0] == 1 else e.swapaxes(1, 2) @ a
        return [privacy.clip_and_noise(made, BOUND, multiplier, **options)]

    yield _call(OURS, ghost)
    yield _call(OURS_MADE, instantiated)
    if with_opacus is not None:
        yield _call("Opacus, ghost", *with_opacus.ghost_step(step.inputs, step.output_grads))
        yield _call("Opacus, instantiated", *with_opacus.linear_step(step.inputs, step.output_grads))


def _call(library: str, run: Callable[..., list[Array]], reset: Callable[[], None] | None = None) -> Call:
    return Call(library, run, reset=reset, proof=lambda: run(0.0))


def clipped_mean(step: Step) -> list[Array]:
    """What all should give without noise, in float64, a few samples at a time."""
    totals: list[Array] = []
    for first in range(0, step.batch, 16):
        part = slice(first, first + 16)
        if step.shapes:
            rows = [g[part].astype(np.float64) for g in step.grads]
        else:
            rows = [step.output_grads[part].astype(np.float64).swapaxes(1, 2) @ step.inputs[part].astype(np.float64)]
        norms = np.sqrt(sum((g.reshape(len(g), -1) ** 2).sum(axis=1) for g in rows))
        sums = [np.tensordot(np.minimum(1, BOUND / norms), g, 1) for g in rows]
        totals = [a + b for a, b in zip(totals, sums, strict=True)] if totals else sums
    return [total / step.batch for total in totals]


def apart(one: list[Array], two: list[Array]) -> float:
    """The largest difference over the largest element."""
    largest = max(float(np.abs(x).max()) for x in two)
    return max(float(np.abs(a - b).max()) for a, b in zip(one, two, strict=True)) / largest


def measured(step: Step, rounds: int) -> dict[str, Any]:
    """Errors, seconds and bytes of every way. Raises where fastloss's own result is wrong."""
    truth, contenders, errors = clipped_mean(step), [], {}
    for call in calls(step):
        if call.reset:
            call.reset()
        assert call.proof is not None
        errors[call.library] = apart([np.array(x) for x in call.proof()], truth)
        if errors[call.library] <= TOLERANCE:
            contenders.append(call)
        elif call.library.startswith(OURS):
            raise SystemExit(f"{step.name}: {call.library} is wrong by {errors[call.library]:.1e}")
    nbytes = {call.library: peak_bytes(call) for call in contenders}
    with Others() as others:
        seconds = medians(contenders, rounds)
    return {"errors": errors, "seconds": seconds, "bytes": nbytes, "others": others.share}


def fits(step: Step) -> bool:
    """Whether there is memory for the gradients, Opacus's copies of them, and the truth."""
    return 3 * 4 * step.batch * step.coordinates < memory_left()


def peak_bytes(call: Call) -> int | None:
    """How much the resident memory of the process grows at most during a call, above what it was before.

    None where the system has no such figure (Linux with glibc has).
    """
    peak = Path("/proc/self/status")
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (AttributeError, OSError):
        return None
    for _ in range(2):  # the first one may load code
        if call.reset:
            call.reset()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        before = _kilobytes(peak, "VmRSS")
        call.run()
        after = _kilobytes(peak, "VmHWM")
    return max(after - before, 0) * 1024


def _kilobytes(path: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", path.read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
