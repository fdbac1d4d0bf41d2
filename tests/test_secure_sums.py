"""Secure noise in two steps: `clip_and_sum(secure=True)`, in pieces or at once, then `add_noise(secure=True)`."""

import copy
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest

import fastloss as fl
from fastloss import num_threads
from fastloss.privacy import (
    NoiseGenerator,
    add_noise,
    clip_and_noise,
    clip_and_sum,
    embedding_clip_and_noise,
    linear_clip_and_noise,
    secure_budget,
)

REALS = (np.float32, np.float64)
SHAPES = ((3, 5), (7,), (), (2, 2, 300), (0,))
KINDS = [("gaussian", "l2"), ("gaussian", "l1"), ("laplace", "l1")]
MODES = ("flat", "automatic", "per_layer")


def gradients(real=np.float64, batch=24):
    g = np.random.default_rng(21)
    return [g.standard_normal((batch, *shape)).astype(real) for shape in SHAPES]


def structured(arrays, structure):
    whole = {
        "array": arrays[3],
        "list": arrays,
        "tuple": tuple(arrays),
        "dict": dict(zip("wbste", arrays, strict=True)),
    }
    return whole[structure]


def parts(result):
    return (
        list(result.values()) if isinstance(result, dict) else result if isinstance(result, list | tuple) else [result]
    )


def bound_for(grads, mode):
    """One bound, or one per array in the structure of the gradients."""
    bounds = [1.0, 0.25, 2.0, 3.0, 0.5]
    if mode != "per_layer":
        return 1.5
    if isinstance(grads, dict):
        return dict(zip(grads, bounds, strict=True))
    return type(grads)(bounds) if isinstance(grads, list | tuple) else bounds[0]


def rows_of(grads, rows):
    if isinstance(grads, dict):
        return {key: array[rows] for key, array in grads.items()}
    return type(grads)(array[rows] for array in grads) if isinstance(grads, list | tuple) else grads[rows]


def flat(result):
    return np.concatenate([np.asarray(part, np.float64).reshape(-1) for part in parts(result)])


def in_pieces(grads, bound, cuts, **options):
    total = None
    for rows in np.split(np.arange(24), cuts):
        total = clip_and_sum(rows_of(grads, rows), bound, accumulate=total, secure=True, **options)
    return total


@pytest.mark.parametrize("structure", ["array", "list", "tuple", "dict"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("mechanism", "norm"), KINDS)
@pytest.mark.parametrize("real", REALS)
def test_two_steps_have_the_bits_of_one(real, mechanism, norm, mode, structure):
    """In float32 too, unlike without `secure`: what is carried from step to step is exact."""
    grads = structured(gradients(real), structure)
    bound = bound_for(grads, mode)
    for keywords in ({"expected_batch_size": 9.0}, {"reduction": "sum"}):
        for multiplier in (1.3, 0.0):
            options = {"mechanism": mechanism, "rng": 4, "secure": True, **keywords}
            want = clip_and_noise(grads, bound, multiplier, norm=norm, mode=mode, **options)
            for cuts in ([], [1, 1, 9]):
                got = add_noise(in_pieces(grads, bound, cuts, norm=norm, mode=mode), multiplier, **options)
                assert type(got) is type(want)
                assert not isinstance(got, dict) or list(got) == list(want)
                for a, b in zip(parts(got), parts(want), strict=True):
                    assert a.dtype == b.dtype == real
                    assert a.shape == b.shape
                    assert a.tobytes() == b.tobytes()


def test_order_pieces_and_threads_do_not_matter():
    grads = np.random.default_rng(3).standard_normal((24, 5000))
    results = set()
    for order in (np.arange(24), np.random.default_rng(4).permutation(24)):
        for cuts, threads in (([], 1), ([5], 3), ([3, 4, 20], 2)):
            with num_threads(threads):
                total = in_pieces(grads[order], 2.0, cuts)
                noised = add_noise(total, 0.7, reduction="sum", rng=NoiseGenerator(5), secure=True)
            results.add((total.sum.tobytes(), total.steps.tobytes(), noised.tobytes()))
    assert len(results) == 1


def test_what_a_secure_sum_says():
    grads = gradients()
    grads[0][3, 1, 1], grads[1][20, 0] = math.nan, math.inf
    total, plain = in_pieces(grads, 1.5, [4, 10]), clip_and_sum(grads, 1.5)
    size = sum(math.prod(shape) for shape in SHAPES)
    assert total.grid == secure_budget(1.5, 1.0, size).grid
    assert plain.grid == 0
    assert plain.steps is None
    assert total.steps.dtype == np.int64
    assert total.nonfinite_rows == plain.nonfinite_rows == 2
    assert (total.batch_size, total.sensitivity, total.clipped_fraction) == (24, 1.5, plain.clipped_fraction)
    np.testing.assert_array_equal(total.norms, plain.norms)
    np.testing.assert_array_equal(flat(total.sum), total.steps * total.grid)
    np.testing.assert_allclose(flat(total.sum), flat(plain.sum), atol=24 * 1.5 * 2.0**-10)
    with pytest.raises(ValueError, match=r"grads\[0\]\[3, 1, 1\] = nan"):
        clip_and_sum(grads, 1.5, nonfinite="raise", secure=True)


@pytest.mark.parametrize("real", REALS)
def test_bound_of_one_row_is_exact(real):
    """The result of a batch of one, in rational arithmetic, whatever its type; the sum's integers as well."""
    g = np.random.default_rng(6)
    for trial in range(400):
        norm, mode = ("l2", "l1")[trial % 2], ("flat", "automatic")[trial // 2 % 2]
        row = (g.standard_normal(int(g.integers(1, 80))) * 10.0 ** g.integers(-3, 3)).astype(real)
        length = float(np.linalg.norm(row.astype(np.float64), 2 if norm == "l2" else 1))
        bound = length * [1.0, 0.3, 1 + 1e-4, 1 - 1e-4, 1 - 1e-6][trial % 5]
        clipped = clip_and_sum(row[None], bound, norm=norm, mode=mode, secure=True)
        steps = [abs(Fraction(int(k))) * Fraction(clipped.grid) for k in clipped.steps]
        shown = [abs(Fraction(float(x))) for x in clipped.sum]
        for exact in (steps, shown):
            assert (sum(x * x for x in exact) <= Fraction(bound) ** 2) if norm == "l2" else sum(exact) <= bound
        if mode == "flat" and bound < length:
            assert float(sum(x * x for x in steps)) ** 0.5 > 0.998 * bound or norm == "l1"


def test_bound_of_every_layer_is_exact():
    g = np.random.default_rng(7)
    for _ in range(100):
        rows = [g.standard_normal((1, int(n))) * 10.0 ** g.integers(-2, 3) for n in g.integers(1, 30, 3)]
        bounds = [float(b) for b in 10.0 ** g.uniform(-3, 3, 3)]
        for norm in ("l2", "l1"):
            clipped = clip_and_sum(rows, bounds, mode="per_layer", norm=norm, secure=True)
            for part, bound in zip(clipped.sum, bounds, strict=True):
                exact = [abs(Fraction(float(x))) for x in part]
                assert (sum(x * x for x in exact) <= Fraction(bound) ** 2) if norm == "l2" else sum(exact) <= bound


def test_empty_batches():
    total = clip_and_sum(np.empty((0, 4)), 1.0, secure=True)
    assert not total.steps.any()
    noised = add_noise(total, 1.0, reduction="sum", rng=1, secure=True)
    np.testing.assert_array_equal(
        noised, clip_and_noise(np.empty((0, 4)), 1.0, 1.0, reduction="sum", rng=1, secure=True)
    )
    none = clip_and_sum(np.empty((3, 0)), 1.0, secure=True)
    assert add_noise(none, 1.0, reduction="sum", secure=True).shape == (0,)


@pytest.mark.parametrize("name", ["check", "reference"])
def test_backends_agree(name):
    grads = gradients(np.float32)
    native = in_pieces(grads, 1.5, [7])
    with fl.backend(name):
        other = in_pieces(grads, 1.5, [7])
        noised = add_noise(other, 1.0, reduction="sum", rng=3, secure=True)
    assert np.abs(native.steps - other.steps).max() <= 24  # the last place of a factor may turn a rounding over
    want = flat(add_noise(native, 1.0, reduction="sum", rng=3, secure=True))
    np.testing.assert_allclose(flat(noised), want, atol=25 * native.grid + 1e-6)


def test_sums_that_were_not_made_for_it():
    plain, made = clip_and_sum(np.ones((2, 3)), 1.0), clip_and_sum(np.ones((2, 3)), 1.0, secure=True)
    out = np.full(3, 5.0)
    for clipped, secure in ((plain, True), (made, False)):
        with pytest.raises(ValueError, match=rf"clip_and_sum\(\.\.\., secure={secure}\)"):
            add_noise(clipped, 1.0, reduction="sum", secure=secure, out=out)
        with pytest.raises(ValueError, match=f"accumulate was clipped with secure = {not secure}"):
            clip_and_sum(np.ones((2, 3)), 1.0, accumulate=clipped, secure=secure)
        assert not clipped.noised
    assert (out == 5).all()


def test_noised_once_only():
    clipped = clip_and_sum(np.ones((3, 4)), 1.0, secure=True)
    add_noise(clipped, 0.0, reduction="sum", secure=True)
    with pytest.raises(ValueError, match="noise_multiplier"):
        add_noise(clipped, -1.0, reduction="sum", secure=True)
    assert not clipped.noised
    add_noise(clipped, 1.0, reduction="sum", secure=True)
    for noised in (clipped, copy.copy(clipped), copy.deepcopy(clipped), pickle.loads(pickle.dumps(clipped))):
        with pytest.raises(ValueError, match="clipped has been noised"):
            add_noise(noised, 1.0, reduction="sum", secure=True)
        with pytest.raises(ValueError, match="accumulate has been noised"):
            clip_and_sum(np.ones((3, 4)), 1.0, accumulate=noised, secure=True)


def test_outputs_and_inputs():
    grads = gradients()
    total = clip_and_sum(grads, 1.0, secure=True)
    saved, want = copy.deepcopy(total), add_noise(copy.deepcopy(total), 1.0, reduction="sum", rng=2, secure=True)
    more = clip_and_sum(grads, 1.0, accumulate=total, secure=True)
    np.testing.assert_array_equal(total.steps, saved.steps)
    np.testing.assert_array_equal(more.steps, 2 * saved.steps)
    assert add_noise(total, 1.0, reduction="sum", rng=2, secure=True, out=total.sum) is total.sum
    np.testing.assert_array_equal(flat(total.sum), flat(want))
    np.testing.assert_array_equal(total.steps, saved.steps)
    own = clip_and_sum(grads, 1.0, secure=True)
    assert clip_and_sum(grads, 1.0, accumulate=own, out=own.sum, secure=True).sum is own.sum
    np.testing.assert_array_equal(flat(own.sum), flat(more.sum))


def test_bad_arguments():
    grads = np.ones((2, 3))
    for call in (
        lambda: clip_and_sum(grads, 1.0, secure=1),
        lambda: clip_and_noise(grads, 1.0, 1.0, reduction="sum", secure="yes"),
        lambda: add_noise(clip_and_sum(grads, 1.0), 1.0, reduction="sum", secure=None),
        lambda: linear_clip_and_noise(grads, grads, 1.0, 1.0, reduction="sum", secure=0),
        lambda: embedding_clip_and_noise([0, 1], grads, 4, 1.0, 1.0, reduction="sum", secure="no"),
    ):
        with pytest.raises(TypeError, match="secure"):
            call()
    with pytest.raises(ValueError, match="max_grad_norm = inf with secure = True"):
        clip_and_sum(grads, math.inf, secure=True)
    total = clip_and_sum(grads, 1.0, secure=True)
    with pytest.raises(ValueError, match="expected 'l1'"):
        add_noise(total, 1.0, reduction="sum", mechanism="laplace", secure=True)
    with pytest.raises(ValueError, match="the noise is"):
        add_noise(total, 1e10, reduction="sum", secure=True)
    huge = copy.copy(total)
    object.__setattr__(huge, "batch_size", 2**42)
    with pytest.raises(ValueError, match="64 bits"):
        clip_and_sum(grads, 1.0, accumulate=huge, secure=True)
    assert not total.noised
