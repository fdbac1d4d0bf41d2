"""High-precision truth of the similarity losses, element by element with mpmath: one list of losses each."""

from collections.abc import Callable, Sequence
from typing import Any

import mpmath as mp  # type: ignore[import-untyped]

Scalar = Any
Vector = Sequence[Scalar]


def dot(a: Vector, b: Vector) -> Scalar:
    return mp.fsum(x * y for x, y in zip(a, b, strict=True))


def unit(a: Vector) -> Vector:
    length = mp.sqrt(dot(a, a))
    return a if length == 0 else [x / length for x in a]


def minus_log_softmax(scores: Vector, target: int) -> Scalar:
    return mp.log(mp.fsum(mp.exp(s - scores[target]) for s in scores))


def info_nce(
    query: Any, key: Any, negatives: Any = None, temperature: Scalar = 0.07, normalize: bool = True
) -> list[Scalar]:
    def vector(row: Vector) -> Vector:
        return unit(row) if normalize else row

    losses = []
    for i, row in enumerate(query):
        if negatives is None:
            others = [key[j] for j in range(len(key)) if j != i]
        else:
            others = list(negatives if negatives.ndim == 2 else negatives[i])
        q = vector(row)
        scores = [dot(q, vector(k)) / mp.mpf(temperature) for k in [key[i], *others]]
        losses.append(minus_log_softmax(scores, 0))
    return losses


def multiple_negatives(
    anchors: Any, positives: Any, scale: Scalar = 20, symmetric: bool = False, group_ids: Any = None
) -> list[Scalar]:
    def one_way(a: Any, b: Any, i: int) -> Scalar:
        keys = [j for j in range(len(b)) if j == i or group_ids is None or group_ids[j] != group_ids[i]]
        return minus_log_softmax([scale * dot(unit(a[i]), unit(b[j])) for j in keys], keys.index(i))

    rows = range(len(anchors))
    if symmetric:
        return [(one_way(anchors, positives, i) + one_way(positives, anchors, i)) / 2 for i in rows]
    return [one_way(anchors, positives, i) for i in rows]


def arcface(
    embeddings: Any,
    centers: Any,
    target: Any,
    scale: Scalar = 64,
    margin: Scalar = 0.5,
    class_weight: Any = None,
    ignore_index: int | None = -100,
) -> list[Scalar]:
    losses = []
    for row, t in zip(embeddings, target, strict=True):
        if t == ignore_index:
            losses.append(mp.mpf(0))
            continue
        cosines = [dot(unit(row), unit(c)) for c in centers]
        theta = mp.acos(cosines[t])
        over = theta + margin > mp.pi
        scores = [scale * c for c in cosines]
        scores[t] = scale * (cosines[t] - margin * mp.sin(margin) if over else mp.cos(theta + margin))
        losses.append((1 if class_weight is None else class_weight[t]) * minus_log_softmax(scores, t))
    return losses


def ge2e(embeddings: Any, w: Scalar = 10, b: Scalar = -5, variant: str = "softmax") -> list[Scalar]:
    def mean(rows: Sequence[Vector]) -> Vector:
        return [mp.fsum(column) / len(rows) for column in zip(*rows, strict=True)]

    def sigmoid(x: Scalar) -> Scalar:
        return 1 / (1 + mp.exp(-x))

    losses = []
    for j, speaker in enumerate(embeddings):
        for i, row in enumerate(speaker):
            centroids = [mean(list(others)) for others in embeddings]
            centroids[j] = mean([r for k, r in enumerate(speaker) if k != i])
            scores = [w * dot(unit(row), unit(c)) + b for c in centroids]
            if variant == "softmax":
                losses.append(minus_log_softmax(scores, j))
            else:
                losses.append(1 - sigmoid(scores[j]) + max(sigmoid(s) for k, s in enumerate(scores) if k != j))
    return losses


VALUES: dict[str, Callable[..., list[Scalar]]] = {
    "info_nce_loss": info_nce,
    "multiple_negatives_ranking_loss": multiple_negatives,
    "arcface_loss": arcface,
    "ge2e_loss": ge2e,
}
