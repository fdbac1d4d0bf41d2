"""Calibration: the promise is kept by the very number returned, the documents' numbers, and the choice of mechanism."""

import math
import warnings

import mpmath as mp
import numpy as np
import pytest

from fastloss.privacy import (
    NoiseGenerator,
    compare_mechanisms,
    error_bound,
    gaussian_sigma,
    laplace_scale,
)
from fastloss.reference import calibration as reference

EPSILONS = (1e-6, 1e-4, 0.01, 0.3, 0.999, 1.0, 2.0, 10.0, 77.7, 1e3)
DELTAS = (1e-300, 1e-100, 1e-30, 1e-12, 1e-6, 1e-5, 1e-3, 0.1, 0.5, 0.999, 1 - 1e-13)


def exact_delta(sigma, sensitivity, epsilon):
    """Balle and Wang's formula as it stands; a hundred digits, of which the differences lose less than forty."""
    with mp.workdps(100):
        m, e = mp.mpf(sensitivity) / mp.mpf(sigma), mp.mpf(epsilon)

        def tail(x):
            return mp.erfc(x / mp.sqrt(2)) / 2

        return tail(e / m - m / 2) - mp.exp(e) * tail(e / m + m / 2)


# ---- sigma ----


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_sigma_is_the_smallest_that_keeps_the_promise(epsilon):
    for delta in DELTAS:
        sigma = gaussian_sigma(1.0, epsilon, delta)
        assert exact_delta(sigma, 1, epsilon) <= delta, delta
        assert exact_delta(math.nextafter(sigma, 0), 1, epsilon) > delta, delta


@pytest.mark.parametrize("sensitivity", [1e-200, 0.1, math.sqrt(8), 3.0, 1e200])
def test_sigma_keeps_the_promise_at_any_sensitivity(sensitivity):
    for epsilon, delta in ((1e-6, 1e-300), (0.01, 1e-5), (1.0, 1e-5), (2.0, 1e-6), (50.0, 1e-9), (1e3, 0.5)):
        sigma = gaussian_sigma(sensitivity, epsilon, delta)
        assert exact_delta(sigma, sensitivity, epsilon) <= delta
        assert exact_delta(sigma * (1 - 2.0**-50), sensitivity, epsilon) > delta


def test_sigma_at_random_budgets():
    g = np.random.default_rng(1)
    for _ in range(150):
        epsilon, delta = float(10 ** g.uniform(-6, 3)), float(10 ** g.uniform(-20, -0.3))
        sigma = gaussian_sigma(1.0, epsilon, delta)
        assert exact_delta(sigma, 1, epsilon) <= delta
        assert exact_delta(math.nextafter(sigma, 0), 1, epsilon) > delta


@pytest.mark.filterwarnings("ignore:the classical formula")
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_classical_sigma_keeps_the_promise(epsilon):
    for delta in DELTAS:
        sigma = gaussian_sigma(1.0, epsilon, delta, method="classical")
        assert exact_delta(sigma, 1, epsilon) <= delta
        formula = math.sqrt(2 * math.log(1.25 / delta)) / epsilon
        if epsilon < 1:
            assert sigma == pytest.approx(formula, rel=1e-15)
        assert sigma >= formula * (1 - 1e-15)


@pytest.mark.parametrize(
    ("sensitivity", "epsilon", "delta", "classical", "analytic"),
    [
        (1.0, 1.0, 1e-5, 4.8448053, 3.7306316),
        (1.0, 2.0, 1e-6, 2.6494013, 2.2304763),
        (math.sqrt(8), 2.0, 1e-6, 7.493642, 6.308738),
    ],
)
def test_documented_sigmas(sensitivity, epsilon, delta, classical, analytic):
    assert gaussian_sigma(sensitivity, epsilon, delta) == pytest.approx(analytic, abs=2e-6)
    with pytest.warns(UserWarning, match="epsilon < 1"):
        assert gaussian_sigma(sensitivity, epsilon, delta, method="classical") == pytest.approx(classical, abs=5e-6)


def test_classical_warns_from_one_on():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gaussian_sigma(1.0, 0.999, 1e-5, method="classical")
        gaussian_sigma(1.0, 5.0, 1e-5)
    with pytest.warns(UserWarning, match="needs less noise") as caught:
        gaussian_sigma(1.0, 1.0, 1e-5, method="classical")
    assert caught[0].filename == __file__
    # At epsilon = 10 the formula gives 0.484, whose delta is 6e-5.
    with pytest.warns(UserWarning, match=r"0\.484\d+ .* is too small: the analytic 0\.4998\d+ is taken"):
        assert gaussian_sigma(1.0, 10.0, 1e-5, method="classical") == gaussian_sigma(1.0, 10.0, 1e-5)


def test_sigma_falls_with_epsilon_and_delta():
    for delta in DELTAS:
        sigmas = [gaussian_sigma(1.0, epsilon, delta) for epsilon in EPSILONS]
        assert sigmas == sorted(sigmas, reverse=True)
    for epsilon in EPSILONS:
        sigmas = [gaussian_sigma(1.0, epsilon, delta) for delta in DELTAS]
        assert sigmas == sorted(sigmas, reverse=True)


def test_sigma_at_the_ends_of_float64():
    for epsilon, delta in ((1e-300, 1e-5), (1e300, 1e-5), (5.0, 5e-324), (1e-6, math.nextafter(1.0, 0))):
        sigma = gaussian_sigma(1.0, epsilon, delta)
        assert 0 < sigma < math.inf
    # As epsilon falls, sigma tends to that of the total variation distance alone, 2 Phi(1 / 2 sigma) - 1.
    assert math.erf(1 / (2 * math.sqrt(2) * gaussian_sigma(1.0, 1e-300, 0.1))) == pytest.approx(0.1, rel=1e-14)
    with pytest.raises(ValueError, match="beyond float64"):
        gaussian_sigma(1.0, 1e-323, 5e-324)
    with pytest.raises(ValueError, match="overflows"):
        gaussian_sigma(1e308, 0.01, 1e-5)


def test_sigma_is_what_the_definition_says():
    for epsilon in EPSILONS:
        for delta in DELTAS[:-2]:
            sigma = gaussian_sigma(2.5, epsilon, delta)
            assert reference.gaussian_delta(sigma, 2.5, epsilon) == pytest.approx(delta, rel=1e-11)
    assert reference.gaussian_sigma(2.0, 1.5, 1e-7) == pytest.approx(gaussian_sigma(2.0, 1.5, 1e-7), rel=1e-13)


# ---- Laplace ----


def test_laplace_scale_is_rounded_up():
    assert laplace_scale(1.0, 2.0) == 0.5
    g = np.random.default_rng(2)
    for _ in range(300):
        sensitivity, epsilon = (float(10**x) for x in g.uniform(-5, 5, 2))
        scale = laplace_scale(sensitivity, epsilon)
        with mp.workdps(60):
            assert mp.mpf(scale) * mp.mpf(epsilon) >= mp.mpf(sensitivity)
            assert mp.mpf(math.nextafter(scale, 0)) * mp.mpf(epsilon) < mp.mpf(sensitivity)
    assert laplace_scale(5e-324, 1e3) == 5e-324
    with pytest.raises(ValueError, match="overflows"):
        laplace_scale(1e300, 1e-300)


# ---- Which errs less ----


def test_documented_error_bounds():
    """The source document's page, and what is right."""
    seed = {"delta": 1e-6, "convention": "seed"}
    assert error_bound("laplace", 8, 2.0, **seed) == pytest.approx(14.7555, abs=5e-5)
    assert error_bound("gaussian", 8, 2.0, **seed) == pytest.approx(14.687, abs=5e-4)
    # 14.58 was a quantile of 10,000 draws, whose standard deviation is 0.14.
    density = 2 * math.exp(-(1.96**2) / 2) / math.sqrt(2 * math.pi) / 7.493642
    assert abs(14.58 - 14.687) < math.sqrt(0.95 * 0.05 / 10_000) / density
    assert error_bound("laplace", 8, 2.0) == pytest.approx(11.983, abs=5e-4)
    assert error_bound("laplace", 8, 2.0, confidence=0.975) == error_bound("laplace", 8, 2.0, convention="seed")


@pytest.mark.filterwarnings("ignore:the classical formula")
@pytest.mark.parametrize(
    ("keywords", "crossover"),
    [({}, 9), ({"calibration": "classical"}, 13), ({"convention": "seed"}, 8)],
)
def test_crossover_of_the_document(keywords, crossover):
    table = compare_mechanisms(range(1, 21), 2.0, 1e-6, **keywords)
    assert table.crossover == crossover == reference.crossover(2.0, 1e-6, **keywords)
    assert [row.winner for row in table.rows] == ["laplace"] * (crossover - 1) + ["gaussian"] * (21 - crossover)
    for row in table.rows:
        for mechanism in ("laplace", "gaussian"):
            bound = error_bound(mechanism, row.queries, 2.0, delta=1e-6, **keywords)
            assert getattr(row, mechanism) == bound
            want = reference.error_bound(mechanism, row.queries, 2.0, delta=1e-6, **keywords)
            assert bound == pytest.approx(want, rel=1e-12)
        assert row.laplace_scale == laplace_scale(row.queries, 2.0)
    assert [compare_mechanisms(k, 2.0, 1e-6, **keywords).winner for k in (crossover - 1, crossover)] == [
        "laplace", "gaussian",
    ]  # fmt: skip


def test_scales_of_the_comparison_keep_the_promise():
    unit = gaussian_sigma(1.0, 0.7, 1e-8)
    for row in compare_mechanisms(range(1, 200), 0.7, 1e-8, sensitivity=0.3).rows:
        with mp.workdps(60):
            size = mp.sqrt(row.queries) * mp.mpf(0.3)
            assert mp.mpf(row.gaussian_sigma) >= size * mp.mpf(unit)
            assert row.gaussian_sigma * (1 - 2.0**-50) < size * mp.mpf(unit)
            assert mp.mpf(row.laplace_scale) * mp.mpf(0.7) >= row.queries * mp.mpf(0.3)
            if row.queries < 4:
                assert exact_delta(row.gaussian_sigma, size, 0.7) <= 1e-8


def test_crossover_is_where_the_winner_changes():
    for epsilon in (0.01, 0.5, 3.0, 100.0):
        for delta in (1e-12, 1e-3, 0.5):
            for confidence in (0.1, 0.95, 0.999999):
                k = compare_mechanisms(1, epsilon, delta, confidence=confidence).crossover
                pair = compare_mechanisms([max(k - 1, 1), k], epsilon, delta, confidence=confidence).rows
                assert pair[1].winner == "gaussian"
                assert k == 1 or pair[0].winner == "laplace"


@pytest.mark.parametrize("confidence", [1e-12, 0.01, 0.3, 0.5, 0.95, 0.999999, 1 - 1e-15])
def test_quantiles(confidence):
    with mp.workdps(40):
        c = mp.mpf(confidence)
        gaussian = mp.sqrt(2) * mp.erfinv(c) * mp.mpf(gaussian_sigma(1.0, 1.0, 1e-5))
        laplace = -mp.log(1 - c)
    assert error_bound("gaussian", 1, 1.0, delta=1e-5, confidence=confidence) == pytest.approx(
        float(gaussian), rel=4e-15
    )
    assert error_bound("laplace", 1, 1.0, confidence=confidence) == pytest.approx(float(laplace), rel=1e-15)


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
def test_that_share_of_errors_is_within_the_bound(mechanism):
    bound = error_bound(mechanism, 3, 0.5, delta=1e-5, confidence=0.9, sensitivity=2.0)
    row = compare_mechanisms(3, 0.5, 1e-5, sensitivity=2.0).rows[0]
    scale = row.laplace_scale if mechanism == "laplace" else row.gaussian_sigma
    noise = getattr(NoiseGenerator(5), mechanism)(400_000, scale)
    share = float((np.abs(noise) <= bound).mean())
    assert abs(share - 0.9) < 5 * math.sqrt(0.09 / len(noise))


def test_table_is_shown():
    table = compare_mechanisms([1, 8, 9], 2.0, 1e-6)
    text, page = str(table), table._repr_html_()
    for part in ("11.98", "12.36", "below 9 queries", "gaussian"):
        assert part in text
        assert part in page
    assert page.count("<tr>") == 4
    assert "sensitivity 2.5 a query" in str(compare_mechanisms(2, 2.0, 1e-6, sensitivity=2.5))
    assert "any number" in str(compare_mechanisms(1, 2.0, 0.9, confidence=0.999))
    assert "source document" in str(compare_mechanisms(1, 2.0, 1e-6, convention="seed"))
    assert max(map(len, text.splitlines())) <= 80


# ---- Bad arguments ----

BAD = [
    ("epsilon", 0.0, ValueError), ("epsilon", -1.0, ValueError), ("epsilon", math.nan, ValueError),
    ("epsilon", math.inf, ValueError), ("epsilon", "1", TypeError), ("epsilon", True, TypeError),
    ("delta", 0.0, ValueError), ("delta", 1.0, ValueError), ("delta", -1e-5, ValueError),
    ("delta", math.nan, ValueError),
    ("sensitivity", 0.0, ValueError), ("sensitivity", -1.0, ValueError), ("sensitivity", math.inf, ValueError),
    ("sensitivity", math.nan, ValueError), ("sensitivity", [1.0], TypeError),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "error"), BAD)
def test_bad_budgets(name, value, error):
    arguments = {"sensitivity": 1.0, "epsilon": 1.0, "delta": 1e-5} | {name: value}
    with pytest.raises(error, match=name):
        gaussian_sigma(**arguments)
    with pytest.raises(error, match=name):
        error_bound("gaussian", 3, **arguments)
    with pytest.raises(error, match=name):
        compare_mechanisms(3, **arguments)
    if name != "delta":
        del arguments["delta"]
        with pytest.raises(error, match=name):
            laplace_scale(**arguments)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("queries", 0, ValueError), ("queries", -3, ValueError), ("queries", 2.0, TypeError),
        ("queries", True, TypeError),
        ("queries", 2**60, ValueError), ("confidence", 0.0, ValueError), ("confidence", 1.0, ValueError),
        ("calibration", "rdp", ValueError), ("convention", "page", ValueError),
    ],
)  # fmt: skip
def test_bad_comparisons(name, value, error):
    arguments = {"queries": 3, "epsilon": 1.0, "delta": 1e-5} | {name: value}
    with pytest.raises(error, match=name):
        error_bound("laplace", **arguments)
    with pytest.raises(error, match=name):
        compare_mechanisms(**arguments)


def test_other_bad_arguments():
    with pytest.raises(ValueError, match="mechanism = 'uniform'"):
        error_bound("uniform", 3, 1.0)
    with pytest.raises(ValueError, match="delta = None"):
        error_bound("gaussian", 3, 1.0)
    with pytest.raises(ValueError, match="method = 'exact'"):
        gaussian_sigma(1.0, 1.0, 1e-5, method="exact")
    with pytest.raises(ValueError, match="queries is empty"):
        compare_mechanisms([], 1.0, 1e-5)
    with pytest.raises(ValueError, match=r"queries\[1\] = 0"):
        compare_mechanisms([1, 0], 1.0, 1e-5)
