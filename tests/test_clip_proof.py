"""The bound of clipping, in exact arithmetic: a million rows made to break it, and rows that do."""

from fractions import Fraction

import numpy as np
import pytest
from proofs import clip as proof

from fastloss.privacy import clip_and_sum

FAMILIES = [name for name in proof.FAMILIES if name != "brain"]


def check(counts, rows):
    assert sum(counter["rows"] for counter in counts.values()) >= rows
    for name, counter in counts.items():
        assert counter["above"] == 0, name
        assert counter["changed"] > 0.3 * counter["rows"], name
        assert counter["close"] > 0.02 * counter["rows"], name


def test_a_million_rows():
    check(proof.count(1_000_000, 1, FAMILIES), 1_000_000)


def test_bfloat16_rows():
    pytest.importorskip("ml_dtypes")
    check(proof.count(100_000, 2, ["brain"]), 100_000)


@pytest.mark.slow
def test_many_million_rows():
    pytest.importorskip("ml_dtypes")
    check(proof.count(30_000_000, 3), 30_000_000)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_verdict_is_that_of_rationals(name, norm):
    """On rows of which many are above their bound, or on it."""
    g = np.random.default_rng(4)
    x, bounds = proof.FAMILIES[name](g, np.dtype(g.choice(["float32", "float64"])), (30, 4, 5), norm)
    rows = x.reshape(-1, 5).astype(np.float64)
    rows[::7] = 0
    for limits in (bounds.repeat(4), np.minimum(proof.lengths(rows, norm), 1e308) + 5e-324):
        got, _ = proof.within(rows, limits, norm)
        for row, limit, answer in zip(rows, limits, got, strict=True):
            exact = [abs(Fraction(float(v))) for v in row]
            size, bound = (
                (sum(v * v for v in exact), Fraction(limit) ** 2) if norm == "l2" else (sum(exact), Fraction(limit))
            )
            assert answer == (size <= bound)


def test_clipping_in_float32_is_above_the_bound():
    """What is proved is not to be had by multiplying with C / norm."""
    x = np.random.default_rng(5).standard_normal((2000, 20)).astype(np.float32)
    norms = np.sqrt((x * x).sum(axis=1, keepdims=True))
    plain = x * (np.float32(1) / norms)
    good, _ = proof.within(plain, np.ones(2000), "l2")
    assert 0.4 < np.mean(~good) < 0.6


def one_batch(x, bounds, norm):
    return proof.as_blocks(x[None], bounds[:1], norm, "flat")[0]


@pytest.mark.parametrize("clip", [proof.as_layers, one_batch])
def test_a_bound_that_is_a_little_too_large_shows(clip):
    """Rows that are clipped to 1 + 2^-45 are found to be above 1: nothing is hidden in a tolerance."""
    x = np.random.default_rng(6).standard_normal((50, 20)) * 10
    good, _ = proof.within(clip(x, np.full(50, 1 + 2.0**-45), "l2"), np.ones(50), "l2")
    assert not good.any()
    good, _ = proof.within(clip(x, np.ones(50), "l2"), np.ones(50), "l2")
    assert good.all()


def test_an_infinite_sensitivity_is_said():
    result = clip_and_sum([np.ones((1, 2)), np.ones((1, 3))], [1.7e308, 1.7e308], norm="l1", mode="per_layer")
    assert result.sensitivity == np.inf
