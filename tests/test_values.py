"""Values, gradients and Hessians within the numeric policy's bounds: unweighted and unreduced, every instruction set.

Weights, reductions and combinations of options are test_combinations.py's.
"""

import math

import mpmath
import numpy as np
import pytest
import truth as exact
from cases import ACTIVATIONS, CASES, POINTWISE, ROWWISE, Case
from compare import (
    DTYPES,
    REFERENCE_ULPS,
    results_of,
    rounded,
    rounds_to_a_kink,
    same_bits,
    truth,
    ulps,
    worst_ulps,
)
from inputs import soft_targets

import fastloss as fl

CLASSES = (1, 2, 3, 5, 10, 31, 32, 33, 64, 65, 100, 1000)
SETTINGS = [(case, k) for case in CASES for k in range(len(case.parameters))]
POINTWISE_SETTINGS = [(c, k) for c, k in SETTINGS if not c.rowwise]
ROW_SETTINGS = [(c, k) for c, k in SETTINGS if c.rowwise]


def setting_name(value: object) -> str | None:
    return value.name if isinstance(value, Case) else None


def unreduced(case: Case, *arrays, **keywords):
    return results_of(case.name, *arrays, reduction="none", **keywords)


def check_bounds(case: Case, parameters, results, expected, dtype):
    errors = np.array(worst_ulps(results, expected, dtype)) - REFERENCE_ULPS[dtype]
    assert (errors <= case.bounds(parameters)[: len(errors)]).all(), errors


@pytest.mark.parametrize(("case", "setting"), POINTWISE_SETTINGS, ids=setting_name)
def test_pointwise_bounds(case, setting, dtype, isa, rng):
    shape = (500, 40)
    parameters = case.resolved(case.parameters[setting], shape)
    x, t = case.arrays(rng, shape, dtype, parameters)
    expected = truth(case.name, x, t, parameters, dtype, reduction="none")
    value, grad, hess = unreduced(case, x, t, **parameters)
    hess = np.where(rounds_to_a_kink(case, x, t, parameters), expected.hess, hess)
    check_bounds(case, parameters, (value, grad, hess), expected, dtype)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize(("case", "setting"), ROW_SETTINGS, ids=setting_name)
def test_row_bounds(case, setting, classes, dtype, isa, rng):
    shape = (max(40, min(300, 6000 // classes)), classes)
    parameters = case.resolved(case.parameters[setting], shape)
    x, own = case.arrays(rng, shape, dtype, parameters)
    for target in (own, soft_targets(rng, shape, dtype)) if case.targets == "either" else (own,):
        expected = truth(case.name, x, target, parameters, dtype, reduction="none")
        check_bounds(case, parameters, unreduced(case, x, target, **parameters), expected, dtype)


@pytest.mark.parametrize("case", ROWWISE, ids=setting_name)
@pytest.mark.parametrize("axis", [0, 1, 2, -3])
def test_class_axis_anywhere(case, axis, dtype, isa, rng):
    for classes in (3, 40, 130):
        for parameters in case.parameters:
            given = case.resolved(parameters, (33, 2, classes))
            x, t = case.arrays(rng, (33, 2, classes), dtype, given)
            expected = truth(case.name, x, t, given, dtype, reduction="none")
            moved = np.ascontiguousarray(np.moveaxis(x, -1, axis))
            value, *derivatives = unreduced(case, moved, case.moved(t, axis), axis=axis, **given)
            results = (value, *(np.moveaxis(d, axis, -1) for d in derivatives))
            check_bounds(case, given, results, expected, dtype)


@pytest.mark.parametrize("case", CASES, ids=setting_name)
def test_against_mpmath(case, dtype, rng):
    shape = (4, 4) if case.rowwise else (24,)
    parameters = rounded(case.resolved(case.parameters[-1], shape), dtype)
    if any(np.ndim(v) for v in parameters.values()) and not case.rowwise:
        parameters = rounded(dict(case.parameters[1]), dtype)
    x, t = case.arrays(rng, shape, dtype, parameters)
    results = unreduced(case, x, t, **parameters)
    scales = truth(case.name, x, t, parameters, dtype, reduction="none")
    rows = [
        (list(row), int(k) if case.labelled else list(k)) if case.rowwise else (row, k)
        for row, k in zip(x, t, strict=True)
    ]
    bits = 1800  # 1 + e^-1000 needs 1443 bits to differ from 1, and a float64 has 53
    values = [exact.mp_value(case.name, *row, bits, **parameters) for row in rows]
    errors = exact.ulp_error(results[0], values, dtype, scales.value_scale)
    assert errors.max() <= case.ulps
    derivatives = ((exact.mp_gradient, scales.grad_scale), (exact.mp_hessian_diagonal, scales.hess_scale))
    for k, (derivative, scale) in enumerate(derivatives[: len(results) - 1], 1):
        true = [derivative(case.name, *row, bits, **parameters) for row in rows]
        errors = exact.ulp_error(results[k], np.ravel(np.array(true, object)), dtype, np.ravel(scale))
        kink = np.isin(np.abs(x - t), [abs(d) for d in case.kinks(parameters)]) if not case.rowwise else False
        margin = np.isin(x * t, case.kinks(parameters)) if not case.rowwise else False
        errors = np.where(np.ravel(np.broadcast_to(kink | margin, np.shape(results[k]))), 0.0, errors)
        assert errors.max() <= case.bounds(parameters)[k]


@pytest.mark.parametrize("case", CASES, ids=setting_name)
def test_no_worse_than_the_naive_formula(case, dtype, rng):
    """On average over ordinary inputs; a quarter of a unit allows for how NumPy's own functions happen to round."""
    shape = (3000, 7) if case.rowwise else (20000,)
    x, t = case.arrays(rng, shape, dtype)
    ordinary = np.abs(x) < 50
    keep = ordinary.all(-1) if case.rowwise else ordinary & (x != 0)
    x, t = x[keep], t[keep]
    expected = truth(case.name, x, t, {}, dtype, reduction="none", want="value")
    with np.errstate(all="ignore"):
        naive = ulps(case.naive(x, t), expected.value, expected.value_scale, dtype)
    ours = ulps(getattr(fl, case.name)(x, t, reduction="none"), expected.value, expected.value_scale, dtype)
    assert ours.mean() <= naive[np.isfinite(naive)].mean() + 0.25


@pytest.mark.parametrize("case", POINTWISE, ids=setting_name)
def test_lengths(case, dtype, isa, rng):
    """Elements do not depend on how many there are: block (2048) and unit borders, and every tail."""
    borders = (2047, 2048, 2049, 16383, 16384, 16385, 131072, 131073, 147457)
    x, t = case.arrays(rng, (borders[-1],), dtype)
    whole = unreduced(case, x, t)
    for n in (*range(98), *borders):
        assert same_bits(unreduced(case, x[:n], t[:n]), tuple(r[:n] for r in whole))
        total, grad = getattr(fl, case.name).value_and_grad(x[:n], t[:n], reduction="sum")
        assert same_bits(grad, whole[1][:n])
        exact_sum, size = math.fsum(whole[0][:n]), math.fsum(np.abs(whole[0][:n]))  # some terms may be negative
        assert total == exact_sum or abs(total - exact_sum) <= (1e-7 if dtype == np.float32 else 1e-15) * size


@pytest.mark.parametrize("case", ROWWISE, ids=setting_name)
@pytest.mark.parametrize("classes", [3, 32, 33, 64, 65, 300])
def test_row_counts(case, classes, dtype, isa, rng):
    """Rows do not depend on how many there are: tails of a tile of 32, and of a piece of 8192 elements."""
    piece = 8192 // classes
    x, t = case.arrays(rng, (2 * piece + 40, classes), dtype)
    whole = unreduced(case, x, t)
    for n in (*range(1, 70), piece - 1, piece, piece + 1, 2 * piece + 39):
        assert same_bits(unreduced(case, x[:n], t[:n]), tuple(r[:n] for r in whole))
    shifted = unreduced(case, x[5:], t[5:])
    assert same_bits(shifted, tuple(r[5:] for r in whole))


@pytest.mark.parametrize("name", ACTIVATIONS[:3])
def test_elementwise_activation_bounds(name, dtype, isa, rng):
    limit = 100 if dtype == np.float32 else 740
    x = np.concatenate(
        [rng.uniform(-limit, limit, 30000), rng.standard_normal(30000), np.exp2(rng.uniform(-140, 10, 9000))]
    )
    x = np.concatenate([x, -x, [0.0, -0.0]]).astype(dtype)
    expected = getattr(fl.reference, name)(x.astype(np.longdouble))
    # 1.0 ULP, on baseline 1.5 (no FMA).
    bound = 1.5 if isa == "baseline" else 1.0
    assert ulps(getattr(fl, name)(x), expected, 0, dtype).max() <= bound + 0.001


@pytest.mark.parametrize("name", ACTIVATIONS[3:])
@pytest.mark.parametrize("classes", CLASSES)
def test_row_activation_bounds(name, classes, dtype, isa, rng):
    x, _ = ROWWISE[0].arrays(rng, (150, classes), dtype)
    expected = getattr(fl.reference, name)(x.astype(np.longdouble))
    # logsumexp: the maximum and the logarithm may cancel; the larger of them is the unit.
    scale = np.maximum(np.abs(expected), np.abs(x).max(-1)) if name == "logsumexp" else 0
    assert ulps(getattr(fl, name)(x), expected, scale, dtype).max() <= 4 + REFERENCE_ULPS[dtype]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_against_mpmath(name, dtype, rng):
    x = (5 * rng.standard_normal((6, 4))).astype(dtype)
    results = getattr(fl, name)(x)
    if name in ACTIVATIONS[:3]:
        true = [exact.mp_activation(name, v, 300) for v in x.ravel()]
    else:
        rows = [exact.mp_activation(name, list(row), 300) for row in x]
        true = [v for row in rows for v in (row if isinstance(row, list) else [row])]
    scale = None if name != "logsumexp" else np.abs(x).max(-1)
    assert exact.ulp_error(results, true, dtype, scale).max() <= (1.5 if name in ACTIVATIONS[:3] else 4)


def test_the_ulp_measure_itself():
    """Both measures of error agree, and see what they must."""
    assert mpmath.mp.prec == 53  # truth.py leaves the working precision alone
    for dtype in DTYPES:
        eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).smallest_subnormal)
        pairs = [
            (1 + eps, 1.0),
            (1.0, 1 - eps / 2),
            (0.0, tiny),
            (math.inf, math.inf),
            (math.nan, 1.0),
            (1.0, math.inf),
        ]
        got, want = (np.array(c, dtype) for c in zip(*pairs, strict=True))
        expected = [1.0, 1.0, 1.0, 0.0, math.inf, math.inf]
        assert ulps(got, want, 0, dtype).tolist() == expected
        assert exact.ulp_error(got, want, dtype).tolist() == expected
