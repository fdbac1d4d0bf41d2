"""Digits once more, as an embedding: images of a digit near each other, those of different digits apart.

A small network is trained on pairs and triplets of images of seven digits, and then searched with: which images are
most similar to this one? It is judged on new images of these digits and on images of the three that it has never seen,
beside the pixels themselves, PCA, and linear discriminant analysis (which sees the labels too).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import fastloss as fl
from fastloss.demo._text import mean_and_spread, table
from fastloss.demo.digits import MOMENTUM, Layers, backward, forward, new_layers

Array = NDArray[Any]
Embed = Callable[[Array], Array]

UNSEEN = 3
WIDTHS = (64, 64, 16)
BATCH_SIZE = 64
STEP_SIZE = 0.05
RANKING, TRIPLET = "multiple negatives ranking", "triplet margin"
METHODS = ("pixels", "PCA", "discriminant analysis", RANKING, TRIPLET)


@dataclass(frozen=True)
class Split:
    """Training and test images of the seen digits, and all images of the unseen ones: float32 rows of 64 pixels."""

    images: Array
    labels: Array
    test_images: Array
    test_labels: Array
    unseen_images: Array
    unseen_labels: Array


@dataclass(frozen=True)
class Search:
    """How well one method finds the right images, one number per seed, and its test vectors of the first seed."""

    method: str
    precision: list[float] = field(default_factory=list)  # mean average precision among new images of seen digits
    nearest: list[float] = field(default_factory=list)  # share of them whose nearest other one shows the same digit
    unseen_precision: list[float] = field(default_factory=list)
    unseen_nearest: list[float] = field(default_factory=list)
    pictures: list[tuple[Array, Array]] = field(default_factory=list)  # vectors and labels


def load(rng: np.random.Generator) -> Split:
    """Three digits kept away, half of the images of the others for training."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    unseen = np.isin(labels, rng.choice(10, UNSEEN, replace=False))
    train, test = np.array_split(rng.permutation(np.flatnonzero(~unseen)), 2)
    return Split(images[train], labels[train], images[test], labels[test], images[unseen], labels[unseen])


def draw_batch(labels: Array, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    """Digits, and for each of them the places of two of its images and of one that shows another digit."""
    order = np.argsort(labels, kind="stable")
    digits, first, count = np.unique(labels[order], return_index=True, return_counts=True)
    chosen = rng.integers(len(digits), size=BATCH_SIZE)
    other = (chosen + rng.integers(1, len(digits), BATCH_SIZE)) % len(digits)
    anchors, positives, negatives = (
        order[first[k] + (rng.random(BATCH_SIZE) * count[k]).astype(int)] for k in (chosen, chosen, other)
    )
    return digits[chosen], anchors, positives, negatives


def loss_and_slopes(method: str, layers: Layers, images: Array, digits: Array) -> tuple[float, Layers]:
    """The loss of anchors, positives and negatives, stacked in ``images``, and the gradients of the layers.

    Ranking takes the positives of all other anchors for negatives; ``group_ids`` leaves out those of the same digit.
    """
    values = forward(layers, images)
    anchors, positives, negatives = np.split(values[-1], 3)
    if method == TRIPLET:
        value, grads = fl.triplet_margin_loss.value_and_grad(anchors, positives, negatives, margin=1.0)
        return value, backward(layers, values, np.concatenate(grads))
    value, pair = fl.multiple_negatives_ranking_loss.value_and_grad(anchors, positives, group_ids=digits)
    return value, backward(layers, values, np.concatenate([*pair, np.zeros_like(negatives)]))


def train(method: str, data: Split, *, steps: int, seed: int) -> Embed:
    """Stochastic gradient descent with momentum, its steps decreasing to zero."""
    rng = np.random.default_rng(seed)
    layers = new_layers(WIDTHS, rng)
    velocity = [(np.zeros_like(weight), np.zeros_like(bias)) for weight, bias in layers]
    for k in range(steps):
        digits, *places = draw_batch(data.labels, rng)
        _, slopes = loss_and_slopes(method, layers, data.images[np.concatenate(places)], digits)
        for parameters, speeds, found in zip(layers, velocity, slopes, strict=True):
            for parameter, speed, slope in zip(parameters, speeds, found, strict=True):
                speed *= MOMENTUM
                speed -= STEP_SIZE * (1 - k / steps) * slope
                parameter += speed
    return lambda images: forward(layers, images)[-1]


def embedding(method: str, data: Split, *, steps: int, seed: int) -> Embed:
    """What turns images into the vectors of a method."""
    if method == "pixels":
        return lambda images: images
    if method == "PCA":
        transform: Embed = PCA(WIDTHS[-1], random_state=0).fit(data.images).transform
        return transform
    if method == "discriminant analysis":
        transform = LinearDiscriminantAnalysis().fit(data.images, data.labels).transform
        return transform
    return train(method, data, steps=steps, seed=seed)


def unit(vectors: Array) -> Array:
    """Rows scaled to length 1, zero rows left as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Array = vectors / np.where(lengths > 0, lengths, 1)
    return scaled


def search(vectors: Array, labels: Array) -> tuple[float, float]:
    """Mean average precision, and the share of nearest neighbours with the same label.

    Every row is sought among the others; similarity is the cosine.
    """
    unit_vectors = unit(vectors)
    similarity = unit_vectors @ unit_vectors.T
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :-1]
    hits = labels[order] == labels[:, None]
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    average = (precision * hits).sum(axis=1) / hits.sum(axis=1)
    return float(average.mean()), float(hits[:, 0].mean())


def run(*, seed: int, quiet: bool = False, seeds: int = 5, steps: int = 600) -> list[Search]:
    """Try every method on several choices of the unseen digits."""
    results = {method: Search(method) for method in METHODS}
    with threadpool_limits(limits=1):  # matrices this small take longer with more threads
        for k in tqdm(range(seeds), desc="embedding", unit="seed", disable=quiet, leave=False):
            data = load(np.random.default_rng((seed, k)))
            for method, result in results.items():
                embed = embedding(method, data, steps=steps, seed=seed + k)
                vectors = embed(data.test_images)
                for images, labels, precisions, nearest in (
                    (vectors, data.test_labels, result.precision, result.nearest),
                    (embed(data.unseen_images), data.unseen_labels, result.unseen_precision, result.unseen_nearest),
                ):
                    precision, share = search(images, labels)
                    precisions.append(precision)
                    nearest.append(share)
                if k == 0:
                    result.pictures.append((vectors, data.test_labels))
    return list(results.values())


def report(results: list[Search]) -> str:
    """The table: means and standard deviations over the seeds."""
    rows = []
    for r in results:
        columns = (r.precision, r.nearest, r.unseen_precision, r.unseen_nearest)
        rows.append([r.method, *("{:.3f} +- {:.3f}".format(*mean_and_spread(values)) for values in columns)])
    return table(
        f"Embedding: digits sought by similarity; networks {'-'.join(map(str, WIDTHS))} trained on seven digits, "
        f"{len(results[0].nearest)} seeds",
        ["vectors", "seen: mAP", "nearest", "unseen: mAP", "nearest"],
        rows,
        "Every image sought among the others by cosine: mean average precision, and the share whose nearest neighbour\n"
        "shows the same digit; on new images of the seven digits, and on the three that no method was trained on.\n"
        "What it shows: all images of a known digit come closer. What it doesn't: nearest neighbours were right\n"
        "before, and for the unseen digits pixels stay better: seven classes taught nothing about the other three.",
    )
