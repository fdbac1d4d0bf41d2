"""Rows that are converted, of arrays that the caches do not hold: a strip of rows at a time gives what the whole array
converted before gives. Not here: arrays in the caches, whose rows are converted a tile at a time (test_half.py).
"""

from typing import Any

import numpy as np
import pytest
from cases import ROWWISE
from test_half import assert_same, narrowed

import fastloss as fl
from fastloss._half import widened

ELEMENTS = 2**21 + 2**14  # of floats, more than 8 MiB
SHAPES = {
    "short rows": ((ELEMENTS // 10 + 1, 10), -1),
    "rows in tiles": ((ELEMENTS // 100 + 1, 100), -1),
    "rows in groups": ((ELEMENTS // 999 + 1, 999), -1),
    "classes apart": ((2, 30, ELEMENTS // 60 + 1), 1),
}


def wide_results(loss: Any, logits: Any, t: Any, **options: Any) -> Any:
    return loss.value_and_grad(widened(logits), widened(t) if t.dtype.kind not in "iu" else t, **options)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", ROWWISE, ids=lambda case: case.name)
def test_half_types(case: Any, shape: str, rng: np.random.Generator) -> None:
    sizes, axis = SHAPES[shape]
    moved = tuple(np.moveaxis(np.empty(sizes, np.bool_), axis, -1).shape)
    x, t = case.arrays(rng, moved, np.float32)
    half = np.dtype(np.float16) if shape != "rows in tiles" else fl.bfloat16_bits
    logits = narrowed(np.moveaxis(x, -1, axis), half)
    if t.dtype.kind == "f":
        t = narrowed(np.moveaxis(t, -1, axis), half)
    loss = getattr(fl, case.name)
    expected, slope = wide_results(loss, logits, t, axis=axis)
    with fl.num_threads(1):
        value, grad = loss.value_and_grad(logits, t, axis=axis)
    assert np.array_equal(value, expected, equal_nan=True)
    assert_same(grad, slope)
    again, own = loss.value_and_grad(logits, t, axis=axis, grad_out=logits)
    assert own is logits
    assert np.array_equal(again, expected, equal_nan=True)
    assert_same(own, slope)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["cross_entropy", "softmax_focal_loss", "kl_divergence"])
def test_options_together(name: str, shape: str, rng: np.random.Generator) -> None:
    """Ignored rows, weights, an upstream gradient for every row, Hessians, of both kinds of targets."""
    sizes, axis = SHAPES[shape]
    rows = tuple(np.delete(sizes, axis))
    logits = narrowed(rng.standard_normal(sizes), np.dtype(np.float16))
    labels = rng.integers(0, sizes[axis], rows)
    labels[rng.random(rows) < 0.1] = -100
    probability = rng.random(sizes, np.float32)
    loss = getattr(fl, name)
    options: dict[str, Any] = {
        "axis": axis,
        "reduction": "none",
        "sample_weight": rng.integers(0, 3, rows).astype(np.float32),
        "grad_output": rng.random(rows),
    }
    options |= (
        {"from_logits": True}
        if name == "kl_divergence"
        else {"class_weight": rng.integers(0, 3, sizes[axis]).astype(np.float32)}
    )
    targets = {"cross_entropy": (labels, probability), "kl_divergence": (probability,)}.get(name, (labels,))
    entry = loss.value_grad_hess if hasattr(loss, "value_grad_hess") else loss.value_and_grad
    for t in targets:
        for got, wide in zip(entry(logits, t, **options), entry(widened(logits), t, **options), strict=True):
            assert_same(got, wide)
    if name == "kl_divergence":  # targets that are converted in the first pass too
        t = narrowed(probability, logits.dtype)
        for got, wide in zip(entry(logits, t, **options), entry(widened(logits), widened(t), **options), strict=True):
            assert_same(got, wide)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("real", [np.float32, np.float64], ids=lambda d: d.__name__)
def test_targets_of_another_type(real: Any, shape: str, rng: np.random.Generator) -> None:
    """float64 beside float32 and the other way round, read only, and its class axis elsewhere in memory."""
    sizes, axis = SHAPES[shape]
    logits = rng.standard_normal(sizes).astype(real)
    t = rng.random(sizes).astype(np.float64 if real is np.float32 else np.float32)
    apart = np.moveaxis(np.ascontiguousarray(np.moveaxis(t, axis, 0)), 0, axis)
    t.flags.writeable = False
    expected, slope = fl.cross_entropy.value_and_grad(logits, t.astype(real), axis=axis)
    for target in (t, apart):
        value, grad = fl.cross_entropy.value_and_grad(logits, target, axis=axis)
        assert value == expected
        assert grad.tobytes() == slope.tobytes()


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("shape", SHAPES)
def test_activations(name: str, shape: str, rng: np.random.Generator) -> None:
    sizes, axis = SHAPES[shape]
    x = narrowed(rng.standard_normal(sizes) * 3, np.dtype(np.float16))
    call = getattr(fl, name)
    expected = call(widened(x), axis=axis)
    assert_same(call(x, axis=axis), expected)
    if name != "logsumexp":
        assert_same(call(x, axis=axis, out=x), expected)
