"""Sums and means of non-negative terms: relative error at most 1e-7 in float32 and 1e-15 in float64, at any length."""

import math

import numpy as np
import pytest
from cases import CASES
from compare import relative_error

import fastloss as fl

LENGTHS = (1, 2, 31, 33, 1000, 2049, 131_073, 1_000_000)


def terms_of(kind: str, n: int, rng: np.random.Generator):
    """Non-negative numbers that are hard to add up."""
    tiny = np.full(n, 2.0**-54)
    tiny[0] = 1.0
    rows = np.arange(n) // 32 % 2  # of lanes: the kernels add one to the next
    return {
        "constant": lambda: np.full(n, 0.1),
        "one, then tiny ones": lambda: tiny,
        "one, then tiny ones for float32": lambda: np.where(tiny == 1, 1.0, 2.0**-25),
        "pairs that round down in float32": lambda: np.where(rows == 0, 1.0, 2.0**-24),
        "pairs that round up in float32": lambda: np.where(rows == 0, 1.0, 2.0**-24 + 2.0**-47),
        "exponential": lambda: rng.exponential(size=n),
        "wide": lambda: np.exp(5 * rng.uniform(-1, 1, n)),
        "very wide": lambda: np.exp2(rng.uniform(-60, 40, n)),
        "falling": lambda: 1.0 / np.arange(1, n + 1) ** 2,
        "rising": lambda: (1.0 / np.arange(1, n + 1) ** 2)[::-1],
        "zeros": lambda: np.zeros(n),
    }[kind]()


KINDS = (
    "constant",
    "one, then tiny ones",
    "one, then tiny ones for float32",
    "pairs that round down in float32",
    "pairs that round up in float32",
    "exponential",
    "wide",
    "very wide",
    "falling",
    "rising",
    "zeros",
)


def bound_of(dtype):
    return 1e-7 if dtype == np.float32 else 1e-15


@pytest.mark.parametrize("kind", KINDS)
def test_sums_of_given_terms(kind, dtype, isa, rng):
    """l1_loss of the terms against 0 has exactly these terms."""
    for n in LENGTHS:
        x = terms_of(kind, n, rng).astype(dtype)
        exact = math.fsum(x)
        total, grad = fl.l1_loss.value_and_grad(x, np.zeros_like(x), reduction="sum")
        assert relative_error(total, exact) <= bound_of(dtype), n
        assert relative_error(fl.l1_loss(x, np.zeros_like(x)), exact / n) <= bound_of(dtype), n
        assert (grad == np.sign(x)).all()


@pytest.mark.parametrize("kind", KINDS[:8])
def test_rows_and_weights(kind, dtype, rng):
    """A sum over rows, which is kept in double throughout, and a sum of weights."""
    for n in (1, 33, 5000, 100_001):
        terms = terms_of(kind, n, rng).astype(dtype)
        weight = np.maximum(terms, np.finfo(dtype).tiny)
        logits = np.zeros((n, 2), dtype)
        labels = np.zeros(n, int)
        value, total = fl.cross_entropy(logits, labels, reduction="none", sample_weight=weight), math.fsum(weight)
        assert relative_error(
            fl.cross_entropy(logits, labels, reduction="sum", sample_weight=weight), math.fsum(value)
        ) <= (bound_of(dtype))
        assert relative_error(fl.cross_entropy.denominator(labels, sample_weight=weight), total) <= 1e-15
        assert relative_error(fl.mse_loss.denominator(weight, sample_weight=weight), total) <= 1e-15
        assert relative_error(fl.cross_entropy(logits, labels, sample_weight=weight), math.log(2)) <= 2 * bound_of(
            dtype
        )


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
@pytest.mark.parametrize("n", [1, 31, 2049, 40_000, 300_007])
def test_sum_of_each_loss(case, n, dtype, isa, rng):
    """Against math.fsum of the unreduced terms, non-contiguous arrays and value alone included."""
    shape = (n // 5 + 1, 5) if case.rowwise else (n,)
    x, t = case.arrays(rng, shape, dtype)
    x = case.tamed(x)
    loss = getattr(fl, case.name)
    terms = loss(x, t, reduction="none")
    exact, size = math.fsum(terms.ravel()), math.fsum(np.abs(terms).ravel())
    for arrays in ((x, t), (np.asfortranarray(x), t)):
        total, mean = loss(*arrays, reduction="sum"), loss(*arrays)
        # float32 rows: the terms of the sum are those in double, whose rounding to float32 is within the bound.
        lost = terms.size * float(np.finfo(dtype).smallest_subnormal)
        assert abs(total - exact) <= bound_of(dtype) * size + lost
        assert abs(mean - exact / terms.size) <= ((bound_of(dtype) + 2.0**-52) * size + lost) / terms.size
        assert loss.value_and_grad(*arrays, reduction="sum")[0] == total


@pytest.mark.parametrize("n", [100, 128, 300, 5000])
def test_overflow_of_a_partial_sum_is_no_nan(n, dtype, isa):
    """Finite terms whose sum is beyond the type: float32 sums end in double; float64 gives inf, not NaN."""
    x = np.full(n, np.finfo(dtype).max)
    zero = np.zeros_like(x)
    want = n * float(np.finfo(dtype).max)
    total, grad = fl.l1_loss.value_and_grad(x, zero, reduction="sum")
    assert total == pytest.approx(want, rel=1e-12)
    assert (grad == 1).all()
    assert fl.l1_loss(x, zero, reduction="sum") == total
    own = x.copy()
    assert fl.l1_loss.value_and_grad(own, zero, reduction="sum", grad_out=own)[0] == total
    assert (own == 1).all()
    with_inf = np.append(x[: n // 8] / n, np.inf).astype(dtype)
    assert fl.l1_loss(with_inf, np.zeros_like(with_inf), reduction="sum") == np.inf
