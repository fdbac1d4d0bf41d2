"""Layouts and types of inputs and outputs: the right result, and the same bits where they are promised.

Same bits for all layouts with the same contiguity of the class axis, in place or not, value alone or fused.
"""

import itertools

import numpy as np
import pytest
from arrays import layouts, misaligned, writable_layouts
from cases import ACTIVATIONS, CASES, POINTWISE
from compare import results_of as every_result
from compare import same_bits

import fastloss as fl

ce = fl.cross_entropy


def case_id(case):
    return case.name


def results_of(case, *arrays, **keywords):
    return every_result(case.name, *arrays, reduction="none", **keywords)


def same_axis(view, axis=-1):
    """Whether a view of logits keeps its class axis contiguous (another kernel may serve those that do not)."""
    return not isinstance(view, np.ndarray) or view.strides[axis] == view.itemsize


def close(a, b, dtype):
    return all(x == pytest.approx(y, rel=32 * float(np.finfo(dtype).eps), abs=1e-30) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("case", CASES, ids=case_id)
@pytest.mark.parametrize("shape", [(), (1,), (67,), (5, 1), (1, 5), (9, 41), (3, 70, 40)])
def test_layouts_of_inputs(case, shape, dtype, isa, rng):
    if case.rowwise and not shape:
        return
    x, t = case.arrays(rng, shape, dtype)
    expected = results_of(case, x, t)
    for name, view in layouts(x):
        if name == "list" and dtype != np.float64:
            continue
        before = np.array(view)
        results = results_of(case, view, t)
        assert same_bits(results, expected) or (
            case.rowwise and not same_axis(view) and close(results, expected, dtype)
        ), name
        assert same_bits(np.array(view), before), name
    for name, view in layouts(t):
        if not (name == "list" and dtype != np.float64):
            assert same_bits(results_of(case, x, view), expected), name


@pytest.mark.parametrize("case", CASES, ids=case_id)
@pytest.mark.parametrize("shape", [(), (67,), (9, 41), (3, 70, 40)])
def test_layouts_of_outputs(case, shape, dtype, isa, rng):
    """The object that was given comes back, and what lies between its elements is not touched."""
    if case.rowwise and not shape:
        return
    x, t = case.arrays(rng, shape, dtype)
    expected = results_of(case, x, t)
    value, grad = expected[:2]
    for (name, grad_out), (_, hess_out) in zip(writable_layouts(grad + 1), writable_layouts(grad + 2), strict=True):
        root = grad_out if grad_out.base is None else grad_out.base
        outside = root.size * root.itemsize - grad_out.nbytes
        outputs = {"grad_out": grad_out} | ({"hess_out": hess_out} if case.has_hessian else {})
        results = results_of(case, x, t, **outputs)
        assert results[1] is grad_out, name
        assert not case.has_hessian or results[2] is hess_out, name
        assert same_bits(results, expected), name
        if name.startswith("spaced"):
            assert outside > 0
            assert np.isnan(root).sum() == grad.size + np.isnan(grad).sum(), name
    for name, out in writable_layouts(value + 1):
        assert getattr(fl, case.name)(x, t, reduction="none", out=out) is out, name
        assert same_bits(out, value), name


@pytest.mark.parametrize("case", CASES, ids=case_id)
@pytest.mark.parametrize("shape", [(5,), (300, 7), (40, 300), (1, 5000)])
def test_entry_points_and_places_agree(case, shape, dtype, isa, rng):
    """Value alone or fused, in place or not, with or without given outputs, whole or in chunks: the same bits."""
    loss = getattr(fl, case.name)
    for parameters in case.parameters:
        given = case.resolved(parameters, shape)
        x, t = case.arrays(rng, shape, dtype, given)
        for reduction in ("mean", "sum", "none"):
            common = {"reduction": reduction, **given}
            whole = every_result(case.name, x, t, **common)
            value, grad = whole[:2]
            assert same_bits(loss(x, t, **common), value)
            assert same_bits(loss.value_and_grad(x, t, **common), (value, grad))
            in_place = x.copy()
            assert same_bits(loss.value_and_grad(in_place, t, grad_out=in_place, **common), (value, grad))
            in_place = x.copy()
            if case.has_hessian:
                assert same_bits(loss.value_grad_hess(in_place, t, hess_out=in_place, **common), whole)
            in_place = x.copy(order="F")
            fused = loss.value_and_grad(in_place, t, grad_out=in_place, **common)
            assert fused[1] is in_place
            assert same_bits(fused, (value, grad)) or (case.rowwise and close(fused[1], grad, dtype))
        if not case.rowwise:
            out = x.copy()
            assert same_bits(loss(out, t, out=out, **common), value)
        half = shape[0] // 2
        if half and "pos_weight" not in given and not (case.rowwise and len(shape) == 1):
            for part in (slice(0, half), slice(half, None)):
                chunk = results_of(case, x[part], t[part], **given)
                assert same_bits(chunk, tuple(r[part] for r in whole))


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_overlapping_outputs_raise(case, dtype):
    """Only the prediction's own buffer, exactly, may be an output; and nothing is written before that is known."""
    buffer = np.full((9, 4), 0.5, dtype)
    x = buffer[:8]
    t = case.plain_target(x)
    weight = np.ones(case.rows((8, 4)), dtype)
    loss = getattr(fl, case.name)
    first = loss.arrays[0]
    for grad_out in (buffer[1:], x[::-1]):
        with pytest.raises(ValueError, match=f"grad_out overlaps {first}.*own buffer"):
            loss.value_and_grad(x, t, grad_out=grad_out)
    shared = np.empty((8, 4), dtype)
    for both in (shared, x) if case.has_hessian else ():
        with pytest.raises(ValueError, match="hess_out overlaps grad_out"):
            loss.value_grad_hess(x, t, grad_out=both, hess_out=both)
    with pytest.raises(ValueError, match="out overlaps sample_weight"):
        loss(x, t, sample_weight=weight, out=weight, reduction="none")
    with pytest.raises(ValueError, match="out overlaps grad_output"):
        loss.value_and_grad(x, t, grad_output=weight, out=weight, reduction="none")
    if not case.labelled:
        with pytest.raises(ValueError, match="grad_out overlaps target"):
            loss.value_and_grad(x, t, grad_out=t)
        with pytest.raises(ValueError, match="grad_out overlaps target"):
            loss.value_and_grad(t, t, grad_out=t)
    if not case.rowwise:
        with pytest.raises(ValueError, match="grad_out overlaps out"):
            loss.value_and_grad(x, t, out=shared, grad_out=shared, reduction="none")
    if case.labelled:
        rows = np.zeros((8, 4), dtype)
        labels = rows.view(f"i{dtype.itemsize}")[:, 0]
        with pytest.raises(ValueError, match="grad_out overlaps target"):
            loss.value_and_grad(rows, labels, grad_out=rows)
    assert (buffer == 0.5).all()
    assert (weight == 1).all()


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_integer_and_bool_predictions_become_float64(case, rng):
    x = rng.integers(0, 2, (6, 5))
    t = rng.integers(0, 5, 6) if case.labelled else np.ones((6, 5))
    expected = getattr(fl, case.name).value_and_grad(x.astype(float), t)
    assert expected[1].dtype == np.float64
    for code in "bhilqBHILQ?":
        assert same_bits(getattr(fl, case.name).value_and_grad(x.astype(code), t), expected)
    assert same_bits(getattr(fl, case.name).value_and_grad(x.tolist(), t), expected)


HALF = ["float16"]
try:
    import ml_dtypes

    HALF.append(ml_dtypes.bfloat16)
except ImportError:
    pass


@pytest.mark.parametrize("case", CASES, ids=case_id)
@pytest.mark.parametrize("half", HALF, ids=str)
def test_half_precision_is_computed_in_float32(case, half, isa, rng):
    half = np.dtype(half)
    x, t = case.arrays(rng, (70, 9), np.float32)
    x = case.tamed(x).astype(half)
    wide = results_of(case, x.astype(np.float32), t)
    with np.errstate(over="ignore"):
        expected = tuple(r.astype(half) for r in wide)
    assert same_bits(results_of(case, x, t), expected)
    assert getattr(fl, case.name)(x, t) == getattr(fl, case.name)(x.astype(np.float32), t)
    in_place = x.copy()
    value, grad = getattr(fl, case.name).value_and_grad(in_place, t, reduction="none", grad_out=in_place)
    assert grad is in_place
    assert same_bits((value, grad), expected[:2])
    if not case.rowwise:
        sample_weight = rng.uniform(0, 2, (70, 9)).astype(half)
        weighted = results_of(case, x, t.astype(half), sample_weight=sample_weight)
        wide = results_of(case, x.astype("f4"), t.astype(half).astype("f4"), sample_weight=sample_weight.astype("f4"))
        with np.errstate(over="ignore"):
            assert same_bits(weighted, tuple(r.astype(half) for r in wide))


@pytest.mark.parametrize("case", POINTWISE, ids=case_id)
def test_prediction_alone_decides_the_type(case, isa, rng):
    """float64 targets and weights are rounded to a float32 prediction's type; a float32 target is exact in float64."""
    x, t = case.arrays(rng, (3, 1500), np.float32)
    t = t.astype(float)
    soft = t % 1 != 0
    t[soft] *= 1 + 1e-9  # no longer a float32
    weight = rng.uniform(0, 2, (3, 1500))
    expected = results_of(case, x, t.astype(np.float32), sample_weight=weight.astype(np.float32))
    assert expected[0].dtype == expected[1].dtype == np.float32
    assert same_bits(results_of(case, x, t, sample_weight=weight), expected)
    wide = results_of(case, x.astype(float), t.astype(np.float32))
    assert same_bits(wide, results_of(case, x.astype(float), t.astype(np.float32).astype(float)))


def test_soft_targets_of_other_types(isa, rng):
    x = rng.standard_normal((40, 33)).astype(np.float32)
    y = rng.dirichlet(np.ones(33), 40)
    expected = ce.value_grad_hess(x, y.astype(np.float32), reduction="none")
    for target in (
        y,
        np.asfortranarray(y),
        y.astype(">f8"),
        misaligned(y.astype(np.float32)),
        np.asfortranarray(y.astype("f4")),
    ):
        assert same_bits(ce.value_grad_hess(x, target, reduction="none"), expected)
    hard = np.eye(33)[:, :].astype(bool)
    assert same_bits(ce.value_and_grad(x[:33], hard), ce.value_and_grad(x[:33], hard.astype(np.float32)))


@pytest.mark.parametrize("case", POINTWISE, ids=case_id)
def test_zero_strides(case, dtype, isa, rng):
    """A broadcast input is what its copy is; weights broadcast with the same number of dimensions."""
    x, t = case.arrays(rng, (1, 41), dtype)
    wide = [np.broadcast_to(a, (60, 41)) for a in (x, t)]
    weight = rng.uniform(0, 2, (60, 1)).astype(dtype)
    copies = [np.ascontiguousarray(a) for a in wide]
    expected = results_of(case, *copies, sample_weight=np.repeat(weight, 41, 1))
    assert same_bits(results_of(case, *wide, sample_weight=weight), expected)
    mean = getattr(fl, case.name)(*copies, sample_weight=np.repeat(weight, 41, 1))
    assert getattr(fl, case.name)(*wide, sample_weight=weight) == pytest.approx(mean, rel=1e-12, nan_ok=True)
    assert getattr(fl, case.name).denominator(wide[1], sample_weight=weight) == pytest.approx(
        41 * weight.sum(dtype=float)
    )


def test_ten_dimensions(rng):
    shape = (2, 1, 3, 2, 1, 2, 2, 1, 3, 2)
    x, t = (rng.standard_normal(shape).transpose(rng.permutation(10)) for _ in range(2))
    t = t.reshape(x.shape)
    assert fl.mse_loss(x, t) == pytest.approx(((x - t) ** 2).mean(), rel=1e-14)
    for axis in range(10):
        labels = np.zeros(x.shape[:axis] + x.shape[axis + 1 :], int)
        grad = ce.value_and_grad(x, labels, axis=axis)[1]
        moved = np.ascontiguousarray(np.moveaxis(x, axis, -1))
        assert np.moveaxis(grad, axis, -1) == pytest.approx(ce.value_and_grad(moved, labels)[1], rel=1e-13, abs=1e-16)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_layouts(name, dtype, isa, rng):
    function = getattr(fl, name)
    x = rng.standard_normal((5, 33)).astype(dtype)
    expected = function(x)
    for layout, view in layouts(x):
        if layout == "list" and dtype != np.float64:
            continue
        same = same_axis(view) or name in ACTIVATIONS[:3]
        assert same_bits(function(view), expected) or (not same and close(function(view), expected, dtype)), layout
    for layout, out in writable_layouts(expected + 1):
        assert function(x, out=out) is out
        assert same_bits(out, expected), layout
    if name != "logsumexp":
        in_place = x.copy()
        assert same_bits(function(in_place, out=in_place), expected)
        with pytest.raises(ValueError, match="out overlaps x"):
            function(in_place[1:], out=in_place[:-1])
    for half in HALF:
        assert same_bits(function(x.astype(half)), function(x.astype(half).astype("f4")).astype(half))
    assert function(np.eye(3, dtype=int)).dtype == np.float64


def test_more_than_two_to_the_31_elements():
    """Offsets beyond 32 bits, through zero-stride views of one element (pointwise) and of one row (cross-entropy)."""
    n = 2**31 + 5000
    x, t = np.broadcast_to(np.float32(3), (n,)), np.broadcast_to(np.int8(1), (n,))
    assert fl.mse_loss(x, t) == 4.0
    assert fl.mse_loss(x, t, reduction="sum") == 4.0 * n
    labels = np.zeros(n // 4 + 5, np.int8)
    labels[-1] = 3
    rows = np.broadcast_to(np.float64([1, 0, 0, 0]), (labels.size, 4))
    row = fl.logsumexp(rows[0]) - 1
    assert ce(rows, labels, reduction="sum") == pytest.approx(float(row) * labels.size + 1, rel=1e-13)
    labels[-1] = 4
    with pytest.raises(ValueError, match=rf"target\[{labels.size - 1}\] = 4"):
        ce(rows, labels)


def test_chunks_of_a_stream(rng):
    """Sums over chunks, in any cut, agree to the bound of a sum (bits are promised for elements, not for sums)."""
    x, t = rng.standard_normal(50_000), rng.standard_normal(50_000)
    whole = fl.huber_loss(x, t, reduction="sum")
    for cut in itertools.chain([1000, 2048, 16384], rng.integers(500, 40_000, 3)):
        parts = [fl.huber_loss(x[i : i + cut], t[i : i + cut], reduction="sum") for i in range(0, 50_000, int(cut))]
        assert sum(parts) == pytest.approx(whole, rel=1e-14)
