"""KL divergence of single terms: what is small, what nearly agrees, and whose ratio leaves the numbers.

The truth is mpmath's. Not here: rows, options, limits (test_row_losses.py).
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

import fastloss as fl

TYPES = (np.float32, np.float64)


def terms(x: Any, t: Any) -> Any:
    return fl.kl_divergence(x[:, None], t[:, None], reduction="none")


def ulps(x: Any, t: Any, values: Any) -> float:
    """The largest error of t log(t / x), in ULPs of it."""
    worst = 0.0
    with mpmath.workprec(200):
        for a, b, v in zip(t, x, values, strict=True):
            true = mpmath.mpf(float(a)) * mpmath.log(mpmath.mpf(float(a)) / mpmath.mpf(float(b)))
            if true:
                unit = mpmath.mpf(float(np.spacing(values.dtype.type(abs(true)))))
                worst = max(worst, float(abs(mpmath.mpf(float(v)) - true) / unit))
    return worst


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", [0, -30, -40, -50, -60, -70])
def test_terms_that_nearly_agree_keep_their_digits_at_any_size(dtype, size, rng):
    """Also where one of the two is below a threshold of the kernel and the other is not."""
    x = np.ldexp(rng.uniform(0.4, 2.5, 2000), size).astype(dtype)
    t = (x * (1 + rng.choice([1e-6, 1e-3, 0.3], 2000) * rng.uniform(-1, 1, 2000))).astype(dtype)
    assert ulps(x, t, terms(x, t)) < 4


@pytest.mark.parametrize("dtype", TYPES)
def test_every_size_meets_every_other(dtype):
    """Subnormal numbers too; the term is finite where the ratio is not."""
    info = np.finfo(dtype)
    sizes = np.exp2(np.arange(np.log2(info.smallest_subnormal), 1, 3)).astype(dtype)
    x, t = (a.ravel() for a in np.meshgrid(sizes * dtype(1), sizes))
    values = terms(x, t)
    assert np.isfinite(values).all()
    big = np.abs(values) > info.tiny / info.eps  # the ULPs of subnormal terms are larger
    assert big.sum() > 500
    assert ulps(x[big], t[big], values[big]) < 4


@pytest.mark.parametrize("dtype", TYPES)
def test_neighbours_do_not_change_a_term(dtype, rng):
    """A small number among ordinary ones, which have a loop of their own."""
    x, t = (rng.uniform(0.01, 1, (5, 1000)).astype(dtype) for _ in range(2))
    alone, grad = fl.kl_divergence.value_and_grad(x, t, reduction="none")
    y, u = x.copy(), t.copy()
    y[2, 300], u[2, 301], y[3, 17] = 1e-30, 0, 1e-30
    _, beside = fl.kl_divergence.value_and_grad(y, u, reduction="none")
    same = (y == x) & (u == t)
    assert np.array_equal(grad[same], beside[same])
    value, _ = fl.kl_divergence.value_and_grad(y, u, reduction="none")
    assert np.array_equal(value[[0, 1, 4]], alone[[0, 1, 4]])
    column = fl.kl_divergence(np.ascontiguousarray(x[:, :1]), np.ascontiguousarray(t[:, :1]), reduction="none")
    y[:, 1:], u[:, 1:] = 1, 1
    y[:, 1:2], y[:, 2:3] = 1e-30, 1
    u[:, 1:] = 0
    assert np.array_equal(fl.kl_divergence(y, u, reduction="none")[[0, 1, 4]], column[[0, 1, 4]])


@pytest.mark.parametrize("dtype", TYPES)
def test_entropy_of_small_targets(dtype):
    """From logits: t log t of subnormal and tiny t beside the cross-entropy of nothing."""
    info = np.finfo(dtype)
    t = np.array([[info.smallest_subnormal], [info.tiny / 2], [info.tiny], [1e-20], [0.3]], dtype)
    t = np.repeat(t, 70, axis=0)
    value = fl.kl_divergence(np.zeros_like(t), t, from_logits=True, reduction="none")
    true = t[:, 0].astype(np.float64) * np.log(t[:, 0].astype(np.float64))
    assert np.allclose(value, true, rtol=4 * info.eps, atol=float(info.smallest_subnormal))


def given_as(layout: str, a: Any) -> tuple[Any, dict[str, Any]]:
    """An array of rows as a prediction or target lies in memory, and the option that goes with it."""
    if layout == "classes first":
        return np.ascontiguousarray(a.T), {"axis": 0}
    if layout == "every second":
        return np.repeat(a, 2, axis=1)[:, ::2], {}
    return a.astype("float16" if layout == "float16" else a.dtype), {}


@pytest.mark.parametrize("layout", ["rows", "classes first", "every second", "float16"])
@pytest.mark.parametrize("shape", [(3, 5), (700, 10), (300, 1000), (2, 70_000)])
def test_targets_are_looked_at_before_anything_is_written(layout, shape, dtype, isa):
    """From logits the kernel looks at them itself: whatever the tile and the thread that meet the negative one."""
    x, axis = given_as(layout, np.full(shape, 0.5, dtype))
    for row, column in ((0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 2)):
        t = np.full(shape, 0.25, dtype)
        t[row, column] = -0.25
        t, _ = given_as(layout, t)
        where = f"{column}, {row}" if axis else f"{row}, {column}"
        silent = np.ones(shape[0])
        silent[row] = 0
        for more in ({}, {"reduction": "none"}, {"reduction": "sum"}, {"sample_weight": silent}):
            for from_logits in (False, True):
                grad = x.copy()
                options = {"from_logits": from_logits, **axis, **more}
                with pytest.raises(ValueError, match=rf"target\[{where}\] = -0.25 is out of range"):
                    fl.kl_divergence.value_and_grad(grad, t, grad_out=grad, **options)
                assert np.array_equal(grad, x)
                with pytest.raises(ValueError, match=rf"target\[{where}\] = -0.25 is out of range"):
                    fl.kl_divergence(x, t, **options)


def test_zeros_and_nan_with_a_sign_are_no_negative_numbers(dtype, isa):
    x, t = np.full((9, 300), 0.5, dtype), np.full((9, 300), 0.25, dtype)
    u = t.copy()
    t[2, 7], u[2, 7] = -0.0, 0.0
    for from_logits in (False, True):
        expected = fl.kl_divergence(x, u, reduction="none", from_logits=from_logits)
        assert np.array_equal(fl.kl_divergence(x, t, reduction="none", from_logits=from_logits), expected)
        for bad in (np.nan, -np.nan):
            t[4, 299] = bad
            value = fl.kl_divergence(x, t, reduction="none", from_logits=from_logits)
            assert np.array_equal(np.isnan(value), np.arange(9) == 4)
            assert np.isnan(fl.kl_divergence(x, t, from_logits=from_logits))
            t[4, 299] = 0.25


def test_predictions_in_silent_rows_may_be_anything(dtype, isa):
    """Of probabilities too the kernel looks first: what it finds is a matter of the weights then."""
    x, t, weight = np.full((400, 300), 0.5, dtype), np.full((400, 300), 0.25, dtype), np.ones(400, dtype)
    expected = fl.kl_divergence(x[1:], t[1:])
    x[0, 3], weight[0] = -1, 0
    assert fl.kl_divergence(x, t, sample_weight=weight) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match=r"prediction\[0, 3\] = -1"):
        fl.kl_divergence(x, t)


def test_entropy_of_tiny_rows_beside_others(dtype, isa):
    """Rows of nothing but subnormal targets are exact too, as far as their terms can be: half the smallest each."""
    info = np.finfo(dtype)
    for classes in (1, 7, 40, 3000):
        t = np.full((50, classes), 1 / classes, dtype)
        t[10], t[20], t[30, 1:] = info.smallest_subnormal * 7, info.tiny / 8, 0
        value = fl.kl_divergence(np.zeros_like(t), t, from_logits=True, reduction="none")
        with mpmath.workprec(120):
            for row in (0, 10, 20, 30):
                true = sum(mpmath.mpf(float(a)) * mpmath.log(float(a) * mpmath.mpf(classes)) for a in t[row] if a)
                size = sum(mpmath.mpf(float(a)) * (mpmath.log(classes) - mpmath.log(float(a))) for a in t[row] if a)
                grain = (classes + 2) * float(info.smallest_subnormal)
                assert abs(float(value[row]) - true) <= 2 * info.eps * size + grain
