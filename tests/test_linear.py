"""Linear and embedding layers without per-sample gradients, against the gradients made one by one."""

import math
from fractions import Fraction

import numpy as np
import pytest

import fastloss as fl
from fastloss.privacy import (
    NoiseGenerator,
    clip_and_noise,
    clip_and_sum,
    embedding_clip_and_noise,
    embedding_norms,
    join_norms,
    linear_clip_and_noise,
    linear_norms,
    per_sample_norms,
    secure_budget,
)
from fastloss.privacy import _ghost as ghost
from fastloss.reference import linear as reference

REALS = (np.float32, np.float64)
# (B, d), (B, c); with a time axis: Gram form (2 T^2 <= d c), instantiated, two time axes, T = 1, and empty ones. All
# these with a time axis are small enough to be made; `ways` tries both.
SHAPES = [((7, 5), 3), ((6, 4, 9), 8), ((5, 20, 6), 3), ((4, 2, 3, 8), 7), ((3, 1, 5), 2), ((0, 4), 3), ((3, 0, 4), 2)]


def layer_of(shape, c, real, seed=0):
    g = np.random.default_rng([seed, *shape, c])
    a = g.standard_normal(shape) * np.exp2(g.integers(-4, 5, (shape[0],) + (1,) * (len(shape) - 1)))
    return a.astype(real), g.standard_normal((*shape[:-1], c)).astype(real)


def integers(x):
    """Doubles times 2^1100."""
    return [[int(Fraction(float(v)) * 2**1100) for v in row] for row in x]


def exact_square(a, e, bias):
    """Squared norm of one sample's gradient in rationals; a (T, d), e (T, c)."""
    a, e = [row + [2**1100] * bias for row in integers(a)], integers(e)
    columns = list(zip(*a, strict=True))
    square = sum(sum(map(int.__mul__, i, j)) ** 2 for i in zip(*e, strict=True) for j in columns)
    return Fraction(square, 2**4400)


@pytest.fixture(params=["norms", "made"])
def ways(request, monkeypatch):
    """By norms and a product, and by gradients that are made, whatever costs less."""
    monkeypatch.setattr(ghost, "GHOST_COST", 0 if request.param == "norms" else np.inf)
    return request.param


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize(("shape", "c"), SHAPES)
def test_equals_clipping_the_gradients(shape, c, real, bias, ways):
    a, e = layer_of(shape, c, real)
    gradients = reference.linear_gradients(a, e, bias)
    norms = linear_norms(a, e, bias=bias)
    np.testing.assert_allclose(norms, per_sample_norms(gradients), rtol=1e-9, atol=1e-290)
    bound = float(np.median(norms)) if len(norms) and norms.any() else 1.0
    for multiplier in (0.0, 0.8):
        options = {"expected_batch_size": 5, "rng": 3}
        got = linear_clip_and_noise(a, e, bound, multiplier, bias=bias, **options)
        got = got if bias else (got,)
        want = clip_and_noise([g.astype(real) for g in gradients], bound, multiplier, **options)
        for x, y in zip(got, want, strict=True):
            assert x.dtype == real
            assert x.shape == y.shape
            np.testing.assert_allclose(x, y, rtol=0, atol=(2e-6 if real == np.float32 else 1e-11) * bound)


@pytest.mark.parametrize("times", [1, 3, 8])
@pytest.mark.parametrize("real", REALS)
def test_norms_are_never_below_the_exact_ones(real, times):
    """Cancelling samples among them, in rational arithmetic; and what enters the product is within the bound."""
    g = np.random.default_rng(times)
    batch, d, c = 12, 6, 5
    a = (g.standard_normal((batch, times, d)) * 10.0 ** g.integers(-5, 6, (batch, 1, 1))).astype(real)
    e = g.standard_normal((batch, times, c)).astype(real)
    if times > 1:
        a[::2, 1] = a[::2, 0]
        e[::2, 1] = -e[::2, 0] * real(1 - 2.0**-12)
    for bias in (False, True):
        layer = ghost.Layer(a, e, bias)
        norms = layer.norms()
        for i in range(batch):
            exact = exact_square(a[i], e[i], bias)
            assert Fraction(norms.norm[i]) ** 2 >= exact
            # Rounding upwards loses a millionth where terms cancel, nothing elsewhere.
            assert norms.norm[i] <= math.sqrt(exact) * (1 + 1e-6) + 1e-290
            for bound in (float(norms.norm[i]), norms.norm[i] / 3):
                one = ghost.Norms(*(x[i : i + 1] for x in (norms.norm, norms.spread, norms.least)))
                f = ghost.factors_of([one], bound, np.dtype(real))[0]
                scaled = (e[i].astype(np.float64) * f).astype(real)
                assert exact_square(a[i], scaled, bias) <= Fraction(bound) ** 2


def test_gram_form_that_cancels():
    """Entries near 1e4 whose terms cancel to a norm near 98: in double the Gram form is negative for some rows, and
    taken at its word would let them pass unclipped.
    """
    g = np.random.default_rng(8)
    a, e = 1e4 * g.standard_normal((2, 500, 8, 64))
    a[:, 4:] = a[:, :4] + 7.5e-5 * g.standard_normal((500, 4, 64))
    e[:, 4:] = -e[:, :4]
    gram = np.einsum("bst,bst->b", a @ a.swapaxes(1, 2), e @ e.swapaxes(1, 2))
    true = per_sample_norms(reference.linear_gradients(a, e))
    assert (gram <= 0).mean() > 0.01
    assert np.median(true) == pytest.approx(96, rel=0.2)
    assert (linear_norms(a, e) >= true * (1 - 1e-12)).all()
    np.testing.assert_allclose(linear_norms(a, e), true, rtol=1e-5)
    # The product itself cancels in floating point, as any does: one unit in 1e9 of a sample.
    total = linear_clip_and_noise(a, e, 1.0, 0.0, reduction="sum")
    np.testing.assert_allclose(total, clip_and_sum(reference.linear_gradients(a, e)[0], 1.0).sum, atol=1e-5)


@pytest.mark.parametrize("shape", [(9, 6), (9, 3, 6)])
def test_several_layers_share_a_norm(shape, ways):
    one, two = layer_of(shape, 4, np.float32, 1), layer_of((9, 5, 7), 3, np.float32, 2)
    for bias in (False, True):
        gradients = [g for a, e in (one, two) for g in reference.linear_gradients(a, e, bias)]
        joint = join_norms(*(linear_norms(a, e, bias=bias) for a, e in (one, two)))
        np.testing.assert_allclose(joint, per_sample_norms(gradients), rtol=1e-11)
        got = linear_clip_and_noise([one[0], two[0]], [one[1], two[1]], 6.0, 0.5, bias=bias, reduction="sum", rng=2)
        flat = [x for layer in got for x in layer] if bias else got
        want = clip_and_noise([g.astype(np.float32) for g in gradients], 6.0, 0.5, reduction="sum", rng=2)
        for x, y in zip(flat, want, strict=True):
            np.testing.assert_allclose(x, y, atol=2e-5)
    with pytest.raises(ValueError, match=r"inputs\[1\] has 8 samples"):
        linear_clip_and_noise([one[0], two[0][:8]], [one[1], two[1][:8]], 1.0, 0.0, reduction="sum")
    with pytest.raises(ValueError, match="one per layer"):
        linear_clip_and_noise([one[0], two[0]], [one[1]], 1.0, 0.0, reduction="sum")
    for bad in ([], [np.ones(2), np.ones(3)], [np.ones((2, 2))]):
        with pytest.raises(ValueError, match="norms"):
            join_norms(*bad)
    assert join_norms(np.array([1e200, np.inf]), np.array([1e200, 1.0]))[0] == pytest.approx(math.sqrt(2) * 1e200)


def test_gradients_are_made_where_that_costs_less_and_is_safe():
    def chosen(d, c, times, real=np.float32, scale=1.0):
        a, e = np.full((2, times, d), scale, real), np.ones((2, times, c), real)
        return ghost.made_costs_less([ghost.Layer(a, e, False)])

    assert chosen(128, 128, 64)
    assert chosen(512, 512, 64)
    assert not chosen(128, 128, 4)
    assert not chosen(128, 128, 1)
    assert not chosen(8, 8, 1)
    for real, scales in ((np.float32, (1e-30, 1e30)), (np.float64, (1e-200, 1e200))):
        assert all(not chosen(8, 8, 4, real, scale) for scale in scales)
        assert all(chosen(8, 8, 4, real, scale) for scale in (0.0, 1e-5, np.nan, np.inf))
    both = [ghost.Layer(np.ones((2, t, 8)), np.ones((2, t, 8)), True) for t in (1, 4)]
    assert not ghost.made_costs_less(both)


def test_what_is_made_is_within_the_bound_exactly():
    """Also where the terms of a gradient cancel; and an infinity that only meets zeros drops its sample."""
    a, e = layer_of((40, 6, 5), 4, np.float32)
    a[:, 3:], e[:, 3:] = a[:, :3], -e[:, :3] * np.float32(1 - 2.0**-12)
    for i in range(40):
        total = linear_clip_and_noise(a[i : i + 1], e[i : i + 1], 1e-3, 0.0, reduction="sum")
        assert sum(Fraction(float(v)) ** 2 for v in total.flat) <= Fraction(1e-3) ** 2
    a[0, 0, 0], e[0, 0] = np.inf, 0
    np.testing.assert_array_equal(
        linear_clip_and_noise(a, e, 1.0, 0.0, reduction="sum"),
        linear_clip_and_noise(a[1:], e[1:], 1.0, 0.0, reduction="sum"),
    )


def test_several_layers_share_norms_whose_squares_underflow():
    """A sample of norm 0, and one of 5e-180 in two layers, of whose squares a double keeps nothing."""
    a, e = np.array([[[0.0], [3e-90]], [[0.0], [4e-90]]]), np.array([[0.0], [1e-90]])
    first, second = linear_clip_and_noise(list(a), [e, e], 1e-180, 0.0, reduction="sum")
    assert math.hypot(first[0, 0] * 1e180, second[0, 0] * 1e180) <= 1
    np.testing.assert_allclose([first[0, 0], second[0, 0]], [0.6e-180, 0.8e-180], rtol=1e-9)


@pytest.mark.parametrize("shape", [(6, 5), (6, 4, 9), (6, 20, 5)])
@pytest.mark.parametrize("real", REALS)
def test_nonfinite_zero_and_extreme_samples(real, shape, ways):
    a, e = layer_of(shape, 3, real)
    a[1], e[2].flat[0], a[3].flat[0], e[4] = 0, np.nan, np.inf, 0
    good = [0, 1, 4, 5]
    got = linear_clip_and_noise(a, e, 2.0, 0.0, reduction="sum", bias=True)
    want = linear_clip_and_noise(a[good], e[good], 2.0, 0.0, reduction="sum", bias=True)
    for x, y in zip(got, want, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    assert np.isnan(linear_norms(a, e)[2:3]).all() or np.isinf(linear_norms(a, e)[2:3]).all()
    big = real(1e18 if real == np.float32 else 1e140)
    total = linear_clip_and_noise(a[good] * big, e[good] / big, 2.0, 0.0, reduction="sum")
    np.testing.assert_allclose(
        total, linear_clip_and_noise(a[good], e[good], 2.0, 0.0, reduction="sum"), rtol=1e-3, atol=1e-5
    )
    noise = linear_clip_and_noise(a[:0], e[:0], 1.0, 1.0, expected_batch_size=4, rng=1)
    assert noise.dtype == real
    assert noise.all()


@pytest.mark.parametrize("real", REALS)
def test_secure_and_backends(real, ways):
    a, e = layer_of((12, 4, 9), 8, real)
    gradients = [g.astype(np.float64) for g in reference.linear_gradients(a, e, True)]
    options = {"reduction": "sum", "rng": 5, "secure": True}
    got = linear_clip_and_noise(a, e, 3.0, 0.5, bias=True, **options)
    want = clip_and_noise(gradients, 3.0, 0.5, **options)
    grid = secure_budget(3.0, 0.5, 80).grid
    for x, y in zip(got, want, strict=True):
        np.testing.assert_allclose(x, y, atol=13 * grid + (1e-6 if real == np.float32 else 0))
    native = linear_clip_and_noise(a, e, 3.0, 0.5, expected_batch_size=9, rng=5)
    for name in ("check", "reference"):
        with fl.backend(name):
            other = linear_clip_and_noise(a, e, 3.0, 0.5, expected_batch_size=9, rng=5)
        np.testing.assert_allclose(other, native, atol=1e-5)


def test_same_bits_for_any_number_of_threads(ways):
    a, e = layer_of((300, 4, 32), 16, np.float32)
    results = set()
    for n in (1, 2, 3):
        with fl.num_threads(n):
            results.add(linear_clip_and_noise(a, e, 3.0, 0.5, expected_batch_size=9, rng=5).tobytes())
    assert len(results) == 1


def test_tiles_do_not_matter(monkeypatch, ways):
    a, e = layer_of((40, 6, 9), 8, np.float64)
    whole = linear_clip_and_noise(a, e, 3.0, 0.0, reduction="sum", bias=True)
    norms = linear_norms(a, e)
    index = np.random.default_rng(1).integers(0, 5, (40, 6))
    table = embedding_clip_and_noise(index, e, 5, 3.0, 0.0, reduction="sum")
    monkeypatch.setattr(ghost, "TILE_BYTES", 4000)
    np.testing.assert_allclose(linear_norms(a, e), norms, rtol=1e-14)
    for x, y in zip(linear_clip_and_noise(a, e, 3.0, 0.0, reduction="sum", bias=True), whole, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12)
    np.testing.assert_allclose(embedding_clip_and_noise(index, e, 5, 3.0, 0.0, reduction="sum"), table, rtol=1e-12)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("shape", [(9,), (9, 6), (4, 3, 5), (0, 3), (4, 0)])
def test_embedding_equals_clipping_the_gradients(shape, real):
    g = np.random.default_rng(7)
    index = g.integers(0, 6, shape)
    e = g.standard_normal((*shape, 5)).astype(real)
    gradients = reference.embedding_gradients(index, e, 6)
    norms = embedding_norms(index, e, 6)
    np.testing.assert_allclose(norms, per_sample_norms(gradients), rtol=1e-11, atol=1e-290)
    assert (norms >= per_sample_norms(gradients)).all()
    for secure in (False, True):
        options = {"reduction": "sum", "rng": NoiseGenerator(3), "secure": secure}
        got = embedding_clip_and_noise(index, e, 6, 2.0, 0.7, **options)
        options["rng"] = NoiseGenerator(3)
        want = clip_and_noise(gradients[0].astype(real), 2.0, 0.7, **options)
        assert got.dtype == real
        np.testing.assert_allclose(got, want, atol=1e-5)
    native = embedding_clip_and_noise(index, e, 6, 2.0, 0.7, reduction="sum", rng=3)
    for name in ("check", "reference"):
        with fl.backend(name):
            other = embedding_clip_and_noise(index, e, 6, 2.0, 0.7, reduction="sum", rng=3)
        np.testing.assert_allclose(other, native, atol=1e-5)


def test_embedding_drops_nonfinite_samples_and_checks_indices():
    e = np.ones((3, 2, 4))
    e[1, 0, 2] = np.nan
    index = [[0, 0], [1, 2], [2, 0]]
    got = embedding_clip_and_noise(index, e, 3, 100.0, 0.0, reduction="sum")
    assert got.tolist() == [[3.0] * 4, [0.0] * 4, [1.0] * 4]
    with pytest.raises(ValueError, match=r"indices\[1, 1\] = 3 is outside \[0, 3\)"):
        embedding_clip_and_noise([[0, 0], [1, 3], [2, -1]], e, 3, 1.0, 0.0, reduction="sum")
    with pytest.raises(TypeError, match="indices"):
        embedding_norms(np.zeros((3, 2)), e, 3)
    with pytest.raises(ValueError, match="output_grads"):
        embedding_norms(np.zeros((3, 1), int), e, 3)
    with pytest.raises(TypeError, match="num_embeddings"):
        embedding_norms(index, e, 2.5)


@pytest.mark.parametrize(
    ("shapes", "options", "text"),
    [
        (((3, 4), (2, 5)), {}, "inputs has shape"),
        (((3, 4), (3, 2, 5)), {}, "inputs has shape"),
        (((3,), (3,)), {}, "inputs has shape"),
        (((3, 4), (3, 5)), {"max_grad_norm": 0.0}, "max_grad_norm"),
        (((3, 4), (3, 5)), {"noise_multiplier": -1.0}, "noise_multiplier"),
        (((3, 4), (3, 5)), {"max_grad_norm": math.inf}, "max_grad_norm"),
        (((3, 4), (3, 5)), {"expected_batch_size": None}, "expected_batch_size"),
        (((3, 4), (3, 5)), {"reduction": "none"}, "reduction"),
    ],
)
def test_bad_arguments(shapes, options, text):
    settings = {"max_grad_norm": 1.0, "noise_multiplier": 1.0, "expected_batch_size": 3, **options}
    with pytest.raises(ValueError, match=text):
        linear_clip_and_noise(np.ones(shapes[0]), np.ones(shapes[1]), **settings)
