"""Clipping: the bound in exact arithmetic, norms, structures, and every bad input."""

import math
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from fastloss import _core, num_threads
from fastloss.privacy import NoiseGenerator, clip_and_noise, clip_and_sum, per_sample_norms
from fastloss.reference import privacy as reference

REALS = (np.float32, np.float64)
NORMS = ("l2", "l1")


def rng_of(seed):
    return np.random.default_rng(seed)


def exact_within(values, norm, bound):
    """Whether the norm of a vector is <= bound, in rational arithmetic."""
    exact = [abs(Fraction(float(x))) for x in np.asarray(values).reshape(-1)]
    return sum(x * x for x in exact) <= Fraction(bound) ** 2 if norm == "l2" else sum(exact) <= Fraction(bound)


# ---- The bound, exactly ----


def adversarial_rows(real, seed):
    """Rows and bounds: near the bound from both sides, tiny, huge, as float16 gives them, subnormal, mixed scales."""
    g = rng_of(seed)
    info = np.finfo(real)
    for _ in range(60):
        n = int(g.integers(1, 40))
        row = g.standard_normal(n).astype(real)
        norm = float(np.sqrt((row.astype(np.float64) ** 2).sum()))
        absolute = float(np.abs(row.astype(np.float64)).sum())
        for base in (norm, absolute):
            for bound in (base, np.nextafter(base, 0), np.nextafter(base, np.inf), base * (1 - 2.0**-45),
                          base * (1 + 2.0**-45), base / 3):  # fmt: skip
                yield row, float(bound)
        yield (row * real(info.tiny)).astype(real), float(info.tiny) / 7
        yield (row * real(info.smallest_subnormal) * real(100)).astype(real), float(info.smallest_subnormal) * 3
        yield (row / np.abs(row).max() * info.max).astype(real), float(info.max) / 1000
        yield (row / np.abs(row).max() * info.max).astype(real), 1.0
        yield row, 1e-308
        yield row, 5e-324
        yield row, 1e308
        yield (g.integers(-2048, 2048, n) * 2.0**-24).astype(np.float16).astype(real), 2.0**-15
        yield np.full(n, 6e4, real), 1.0
        yield (row * 10.0 ** g.integers(-30, 30, n)).astype(real), float(10.0 ** g.integers(-20, 20))
        yield np.full(n, 0.1, real), 0.1 * math.sqrt(n)


@pytest.mark.parametrize("mode", ["flat", "automatic"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("real", REALS)
def test_bound_is_exact(real, norm, mode):
    checked = 0
    for row, bound in adversarial_rows(real, 1):
        clipped = clip_and_sum(row[None], bound, norm=norm, mode=mode)
        assert clipped.sum.dtype == real
        assert exact_within(clipped.sum, norm, bound), (row.tolist(), bound)
        total = clip_and_noise(row[None], bound, 0.0, reduction="sum", norm=norm, mode=mode)
        np.testing.assert_array_equal(total, clipped.sum)
        if mode == "flat" and exact_within(row, norm, Fraction(bound) * (1 - Fraction(1, 2**40))):
            assert clipped.sum.tobytes() == (row + real(0)).tobytes()
            assert clipped.clipped_fraction == 0
        if mode == "flat" and not exact_within(row, norm, bound):
            assert clipped.clipped_fraction == 1
        checked += 1
    assert checked >= 2000 / 2


@pytest.mark.parametrize("real", REALS)
def test_bound_is_exact_for_long_rows(real):
    g = rng_of(2)
    for n in (1000, 33_333):
        for scale in (1.0, 1e-3):
            row = (g.standard_normal(n) * scale).astype(real)
            norm = float(per_sample_norms(row[None])[0])
            for bound in (norm, np.nextafter(norm, 0), norm * 0.7):
                assert exact_within(clip_and_sum(row[None], bound).sum, "l2", float(bound))


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize(
    ("row", "norm", "bound"),
    [
        ([3, 4], "l2", 5.0),
        ([3 * 2.0**100, -4 * 2.0**100], "l1", 7 * 2.0**100),
        ([3 * 2.0**-140, 4 * 2.0**-140], "l2", 5 * 2.0**-140),
        ([3 * 2.0**100, 4 * 2.0**100], "l2", 5 * 2.0**100),
        ([1] * 16, "l2", 4.0),
        ([0.5, 0.25, -0.25], "l1", 1.0),
        ([2, 3, 6], "l2", 7.0),
    ],
)
def test_exact_rows_stay_bit_identical(row, norm, bound, real):
    row = np.array(row, real)
    result = clip_and_sum(row[None], bound, norm=norm)
    assert result.sum.tobytes() == row.tobytes()
    assert result.clipped_fraction == 0
    below = clip_and_sum(row[None], np.nextafter(bound, 0), norm=norm)
    assert below.clipped_fraction == 1
    assert exact_within(below.sum, norm, float(np.nextafter(bound, 0)))


def test_exact_rows_of_extreme_doubles_stay_bit_identical():
    for exponent in (-1074, -1060, -600, 0, 600, 1021):
        row = np.array([3.0, 4.0]) * 2.0 ** (exponent // 2) * 2.0 ** (exponent - exponent // 2)
        bound = 5.0 * 2.0 ** (exponent // 2) * 2.0 ** (exponent - exponent // 2)
        assert clip_and_sum(row[None], bound).sum.tobytes() == row.tobytes()
        assert per_sample_norms(row[None])[0] == bound
    # 1 and something that no double-precision square sees: not within 1.
    assert clip_and_sum([[1.0, 1e-200]], 1.0).clipped_fraction == 1
    assert clip_and_sum([[1.0, 0.0]], 1.0).clipped_fraction == 0


# ---- Against the reference ----


@pytest.mark.parametrize("mode", ["flat", "automatic"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("real", REALS)
def test_equals_the_reference(real, norm, mode):
    g = rng_of(3)
    for batch, size in ((1, 1), (5, 3), (17, 100), (64, 257), (40, 1300), (0, 4), (3, 0)):
        grads = g.standard_normal((batch, size)).astype(real) * np.exp(g.standard_normal((batch, 1))).astype(real)
        if batch > 4:
            grads[1] = 0
            grads[2, 0], grads[3, -1] = np.nan, -np.inf
        bound = math.sqrt(size + 1) * (1 if norm == "l2" else 10)
        got = clip_and_sum(grads, bound, norm=norm, mode=mode)
        want = reference.clip_and_sum(grads, bound, norm=norm, mode=mode)
        np.testing.assert_allclose(got.norms, want.norms, rtol=1e-14)
        np.testing.assert_allclose(got.sum, want.sum[0], rtol=2 * np.finfo(real).eps, atol=1e-13 * bound)
        assert got.sum.dtype == real
        for name in ("nonfinite_rows", "batch_size", "sensitivity"):
            assert getattr(got, name) == getattr(want, name)
        np.testing.assert_equal(got.clipped_fraction, want.clipped_fraction)
        np.testing.assert_array_equal(per_sample_norms(grads, norm=norm), got.norms)


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize(
    ("mechanism", "norm"), [("gaussian", None), ("gaussian", "l1"), ("laplace", None), ("laplace", "l1")]
)
def test_noise_is_the_generators(mechanism, norm, real):
    grads = rng_of(4).standard_normal((32, 10, 77)).astype(real)
    native, twin = NoiseGenerator(5), reference.NoiseGenerator(5)
    for _ in range(2):
        got = clip_and_noise(grads, 3.0, 1.5, expected_batch_size=40, mechanism=mechanism, norm=norm, rng=native)
        want = reference.clip_and_noise(grads, 3.0, 1.5, expected_batch_size=40, mechanism=mechanism, norm=norm,
                                        real=real, rng=twin)[0]  # fmt: skip
        assert got.shape == (10, 77)
        np.testing.assert_allclose(
            got, want, rtol=3e-6 if real == "float32" else 1e-13, atol=1e-6 if real == "float32" else 1e-14
        )
    # The generator has moved on by one value per element.
    np.testing.assert_allclose(getattr(native, mechanism)(3), getattr(twin, mechanism)(3), rtol=1e-14, atol=1e-14)


def test_int_seed_repeats_and_none_does_not():
    grads = np.ones((2, 50))
    a, b = (clip_and_noise(grads, 1.0, 1.0, expected_batch_size=2, rng=7) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(a, clip_and_noise(grads, 1.0, 1.0, expected_batch_size=2, rng=NoiseGenerator(7)))
    a, b = (clip_and_noise(grads, 1.0, 1.0, expected_batch_size=2) for _ in range(2))
    assert not np.isin(a, b).any()


def test_noise_scale_and_mean():
    grads = np.zeros((0, 200_000))
    noise = NoiseGenerator(8).gaussian(200_000)
    np.testing.assert_allclose(
        clip_and_noise(grads, 2.0, 3.0, expected_batch_size=50, rng=8), noise * 6 / 50, rtol=1e-15
    )
    np.testing.assert_allclose(clip_and_noise(grads, 2.0, 3.0, reduction="sum", rng=8), noise * 6, rtol=1e-15)
    laplace = NoiseGenerator(8).laplace(200_000)
    np.testing.assert_allclose(
        clip_and_noise(grads, 2.0, 3.0, reduction="sum", mechanism="laplace", rng=8), laplace * 6, rtol=1e-15
    )


@pytest.mark.parametrize("real", REALS)
def test_threads_do_not_matter(real):
    g = rng_of(9)
    for shape in ((300, 5000), (7, 100_000), (5000, 40), (3001, 401), (2, 300_001)):
        grads = g.standard_normal(shape).astype(real)
        results = []
        for threads in (1, 2, 3, 8):
            with num_threads(threads):
                clipped = clip_and_sum(grads, math.sqrt(shape[1]))
                noised = clip_and_noise(grads, 2.0, 1.0, expected_batch_size=9, rng=1)
            results.append((clipped.sum.tobytes(), clipped.norms.tobytes(), noised.tobytes()))
        assert len(set(results)) == 1


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("mode", ["flat", "per_layer", "automatic"])
@pytest.mark.parametrize("columns", [(784, 1), (1000, 1000), (3000, 3000, 10), (5, 0, 40)], ids=str)
def test_threads_do_not_matter_to_several_arrays(columns, mode, secure):
    """Of narrow ones a thread takes whole rows, of others columns; all arrays count, whoever takes them."""
    g = rng_of(9)
    grads = [g.standard_normal((3000, n)).astype(np.float32) for n in columns]
    bound = [0.5 * math.sqrt(n + 1) for n in columns] if mode == "per_layer" else math.sqrt(sum(columns)) * 0.9
    results = []
    for threads in (1, 2, 3, 8):
        with num_threads(threads):
            clipped = clip_and_sum(grads, bound, mode=mode, secure=secure)
        results.append((*(part.tobytes() for part in clipped.sum), clipped.norms.tobytes()))
    assert len(set(results)) == 1
    exact = np.sqrt([(array.astype(np.float64) ** 2).sum(axis=1) for array in grads])
    want = exact.T if mode == "per_layer" else np.sqrt((exact**2).sum(axis=0))
    np.testing.assert_allclose(clipped.norms, want, rtol=1e-12)
    assert all(part.any() for part, n in zip(clipped.sum, columns, strict=True) if n)


def test_instruction_sets_give_the_same_bits():
    """All that have FMA."""
    program = (
        "import hashlib, numpy as np\n"
        "from fastloss.privacy import clip_and_sum\n"
        "h = hashlib.sha256()\n"
        "for t in (np.float32, np.float64):\n"
        "    g = np.random.default_rng(1).standard_normal((50, 3001)).astype(t)\n"
        "    g[3] *= 1e-30\n"
        "    g[4] /= np.linalg.norm(g[4])\n"
        "    for norm in ('l2', 'l1'):\n"
        "        for mode in ('flat', 'automatic'):\n"
        "            r = clip_and_sum(g, 1.0, norm=norm, mode=mode)\n"
        "            h.update(r.sum.tobytes() + r.norms.tobytes())\n"
        "print(h.hexdigest())\n"
    )
    digests = set()
    for isa, (compiled, supported) in _core.isa_names().items():
        if compiled and supported and isa != "baseline":
            environment = {**os.environ, "FASTLOSS_ISA": isa}
            run = subprocess.run(
                [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
            )
            digests.add(run.stdout)
    assert len(digests) <= 1


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
def test_neither_place_nor_type_matters(kind, isa):
    """Rows are read from the first place where vectors begin, few columns apart; half types are widened on the way."""
    if kind == "bfloat16":
        pytest.importorskip("ml_dtypes")
    g = rng_of(10)
    for rows, columns in [(5, n) for n in range(1, 36)] + [(15, n) for n in (63, 64, 95, 1000, 4099, 9001)]:
        plain = g.standard_normal((rows, columns)).astype(kind)
        wide = plain.astype(np.float64 if kind == "float64" else np.float32)
        for norm in NORMS:
            want = clip_and_sum(wide, math.sqrt(columns), norm=norm)
            exact = np.abs(wide.astype(np.float64)) if norm == "l1" else wide.astype(np.float64) ** 2
            size = exact.sum(axis=1) if norm == "l1" else np.sqrt(exact.sum(axis=1))
            np.testing.assert_allclose(want.norms, size, rtol=1e-14)
            for place in range(0, 17, 1 if columns < 70 else 5):
                moved = np.empty(place + plain.size, plain.dtype)[place:].reshape(plain.shape)
                moved[...] = plain
                got = clip_and_sum(moved, math.sqrt(columns), norm=norm)
                assert got.norms.tobytes() == want.norms.tobytes()
                assert got.sum.tobytes() == want.sum.tobytes()


# ---- Norms ----


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([3e200, 4e200], 5e200),
        ([3e-200, 4e-200], 5e-200),
        ([1e200, 1e-200], 1e200),
        ([3 * 2.0**-1074, 4 * 2.0**-1074], 5 * 2.0**-1074),
        ([0.0, -0.0], 0.0),
        ([1.5e308, 1.5e308], math.inf),
        ([1.0, math.inf], math.inf),
        ([math.nan, math.inf], math.nan),
    ],
)
def test_norms_of_extreme_rows(row, expected):
    np.testing.assert_allclose(per_sample_norms([row]), [expected], rtol=1e-15)


def test_finite_row_of_infinite_norm_is_clipped():
    result = clip_and_sum([[1.5e308, 1.5e308, -1.5e308]], 6.0)
    assert result.nonfinite_rows == 0
    assert result.norms[0] == math.inf
    np.testing.assert_allclose(result.sum, np.array([1, 1, -1]) * 6 / math.sqrt(3), rtol=1e-13)
    assert exact_within(result.sum, "l2", 6.0)
    huge = clip_and_sum([[1.5e308] * 3], 1e308, norm="l1")
    np.testing.assert_allclose(huge.sum, np.full(3, 1e308 / 3), rtol=1e-13)
    automatic = clip_and_sum([[1.5e308] * 3], 6.0, mode="automatic")
    np.testing.assert_allclose(automatic.sum, np.full(3, 6 / math.sqrt(3)), rtol=1e-13)


def test_half_precision_rows_have_the_right_norm():
    """A float16 square of 1e-5 is 0 and one of 6e4 is inf (jax_privacy#309)."""
    tiny = np.full((1, 10**6), 1e-5, np.float16)
    expected = float(tiny[0, 0]) * 1000
    assert per_sample_norms(tiny)[0] == pytest.approx(expected, rel=1e-14)
    clipped = clip_and_sum(tiny, expected / 4)
    assert clipped.sum.dtype == np.float32
    assert clipped.clipped_fraction == 1
    np.testing.assert_allclose(clipped.sum, expected / 4 / 1000, rtol=1e-6)
    large = np.full((2, 100), 6e4, np.float16)
    np.testing.assert_allclose(per_sample_norms(large), float(large[0, 0]) * 10, rtol=1e-15)


def test_bfloat16_gives_float32_sums():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    brain = np.full((1, 4), 2.0, ml_dtypes.bfloat16)
    assert per_sample_norms(brain)[0] == 4.0
    assert clip_and_sum(brain, 8.0).sum.dtype == np.float32


def test_zero_rows_stay_zero():
    for real in REALS:
        for mode in ("flat", "automatic"):
            result = clip_and_sum(np.zeros((3, 5), real), 1.0, mode=mode)
            assert not result.sum.any()
            assert not result.norms.any()
            assert result.clipped_fraction == 0


# ---- Non-finite rows ----


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("real", REALS)
def test_nonfinite_rows(real, bad):
    grads = rng_of(10).standard_normal((6, 700)).astype(real)
    good = np.delete(grads, [2, 4], axis=0)
    grads[2, 0] = grads[4, 699] = bad
    result = clip_and_sum(grads, 5.0)
    assert result.nonfinite_rows == 2
    assert result.batch_size == 6
    np.testing.assert_array_equal(np.isfinite(result.norms), [True, True, False, True, False, True])
    np.testing.assert_array_equal(result.sum, clip_and_sum(good, 5.0).sum)
    out = np.full(700, 7, real)
    rng = NoiseGenerator(1)
    for call in (
        lambda: clip_and_sum(grads, 5.0, nonfinite="raise", out=out),
        lambda: clip_and_noise(grads, 5.0, 1.0, expected_batch_size=6, nonfinite="raise", rng=rng, out=out),
    ):
        with pytest.raises(ValueError, match=rf"grads\[2, 0\] = {bad}"):
            call()
    assert (out == 7).all()
    np.testing.assert_array_equal(rng.gaussian(2), NoiseGenerator(1).gaussian(2))


def test_nonfinite_row_drops_out_of_every_array():
    grads = {"a": np.ones((3, 2)), "b": np.ones((3, 4, 5))}
    grads["b"][1, 2, 3] = np.nan
    for mode, bound in (("flat", 100.0), ("automatic", 1.0), ("per_layer", {"a": 10.0, "b": 10.0})):
        result = clip_and_sum(grads, bound, mode=mode)
        assert result.nonfinite_rows == 1
        np.testing.assert_array_equal(
            result.sum["a"], clip_and_sum({k: v[[0, 2]] for k, v in grads.items()}, bound, mode=mode).sum["a"]
        )
    with pytest.raises(ValueError, match=r"grads\['b'\]\[1, 2, 3\] = nan"):
        clip_and_sum(grads, 1.0, nonfinite="raise")
