"""Every row of the law of bad and extreme input that is answered, not refused (those that raise: test_errors.py)."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
from cases import BY_NAME, POINTWISE
from compare import same_bits
from inputs import probabilities

import fastloss as fl

INF, NAN = math.inf, math.nan
CLASSES = (2, 3, 33, 100)
EXTREMES = [(case.name, k) for case in POINTWISE for k in range(len(case.extremes))]
ce = fl.cross_entropy


def agrees(got, want, dtype) -> bool:
    """Equal; NaN for NaN; finite numbers that are not whole to 4 units; None: anything but NaN."""
    if want is None:
        return not np.isnan(got).any()
    with np.errstate(over="ignore"):
        want = np.asarray(want).astype(dtype)
    close = np.abs(np.subtract(got, want, where=np.isfinite(want), out=np.zeros(want.shape, dtype)))
    near = (close <= 4 * np.finfo(dtype).eps * np.abs(want)) & (got != 0) & np.isfinite(got)
    return bool(np.all((got == want) | (np.isnan(got) & np.isnan(want)) | near))


@pytest.mark.parametrize(("name", "k"), EXTREMES)
def test_pointwise_extreme(name, k, dtype, isa, rng):
    """In the middle of a vector and in the tail: the element's own answer, all others untouched by it; the same where
    values are only summed, for which kernels may leave the limits to a second pass over the block."""
    case = BY_NAME[name]
    extreme = case.extremes[k]
    if extreme.dtype not in (None, dtype.name):
        pytest.skip("another type's extreme")
    x, t = case.arrays(rng, (200,), dtype, extreme.parameters)
    loss = getattr(fl, name)
    plain = loss.value_grad_hess(x, t, reduction="none", **extreme.parameters)
    for at in (0, 17, 127, 128, 199):
        bad, label = x.copy(), t.copy()
        with np.errstate(over="ignore"):
            bad[at], label[at] = extreme.prediction, extreme.target
        results = loss.value_grad_hess(bad, label, reduction="none", **extreme.parameters)
        for got, want, before in zip(results, (extreme.value, extreme.grad, extreme.hess), plain, strict=True):
            assert agrees(got[at], want, dtype), (got[at], want)
            assert same_bits(np.delete(got, at), np.delete(before, at))
        assert same_bits(loss(bad, label, reduction="none", **extreme.parameters), results[0])
        pair = loss.value_and_grad(bad, label, reduction="sum", **extreme.parameters)
        assert same_bits(pair[1], results[1])
        assert pair[0] == pytest.approx(float(np.sum(results[0], dtype=np.longdouble)), rel=1e-6, nan_ok=True)
        own = bad.copy()
        assert same_bits(loss.value_and_grad(own, label, reduction="sum", grad_out=own, **extreme.parameters), pair)
        mean = loss(bad, label, **extreme.parameters)
        assert mean == pytest.approx(pair[0] / 200, nan_ok=True)


@pytest.mark.parametrize("case", POINTWISE, ids=lambda c: c.name)
def test_weight_of_zero_silences_a_summed_element(case, dtype, isa, rng):
    """In blocks that are summed where they arise: elements as in an unreduced call, the total theirs."""
    loss = getattr(fl, case.name)
    for n in (5, 128, 2049, 50_000):
        x, t = case.arrays(rng, (n,), dtype)
        x = case.tamed(x)
        weight = (rng.random(n) * (rng.random(n) > 0.2)).astype(dtype)
        if case.inputs is not probabilities:  # whose domain is checked, weight or not
            x[n // 2] = rng.choice([INF, -INF, NAN])
        weight[n // 2] = 0
        total, grad = loss.value_and_grad(x, t, sample_weight=weight, reduction="sum")
        terms, alone = loss.value_and_grad(x, t, sample_weight=weight, reduction="none")
        assert same_bits(grad, alone)
        assert total == pytest.approx(math.fsum(terms), rel=1e-7)


class Row(NamedTuple):
    """A row of logits, its target (a class or probabilities), the options, and its exact answer."""

    logits: np.ndarray
    target: object
    value: object
    grad: object
    options: dict


def plain_softmax(x):
    e = np.exp(x - np.max(x))
    return e / e.sum()


def extreme_rows(classes: int, rng) -> dict[str, Row]:
    """Rows with an infinity, a NaN or a huge logit. The target is class 1, the other class concerned 0."""
    x = rng.uniform(-2, 2, classes)
    y = np.eye(classes)[1]

    def row(value, grad, options=None, target=1, **changed):
        """The row x with logit ``first`` or ``at_target`` replaced."""
        logits = x.copy()
        for at, logit in changed.items():
            logits[("first", "at_target").index(at)] = logit
        return Row(logits, target, value, grad, options or {})

    unmasked = np.delete(x, 0)
    masked = np.insert(plain_softmax(unmasked), 0, 0.0)
    hidden = np.insert(plain_softmax(np.delete(x, 1)), 1, 0.0)
    smoothed = 0.9 * y + 0.1 / classes
    nothing, unknown = np.zeros(classes), np.full(classes, NAN)
    wrong = np.eye(classes)[0] - y
    huge = np.zeros(classes)
    huge[:2] = 3e38, -3e38
    return {
        "+inf target": row(0.0, nothing, at_target=INF),
        "+inf other": row(INF, wrong, first=INF),
        "+inf twice": row(NAN, unknown, first=INF, at_target=INF),
        "+inf target, smoothing": row(INF, y - smoothed, {"label_smoothing": 0.1}, at_target=INF),
        "+inf target, temperature": row(0.0, nothing, {"temperature": 3.0}, at_target=INF),
        "+inf target, softcap": row(0.0, nothing, {"logit_softcap": 5.0}, at_target=INF),
        "+inf other, temperature": row(INF, wrong / 4, {"temperature": 4.0}, first=INF),
        # The cap passes infinity with slope 1; the target's own logit has the slope that the cap has there.
        "+inf other, softcap": row(
            INF, np.where(y == 1, np.tanh(x[1] / 5) ** 2 - 1, wrong), {"logit_softcap": 5.0}, first=INF
        ),
        "mask": row(-np.log(plain_softmax(unmasked)[0]), masked - y, first=-INF),
        "mask, soft": row(-np.log(plain_softmax(unmasked)[0]), masked - y, target=y, first=-INF),
        "mask, smoothing": row(INF, masked - smoothed, {"label_smoothing": 0.1}, first=-INF),
        "-inf target": row(INF, hidden - y, at_target=-INF),
        "all -inf": Row(np.full(classes, -INF), 1, NAN, unknown, {}),
        "NaN": row(NAN, unknown, first=NAN),
        "NaN at target": row(NAN, unknown, at_target=NAN),
        "3e38": Row(huge, 1, 6e38, wrong, {}),
        "1e4": row(1e4 - x[1], wrong, first=1e4),
        "-1e4 at target": row(1e4 + np.log(np.exp(np.delete(x, 1)).sum()), hidden - y, at_target=-1e4),
        "zeros": row(0.0, nothing, target=nothing),
        "zeros, smoothing": row(0.0, nothing, {"label_smoothing": 0.3}, target=nothing),
        "negative probability": row(np.log(plain_softmax(x)[1]), y - plain_softmax(x), target=-y),
        "NaN probability": row(NAN, unknown, target=np.where(y == 1, NAN, 0.0)),
        "probabilities of sum 2": row(-2 * np.log(plain_softmax(x)[1]), 2 * plain_softmax(x) - 2 * y, target=2 * y),
    }


ROW_NAMES = tuple(extreme_rows(3, np.random.default_rng(0)))


@pytest.mark.parametrize("name", ROW_NAMES)
@pytest.mark.parametrize("classes", CLASSES)
def test_row_extreme(name, classes, dtype, isa, rng):
    """The row's own answer wherever it lies in a tile, on both kinds of class axis; other rows are untouched by it."""
    extreme = extreme_rows(classes, rng)[name]
    soft = np.ndim(extreme.target) > 0
    logits = rng.standard_normal((45, classes)).astype(dtype)
    target = np.eye(classes)[np.arange(45) % classes].astype(dtype) if soft else np.arange(45) % classes
    plain = ce.value_grad_hess(logits, target, reduction="none", **extreme.options)
    for at, axis in itertools.product((0, 31, 32, 44), (-1, 0)):
        x, t = logits.copy(), target.copy()
        x[at], t[at] = extreme.logits, extreme.target
        given = np.ascontiguousarray(np.moveaxis(x, -1, axis))
        labels = np.ascontiguousarray(np.moveaxis(t, -1, axis)) if soft else t
        value, *derivatives = ce.value_grad_hess(given, labels, reduction="none", axis=axis, **extreme.options)
        grad, hess = (np.moveaxis(d, axis, -1) for d in derivatives)
        tolerance = 60 * float(np.finfo(dtype).eps)  # of the rows above, rounded to the type, in plain formulas
        with np.errstate(over="ignore"):
            expected = float(dtype.type(extreme.value))
        assert float(value[at]) == pytest.approx(expected, rel=tolerance, abs=tolerance, nan_ok=True)
        assert grad[at] == pytest.approx(np.asarray(extreme.grad), abs=tolerance, nan_ok=True)
        assert not grad[at][np.asarray(extreme.grad) == 0].any()
        assert np.isnan(hess[at]).all() if np.isnan(extreme.grad).any() else np.isfinite(hess[at]).all()
        if axis == -1:  # a strided class axis may use another kernel
            for got, before in zip((value, grad, hess), plain, strict=True):
                assert same_bits(np.delete(got, at, 0), np.delete(before, at, 0))
        total = ce(given, labels, reduction="sum", axis=axis, **extreme.options)
        others = math.fsum(np.delete(plain[0], at))
        assert total == pytest.approx(others + extreme.value, rel=1e-6, nan_ok=True)  # 6e38 stays finite in float32
        mean, scaled = ce.value_and_grad(given, labels, axis=axis, **extreme.options)
        assert mean == pytest.approx(total / 45, rel=1e-12, nan_ok=True)
        assert np.moveaxis(scaled, axis, -1)[at] == pytest.approx(
            np.asarray(extreme.grad) / 45, abs=tolerance, nan_ok=True
        )


WHATEVER = (NAN, INF, -INF, 3e38)


@pytest.mark.parametrize("classes", [1, *CLASSES])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.2}, {"logit_softcap": 3.0, "z_loss": 0.1}])
def test_ignored_row_contributes_nothing(classes, options, dtype, isa, rng):
    """Whatever it holds, its class weight looked up by nobody, its sample weight not looked at."""
    x = rng.standard_normal((40, classes)).astype(dtype)
    t = np.arange(40) % classes
    keep = np.ones(40, bool)
    for at, bad in ((0, NAN), (7, INF), (31, -INF), (39, 3e38)):
        x[at], keep[at], t[at] = bad, False, -100
    sample_weight = np.where(keep, rng.uniform(0.5, 2, 40), NAN).astype(dtype)
    class_weight = rng.uniform(0.5, 2, classes).astype(dtype)
    common = {"class_weight": class_weight, **options}
    for index in (-100, 0, classes + 3, 2**40):  # also within the classes, and beyond them
        labels = np.where(keep, t, index)
        alive = labels != index
        results = ce.value_grad_hess(
            x, labels, ignore_index=index, sample_weight=sample_weight, reduction="none", **common
        )
        for result in results:
            assert not np.any(result[~alive])
            assert not np.signbit(result[~alive]).any()
        weights = {"sample_weight": sample_weight, "class_weight": class_weight}
        total = ce.denominator(labels, ignore_index=index, **weights)
        if not alive.any():
            assert total == 0
            continue
        kept = ce.value_and_grad(
            x[alive], labels[alive], sample_weight=sample_weight[alive], ignore_index=None, **common
        )
        mean, grad = ce.value_and_grad(x, labels, ignore_index=index, sample_weight=sample_weight, **common)
        assert mean == pytest.approx(kept[0], rel=1e-12)
        assert grad[alive] == pytest.approx(kept[1], rel=1e-6)
        weights["sample_weight"] = sample_weight[alive]
        assert total == pytest.approx(ce.denominator(labels[alive], ignore_index=None, **weights), rel=1e-12)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("bad", WHATEVER)
def test_weight_zero_silences_a_row(bad, soft, dtype, isa, rng):
    for classes in CLASSES:
        x = rng.standard_normal((35, classes)).astype(dtype)
        labels = np.arange(35) % classes
        t = np.eye(classes)[labels] if soft else labels
        x[[3, 34]] = bad
        weight = np.ones(35)
        weight[[3, 34]] = 0
        value, grad, hess = ce.value_grad_hess(x, t, sample_weight=weight, reduction="none")
        assert value[3] == value[34] == 0
        assert not grad[[3, 34]].any()
        assert not hess[[3, 34]].any()
        total, _ = ce.value_and_grad(x, t, sample_weight=weight)
        assert total == pytest.approx(ce(np.delete(x, [3, 34], 0), np.delete(t, [3, 34], 0)), rel=1e-12)


@pytest.mark.parametrize("case", POINTWISE, ids=lambda c: c.name)
@pytest.mark.parametrize("bad", WHATEVER)
def test_weight_zero_silences_an_element(case, bad, dtype, isa, rng):
    """Even a prediction outside its domain: its label alone is still checked."""
    x, t = case.arrays(rng, (33,), dtype)
    x[[2, 32]] = bad
    weight = np.ones(33, dtype)
    weight[[2, 32]] = 0
    for reduction in ("none", "sum", "mean"):
        results = getattr(fl, case.name).value_grad_hess(x, t, sample_weight=weight, reduction=reduction)
        others = (np.delete(x, [2, 32]), np.delete(t, [2, 32]))
        expected = getattr(fl, case.name).value_grad_hess(*others, reduction=reduction)
        for result, want in zip(results[1:], expected[1:], strict=True):
            assert not result[[2, 32]].any()
            assert same_bits(np.delete(result, [2, 32]), want)
        if reduction != "none":
            assert results[0] == pytest.approx(expected[0], rel=1e-12, nan_ok=True)
    in_place = x.copy()
    _, grad = getattr(fl, case.name).value_and_grad(in_place, t, sample_weight=weight, grad_out=in_place)
    assert same_bits(grad, results[1])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nothing_to_average(reduction, dtype, isa):
    """An empty batch, and one that is ignored as a whole: the mean of nothing is NaN, derivatives are 0."""
    empty = (np.zeros((0, 4), dtype), np.zeros(0, int), {})
    ignored = (np.full((3, 4), NAN, dtype), np.full(3, -100), {})
    weightless = (np.ones((3, 4), dtype), np.array([0, 1, 0]), {"class_weight": [0, 0, 1, 1]})
    scalar = {"mean": NAN, "sum": 0.0}
    for x, t, options in (empty, ignored, weightless):
        value, grad, hess = ce.value_grad_hess(x, t, reduction=reduction, **options)
        if reduction == "none":
            assert value.shape == t.shape
            assert not value.any()
        else:
            assert value == pytest.approx(scalar[reduction], nan_ok=True)
        for d in (grad, hess):
            assert d.shape == x.shape
            assert d.dtype == dtype
            assert not d.any()
        assert ce.denominator(t, **options) == 0
        assert ce(x, t, denominator=5, **options) == 0
    for case in POINTWISE:
        value, grad, hess = getattr(fl, case.name).value_grad_hess(
            np.zeros((0, 3), dtype), np.zeros((0, 3)), reduction=reduction
        )
        assert grad.shape == hess.shape == (0, 3)
        if reduction != "none":
            assert value == pytest.approx(scalar[reduction], nan_ok=True)
        assert getattr(fl, case.name)([], [], denominator=2) == 0
        one = np.ones(3, dtype)
        value, grad = getattr(fl, case.name).value_and_grad(one, one, sample_weight=0.0)
        assert math.isnan(value)
        assert not grad.any()


@pytest.mark.parametrize("logit", [0.0, 5.0, -3e38, 1e4])
def test_one_class(logit, dtype, isa):
    value, grad, hess = ce.value_grad_hess(np.full((3, 1), logit, dtype), [0, 0, 0], reduction="none")
    assert value.tolist() == [0, 0, 0]
    assert not grad.any()
    assert not hess.any()


LABEL_TYPES = "bhilqBHILQ"


@pytest.mark.parametrize("code", LABEL_TYPES)
def test_labels_of_every_integer_type(code, isa, rng):
    x = rng.standard_normal((50, 100)).astype(np.float32)
    t = rng.integers(0, 100, 50)
    expected = ce.value_and_grad(x, t)
    assert same_bits(ce.value_and_grad(x, t.astype(code)), expected)
    if code.islower():
        t[[0, 9]] = -100
        assert same_bits(ce.value_and_grad(x, t.astype(code)), ce.value_and_grad(x, t))
    else:
        t[[0, 9]] = 255
        assert same_bits(
            ce.value_and_grad(x, t.astype(code), ignore_index=255), ce.value_and_grad(x, t, ignore_index=255)
        )


def test_labels_of_binary_losses(rng):
    x = rng.standard_normal(50)
    t = rng.integers(0, 2, 50)
    for loss, p in ((fl.binary_cross_entropy_with_logits, x), (fl.binary_cross_entropy, 1 / (1 + np.exp(-x)))):
        expected = loss.value_and_grad(p, t.astype(float))
        for code in LABEL_TYPES + "?":
            assert same_bits(loss.value_and_grad(p, t.astype(code)), expected)


class TestActivations:
    def test_limits_of_rows(self, dtype, isa):
        for n in CLASSES:
            x = np.zeros((5, n), dtype)
            x[0], x[1, 0], x[2, :2], x[3, -1] = -INF, INF, INF, NAN
            one_hot = np.eye(n)[0]
            p, logs, sums = fl.softmax(x), fl.log_softmax(x), fl.logsumexp(x)
            assert np.isnan(p[[0, 2, 3]]).all()
            assert np.isnan(logs[[0, 2, 3]]).all()
            assert (p[1] == one_hot).all()
            assert (logs[1] == np.where(one_hot == 1, 0, -INF)).all()
            assert p[4] == pytest.approx(np.full(n, 1 / n), rel=1e-6)
            assert sums[:3].tolist() == [-INF, INF, INF]
            assert np.isnan(sums[3])
            assert sums[4] == pytest.approx(math.log(n), rel=1e-6)

    def test_empty(self, dtype):
        assert fl.logsumexp(np.zeros((3, 0), dtype)).tolist() == [-INF] * 3
        assert fl.softmax(np.zeros((3, 0), dtype)).shape == fl.log_softmax(np.zeros((3, 0))).shape == (3, 0)
        assert fl.logsumexp(np.zeros((0, 3), dtype)).shape == (0,)
        for name in ("sigmoid", "log_sigmoid", "softplus", "softmax", "log_softmax"):
            assert getattr(fl, name)(np.zeros((0, 2), dtype)).shape == (0, 2)

    def test_elementwise_limits(self, dtype, isa):
        x = np.array([-INF, -3e38, 0, 3e38, INF, NAN], dtype)
        assert fl.sigmoid(x)[:5].tolist() == [0, 0, 0.5, 1, 1]
        assert fl.softplus(x)[[0, 1, 3, 4]].tolist() == [0, 0, x[3], INF]
        assert fl.log_sigmoid(x)[[0, 1, 3, 4]].tolist() == [-INF, x[1], 0, 0]
        assert all(np.isnan(f(x)[5]) for f in (fl.sigmoid, fl.softplus, fl.log_sigmoid))

    def test_always_arrays(self):
        for result in (fl.sigmoid(0.5), fl.softplus(1), fl.log_sigmoid(True), fl.logsumexp([1.0, 2.0])):
            assert type(result) is np.ndarray
            assert result.shape == ()
