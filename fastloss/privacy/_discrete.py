"""Discrete Gaussian and Laplace laws as their samplers want them: integer limits, and how far off the law they are.

Computed in decimal arithmetic of 50 digits. The decompositions and why they are right: csrc/privacy/discrete_gaussian.h
and discrete_laplace.h.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss import _core

Array = npt.NDArray[Any]

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")

# A uniform integer below 2^63 is compared with limits.
UNIT = 2**63

# The largest scales: what the bits that a value is made of hold.
LARGEST_SCALE = {"gaussian": 2.0**40, "laplace": 2.0**50}

# The table's scale where uniforms are added to it lies in [8, 16); 16 of the uniforms have up to 4 bits, 8 have
# what more bits are needed.
TABLE_SCALE = 8
INNER_BITS, INNER_COUNT, OUTER_COUNT = 4, 16, 8

# Samples of the characteristic function on a circle: the table repeats every 512, 22 scales beyond its last entry.
CIRCLE = 512


@dataclass(frozen=True, eq=False)
class Law:
    """A distribution on the integers: its limits, bits of the uniforms to add, and its total variation distance
    from the ideal one (an upper bound).
    """

    laplace: bool
    limits: Array
    inner_bits: int
    outer_bits: int
    distance: float

    def add(self, key: Array, first: int, sums: Array) -> None:
        """Add the values first, first + 1, ... of the key's stream to int64 sums."""
        _core.discrete_noise(self.limits, self.laplace, self.inner_bits, self.outer_bits, key, first, sums)


def law_of(distribution: str, scale: float) -> Law:
    """The law of that name ("gaussian" or "laplace") and of that scale > 0."""
    return _laplace(scale) if distribution == "laplace" else _gaussian(scale)


@lru_cache(maxsize=64)
def _laplace(scale: float) -> Law:
    with localcontext(Context(prec=50)):
        s = Decimal(scale)
        limits, distance, power = [], Decimal(0), Decimal(1)
        while True:
            exponent = power / s
            odds = (-exponent).exp() if exponent < 100 else Decimal(0)
            probability = odds / (1 + odds)
            limits.append(round(probability * UNIT))
            distance += abs(probability - Decimal(limits[-1]) / UNIT)
            if len(limits) == 1:  # the sign and bit 0 are alike
                continue
            power *= 2
            if limits[-1] == 0:
                break
        distance += odds  # bits that are never set
        return Law(True, np.array(limits, np.int64), 0, 0, _up(distance))


@lru_cache(maxsize=64)
def _gaussian(scale: float) -> Law:
    bits = max(math.frexp(scale / TABLE_SCALE)[1] - 1, 0)
    inner = min(bits, INNER_BITS)
    outer = bits - inner
    with localcontext(Context(prec=50)):
        s = Decimal(scale)
        table = _small_table(s) if bits == 0 else _deconvolved_table(s / 2**bits, inner, outer)
        limits, cumulated, distance, last = [], Decimal(0), Decimal(0), 0
        for k, probability in enumerate(table):
            both = probability if k == 0 else 2 * probability  # P(k) and P(-k) together
            cumulated += both
            end = min(round(cumulated * UNIT), UNIT)
            distance += abs(both - Decimal(end - last) / UNIT) / 2
            last = end
            limits.append(end - 1)  # the last integer that gives at most k
            if end == UNIT:
                break
        distance += max(1 - cumulated, Decimal(0)) + Decimal(UNIT - last) / UNIT
        if inner > 0:
            distance += _aliasing(INNER_COUNT, s / 2**bits)
        if outer > 0:
            distance += _aliasing(OUTER_COUNT, s / 2**outer)
        limits += [UNIT - 1] * (-len(limits) % 8)
        return Law(False, np.array(limits, np.int64), inner, outer, _up(distance))


def _up(distance: Decimal) -> float:
    return math.nextafter(float(distance), math.inf)


def _aliasing(count: int, ratio: Decimal) -> Decimal:
    """Twice sqrt(n!) (2 pi r)^-n: the total variation distance that adding n uniforms costs."""
    return 2 * Decimal(math.factorial(count)).sqrt() / (2 * PI * ratio) ** count


def _small_table(s: Decimal) -> list[Decimal]:
    """P(0), P(1), ... of the discrete Gaussian itself."""
    weights, k = [], 0
    while True:
        weight = (-Decimal(k * k) / (2 * s * s)).exp()
        if weight < Decimal("1e-30"):
            break
        weights.append(weight)
        k += 1
    total = 2 * sum(weights, Decimal(0)) - 1
    return [weight / total for weight in weights]


def _deconvolved_table(s: Decimal, inner: int, outer: int) -> list[Decimal]:
    """P(0), P(1), ... of the integer to which the uniforms are added: the inverse Fourier transform of
    exp(-s^2 w^2 / 2) D_inner(w)^-16 D_outer(w / 2^inner)^-8.
    """
    angle = 2 * PI / CIRCLE
    cosine, sine = _cosine_sine(angle)
    cosines, sines = [Decimal(1)], [Decimal(0)]
    for _ in range(CIRCLE - 1):
        c, d = cosines[-1], sines[-1]
        cosines.append(c * cosine - d * sine)
        sines.append(d * cosine + c * sine)
    transform = [Decimal(1)]
    for j in range(1, CIRCLE // 2):
        w = j * angle
        if s * w > 14:  # exp(-98) = 3e-43
            break
        value = (-((s * w) ** 2) / 2).exp() / _mean_of_uniforms(w, inner) ** INNER_COUNT
        transform.append(value / _mean_of_uniforms(w / 2**inner, outer) ** OUTER_COUNT)
    result = []
    for y in range(int(10 * s) + 1):
        terms = sum((transform[j] * cosines[j * y % CIRCLE] for j in range(1, len(transform))), Decimal(0))
        result.append(max((1 + 2 * terms) / CIRCLE, Decimal(0)))
    return result


def _mean_of_uniforms(w: Decimal, bits: int) -> Decimal:
    """sin(w/2) / (k sin(w/2k)) for k = 2^bits."""
    k = 2**bits
    result: Decimal = _cosine_sine(w / 2)[1] / (k * _cosine_sine(w / (2 * k))[1])
    return result


def _cosine_sine(x: Decimal) -> tuple[Decimal, Decimal]:
    """By their series, for |x| < 2."""
    sums, term, n = [Decimal(1), Decimal(0)], Decimal(1), 0
    while abs(term) > Decimal("1e-52"):
        n += 1
        term *= x / n
        sums[n % 2] += term if n % 4 < 2 else -term
    return sums[0], sums[1]
