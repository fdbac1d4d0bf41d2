"""Accounting by dp-accounting: published values, exact special cases, monotone, never overspending, little memory."""

import itertools
import math
import sys
import tracemalloc

import numpy as np
import pytest

from fastloss.privacy import _gaussian, accounting, gaussian_sigma
from fastloss.privacy.accounting import epsilon, noise_multiplier

MNIST = 256 / 60_000


@pytest.fixture
def package():
    return pytest.importorskip("dp_accounting")


# (noise multiplier, delta, sampling rate, steps), and epsilon as published, by the moments accountant: Abadi et al.
# 2016 (the first), and the MNIST tutorial of TensorFlow Privacy. Then what the two accountants say.
PUBLISHED = [
    ((4.0, 1e-5, 0.01, 10_000), 1.26, 1.0366, 0.9471),
    ((1.3, 1e-5, MNIST, 15 * 60_000 // 256), 1.19, 0.9595, 0.8647),
    ((1.1, 1e-5, MNIST, 60 * 60_000 // 256), 3.01, 2.5971, 2.3840),
    ((0.7, 1e-5, MNIST, 45 * 60_000 // 256), 7.10, 6.3732, 5.6430),
]


@pytest.mark.parametrize(("training", "published", "rdp", "pld"), PUBLISHED)
def test_published_values(package, training, published, rdp, pld):
    by_rdp, by_pld = (epsilon(*training, accountant=name) for name in ("rdp", "pld"))
    assert 0.7 * published < by_pld < by_rdp < published
    assert by_rdp == pytest.approx(rdp, rel=1e-3)
    assert by_pld == pytest.approx(pld, rel=1e-3)


def exact_delta(sigma, rate, eps):
    """Of one sampled step, with a sample added or removed, from the densities, whichever is larger."""

    def tail(x):
        return math.erfc(x / math.sqrt(2)) / 2

    def beyond(excess):  # where the likelihood ratio 1 - q + q e^((2x - 1) / 2 sigma^2) is 1 - q + excess
        return sigma**2 * math.log(excess / rate) + 0.5

    x = beyond(math.expm1(eps) + rate)
    mixture = (1 - rate) * tail(x / sigma) + rate * tail((x - 1) / sigma)
    removed = mixture - math.exp(eps) * tail(x / sigma)
    added = 0.0
    if math.expm1(-eps) + rate > 0:
        x = beyond(math.expm1(-eps) + rate)
        mixture = (1 - rate) * tail(-x / sigma) + rate * tail((1 - x) / sigma)
        added = tail(-x / sigma) - math.exp(eps) * mixture
    return max(removed, added)


@pytest.mark.parametrize("training", [(0.8, 1e-5, 0.1), (2.0, 1e-6, 0.7), (0.5, 1e-7, 1e-3)])
def test_one_step_is_exact(package, training):
    sigma, delta, rate = training
    eps = epsilon(sigma, delta, rate, 1)
    assert exact_delta(sigma, rate, eps) <= delta
    assert exact_delta(sigma, rate, eps * 0.995) > delta


@pytest.mark.parametrize("training", [(1.0, 1e-5, 1), (300.0, 1e-5, 1000), (50.0, 1e-8, 40)])
def test_without_sampling_it_is_one_gaussian(package, training):
    sigma, delta, steps = training
    eps = epsilon(sigma, delta, 1.0, steps)
    assert _gaussian.unit_delta(sigma / math.sqrt(steps), eps) <= delta
    assert _gaussian.unit_delta(sigma / math.sqrt(steps), eps * 0.998) > delta
    multiplier = noise_multiplier(eps, delta, 1.0, steps)
    assert 1 <= multiplier / gaussian_sigma(math.sqrt(steps), eps, delta) < 1.004


@pytest.mark.parametrize("accountant", ["rdp", "pld"])
def test_the_budget_is_never_overspent(package, accountant):
    for eps, delta, rate, steps in ((0.3, 1e-6, 0.02, 50), (2.0, 1e-5, 1.0, 7), (0.01, 1e-5, 1.0, 3)):
        multiplier = noise_multiplier(eps, delta, rate, steps, accountant=accountant)
        assert epsilon(multiplier, delta, rate, steps, accountant=accountant) <= eps
        assert epsilon(multiplier / 1.002, delta, rate, steps, accountant=accountant) > eps


@pytest.mark.parametrize("accountant", ["rdp", "pld"])
def test_epsilon_is_monotone(package, accountant):
    base = {"noise_multiplier": 0.9, "delta": 1e-6, "sampling_rate": 0.05, "steps": 20}
    changes = {
        "noise_multiplier": (0.9, 0.905, 1.3), "delta": (1e-6, 1.1e-6, 1e-4), "sampling_rate": (0.05, 0.049, 0.01),
        "steps": (20, 19, 4),
    }  # fmt: skip
    for name, values in changes.items():
        costs = [epsilon(**base | {name: value}, accountant=accountant) for value in values]
        assert all(a > b for a, b in itertools.pairwise(costs)), name


def test_multiplier_is_monotone(package):
    budgets = np.geomspace(0.05, 20, 6)
    multipliers = [noise_multiplier(float(eps), 1e-5, 1.0, 10) for eps in budgets]
    assert multipliers == sorted(multipliers, reverse=True)
    assert len(set(multipliers)) == len(multipliers)


def test_memory_is_bounded_at_a_small_epsilon(package):
    """A fixed interval fine enough for 0.01 would need gigabytes at the small multipliers that a search may try."""
    accounting._epsilon.cache_clear()
    tracemalloc.start()
    try:
        multiplier = noise_multiplier(0.01, 1e-5, 1.0, 50)
        epsilon(0.05, 1e-5, 0.01, 2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert epsilon(multiplier, 1e-5, 1.0, 50) <= 0.01
    assert peak < 64e6


@pytest.mark.slow
@pytest.mark.parametrize("accountant", ["rdp", "pld"])
def test_a_grid_of_budgets(package, accountant):
    """Never overspending, never more noise than needed, monotone, and in little memory, seen by the system."""
    from proofs import accounting as proof

    before = proof.memory()
    grid = proof.cases(accountant)
    for case in grid:
        assert case.spent <= case.budget < case.next, case
    assert proof.out_of_order(grid) == 0
    assert proof.memory() - before < 100


def test_ends(package):
    assert epsilon(0.0, 1e-5, 0.01, 10) == math.inf
    assert epsilon(1e-5, 1e-5, 0.01, 10) == math.inf
    # Too small a delta for Fourier transforms: RDP's.
    assert epsilon(2.0, 1e-12, 1.0, 5) == epsilon(2.0, 1e-12, 1.0, 5, accountant="rdp")
    with pytest.raises(ValueError, match=r"epsilon = 1e-12 needs .* above 2\*\*30"):
        noise_multiplier(1e-12, 1e-15, 1.0, 10**6)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    accounting._epsilon.cache_clear()
    for call in (lambda: epsilon(1.0, 1e-5, 0.1, 1), lambda: noise_multiplier(1.0, 1e-5, 0.1, 1)):
        with pytest.raises(ImportError, match=r"fastloss\[privacy\]"):
            call()


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("delta", 0.0, ValueError), ("delta", 1.0, ValueError), ("delta", math.nan, ValueError),
        ("sampling_rate", 0.0, ValueError), ("sampling_rate", 1.1, ValueError), ("sampling_rate", "1", TypeError),
        ("steps", 0, ValueError), ("steps", -1, ValueError), ("steps", 1.0, TypeError), ("steps", True, TypeError),
        ("accountant", "moments", ValueError),
    ],
)  # fmt: skip
def test_bad_arguments(name, value, error):
    arguments = {"delta": 1e-5, "sampling_rate": 0.1, "steps": 3} | {name: value}
    with pytest.raises(error, match=name):
        epsilon(1.0, **arguments)
    with pytest.raises(error, match=name):
        noise_multiplier(1.0, **arguments)


def test_bad_noise_and_budget():
    for value in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="noise_multiplier"):
            epsilon(value, 1e-5, 0.1, 3)
    for value in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="epsilon"):
            noise_multiplier(value, 1e-5, 0.1, 3)
