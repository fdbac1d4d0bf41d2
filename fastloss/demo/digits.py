"""Handwritten digits: softmax regression and a network with one hidden layer, in NumPy and one call to fastloss.

Every model is trained three times from the same start on the same batches: with fastloss's kernels, with its NumPy
reference (``fl.backend``), and with the cross-entropy that one writes by hand in NumPy. Only the loss differs, so
accuracies should agree and the difference in time is the loss's.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import fastloss as fl
from fastloss.demo._text import table

Array = NDArray[Any]
Layers = list[tuple[Array, Array]]
LossAndGrad = Callable[[Array, Array], tuple[float, Array]]

# Widths of the layers, pixels to classes.
MODELS = {"softmax regression": (64, 10), "network, 64 hidden units": (64, 64, 10)}
IMPLEMENTATIONS = ("fastloss", "NumPy by hand", "NumPy reference")
BATCH_SIZE = 64
STEP_SIZE, MOMENTUM = 0.05, 0.9


@dataclass(frozen=True)
class Digits:
    """Images as rows of 64 pixels in [0, 1], float32, and what digits they show."""

    train_images: Array
    test_images: Array
    train_labels: Array
    test_labels: Array


@dataclass(frozen=True)
class Training:
    """One model trained with one implementation of the loss; times are medians over repetitions."""

    model: str
    implementation: str
    accuracy: list[float]  # on the test set, after every epoch
    loss: float  # mean over the last epoch's batches
    step_seconds: float  # a whole training step: forward, loss, backward, update
    loss_seconds: float  # the call that gives the loss and its gradient


def load(seed: int) -> Digits:
    """Return the digits of scikit-learn (1797 images), a quarter of them kept for testing."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    return Digits(*train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=seed))


# ---- The model: matrix products, ReLU between them ----


def new_layers(widths: tuple[int, ...], rng: np.random.Generator) -> Layers:
    """Weights and biases at the start."""
    return [
        (rng.normal(0, np.sqrt(2 / n), (n, m)).astype(np.float32), np.zeros(m, np.float32))
        for n, m in itertools.pairwise(widths)
    ]


def forward(layers: Layers, images: Array) -> list[Array]:
    """The input of every layer, and the logits."""
    values = [images]
    for k, (weight, bias) in enumerate(layers):
        x = values[-1] @ weight + bias
        values.append(np.maximum(x, 0) if k + 1 < len(layers) else x)
    return values


def backward(layers: Layers, values: list[Array], grad: Array) -> Layers:
    """Gradients of weights and biases, from that of the logits."""
    grads: Layers = []
    for k in reversed(range(len(layers))):
        grads.append((values[k].T @ grad, grad.sum(axis=0)))
        if k > 0:
            grad = grad @ layers[k][0].T * (values[k] > 0)
    return grads[::-1]


def accuracy(layers: Layers, images: Array, labels: Array) -> float:
    """The share of images whose largest logit is the right one."""
    return float(np.mean(forward(layers, images)[-1].argmax(axis=1) == labels))


# ---- The loss, three times ----


def by_hand(logits: Array, labels: Array) -> tuple[float, Array]:
    """Mean cross-entropy and its gradient as one writes them in NumPy."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    exps = np.exp(shifted)
    sums = exps.sum(axis=1, keepdims=True)
    value = float(np.mean(np.log(sums[:, 0]) - shifted[rows, labels]))
    grad = exps / sums
    grad[rows, labels] -= 1
    return value, grad / len(labels)


@contextmanager
def loss_function(implementation: str) -> Iterator[LossAndGrad]:
    """The loss of an implementation, inside a ``with`` block."""
    if implementation == "NumPy by hand":
        yield by_hand
        return
    with fl.backend("native" if implementation == "fastloss" else "reference"):
        yield fl.cross_entropy.value_and_grad


# ---- Training ----


def train(data: Digits, model: str, implementation: str, *, epochs: int, seed: int) -> Training:
    """Stochastic gradient descent with momentum; evaluation is not in the times."""
    rng = np.random.default_rng(seed)
    layers = new_layers(MODELS[model], rng)
    velocity = [(np.zeros_like(weight), np.zeros_like(bias)) for weight, bias in layers]
    curve, step_times, loss_times, losses = [], [], [], [0.0]
    with loss_function(implementation) as loss_and_grad:
        for _ in range(epochs):
            order = rng.permutation(len(data.train_labels))
            losses = []
            for first in range(0, len(order) - BATCH_SIZE + 1, BATCH_SIZE):
                batch = order[first : first + BATCH_SIZE]
                images, labels = data.train_images[batch], data.train_labels[batch]
                start = time.perf_counter()
                values = forward(layers, images)
                before_loss = time.perf_counter()
                value, grad = loss_and_grad(values[-1], labels)
                after_loss = time.perf_counter()
                for parameters, speeds, slopes in zip(layers, velocity, backward(layers, values, grad), strict=True):
                    for parameter, speed, slope in zip(parameters, speeds, slopes, strict=True):
                        speed *= MOMENTUM
                        speed -= STEP_SIZE * slope
                        parameter += speed
                step_times.append(time.perf_counter() - start)
                loss_times.append(after_loss - before_loss)
                losses.append(value)
            curve.append(accuracy(layers, data.test_images, data.test_labels))
    mean_loss = statistics.fmean(losses)
    return Training(
        model, implementation, curve, mean_loss, statistics.median(step_times), statistics.median(loss_times)
    )


def run(*, seed: int, quiet: bool = False, epochs: int = 30, repeats: int = 3) -> list[Training]:
    """Train every model with every implementation; repetitions take turns, so that all see the same machine."""
    data = load(seed)
    plan = [(model, which) for model in MODELS for _ in range(repeats) for which in IMPLEMENTATIONS]
    runs = [
        train(data, model, which, epochs=epochs, seed=seed)
        for model, which in tqdm(plan, desc="digits", unit="training", disable=quiet, leave=False)
    ]
    return [_median_of([r for r in runs if (r.model, r.implementation) == key]) for key in dict.fromkeys(plan)]


def _median_of(runs: list[Training]) -> Training:
    first = runs[0]
    step_seconds = statistics.median(r.step_seconds for r in runs)
    loss_seconds = statistics.median(r.loss_seconds for r in runs)
    return Training(first.model, first.implementation, first.accuracy, first.loss, step_seconds, loss_seconds)


def report(trainings: list[Training]) -> str:
    """The table: accuracies, times, and how many times faster fastloss is."""
    fast = {t.model: t for t in trainings if t.implementation == "fastloss"}
    rows = [
        [
            f"{t.model}, {t.implementation}",
            f"{t.accuracy[-1]:.2%}",
            f"{t.loss:.6f}",
            f"{t.loss_seconds * 1e6:.1f}",
            f"{t.loss_seconds / fast[t.model].loss_seconds:.1f}",
            f"{t.step_seconds * 1e6:.1f}",
            f"{t.step_seconds / fast[t.model].step_seconds:.1f}",
        ]
        for t in trainings
    ]
    return table(
        f"Digits: minibatches of {BATCH_SIZE}, float32, same start and batches; test accuracy after "
        f"{len(trainings[0].accuracy)} epochs",
        ["model, loss", "accuracy", "training loss", "loss call, us", "/ fastloss", "step, us", "/ fastloss"],
        rows,
        "Times are medians over all steps, then over repetitions. A loss call gives value and gradient of the mean\n"
        "cross-entropy; a step is forward pass, loss call, backward pass and update.",
    )
