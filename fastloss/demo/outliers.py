"""Diabetes progression from ten measurements, when a tenth of the targets lost their decimal point.

A linear model is fitted with squared error, absolute error and Huber loss, on clean targets and on spoiled ones, and
always judged on clean data that it has not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import fastloss as fl
from fastloss.demo._text import mean_and_spread, table

Array = NDArray[Any]

# Residuals are in units of the targets' spread (see robust_scale); Huber's delta too.
LOSSES: dict[str, Callable[[Array, Array], tuple[float, Array]]] = {
    "squared error": fl.half_mse_loss.value_and_grad,
    "absolute error": fl.l1_loss.value_and_grad,
    "Huber": partial(fl.huber_loss.value_and_grad, delta=1.0),
}
OUTLIER_SHARE = 0.1
OUTLIER_FACTOR = 10.0
STEP_SIZE, MOMENTUM = 0.2, 0.9


@dataclass(frozen=True)
class Errors:
    """Mean absolute test errors of a loss, in the units of the target, one per split of the data."""

    loss: str
    clean: list[float]
    spoiled: list[float]


def spoil(target: Array, rng: np.random.Generator) -> Array:
    """The targets with a tenth of them ten times as large."""
    spoiled = target.copy()
    chosen = rng.choice(len(target), round(OUTLIER_SHARE * len(target)), replace=False)
    spoiled[chosen] *= OUTLIER_FACTOR
    return spoiled


def robust_scale(target: Array) -> tuple[float, float]:
    """Median and half the interquartile range: a centre and a spread that outliers hardly move."""
    low, middle, high = np.quantile(target, [0.25, 0.5, 0.75])
    return float(middle), float(high - low) / 2


def fit(loss: str, features: Array, target: Array, steps: int) -> Array:
    """Coefficients, the intercept last: gradient descent with momentum, its steps decreasing to zero.

    The steps decrease because the absolute error's gradient does not as the minimum comes near.
    """
    coefficients = np.zeros(features.shape[1] + 1)
    columns = np.column_stack([features, np.ones(len(features))])
    centre, spread = robust_scale(target)
    scaled = (target - centre) / spread
    velocity = np.zeros_like(coefficients)
    for k in range(steps):
        _, grad = LOSSES[loss](columns @ coefficients, scaled)
        velocity = MOMENTUM * velocity - STEP_SIZE * (1 - k / steps) * (columns.T @ grad)
        coefficients += velocity
    coefficients *= spread
    coefficients[-1] += centre
    return coefficients


def run(*, seed: int, quiet: bool = False, splits: int = 20, steps: int = 3000) -> list[Errors]:
    """Fit every loss on every split of the data, with clean and with spoiled targets."""
    features, target = load_diabetes(return_X_y=True)
    features = features / features.std(axis=0)
    errors = [Errors(loss, [], []) for loss in LOSSES]
    for split in tqdm(range(splits), desc="outliers", unit="split", disable=quiet, leave=False):
        rng = np.random.default_rng((seed, split))
        x, x_test, y, y_test = train_test_split(features, target, test_size=0.25, random_state=int(rng.integers(2**31)))
        spoiled = spoil(y, rng)
        for result in errors:
            for targets, found in ((y, result.clean), (spoiled, result.spoiled)):
                coefficients = fit(result.loss, x, targets, steps)
                prediction = x_test @ coefficients[:-1] + coefficients[-1]
                found.append(fl.l1_loss(prediction, y_test))
    return errors


def report(errors: list[Errors]) -> str:
    """The table: mean and standard deviation over the splits."""
    rows = []
    for e in errors:
        clean, clean_spread = mean_and_spread(e.clean)
        spoiled, spoiled_spread = mean_and_spread(e.spoiled)
        change = f"{spoiled / clean - 1:+.0%}"
        rows.append([e.loss, f"{clean:.1f} +- {clean_spread:.1f}", f"{spoiled:.1f} +- {spoiled_spread:.1f}", change])
    return table(
        f"Diabetes: mean absolute error on clean test data (targets are 25 to 346), over {len(errors[0].clean)} splits",
        ["loss that was minimised", "clean training data", "a tenth spoiled", "change"],
        rows,
        f"Spoiled: {OUTLIER_SHARE:.0%} of the training targets, chosen at random, multiplied by {OUTLIER_FACTOR:g}.\n"
        "Mean and standard deviation.",
    )
