"""Published attacks on floating-point noise, replayed against the fast path, where they succeed, and the secure one.

A game: a person's row is in the batch or not, by a coin; the attacker knows the row and sees what `clip_and_noise`
releases. Noise is so large that differential privacy leaves almost nothing to win. The attacker reduces a release to a
score, learns the best threshold and its direction from games whose coin is known, and then plays new ones. Seeds make
every game the same in every run; "chance" would hold for any other seed but one in 1e6.

Mironov 2012 (which doubles an inverse transform can yield), Haney et al. 2022 (precision; sums of Gaussians as well),
Jin et al. 2021 (the same on DP-SGD; its attack on time is in test_constant_time.py).
"""

import math

import mpmath
import numpy as np
import pytest
from scipy import stats

from fastloss import num_threads
from fastloss.privacy import NoiseGenerator, add_noise, clip_and_noise, clip_and_sum, gaussian_mechanism

# Games to learn from, games that count, and how often chance may pass for success.
LEARNT, PLAYED, RARE = 60, 120, 1e-6

# Noise is a power of two, as users choose it: what is added to 0 is then the noise itself.
GAUSSIAN = {"columns": 16_384, "bound": 1.0, "multiplier": 8.0, "mechanism": "gaussian"}
LAPLACE = {"columns": 160, "bound": 2.0**-10, "multiplier": 2.0**10, "mechanism": "laplace"}

BUDGET = (0.1, 0.015778)  # epsilon and delta of a standard deviation of 8 for a sensitivity of 1


@pytest.fixture(autouse=True)
def _one_thread():
    """Hundreds of small releases: a second thread would mostly wait."""
    with num_threads(1):
        yield


def row_of(setting):
    """A person's gradient, a little above the bound, and what clipping makes of it."""
    columns, bound = setting["columns"], setting["bound"]
    size = bound / columns if setting["mechanism"] == "laplace" else bound / math.sqrt(columns)
    row = np.full((1, columns), 1.1 * size)
    norm = "l1" if setting["mechanism"] == "laplace" else "l2"
    return row, float(clip_and_sum(row, bound, norm=norm).sum[0])


def releases(setting, seed, secure, make=clip_and_noise):
    """Pairs of (whether the row is in, what is released)."""
    row, _ = row_of(setting)
    coins, generator = np.random.default_rng(seed), NoiseGenerator(seed)
    for _ in range(LEARNT + PLAYED):
        inside = bool(coins.integers(2))
        batch = row if inside else row[:0]
        yield inside, make(
            batch, setting["bound"], setting["multiplier"], reduction="sum", mechanism=setting["mechanism"],
            rng=generator, secure=secure,
        )  # fmt: skip


def in_two_steps(batch, bound, multiplier, *, reduction, mechanism, rng, secure):
    norm = "l1" if mechanism == "laplace" else "l2"
    clipped = clip_and_sum(batch, bound, norm=norm, secure=secure)
    return add_noise(clipped, multiplier, reduction=reduction, mechanism=mechanism, rng=rng, secure=secure)


def wins(score, games):
    """How many of the games that count the attacker wins, by a threshold and direction that were learnt before."""
    played = [(inside, score(released)) for inside, released in games]
    truth, scores = np.array([p[0] for p in played]), np.array([p[1] for p in played], float)
    scores += np.random.default_rng(0).uniform(0, 1e-9, scores.size)  # ties are broken by chance
    best = max(
        ((np.mean((sign * scores[:LEARNT] >= t) == truth[:LEARNT]), sign, t)
         for sign in (1, -1) for t in sign * scores[:LEARNT]),
    )  # fmt: skip
    return int(((best[1] * scores[LEARNT:] >= best[2]) == truth[LEARNT:]).sum())


def allowed(setting):
    """The most that privacy lets anybody win, on average: (1 + total variation distance) / 2."""
    z = setting["multiplier"]
    distance = 1 - math.exp(-0.5 / z) if setting["mechanism"] == "laplace" else 2 * stats.norm.cdf(0.5 / z) - 1
    return (1 + distance) / 2


def assert_chance(won, setting):
    """Within what the best possible attack on ideal noise would win, but for one seed in 1e6."""
    least, most = stats.binom.isf([1 - RARE / 2, RARE / 2], PLAYED, [1 - allowed(setting), allowed(setting)])
    assert least <= won <= most, won


# ---- Precision (Haney et al. 2022; on DP-SGD, Jin et al. 2021) ----


def finer_than_a_sum(released, value):
    """How many results can't be value + anything: a small sum of larger numbers has no bits below theirs."""
    rest = released - value
    return int(((value + rest) != released).sum())


@pytest.mark.parametrize("make", [clip_and_noise, in_two_steps], ids=["one step", "two steps"])
@pytest.mark.parametrize("secure", [False, True], ids=["fast", "secure"])
def test_precision_of_gaussian_noise(secure, make):
    """Near 0, noise alone has low bits that the row's coordinate would have rounded off: no such result if it is in."""
    _, value = row_of(GAUSSIAN)
    won = wins(lambda y: finer_than_a_sum(y, value), releases(GAUSSIAN, 1, secure, make))
    if secure:
        assert_chance(won, GAUSSIAN)
    else:
        assert won >= 0.9 * PLAYED


def test_precision_of_the_mechanism():
    """Of values that somebody released with `gaussian_mechanism`: 0 or 2^-7 each."""

    def games(secure):
        coins, generator = np.random.default_rng(2), NoiseGenerator(2)
        for _ in range(LEARNT + PLAYED):
            inside = bool(coins.integers(2))
            values = np.full(GAUSSIAN["columns"], inside * 2.0**-7)
            yield inside, gaussian_mechanism(values, 1.0, *BUDGET, rng=generator, secure=secure)

    assert wins(lambda y: finer_than_a_sum(y, 2.0**-7), games(False)) >= 0.9 * PLAYED
    assert_chance(wins(lambda y: finer_than_a_sum(y, 2.0**-7), games(True)), GAUSSIAN)


def share_of_multiples(released, step):
    """Of the small results, the share that are multiples of a step."""
    small = np.abs(released) < 0.125
    return float((np.fmod(released[small], step) == 0).mean()) if small.any() else 0.5


def test_precision_of_a_sum_of_gaussians():
    """Four Gaussians added up and halved are no protection: the sum has the precision of its largest term, so small
    noise is a multiple of 2^-52 here, and noise plus a number with lower bits is not.
    """
    value = 0.0047
    assert 0.2 < math.fmod(value, 2.0**-52) * 2**52 < 0.8
    coins, generator = np.random.default_rng(3), NoiseGenerator(3)

    def games():
        for _ in range(LEARNT + PLAYED):
            inside = bool(coins.integers(2))
            noise = sum(generator.gaussian(4096, 16.0) for _ in range(4)) / 2
            yield inside, inside * value + noise

    assert wins(lambda y: share_of_multiples(y, 2.0**-52), games()) >= 0.95 * PLAYED


@pytest.mark.parametrize("setting", [GAUSSIAN | {"columns": 2048}, LAPLACE], ids=lambda s: s["mechanism"])
def test_low_bits_of_secure_results_say_nothing(setting):
    """The attack on precision as it would be made on a grid: the result's last bits against the row's."""
    row, _ = row_of(setting)
    clipped = clip_and_sum(row, setting["bound"], norm="l1" if setting["mechanism"] == "laplace" else "l2", secure=True)

    def score(released, modulus):
        angle = 2 * np.pi / modulus * (released / clipped.grid % modulus)
        shift = 2 * np.pi / modulus * (clipped.steps % modulus)
        return float((np.cos(angle - shift) - np.cos(angle)).sum())

    games = list(releases(setting, 4, True))
    for modulus in (2, 3, 16, 1000):
        assert_chance(wins(lambda y, m=modulus: score(y, m), games), setting)
    # It can succeed: against noise of a few steps it does.
    weak = NoiseGenerator(5)
    coins = np.random.default_rng(5)
    some = [bool(c) for c in coins.integers(2, size=LEARNT + PLAYED)]
    near = [(i, (i * clipped.steps + weak.discrete_gaussian(row.size, 3.0)) * clipped.grid) for i in some]
    assert wins(lambda y: score(y, 16), near) >= 0.95 * PLAYED


# ---- Holes (Mironov 2012) ----


def holes(released):
    """How many results in (0.36, 0.49) no logarithm of k / 2^53 comes within one unit in the last place of."""
    found = 0
    with mpmath.workprec(120):
        for y in np.abs(released):
            if 0.36 < y < 0.49:
                k = int(mpmath.nint(mpmath.exp(-mpmath.mpf(float(y))) * 2**53))
                found += all(abs(mpmath.log(mpmath.mpf(j) / 2**53) + float(y)) > 2.0**-54 for j in (k - 1, k, k + 1))
    return found


@pytest.mark.parametrize("secure", [False, True], ids=["fast", "secure"])
def test_holes_of_laplace_noise(secure):
    """-log u takes a third of the doubles between 0.36 and 0.49 alone; with a number added it takes others."""
    games = list(releases(LAPLACE, 6, secure))
    won = wins(holes, games)
    if secure:
        assert_chance(won, LAPLACE)
    else:
        assert won >= 0.9 * PLAYED
        assert not any(holes(y) for inside, y in games[:50] if not inside)


# ---- Why nothing of the kind can succeed ----


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
def test_a_secure_result_is_a_shift_of_its_noise(mechanism, norm):
    """With the same noise, neighbours' results differ by the row on the grid: no result is rounded by the data, the
    possible results are the same, and what the difference tells is what the mechanism's proof accounts for.
    """
    if mechanism == "laplace" and norm == "l2":
        norm = "l1"
    grads = np.random.default_rng(7).standard_normal((20, 5000))
    options = {"reduction": "sum", "mechanism": mechanism, "norm": norm, "rng": 8}
    grid = clip_and_sum(grads, 3.0, norm=norm, secure=True).grid
    without, row = grads[:-1], clip_and_sum(grads[-1:], 3.0, norm=norm, secure=True).steps
    for multiplier in (0.3, 16.0):
        steps = [clip_and_noise(g, 3.0, multiplier, secure=True, **options) / grid for g in (grads, without)]
        for x in steps:
            np.testing.assert_array_equal(x, np.rint(x))
        np.testing.assert_array_equal(steps[0] - steps[1], row)
        # Not so in floating point.
        fast = [clip_and_noise(g, 3.0, multiplier, **options) for g in (grads, without)]
        plain = clip_and_sum(grads[-1:], 3.0, norm=norm).sum
        assert ((fast[0] - fast[1]) != plain).mean() > 0.5
