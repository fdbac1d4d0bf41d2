"""The NumPy twin of the discrete samplers: the same integers from the same keystream, and the exact probabilities of
what they yield. The laws themselves (limits) come from `fastloss.privacy._discrete`.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss.reference.privacy import group_words

Array = npt.NDArray[Any]

# Stream number (the nonce) and keystream calls set aside for a group of 256 values.
STREAMS = {"gaussian": (4, 16), "laplace": (5, 128)}


class Words:
    """The keystream of some groups of values: word ``i`` of every value."""

    def __init__(self, distribution: str, key: Array, groups: Array) -> None:
        self.key = key
        self.nonce, self.calls = STREAMS[distribution]
        self.groups = groups

    def __getitem__(self, i: int) -> Array:
        calls = self.groups * np.uint64(self.calls) + np.uint64(i)
        return group_words(self.key, calls, self.nonce).reshape(-1).astype(np.uint64)

    def uniform(self, i: int) -> Array:
        """An integer below 2^63 from words i and i + 1."""
        return ((self[i] << np.uint64(32) | self[i + 1]) >> np.uint64(1)).astype(np.int64)


def gaussian(words: Words, limits: Array, inner_bits: int, outer_bits: int) -> Array:
    """A table's integer with a sign; times 2^inner plus 16 uniforms; times 2^outer plus 8 uniforms, all centred."""
    magnitude = np.searchsorted(limits, words.uniform(0), side="left")
    x = np.where(words[1] & np.uint64(1), -magnitude, magnitude).astype(np.int64)
    if inner_bits:
        x = add_uniforms(x, [words[call] >> np.uint64(4 * k) for call in (2, 3) for k in range(8)], inner_bits)
    if outer_bits > 16:
        x = add_uniforms(x, [words[call] for call in range(4, 12)], outer_bits)
    elif outer_bits:
        x = add_uniforms(x, [words[call] >> np.uint64(16 * k) for call in range(4, 8) for k in (0, 1)], outer_bits)
    return x


def add_uniforms(x: Array, words: list[Array], bits: int) -> Array:
    """Return x times 2^bits plus the low bits of each word, minus their mean."""
    last = 2**bits - 1
    drawn = sum((word & np.uint64(last)).astype(np.int64) for word in words)
    result: Array = x * 2**bits + drawn - len(words) * last // 2
    return result


def laplace(words: Words, limits: Array) -> Array:
    """Independent bits, the first of them the sign: complemented where it is set."""
    sign, *bits = [words.uniform(2 * j) < limit for j, limit in enumerate(limits)]
    g = np.zeros(sign.shape, np.int64)
    for j, bit in enumerate(bits):
        g |= bit.astype(np.int64) << j
    return np.where(sign, ~g, g)


def values(
    distribution: str, limits: Array, inner_bits: int, outer_bits: int, key: Array, first: int, count: int
) -> Array:
    """Values first ... first + count of a key's stream."""
    groups = np.arange(first // 256, (first + count + 255) // 256, dtype=np.uint64)
    words = Words(distribution, key, groups)
    gaussians = distribution == "gaussian"
    drawn = gaussian(words, limits, inner_bits, outer_bits) if gaussians else laplace(words, limits)
    return drawn[first % 256 :][:count]


def gaussian_weights(limits: Array, inner_bits: int, outer_bits: int) -> tuple[int, list[int], int]:
    """The smallest value, and the exact probabilities of it and of those that follow, in units of 2^-d; d."""
    ends = [0, *(int(limit) + 1 for limit in limits)]
    half = [b - a for a, b in pairwise([*ends, 2**63])]
    weights = [*half[:0:-1], 2 * half[0], *half[1:]]
    smallest, d = 1 - len(half), 64
    for bits, count in ((inner_bits, 16), (outer_bits, 8)):
        k = 2**bits
        spread = np.zeros((len(weights) - 1) * k + 1 + count * (k - 1), object)
        spread[: (len(weights) - 1) * k + 1 : k] = weights
        for _ in range(count if bits else 0):
            sums = np.cumsum(spread)
            spread = sums.copy()
            spread[k:] -= sums[:-k]
        smallest = smallest * k - count * (k - 1) // 2
        weights, d = spread.tolist(), d + bits * count
    return smallest, weights, d
