"""What the privacy functions accept and refuse: structures, backends, layouts, outputs, and every bad argument."""

import copy
import math
import pickle

import numpy as np
import pytest

import fastloss as fl
from fastloss.privacy import ClippedSum, NoiseGenerator, clip_and_noise, clip_and_sum, per_sample_norms
from fastloss.reference import privacy as reference

REALS = (np.float32, np.float64)


def rng_of(seed):
    return np.random.default_rng(seed)


# ---- Structures ----


def pieces(real=np.float64):
    g = rng_of(11)
    return [g.standard_normal((8, *shape)).astype(real) for shape in ((3, 5), (7,), (), (2, 2, 300), (0,))]


@pytest.mark.parametrize("kind", ["list", "tuple", "dict"])
@pytest.mark.parametrize("real", REALS)
def test_structures_have_one_joint_norm(kind, real):
    arrays = pieces(real)
    joint = np.concatenate([a.reshape(8, -1 if a.size else 0) for a in arrays], axis=1)
    keys = ["w", "b", "s", "t", "e"]
    grads = {"list": arrays, "tuple": tuple(arrays), "dict": dict(zip(keys, arrays, strict=True))}[kind]
    bound = 0.9 * math.sqrt(joint.shape[1])
    np.testing.assert_allclose(per_sample_norms(grads), np.linalg.norm(joint.astype(float), axis=1), rtol=1e-14)
    result = clip_and_sum(grads, bound)
    assert type(result.sum).__name__ == kind
    assert not isinstance(result.sum, dict) or list(result.sum) == keys
    parts = list(result.sum.values()) if kind == "dict" else list(result.sum)
    assert [p.shape for p in parts] == [a.shape[1:] for a in arrays]
    want = reference.clip_and_sum(grads, bound).sum
    for part, expected in zip(parts, want, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-6 if real == np.float32 else 1e-14, atol=1e-14)
    # The noise runs through the arrays in order.
    noised = clip_and_noise(grads, bound, 1.0, reduction="sum", rng=3)
    values = list(noised.values()) if kind == "dict" else list(noised)
    flat = clip_and_noise(joint, bound, 1.0, reduction="sum", rng=3)
    np.testing.assert_allclose(
        np.concatenate([v.reshape(-1) for v in values]), flat, rtol=1e-5, atol=1e-5 if real == np.float32 else 1e-13
    )


def test_per_layer_bounds():
    arrays = pieces()[:2]
    result = clip_and_sum(arrays, [1.0, 0.5], mode="per_layer")
    for k, bound in enumerate((1.0, 0.5)):
        np.testing.assert_allclose(result.sum[k], clip_and_sum(arrays[k], bound).sum, rtol=1e-14)
        np.testing.assert_allclose(result.norms[:, k], per_sample_norms(arrays[k]), rtol=1e-15)
    assert result.sensitivity == math.hypot(1.0, 0.5)
    assert clip_and_sum(arrays, [1.0, 0.5], mode="per_layer", norm="l1").sensitivity == 1.5
    named = clip_and_sum({"a": arrays[0], "b": arrays[1]}, {"a": 1.0, "b": 0.5}, mode="per_layer")
    np.testing.assert_array_equal(named.sum["b"], result.sum[1])
    for bounds, text in (
        ([1.0], "length 1"),
        (1.0, "max_grad_norm"),
        ([1.0, 0.0], r"max_grad_norm\[1\]"),
        ({"a": 1.0, "b": 1.0}, "dict"),
    ):
        with pytest.raises(ValueError, match=text):
            clip_and_sum(arrays, bounds, mode="per_layer")


def test_automatic_mode():
    grads = rng_of(12).standard_normal((4, 6))
    result = clip_and_sum(grads, 2.0, mode="automatic")
    factors = 2.0 / (np.linalg.norm(grads, axis=1) + 0.01)
    np.testing.assert_allclose(result.sum, (factors[:, None] * grads).sum(0), rtol=1e-13)
    assert result.sensitivity == 2.0


def test_mixed_types_are_float64():
    result = clip_and_sum([np.ones((2, 3), np.float32), np.ones((2, 3))], 10.0)
    assert [a.dtype for a in result.sum] == [np.float64] * 2
    assert clip_and_sum(np.ones((2, 3), np.int8), 10.0).sum.dtype == np.float64
    assert clip_and_sum(np.ones((2, 3), bool), 10.0).sum.tolist() == [2.0] * 3


def test_accumulate():
    grads = rng_of(13).standard_normal((10, 33))
    grads[7, 1] = np.nan
    whole = clip_and_sum(grads, 4.0)
    total = None
    for part in np.array_split(grads, [3, 4, 9]):
        total = clip_and_sum(part, 4.0, accumulate=total)
    np.testing.assert_array_equal(total.sum, whole.sum)
    np.testing.assert_array_equal(total.norms, whole.norms)
    for name in ("clipped_fraction", "nonfinite_rows", "batch_size", "sensitivity"):
        assert getattr(total, name) == getattr(whole, name)
    first = clip_and_sum(grads[:5], 4.0)
    saved = first.sum.copy()
    second = clip_and_sum(grads[5:], 4.0, accumulate=first)
    np.testing.assert_array_equal(first.sum, saved)
    in_place = clip_and_sum(grads[5:], 4.0, accumulate=first, out=first.sum)
    assert in_place.sum is first.sum
    np.testing.assert_array_equal(in_place.sum, second.sum)
    for arguments, text in (
        ({"max_grad_norm": 5.0}, "max_grad_norm"),
        ({"max_grad_norm": 4.0, "norm": "l1"}, "norm"),
        ({"max_grad_norm": 4.0, "mode": "automatic"}, "mode"),
    ):
        with pytest.raises(ValueError, match=text):
            clip_and_sum(grads, **arguments, accumulate=first)
    with pytest.raises(ValueError, match="shape"):
        clip_and_sum(grads[:, 1:], 4.0, accumulate=first)
    with pytest.raises(TypeError, match="accumulate"):
        clip_and_sum(grads, 4.0, accumulate=saved)


def test_result_prints_copies_and_pickles():
    result = clip_and_sum([[3.0, 4.0]], 1.0)
    shown = "clipped_fraction=1.0, nonfinite_rows=0, batch_size=1, sensitivity=1.0"
    assert repr(result) == f"ClippedSum({shown}, norm='l2', mode='flat', max_grad_norm=1.0)"
    for other in (copy.deepcopy(result), pickle.loads(pickle.dumps(result))):
        assert isinstance(other, ClippedSum)
        np.testing.assert_array_equal(other.sum, result.sum)


# ---- Backends ----


@pytest.mark.parametrize("mode", ["flat", "automatic", "per_layer"])
@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("real", REALS)
def test_backends_agree(real, norm, mode):
    grads = pieces(real)[:3]
    grads[0][2, 1, 1] = np.nan
    grads[1][3] = 0
    bound = [1.0, 2.0, 0.5] if mode == "per_layer" else 3.0

    def results():
        rng = NoiseGenerator(1)
        total = clip_and_sum(grads, bound, norm=norm, mode=mode)
        total = clip_and_sum(grads, bound, norm=norm, mode=mode, accumulate=total)
        noised = clip_and_noise(grads, bound, 1.0, reduction="sum", norm=norm, mode=mode, rng=rng)
        drawn = [rng.gaussian(1000, 2.0, real), rng.laplace((3, 4), 3.0, real)]
        return [*total.sum, total.norms, *noised, *drawn], (total.clipped_fraction, total.nonfinite_rows)

    native, counts = results()
    with fl.backend("check"):
        checked, checked_counts = results()
    with fl.backend("reference"):
        reference_results, reference_counts = results()
    assert counts == checked_counts == reference_counts
    for a, b, c in zip(native, checked, reference_results, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(
            c, a, rtol=1e-5 if real == np.float32 else 1e-13, atol=1e-5 if real == np.float32 else 1e-13
        )


def test_check_backend_notices(monkeypatch):
    grads = np.ones((4, 5))
    monkeypatch.setattr(reference, "GAMMA", 0.02)
    with fl.backend("check"), pytest.raises(fl.MismatchError, match="sums"):
        clip_and_sum(grads, 1.0, mode="automatic")
    monkeypatch.setitem(reference.STREAMS, ("gaussian", "float64"), reference.STREAMS["gaussian", "float32"])
    with fl.backend("check"), pytest.raises(fl.MismatchError, match="gaussian noise"):
        NoiseGenerator(1).gaussian(5)
    with fl.backend("check"), pytest.raises(fl.MismatchError, match="results"):
        clip_and_noise(grads, 1.0, 1.0, reduction="sum")


# ---- Layouts and outputs ----


@pytest.mark.parametrize("real", REALS)
def test_layouts(real):
    base = rng_of(14).standard_normal((12, 20, 9)).astype(real)
    expected = clip_and_sum(base, 5.0)
    padded = np.zeros((24, 20, 18), real)
    padded[::2, :, ::2] = base
    misaligned = np.frombuffer(b"\0" + base.tobytes(), np.uint8)[1:].view(real).reshape(base.shape)
    read_only = base.copy()
    read_only.flags.writeable = False
    wide = np.zeros((12, 400), real)
    wide[:, 7:187] = base.reshape(12, 180)
    for grads in (
        np.asfortranarray(base),
        base[::-1][::-1],
        padded[::2, :, ::2],
        base.transpose(2, 0, 1).copy().transpose(1, 2, 0),
        base.astype(base.dtype.newbyteorder()),
        misaligned,
        read_only,
        wide[:, 7:187].reshape(12, 20, 9),
        base.tolist() if real == np.float64 else base,
    ):
        got = clip_and_sum(grads, 5.0)
        np.testing.assert_array_equal(got.sum, expected.sum)
        np.testing.assert_array_equal(got.norms, expected.norms)
    np.testing.assert_array_equal(clip_and_sum(base[::-1], 5.0).norms, expected.norms[::-1])
    repeated = np.broadcast_to(base[0], base.shape)
    np.testing.assert_array_equal(clip_and_sum(repeated, 5.0).sum, clip_and_sum(repeated.copy(), 5.0).sum)


@pytest.mark.parametrize("real", REALS)
def test_outputs(real):
    grads = rng_of(15).standard_normal((6, 30, 200)).astype(real)
    expected = clip_and_noise(grads, 9.0, 1.0, expected_batch_size=6, rng=2)
    buffer = np.full((60, 200), 3, real)
    for out in (np.empty((30, 200), real), buffer[::-2], np.empty((200, 30), real).T):
        assert clip_and_noise(grads, 9.0, 1.0, expected_batch_size=6, rng=2, out=out) is out
        np.testing.assert_array_equal(out, expected)
    assert (buffer[::2] == 3).all()
    pair = [np.empty((30, 200), real), np.empty((), real)]
    result = clip_and_sum([grads, grads[:, 0, 0]], 9.0, out=pair)
    assert result.sum is pair
    np.testing.assert_array_equal(pair[0], clip_and_sum([grads, grads[:, 0, 0]], 9.0).sum[0])

    saved = grads.copy()
    read_only = np.empty((30, 200), real)
    read_only.flags.writeable = False
    other = np.float32 if real == np.float64 else np.float64
    for out, error in (
        (np.empty((30, 201), real), ValueError),
        (np.empty((30, 200), other), TypeError),
        (np.empty((30, 200), np.dtype(real).newbyteorder()), TypeError),
        (read_only, ValueError),
        (np.broadcast_to(np.empty(200, real), (30, 200)), ValueError),
        (grads[1], ValueError),
        ([np.empty((30, 200), real)], TypeError),
    ):
        with pytest.raises(error, match="out"):
            clip_and_sum(grads, 9.0, out=out)
        with pytest.raises(error, match="out"):
            clip_and_noise(grads, 9.0, 1.0, expected_batch_size=6, out=out)
    shared = np.empty((30, 200), real)
    with pytest.raises(ValueError, match=r"out\[1\] overlaps out\[0\]"):
        clip_and_sum([grads, grads], 9.0, out=[shared, shared])
    np.testing.assert_array_equal(grads, saved)


# ---- Errors ----


@pytest.mark.parametrize("bound", [0, -1.0, math.nan, -math.inf, "inf", None, [1.0]])
def test_bad_bounds(bound):
    for call in (
        lambda: clip_and_sum(np.ones((2, 3)), bound),
        lambda: clip_and_noise(np.ones((2, 3)), bound, 1.0, expected_batch_size=2),
    ):
        with pytest.raises((ValueError, TypeError), match="max_grad_norm"):
            call()


@pytest.mark.parametrize("multiplier", [-0.1, math.nan, math.inf])
def test_bad_noise_multipliers(multiplier):
    with pytest.raises(ValueError, match="noise_multiplier"):
        clip_and_noise(np.ones((2, 3)), 1.0, multiplier, expected_batch_size=2)


def test_infinite_bound_goes_with_no_noise_only():
    grads = rng_of(16).standard_normal((5, 7))
    np.testing.assert_allclose(clip_and_noise(grads, math.inf, 0.0, reduction="sum"), grads.sum(0), rtol=1e-14)
    assert clip_and_sum(grads, math.inf).sensitivity == math.inf
    with pytest.raises(ValueError, match="max_grad_norm"):
        clip_and_noise(grads, math.inf, 1.0, reduction="sum")
    with pytest.raises(ValueError, match="max_grad_norm"):
        clip_and_sum(grads, math.inf, mode="automatic")


def test_noise_scale_must_not_be_lost():
    for bound, multiplier in ((1e308, 100.0), (1e-308, 1e-20)):
        with pytest.raises(ValueError, match="noise_multiplier"):
            clip_and_noise(np.ones((2, 3)), bound, multiplier, reduction="sum")


@pytest.mark.parametrize("size", [None, 0, -3, math.nan, math.inf])
def test_mean_needs_an_expected_batch_size(size):
    with pytest.raises(ValueError, match="expected_batch_size"):
        clip_and_noise(np.ones((2, 3)), 1.0, 1.0, expected_batch_size=size)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("shape", [(0, 3), (0, 2, 5), (0,)])
def test_empty_batch_gives_noise(shape, real):
    result = clip_and_noise(np.empty(shape, real), 1.0, 1.0, expected_batch_size=4, rng=1)
    assert result.shape == shape[1:]
    assert result.dtype == real
    assert np.all(result != 0)
    clipped = clip_and_sum(np.empty(shape, real), 1.0)
    assert not clipped.sum.any()
    assert clipped.norms.shape == (0,)
    assert math.isnan(clipped.clipped_fraction)


def test_unequal_batch_sizes_name_the_parameter():
    with pytest.raises(ValueError, match=r"grads\['b'\] has 3 samples but grads\['w'\] has 2"):
        clip_and_sum({"w": np.ones((2, 3)), "b": np.ones((3, 3))}, 1.0)
    with pytest.raises(ValueError, match=r"grads\[1\]"):
        per_sample_norms([np.ones((2, 3)), np.ones((4, 3))])


def test_laplace_needs_the_l1_norm():
    with pytest.raises(ValueError, match="laplace"):
        clip_and_noise(np.ones((2, 3)), 1.0, 1.0, expected_batch_size=2, mechanism="laplace", norm="l2")


@pytest.mark.parametrize(
    ("grads", "error"),
    [
        (np.float64(3.0), ValueError),
        ([], ValueError),
        ({}, ValueError),
        ((), ValueError),
        (np.ones((2, 3), complex), TypeError),
        (np.ones((2, 3), np.longdouble), TypeError),
        (np.array([["a"]]), TypeError),
        (np.array([[None]]), TypeError),
        (np.zeros((2, 3), "M8[s]"), TypeError),
        (np.ma.masked_array(np.ones((2, 3)), mask=False), TypeError),
        ([np.ones((2, 3)), np.float64(1.0)], ValueError),
        ([[1.0, 2.0], [3.0]], TypeError),
        (None, TypeError),
    ],
)
def test_bad_gradients(grads, error):
    with pytest.raises(error, match="grads"):
        per_sample_norms(grads)
    with pytest.raises(error, match="grads"):
        clip_and_noise(grads, 1.0, 1.0, expected_batch_size=1)


@pytest.mark.parametrize(
    ("keyword", "value", "error"),
    [
        ("norm", "l3", ValueError),
        ("mode", "ghost", ValueError),
        ("nonfinite", "ignore", ValueError),
        ("reduction", "none", ValueError),
        ("mechanism", "uniform", ValueError),
        ("rng", 1.5, TypeError),
        ("rng", -1, ValueError),
        ("rng", True, TypeError),
        ("rng", np.random.default_rng(1), TypeError),
        ("expected_batch_size", "4", TypeError),
    ],
)
def test_bad_keywords(keyword, value, error):
    arguments = {"expected_batch_size": 2, keyword: value}
    with pytest.raises(error, match="seed" if value == -1 else keyword):
        clip_and_noise(np.ones((2, 3)), 1.0, 1.0, **arguments)
