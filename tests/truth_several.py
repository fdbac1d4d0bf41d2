"""High-precision truth of losses of several arrays, written once more with mpmath, straight from the definitions.

Values only, as in truth.py: a list with the loss of every row of the unreduced loss. Gradients are numeric derivatives
of its (weighted) sum. Arrays are nested lists of exact numbers, embeddings two-dimensional; no infinities.
"""

from collections.abc import Callable, Sequence
from typing import Any

import mpmath as mp  # type: ignore[import-untyped]
import numpy as np
import truth_similarity
from truth import exact

BITS = 700

Scalar = Any
Rows = Sequence[Sequence[Scalar]]


def margin_ranking(x1: Any, x2: Any, target: Any, margin: Scalar = 0) -> list[Scalar]:
    pairs = zip(np.ravel(x1), np.ravel(x2), np.ravel(target), strict=True)
    return [max(mp.mpf(0), margin - t * (a - b)) for a, b, t in pairs]


def norm(r: Sequence[Scalar], p: Scalar = 2) -> Scalar:
    if p == mp.inf:
        return max(abs(v) for v in r)
    return sum(abs(v) ** p for v in r) ** (1 / mp.mpf(p))


def minus(x: Sequence[Scalar], y: Sequence[Scalar]) -> list[Scalar]:
    return [a - b for a, b in zip(x, y, strict=True)]


def contrastive(
    x1: Rows, x2: Rows, target: Any, margin: Scalar = 1, similar_label: int = 1, half: bool = True
) -> list[Scalar]:
    distances = [norm(minus(a, b)) for a, b in zip(x1, x2, strict=True)]
    factor = mp.mpf(1) / (2 if half else 1)
    return [
        factor * (d**2 if t == similar_label else max(mp.mpf(0), margin - d) ** 2)
        for d, t in zip(distances, target, strict=True)
    ]


def triplet(
    anchor: Rows, positive: Rows, negative: Rows, margin: Scalar = 1, squared: bool = False, p: Scalar = 2,
    swap: bool = False,
) -> list[Scalar]:  # fmt: skip
    losses = []
    for a, b, c in zip(anchor, positive, negative, strict=True):
        far = min(norm(minus(a, c), p), norm(minus(b, c), p)) if swap else norm(minus(a, c), p)
        power = 2 if squared else 1
        losses.append(max(mp.mpf(0), norm(minus(a, b), p) ** power - far**power + margin))
    return losses


def cosine(x1: Rows, x2: Rows, target: Any, margin: Scalar = 0) -> list[Scalar]:
    losses = []
    for a, b, t in zip(x1, x2, target, strict=True):
        c = sum(u * v for u, v in zip(a, b, strict=True)) / (norm(a) * norm(b))
        losses.append(1 - c if t == 1 else max(mp.mpf(0), c - margin))
    return losses


def center(embeddings: Rows, centers: Rows, target: Any) -> list[Scalar]:
    return [norm(minus(e, centers[int(t)])) ** 2 / 2 for e, t in zip(embeddings, target, strict=True)]


def dice(prediction: Any, target: Any, squared: bool = True, smooth: Scalar = 0, axis: Any = None) -> list[Scalar]:
    p, g = np.asarray(prediction, object), np.asarray(target, object)
    axes = None if axis is None else tuple(axis) if isinstance(axis, list) else axis
    below = np.sum(p**2 + g**2 if squared else p + g, axis=axes)
    return list(np.ravel(1 - (2 * np.sum(p * g, axis=axes) + smooth) / (below + smooth)))


VALUES: dict[str, Callable[..., list[Scalar]]] = {
    "center_loss": center,
    "contrastive_loss": contrastive,
    "cosine_embedding_loss": cosine,
    "dice_loss": dice,
    "margin_ranking_loss": margin_ranking,
    "triplet_margin_loss": triplet,
    **truth_similarity.VALUES,
}


def nested(array: Any) -> Any:
    """An array as an object array of exact numbers; integers, and arguments that are none, as they are."""
    if array is None or np.asarray(array).dtype.kind in "iu":
        return array
    exactly = np.empty(np.shape(array), object)
    for index, v in np.ndenumerate(np.asarray(array)):
        exactly[index] = exact(v)
    return exactly


def mp_values(name: str, arrays: Sequence[Any], **parameters: Any) -> list[Scalar]:
    """The loss of every row."""
    with mp.workprec(BITS):
        given = {k: exact(v) for k, v in parameters.items()}
        return [mp.mpf(v) for v in VALUES[name](*map(nested, arrays), **given)]


def mp_gradients(name: str, arrays: Sequence[Any], which: int, **parameters: Any) -> list[Scalar]:
    """The derivatives of the sum of all losses with respect to every element of one array, in C order."""
    given = {k: exact(v) for k, v in parameters.items()}
    exactly = [nested(a) for a in arrays]
    found = []

    def moved(index: tuple[int, ...], v: Scalar) -> Scalar:
        copies = list(exactly)
        copies[which] = exactly[which].copy()
        copies[which][index] = v
        return sum(VALUES[name](*copies, **given))

    with mp.workprec(BITS):
        for index, v in np.ndenumerate(exactly[which]):
            found.append(mp.diff(lambda x, index=index: moved(index, x), v))
    return found
