"""Digits again, learnt with differential privacy (DP-SGD): what a budget epsilon costs in accuracy.

A coin decides for every image whether it is trained on; those that are not measure the accuracy, and membership.py asks
who was trained on. A few images, the planted outliers, have a wrong label. The network's two layers are clipped
jointly and noised by one call, which makes no per-sample gradients; how much noise a budget takes says an accountant.
Seeds make the noise reproducible and therefore not private: real trainings give none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import fastloss as fl
from fastloss import privacy
from fastloss.demo._text import mean_and_spread, table
from fastloss.demo.digits import Layers, forward, new_layers
from fastloss.privacy import accounting

Array = NDArray[Any]

# Every image's own loss, and its gradient with respect to its own logits.
LOSSES: dict[str, Callable[[Array, Array], tuple[Array, Array]]] = {
    "cross-entropy": lambda x, t: fl.cross_entropy.value_and_grad(x, t, reduction="none"),
    "focal": lambda x, t: fl.softmax_focal_loss.value_and_grad(x, t, gamma=2.0, reduction="none"),
    "hinge": lambda x, t: fl.multiclass_hinge_loss.value_and_grad(x, t, reduction="none"),
}
WIDTHS = (64, 64, 10)
PLANTED = 72  # images with a wrong label, half of them trained on
DELTA = 1e-5
EPSILONS = (8.0, 4.0, 2.0, 1.0)
# Bound, sampling rate, steps and step size of the trainings with noise.
BRIEFLY = (0.5, 0.5, 60, 0.5)


@dataclass(frozen=True)
class Setting:
    """How to train; ``epsilon`` is inf where it is not private, and the bound is inf where nothing is clipped."""

    name: str
    epsilon: float
    noise_multiplier: float
    max_grad_norm: float
    sampling_rate: float
    steps: int
    step_size: float


@dataclass(frozen=True)
class World:
    """Who is trained on, and with which labels."""

    members: Array
    planted: Array
    labels: Array


@dataclass(frozen=True)
class Trained:
    """All models of one loss and one setting."""

    loss: str
    setting: Setting
    accuracy: list[float] = field(default_factory=list)  # on images that were not trained on, right labels
    losses: list[Array] = field(default_factory=list)  # of all images with the labels of their world


def settings_without_noise() -> list[Setting]:
    """Not even clipped; clipped but not noised, for long and as briefly as with noise."""
    return [
        Setting("no privacy", np.inf, 0.0, np.inf, 0.1, 600, 0.1),
        Setting("clipped, long", np.inf, 0.0, 1.0, 0.1, 600, 1.0),
        Setting("clipped, short", np.inf, 0.0, *BRIEFLY),
    ]


def settings() -> list[Setting]:
    """Those, and every budget."""
    _, rate, steps, _ = BRIEFLY
    result = settings_without_noise()
    for epsilon in EPSILONS:
        multiplier = accounting.noise_multiplier(epsilon, DELTA, rate, steps)
        result.append(Setting(f"epsilon = {epsilon:g}", epsilon, multiplier, *BRIEFLY))
    return result


def new_world(labels: Array, seed: int) -> World:
    """Coins for all, and outliers among them; the same for every loss and setting."""
    rng = np.random.default_rng((seed, 0))
    planted = np.zeros(len(labels), bool)
    planted[rng.choice(len(labels), PLANTED, replace=False)] = True
    wrong = (labels + rng.integers(1, 10, len(labels))) % 10
    return World(rng.random(len(labels)) < 0.5, planted, np.where(planted, wrong, labels))


def output_grads(layers: Layers, values: list[Array], grad: Array) -> list[Array]:
    """Gradients with respect to every layer's output, from that with respect to the logits."""
    grads = [grad]
    for k in range(len(layers) - 1, 0, -1):
        grads.append(grads[-1] @ layers[k][0].T * (values[k] > 0))
    return grads[::-1]


def train(images: Array, labels: Array, loss: str, setting: Setting, *, expected: float, seed: int) -> Layers:
    """DP-SGD with momentum (which costs nothing: it sees only what was noised); ``expected`` images in a batch."""
    rng = np.random.default_rng((seed, 1))
    noise = privacy.NoiseGenerator(seed)
    layers = new_layers(WIDTHS, rng)
    velocity = [(np.zeros_like(weight), np.zeros_like(bias)) for weight, bias in layers]
    for _ in range(setting.steps):
        batch = rng.random(len(labels)) < setting.sampling_rate
        values = forward(layers, images[batch])
        _, grad = LOSSES[loss](values[-1], labels[batch])
        slopes = privacy.linear_clip_and_noise(
            values[:-1],
            output_grads(layers, values, grad),
            setting.max_grad_norm,
            setting.noise_multiplier,
            bias=True,
            expected_batch_size=expected,
            rng=noise,
        )
        for parameters, speeds, found in zip(layers, velocity, slopes, strict=True):
            for parameter, speed, slope in zip(parameters, speeds, (found[0].T, found[1]), strict=True):
                speed *= 0.9
                speed -= setting.step_size * slope
                parameter += speed
    return layers


def run(
    *, seed: int, quiet: bool = False, seeds: int = 16, plan: list[Setting] | None = None
) -> tuple[list[World], list[Trained]]:
    """Train with every loss and setting (by default all) in as many worlds."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    worlds = [new_world(labels, seed + k) for k in range(seeds)]
    results = [Trained(loss, setting) for setting in plan or settings() for loss in LOSSES]
    with threadpool_limits(limits=1):  # matrices this small take longer with more threads
        for result in tqdm(results, desc="private", unit="setting", disable=quiet, leave=False):
            expected = result.setting.sampling_rate * len(labels) / 2
            for k, world in enumerate(worlds):
                known, own = images[world.members], world.labels[world.members]
                layers = train(known, own, result.loss, result.setting, expected=expected, seed=seed + k)
                logits = forward(layers, images)[-1]
                right = logits.argmax(axis=1) == labels
                result.accuracy.append(float(np.mean(right[~world.members])))
                result.losses.append(LOSSES[result.loss](logits, world.labels)[0])
    return worlds, results


def report(results: list[Trained]) -> str:
    """The table of accuracies: mean and standard deviation over the worlds."""
    rows = []
    for setting in dict.fromkeys(r.setting for r in results):
        means = [mean_and_spread(r.accuracy) for r in results if r.setting == setting]
        cells = [f"{mean:.1%} +- {spread:.1%}" for mean, spread in means]
        rows.append([setting.name, f"{setting.noise_multiplier:.3g}", str(setting.steps), *cells])
    return table(
        f"Private training: network {'-'.join(map(str, WIDTHS))}, half of the digits, delta = {DELTA:g}; test "
        f"accuracy, {len(results[0].accuracy)} trainings each",
        ["budget", "noise multiplier", "steps", *LOSSES],
        rows,
        "Mean and standard deviation. Noise multipliers by dp-accounting, for adding or removing one image and\n"
        "Poisson sampling. Not counted: that bound, steps and step size were chosen while looking at these images.\n"
        "Not private as run: the noise is seeded. Some 900 images are few: on more, a budget costs less accuracy.",
    )
