"""Digits again, learnt with differential privacy (DP-SGD): accuracy against noise.

Softmax regression on batches drawn by Poisson sampling; every image's gradient is clipped to norm 1, and noise is added
to their sum. How much privacy that is (epsilon) an accountant says, from noise multiplier, sampling rate and number of
steps; there is none here. Seeds make the noise reproducible and therefore not private: real trainings give none.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import fastloss as fl
from fastloss import privacy
from fastloss.demo._text import mean_and_spread, table
from fastloss.demo.digits import Digits, accuracy, load

Array = NDArray[Any]

MAX_GRAD_NORM = 1.0
MULTIPLIERS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
EXPECTED_BATCH_SIZE = 128
STEP_SIZE = 1.0


@dataclass(frozen=True)
class Accuracies:
    """Test accuracies with one noise multiplier (None: no clipping either), one per seed."""

    noise_multiplier: float | None
    values: list[float]
    step_seconds: float  # median time of clip_and_noise


def per_sample_gradients(weight: Array, bias: Array, images: Array, labels: Array) -> dict[str, Array]:
    """Every image's own gradient of the cross-entropy: arrays (batch, 64, 10) and (batch, 10)."""
    _, grad = fl.cross_entropy.value_and_grad(images @ weight + bias, labels, reduction="sum")
    return {"weight": images[:, :, None] * grad[:, None, :], "bias": grad}


def train(data: Digits, noise_multiplier: float | None, *, steps: int, seed: int) -> tuple[float, float]:
    """Test accuracy, and the median time of clip_and_noise."""
    rng = np.random.default_rng(seed)
    noise = privacy.NoiseGenerator(seed)
    weight, bias = np.zeros((64, 10), np.float32), np.zeros(10, np.float32)
    rate = EXPECTED_BATCH_SIZE / len(data.train_labels)
    times = []
    for _ in range(steps):
        batch = rng.random(len(data.train_labels)) < rate
        grads = per_sample_gradients(weight, bias, data.train_images[batch], data.train_labels[batch])
        start = time.perf_counter()
        mean = privacy.clip_and_noise(
            grads,
            np.inf if noise_multiplier is None else MAX_GRAD_NORM,
            noise_multiplier or 0.0,
            expected_batch_size=EXPECTED_BATCH_SIZE,
            rng=noise,
        )
        times.append(time.perf_counter() - start)
        weight -= STEP_SIZE * mean["weight"]
        bias -= STEP_SIZE * mean["bias"]
    return accuracy([(weight, bias)], data.test_images, data.test_labels), statistics.median(times)


def run(*, seed: int, quiet: bool = False, seeds: int = 5, steps: int = 300) -> list[Accuracies]:
    """Train with every noise multiplier and several seeds, on one split of the data."""
    data = load(seed)
    results = []
    settings: tuple[float | None, ...] = (None, *MULTIPLIERS)
    for multiplier in tqdm(settings, desc="private", unit="multiplier", disable=quiet, leave=False):
        runs = [train(data, multiplier, steps=steps, seed=seed + k) for k in range(seeds)]
        results.append(Accuracies(multiplier, [a for a, _ in runs], statistics.median(t for _, t in runs)))
    return results


def report(results: list[Accuracies]) -> str:
    """The table: mean and standard deviation over the seeds."""
    rows = []
    for r in results:
        setting = "no clipping, no noise" if r.noise_multiplier is None else f"{r.noise_multiplier:g}"
        mean, spread = mean_and_spread(r.values)
        rows.append([setting, f"{mean:.1%} +- {spread:.1%}", f"{r.step_seconds * 1e6:.0f}"])
    return table(
        f"Private training: softmax regression on digits, gradients clipped to norm {MAX_GRAD_NORM:g}, batches of "
        f"about {EXPECTED_BATCH_SIZE} images",
        ["noise multiplier", "test accuracy", "clip_and_noise, us"],
        rows,
        f"Mean and standard deviation over {len(results[0].values)} seeds. Not private as run: the noise is seeded.",
    )
