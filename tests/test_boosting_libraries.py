"""fastloss.boosting in the libraries themselves, on real data: trees as their own objectives grow them, where those are
exact or the convention is known; and losses that they haven't got.
"""

import json
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

import fastloss as fl
from fastloss import boosting

pytestmark = pytest.mark.filterwarnings("default")  # the libraries' own

LOGISTIC = "binary_cross_entropy_with_logits"
ROUNDS = 8
LOG_100 = float(np.log(100))


@pytest.fixture(scope="module")
def cancer():
    return load_breast_cancer(return_X_y=True)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x[:600], y[:600]


@pytest.fixture(scope="module")
def diabetes():
    return load_diabetes(return_X_y=True)


@pytest.fixture
def weights():
    return lambda y: np.random.default_rng(0).uniform(0.5, 2, len(y))


# Built-in objective, its parameters, the loss, its parameters, the data, where both start.
XGBOOST = [
    ("binary:logistic", {}, LOGISTIC, {}, "cancer", 0.5, 0.0),
    ("binary:hinge", {}, "hinge_loss", {"hessian": "xgboost", "labels": "zero-one"}, "cancer", 0.0, 0.0),
    ("multi:softprob", {"num_class": 10}, "cross_entropy", {"hessian": "xgboost"}, "digits", 0.5, 0.5),
    ("reg:squarederror", {}, "half_mse_loss", {}, "diabetes", 140.0, 140.0),
    ("reg:pseudohubererror", {"huber_slope": 20.0}, "pseudo_huber_loss", {"delta": 20.0}, "diabetes", 140.0, 140.0),
    ("reg:gamma", {}, "gamma_nll_loss", {}, "diabetes", 100.0, LOG_100),
    ("reg:tweedie", {}, "tweedie_loss", {}, "diabetes", 100.0, LOG_100),
    ("count:poisson", {"max_delta_step": 0.7}, "poisson_nll_loss", {"hessian": "xgboost"}, "diabetes", 100.0, LOG_100),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("own", "given", "loss", "parameters", "data", "base", "score"), XGBOOST)
def test_same_trees_in_xgboost(own, given, loss, parameters, data, base, score, weighted, weights, request):
    """Splits are equal, leaves up to the float32 rounding of the built-in ones."""
    xgb = pytest.importorskip("xgboost")
    x, y = request.getfixturevalue(data)
    matrix = xgb.DMatrix(x, y, weight=weights(y) if weighted else None)
    common = {"max_depth": 3, "eta": 0.3, "nthread": 1, "verbosity": 0, **given}
    builtin = xgb.train({**common, "objective": own, "base_score": base}, matrix, ROUNDS)
    ours = xgb.train(
        {**common, "base_score": score}, matrix, ROUNDS, obj=boosting.xgboost_objective(loss, **parameters)
    )
    columns = ["Tree", "Node", "Feature", "Split", "Yes", "No"]
    trees = [booster.trees_to_dataframe()[columns] for booster in (builtin, ours)]
    assert len(trees[0]) > 5 * ROUNDS
    assert trees[0].equals(trees[1])
    np.testing.assert_allclose(*(b.predict(matrix, output_margin=True) for b in (builtin, ours)), rtol=2e-6, atol=2e-6)


LIGHTGBM = [
    ("binary", {}, LOGISTIC, {}, "cancer", 0.0),
    ("multiclass", {"num_class": 10}, "cross_entropy", {"hessian": "lightgbm"}, "digits", 0.0),
    ("huber", {"alpha": 20.0}, "huber_loss", {"delta": 20.0, "hessian": "lightgbm"}, "diabetes", 140.0),
    ("regression", {}, "half_mse_loss", {}, "diabetes", 0.0),
    ("poisson", {}, "poisson_nll_loss", {"hessian": "lightgbm"}, "diabetes", 4.0),
    ("gamma", {}, "gamma_nll_loss", {}, "diabetes", 4.0),
    ("tweedie", {}, "tweedie_loss", {}, "diabetes", 4.0),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("own", "given", "loss", "parameters", "data", "score"), LIGHTGBM)
def test_same_trees_in_lightgbm(own, given, loss, parameters, data, score, weighted, weights, request):
    """Equal to the last bit or so, except that its weighted squared error is multiplied in float32."""
    lgb = pytest.importorskip("lightgbm")
    x, y = request.getfixturevalue(data)
    common = {"num_leaves": 7, "boost_from_average": False, "num_threads": 1, "deterministic": True, "verbose": -1}
    scores = []
    for objective in (own, boosting.lightgbm_objective(loss, **parameters)):
        start = np.full(len(y) * given.get("num_class", 1), score)
        dataset = lgb.Dataset(x, y, weight=weights(y) if weighted else None, init_score=start)
        booster = lgb.train({**common, **given, "force_row_wise": True, "objective": objective}, dataset, ROUNDS)
        scores.append(booster.predict(x, raw_score=True))
        assert booster.trees_to_dataframe().shape[0] > 5 * ROUNDS
    np.testing.assert_allclose(*scores, rtol=1e-7 if own == "regression" else 1e-9, atol=1e-9)


CATBOOST = [
    ("Logloss", LOGISTIC, {}, "cancer", {}),
    ("MultiClass", "cross_entropy", {}, "digits", {"classes_count": 10, "iterations": 2}),
    ("RMSE", "half_mse_loss", {}, "diabetes", {}),
    ("Huber:delta=20.5", "huber_loss", {"delta": 20.5}, "diabetes", {}),  # no residual is 20.5, where its Hessian is 0
    ("Poisson", "poisson_nll_loss", {}, "diabetes", {}),
    ("Tweedie:variance_power=1.5", "tweedie_loss", {}, "diabetes", {}),
    ("Quantile:alpha=0.9", "quantile_loss", {"quantile": 0.9}, "diabetes", {"leaf_estimation_method": "Gradient"}),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("own", "loss", "parameters", "data", "given"), CATBOOST)
def test_same_trees_in_catboost(own, loss, parameters, data, given, weighted, weights, request):
    cat = pytest.importorskip("catboost")
    x, y = request.getfixturevalue(data)
    y = y / 20 if loss in ("poisson_nll_loss", "tweedie_loss") else y
    model = cat.CatBoostRegressor if data == "diabetes" else cat.CatBoostClassifier
    common = {
        "iterations": ROUNDS,
        "depth": 3,
        "learning_rate": 0.3,
        "random_strength": 0,
        "bootstrap_type": "No",
        "boost_from_average": False,
        "leaf_estimation_iterations": 1,
        "leaf_estimation_method": "Newton",
        "thread_count": 1,
        "verbose": False,
        "allow_writing_files": False,
        **given,
    }
    scores = []
    for chosen in (
        {"loss_function": own},
        {
            "loss_function": boosting.catboost_objective(loss, **parameters),
            "eval_metric": boosting.catboost_metric(loss, **parameters),
        },
    ):
        start = (
            np.full(len(y), 140.0) if own[:5] in ("Huber", "Quant") else None
        )  # near the targets, which slopes aren't
        fitted = model(**common, **chosen).fit(x, y, sample_weight=weights(y) if weighted else None, baseline=start)
        scores.append(fitted.predict(x, prediction_type="RawFormulaVal"))
    assert np.ptp(scores[0]) > 0.1
    np.testing.assert_allclose(*scores, rtol=1e-6, atol=1e-6)


def test_start_as_built_in_ones(cancer, digits):
    """With init_score, LightGBM's trees are those that it grows from the average."""
    lgb = pytest.importorskip("lightgbm")
    common = {"num_leaves": 7, "num_threads": 1, "verbose": -1, "deterministic": True, "force_row_wise": True}
    for (x, y), loss, own in ((cancer, LOGISTIC, "binary"), (digits, "cross_entropy", "multiclass")):
        k = {"num_class": 10} if own == "multiclass" else {}
        builtin = lgb.train({**common, **k, "objective": own}, lgb.Dataset(x, y), ROUNDS)
        start = boosting.init_score(loss, y)
        objective = boosting.lightgbm_objective(loss, hessian="lightgbm")
        dataset = lgb.Dataset(x, y, init_score=np.tile(start, (len(y), 1)) if k else np.full(len(y), start))
        ours = lgb.train({**common, **k, "objective": objective}, dataset, ROUNDS)
        np.testing.assert_allclose(ours.predict(x) + start, builtin.predict(x, raw_score=True), rtol=1e-9, atol=1e-9)


def test_metrics_in_the_libraries(cancer, digits):
    """They see the loss of the training data fall, as the library's own metric does."""
    xgb, lgb = pytest.importorskip("xgboost"), pytest.importorskip("lightgbm")
    for (x, y), loss, name, k in (
        (cancer, LOGISTIC, ("logloss", "binary_logloss"), {}),
        (digits, "cross_entropy", ("mlogloss", "multi_logloss"), {"num_class": 10}),
    ):
        history = {}
        matrix = xgb.DMatrix(x, y)
        xgb.train(
            {"verbosity": 0, "nthread": 1, **k},
            matrix,
            ROUNDS,
            obj=boosting.xgboost_objective(loss),
            custom_metric=boosting.xgboost_metric(loss),
            evals=[(matrix, "train")],
            evals_result=history,
            verbose_eval=False,
        )
        values = history["train"][loss]
        assert values == sorted(values, reverse=True)
        objective = {"objective": "multi:softprob" if k else "binary:logistic", "eval_metric": name[0]}
        builtin = {}
        own = {"verbosity": 0, "nthread": 1, "base_score": 0.5, **objective, **k}
        xgb.train(own, matrix, 1, evals=[(matrix, "train")], evals_result=builtin, verbose_eval=False)
        assert 0 < values[-1] < builtin["train"][name[0]][0]
        history, dataset = {}, lgb.Dataset(x, y)
        lgb.train(
            {"verbose": -1, "num_threads": 1, "metric": "None", "objective": boosting.lightgbm_objective(loss), **k},
            dataset,
            ROUNDS,
            valid_sets=[dataset],
            feval=boosting.lightgbm_metric(loss, name="mean loss"),
            callbacks=[lgb.record_evaluation(history)],
        )
        values = history["training"]["mean loss"]
        assert len(values) == ROUNDS
        assert values == sorted(values, reverse=True)


def estimators():
    """(id, estimator with an objective, how to get raw scores) of the scikit-learn interfaces, for two classes."""

    def xgboost(objective):
        xgb = pytest.importorskip("xgboost")
        model = xgb.XGBClassifier(n_estimators=40, max_depth=3, objective=objective, n_jobs=1, verbosity=0)
        return model, lambda m, x: m.predict(x, output_margin=True)

    def lightgbm(objective):
        lgb = pytest.importorskip("lightgbm")
        model = lgb.LGBMClassifier(n_estimators=40, num_leaves=7, objective=objective, n_jobs=1, verbose=-1)
        return model, lambda m, x: m.predict(x, raw_score=True)

    def catboost(objective):
        cat = pytest.importorskip("catboost")
        metric = boosting.catboost_metric("focal_loss", gamma=1.0)
        model = cat.CatBoostClassifier(iterations=40, depth=3, learning_rate=0.3, loss_function=objective, verbose=0,
                                       thread_count=1, allow_writing_files=False, eval_metric=metric)  # fmt: skip
        return model, lambda m, x: m.predict(x, prediction_type="RawFormulaVal")

    return {"xgboost": xgboost, "lightgbm": lightgbm, "catboost": catboost}


@pytest.mark.parametrize("library", estimators())
@pytest.mark.parametrize(
    ("loss", "parameters"),
    [
        ("focal_loss", {"gamma": 2.0, "alpha": 0.25, "hessian_floor": 1e-3}),
        ("hinge_loss", {"labels": "zero-one"}),
        ("poly_loss", {}),
    ],
)
def test_classifiers(library, loss, parameters, cancer, weights):
    """Through scikit-learn's interface, with weights: they learn, and pickle with their objective."""
    train_x, test_x, train_y, test_y = train_test_split(*cancer, random_state=0, stratify=cancer[1])
    objective = getattr(boosting, f"{library}_objective")(loss, **parameters)
    model, raw = estimators()[library](objective)
    model = clone(model)
    model.fit(train_x, train_y, sample_weight=weights(train_y))
    scores = raw(model, test_x)
    assert np.mean((scores > 0) == test_y) > 0.9
    np.testing.assert_array_equal(raw(pickle.loads(pickle.dumps(model)), test_x), scores)


@pytest.mark.parametrize("library", estimators())
def test_grid_search(library, cancer):
    """Objectives are parameters like others."""
    model, _ = estimators()[library](None)
    make = getattr(boosting, f"{library}_objective")
    name = "loss_function" if library == "catboost" else "objective"
    choices = [make("focal_loss", gamma=gamma, hessian_floor=1e-3) for gamma in (0.0, 1.0)]
    model.set_params(**{name: choices[0]})

    def score(estimator, x, y):
        return np.mean((estimators()[library](None)[1](estimator, x) > 0) == y)

    search = GridSearchCV(model, {name: choices}, cv=2, scoring=score).fit(*cancer)
    assert search.best_score_ > 0.9
    assert len(search.cv_results_["params"]) == 2


def test_quantiles(diabetes):
    """The Hessian of ones trains: nine tenths of the targets lie below the quantile of nine tenths."""
    x, y = diabetes
    xgb, lgb = pytest.importorskip("xgboost"), pytest.importorskip("lightgbm")
    start = boosting.init_score("quantile_loss", y, quantile=0.9)
    matrix = xgb.DMatrix(x, y, base_margin=np.full(len(y), start))
    objective = boosting.xgboost_objective("quantile_loss", quantile=0.9)
    booster = xgb.train({"max_depth": 3, "eta": 20.0, "nthread": 1}, matrix, 60, obj=objective)
    predictions = [booster.predict(matrix)]
    objective = boosting.lightgbm_objective("quantile_loss", quantile=0.9)
    dataset = lgb.Dataset(x, y, init_score=np.full(len(y), start))
    given = {"num_leaves": 7, "learning_rate": 20.0, "num_threads": 1, "verbose": -1, "objective": objective}
    predictions.append(start + lgb.train(given, dataset, 60).predict(x))
    for prediction in predictions:
        assert 0.85 < np.mean(y <= prediction) < 0.95
        flat = fl.quantile_loss(np.full(len(y), start), y, quantile=0.9)
        assert fl.quantile_loss(prediction.astype(float), y, quantile=0.9) < 0.7 * flat


def test_saved_model_of_xgboost(tmp_path, cancer):
    """A model with an objective of ours is saved and read again."""
    xgb = pytest.importorskip("xgboost")
    model = xgb.XGBClassifier(n_estimators=3, objective=boosting.xgboost_objective("focal_loss"), n_jobs=1).fit(*cancer)
    model.save_model(tmp_path / "model.json")
    assert json.loads((tmp_path / "model.json").read_text())["learner"]
    again = xgb.XGBClassifier()
    again.load_model(tmp_path / "model.json")
    np.testing.assert_array_equal(again.predict(cancer[0]), model.predict(cancer[0]))


def test_no_library_is_imported():
    """The module needs none of them."""
    import subprocess
    import sys

    code = "import sys; from fastloss import boosting; print({'xgboost', 'lightgbm', 'catboost'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
