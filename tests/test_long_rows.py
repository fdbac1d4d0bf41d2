"""Cross-entropy of rows longer than a chunk (csrc/rows/softmax_xent_plain.h), whose chunks have each their own largest
logit: everything that depends on how these lie to one another. Rows of one chunk: test_values.py, test_extremes.py."""

import itertools

import numpy as np
import pytest
from compare import EXTENDED, REFERENCE_ULPS, same_bits, truth, worst_ulps

import fastloss as fl

CHUNK = 2048
ce = fl.cross_entropy
# Beyond EXP_BASE (232 and 1560) a shift is no power of two; between it and 1.5 times that it still could be.
LEVELS = {
    "float32": (0, -3, 90, -114, -117, 200, 231, 233, 300, 347, 349, 464, -231, -233, -349, 1e4, -1e4, 1e30, -1e30),
    "float64": (0, -3, 90, -113, -709, -745, -777, -781, 1559, 1561, 2200, 2339, 2341, -1559, -1561, 1e5, -1e5, 1e300),
}
# Measured over 10,000 rows for each, float and double: value 1.7 and 2.3, gradient 2.8 and 3.7, Hessian 4.4 and 4.3;
# without FMA the gradient 3.0 and 3.9, the Hessian 4.4 and 4.7.
BOUNDS = (4.0, 4.0, 6.0)


def row_of(levels, dtype, rng, spread=2.0):
    """A row of one chunk for each level, its largest logit, the last chunk a part of one."""
    x = spread * rng.standard_normal((len(levels), CHUNK))
    x -= x[:, :-700].max(axis=1, keepdims=True) - np.asarray(levels, np.float64)[:, np.newaxis]
    x[:, -700:] -= 5 * spread
    return x.ravel()[:-700].astype(dtype)


def all_forms(x, t, **options):
    """Every way to the same numbers: value, gradient and Hessian; in place; without the Hessian; the value alone."""
    full = ce.value_grad_hess(x, t, **options)
    own = x.copy()
    assert same_bits(ce.value_grad_hess(own, t, grad_out=own, **options), full)
    own = x.copy()
    assert same_bits(ce.value_and_grad(own, t, grad_out=own, **options), full[:2])
    assert same_bits(ce.value_and_grad(x, t, **options), full[:2])
    assert same_bits(ce(x, t, **options), full[0])
    return full


def test_chunks_at_any_distance(dtype, isa, rng):
    levels = LEVELS[np.dtype(dtype).name]
    slack = REFERENCE_ULPS[np.dtype(dtype)] if EXTENDED else np.inf
    edge = 232.0 if dtype == np.float32 else 1560.0
    rows = [rng.choice(levels, 3) for _ in range(25)]
    for side in (-edge, edge):  # so near that a weight may be above 1
        rows += [side + rng.permutation([-0.05, -1.5, 0.04]) + rng.uniform(-0.04, 0.04, 3) for _ in range(10)]
    for row in rows:
        x = row_of(row, dtype, rng, spread=rng.choice([0.1, 2.0, 20.0]))[np.newaxis]
        for at in (rng.integers(x.size), int(np.argmax(x))):
            got = all_forms(x, np.array([at]), reduction="none")
            want = truth("cross_entropy", x, np.array([at]), {}, dtype, reduction="none")
            worst = worst_ulps(got, want, dtype)
            assert all(e <= bound + slack for e, bound in zip(worst, BOUNDS, strict=True)), (row, at, worst)


@pytest.mark.parametrize("options", [{"temperature": 0.7}, {"temperature": 3.0}, {"class_weight": 1}])
def test_options_of_plain_rows(options, dtype, isa, rng):
    """A temperature's rows have one shift, which a pass of its own finds; class weights change no exponential."""
    for level in (0.0, 300.0, -2000.0):
        x = row_of([level, level + 2.0, level - 90.0], dtype, rng)[np.newaxis]
        weight = rng.uniform(0.5, 2, x.size).astype(dtype)
        given = {"class_weight": weight} if "class_weight" in options else options
        for at in (5, int(np.argmax(x))):
            got = all_forms(x, np.array([at]), reduction="none", **given)
            want = truth("cross_entropy", x, np.array([at]), given, dtype, reduction="none")
            slack = REFERENCE_ULPS[np.dtype(dtype)] if EXTENDED else np.inf
            assert all(e <= 8.0 + slack for e in worst_ulps(got, want, dtype)), (level, at)


@pytest.mark.parametrize("level", [0.0, 300.0, 1e4, 1e30])
def test_limits_in_any_chunk(level, dtype, isa, rng):
    """A single +inf takes all; with another one, or a NaN anywhere, there is no limit; -inf is no class at all."""
    base = row_of([0.0, level, -5.0], dtype, rng)
    for at, target in itertools.product((3, CHUNK + 5, base.size - 1), (3, 7, CHUNK + 9)):
        t = np.array([target])
        x = base[np.newaxis].copy()
        x[0, at] = np.inf
        value, grad, hess = all_forms(x, t, reduction="none")
        want = np.zeros(base.size)
        if at != target:
            want[[at, target]] = 1, -1
        assert same_bits(value[0], x.dtype.type(0 if at == target else np.inf))
        assert np.array_equal(grad[0], want)
        assert not hess.any()
        for other, bad in itertools.product((4, CHUNK + 6, target), (np.inf, np.nan)):
            if other != at:
                y = x.copy()
                y[0, other] = bad
                assert all(np.isnan(result).all() for result in all_forms(y, t, reduction="none"))
        y = base[np.newaxis].copy()
        y[0, at] = np.nan
        value, grad, _ = all_forms(y, t, reduction="none")
        assert np.isnan(value).all()
        assert np.isnan(grad).all()


def test_masked_chunks(dtype, isa, rng):
    """Chunks of -inf, first, last or all: what they hold is no class."""
    live = row_of([1.0, -2.0], dtype, rng)
    want = ce.value_grad_hess(live[np.newaxis], np.array([5]), reduction="none")
    for before, after in ((CHUNK, 0), (0, CHUNK), (2 * CHUNK, 3 * CHUNK)):
        x = np.concatenate([np.full(before, -np.inf), live, np.full(after, -np.inf)]).astype(dtype)[np.newaxis]
        got = all_forms(x, np.array([before + 5]), reduction="none")
        np.testing.assert_allclose(got[0], want[0], rtol=4 * np.finfo(dtype).eps)
        for a, b in zip(got[1:], want[1:], strict=True):
            np.testing.assert_allclose(a[0, before : before + live.size], b[0], rtol=8 * np.finfo(dtype).eps)
            assert not np.delete(a[0], np.s_[before : before + live.size]).any()
    x = np.full((1, 3 * CHUNK), -np.inf, dtype)
    assert all(np.isnan(result).all() for result in all_forms(x, np.array([CHUNK]), reduction="none"))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_tiny_probabilities_keep_their_digits(scale, dtype, isa, rng):
    """Chunks far below the maximum, down to subnormal gradients, and up again where the upstream gradient is large."""
    lowest = np.log(np.finfo(dtype).smallest_subnormal)
    for gap in (0.5, 0.8, 0.86, 0.93, 0.99):
        x = row_of([0.0, gap * lowest, 0.97 * gap * lowest], dtype, rng, spread=0.5)[np.newaxis]
        t, upstream = np.array([2]), np.array([scale])
        _, grad = ce.value_and_grad(x, t, reduction="none", grad_output=upstream)
        wide = x.astype(np.longdouble)
        p = np.exp(wide - wide.max())
        want = p / p.sum() * np.longdouble(upstream.astype(dtype)[0])
        reach = wide > wide.max() - (113 if dtype == np.float32 else 744)  # below, there is no saying
        unit = np.maximum(np.spacing(np.abs(want).astype(dtype)), np.finfo(dtype).smallest_subnormal)
        error = np.abs(grad - want)[:, 3:] / unit[:, 3:]
        assert error[reach[:, 3:]].max() <= 4.0


@pytest.mark.parametrize("base", [0.0, 1500.0, 1559.5, -1559.5, -2300.0])
def test_large_weights_meet_tiny_probabilities(base, isa):
    """Two chunks of one logit each, so far apart that a probability alone is subnormal or nothing: the gradient and the
    Hessian times 1e30 are ordinary numbers. Beyond 778 a probability is 0."""
    for gap in (60.0, 650.0, 707.0, 709.0, 730.0, 744.0, 746.0, 755.0, 775.0):
        x = np.full((1, 2 * CHUNK), -np.inf)
        x[0, 7], x[0, CHUNK + 9] = base, base + gap
        given = {"reduction": "none", "sample_weight": 1e30}
        results = all_forms(x, np.array([CHUNK + 9]), **given)
        short = ce.value_grad_hess(x[:, [7, CHUNK + 9]], np.array([1]), **given)
        wide = x[0, [7, CHUNK + 9]].astype(np.longdouble)
        p = np.exp(wide[0] - wide[1]) * np.longdouble(1e30)
        for got, same in zip(results[1:], short[1:], strict=True):
            bound = 4 * np.finfo(float).eps if EXTENDED else 1e-10
            assert abs(got[0, 7] / p - 1) <= bound
            assert got[0, 7] == pytest.approx(same[0, 0], rel=4e-15)


@pytest.mark.parametrize("what", ["levels", "infinite", "two", "nan", "masked"])
def test_shared_rows_have_the_same_chunks(what, dtype, rng):
    """The team's way to a single long row: the same bits as one thread's, also where limits leave chunks untouched."""
    levels = rng.permutation(np.resize(LEVELS[np.dtype(dtype).name], 40))
    if what == "masked":
        levels = np.zeros(40)
    x = row_of(levels, dtype, rng)[np.newaxis]
    t = np.array([x.size // 3])
    bad = {"infinite": [np.inf], "two": [np.inf, np.inf], "nan": [np.inf, np.nan], "masked": []}
    for k, value in enumerate(bad.get(what, [])):
        x[0, 20_000 * k + 11] = value
    if what == "masked":
        x[0, :50_000] = -np.inf
    results = []
    for n in (1, 2, 3, 7):
        with fl.num_threads(n):
            own = x.copy()
            results.append((ce(x, t), ce.value_and_grad(x, t), ce.value_and_grad(own, t, grad_out=own)))
    assert all(same_bits(result, results[0]) for result in results)
    assert same_bits(results[0][1], ce.value_grad_hess(x, t)[:2])
