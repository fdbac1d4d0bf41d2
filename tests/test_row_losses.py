"""Losses of rows of classes but cross-entropy: options together, extremes, laws, inputs that others get wrong.

What every loss is asked in the same way is asked elsewhere, driven by the rows of ``cases``.
"""

import itertools
import math

import numpy as np
import pytest
from cases import ROWWISE
from compare import REFERENCE_ULPS, results_of, same_bits, truth, worst_ulps
from inputs import INF, NAN, soft_targets

import fastloss as fl

ROW_LOSSES = tuple(case for case in ROWWISE if case.name != "cross_entropy")
LABELLED = tuple(case for case in ROW_LOSSES if case.labelled)
each = pytest.mark.parametrize("case", ROW_LOSSES, ids=lambda c: c.name)
each_labelled = pytest.mark.parametrize("case", LABELLED, ids=lambda c: c.name)
SHAPE = (7, 2, 5)


def commons(rng, rows):
    """Reductions with and without weights, denominators and upstream gradients."""
    weight = rng.uniform(0, 2, rows) * (rng.random(rows) < 0.8)
    yield {"reduction": "none", "sample_weight": weight, "grad_output": rng.standard_normal(rows)}
    yield {"reduction": "sum", "sample_weight": weight, "grad_output": -1.5}
    yield {"reduction": "mean", "sample_weight": weight}
    yield {"reduction": "mean", "sample_weight": 0.5, "denominator": 3.0}


@each
def test_options_together(case, dtype, rng):
    """Every setting with ignored rows, weights and reductions, class axis last and in the middle."""
    for setting, axis in itertools.product(case.parameters, (-1, 1)):
        options = case.resolved(setting, SHAPE)
        x, t = case.arrays(rng, SHAPE, dtype, options)
        x = case.tamed(x)
        if case.labelled:
            t[5, 0] = t[0, 1] = options["ignore_index"] = 1
        moved, target = np.ascontiguousarray(np.moveaxis(x, -1, axis)), case.moved(t, axis)
        for common in commons(rng, SHAPE[:-1]):
            expected = truth(case.name, moved, target, options | {"axis": axis}, dtype, **common)
            results = results_of(case.name, moved, target, axis=axis, **options, **common)
            errors = np.array(worst_ulps(results, expected, dtype))
            bounds = np.array(case.bounds(options))[: len(errors)] + 4 + REFERENCE_ULPS[np.dtype(dtype)]
            assert (errors <= bounds).all(), (errors, setting, common)
            common.pop("grad_output", None)
            assert same_bits(getattr(fl, case.name)(moved, target, axis=axis, **options, **common), results[0])


@each
def test_weight_zero_silences_a_row(case, dtype, isa, rng):
    """Even one whose prediction is outside its domain; the mean counts the others alone."""
    for classes in (3, 40, 200):
        x, t = case.arrays(rng, (35, classes), dtype)
        x = case.tamed(x)
        others = [k for k in range(35) if k not in (3, 34)]
        weight = np.ones(35)
        weight[[3, 34]] = 0
        kept = getattr(fl, case.name)(x[others], t[others])
        for bad in (NAN, INF, -INF, -3.0):
            x[[3, 34]] = bad
            results = results_of(case.name, x, t, sample_weight=weight, reduction="none")
            assert not any(np.any(r[[3, 34]]) for r in results)
            assert getattr(fl, case.name)(x, t, sample_weight=weight) == pytest.approx(kept, rel=1e-12)


@each_labelled
def test_ignored_row_contributes_nothing(case, dtype, isa, rng):
    for classes in (3, 40, 200):
        x, t = case.arrays(rng, (40, classes), dtype)
        x = case.tamed(x)
        dead = [0, 7, 31, 39]
        others = [k for k in range(40) if k not in dead]
        x[dead] = np.array([NAN, INF, -INF, -3.0])[:, None]
        t[dead] = -100
        weight = np.where(t == -100, NAN, 1.5)
        results = results_of(case.name, x, t, sample_weight=weight, reduction="none")
        assert not any(np.any(r[dead]) or np.signbit(r[dead]).any() for r in results)
        alive = results_of(case.name, x[others], t[others], sample_weight=weight[others], reduction="none")
        assert same_bits(tuple(r[others] for r in results), alive)
        loss = getattr(fl, case.name)
        assert loss(x, t) == pytest.approx(loss(x[others], t[others]), rel=1e-12)
        assert loss.denominator(t) == 36


@each
def test_nothing_to_average(case, dtype):
    for x, t in (
        (np.zeros((0, 4), dtype), np.zeros(0, int) if case.labelled else np.zeros((0, 4))),
        *([(np.full((3, 4), NAN, dtype), np.full(3, -100))] if case.labelled else []),
    ):
        loss = getattr(fl, case.name)
        value, *derivatives = results_of(case.name, x, t)
        assert math.isnan(value)
        assert all(d.shape == x.shape and not d.any() for d in derivatives)
        assert loss(x, t, reduction="sum") == 0
        assert loss(x, t, denominator=2) == 0


@each
def test_a_nan_poisons_its_own_row(case, dtype, isa, rng):
    for classes, axis in itertools.product((1, 3, 40, 200), (0, -1)):
        x, t = case.arrays(rng, (40, classes), dtype)
        x = case.tamed(x)
        if not case.labelled:
            t = np.full_like(x, 1 / classes)
        at = classes // 2
        if case.name.startswith("sparse"):
            t[17] = at  # of a row of probabilities nothing else is looked at
        plain = results_of(case.name, x, t, reduction="none")
        x[17, at] = NAN
        value, *derivatives = results_of(
            case.name, np.ascontiguousarray(np.moveaxis(x, -1, axis)), case.moved(t, axis), axis=axis, reduction="none"
        )
        results = (value, *(np.moveaxis(d, axis, -1) for d in derivatives))
        assert np.isnan(value[17])
        assert all(np.isnan(d[17, at]) for d in results[1:])
        assert all(same_bits(np.delete(a, 17, 0), np.delete(b, 17, 0)) for a, b in zip(results, plain, strict=True))


# Three classes, the others masked: logits, label, value, gradient of focal, poly and hinges.
ONE = np.eye(3)
LOGIT_ROWS = {
    "+inf target": ([0, INF, 1], 1, 0, ONE[0] * 0),
    "+inf other": ([INF, 0, 1], 1, INF, ONE[0] - ONE[1]),
    "-inf target": ([0.5, -INF, -INF], 1, INF, ONE[0] - ONE[1]),
    "+inf twice": ([INF, INF, 0], 1, NAN, ONE[0] * NAN),
    "all -inf": ([-INF] * 3, 1, NAN, ONE[0] * NAN),
    "far apart": ([3e38, -3e38, 0], 1, None, ONE[0] - ONE[1]),
    "certain": ([0, 1e4, 0], 1, 0, ONE[0] * 0),
}


@pytest.mark.parametrize("row", LOGIT_ROWS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("softmax_focal_loss", {}),
        ("softmax_focal_loss", {"gamma": 0.5}),
        ("softmax_focal_loss", {"gamma": 0.0}),
        ("poly_cross_entropy", {}),
        ("poly_cross_entropy", {"epsilon": (1.0, -2.0)}),
        ("multiclass_hinge_loss", {"variant": "crammer-singer"}),
        ("multiclass_hinge_loss", {}),
    ],
)
@pytest.mark.parametrize("classes", [3, 40, 200])
def test_limits_of_logits(name, options, row, classes, dtype, isa, rng):
    logits, label, value, grad = LOGIT_ROWS[row]
    if name == "multiclass_hinge_loss" and not options and row in ("+inf other", "far apart"):
        grad = np.array([1.0, -2.0, 1.0])  # every class inside the margin counts
    x = rng.standard_normal((40, classes)).astype(dtype)
    t = np.full(40, label)
    plain = results_of(name, x, t, reduction="none", **options)
    x[9] = -INF
    x[9, :3] = logits
    results = results_of(name, x, t, reduction="none", **options)
    assert value is None or results[0][9] == pytest.approx(value, nan_ok=True)
    assert results[1][9, :3] == pytest.approx(grad, nan_ok=True)
    assert np.isnan(grad).any() or not results[1][9, 3:].any()
    assert all(same_bits(np.delete(a, 9, 0), np.delete(b, 9, 0)) for a, b in zip(results, plain, strict=True))
    total = getattr(fl, name)(x, t, reduction="sum", **options)
    assert np.isfinite(total) == (row in ("far apart", "+inf target", "certain")) or dtype == np.float64


def test_zeros_of_probabilities(dtype, isa):
    """p = 0 costs 0, q = 0 for what happened +inf; nothing is NaN, nothing is clipped."""
    q = np.array([[0, 1], [0, 1], [0.5, 0.5], [1, 0]], dtype)
    p = np.array([[0, 1], [1, 0], [0, 1], [0.5, 0.5]], dtype)
    ln2 = math.log(2)
    value, grad, hess = fl.kl_divergence.value_grad_hess(q, p, reduction="none")
    assert value == pytest.approx([0, INF, ln2, INF], rel=1e-6)
    assert grad.tolist() == [[0, -1], [-INF, 0], [0, -2], [-0.5, -INF]]
    assert hess.tolist() == [[0, 1], [INF, 0], [0, 4], [0.5, INF]]
    value, grad, hess = fl.categorical_cross_entropy.value_grad_hess(q, p, reduction="none")
    assert value == pytest.approx([0, INF, ln2, INF], rel=1e-6)
    assert grad.tolist() == [[0, -1], [-INF, 0], [0, -2], [-0.5, -INF]]
    value, grad, hess = fl.sparse_categorical_cross_entropy.value_grad_hess(q, [1, 0, 1, 1], reduction="none")
    assert value == pytest.approx([0, INF, ln2, INF], rel=1e-6)
    assert grad.tolist() == [[0, -1], [-INF, 0], [0, -2], [0, -INF]]
    masked = np.array([[-INF, 0, 0]], dtype)
    value, grad = fl.kl_divergence.value_and_grad(masked, np.array([[0, 1, 0]]), from_logits=True)
    assert value == pytest.approx(ln2, rel=1e-6)
    assert grad.tolist() == [[0, -0.5, 0.5]]
    assert fl.kl_divergence(masked, np.array([[0.5, 0.5, 0]]), from_logits=True) == INF


@pytest.mark.parametrize("name", ["kl_divergence", "categorical_cross_entropy"])
def test_targets_of_any_type_and_sum(name, dtype, rng):
    q, y = fl.softmax(rng.standard_normal((50, 33)).astype(dtype)), rng.integers(0, 2, (50, 33))
    expected = results_of(name, q, y.astype(dtype), reduction="none")
    for code in ("b", "i", "l", "B", "?", "f", "d"):
        assert same_bits(results_of(name, q, y.astype(code), reduction="none"), expected)
    assert not np.any(getattr(fl, name)(q, np.zeros_like(q), reduction="none"))
    assert getattr(fl, name).denominator(y) == 50


class TestLaws:
    @pytest.mark.parametrize("classes", [1, 2, 10, 128, 129, 1000])
    def test_without_their_terms_they_are_cross_entropy(self, classes, dtype, isa, rng):
        x = (5 * rng.standard_normal((70, classes))).astype(dtype)
        t = rng.integers(0, classes, 70)
        weight, by_class = rng.uniform(0, 2, 70), rng.uniform(0, 2, classes)
        for common in ({}, {"sample_weight": weight, "class_weight": by_class, "reduction": "none"}):
            expected = fl.cross_entropy.value_grad_hess(x, t, **common)
            assert same_bits(fl.softmax_focal_loss.value_grad_hess(x, t, gamma=0, **common), expected)
            for epsilon in ((), 0, (0.0, 0.0)):
                assert same_bits(fl.poly_cross_entropy.value_grad_hess(x, t, epsilon=epsilon, **common), expected)

    def test_forms_of_poly(self, dtype, rng):
        x, t = (3 * rng.standard_normal((50, 9))).astype(dtype), rng.integers(0, 9, 50)
        paper = fl.poly_cross_entropy.value_and_grad(x, t, epsilon=(2.0, 1.0, 0.25))
        assert same_bits(fl.poly_cross_entropy.value_and_grad(x, t, epsilon=(2.0, 2.0, 0.75), form="taylor"), paper)

    def test_alpha_is_no_weight(self, rng):
        """It multiplies the loss and leaves the mean's denominator alone."""
        x, t = rng.standard_normal((50, 4)), rng.integers(0, 4, 50)
        plain = fl.softmax_focal_loss.value_and_grad(x, t, reduction="none")
        alpha = np.array([0.25, 0.5, 0.0, 4.0])
        value, grad = fl.softmax_focal_loss.value_and_grad(x, t, alpha=alpha, reduction="none")
        assert value == pytest.approx(alpha[t] * plain[0], rel=1e-15)
        assert grad == pytest.approx(alpha[t, None] * plain[1], rel=1e-15)
        assert fl.softmax_focal_loss(x, t, alpha=alpha) == pytest.approx(value.mean(), rel=1e-14)
        assert fl.softmax_focal_loss(x, t, alpha=0.5) == pytest.approx(plain[0].mean() / 2, rel=1e-14)
        weighted = fl.softmax_focal_loss(x, t, class_weight=alpha)
        assert weighted == pytest.approx(value.sum() / alpha[t].sum(), rel=1e-14)

    def test_hinges(self, dtype, isa, rng):
        x, t = rng.standard_normal((60, 2)).astype(dtype), rng.integers(0, 2, 60)
        both = [fl.multiclass_hinge_loss.value_and_grad(x, t, variant=v) for v in ("weston-watkins", "crammer-singer")]
        assert same_bits(*both)
        x, t = rng.standard_normal((60, 50)).astype(dtype), rng.integers(0, 50, 60)
        value, grad = fl.multiclass_hinge_loss.value_and_grad(x, t, reduction="none")
        divided = fl.multiclass_hinge_loss.value_and_grad(x, t, reduction="none", scale="classes")
        assert divided[0] * 50 == pytest.approx(value, rel=1e-6)
        assert divided[1] * 50 == pytest.approx(grad, rel=1e-6)
        assert not grad.sum(-1).any()

    @pytest.mark.parametrize("classes", [4, 40, 3000])
    def test_ties_go_to_the_lowest_index(self, classes, dtype, isa):
        x = np.zeros((2, classes), dtype)
        t = [2, 0]
        value, grad = fl.multiclass_hinge_loss.value_and_grad(x, t, variant="crammer-singer", reduction="none")
        assert value.tolist() == [1, 1]
        assert [np.flatnonzero(row > 0).tolist() for row in grad] == [[0], [1]]
        assert [np.flatnonzero(row < 0).tolist() for row in grad] == [[2], [0]]

    def test_exactly_at_the_margin(self, dtype, isa):
        """Inactive there, active one unit inside, decided exactly where x_t - margin is rounded."""
        step = np.finfo(dtype).eps
        for own, other, active in ((1, 0, 0), (1, step**2, 1), (0.5 * step, -1, 0), (-0.25 * step, -1, 1)):
            x = np.array([[own, other]], dtype)
            for variant in ("weston-watkins", "crammer-singer"):
                assert fl.multiclass_hinge_loss.value_and_grad(x, [0], variant=variant)[1].tolist() == [
                    [-active, active]
                ]

    def test_one_hot_labels_are_labels(self, dtype, isa, rng):
        q, t = fl.softmax(rng.standard_normal((60, 7)).astype(dtype)), rng.integers(0, 7, 60)
        sparse = fl.sparse_categorical_cross_entropy.value_and_grad(q, t, reduction="none")
        assert same_bits(fl.categorical_cross_entropy.value_and_grad(q, np.eye(7)[t], reduction="none")[0], sparse[0])
        assert (fl.categorical_cross_entropy.value_and_grad(q, np.eye(7)[t], reduction="none")[1] == sparse[1]).all()
        assert (fl.kl_divergence(q, np.eye(7)[t], reduction="none")) == pytest.approx(sparse[0], rel=1e-6)

    def test_divergence(self, rng):
        """0 of equals, never negative, cross-entropy less entropy, and the same from logits."""
        x, p = 3 * rng.standard_normal((60, 9)), soft_targets(rng, (60, 9), float)
        p /= p.sum(-1, keepdims=True)
        q = fl.softmax(x)
        value, grad = fl.kl_divergence.value_and_grad(x, p, from_logits=True, reduction="none")
        assert fl.kl_divergence(q, p, reduction="none") == pytest.approx(value, rel=1e-12)
        assert same_bits(grad, fl.cross_entropy.value_and_grad(x, p, reduction="none")[1])
        entropy = -np.sum(p * np.log(np.where(p == 0, 1, p)), -1)
        assert fl.categorical_cross_entropy(q, p, reduction="none") - entropy == pytest.approx(value, rel=1e-11)
        assert (value >= 0).all()
        assert not fl.kl_divergence(q, q, reduction="none").any()
        close = fl.kl_divergence(q * (1 + 1e-9), q, reduction="none")
        assert close == pytest.approx(np.full(60, -1e-9), rel=1e-6)


class TestDefectsOfPeers:
    """Each of these inputs makes a well-known library return something else."""

    def test_zero_times_infinity(self):
        # optax: NaN.
        assert fl.kl_divergence([[0.0, 1.0]], [[0.0, 1.0]]) == 0
        assert fl.kl_divergence([[-INF, 0.0]], [[0.0, 1.0]], from_logits=True) == 0

    def test_ratio_that_overflows(self):
        # scipy's rel_entr(3, tiny) forms x / y.
        value = fl.kl_divergence(np.array([[5e-324]]), np.array([[3.0]]))
        assert value == pytest.approx(3 * (math.log(3) - math.log(5e-324)), rel=1e-14)
        value = fl.kl_divergence(np.float32([[1e-45]]), np.float32([[3.0]]))
        assert value == pytest.approx(3 * (math.log(3) - math.log(2.0**-149)), rel=1e-6)

    @pytest.mark.parametrize("name", ["softmax_focal_loss", "poly_cross_entropy"])
    def test_row_far_below_zero(self, name):
        # XGBoost starts the maximum of its softmax at 1.2e-38.
        rows = np.array([[-200.0, -201.0, -199.0]], np.float32)
        value, grad = getattr(fl, name).value_and_grad(rows, [0])
        moved = getattr(fl, name).value_and_grad(rows + 200, [0])
        assert value == pytest.approx(moved[0], rel=1e-6)
        assert grad == pytest.approx(moved[1], rel=1e-6)
        assert np.isfinite(grad).all()

    def test_confidently_wrong_row_has_its_gradient(self):
        # Implementations that clip p_t at 1e-7 (Keras): about 0.
        for gap in (20.0, 1000.0):
            value, grad = fl.softmax_focal_loss.value_and_grad(np.float32([[0, gap]]), [0])
            assert value == pytest.approx(gap, rel=1e-6)
            assert grad[0] == pytest.approx([-1, 1], rel=1e-6)

    def test_confidently_right_row_keeps_its_digits(self):
        # 1 - p_t cancels: 0.
        q = math.exp(-20) / (1 + math.exp(-20))
        value, grad = fl.softmax_focal_loss.value_and_grad(np.float32([[20, 0]]), [0])
        assert value == pytest.approx(q * q * math.log1p(math.exp(-20)), rel=1e-6)
        assert grad[0] == pytest.approx([-3 * q**3, 3 * q**3], rel=1e-6)
        assert fl.poly_cross_entropy(np.float32([[20, 0]]), [0]) == pytest.approx(2 * q, rel=1e-6)

    @pytest.mark.parametrize("gamma", [0.1, 0.5, 0.99])
    def test_gamma_below_one_at_certainty(self, gamma, dtype):
        # LDAM-DRW#17: NaN.
        for results in (
            fl.softmax_focal_loss.value_grad_hess(np.array([[1e4, 0]], dtype), [0], gamma=gamma),
            fl.softmax_focal_loss.value_grad_hess(np.zeros((1, 1), dtype), [0], gamma=gamma),
        ):
            assert not any(np.any(r) for r in results)
