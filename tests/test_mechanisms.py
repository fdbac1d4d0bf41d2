"""Noise on values and on clipped sums: how much, whose, where it goes, and only once."""

import copy
import math
import pickle

import numpy as np
import pytest

import fastloss as fl
from fastloss import num_threads
from fastloss.privacy import (
    NoiseGenerator,
    add_noise,
    clip_and_noise,
    clip_and_sum,
    gaussian_mechanism,
    gaussian_sigma,
    laplace_mechanism,
    laplace_scale,
)

REALS = (np.float32, np.float64)


def gaussian(values, **keywords):
    return gaussian_mechanism(values, 2.0, 0.5, 1e-6, **keywords)


def laplace(values, **keywords):
    return laplace_mechanism(values, 2.0, 0.5, **keywords)


MECHANISMS = {"gaussian": (gaussian, gaussian_sigma(2.0, 0.5, 1e-6)), "laplace": (laplace, laplace_scale(2.0, 0.5))}
both = pytest.mark.parametrize("name", MECHANISMS)


# ---- Mechanisms on values ----


@both
@pytest.mark.parametrize("real", REALS)
def test_noise_is_the_generators(name, real):
    mechanism, scale = MECHANISMS[name]
    values = np.random.default_rng(1).normal(size=(30, 17)).astype(real)
    saved = values.copy()
    got = mechanism(values, rng=3)
    assert got.dtype == real
    assert got.shape == values.shape
    np.testing.assert_array_equal(values, saved)
    noise = getattr(NoiseGenerator(3), name)(values.shape, dtype=real if name == "gaussian" else np.float64)
    np.testing.assert_allclose(
        got, values + scale * noise.astype(float), rtol=2 * np.finfo(real).eps, atol=1e-6 * scale
    )
    np.testing.assert_array_equal(got, mechanism(values, rng=NoiseGenerator(3)))
    rng = NoiseGenerator(3)
    parts = [mechanism(part, rng=rng) for part in np.array_split(values, [4, 5, 21])]
    np.testing.assert_array_equal(np.concatenate(parts), got)


@both
def test_operating_system_noise_does_not_repeat(name):
    mechanism, _ = MECHANISMS[name]
    assert not np.isin(mechanism(np.zeros(50)), mechanism(np.zeros(50))).any()


@both
def test_types_and_layouts(name):
    mechanism, _ = MECHANISMS[name]
    base = np.random.default_rng(2).normal(size=(6, 8))
    want = mechanism(base, rng=1)
    for values in (np.asfortranarray(base), base[::-1][::-1], base.astype(">f8"), base.tolist()):
        np.testing.assert_array_equal(mechanism(values, rng=1), want)
    assert mechanism(np.arange(5)).dtype == np.float64
    assert mechanism(np.ones(5, bool)).dtype == np.float64
    assert mechanism(np.ones(5, np.float16)).dtype == np.float32
    assert mechanism(3.0).shape == ()
    assert mechanism(np.empty((0, 4))).shape == (0, 4)
    for threads in (1, 2, 7):
        with num_threads(threads):
            np.testing.assert_array_equal(
                mechanism(np.zeros(40_000), rng=1)[-9:], mechanism(np.zeros(40_000), rng=1)[-9:]
            )


@both
@pytest.mark.parametrize("real", REALS)
def test_backends_agree(name, real):
    mechanism, scale = MECHANISMS[name]
    values = np.random.default_rng(3).normal(size=200).astype(real)
    native = mechanism(values, rng=1)
    with fl.backend("check"):
        np.testing.assert_array_equal(mechanism(values, rng=1), native)
    with fl.backend("reference"):
        np.testing.assert_allclose(mechanism(values, rng=1), native, rtol=0, atol=20 * scale * np.finfo(real).eps)


@both
def test_outputs(name):
    mechanism, _ = MECHANISMS[name]
    values = np.random.default_rng(4).normal(size=(5, 6))
    want = mechanism(values, rng=1)
    buffer = np.full((10, 6), 7.0)
    for out in (np.empty((5, 6)), buffer[::-2], np.empty((6, 5)).T):
        assert mechanism(values, rng=1, out=out) is out
        np.testing.assert_array_equal(out, want)
    assert (buffer[::2] == 7).all()
    own = values.copy()
    assert mechanism(own, rng=1, out=own) is own
    np.testing.assert_array_equal(own, want)
    locked = np.empty((5, 6))
    locked.flags.writeable = False
    shifted = np.zeros((6, 6))
    for out, error in (
        (np.empty((5, 7)), ValueError), (np.empty((5, 6), np.float32), TypeError), (locked, ValueError),
        (np.broadcast_to(np.empty(6), (5, 6)), ValueError), ([0.0], TypeError),
    ):  # fmt: skip
        with pytest.raises(error, match="out"):
            mechanism(values, out=out)
    with pytest.raises(ValueError, match="out overlaps values"):
        mechanism(shifted[:5], out=shifted[1:])
    assert not shifted.any()


@both
def test_values_that_noise_cannot_hide(name):
    mechanism, _ = MECHANISMS[name]
    for bad in (math.nan, math.inf, -math.inf):
        values, out = np.zeros((3, 4)), np.full((3, 4), 5.0)
        values[1, 2] = bad
        with pytest.raises(ValueError, match=rf"values\[1, 2\] = {bad} is not finite"):
            mechanism(values, out=out)
        assert (out == 5).all()
    for values in (np.ones(3, complex), np.array(["a"]), np.ma.masked_array([1.0], [True]), [object()]):
        with pytest.raises(TypeError, match="values"):
            mechanism(values)
    with pytest.raises(TypeError, match="rng"):
        mechanism(np.ones(3), rng=1.5)


@both
@pytest.mark.parametrize("real", REALS)
def test_secure_noise_is_on_a_grid(name, real):
    mechanism, scale = MECHANISMS[name]
    values = np.random.default_rng(5).normal(size=(40, 50)).astype(real)
    got = mechanism(values, rng=1, secure=True)
    assert got.dtype == real
    assert got.shape == values.shape
    np.testing.assert_array_equal(got, mechanism(values, rng=1, secure=True))
    assert not np.isin(mechanism(values, secure=True), got).all()
    if real == np.float64:
        steps = got * 2.0**40
        assert (steps == np.rint(steps)).all()
    deviation = scale * (math.sqrt(2) if name == "laplace" else 1)
    assert 0.9 < float((got - values).std()) / deviation < 1.1
    with pytest.raises(TypeError, match="secure"):
        mechanism(values, secure=1)
    with pytest.raises(ValueError, match=r"values\[0\]"):
        mechanism([math.nan], secure=True)


def test_bad_budgets():
    for name, value in (("sensitivity", 0.0), ("epsilon", 0.0), ("epsilon", math.nan), ("sensitivity", math.inf)):
        arguments = {"sensitivity": 1.0, "epsilon": 1.0} | {name: value}
        with pytest.raises(ValueError, match=name):
            laplace_mechanism([1.0], **arguments)
        with pytest.raises(ValueError, match=name):
            gaussian_mechanism([1.0], delta=1e-5, **arguments)
    for delta in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="delta"):
            gaussian_mechanism([1.0], 1.0, 1.0, delta)
    with pytest.raises(ValueError, match="calibration"):
        gaussian_mechanism([1.0], 1.0, 1.0, 1e-5, calibration="best")
    with pytest.warns(UserWarning, match="epsilon < 1") as caught:
        noisy = gaussian_mechanism(np.zeros(9), 1.0, 1.0, 1e-5, calibration="classical", rng=1)
    assert caught[0].filename == __file__
    np.testing.assert_allclose(noisy, NoiseGenerator(1).gaussian(9, 4.844805262605389), rtol=1e-15)


# ---- Noise on clipped sums ----


def pieces(real=np.float64):
    g = np.random.default_rng(11)
    return [g.standard_normal((8, *shape)).astype(real) for shape in ((3, 5), (7,), (), (2, 2, 300), (0,))]


def structures(arrays):
    return {"array": arrays[0], "list": arrays, "tuple": tuple(arrays), "dict": dict(zip("wbste", arrays, strict=True))}


def parts(result):
    return (
        list(result.values()) if isinstance(result, dict) else result if isinstance(result, list | tuple) else [result]
    )


@pytest.mark.parametrize("structure", ["array", "list", "tuple", "dict"])
@pytest.mark.parametrize(("mechanism", "norm"), [("gaussian", "l2"), ("gaussian", "l1"), ("laplace", "l1")])
def test_equals_clip_and_noise(mechanism, norm, structure):
    grads = structures(pieces())[structure]
    for keywords in ({"expected_batch_size": 9.0}, {"reduction": "sum"}):
        for multiplier in (1.3, 0.0):
            want = clip_and_noise(grads, 2.0, multiplier, norm=norm, mechanism=mechanism, rng=4, **keywords)
            got = add_noise(clip_and_sum(grads, 2.0, norm=norm), multiplier, mechanism=mechanism, rng=4, **keywords)
            assert type(got) is type(want)
            assert not isinstance(got, dict) or list(got) == list(want)
            for a, b in zip(parts(got), parts(want), strict=True):
                assert a.dtype == b.dtype
                assert a.shape == b.shape
                assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
def test_equals_clip_and_noise_in_float32(mechanism):
    """Up to the rounding of the sum to float32; to the bit where that rounds nothing."""
    norm = "l2" if mechanism == "gaussian" else "l1"
    keywords = {"mechanism": mechanism, "rng": 4, "reduction": "sum"}
    grads = np.random.default_rng(5).standard_normal((20, 300)).astype(np.float32)
    clipped = clip_and_sum(grads, 2.0, norm=norm)
    want = clip_and_noise(grads, 2.0, 0.7, **keywords)
    got = add_noise(clipped, 0.7, **keywords)
    assert got.dtype == np.float32
    size = np.maximum(np.abs(clipped.sum), np.abs(want))
    assert (np.abs(got - want) <= 2 * np.spacing(size)).all()
    small = np.random.default_rng(6).integers(-8, 8, (20, 300)).astype(np.float32)
    want = clip_and_noise(small, 1e6, 0.7, **keywords)
    np.testing.assert_array_equal(add_noise(clip_and_sum(small, 1e6, norm=norm), 0.7, **keywords), want)


def test_batches_in_pieces_have_the_noise_of_one():
    grads = np.random.default_rng(7).standard_normal((30, 40))
    total = None
    for part in np.array_split(grads, [7, 8, 25]):
        total = clip_and_sum(part, 1.0, accumulate=total)
    want = clip_and_noise(grads, 1.0, 1.1, expected_batch_size=30, rng=1)
    np.testing.assert_array_equal(add_noise(total, 1.1, expected_batch_size=30, rng=1), want)


def test_per_layer_sensitivity():
    arrays = pieces()[:2]
    clipped = clip_and_sum(arrays, [3.0, 4.0], mode="per_layer")
    noisy = add_noise(clipped, 2.0, reduction="sum", rng=1)
    noise = np.concatenate([(a - b).reshape(-1) for a, b in zip(noisy, clipped.sum, strict=True)])
    np.testing.assert_allclose(noise, NoiseGenerator(1).gaussian(22, 10.0), rtol=1e-12, atol=1e-13)


def test_noised_once_only():
    clipped = clip_and_sum(np.ones((3, 4)), 1.0)
    assert not clipped.noised
    add_noise(clipped, 0.0, reduction="sum")
    with pytest.raises(ValueError, match="expected_batch_size"):
        add_noise(clipped, 1.0)
    assert not clipped.noised
    add_noise(clipped, 1.0, reduction="sum")
    assert clipped.noised
    for noised in (clipped, copy.copy(clipped), copy.deepcopy(clipped), pickle.loads(pickle.dumps(clipped))):
        out = np.full(4, 5.0)
        for multiplier in (1.0, 0.0):
            with pytest.raises(ValueError, match="clipped has been noised"):
                add_noise(noised, multiplier, reduction="sum", out=out)
        assert (out == 5).all()
        with pytest.raises(ValueError, match="accumulate has been noised"):
            clip_and_sum(np.ones((3, 4)), 1.0, accumulate=noised)


def test_outputs_of_sums():
    grads = pieces()
    clipped = clip_and_sum(grads, 1.0)
    want = add_noise(copy.deepcopy(clipped), 1.0, reduction="sum", rng=2)
    out = [np.empty(a.shape) for a in want]
    for arrays in (out, clipped.sum):
        fresh = copy.deepcopy(clipped) if arrays is out else clipped
        assert add_noise(fresh, 1.0, reduction="sum", rng=2, out=arrays) is arrays
        for a, b in zip(arrays, want, strict=True):
            np.testing.assert_array_equal(a, b)

    clipped = clip_and_sum(grads[:2], 1.0)
    saved = copy.deepcopy(clipped.sum)
    for wrong, text in (
        (clipped.sum[::-1], r"out\[0\]"), ([clipped.sum[0]], "length 1"), ({"a": out[0]}, "dict"),
        ([clipped.sum[0], clipped.sum[0].reshape(-1)[:7]], r"out\[1\] overlaps clipped.sum\[0\]"),
        ([np.empty((3, 5)), np.empty(8)], r"out\[1\] has shape"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            add_noise(clipped, 1.0, reduction="sum", out=wrong)
    shared = np.zeros(20)
    with pytest.raises(ValueError, match=r"out\[1\] overlaps out\[0\]"):
        add_noise(clipped, 1.0, reduction="sum", out=[shared[:15].reshape(3, 5), shared[10:17]])
    assert not clipped.noised
    for a, b in zip(clipped.sum, saved, strict=True):
        np.testing.assert_array_equal(a, b)


def test_bad_arguments_of_add_noise():
    clipped = clip_and_sum(np.ones((2, 3)), 1.0)
    with pytest.raises(ValueError, match="'laplace': expected 'l1'"):
        add_noise(clipped, 1.0, reduction="sum", mechanism="laplace")
    with pytest.raises(TypeError, match="clipped is a ndarray"):
        add_noise(clipped.sum, 1.0, reduction="sum")
    for keywords, error in (
        ({"mechanism": "uniform"}, ValueError), ({"reduction": "none"}, ValueError), ({"rng": 1.5}, TypeError),
        ({"reduction": "mean", "expected_batch_size": 0}, ValueError), ({"rng": -1}, ValueError),
    ):  # fmt: skip
        with pytest.raises(error, match="seed" if keywords.get("rng") == -1 else list(keywords)[-1]):
            add_noise(clipped, 1.0, **{"reduction": "sum", **keywords})
    for multiplier, error in ((-1.0, ValueError), (math.nan, ValueError), (math.inf, ValueError), ("1", TypeError)):
        with pytest.raises(error, match="noise_multiplier"):
            add_noise(clipped, multiplier, reduction="sum")
    unbounded = clip_and_sum(np.ones((2, 3)), math.inf)
    with pytest.raises(ValueError, match="max_grad_norm = inf"):
        add_noise(unbounded, 1.0, reduction="sum")
    np.testing.assert_array_equal(add_noise(unbounded, 0.0, reduction="sum"), [2.0, 2.0, 2.0])
    assert not clipped.noised
