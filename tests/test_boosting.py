"""Objectives, metrics and starting scores for boosting, called as the libraries call them, without the libraries."""

import copy
import pickle
import re

import numpy as np
import pytest
from cases import CASES

import fastloss as fl
from fastloss import boosting
from fastloss.boosting._derivatives import LINEAR, NOT_CONVEX, NOT_CONVEX_WITH

INF, NAN = float("inf"), float("nan")
ROWS, CLASSES = 37, 5
OF_PROBABILITIES = (
    "binary_cross_entropy",
    "balanced_cross_entropy",
    "categorical_cross_entropy",
    "sparse_categorical_cross_entropy",
)
MAKERS = (boosting.xgboost_objective, boosting.lightgbm_objective, boosting.catboost_objective)
METRICS = (boosting.xgboost_metric, boosting.lightgbm_metric, boosting.catboost_metric)


class Data:
    """A data set as far as objectives look at it."""

    def __init__(self, label, weight=None):
        self.get_label = lambda: label
        self.get_weight = lambda: weight


def settings():
    """(case, parameters) of everything that boosting can use."""
    for case in CASES:
        for parameters in case.parameters:
            resolved = case.resolved(parameters, (ROWS, CLASSES))
            probabilities = case.name in OF_PROBABILITIES or resolved.get("log_input") is False
            if case.name == "kl_divergence":
                probabilities = not resolved.get("from_logits")
            columns = not case.rowwise and any(np.ndim(v) and k != "epsilon" for k, v in resolved.items())
            if not probabilities and not columns:
                # a function's repr has its address in it, and every process of the run must see the same names
                named = {k: v.__name__ if callable(v) else v for k, v in parameters.items()}
                yield pytest.param(case, resolved, id=f"{case.name}-{named}")


def arrays(case, parameters, rng, dtype):
    x, t = case.arrays(rng, (ROWS, CLASSES) if case.rowwise else (ROWS,), dtype, parameters)
    return case.tamed(x), t


@pytest.mark.parametrize(("case", "parameters"), list(settings()))
def test_every_loss(case, parameters, rng, dtype):
    """The library's view of a loss is its own gradient and Hessian: in both conventions, weighted, and negated."""
    x, t = arrays(case, parameters, rng, dtype)
    loss, w = getattr(fl, case.name), rng.uniform(0, 2, ROWS).astype(np.float32)
    w[::5] = 0
    convex = case.name not in NOT_CONVEX and not any(parameters.get(k) for k in NOT_CONVEX_WITH)
    for weight in (None, w):
        grad = loss.value_and_grad(x, t, sample_weight=weight, reduction="sum", **parameters)[1]
        columns = np.ones(ROWS, dtype) if weight is None else w.astype(dtype)
        columns = np.broadcast_to(columns[:, None] if case.rowwise else columns, x.shape)
        if case.name in LINEAR or parameters.get("beta") == 0:
            hess = columns
        else:
            hess = loss.value_grad_hess(x, t, sample_weight=weight, reduction="sum", **parameters)[2]
            assert not convex or (hess >= 0).all()
            hess = np.maximum(hess, 0)
        given = x.copy(), t.copy()
        for make in MAKERS[:2]:
            objective = make(case.name, **parameters)
            for found in (objective(t, x, weight), objective(x, Data(t, weight))):
                assert [a.dtype for a in found] == [dtype, dtype]
                np.testing.assert_array_equal(found, (grad, hess))
        objective = boosting.catboost_objective(loss, **parameters)
        if not case.rowwise:
            np.testing.assert_array_equal(objective.calc_ders_range(x, t, weight), np.stack([-grad, -hess], axis=1))
        elif t.ndim == 1 and dtype == np.float64:
            for k in range(0, ROWS, 9):
                der1, der2 = objective.calc_ders_multi(x[k], float(t[k]), 1.0 if weight is None else float(w[k]))
                np.testing.assert_array_equal(der1, -grad[k])
                np.testing.assert_array_equal(np.diag(np.array(list(der2))), -hess[k])
        np.testing.assert_array_equal(given[0], x)
        np.testing.assert_array_equal(given[1], t)


@pytest.mark.parametrize("backend", ["reference", "check"])
@pytest.mark.parametrize("loss", ["focal_loss", "cross_entropy", "quantile_loss"])
def test_backends(backend, loss, rng):
    x = rng.standard_normal((ROWS, CLASSES) if loss == "cross_entropy" else ROWS)
    y = rng.integers(0, 2, ROWS).astype(np.float32)
    expected = boosting.xgboost_objective(loss)(y, x)
    with fl.backend(backend):
        np.testing.assert_allclose(boosting.xgboost_objective(loss)(y, x), expected, rtol=1e-13, atol=1e-15)


def test_layouts_of_several_classes(rng, dtype):
    """Row by row, class by class, strided, negative, read-only, flat: the same numbers, in the order that was given."""
    x, y = rng.standard_normal((ROWS, CLASSES)).astype(dtype), rng.integers(0, CLASSES, ROWS)
    w = rng.uniform(0, 2, ROWS)
    xgb, lgb = boosting.xgboost_objective("cross_entropy"), boosting.lightgbm_objective("cross_entropy")
    expected = xgb(y, x, w)
    strided = np.zeros((2 * ROWS, 3 * CLASSES), dtype)[::2, ::-3]
    strided[...] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    for scores in (x, np.asfortranarray(x), strided, frozen, x[::-1][::-1]):
        for objective in (xgb, lgb):
            found = objective(y.astype(np.float32), scores, w)
            np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps, atol=0)
    for array in lgb(y, np.asfortranarray(x)):
        assert array.flags.f_contiguous
        assert np.shares_memory(array.ravel(order="F"), array)
    for found, want in zip(xgb(y, x.ravel(), w), expected, strict=True):
        np.testing.assert_array_equal(found, want.ravel())
    for found, want in zip(lgb(x.ravel(order="F"), Data(y, w)), expected, strict=True):
        np.testing.assert_allclose(found, want.ravel(order="F"), rtol=4 * np.finfo(dtype).eps, atol=0)


def test_several_labels_and_targets(rng):
    """Scores and labels of one shape (n, L), flat labels too; a weight is a row's."""
    x, y, w = rng.standard_normal((ROWS, 3)), rng.integers(0, 2, (ROWS, 3)), rng.uniform(0, 2, ROWS)
    parameters = {"pos_weight": [1.0, 2.0, 3.0]}
    objective = boosting.xgboost_objective("binary_cross_entropy_with_logits", **parameters)
    _, *expected = fl.binary_cross_entropy_with_logits.value_grad_hess(
        x, y, sample_weight=w[:, None], reduction="sum", **parameters
    )
    np.testing.assert_array_equal(objective(y, x, w), expected)
    np.testing.assert_array_equal(objective(y.ravel(), x, w), expected)
    soft = rng.dirichlet(np.ones(3), ROWS)
    for loss, own in (("cross_entropy", {}), ("kl_divergence", {"from_logits": True})):
        _, *expected = getattr(fl, loss).value_grad_hess(x, soft, reduction="sum", **own)
        np.testing.assert_array_equal(boosting.xgboost_objective(loss, **own)(soft.ravel(), x), expected)


def test_conventions(rng):
    x, y, w = rng.standard_normal((ROWS, CLASSES)), rng.integers(0, CLASSES, ROWS), rng.uniform(0.1, 2, ROWS)
    p = fl.softmax(x)
    for hessian, factor in (("exact", 1), ("xgboost", 2), ("lightgbm", CLASSES / (CLASSES - 1))):
        _, hess = boosting.lightgbm_objective("cross_entropy", hessian=hessian)(y, x, w)
        np.testing.assert_allclose(hess, factor * w[:, None] * p * (1 - p), rtol=1e-13)
    x, y = 3 * rng.standard_normal(ROWS), rng.gamma(1.0, size=ROWS)
    for library in ("xgboost", "lightgbm"):
        for loss in ("l1_loss", "quantile_loss"):
            np.testing.assert_array_equal(boosting.xgboost_objective(loss, hessian=library)(y, x, w)[1], w)
        _, hess = boosting.xgboost_objective("poisson_nll_loss", hessian=library)(y, x)
        np.testing.assert_allclose(hess, np.exp(x + 0.7), rtol=1e-14)
    np.testing.assert_array_equal(boosting.xgboost_objective("huber_loss", hessian="lightgbm")(y, x, w)[1], w)
    np.testing.assert_array_equal(boosting.xgboost_objective("focal_loss", hessian="ones")(y > 1, x, w)[1], w)
    grad, hess = boosting.xgboost_objective("hinge_loss", hessian="xgboost", labels="zero-one")(y > 1, x, w)
    np.testing.assert_array_equal(hess, np.maximum(np.abs(grad), np.finfo(np.float32).tiny * w))
    _, hess = boosting.xgboost_objective("binary_cross_entropy_with_logits", hessian="xgboost")([1.0, 1.0], [50.0, 0.0])
    assert hess.tolist() == [1e-16, 0.25]


def test_floor(rng):
    """Times the weight; concave parts are 0 without one; CatBoost's is a ceiling below 0."""
    y, x, w = np.ones(3), np.array([-5.0, 0.0, 5.0]), np.array([2.0, 2.0, 0.0])
    exact = fl.focal_loss.value_grad_hess(x, y, reduction="sum")[2]
    assert exact[0] < 0
    np.testing.assert_array_equal(boosting.xgboost_objective("focal_loss")(y, x)[1], [0, *exact[1:]])
    found = boosting.xgboost_objective("focal_loss", hessian_floor=0.1)(y, x, w)[1]
    np.testing.assert_array_equal(found, [0.2, 2 * max(exact[1], 0.1), 0])
    found = boosting.catboost_objective("focal_loss", hessian_floor=0.1).calc_ders_range(x, y, w)[:, 1]
    np.testing.assert_array_equal(found, [-0.2, -2 * max(exact[1], 0.1), 0])


@pytest.mark.parametrize("options", [{}, {"hessian": "ones"}, {"hessian_floor": 0.5}])
def test_ignored_rows(options):
    """They count nothing, in the Hessian neither."""
    objective = boosting.xgboost_objective("cross_entropy", ignore_index=1, **options)
    grad, hess = objective([0.0, 1.0, 2.0], np.zeros((3, 3)), [1.0, NAN, 1.0])
    assert not grad[1].any()
    assert not hess[1].any()
    assert hess[[0, 2]].all()


@pytest.mark.parametrize("loss", ["hinge_loss", "squared_hinge_loss", "soft_margin_loss"])
def test_labels_of_sign_losses(loss, rng):
    x, y = rng.standard_normal(ROWS), rng.integers(0, 2, ROWS)
    expected = boosting.xgboost_objective(loss)(2 * y - 1, x)
    np.testing.assert_array_equal(boosting.xgboost_objective(loss, labels="zero-one")(y, x), expected)
    np.testing.assert_array_equal(boosting.xgboost_objective(loss, labels="sign")(2 * y - 1, x), expected)
    assert boosting.xgboost_metric(loss, labels="zero-one")(y, x) == getattr(fl, loss)(x, 2 * y - 1)
    assert boosting.init_score(loss, y, labels="zero-one") == boosting.init_score(loss, 2 * y - 1)


def test_labels_of_losses_of_zero_and_one(rng):
    x, y = rng.standard_normal(ROWS), rng.integers(0, 2, ROWS)
    for make in MAKERS[:2]:
        found = make("focal_loss", labels="sign")(2 * y - 1, x)
        np.testing.assert_array_equal(found, make("focal_loss")(y, x))


def test_matrix_for_catboost(rng):
    """For plain cross-entropy the whole matrix, as by differences of the gradient; for others the diagonal."""
    x, step = rng.standard_normal(CLASSES), 1e-5
    for weight in (1.0, 0.3, 0.0):
        objective = boosting.catboost_objective("cross_entropy")
        matrix = np.array(objective.calc_ders_multi(x, 2.0, weight)[1])
        for k in range(CLASSES):
            up, down = x.copy(), x.copy()
            up[k], down[k] = x[k] + step, x[k] - step
            column = objective.calc_ders_multi(up, 2.0, weight)[0] - objective.calc_ders_multi(down, 2.0, weight)[0]
            np.testing.assert_allclose(matrix[k], column / (2 * step), atol=1e-9)
    matrix = np.array(boosting.catboost_objective("softmax_focal_loss").calc_ders_multi(x, 2.0, 1.0)[1])
    assert np.count_nonzero(matrix) <= CLASSES
    assert matrix.shape == (CLASSES, CLASSES)


@pytest.mark.parametrize("make", [*MAKERS, *METRICS])
def test_objects(make):
    """They print as they are made, and survive pickling and copying."""
    made = make("focal_loss", gamma=1.5, labels="sign")
    assert repr(made) == f"fastloss.boosting.{make.__name__}('focal_loss', gamma=1.5, labels='sign')"
    again = (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), eval(repr(made), {"fastloss": fl}))
    for other in (*again, make(fl.focal_loss, gamma=1.5, labels="sign")):
        assert type(other) is type(made)
        if callable(made):
            found, expected = (each([1, -1], Data(np.array([1, -1]))) for each in (other, made))
            assert repr(found) == repr(expected)
    assert repr(again[0]) == repr(made)
    assert not getattr(made, "is_higher_better", False)


def test_metrics(rng):
    """The mean loss with the data's weights; each library's form of the answer; CatBoost's parts add up."""
    x, y, w = rng.standard_normal((ROWS, CLASSES)), rng.integers(0, CLASSES, ROWS), rng.uniform(0, 2, ROWS)
    weights = np.linspace(0.5, 2, CLASSES)
    value = fl.cross_entropy(x, y, sample_weight=w, class_weight=weights)
    xgb, lgb, cat = (make("cross_entropy", class_weight=weights) for make in METRICS)
    labels = y.astype(np.float32)
    assert xgb(labels, x, w) == value
    assert xgb(x, Data(labels, w)) == ("cross_entropy", value)
    assert lgb(x, Data(labels, w)) == lgb(labels, x, w) == ("cross_entropy", value, False)
    assert xgb.__name__ == "cross_entropy"
    parts = [cat.evaluate(tuple(x[k].T), labels[k], w[k]) for k in (slice(0, 9), slice(9, None))]
    assert cat.get_final_error(*map(sum, zip(*parts, strict=True))) == pytest.approx(value, rel=1e-14)
    assert not cat.is_max_optimal()
    assert np.isnan(cat.get_final_error(0.0, 0.0))
    assert boosting.lightgbm_metric("l1_loss", name="mae")([1.0], [3.0])[:2] == ("mae", 2.0)
    assert cat.evaluate(tuple(x.T), labels, None)[1] == fl.cross_entropy.denominator(y, class_weight=weights)


@pytest.mark.parametrize(("case", "parameters"), list(settings()))
def test_init_score(case, parameters, rng):
    """No constant beside it has less loss."""
    if case.rowwise:
        t = case.arrays(rng, (ROWS, CLASSES), np.float64, parameters)[1]
        t = np.where(t < 0, 0, t) if t.ndim == 1 else t
    else:
        t = case.arrays(rng, (ROWS,), np.float64, parameters)[1]
        t = t if case.name.endswith("hinge_loss") else np.clip(t, -30, 30)
    w = rng.uniform(0.1, 2, ROWS)
    given = {"n_classes": CLASSES} if case.rowwise else {}
    best = boosting.init_score(case.name, t, sample_weight=w, **given, **parameters)

    def loss(c):
        x = np.broadcast_to(c, (ROWS, CLASSES) if case.rowwise else (ROWS,))
        return getattr(fl, case.name)(x, t, sample_weight=w, **parameters)

    least = loss(best)
    assert np.isfinite(best).all()
    if case.name == "multiclass_hinge_loss":
        return  # starts from the frequencies
    for size in (1e-4, 1e-2, 1.0):
        for _ in range(5):
            beside = best + size * rng.standard_normal(np.shape(best))
            assert loss(beside) >= least - 1e-12 * max(1, abs(least)), (size, best)


def test_init_score_in_closed_form():
    y, w = np.array([0.0, 1, 1, 1]), np.array([3.0, 1, 1, 1])
    assert boosting.init_score("binary_cross_entropy_with_logits", y) == pytest.approx(np.log(3), rel=1e-15)
    assert boosting.init_score("binary_cross_entropy_with_logits", y, sample_weight=w) == 0
    assert boosting.init_score("binary_cross_entropy_with_logits", [1, 1]) == pytest.approx(34.54, abs=0.01)
    assert boosting.init_score("exponential_loss", y) == pytest.approx(np.log(3) / 2, rel=1e-15)
    assert boosting.init_score("half_mse_loss", y, sample_weight=w) == 0.5
    assert boosting.init_score("l1_loss", [1.0, 2.0, 3.0, 10.0]) == 2.5
    assert boosting.init_score("gamma_nll_loss", [1.0, 3.0]) == np.log(2)
    scores = boosting.init_score("cross_entropy", [0, 2, 2, 2], n_classes=4)
    np.testing.assert_allclose(fl.softmax(scores), [0.25, 1e-15, 0.75, 1e-15], rtol=1e-12)
    assert boosting.init_score("mse_loss", [[1.0, 4.0], [3.0, 4.0]]).tolist() == [2, 4]


ERRORS = [
    (lambda: boosting.xgboost_objective("focal"), ValueError, "loss = 'focal' is unknown; did you mean 'focal_loss'?"),
    (lambda: boosting.xgboost_objective(abs), TypeError, "loss is a builtin_function_or_method; expected a loss"),
    (lambda: boosting.xgboost_objective(fl.dice_loss), ValueError, "fastloss.dice_loss is a loss of several arrays"),
    (lambda: boosting.xgboost_objective("log_loss"), ValueError, "use binary_cross_entropy_with_logits"),
    (lambda: boosting.xgboost_objective("kl_divergence"), ValueError, "use kl_divergence with from_logits=True"),
    (lambda: boosting.xgboost_objective("poisson_nll_loss", log_input=False), ValueError, "is a loss of means, but"),
    (lambda: boosting.xgboost_objective("huber_loss", gamma=1), TypeError, "no parameter 'gamma'; it has delta"),
    (lambda: boosting.xgboost_objective("huber_loss", delta=-1.0), ValueError, "delta = -1.0 is out of range"),
    (lambda: boosting.xgboost_objective("cross_entropy", axis=0), TypeError, "has no parameter 'axis'"),
    (lambda: boosting.xgboost_objective("cross_entropy", class_weight=[1, -1]), ValueError, "class_weight[1] = -1"),
    (lambda: boosting.xgboost_objective("mse_loss", hessian="no"), ValueError, "hessian = 'no' is unknown; expected"),
    (lambda: boosting.xgboost_objective("mse_loss", hessian="xgboost"), ValueError, "has no mse_loss of its own, only"),
    (lambda: boosting.xgboost_objective("mse_loss", hessian_floor=-1.0), ValueError, "hessian_floor = -1.0 is out of"),
    (lambda: boosting.xgboost_objective("hinge_loss", labels="01"), ValueError, "labels = '01' is unknown"),
    (lambda: boosting.xgboost_objective("mse_loss", labels="sign"), ValueError, "for losses of two classes; mse_loss"),
    (lambda: boosting.xgboost_objective("hinge_loss")([0], [1.0]), ValueError, "which labels='zero-one' does"),
    (
        lambda: boosting.xgboost_objective("hinge_loss", labels="zero-one")([1, -1], [1.0, 1.0]),
        ValueError,
        "labels[1] = -1 is out of range; expected 0 or 1 as labels='zero-one' says",
    ),
    (lambda: boosting.xgboost_objective("focal_loss")([0, 2], [1.0, 1]), ValueError, "target[1] = 2 is out of range"),
    (lambda: boosting.xgboost_objective("mse_loss")([0], np.ones((1, 3))), ValueError, "for several classes use cross"),
    (lambda: boosting.xgboost_objective("cross_entropy")([0, 1], [0.0, 0]), ValueError, "takes several scores a row"),
    (lambda: boosting.xgboost_objective("cross_entropy")([0.5], np.ones((1, 2))), ValueError, "labels[0] = 0.5 is not"),
    (lambda: boosting.xgboost_objective("cross_entropy")([NAN], np.ones((1, 2))), ValueError, "labels[0] = nan is not"),
    (lambda: boosting.xgboost_objective("cross_entropy")([2], np.ones((1, 2))), ValueError, "target[0] = 2 is outside"),
    (lambda: boosting.xgboost_objective("cross_entropy")([0], np.ones((1, 1))), ValueError, "two classes or more"),
    (
        lambda: boosting.xgboost_objective("mse_loss")([0], [1.0], [1.0, 2.0]),
        ValueError,
        "sample_weight has shape (2,)",
    ),
    (lambda: boosting.xgboost_objective("mse_loss")([0], [1.0], [-1.0]), ValueError, "sample_weight[0] = -1.0 is not"),
    (lambda: boosting.xgboost_objective("mse_loss")([1.0], Data(None)), ValueError, "the data have no labels"),
    (lambda: boosting.xgboost_objective("mse_loss")(["a"], [1.0]), TypeError, "labels has dtype"),
    (
        lambda: boosting.catboost_objective("cross_entropy").calc_ders_range(np.zeros(3), np.zeros(3), None),
        ValueError,
        "tell the library the number of classes",
    ),
    (lambda: boosting.init_score("mse_loss", []), ValueError, "there are no labels"),
    (lambda: boosting.init_score("mse_loss", [1.0], sample_weight=[0.0]), ValueError, "all sample weights are 0"),
    (
        lambda: boosting.init_score("cross_entropy", [1, -100], sample_weight=[0, 1]),
        ValueError,
        "ignored or have weigh",
    ),
    (lambda: boosting.init_score("gamma_nll_loss", [0.0]), ValueError, "target[0] = 0.0 is out of range"),
    (lambda: boosting.init_score("cross_entropy", [3], n_classes=2), ValueError, "target[0] = 3 is outside [0, 2)"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[text for _, _, text in ERRORS])
def test_errors(call, error, text):
    with pytest.raises(error, match=re.escape(text)):
        call()
