"""The (epsilon, delta) audit of clip_and_noise, and what planted errors do to it; the auditor itself."""

import math
import sys

import numpy as np
import pytest
from proofs import audit as proof
from scipy import stats

from fastloss.privacy import NoiseGenerator, clip_and_noise, gaussian_sigma, laplace_mechanism
from fastloss.privacy.auditing import audit

BATCH, NEIGHBOUR = np.zeros((2, 3)), np.array([[0.0, 0, 0], [0, 0, 0], [30, 40, 0]])


@pytest.mark.parametrize("setting", proof.SETTINGS, ids=lambda setting: setting.name)
def test_what_is_claimed_holds(setting):
    """And not by far: the attack that finds errors sees a good part of what is given away by design."""
    found = setting.audit(1200, 1, 0.99)
    assert 0.25 * setting.epsilon < found.epsilon <= setting.epsilon


@pytest.mark.parametrize("setting", proof.SETTINGS, ids=lambda setting: setting.name)
def test_errors_are_found(setting):
    for error in setting.errors:
        assert setting.audit(800, 1, 0.99, error).epsilon > setting.epsilon, error


@pytest.mark.slow
@pytest.mark.parametrize("setting", proof.SETTINGS, ids=lambda setting: setting.name)
def test_what_is_claimed_holds_at_length(setting):
    found = setting.audit(30_000, None, 0.9999)
    assert 0.7 * setting.epsilon < found.epsilon <= setting.epsilon


def test_other_errors_are_found():
    """The same noise in every call; noise on the mean by the size of the sample; a row that is not finite passes."""
    claim = {"delta": 0.1, "trials": 1000}
    multiplier, generator = gaussian_sigma(1.0, 1.0, 0.1), NoiseGenerator(1)
    again = audit(lambda g: clip_and_noise(g, 1.0, multiplier, reduction="sum", rng=1), BATCH, NEIGHBOUR, **claim)
    assert again.epsilon > 4

    def by_own_size(grads):
        return clip_and_noise(grads, 1.0, multiplier, expected_batch_size=len(grads), rng=generator)

    ones = np.tile([3.0, 4.0, 0.0], (2, 1))
    assert audit(by_own_size, ones, np.concatenate([ones, -ones[:1]]), **claim).epsilon > 1

    def passes_infinities(grads):
        bad = ~np.isfinite(grads).all(axis=1)
        return clip_and_noise(grads, 1.0, multiplier, reduction="sum", rng=generator) + 100 * bad.sum()

    infinite = np.concatenate([BATCH, [[np.inf, 0, 0]]])
    assert audit(passes_infinities, BATCH, infinite, **claim).epsilon > 1


# ---- The auditor ----


def test_the_bound_is_clopper_pearsons():
    generator = NoiseGenerator(2)
    found = audit(lambda x: laplace_mechanism([x], 1.0, 1.0, rng=generator), 0.0, 1.0, trials=2000, confidence=0.95)
    assert found.trials == 1000
    p = stats.binomtest(found.inside, found.trials).proportion_ci(0.95, "exact").low
    q = stats.binomtest(found.outside, found.trials).proportion_ci(0.95, "exact").high
    assert found.epsilon == pytest.approx(math.log(p / q), rel=1e-9)
    assert found.likelier in ("batch", "neighbour")
    assert found.event.startswith("statistic ")


def test_wrong_bounds_are_as_rare_as_said():
    """Of audits of an exact mechanism, of 60 % confidence: some are wrong."""
    generator = np.random.default_rng(3)

    def coin(x):  # randomised response with epsilon = 1
        return float((generator.random() < 1 / (1 + math.e)) != x)

    wrong = [audit(coin, 0.0, 1.0, trials=200, confidence=0.6).epsilon > 1 for _ in range(100)]
    assert 0 < np.mean(wrong) < 0.4
    assert 0.8 < audit(coin, 0.0, 1.0, trials=20_000).epsilon < 1


def test_nothing_is_found_where_nothing_differs():
    generator = NoiseGenerator(4)
    for function in (lambda _: generator.gaussian(3), lambda _: 0.0, lambda _: {"a": np.zeros(2), "b": []}):
        assert audit(function, 0, 1, trials=500).epsilon == 0


def test_without_noise_all_is_found():
    found = audit(lambda x: [np.array([1.0, x]), np.zeros((2, 2))], 0.0, 1e-12, trials=500)
    assert (found.inside, found.outside, found.trials) == (250, 0, 250)
    assert found.epsilon == pytest.approx(math.log(0.005 ** (1 / 250) / (1 - 0.005 ** (1 / 250))))


def test_a_statistic_of_ones_own():
    """Which of two numbers is the larger says nothing of a sum; and what a weighted sum cannot see."""
    generator = np.random.default_rng(5)

    def spread(x):
        return generator.normal(0, 1 + x, 4)

    assert audit(spread, 0.0, 2.0, trials=2000).epsilon < 3
    found = audit(spread, 0.0, 2.0, trials=2000, statistic=lambda result: float(np.abs(result).max()))
    assert found.epsilon > 3
    assert found.trials == 1400


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("mechanism", 1, TypeError), ("statistic", "mean", TypeError),
        ("delta", -0.1, ValueError), ("delta", 1.0, ValueError), ("delta", "0", TypeError),
        ("confidence", 0.0, ValueError), ("confidence", 1.0, ValueError), ("confidence", math.nan, ValueError),
        ("trials", 99, ValueError), ("trials", 1000.0, TypeError), ("trials", True, TypeError),
    ],
)  # fmt: skip
def test_bad_arguments(name, value, error):
    given = {"mechanism": float, "batch": 0.0, "neighbour": 1.0} | {name: value}
    with pytest.raises(error, match=name):
        audit(**given)


def test_bad_results():
    for mechanism, text in ((lambda x: math.nan, "NaN or inf"), (lambda x: np.zeros(1 + int(x)), "2 numbers after 1")):
        with pytest.raises(ValueError, match=f"mechanism gave .*{text}"):
            audit(mechanism, 0.0, 1.0)
    with pytest.raises(ValueError, match="statistic gave a NaN"):
        audit(float, 0.0, 1.0, statistic=lambda _: math.inf)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"fastloss\[privacy\]"):
        audit(float, 0.0, 1.0, trials=100)
