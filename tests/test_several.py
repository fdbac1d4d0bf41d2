"""Losses of several arrays: values and all gradients, weights, threads, backends.

One body of tests for all of them, driven by the rows of ``cases.SEVERAL``. What only one of them has is elsewhere.
"""

import inspect
import math

import numpy as np
import pytest
from cases import SEVERAL
from compare import relative_error, same_bits
from conftest import FMA_ISAS
from several import CASE, SETTING, call, check, flat, parts, truth, weights_of
from truth import ulp_error
from truth_several import mp_gradients, mp_values

import fastloss as fl
from fastloss import _backend, _core

FACTORS = 4  # weight, upstream gradient, denominator: one rounding each, and one of their product


@SETTING
def test_bounds(case, parameters, dtype, isa, rng):
    for shape in case.shapes:
        arrays = case.arrays(rng, shape, dtype, parameters)
        expected = truth(case, arrays, parameters, dtype, reduction="none")
        check(call(case, arrays, reduction="none", **parameters), expected, dtype, case.ulps, shape)


@SETTING
def test_reference_against_mpmath(case, parameters, rng):
    """Values and numeric derivatives in hundreds of digits, of the reference in extended precision."""
    loss = getattr(fl, case.name)
    for shape in case.shapes[1:2]:
        shape = (min(shape[0], 5), *shape[1:])
        arrays = case.smooth(rng, shape, np.dtype(float), parameters)
        twin = truth(case, arrays, parameters, float, reduction="none")
        eps = float(np.finfo(float).eps)
        for got, want in zip(np.ravel(twin.value), mp_values(case.name, arrays, **parameters), strict=True):
            assert abs(float(got - float(want))) <= 8 * eps * max(1.0, abs(float(want)))
        for name, gradient, scale in zip(loss.gradients, parts(twin.grad), parts(twin.grad_scale), strict=False):
            true = mp_gradients(case.name, arrays, loss.arrays.index(name), **parameters)
            assert ulp_error(gradient.astype(float).ravel(), true, float, np.ravel(scale).astype(float)).max() <= 2


@pytest.mark.parametrize(
    ("case", "corner"), [pytest.param(c, e, id=f"{c.name}-{k}") for c in SEVERAL for k, e in enumerate(c.corners)]
)
def test_corners(case, corner, dtype, isa):
    if corner.dtype not in (None, dtype.name):
        return
    loss = getattr(fl, case.name)
    arrays = [None if a is None else np.asarray(a) for a in corner.arrays]
    arrays = [arrays[0].astype(dtype), *arrays[1:]]
    value, gradient = loss.value_and_grad(*arrays, reduction="none", **corner.parameters)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(value, corner.value, rtol=4 * eps, atol=0)
    if corner.gradients is not None:
        for got, want in zip(parts(gradient), corner.gradients, strict=True):
            if want is not None:
                np.testing.assert_allclose(got, want, rtol=4 * eps, atol=0)
    with fl.backend("check"):
        loss.value_and_grad(*arrays, reduction="none", **corner.parameters)
    assert same_bits(loss(*arrays, reduction="none", **corner.parameters), value)


@pytest.mark.parametrize(
    ("case", "worked"), [pytest.param(c, w, id=f"{c.name}-{w.source}") for c in SEVERAL for w in c.worked]
)
def test_worked_numbers(case, worked):
    value = getattr(fl, case.name)(*worked.arrays, **worked.parameters)
    assert value == pytest.approx(worked.value, rel=worked.rel)


@SETTING
def test_weights_reductions_upstream(case, parameters, dtype, rng):
    """Every combination against the reference; given outputs come back; fused or not, the same bits."""
    shape = case.shapes[1]
    arrays = case.arrays(rng, shape, dtype, parameters)
    loss = getattr(fl, case.name)
    weight = weights_of(case, arrays, parameters, rng, dtype)
    for reduction in ("none", "sum", "mean"):
        for weights in (None, 0.5, weight):
            upstreams = [None, -1.5, *([np.asarray(1 - weight)] if reduction == "none" else [])]
            for upstream in upstreams:
                common = {"reduction": reduction} | ({} if weights is None else {"sample_weight": weights})
                common |= {} if upstream is None else {"grad_output": upstream}
                if upstream is not None and reduction == "mean":
                    common["denominator"] = 3.0
                results = call(case, arrays, **parameters, **common)
                expected = truth(case, arrays, parameters, dtype, **common)
                check(results, expected, dtype, case.ulps + FACTORS, common)
                outputs = tuple(np.full(g.shape, 7, dtype) for g in parts(results[1]) if isinstance(g, np.ndarray))
                given = outputs if len(parts(results[1])) > 1 else outputs[0]
                again = call(case, arrays, **parameters, **common, grad_out=given)
                assert same_bits(again, results)
                assert all(a is b for a, b in zip(parts(again[1]), outputs, strict=False))
                common.pop("grad_output", None)
                assert same_bits(loss(*arrays, **parameters, **common), results[0])


@CASE
def test_result_types(case, dtype, rng):
    loss = getattr(fl, case.name)
    arrays = case.arrays(rng, case.shapes[1], dtype, {})
    for reduction in ("mean", "sum"):
        value, gradient = loss.value_and_grad(*arrays, reduction=reduction)
        assert type(value) is float
        assert type(loss(*arrays, reduction=reduction)) is float
        assert isinstance(gradient, tuple) == (len(loss.gradients) + len(loss.scalars) > 1)
    value = loss(*arrays, reduction="none")
    assert type(value) is np.ndarray
    assert value.dtype == dtype
    for name, g in zip(loss.gradients, parts(gradient), strict=False):
        assert type(g) is np.ndarray
        assert (g.shape, g.dtype) == (arrays[loss.arrays.index(name)].shape, dtype)
    assert all(type(g) is float for g in parts(gradient)[len(loss.gradients) :])
    first = next(iter(inspect.signature(loss.denominator).parameters))
    total = loss.denominator(arrays[loss.arrays.index(first)])
    assert type(total) is float
    assert total == value.size


@CASE
def test_weight_zero_hides_a_row(case, dtype, isa, rng):
    """It contributes exactly 0 to everything, whatever it holds: the rest is what it was without it."""
    if not case.separate:
        return
    arrays = case.smooth(rng, case.shapes[2], dtype, {})
    weight = weights_of(case, arrays, {}, rng, dtype)
    weight[3] = 0
    broken = [a.copy() for a in arrays]
    loss = getattr(fl, case.name)
    for name in loss.gradients:
        broken[loss.arrays.index(name)][3] = np.nan
    results = call(case, broken, sample_weight=weight)
    assert same_bits(results, call(case, arrays, sample_weight=weight))
    assert all((g[3] == 0).all() for g in parts(results[1]))


@CASE
def test_poison_stays_in_its_row(case, dtype, isa, rng):
    if not case.separate:
        return
    loss = getattr(fl, case.name)
    arrays = case.smooth(rng, case.shapes[2], dtype, {})
    expected = flat(call(case, arrays, reduction="none"))
    for name in loss.gradients:
        for poison in (np.nan, np.inf, -np.inf):
            broken = [a.copy() for a in arrays]
            broken[loss.arrays.index(name)][4, 2] = poison
            for got, want in zip(flat(call(case, broken, reduction="none")), expected, strict=True):
                others = np.arange(len(want)) != 4
                assert same_bits(got[others], want[others])


@CASE
def test_all_weights_zero(case, dtype, rng):
    arrays = case.smooth(rng, case.shapes[2], dtype, {})
    value, gradient = call(case, arrays, sample_weight=0.0)
    assert math.isnan(value)
    assert all((np.asarray(g) == 0).all() for g in parts(gradient))
    assert getattr(fl, case.name)(*arrays, sample_weight=0.0, reduction="sum") == 0


@CASE
@pytest.mark.usefixtures("any_isa")
def test_threads_and_instruction_sets(case, dtype):
    """The same bits for any number of threads, on every instruction set with FMA."""
    parameters = case.parameters[-1]
    arrays = case.arrays(np.random.default_rng(3), case.many, dtype, parameters)
    first = None
    for name in FMA_ISAS:
        _core.isa_select(name)
        for n in (1, 2, 3, 7) if name == FMA_ISAS[0] else (1, 2):
            with fl.num_threads(n):
                found = [call(case, arrays, **p) for p in ({}, parameters)]
                found.append(call(case, arrays, reduction="none"))
            first = first or found
            assert all(map(same_bits, found, first)), (name, n)


@CASE
def test_sums(case, dtype, rng):
    """The sum is that of the unreduced losses, to the bound of a sum; the mean divides it."""
    arrays = case.smooth(rng, case.many, dtype, {})
    loss = getattr(fl, case.name)
    terms = loss(*arrays, reduction="none").astype(float).ravel()
    total = loss(*arrays, reduction="sum")
    assert relative_error(total, math.fsum(terms.tolist())) <= (1e-7 if dtype == np.float32 else 1e-15)
    assert loss(*arrays) == pytest.approx(total / terms.size, rel=1e-15)


@SETTING
@pytest.mark.parametrize("backend", ["check", "reference"])
def test_backends(case, parameters, backend, dtype, rng):
    arrays = case.arrays(rng, case.shapes[2], dtype, parameters)
    weight = weights_of(case, arrays, parameters, rng, dtype)
    for common in ({}, {"reduction": "none", "sample_weight": weight}, {"reduction": "sum", "grad_output": 0.3}):
        native = call(case, arrays, **parameters, **common)
        with fl.backend(backend):
            results = call(case, arrays, **parameters, **common)
            value = getattr(fl, case.name)(
                *arrays, **parameters, **{k: v for k, v in common.items() if k != "grad_output"}
            )
        assert same_bits(value, results[0])
        for a, b in zip(flat(results), flat(native), strict=True):
            assert type(a) is type(b)
            assert getattr(a, "dtype", None) == getattr(b, "dtype", None)
            assert np.shape(a) == np.shape(b)
        if backend == "check":
            assert same_bits(results, native)


@CASE
def test_the_check_backend_sees_a_wrong_gradient(case, rng, monkeypatch):
    arrays = case.smooth(rng, case.shapes[2], np.dtype(float), {})
    right = _backend.reference_result

    def wrong(*given, **keywords):
        twin = right(*given, **keywords)
        first = parts(twin.grad)[0]
        scale = np.max(np.abs(first))
        changed = (first + scale * np.asarray(np.abs(first) == scale) * 1e-9, *parts(twin.grad)[1:])
        object.__setattr__(twin, "grad", changed if len(changed) > 1 else changed[0])
        return twin

    monkeypatch.setattr(_backend, "reference_result", wrong)
    with fl.backend("check"), pytest.raises(fl.MismatchError, match=f"{case.name}: gradient"):
        call(case, arrays)
