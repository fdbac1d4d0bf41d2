"""Long rows of a half type, which the kernel of cross-entropy takes as they are: the bits of the float32 call, rounded.

Not here: short rows and other losses (test_half.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_half import assert_same, half, narrowed  # noqa: F401 - a fixture

import fastloss as fl
from fastloss._half import assign, widened

INF, NAN = np.inf, np.nan
CHUNK = 2048
CLASSES = [CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 37, 9 * CHUNK - 1]


def ordinary(x: Any) -> None:
    """Nothing special."""


def masked(x: Any) -> None:
    """Classes that cannot be, whole chunks of them too."""
    x[:, ::3] = -INF
    x[1, : CHUNK + 5] = -INF
    x[2, 5:] = -INF


def no_class(x: Any) -> None:
    x[1] = -INF


def infinite(x: Any) -> None:
    """One in a later chunk, two, and beside a NaN."""
    x[0, -1] = x[1, 3] = x[1, -1] = x[2, 7] = INF
    x[2, -2] = NAN


def nan(x: Any) -> None:
    x[1, -1] = x[2, 0] = NAN


def far(x: Any) -> None:
    """Logits whose maximum has to be subtracted first, in the first chunk or in a later one."""
    x[0] += 5000
    x[1, -1] = 4000
    x[2] -= 3000


def confident(x: Any) -> None:
    x[0, 0] = x[1, -1] = x[2, 1] = 60


INPUTS: list[Callable[[Any], None]] = [ordinary, masked, no_class, infinite, nan, far, confident]


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("fill", INPUTS, ids=lambda f: f.__name__)
def test_bits_are_those_of_float32(fill: Any, classes: int, half: Any, isa: str, rng: np.random.Generator) -> None:  # noqa: F811
    values = rng.standard_normal((3, classes)).astype(np.float32) * 4
    fill(values)
    logits = narrowed(values, half)
    wide = widened(logits)
    weight = rng.uniform(0, 2, classes).astype(np.float32)
    for target in ([0, classes - 1, 1], [5, -100, classes // 2]):
        t = np.array(target)
        weight[t[0]] = 0
        for options in (
            {},
            {"reduction": "none"},
            {"class_weight": weight},
            {"sample_weight": np.array([2.0, 1.0, 0.0])},
        ):
            expected, slope = fl.cross_entropy.value_and_grad(wide, t, **options)
            got, grad = fl.cross_entropy.value_and_grad(logits, t, **options)
            assert grad.dtype == logits.dtype
            assert_same(grad, slope)
            again = fl.cross_entropy(logits, t, **options)
            if np.ndim(expected):
                assert_same(got, expected)
                assert_same(again, expected)
            else:
                assert np.array_equal([got, again], [expected] * 2, equal_nan=True)
            own = logits.copy()
            fl.cross_entropy.value_and_grad(own, t, grad_out=own, **options)
            assert_same(own, slope)


@pytest.mark.parametrize("layout", ["every second row", "backwards", "unaligned", "rows apart by bytes"])
def test_layouts(layout: str, half: Any, rng: np.random.Generator) -> None:  # noqa: F811
    rows, classes = 5, 2 * CHUNK + 11
    base = np.zeros((2 * rows, 2 * classes), half)
    t = rng.integers(0, classes, rows)

    def view(a: Any) -> Any:
        if layout == "every second row":
            return a[::2, :classes]
        if layout == "backwards":
            return a[rows - 1 :: -1, :classes]
        odd = 2 * classes + 1 if layout == "rows apart by bytes" else 2 * classes
        raw = a.view(np.uint8).reshape(-1)[1:]
        return np.lib.stride_tricks.as_strided(raw[: 2 * classes * rows].view(a.dtype), (rows, classes), (odd, 2))

    x = view(base)
    assign(x, rng.standard_normal(x.shape).astype(np.float32))
    expected, slope = fl.cross_entropy.value_and_grad(widened(np.array(x)), t)
    room = np.zeros_like(base)
    out = view(room)
    value, grad = fl.cross_entropy.value_and_grad(x, t, grad_out=out)
    assert value == expected
    assert grad is out
    assert_same(np.array(out), slope)
    value, grad = fl.cross_entropy.value_and_grad(np.array(x), t)
    assert value == expected
    assert_same(grad, slope)


@pytest.mark.parametrize(
    "options", [{"temperature": 2.0}, {"label_smoothing": 0.1}, {"logit_softcap": 9.0}, {"z_loss": 0.1}]
)
def test_other_options_take_the_way_of_converted_rows(options: Any, half: Any, rng: np.random.Generator) -> None:  # noqa: F811
    logits = narrowed(rng.standard_normal((4, 3 * CHUNK)), half)
    t = rng.integers(0, 3 * CHUNK, 4)
    expected, slope, curve = fl.cross_entropy.value_grad_hess(widened(logits), t, **options)
    value, grad, hess = fl.cross_entropy.value_grad_hess(logits, t, **options)
    assert value == expected
    assert_same(grad, slope)
    assert_same(hess, curve)
    value, grad = fl.cross_entropy.value_and_grad(logits, t, **options)
    assert value == expected
    assert_same(grad, slope)


def test_same_bits_for_any_number_of_threads(half: Any, rng: np.random.Generator) -> None:  # noqa: F811
    logits = narrowed(rng.standard_normal((37, 3 * CHUNK + 5)), half)
    t = rng.integers(0, logits.shape[1], 37)
    results = []
    for threads in (1, 2, 3, 7):
        with fl.num_threads(threads):
            value, grad = fl.cross_entropy.value_and_grad(logits, t)
            results.append((value, grad.tobytes()))
    assert all(r == results[0] for r in results)
