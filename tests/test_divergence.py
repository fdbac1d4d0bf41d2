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
