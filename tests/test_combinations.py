"""Options together: their cartesian product against the reference; the laws of weights, reductions and grad_output.

Errors are counted in ULPs of the largest term; one more ULP for every factor that is rounded on the way
(class weight, sample weight, upstream gradient, denominator), which the policy's bounds leave out.
"""

import itertools

import numpy as np
import pytest
from cases import BY_NAME, CASES, POINTWISE, per_class
from compare import REFERENCE_ULPS, relative_error, results_of, rounds_to_a_kink, same_bits, truth, worst_ulps
from inputs import soft_targets

import fastloss as fl

ce = fl.cross_entropy
FACTORS = 4
SHAPE = (7, 2, 5)

CROSS_ENTROPY = [
    dict(
        zip(
            ("class_weight", "ignore_index", "label_smoothing", "soft", "temperature", "logit_softcap", "z_loss"),
            v,
            strict=True,
        )
    )
    for v in itertools.product(
        (None, per_class), (-100, 2, None), (0.0, 0.1), (False, True), (1.0, 2.5), (None, 4.0), (0.0, 0.03)
    )
]


def reductions(rng, rows, dtype):
    """Every combination of reduction, sample weight, denominator and upstream gradient."""
    weights = (
        None,
        0.5,
        rng.uniform(0, 2, rows) * (rng.random(rows) < 0.8),
        rng.uniform(0, 2, (1,) * (len(rows) - 1) + rows[-1:]),
    )
    for reduction, weight in itertools.product(("none", "sum", "mean"), weights):
        common = {"reduction": reduction}
        if weight is not None:
            common["sample_weight"] = weight
        upstreams = [None, -1.5] + ([rng.standard_normal(rows).astype(dtype)] if reduction == "none" else [])
        denominators = [None, 3.0] if reduction == "mean" else [None]
        for upstream, denominator in itertools.product(upstreams, denominators):
            yield (
                common
                | ({} if upstream is None else {"grad_output": upstream})
                | ({} if denominator is None else {"denominator": denominator})
            )


def check(case, results, expected, parameters, dtype, what):
    errors = np.array(worst_ulps(results, expected, dtype))
    bounds = np.array(case.bounds(parameters))[: len(errors)] + FACTORS + REFERENCE_ULPS[np.dtype(dtype)]
    assert (errors <= bounds).all(), (errors, what)


@pytest.mark.parametrize("k", range(len(CROSS_ENTROPY)))
def test_cross_entropy_product(k, rng):
    """Class axis last and in the middle, rows with a mask, an ignored row, both real types, all entry points."""
    case, options = BY_NAME["cross_entropy"], dict(CROSS_ENTROPY[k])
    soft = options.pop("soft")
    if options["class_weight"]:
        options["class_weight"] = per_class(SHAPE)
    for dtype, axis in ((np.float32, -1), (np.float64, 1)):
        x, t = case.arrays(rng, SHAPE, dtype)
        x[0, 0, (t[0, 0] + 1) % 5] = -np.inf
        x[3, 1, (t[3, 1] + 2) % 5] = -np.inf
        if soft:
            t = soft_targets(rng, SHAPE, dtype)
            t[0, 0] = np.where(np.isinf(x[0, 0]), 0, t[0, 0])
        elif options["ignore_index"] is not None:
            t[5, 0] = options["ignore_index"]
        moved = np.moveaxis(x, -1, axis).copy()
        target = np.moveaxis(t, -1, axis).copy() if soft else t
        for common in reductions(rng, SHAPE[:-1], dtype):
            expected = truth("cross_entropy", moved, target, options | {"axis": axis}, dtype, **common)
            results = ce.value_grad_hess(moved, target, axis=axis, **options, **common)
            check(case, results, expected, options, dtype, common)
        pair = ce.value_and_grad(moved, target, axis=axis, **options, **common)
        assert same_bits(pair, results[:2])
        common.pop("grad_output", None)
        assert same_bits(ce(moved, target, axis=axis, **options, **common), results[0])


@pytest.mark.parametrize("case", POINTWISE, ids=lambda c: c.name)
def test_pointwise_product(case, dtype, isa, rng):
    for setting in case.parameters:
        shape = (6, 9)
        parameters = case.resolved(setting, shape)
        x, t = case.arrays(rng, shape, dtype, parameters)
        x = np.where(rounds_to_a_kink(case, x, t, parameters), t, x)
        # What leaves the range of numbers does not come back when it is weighted, nor the other way round.
        plain = np.abs(getattr(fl, case.name).value_grad_hess(x, t, **parameters, reduction="none"))
        x = np.where((plain < np.finfo(dtype).max / 1000).all(axis=0), x, case.tamed(x))
        for common in reductions(rng, shape, dtype):
            expected = truth(case.name, x, t, parameters, dtype, **common)
            loss = getattr(fl, case.name)
            results = loss.value_grad_hess(x, t, **parameters, **common)
            check(case, results, expected, parameters, dtype, (parameters, common))
            outputs = {"grad_out": np.empty(shape, dtype), "hess_out": np.empty(shape, dtype)}
            if common["reduction"] == "none":
                outputs["out"] = np.empty(shape, dtype)
            given = loss.value_grad_hess(x, t, **parameters, **common, **outputs)
            assert same_bits(given, results)
            assert given[1] is outputs["grad_out"]
            assert given[2] is outputs["hess_out"]
            assert common["reduction"] != "none" or given[0] is outputs["out"]


@pytest.mark.parametrize(
    "weight", [2.0, np.float32(2), [[2.0]], np.full((4, 1), 2.0), np.full((1, 6), 2.0), np.full((4, 6), 2)]
)
def test_shapes_of_pos_weight_and_sample_weight(weight, rng):
    x, t = BY_NAME["binary_cross_entropy_with_logits"].arrays(rng, (4, 6), float)
    loss = fl.binary_cross_entropy_with_logits
    full = np.full((4, 6), 2.0)
    expected = loss.value_grad_hess(x, t, pos_weight=full, reduction="none")
    assert same_bits(loss.value_grad_hess(x, t, pos_weight=weight, reduction="none"), expected)
    if np.ndim(weight) in (0, 2):
        weighted = loss.value_and_grad(x, t, sample_weight=weight)
        assert same_bits(weighted, loss.value_and_grad(x, t, sample_weight=full))
        assert loss.denominator(t, sample_weight=weight) == 48
    column = rng.uniform(0, 3, 6)
    assert same_bits(
        loss.value_grad_hess(x, t, pos_weight=column), loss.value_grad_hess(x, t, pos_weight=np.tile(column, (4, 1)))
    )


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_linear_in_grad_output(case, dtype, isa, rng):
    """A power of two scales exactly, -1 flips signs alone, 0 gives 0."""
    x, t = case.arrays(rng, (50, 9), dtype)
    x = case.tamed(x)
    for reduction in ("mean", "sum", "none"):
        value, grad, *hess = results_of(case.name, x, t, reduction=reduction)
        rows = case.rows((50, 9))
        for factor in (4.0, -1.0, 0.5, 0.0):
            upstreams = [factor, np.float32(factor)] + ([np.full(rows, factor)] if reduction == "none" else [])
            for upstream in upstreams:
                scaled = results_of(case.name, x, t, reduction=reduction, grad_output=upstream)
                assert same_bits(scaled[0], value)
                normal = np.abs(grad) > 8 * np.finfo(dtype).tiny  # a subnormal is not halved exactly
                assert (scaled[1] == grad * dtype.type(factor))[normal].all()
                for before, after in zip(hess, scaled[2:], strict=True):
                    assert after == pytest.approx(before * dtype.type(factor), rel=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_weights_multiply_and_halves_add_up(case, rng):
    """Weight 2 counts twice; shards with the whole's denominator sum to the whole's mean and gradient."""
    x, t = case.arrays(rng, (60, 6), float)
    x = case.tamed(x)
    loss = getattr(fl, case.name)
    rows = case.rows((60, 6))
    weight = rng.integers(0, 4, rows).astype(float)
    options = {"class_weight": per_class((6,))} if case.labelled else {}
    value = loss(x, t, reduction="none", **options)
    weighted = loss(x, t, reduction="none", sample_weight=weight, **options)
    assert weighted == pytest.approx(weight * value, rel=1e-15)
    denominator = loss.denominator(t, sample_weight=weight, **options)
    mean, grad = loss.value_and_grad(x, t, sample_weight=weight, **options)
    assert mean == pytest.approx(weighted.sum() / denominator, rel=1e-14)
    total, pieces = 0.0, []
    for part in (slice(0, 7), slice(7, 40), slice(40, 60)):
        piece = loss.value_and_grad(x[part], t[part], sample_weight=weight[part], denominator=denominator, **options)
        total += piece[0]
        pieces.append(piece[1])
    assert total == pytest.approx(mean, rel=1e-14)
    assert same_bits(np.concatenate(pieces), grad)
    repeated = [
        np.repeat(
            a.reshape(360 if not case.rowwise else 60, *a.shape[1 if case.rowwise else 2 :]),
            weight.ravel().astype(int),
            0,
        )
        for a in (x, t)
    ]
    assert loss(*repeated, **options) == pytest.approx(mean, rel=1e-13)


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_denominator_of_cross_entropy(axis, rng):
    """It is what "mean" divides by, from the target alone."""
    x, t = BY_NAME["cross_entropy"].arrays(rng, (8, 6, 5), float)
    t[3, 1] = t[7, 5] = -100
    moved = np.moveaxis(x, -1, axis)
    for weight, by_class, ignore in itertools.product(
        (None, 0.5, rng.uniform(0, 2, (8, 6))), (None, per_class((5,))), (-100,)
    ):
        options = {"class_weight": by_class, "ignore_index": ignore, "axis": axis, "sample_weight": weight}
        total = ce.denominator(t, **options)
        live = t != ignore
        expected = (
            np.broadcast_to(1.0 if weight is None else weight, t.shape)
            * (1 if by_class is None else by_class[np.where(live, t, 0)])
        )[live].sum()
        assert relative_error(total, expected) < 1e-14
        assert ce(moved, t, **options) == pytest.approx(ce(moved, t, reduction="sum", **options) / total, rel=1e-14)
    soft = np.moveaxis(soft_targets(rng, (8, 6, 5), float), -1, axis)
    assert ce.denominator(soft, axis=axis, class_weight=per_class((5,))) == 48
    weight = rng.uniform(0, 2, (8, 6))
    assert ce.denominator(soft, axis=axis, sample_weight=weight) == pytest.approx(weight.sum(), rel=1e-14)


def test_ignore_index_has_no_effect_on_probabilities(rng):
    x, y = rng.standard_normal((9, 4)), soft_targets(rng, (9, 4), float)
    assert same_bits(ce.value_and_grad(x, y, ignore_index=0), ce.value_and_grad(x, y, ignore_index=None))
