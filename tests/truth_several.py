"""High-precision truth of losses of several arrays, written once more with mpmath, straight from the definitions.

Values only, as in truth.py: a list with the loss of every row of the unreduced loss. Gradients are numeric derivatives
of its (weighted) sum. Arrays are nested lists of exact numbers, embeddings two-dimensional; no infinities.
"""

from collections.abc import Callable, Sequence
from typing import Any

import mpmath as mp  # type: ignore[import-untyped]
import numpy as np
from truth import exact

BITS = 700

Scalar = Any
Rows = Sequence[Sequence[Scalar]]


def margin_ranking(x1: Any, x2: Any, target: Any, margin: Scalar = 0) -> list[Scalar]:
    pairs = zip(np.ravel(x1), np.ravel(x2), np.ravel(target), strict=True)
    return [max(mp.mpf(0), margin - t * (a - b)) for a, b, t in pairs]


VALUES: dict[str, Callable[..., list[Scalar]]] = {
    "margin_ranking_loss": margin_ranking,
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
