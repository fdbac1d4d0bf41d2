"""float16 and bfloat16: read as they are, computed in float32, rounded once. Every input of the functions of one
number, and, of the functions of two, every pair (slow; the figures are in half/RESULTS.md).

"Rounded" is always the result of the float32 call, rounded here by NumPy to the nearest, ties to even.
"""

import inspect
import tracemalloc
from typing import Any

import numpy as np
import pytest
from cases import POINTWISE, ROWWISE
from conftest import FMA_ISAS
from half_pairs import LOSSES, measure
from test_clip import rng_of

import fastloss as fl
from fastloss import _core
from fastloss._half import assign, half_name, widened
from fastloss._pointwise import _outside
from fastloss.privacy import clip_and_sum, per_sample_norms

ml_dtypes = pytest.importorskip("ml_dtypes")
HALF = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16), fl.bfloat16_bits]
HALF_IDS = ["float16", "bfloat16", "bits"]
TYPES = HALF[:2]  # bits are the same kernel as bfloat16

EVERY = np.arange(2**16, dtype=np.uint16)


@pytest.fixture(params=HALF, ids=HALF_IDS)
def half(request: pytest.FixtureRequest) -> Any:
    return request.param


def narrowed(values: Any, half: Any) -> Any:
    out = np.empty(np.shape(values), half)
    assign(out, np.asarray(values, np.float32))
    return out


def assert_same(got: Any, values: Any) -> None:
    """A result has the type it should have and the bits of rounded float32 values; any NaN is a NaN."""
    expected = widened(narrowed(values, got.dtype))
    got = widened(got)
    wrong = ~((got == expected) | (np.isnan(got) & np.isnan(expected)))
    wrong |= (got == 0) & (np.signbit(got) != np.signbit(expected))
    assert not wrong.any(), (np.argwhere(wrong)[:3], got[wrong][:3], expected[wrong][:3])


def test_widening_and_rounding_are_those_of_numpy_and_ml_dtypes() -> None:
    """What this file compares with: bits of bfloat16 and the two libraries agree."""
    for half in TYPES:
        assert np.array_equal(widened(EVERY.view(half)), EVERY.view(half).astype(np.float32), equal_nan=True)
    values = np.arange(0, 2**32, 65521, dtype=np.uint64).astype(np.uint32).view(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    assert np.array_equal(widened(narrowed(values, fl.bfloat16_bits)), expected, equal_nan=True)


def rounded_floats(weights: Any, half: Any) -> None:
    """Every weight as an unreduced loss, and its negative as a gradient: what a kernel does is round it."""
    one = narrowed(np.ones(weights.size), half)
    zero = narrowed(np.zeros(weights.size), half)
    value, grad = fl.l1_loss.value_and_grad(zero, one, sample_weight=weights, reduction="none")
    assert_same(value, weights)
    assert_same(grad, np.where(weights > 0, -weights, 0))


def test_floats_are_rounded_to_nearest_even(half: Any, isa: str) -> None:
    """Around every half number and half-way between two, and overflow."""
    numbers = widened(EVERY[: 2**15].view(half))
    numbers = numbers[np.isfinite(numbers)]
    bits = numbers.view(np.uint32).astype(np.int64)
    middles = ((numbers[:-1].astype(float) + numbers[1:]) / 2).astype(np.float32).view(np.uint32)
    near = np.concatenate([np.concatenate([bits, middles.astype(np.int64)]) + k for k in (-1, 0, 1)])
    largest = np.array([65519.996, 65520, 65536, 1e10, 3.3895314e38, 3.3961775e38, 3.4028235e38], np.float32)
    near = np.concatenate([near[near >= 0], largest.view(np.uint32)]).astype(np.uint32).view(np.float32)
    rounded_floats(near[np.isfinite(near)], half)


@pytest.mark.slow
@pytest.mark.parametrize("half", TYPES, ids=str)
def test_every_float_is_rounded_to_nearest_even(half: Any, isa: str) -> None:
    for first in range(0, 0x7F800000, 2**24):
        last = min(first + 2**24, 0x7F800000)
        rounded_floats(np.arange(first, last, dtype=np.uint32).view(np.float32), half)


@pytest.mark.parametrize("name", ["sigmoid", "log_sigmoid", "softplus"])
def test_every_input_of_the_activations(name: str, half: Any, isa: str) -> None:
    """Against the exact result: within half an ULP and what float32 was wrong by before, 2^-12 (2^-15 for bfloat16)."""
    x = EVERY.view(half)
    got = getattr(fl, name)(x)
    assert_same(got, getattr(fl, name)(widened(x)))
    with np.errstate(invalid="ignore"):  # signalling NaN
        truth = getattr(fl.reference, name)(widened(x).astype(np.float64))
    assert misses(got, truth, half) <= 0.5 + (2**-12 if half_name(half) == "float16" else 2**-15)


def misses(got: Any, truth: Any, half: Any) -> float:
    """The largest error in ULPs of the exact results; NaN and infinities must be right."""
    digits, least, largest = (11, -24, 65520.0) if half_name(half) == "float16" else (8, -133, 3.3961775e38)
    got = widened(got).astype(np.float64)
    finite = np.isfinite(truth) & (np.abs(truth) < largest)
    assert np.array_equal(
        got[~finite], np.where(np.isnan(truth), np.nan, np.copysign(np.inf, truth))[~finite], equal_nan=True
    )
    exponent = np.maximum(np.frexp(truth[finite])[1] - digits, least)
    return float(np.max(np.abs(got[finite] - truth[finite]) / np.ldexp(1.0, exponent)))


def inputs_of(case: Any, half: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Every prediction that the loss takes, each with a target."""
    loss = getattr(fl, case.name)
    domain = loss._domains(loss._numbers(*loss._check(default_parameters(loss)).values()))[0]
    x = EVERY.view(half)
    x = x[~_outside(x, domain, np.dtype(np.float32))]
    _, t = case.arrays(rng, x.shape, np.float32)
    return x, narrowed(t, half)


def default_parameters(loss: Any) -> tuple[Any, ...]:
    defaults = {k: p.default for k, p in inspect.signature(type(loss).__call__).parameters.items()}
    return tuple(defaults[name] for name in loss._parameter_names if name != loss._array_parameter)


@pytest.mark.parametrize("case", POINTWISE, ids=lambda case: case.name)
@pytest.mark.parametrize("half", TYPES, ids=str)
def test_every_prediction_of_the_losses(case: Any, half: Any, rng: np.random.Generator) -> None:
    """Value, gradient and Hessian are those of float32, rounded; sums are theirs; all agree with the reference."""
    x, t = inputs_of(case, half, rng)
    loss = getattr(fl, case.name)
    results = loss.value_grad_hess(x, t, reduction="none")
    for got, wide in zip(results, loss.value_grad_hess(widened(x), widened(t), reduction="none"), strict=True):
        assert_same(got, wide)
    calm = np.abs(widened(x)) < 50
    x, t = x[calm], t[calm]
    with fl.backend("check"):
        loss.value_and_grad(x, t, reduction="none")  # Hessians jump where float32 rounds x - t
        total = loss(x, t, reduction="sum")
    assert total == pytest.approx(loss(widened(x), widened(t), reduction="sum"), rel=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("half", [HALF[0], HALF[2]], ids=["float16", "bfloat16"])
def test_every_pair(name: str, half: Any) -> None:
    found = measure(name, half)
    assert found.wrong == 0
    assert max(found.value_ulps, found.gradient_ulps) <= 0.501


@pytest.mark.parametrize("half", TYPES, ids=str)
def test_same_bits_for_threads_and_instruction_sets(half: Any, any_isa: None, rng: np.random.Generator) -> None:
    x, t = (narrowed(rng.standard_normal((300, 1111)) * 3, half) for _ in range(2))
    labels = rng.integers(0, 1111, 300)

    def everything() -> list[Any]:
        huber = fl.huber_loss.value_and_grad(x, t)
        entropy = fl.cross_entropy.value_and_grad(x, labels)
        clipped = clip_and_sum(x, 1.0)
        return [huber[0], huber[1].tobytes(), entropy[0], entropy[1].tobytes(), clipped.sum.tobytes(),
                fl.softplus(x).tobytes(), fl.softmax(x, axis=0).tobytes()]  # fmt: skip

    results = []
    for isa in FMA_ISAS:
        _core.isa_select(isa)
        for threads in (1, 2, 3):
            with fl.num_threads(threads):
                results.append(everything())
    assert all(r == results[0] for r in results)


# ---- Rows and layouts ----

LAYOUTS = {
    "contiguous": ((70, 9), -1, lambda a: a),
    "one row": ((1, 5000), -1, lambda a: a),
    "wide": ((3, 9001), -1, lambda a: a),
    "classes first": ((9, 70), 0, lambda a: a),
    "classes between": ((4, 11, 300), 1, lambda a: a),
    "Fortran": ((70, 9), -1, np.asfortranarray),
    "backwards": ((70, 9), -1, lambda a: a[::-1, ::-1]),
    "every second": ((140, 18), -1, lambda a: a[::2, ::2]),
    "one class": ((40, 1), -1, lambda a: a),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", ROWWISE, ids=lambda case: case.name)
def test_rows_of_any_layout(case: Any, layout: str, half: Any, rng: np.random.Generator) -> None:
    shape, axis, view = LAYOUTS[layout]
    given = view(np.empty(shape, np.float32)).shape
    moved = tuple(np.moveaxis(np.empty(given, np.bool_), axis, -1).shape)
    x, t = case.arrays(rng, moved, np.float32)
    x = np.moveaxis(x, -1, axis)
    base = np.empty(shape, half)
    logits = view(base)
    assign(logits, x)
    if t.dtype.kind == "f":
        t = narrowed(np.moveaxis(t, -1, axis), half)
    loss = getattr(fl, case.name)
    entry = loss.value_grad_hess if hasattr(loss, "value_grad_hess") else loss.value_and_grad
    wide_t = widened(t)
    results = entry(logits, t, axis=axis, reduction="none")
    for got, wide in zip(results, entry(widened(logits), wide_t, axis=axis, reduction="none"), strict=True):
        assert_same(got, wide)
    out = view(np.empty(shape, half))
    value, grad = loss.value_and_grad(logits, t, axis=axis, grad_out=out)
    assert grad is out
    wide_value, wide_grad = loss.value_and_grad(widened(logits), wide_t, axis=axis)
    assert np.array_equal(value, wide_value, equal_nan=True)
    assert_same(grad, wide_grad)
    again = loss.value_and_grad(logits, t, axis=axis, grad_out=logits)[0]
    assert np.array_equal(again, value, equal_nan=True)
    assert_same(logits, wide_grad)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_softmax_of_any_layout(layout: str, half: Any, rng: np.random.Generator) -> None:
    shape, axis, view = LAYOUTS[layout]
    x = view(narrowed(rng.standard_normal(shape) * 5, half))
    for name in ("softmax", "log_softmax", "logsumexp"):
        assert_same(getattr(fl, name)(x, axis=axis), getattr(fl, name)(widened(x), axis=axis))


@pytest.mark.parametrize("name", ["contrastive_loss", "triplet_margin_loss", "cosine_embedding_loss", "center_loss"])
def test_embeddings(name: str, half: Any, rng: np.random.Generator) -> None:
    def rows(n: int) -> Any:
        return narrowed(rng.standard_normal((n, 77)), half)

    n = 330
    given = {
        "contrastive_loss": (rows(n), rows(n), rng.integers(0, 2, n)),
        "triplet_margin_loss": (rows(n), rows(n), rows(n)),
        "cosine_embedding_loss": (rows(n), rows(n), rng.integers(0, 2, n) * 2 - 1),
        "center_loss": (rows(n), rows(7), rng.integers(0, 7, n)),
    }[name]
    loss = getattr(fl, name)
    wide = tuple(widened(a) for a in given)
    value, grads = loss.value_and_grad(*given, reduction="none")
    wide_value, wide_grads = loss.value_and_grad(*wide, reduction="none")
    assert_same(value, wide_value)
    for got, expected in zip(grads, wide_grads, strict=True):
        assert_same(got, expected)
    assert loss(*given) == loss(*wide)
    mixed = loss.value_and_grad(wide[0], *given[1:])
    assert mixed[0] == loss(*wide)


# ---- Clipping ----


@pytest.mark.parametrize("shape", [(300, 9), (20, 5000), (3, 100_001), (5, 0)])
@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_clipping_is_that_of_float32(shape: tuple[int, int], norm: Any, half: Any, isa: str) -> None:
    rng = rng_of(3)
    grads = narrowed(rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 4, (shape[0], 1)), half)
    if shape[1] > 9:
        grads[1] = narrowed(np.zeros(shape[1]), half)
        grads[1, :2] = narrowed([3.0, 4.0], half)  # at the bound: looked at twice
    if shape[1]:
        grads[2, -1] = narrowed([np.nan], half)[0]
    wide = widened(grads)
    for mode in ("flat", "automatic"):
        got, expected = (clip_and_sum(g, 5.0, norm=norm, mode=mode) for g in (grads, wide))
        assert got.sum.dtype == np.float32
        assert got.sum.tobytes() == expected.sum.tobytes()
        assert got.norms.tobytes() == expected.norms.tobytes()
        assert got.clipped_fraction == expected.clipped_fraction
        assert got.nonfinite_rows == expected.nonfinite_rows
    assert per_sample_norms(grads, norm=norm).tobytes() == per_sample_norms(wide, norm=norm).tobytes()


def test_clipping_of_arrays_of_several_types(half: Any) -> None:
    rng = rng_of(4)
    parts = [narrowed(rng.standard_normal((9, 3000)), half), rng.standard_normal((9, 70)).astype(np.float32)]
    for more in ([], [rng.standard_normal((9, 5))]):  # with float64, all are taken as float64
        given, wide = parts + more, [widened(a) for a in parts] + more
        for bound, mode in ((2.0, "flat"), ([2.0] * len(given), "per_layer")):
            got, expected = clip_and_sum(given, bound, mode=mode), clip_and_sum(wide, bound, mode=mode)
            for a, b in zip(got.sum, expected.sum, strict=True):
                assert a.dtype == b.dtype
                assert a.tobytes() == b.tobytes()


def test_a_nonfinite_half_is_named(half: Any) -> None:
    grads = narrowed([[1.0, 2.0], [3.0, np.inf]], half)
    with pytest.raises(ValueError, match=r"grads\[1, 1\] = inf"):
        clip_and_sum(grads, 1.0, nonfinite="raise")


# ---- What else there is to know ----


def test_bits_are_never_guessed() -> None:
    """A uint16 array holds integers; as bfloat16_bits it holds bfloat16, and so do its results."""
    bits = narrowed([1.0, -2.5, 3.0], ml_dtypes.bfloat16).view(np.uint16)
    target = np.zeros(3, np.float32)
    assert fl.mse_loss(bits, np.zeros(3)) == pytest.approx(float(np.mean(bits.astype(float) ** 2)))
    value, grad = fl.mse_loss.value_and_grad(bits.view(fl.bfloat16_bits), target, reduction="sum")
    assert value == 1 + 6.25 + 9
    assert grad.dtype == fl.bfloat16_bits
    assert grad.view(ml_dtypes.bfloat16).astype(float).tolist() == [2.0, -5.0, 6.0]
    with pytest.raises(TypeError, match="dtype"):
        fl.mse_loss.value_and_grad(bits.view(fl.bfloat16_bits), target, grad_out=np.empty(3, np.uint16))


def test_errors_show_numbers(half: Any) -> None:
    x = narrowed([0.5, 0.25], half)
    with pytest.raises(ValueError, match=r"target\[1\] = 2.0 is out of range"):
        fl.binary_cross_entropy(x, narrowed([1.0, 2.0], half))
    with pytest.raises(ValueError, match=r"sample_weight\[0\] = -1.0 is not a weight"):
        fl.mse_loss(x, x, sample_weight=narrowed([-1.0, 1.0], half))


def test_backends_agree(half: Any, rng: np.random.Generator) -> None:
    x, t = (narrowed(rng.standard_normal((40, 5)), half) for _ in range(2))
    for backend in ("reference", "check"):
        with fl.backend(backend):
            value, grad = fl.huber_loss.value_and_grad(x, t, reduction="none", sample_weight=narrowed([[0.5]], half))
            assert value.dtype == grad.dtype == half
            assert fl.softmax(x).dtype == half
            assert fl.sigmoid(x).dtype == half
            assert fl.dice_loss.value_and_grad(x, t)[1].dtype == half
            assert fl.cross_entropy.value_and_grad(x, np.zeros(40, int))[1].dtype == half


VALUE = np.empty((1024, 1024), np.uint16)
CALLS = {
    "huber_loss": lambda x, t, out: fl.huber_loss.value_and_grad(x, t, grad_out=out),
    "weighted": lambda x, t, out: fl.mse_loss.value_and_grad(x, t, sample_weight=t, grad_output=x, reduction="none",
                                                             out=VALUE.view(x.dtype), grad_out=out),
    "sigmoid": lambda x, t, out: fl.sigmoid(x, out=out),
    "softmax": lambda x, t, out: fl.softmax(x, out=out),
    "cross_entropy": lambda x, t, out: fl.cross_entropy.value_and_grad(x, np.zeros(1024, int), grad_out=out),
    "soft": lambda x, t, out: fl.cross_entropy.value_and_grad(x, t, grad_out=out),
    "focal": lambda x, t, out: fl.softmax_focal_loss.value_and_grad(x, np.zeros(1024, int), grad_out=out),
    "dice_loss": lambda x, t, out: fl.dice_loss.value_and_grad(x, t, grad_out=out),
    "triplet": lambda x, t, out: fl.triplet_margin_loss.value_and_grad(x, t, t, grad_out=(out, None, None)),
    "clip": lambda x, t, out: clip_and_sum(x, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("half", TYPES, ids=str)
def test_nothing_is_copied(name: str, half: Any, rng: np.random.Generator) -> None:
    """A float32 copy of any of the arrays would be 4 MiB; new outputs of the triplet's others are 4 together."""
    x, t = (narrowed(rng.uniform(0, 1, (1024, 1024)), half) for _ in range(2))
    out = np.empty(x.shape, half)
    call = CALLS[name]
    call(x, t, out)
    tracemalloc.start()
    try:
        call(x, t, out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (5 * 2**20 if name == "triplet" else 2**20), peak
