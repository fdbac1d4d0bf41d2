"""Losses of several arrays: layouts and types of inputs and outputs, and what does not fit."""

import math

import numpy as np
import pytest
from arrays import layouts, writable_layouts
from compare import same_bits
from several import CASE, SETTING, call, flat, parts

import fastloss as fl

HALF = [np.dtype("float16")]
try:
    import ml_dtypes

    HALF.append(np.dtype(ml_dtypes.bfloat16))
except ImportError:
    pass


@CASE
def test_layouts_of_inputs(case, dtype, isa, rng):
    arrays = case.arrays(rng, case.shapes[2], dtype, {})
    expected = call(case, arrays, reduction="none")
    for k, array in enumerate(arrays):
        for name, view in layouts(array):
            if name == "list" and dtype != np.float64 and array.dtype.kind == "f":
                continue
            given = [*arrays[:k], view, *arrays[k + 1 :]]
            assert same_bits(call(case, given, reduction="none"), expected), (k, name)


@CASE
def test_layouts_of_outputs(case, dtype, rng):
    arrays = case.arrays(rng, case.shapes[2], dtype, {})
    expected = call(case, arrays, reduction="none")
    gradients = [g for g in parts(expected[1]) if isinstance(g, np.ndarray)]
    for layout in zip(*(writable_layouts(g + 1) for g in gradients), strict=True):
        given = tuple(array for _, array in layout)
        results = call(case, arrays, reduction="none", grad_out=given if len(gradients) > 1 else given[0])
        assert same_bits(results, expected), layout[0][0]
        assert all(a is b for a, b in zip(parts(results[1]), given, strict=False))
    for _, out in writable_layouts(expected[0] + 1):
        assert getattr(fl, case.name)(*arrays, reduction="none", out=out) is out
        assert same_bits(out, expected[0])


@SETTING
def test_in_place_and_parts(case, parameters, dtype, isa, rng):
    """The first gradient may go where its array lies; a part of the rows has the bits that it has in the whole."""
    shape = case.shapes[2]
    arrays = case.arrays(rng, shape, dtype, parameters)
    expected = call(case, arrays, reduction="none", **parameters)
    own = arrays[0].copy()
    several = len(getattr(fl, case.name).gradients) > 1
    given = (own, *[None] * (len(getattr(fl, case.name).gradients) - 1)) if several else own
    results = call(case, (own, *arrays[1:]), reduction="none", grad_out=given, **parameters)
    assert parts(results[1])[0] is own
    assert same_bits(results, expected)
    if case.separate:
        for part in (slice(0, 1), slice(1, 20), slice(5, None)):
            results = call(case, [a[part] for a in arrays], reduction="none", **parameters)
            assert same_bits(flat(results), tuple(r[part] for r in flat(expected)))


@CASE
def test_outputs_that_do_not_fit(case, dtype, rng):
    """Each error names the output; nothing is written."""
    loss = getattr(fl, case.name)
    arrays = case.arrays(rng, case.shapes[2], dtype, {})
    copies = [a.copy() for a in arrays]
    gradients = [arrays[loss.arrays.index(name)] for name in loss.gradients]
    fresh = [np.full(g.shape, 7, dtype) for g in gradients]

    def places(k, array):
        return tuple(array if i == k else None for i in range(len(fresh))) if len(fresh) > 1 else array

    for k in range(len(fresh)):
        name = "grad_out" if len(fresh) == 1 else rf"grad_out\[{k}\]"
        with pytest.raises(ValueError, match=rf"{name} has shape .*expected"):
            loss.value_and_grad(*arrays, grad_out=places(k, np.empty((3, 1, 4), dtype)))
        with pytest.raises(TypeError, match=rf"{name} has dtype"):
            loss.value_and_grad(*arrays, grad_out=places(k, fresh[k].astype("i4")))
        for j, other in enumerate(arrays):
            if other is None or other.shape != fresh[k].shape or other.dtype != dtype or (j == 0 and k == 0):
                continue
            with pytest.raises(ValueError, match=f"{name} overlaps {loss.arrays[j]}"):
                loss.value_and_grad(*arrays, grad_out=places(k, other))
    if len(fresh) > 1:
        if fresh[0].shape == fresh[1].shape:
            with pytest.raises(ValueError, match=r"grad_out\[1\] overlaps grad_out\[0\]"):
                loss.value_and_grad(*arrays, grad_out=(fresh[0],) * 2 + (None,) * (len(fresh) - 2))
        with pytest.raises(TypeError, match="grad_out is a ndarray; expected a tuple"):
            loss.value_and_grad(*arrays, grad_out=fresh[0])
        with pytest.raises(ValueError, match="grad_out has 1 elements"):
            loss.value_and_grad(*arrays, grad_out=(fresh[0],))
    assert all(same_bits(a, b) for a, b in zip(arrays, copies, strict=True))
    assert all((g == 7).all() for g in fresh)


@CASE
def test_inputs_that_do_not_fit(case, rng):
    loss = getattr(fl, case.name)
    arrays = case.arrays(rng, case.shapes[2], float, {})
    grads = [np.full(np.shape(arrays[loss.arrays.index(name)]), 7.0) for name in loss.gradients]
    given = {"grad_out": tuple(grads) if len(grads) > 1 else grads[0]}
    for k, name in enumerate(loss.arrays):
        for kind in ("complex128", "object", "U3"):
            with pytest.raises(TypeError, match=f"{name} "):
                loss.value_and_grad(*arrays[:k], np.zeros(np.shape(arrays[k]), kind), *arrays[k + 1 :], **given)
        with pytest.raises(ValueError, match="shape"):
            loss.value_and_grad(*arrays[:k], np.asarray(arrays[k])[..., None], *arrays[k + 1 :], **given)
    for keywords, error in (
        ({"reduction": "avg"}, ValueError),
        ({"denominator": -1.0}, ValueError),
        ({"sample_weight": np.ones((1, 2, 3, 4, 5))}, ValueError),
        ({"sample_weight": -1.0}, ValueError),
        ({"sample_weight": math.nan}, ValueError),
        ({"grad_output": np.ones(3)}, ValueError),
    ):
        with pytest.raises(error, match=next(iter(keywords))):
            loss.value_and_grad(*arrays, **keywords, **given)
    for name, checked in loss._checks.items():
        wrong = [1j, "x"] + ([math.nan, -1.0] if checked.__name__ in ("positive", "non_negative") else [])
        for value in wrong:
            with pytest.raises((TypeError, ValueError), match=f"{name} "):
                loss.value_and_grad(*arrays, **{name: value}, **given)
    assert all((g == 7).all() for g in grads)


@CASE
@pytest.mark.parametrize("half", HALF, ids=str)
def test_half_precision_is_computed_in_float32(case, half, rng):
    arrays = [
        a.astype(half) if a.dtype.kind == "f" else a for a in case.smooth(rng, case.shapes[2], np.dtype("f4"), {})
    ]
    wide = call(case, [a.astype("f4") if a.dtype == half else a for a in arrays], reduction="none")
    results = call(case, arrays, reduction="none")
    for got, want in zip(flat(results), flat(wide), strict=True):
        with np.errstate(over="ignore"):
            assert same_bits(got, want.astype(half) if isinstance(want, np.ndarray) else want)
    own = arrays[0].copy()
    several = len(getattr(fl, case.name).gradients) > 1
    places = (own, *[None] * (len(getattr(fl, case.name).gradients) - 1)) if several else own
    assert same_bits(call(case, (own, *arrays[1:]), reduction="none", grad_out=places), results)


@CASE
def test_first_array_decides_the_type(case, rng):
    """The other arrays are rounded to it; integers become float64."""
    arrays = case.smooth(rng, case.shapes[2], np.dtype(float), {})
    first = arrays[0].astype("f4")
    expected = call(case, [first, *(a.astype("f4") if a.dtype.kind == "f" else a for a in arrays[1:])])
    results = call(case, [first, *arrays[1:]])
    assert same_bits(results, expected)
    assert all(g.dtype == np.float32 for g in parts(results[1]) if isinstance(g, np.ndarray))
    integers = [np.round(a).astype(int) if a.dtype.kind == "f" else a for a in arrays]
    floats = [a.astype(float) if b.dtype.kind == "f" else a for a, b in zip(integers, arrays, strict=True)]
    assert same_bits(call(case, integers), call(case, floats))


@CASE
def test_empty(case, dtype, rng):
    arrays = case.smooth(rng, case.shapes[2], dtype, {})
    if not case.separate:
        return
    none = [a[:0] for a in arrays]
    value, gradient = call(case, none)
    assert math.isnan(value)
    assert all(g.shape == a.shape for g, a in zip(parts(gradient), none, strict=False))
    assert call(case, none, reduction="sum")[0] == 0
    assert call(case, none, denominator=2.0)[0] == 0
