"""Audits of clip_and_noise in every mode, as it is and with errors planted in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from multiprocessing import get_context
from typing import Any
from unittest import mock

import numpy as np

import fastloss as fl
from fastloss import _core
from fastloss.privacy import (
    NoiseGenerator,
    _rules,
    add_noise,
    clip,
    clip_and_noise,
    clip_and_sum,
    gaussian_sigma,
    linear_clip_and_noise,
)
from fastloss.privacy._gradients import Gradients
from fastloss.privacy.auditing import Audit, audit

# A point of the Gaussian's curve that thousands of trials can see; and one as they are quoted, which they can't.
SEEN, QUOTED, PURE = (2.0, 0.05), (2.0, 1e-5), 2.0
TRIALS_OF_ERRORS = 4000


@dataclass(frozen=True)
class Setting:
    """A release and what it claims, of two inputs that the last sample of the second tells apart."""

    name: str
    epsilon: float
    delta: float
    release: Callable[[Any, NoiseGenerator], Any]
    batch: Any
    neighbour: Any
    errors: tuple[str, ...] = ("noise halved", "row unclipped")
    statistic: Callable[[Any], float] | None = None

    def audit(self, trials: int, seed: int | None, confidence: float, error: str | None = None) -> Audit:
        """With noise of a seed or of the system's key."""
        generator = NoiseGenerator(seed)
        with ERRORS[error]() if error else _nothing():
            return audit(
                lambda data: self.release(data, generator),
                self.batch,
                self.neighbour,
                delta=self.delta,
                trials=trials,
                confidence=confidence,
                statistic=self.statistic,
            )


# ---- Errors ----


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _noise_halved() -> Iterator[None]:
    right, short = _rules.noise_scale_of, _core.quick_clip_and_noise
    with (
        mock.patch.object(_rules, "noise_scale_of", lambda *arguments: right(*arguments) / 2),
        mock.patch.object(_core, "quick_clip_and_noise", lambda g, c, z, *others: short(g, c, z / 2, *others)),
    ):
        yield


@contextmanager
def _row_unclipped() -> Iterator[None]:
    """The last sample of a batch enters the sum as it is."""
    right = clip.clip_gradients

    def wrong(gradients: Gradients, rule: Any, sums: Any, units: float = 0.0) -> Any:
        result = right(gradients, rule, sums, units)
        last, added = Gradients([matrix[-1:] for matrix in gradients.matrices]), np.zeros_like(sums)
        right(last, rule, added, units)
        row = np.concatenate([matrix[0] for matrix in last.matrices]).astype(np.float64)
        sums += (np.rint(row * units) if units else row).astype(sums.dtype) - added
        return result

    with (
        mock.patch.object(clip, "clip_gradients", wrong),
        mock.patch.object(_core, "quick_clip_and_noise", return_value=None),
    ):
        yield


ERRORS = {"noise halved": _noise_halved, "row unclipped": _row_unclipped}


# ---- Settings ----


def _one_more(grads: Any, row: Any) -> Any:
    if isinstance(grads, dict):
        return {key: _one_more(value, row[key]) for key, value in grads.items()}
    return np.concatenate([grads, np.asarray(row, grads.dtype)[None]])


def _inputs(mode: str, norm: str, real: str) -> tuple[Any, Any, Any]:
    """A batch with samples within the bound and above it, its neighbour, and the bound: 1, or 0.6 and 0.8."""
    grads = np.random.default_rng(1).normal(0, 0.3, (6, 5)).astype(real)
    row = np.array([30.0, 40.0, 0.0, 0.0, 0.0] if norm == "l2" else [50.0, 0.0, 0.0, 0.0, 0.0])
    if mode != "per_layer":
        return grads, _one_more(grads, row), 1.0
    parts = {"weight": grads[:, :4].reshape(-1, 2, 2), "bias": grads[:, 4]}
    more = _one_more(parts, {"weight": row[:4].reshape(2, 2), "bias": np.array(30.0)})
    return parts, more, {"weight": 0.6, "bias": 0.8}


def _clipped(
    mechanism: str, mode: str, secure: bool, real: str = "float64", claim: tuple[float, float] = SEEN
) -> Setting:
    batch, neighbour, bound = _inputs(mode, "l2" if mechanism == "gaussian" else "l1", real)
    # Integer noise is private to within delta_sampler, which is at most that.
    epsilon, delta = claim if mechanism == "gaussian" else (PURE, 1e-9 if secure else 0.0)
    multiplier = gaussian_sigma(1.0, epsilon, delta) if mechanism == "gaussian" else 1 / epsilon

    def release(grads: Any, generator: NoiseGenerator) -> Any:
        return clip_and_noise(
            grads,
            bound,
            multiplier,
            expected_batch_size=6,
            mechanism=mechanism,
            mode=mode,
            secure=secure,
            rng=generator,
        )

    # Laplace noise in two numbers: who knows both inputs compares distances, which no weighted sum does.
    means = [_joined(clip_and_sum(g, bound, norm="l1", mode=mode).sum) / 6 for g in (batch, neighbour)]

    def distances(result: Any) -> float:
        return float(np.abs(_joined(result) - means[0]).sum() - np.abs(_joined(result) - means[1]).sum())

    name = f"{mechanism}, {mode}, {real}{', secure' if secure else ''}"
    several = mechanism == "laplace" and mode == "per_layer"
    return Setting(name, epsilon, delta, release, batch, neighbour, statistic=distances if several else None)


def _joined(parts: Any) -> np.ndarray:
    arrays = parts.values() if isinstance(parts, dict) else [parts]
    return np.concatenate([np.asarray(part, np.float64).reshape(-1) for part in arrays])


def _in_pieces() -> Setting:
    batch, neighbour, bound = _inputs("flat", "l2", "float64")

    def release(grads: Any, generator: NoiseGenerator) -> Any:
        total = clip_and_sum(grads[:4], bound)
        total = clip_and_sum(grads[4:], bound, accumulate=total)
        return add_noise(total, gaussian_sigma(1.0, *SEEN), reduction="sum", rng=generator)

    return Setting("gaussian, in pieces: accumulate, add_noise", *SEEN, release, batch, neighbour)


def _linear() -> Setting:
    g = np.random.default_rng(2)
    inputs, errors = g.normal(0, 0.5, (6, 3)), g.normal(0, 0.5, (6, 2))
    batch = {"inputs": inputs, "errors": errors}
    neighbour = _one_more(batch, {"inputs": [3.0, 4.0, 0.0], "errors": [6.0, 8.0]})

    def release(data: Any, generator: NoiseGenerator) -> Any:
        return linear_clip_and_noise(
            data["inputs"], data["errors"], 1.0, gaussian_sigma(1.0, *SEEN), reduction="sum", rng=generator
        )

    return Setting("gaussian, linear layer", *SEEN, release, batch, neighbour, errors=("noise halved",))


SETTINGS = [
    *(
        _clipped(mechanism, mode, secure)
        for mechanism, mode, secure in product(
            ("gaussian", "laplace"), ("flat", "per_layer", "automatic"), (False, True)
        )
    ),
    *(_clipped(mechanism, "flat", secure, "float32") for mechanism, secure in (("gaussian", False), ("laplace", True))),
    _in_pieces(),
    _linear(),
]


# ---- The long run ----


def _line(place: int, length: int) -> str:
    fl.set_num_threads(1)
    setting = [*SETTINGS, _clipped("gaussian", "flat", False, claim=QUOTED)][place]
    found = setting.audit(length, None, 0.9999)
    cells = [setting.name, f"{setting.epsilon:g}, {setting.delta:g}", f"{found.epsilon:.3f}"]
    for error in ERRORS:
        planted = setting.audit(TRIALS_OF_ERRORS, None, 0.9999, error) if error in setting.errors else None
        cells.append(f"{planted.epsilon:.2f}" if planted else "")
    return f"| {' | '.join(cells)} |"


def report(length: int) -> str:
    """Every setting with so many trials, and with its errors."""
    lines = []
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for text in pool.map(partial(_line, length=length), range(len(SETTINGS) + 1)):
            print(text, flush=True)
            lines.append(text)
    return "\n".join([INTRODUCTION.format(length=length, errors=TRIALS_OF_ERRORS), *lines])


INTRODUCTION = """\
The largest epsilon that `fastloss.privacy.auditing.audit` could prove with 99.99 % confidence from {length:,} trials on
each input, half of which judge: it must not exceed the one that is claimed. Then the same with an error planted in the
library, where it must ({errors:,} trials). Noise is keyed by the operating system. The last line is the first one's
mechanism at a delta that is too small to be seen.

| release | claimed epsilon, delta | found | noise halved | one row unclipped |
|---|---|---|---|---|"""
