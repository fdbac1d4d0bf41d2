"""The error budget of ``secure=True``, item by item as docs/privacy-secure.md works it out, against exact probabilities
and rational arithmetic; and the page's own figures.
"""

import itertools
import math
import re
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
from scipy import stats

from fastloss.privacy import clip_and_sum, gaussian_sigma, sampler_delta, secure_budget
from fastloss.privacy._discrete import UNIT, law_of
from fastloss.privacy.secure import LAW_DISTANCE, LEAST_SCALE

PAGE = Path(__file__).parents[1] / "docs" / "privacy-secure.md"  # absent beside an installed wheel


# ---- The grid ----


@pytest.mark.parametrize(("mechanism", "norm"), [("gaussian", "l2"), ("gaussian", "l1"), ("laplace", "l1")])
@pytest.mark.parametrize("bound", [1.0, 0.1, 1e-200, 3e150])
def test_rounding_is_paid_for_exactly(bound, mechanism, norm):
    """C' + what rounding may add <= C, in rationals; C' >= C (1 - 2^-10); C is at least 2^20 steps."""
    for size in (0, 1, 2, 3, 1000, 12345, 10**6, 10**8):
        budget = secure_budget(bound, 0.0, size, mechanism=mechanism, norm=norm)
        exact, c, step = Fraction(budget.bounds[0]), Fraction(bound), Fraction(budget.grid)
        if norm == "l1":
            assert exact + step * size / 2 <= c
        else:
            assert (c - exact) ** 2 >= step**2 * size / 4
            assert exact <= c
        assert exact >= c * (1 - Fraction(1, 2**10)) * (1 - Fraction(1, 2**50))
        assert step * 2**20 <= c
        assert math.frexp(budget.grid)[0] == 0.5


def test_grid_depends_on_nothing_but_bounds_and_sizes():
    """So not on the data, the batch, the noise or the mechanism."""
    grids = {
        secure_budget(2.0, z, 5000, mechanism=m, norm="l1").grid for m in ("gaussian", "laplace") for z in (0, 3.0)
    }
    for batch, scale in ((0, 1.0), (1, 1e-30), (400, 1e30)):
        grids.add(clip_and_sum(np.full((batch, 5000), scale), 2.0, norm="l1", secure=True).grid)
    assert len(grids) == 1


# ---- The law: rounded continuous noise ----


def distance_from_rounded(sigma, s):
    """Total variation distance of the discrete Gaussian of s from N(0, sigma^2) rounded to integers."""
    last = int(14 * s) + 2
    weights = [mpmath.exp(-mpmath.mpf(k * k) / (2 * s * s)) for k in range(last)]
    total = 2 * sum(weights) - weights[0]
    tails = [mpmath.erfc((k - mpmath.mpf(1) / 2) / sigma / mpmath.sqrt(2)) / 2 for k in range(last + 1)]
    gaps = [abs(w / total - (a - b)) for w, a, b in zip(weights, tails, tails[1:], strict=False)]
    return gaps[0] / 2 + sum(gaps[1:])


@pytest.mark.parametrize("s", [0.5, 1.0, 2.0, 3.3, 8.0, 30.0])
def test_law_is_the_rounded_gaussian(s):
    """To 0.001 / s^4, and asymptotically E |He4| / 5760 s^4 = 0.000486 / s^4, which is where the bound comes from. With
    no 1/12 it would be 0.02 / s^2.
    """
    with mpmath.workprec(150):
        s = mpmath.mpf(s)
        found = distance_from_rounded(mpmath.sqrt(s * s - mpmath.mpf(1) / 12), s)
        assert found * s**4 <= LAW_DISTANCE
        if s >= 8:
            assert found * s**4 == pytest.approx(4.862e-4, rel=2e-3)
            assert distance_from_rounded(s, s) * s**2 == pytest.approx(0.0202, rel=0.02)


@pytest.mark.parametrize("multiplier", [1 / 64, 0.3, 1.0, 7.7, 1000.0])
def test_scale_has_the_roundings_variance(multiplier):
    """s^2 >= (sigma / g)^2 + 1/12 exactly, s >= 2^14 from a multiplier of 1/64 on, and hardly more than needed."""
    for size in (1, 10**4, 10**8):
        budget = secure_budget(0.7, multiplier, size)
        needed = (Fraction(multiplier) * Fraction(0.7) / Fraction(budget.grid)) ** 2 + Fraction(1, 12)
        assert needed <= Fraction(budget.scale) ** 2 <= needed * (1 + Fraction(1, 2**46))
        assert budget.scale >= LEAST_SCALE
        assert budget.distance <= sampler_delta(1, budget.scale) + LAW_DISTANCE / budget.scale**4 * 1.001
        assert budget.distance < 4.1e-18
    assert LAW_DISTANCE / LEAST_SCALE**4 < 1.4e-20


def hockey_stick(p, q, epsilon):
    return float(np.maximum(p - math.exp(epsilon) * q, 0).sum())


@pytest.mark.parametrize("sigma", [4.0, 12.0])
@pytest.mark.parametrize("shift", [(1,), (7,), (1, 2), (3, 3), (0, 5)], ids=str)
def test_privacy_is_that_of_continuous_noise(shift, sigma):
    """Exact (epsilon, delta) of one and two coordinates against the analytic curve; less noise would not do."""

    def curve(epsilon, noise):
        """delta of Gaussian noise at a distance of ||shift||, exactly."""
        r = math.hypot(*shift) / noise
        return stats.norm.cdf(r / 2 - epsilon / r) - math.exp(epsilon) * stats.norm.cdf(-r / 2 - epsilon / r)

    def release(s, centre):
        x = np.arange(-int(11 * s), int(11 * s) + 1)
        one = [np.exp(-((x - c) ** 2) / (2 * s * s)) / np.exp(-(x**2) / (2 * s * s)).sum() for c in centre]
        return one[0] if len(one) == 1 else np.multiply.outer(*one)

    s = math.sqrt(sigma**2 + 1 / 12)
    p, q = release(s, [0] * len(shift)), release(s, shift)
    for epsilon in (0.0, 0.1, 0.5, 1.0):
        slack = (1 + math.exp(epsilon)) * len(shift) * LAW_DISTANCE / s**4
        assert hockey_stick(p, q, epsilon) <= curve(epsilon, sigma) + slack + 1e-13
    less = 0.97 * sigma
    p, q = release(less, [0] * len(shift)), release(less, shift)
    assert hockey_stick(p, q, 0.1) > curve(0.1, sigma) + 1.2 * slack


# ---- The samplers ----


def mean_of_uniforms(t, bits):
    """E exp(i t u) of a centred uniform u below 2^bits."""
    return mpmath.sin(2**bits * t / 2) / (2**bits * mpmath.sin(t / 2)) if bits and t else mpmath.mpf(1)


def distance_by_transform(law, scale, places):
    """Half the root of (number of values) times the integral of the squared difference of characteristic functions: at
    least the total variation distance (Cauchy and Schwarz), over 24 scales. The limits are the sampler's own integers.
    """
    inner, outer, s = law.inner_bits, law.outer_bits, mpmath.mpf(scale)
    ends = [0, *(int(limit) + 1 for limit in law.limits)]
    table = [mpmath.mpf(b - a) / UNIT for a, b in itertools.pairwise(ends)]

    def difference(t):
        w = t * 2 ** (inner + outer)
        before, now, total = mpmath.mpf(1), mpmath.cos(w), table[0]
        for probability in table[1:]:
            total += probability * now
            before, now = now, 2 * mpmath.cos(w) * now - before
        drawn = total * mean_of_uniforms(t * 2**outer, inner) ** 16 * mean_of_uniforms(t, outer) ** 8
        return abs(drawn - mpmath.exp(-((s * t) ** 2) / 2)) ** 2

    integral, step = mpmath.mpf(0), 10 / s / 24
    for place in places:  # multiples of 2 pi over the table's step: elsewhere both functions are 0 to 1e-20
        centre = 2 * mpmath.pi * place / 2 ** (inner + outer)
        at = [centre + k * step for k in range(0 if place == 0 else -24, 25)]
        values = [difference(t) for t in at]
        integral += step * (sum(values) - (values[0] / 2 if place == 0 else 0))
    return mpmath.sqrt(24 * s * integral / mpmath.pi) / 2


@pytest.mark.parametrize("scale", [1.1 * 2**20, pytest.param(2.0**23, marks=pytest.mark.slow),
                                   pytest.param(2.0**33, marks=pytest.mark.slow)])  # fmt: skip
def test_gaussian_sampler_at_the_scales_in_use(scale):
    """There the values are too many to be listed, as test_secure.py does for smaller ones."""
    with mpmath.workprec(120):
        law = law_of("gaussian", scale)
        rounding = distance_by_transform(law, scale, [0])
        assert rounding <= law.distance < 4e-18
        # What the uniforms leave around multiples of the table's step and of the inner uniforms'.
        left = distance_by_transform(law, scale, [1, 2, 16])
        assert left < 1.1e-20
        # Both can fail: a limit that is off by 2^-55 shows, and a scale that is off by 1e-12.
        limits = law.limits.copy()
        limits[3] += 2**8
        assert distance_by_transform(type(law)(False, limits, 4, law.outer_bits, 0.0), scale, [0]) > 2 * law.distance
        assert distance_by_transform(law, scale * (1 + 1e-12), [0]) > 1e-14


@pytest.mark.parametrize("scale", [3.7, 40.0])
def test_laplace_sampler_is_private_by_its_exact_law(scale):
    """Hockey stick of the probabilities that the limits give, between neighbours: no more than the sampler's share."""
    law = law_of("laplace", scale)
    sign, *bits = (Fraction(int(limit), UNIT) for limit in law.limits)
    with mpmath.workprec(120):
        g = np.array([mpmath.mpf(1)], object)
        for p in bits[:-1]:
            p = mpmath.mpf(p.numerator) / p.denominator
            g = np.concatenate([g * (1 - p), g * p]).reshape(2, -1)
            g = np.concatenate([g[0], g[1]])
            if len(g) > 64 * scale:
                break
        s = mpmath.mpf(sign.numerator) / sign.denominator
        law_of_x = np.concatenate([(g * s)[::-1], g * (1 - s)])  # ~g is -1 - g
        for shift in (1, 2, int(scale)):
            factor = mpmath.exp(shift / mpmath.mpf(scale))
            excess = law_of_x[shift:] - factor * law_of_x[:-shift]
            total = sum(x for x in excess if x > 0)
            assert total <= (1 + factor) * law.distance
            assert sum(x for x in law_of_x[shift:] - factor * (1 - 1e-9) * law_of_x[:-shift] if x > 0) > law.distance


# ---- The page ----


def rows(heading):
    """Cells of the table that follows a heading."""
    text = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


needs_page = pytest.mark.skipif(not PAGE.is_file(), reason="no docs beside the tests")


@needs_page
def test_table_of_budgets():
    table = rows("What it comes to")
    assert len(table) == 10
    for mechanism, size, grid, lost, scale, distance, total in table:
        budget = secure_budget(1.0, 1.1, round(float(size)), mechanism=mechanism.lower())
        assert budget.grid == 2.0 ** int(grid.removeprefix("2^"))
        got = (1 - budget.bounds[0], budget.scale, budget.distance, budget.delta_sampler)
        for shown, value in zip((lost, scale, distance, total), got, strict=True):
            assert float(shown) == pytest.approx(value, rel=0.06)


@needs_page
def test_tests_that_the_page_names_exist():
    text, folder = PAGE.read_text(encoding="utf-8"), Path(__file__).parent
    names = re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)
    assert len(names) >= 10
    for file, name in names:
        assert f"def {name}(" in (folder / file).read_text(encoding="utf-8"), name
    assert "(docs/privacy-secure.md)" in (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")


@needs_page
def test_example_of_the_page():
    """The worked training: its total and its share of delta."""
    text = PAGE.read_text(encoding="utf-8")
    one = secure_budget(1.0, 1.1, 10**6).delta_sampler
    total = 10_000 * (1 + math.exp(1.0)) * one
    assert f"{total:.1e}".replace("e-0", "e-") in text
    assert total < 1e-5 / 100
    assert f"{gaussian_sigma(1.0, 1.0, 1e-5):.4f}" in text
