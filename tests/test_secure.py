"""Discrete noise against its exact probabilities, and the secure path: grid, exact sums, budget."""

import hashlib
import math
import os
import pickle
import subprocess
import sys
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from scipy import stats

import fastloss as fl
from fastloss import _core, num_threads
from fastloss.privacy import NoiseGenerator, clip_and_noise, clip_and_sum, sampler_delta, secure, secure_budget
from fastloss.privacy._discrete import law_of
from fastloss.reference import discrete

REALS = (np.float32, np.float64)
MECHANISMS = ("gaussian", "laplace")


def draw(generator, mechanism, shape, scale):
    return getattr(generator, f"discrete_{mechanism}")(shape, scale)


# ---- The laws, exactly ----


def exact_gaussian(s, values):
    total = mpmath.sqrt(2 * mpmath.pi) * s  # the integral, which is the sum to within exp(-2 pi^2 s^2)
    if s < 5:
        total = mpmath.nsum(lambda k: mpmath.exp(-(mpmath.mpf(k) ** 2) / (2 * s * s)), [-mpmath.inf, mpmath.inf])
    half = [mpmath.exp(-(mpmath.mpf(x) ** 2) / (2 * s * s)) / total for x in range(max(map(abs, values)) + 1)]
    return [half[abs(x)] for x in values]


def distance_of_gaussian(law, scale):
    """Total variation distance of what the sampler yields, every probability an integer over a power of two."""
    smallest, weights, d = discrete.gaussian_weights(law.limits, law.inner_bits, law.outer_bits)
    assert sum(weights) == 2**d
    ideal = exact_gaussian(mpmath.mpf(scale), range(smallest, smallest + len(weights)))
    gap = sum(abs(p - mpmath.mpf(int(w)) / mpmath.mpf(2) ** d) for p, w in zip(ideal, weights, strict=True))
    return (gap + 1 - sum(ideal)) / 2


@pytest.mark.parametrize("scale", [0.05, 0.3, 1.0, 3.7, 15.99, 16.0, 40.0])
def test_discrete_gaussian_is_exact_to_the_stated_distance(scale):
    with mpmath.workprec(120):
        law = law_of("gaussian", scale)
        assert distance_of_gaussian(law, scale) <= law.distance < 4e-18


@pytest.mark.parametrize(
    "scale", [256.0, pytest.param(2047.0, marks=pytest.mark.slow), pytest.param(5000.25, marks=pytest.mark.slow)]
)
def test_discrete_gaussian_of_two_sums(scale):
    with mpmath.workprec(120):
        law = law_of("gaussian", scale)
        assert law.outer_bits > 0
        assert distance_of_gaussian(law, scale) <= law.distance < 4e-18


def test_without_the_deconvolution_the_distance_is_large():
    """The test above can fail: a table that is a plain Gaussian of the right variance is 1e-6 off."""
    with mpmath.workprec(120):
        law = law_of("gaussian", 17.0)
        # 16 uniforms below 2 have a variance of 4, 1 in steps of the table, whose scale is 8.5 with them.
        table = exact_gaussian(mpmath.sqrt(mpmath.mpf(8.5) ** 2 - 1), range(len(law.limits)))
        ends = np.cumsum([float(p) * (1 if k == 0 else 2) for k, p in enumerate(table)])
        limits = np.minimum(ends * 2.0**63, 2.0**63 - 1024).astype(np.int64)
        plain = type(law)(False, limits, law.inner_bits, law.outer_bits, 0.0)
        assert distance_of_gaussian(plain, 17.0) > 1e-7


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0, 3.7, 50.0])
def test_discrete_laplace_is_exact_to_the_stated_distance(scale):
    with mpmath.workprec(120):
        law = law_of("laplace", scale)
        sign, *bits = [mpmath.mpf(int(limit)) / mpmath.mpf(2) ** 63 for limit in law.limits]
        geometric = [mpmath.mpf(1)]
        for p in bits:
            geometric = [g * (1 - p) for g in geometric] + [g * p for g in geometric]
        geometric = [sum(geometric[i :: 2 ** len(bits)]) for i in range(2 ** len(bits))]
        q = mpmath.exp(-1 / mpmath.mpf(scale))
        gap = mpmath.mpf(0)
        for g, p in enumerate(geometric):
            gap += abs(p * (1 - sign) - (1 - q) / (1 + q) * q**g) + abs(p * sign - (1 - q) / (1 + q) * q ** (g + 1))
        assert (gap + q ** len(geometric)) / 2 <= law.distance < 5e-18


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_distance_holds_for_all_scales(mechanism):
    largest = 2.0**39 if mechanism == "gaussian" else 2.0**49
    for scale in [5e-324, 1e-3, 7.99, 8.0, 255.9, 256.0, 1e6, largest]:
        assert sampler_delta(1, scale, mechanism=mechanism) < (4e-18 if mechanism == "gaussian" else 5e-18)
    assert sampler_delta(0, 1.0) == sampler_delta(10, 0.0) == 0.0


@pytest.mark.parametrize(("mechanism", "scale"), [("gaussian", 2.5), ("gaussian", 37.0), ("laplace", 4.0)])
def test_frequencies(mechanism, scale):
    x = draw(NoiseGenerator(5), mechanism, 400_000, scale)
    spread = int(4 * scale)
    with mpmath.workprec(60):
        if mechanism == "gaussian":
            ideal = [float(p) for p in exact_gaussian(mpmath.mpf(scale), range(-spread, spread + 1))]
        else:
            q = math.exp(-1 / scale)
            ideal = [(1 - q) / (1 + q) * q ** abs(k) for k in range(-spread, spread + 1)]
    counts = np.array([(x == k).sum() for k in range(-spread, spread + 1)])
    observed, expected = [*counts, x.size - counts.sum()], np.array([*ideal, 1 - sum(ideal)]) * x.size
    assert stats.chisquare(observed, expected).pvalue > 1e-4


@pytest.mark.parametrize("scale", [1e5, 2.0**30])
def test_large_scales_are_normal(scale):
    x = NoiseGenerator(6).discrete_gaussian(1_000_000, scale) / scale
    assert stats.kstest(x, stats.norm.cdf).pvalue > 1e-4
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 5e-3


# ---- Values as a function of key, scale and index ----


@pytest.mark.parametrize(
    ("mechanism", "scale"),
    [
        *[("gaussian", s) for s in (0.3, 9.0, 20.0, 300.0, 1e6, 2.0**22, 2.0**39)],
        *[("laplace", s) for s in (0.3, 1e3, 2.0**49)],
    ],
)
def test_native_values_are_the_twins(mechanism, scale):
    whole = draw(NoiseGenerator(7), mechanism, 3000, scale)
    assert whole.dtype == np.int64
    with fl.backend("reference"):
        np.testing.assert_array_equal(draw(NoiseGenerator(7), mechanism, (3, 1000), scale).reshape(-1), whole)
    for threads in (1, 2, 3):
        with num_threads(threads):
            generator = NoiseGenerator(7)
            parts = [draw(generator, mechanism, n, scale) for n in (1, 0, 255, 257, 1024, 1463)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_threads_share_out_many_values():
    results = set()
    for threads in (1, 2, 3, 8):
        with num_threads(threads):
            results.add(hashlib.sha256(NoiseGenerator(8).discrete_gaussian(200_001, 1e6).tobytes()).hexdigest())
    assert len(results) == 1


def test_instruction_sets_give_the_same_integers():
    """All of them: there is no floating point in it."""
    program = (
        "import hashlib\nfrom fastloss.privacy import NoiseGenerator\ng = NoiseGenerator(9)\n"
        "x = [g.discrete_gaussian(5000, s).tobytes() for s in (3.0, 50.0, 1e6, 2.0**39)]\n"
        "x.append(g.discrete_laplace(5000, 1e6).tobytes())\nprint(hashlib.sha256(b''.join(x)).hexdigest())\n"
    )
    digests = set()
    for isa, (compiled, supported) in _core.isa_names().items():
        if compiled and supported:
            environment = {**os.environ, "FASTLOSS_ISA": isa}
            run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
            digests.add(run.stdout)
    assert len(digests) == 1


def test_generator_counts_and_copies():
    generator = NoiseGenerator(10)
    generator.discrete_gaussian(100, 3.0)
    assert generator.discrete_laplace(5, 2.0).tolist() == NoiseGenerator(10).discrete_laplace(5, 2.0).tolist()
    copied = pickle.loads(pickle.dumps(generator))
    assert copied.discrete_gaussian(9, 4.0).tolist() == generator.discrete_gaussian(9, 4.0).tolist()
    assert not NoiseGenerator().discrete_gaussian((3, 4), 0.0).any()
    assert NoiseGenerator().discrete_laplace((), 1.0).shape == ()


@pytest.mark.parametrize(
    ("shape", "scale", "error"),
    [
        (3, -1.0, ValueError),
        (3, math.nan, ValueError),
        (3, 2.0**50, ValueError),
        (-1, 1.0, ValueError),
        (1.5, 1.0, TypeError),
    ],
)
def test_bad_arguments_of_samplers(shape, scale, error):
    for mechanism in MECHANISMS:
        with pytest.raises(error, match=r"scale|shape"):
            draw(NoiseGenerator(1), mechanism, shape, scale)


# ---- The secure path of clip_and_noise ----


def test_rounded_rows_keep_the_bound_exactly():
    """In rational arithmetic, rows near the bound and far from it."""
    g = np.random.default_rng(1)
    for trial in range(300):
        real, norm = REALS[trial % 2], ("l2", "l1")[trial // 2 % 2]
        row = (g.standard_normal(int(g.integers(1, 60))) * 10.0 ** g.integers(-3, 3)).astype(real)
        length = float(np.linalg.norm(row.astype(np.float64), 2 if norm == "l2" else 1))
        bound = length * [1.0, 0.3, 1 + 1e-4, 1 - 1e-4][trial % 4]
        got = clip_and_noise(row[None].astype(np.float64), bound, 0.0, reduction="sum", norm=norm, secure=True)
        exact = [abs(Fraction(float(x))) for x in got]
        assert (sum(x * x for x in exact) <= Fraction(bound) ** 2) if norm == "l2" else sum(exact) <= Fraction(bound)
        budget = secure_budget(bound, 0.0, row.size, norm=norm)
        assert budget.bounds[0] >= bound * (1 - 2.0**-9)
        np.testing.assert_array_equal(got, np.rint(got / budget.grid) * budget.grid)
        np.testing.assert_allclose(
            got, clip_and_sum(row[None].astype(np.float64), bound, norm=norm).sum, atol=bound / 500
        )


@pytest.mark.parametrize("shape", [(40, 7), (300, 50), (9, 6000)])
@pytest.mark.parametrize("mode", ["flat", "automatic"])
def test_order_and_threads_do_not_matter(shape, mode):
    """Not even in the last bit, unlike sums in floating point."""
    grads = np.random.default_rng(2).standard_normal(shape)
    results = set()
    for threads in (1, 3):
        for order in (slice(None), slice(None, None, -1)):
            with num_threads(threads):
                x = clip_and_noise(grads[order], 2.0, 0.5, expected_batch_size=10, mode=mode, rng=4, secure=True)
            results.add(x.tobytes())
    assert len(results) == 1


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("real", REALS)
def test_secure_result_is_sum_plus_integer_noise(real, mechanism):
    grads = [np.random.default_rng(3).standard_normal((30, *shape)).astype(real) for shape in ((20, 3), (17,), ())]
    options = {"reduction": "sum", "mechanism": mechanism, "secure": True}
    clean = clip_and_noise(grads, 3.0, 0.0, **options)
    noised = clip_and_noise(grads, 3.0, 0.7, **options, rng=11)
    budget = secure_budget(3.0, 0.7, 78, mechanism=mechanism)
    noise = draw(NoiseGenerator(11), mechanism, 78, budget.scale) * budget.grid
    assert 0.7 * 3.0 < budget.scale * budget.grid < 2.1 * (1 + 1e-13)  # 1/12 of a step's square on top
    flat = lambda arrays: np.concatenate([a.reshape(-1) for a in arrays])  # noqa: E731
    np.testing.assert_allclose(flat(noised), flat(clean) + noise, atol=2 * 2.0**-9 if real == np.float32 else 1e-2)
    for name in ("check", "reference"):
        with fl.backend(name):
            other = clip_and_noise(grads, 3.0, 0.7, **options, rng=11)
        np.testing.assert_allclose(flat(other), flat(noised), atol=31 * budget.grid + 1e-6)


def test_per_layer_and_nonfinite_rows():
    grads = [np.random.default_rng(4).standard_normal((8, 5)), np.random.default_rng(5).standard_normal((8, 9))]
    grads[1][3, 2] = np.nan
    got = clip_and_noise(grads, [1.0, 0.5], 0.0, reduction="sum", mode="per_layer", secure=True)
    want = clip_and_sum(grads, [1.0, 0.5], mode="per_layer").sum
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, atol=0.01)
    with pytest.raises(ValueError, match=r"grads\[1\]\[3, 2\] = nan"):
        clip_and_noise(grads, 1.0, 0.0, reduction="sum", secure=True, nonfinite="raise")
    empty = clip_and_noise(np.empty((0, 4)), 1.0, 1.0, reduction="sum", secure=True, rng=1)
    assert empty.shape == (4,)
    assert empty.any()
    assert clip_and_noise(np.empty((3, 0)), 1.0, 1.0, reduction="sum", secure=True).shape == (0,)


def test_neighbouring_results_have_one_support():
    """Mironov's attack: which doubles can occur must not depend on the data. In floating point it does."""
    grads = np.array([[0.3], [0.6123]])

    def results(rows, hardened):
        options = {"reduction": "sum", "rng": 5, "secure": hardened}
        return np.concatenate([clip_and_noise(np.repeat(rows, 500, 1), 100.0, 1.0, **options)])

    for rows in (grads, grads[:1]):
        grid = secure_budget(100.0, 1.0, 500).grid
        x = results(rows, True) / grid
        np.testing.assert_array_equal(x, np.rint(x))
        x = results(rows, False) / grid
        assert (x != np.rint(x)).any()


def test_budget_is_enforced():
    assert secure_budget(1.0, 1.0, 10**8).delta_sampler < 1e-9
    with pytest.raises(ValueError, match="delta_sampler"):
        secure_budget(1.0, 1.0, 10**10)
    for bound, multiplier, text in (
        (math.inf, 0.0, "max_grad_norm"),
        (1e-305, 1.0, "max_grad_norm"),
        (1.0, 1e10, "noise"),
    ):
        with pytest.raises(ValueError, match=text):
            clip_and_noise(np.ones((2, 3)), bound, multiplier, reduction="sum", secure=True)
    rows = [np.broadcast_to(np.float32(1), (2**24, 1))] * 2
    with pytest.raises(ValueError, match="samples"):
        clip_and_noise(rows, [1e-9, 1.0], 1.0, reduction="sum", mode="per_layer", secure=True)
    for bounds in ([1e-12, 1e3], [1e3, 1e-12]):  # 900 would be more steps than a double's 51 bits hold
        with pytest.raises(ValueError, match="too far apart"):
            clip_and_noise([row[:1] for row in rows], bounds, 0.0, reduction="sum", mode="per_layer", secure=True)


def test_noise_on_grid_pays_for_rounding():
    values = [np.full((50, 20), 0.123456789), np.full(24, -7.0)]
    outputs = [np.empty_like(v) for v in values]
    options = {"mechanism": "gaussian", "generator": NoiseGenerator(12)}
    budget = secure.noise_on_grid(values, outputs, 2.0, 1.0, **options)
    assert budget.bounds[0] == pytest.approx(1 + math.sqrt(1024) * budget.grid, rel=1e-12)
    assert budget.scale * budget.grid >= 2.0 * budget.bounds[0]
    for v, out in zip(values, outputs, strict=True):
        np.testing.assert_array_equal(out, np.rint(out / budget.grid) * budget.grid)
        assert abs((out - v).mean()) < 10 / math.sqrt(v.size)
    wider = secure.noise_on_grid(values, outputs, 2.0, 1.0, **options, uncertainty=0.5)
    assert wider.bounds[0] > 32
    before = [out.copy() for out in outputs]
    with pytest.raises(ValueError, match="delta_sampler"):
        secure.noise_on_grid(values, outputs, 2.0, 1.0, **options, delta=1e-13)
    with pytest.raises(ValueError, match="finite"):
        secure.noise_on_grid([np.array([np.nan])], [np.empty(1)], 2.0, 1.0, **options)
    for a, b in zip(before, outputs, strict=True):
        np.testing.assert_array_equal(a, b)
