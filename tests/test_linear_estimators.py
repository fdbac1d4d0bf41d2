"""LinearClassifier and LinearRegressor: scikit-learn's own checks, its estimators' predictions, and what is ours."""

import copy
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

import fastloss as fl
import fastloss.linear as linear

sklearn = pytest.importorskip("sklearn", minversion="1.6")
threadpoolctl = pytest.importorskip("threadpoolctl")

from scipy import sparse  # noqa: E402
from sklearn import datasets  # noqa: E402
from sklearn import linear_model as models  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

from fastloss.linear import LinearClassifier, LinearRegressor  # noqa: E402

CLASSIFICATION = {
    "cross_entropy": {"label_smoothing": 0.1, "temperature": 2.0, "logit_softcap": 5.0, "z_loss": 0.01},
    "softmax_focal_loss": {"gamma": 1.0},
    "poly_cross_entropy": {"epsilon": (1.0, 0.5)},
    "multiclass_hinge_loss": {"margin": 2.0},
    "binary_cross_entropy_with_logits": {"pos_weight": 2.0},
    "focal_loss": {"gamma": 1.0},
    "poly_loss": {"epsilon": (0.5,)},
    "soft_margin_loss": {},
    "exponential_loss": {},
    "hinge_loss": {"margin": 2.0},
    "squared_hinge_loss": {"margin": 2.0},
}
REGRESSION = {
    "mse_loss": {},
    "half_mse_loss": {},
    "l1_loss": {},
    "huber_loss": {"delta": 0.5},
    "smooth_l1_loss": {"beta": 0.5},
    "log_cosh_loss": {},
    "pseudo_huber_loss": {"delta": 0.5},
    "quantile_loss": {"quantile": 0.6},
    "poisson_nll_loss": {},
    "gamma_nll_loss": {},
    "tweedie_loss": {"power": 1.4},
}
HINGES = {"hinge_loss", "squared_hinge_loss", "multiclass_hinge_loss"}
EXACT = {"tol": 1e-10, "max_iter": 10000}


@pytest.fixture(autouse=True, scope="module")
def _one_blas_thread():
    """Products of small matrices wait for each other on several BLAS threads."""
    with threadpoolctl.threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def iris():
    X, y = datasets.load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def cancer():
    X, y = datasets.load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def diabetes():
    X, y = datasets.load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y / 50


# Those that compare fits of equivalent data to seven digits need an optimum that tight.
CHECKED = [
    LinearClassifier(),
    LinearClassifier("squared_hinge_loss", l2=1.0, tol=1e-11, solver="trust-ncg"),
    LinearClassifier("focal_loss", l2=0.1, tol=1e-10, solver="trust-ncg"),
    LinearRegressor(),
    LinearRegressor("huber_loss", l2=0.1, tol=1e-11),
    LinearRegressor("poisson_nll_loss", l2=0.1, tol=1e-10, solver="trust-ncg"),
]


@pytest.mark.parametrize("estimator", CHECKED, ids=str)
def test_check_estimator(estimator):
    """scikit-learn's checks. Its multi-output one passes negative targets to those that say they need positive ones."""
    excused = {"check_regressor_multioutput": "its targets are negative"} if "poisson" in str(estimator) else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter=1 and the like is part of the checks
        results = check_estimator(estimator, on_skip=None, expected_failed_checks=excused)
    failed = {r["check_name"] for r in results if r["status"] not in ("passed", "skipped")}
    assert failed == set(excused)
    assert len(results) > 55
    # What needs pandas, or an environment variable.
    skipped = {r["check_name"]: str(r["exception"]) for r in results if r["status"] == "skipped"}
    assert all("pandas" in why or name == "check_array_api_input" for name, why in skipped.items()), skipped


def test_every_loss_is_named(iris, diabetes):
    """The docstrings list exactly the losses that fit; all others are refused by name."""
    X, y = iris
    for name in fl.__all__:
        if not hasattr(getattr(fl, name), "value_and_grad") or name in ("mae_loss", "log_loss"):
            continue
        assert (f'``"{name}"``' in LinearClassifier.__doc__) == (name in CLASSIFICATION), name
        assert (f'``"{name}"``' in LinearRegressor.__doc__) == (name in REGRESSION), name
        if name not in CLASSIFICATION:
            with pytest.raises(ValueError, match=rf"loss = fastloss\.{name}"):
                LinearClassifier(name).fit(X, y)
        if name not in REGRESSION:
            with pytest.raises(ValueError, match=rf"loss = fastloss\.{name}"):
                LinearRegressor(name).fit(*diabetes)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", CLASSIFICATION)
@pytest.mark.parametrize("classes", [2, 3])
def test_classification_losses(name, classes, iris):
    """Each learns, from names as labels, and its probabilities agree with its scores and add up."""
    X, y = iris[0][: 50 * classes], iris[1][: 50 * classes]
    X = X + np.random.default_rng(0).normal(size=X.shape)  # not separable
    labels = np.array(["setosa", "versicolor", "virginica"])[y]
    for parameters in ({}, CLASSIFICATION[name]):
        model = LinearClassifier(getattr(fl, name), loss_parameters=parameters, l2=1e-2).fit(X, labels)
        assert model.score(X, labels) > (0.88 if classes == 2 else 0.7)
        assert model.coef_.shape == ((1, 4) if classes == 2 else (3, 4))
        assert model.intercept_.shape == (model.coef_.shape[0],)
        assert model.decision_function(X).shape == ((100,) if classes == 2 else (150, 3))
        assert model.n_iter_ > 2
        assert hasattr(model, "predict_proba") == (name not in HINGES)
        if name in HINGES:
            with pytest.raises(AttributeError, match="has no attribute 'predict_proba'"):
                model.predict_proba(X)
            continue
        p = model.predict_proba(X)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
        np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(X))
        np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), p, rtol=1e-12)


def test_probabilities_are_those_of_the_loss(cancer):
    """Two classes: the loss of the predicted probabilities is what was minimised, options included."""
    X, y = cancer
    options = CLASSIFICATION["cross_entropy"] | {"z_loss": 0.0}
    model = LinearClassifier("cross_entropy", loss_parameters=options, l2=0.01).fit(X, y)
    scores = np.stack([np.zeros(len(y)), model.decision_function(X)], axis=1)
    expected = fl.cross_entropy(scores, y, **(options | {"label_smoothing": 0.0}))
    assert fl.sparse_categorical_cross_entropy(model.predict_proba(X), y) == pytest.approx(expected, rel=1e-12)
    boosted = LinearClassifier("exponential_loss", l2=0.01).fit(X, y)
    np.testing.assert_allclose(boosted.predict_proba(X)[:, 1], 1 / (1 + np.exp(-2 * boosted.decision_function(X))))


def test_probabilities_where_all_classes_underflow(iris):
    """One against the rest, far from every class: scikit-learn#17978 has 0 / 0 there."""
    X, y = iris
    model = LinearClassifier("soft_margin_loss", l2=1e-3).fit(X, y)
    sigmoids = 1 / (1 + np.exp(-model.decision_function(X)))
    np.testing.assert_allclose(model.predict_proba(X), sigmoids / sigmoids.sum(axis=1, keepdims=True), rtol=1e-12)
    model.intercept_ = model.intercept_ - 2000.0
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(p.argmax(axis=1), model.predict(X))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", REGRESSION)
def test_regression_losses(name, diabetes):
    """Each explains the data about as well as least squares; several outputs are what each alone would be."""
    X, y = diabetes
    least = LinearRegressor().fit(X, y).score(X, y)
    for parameters in ({}, REGRESSION[name]):
        model = LinearRegressor(name, loss_parameters=parameters, **EXACT).fit(X, y)
        assert model.score(X, y) > least - 0.12
        assert model.coef_.shape == (10,)
        assert isinstance(model.intercept_, float)
        assert not hasattr(model, "predict_proba")
    if name in ("l1_loss", "quantile_loss"):
        return
    both = LinearRegressor(name, loss_parameters=parameters, **EXACT).fit(X, np.stack([y, y[::-1]], axis=1))
    assert both.coef_.shape == (2, 10)
    np.testing.assert_allclose(both.coef_[0], model.coef_, atol=1e-5)
    np.testing.assert_allclose(both.predict(X)[:, 0], model.predict(X), rtol=1e-4)


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "trust-ncg"])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csr_array])
def test_logistic_regression(solver, kind, cancer, iris):
    """C = 1 / (l2 sum s), with class and sample weights, two classes and three."""
    for X, y in (cancer, iris):
        weight = np.random.default_rng(0).integers(1, 4, len(y))
        by_class = {0: 1.0, 1: 2.5, 2: 0.5}
        l2, total = 0.01, np.array([1.0, 2.5, 0.5])[y] @ weight
        tight = {"newton-cg": 1e-9, "lbfgs": 1e-10, "trust-ncg": 1e-10}[solver]
        model = LinearClassifier(l2=l2, class_weight=by_class, solver=solver, tol=tight, max_iter=10000)
        model.fit(kind(X), y, weight)
        peer = models.LogisticRegression(C=1 / (l2 * total), class_weight=by_class, tol=1e-10, max_iter=10000)
        peer.fit(X, y, weight)
        np.testing.assert_allclose(model.coef_, peer.coef_, atol=2e-5)
        np.testing.assert_allclose(model.predict_proba(kind(X)), peer.predict_proba(X), atol=1e-5)
        np.testing.assert_array_equal(model.predict(X), peer.predict(X))


def test_balanced_classes(iris):
    """Without sample weights as in scikit-learn; with them, a weight is a number of copies."""
    X, y = iris[0][:120], iris[1][:120]
    model = LinearClassifier(l2=0.01, class_weight="balanced", **EXACT).fit(X, y)
    peer = models.LogisticRegression(C=1 / (0.01 * len(y)), class_weight="balanced", tol=1e-10, max_iter=10000)
    np.testing.assert_allclose(model.coef_, peer.fit(X, y).coef_, atol=2e-5)
    copies = np.random.default_rng(0).integers(0, 4, len(y))
    weighted = clone(model).fit(X, y, copies)
    repeated = clone(model).fit(np.repeat(X, copies, axis=0), np.repeat(y, copies))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, atol=1e-6)


def test_one_against_the_rest_is_each_class_alone(iris):
    X, y = iris
    together = LinearClassifier("focal_loss", l2=0.01, **EXACT).fit(X, y)
    for k in range(3):
        alone = LinearClassifier("focal_loss", l2=0.01, **EXACT).fit(X, y == k)
        np.testing.assert_allclose(together.coef_[k], alone.coef_[0], atol=1e-6)


def test_generalised_linear_models(diabetes):
    X, y = diabetes
    model = LinearRegressor("poisson_nll_loss", l2=0.1, solver="trust-ncg", tol=1e-10).fit(X, y)
    peer = models.PoissonRegressor(alpha=0.1, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(model.predict(X), peer.predict(X), rtol=1e-6)
    assert model.score(X, y) > 0.4
    with pytest.raises(ValueError, match=r"target\[1\] = -1.0 is out of range; expected a number >= 0"):
        model.fit([[0.0], [1.0]], [1.0, -1.0])


def test_warm_start(cancer):
    """What was found is where the next fit starts; other shapes start anew."""
    X, y = cancer
    model = LinearClassifier(warm_start=True, l2=1e-3, tol=1e-6).fit(X, y)
    first, coef = model.n_iter_, model.coef_.copy()
    model.fit(X, y)
    assert model.n_iter_ <= 1 < first
    np.testing.assert_allclose(model.coef_, coef, atol=1e-3)
    model.set_params(fit_intercept=False).fit(X[:, :5], y)
    assert model.coef_.shape == (1, 5)
    assert model.intercept_.tolist() == [0.0]
    cold = LinearClassifier(l2=1e-3, tol=1e-6).fit(X, y)
    assert cold.fit(X, y).n_iter_ == first
    regressor = LinearRegressor("huber_loss", warm_start=True, tol=1e-6).fit(X, y)
    assert regressor.fit(X, y).n_iter_ <= 1


def test_convergence_warning(cancer):
    X, y = cancer
    with pytest.warns(ConvergenceWarning, match=r"L-BFGS-B stopped after 3 iterations before it converged: .*max_iter"):
        model = LinearClassifier(max_iter=3).fit(X, y)
    assert model.n_iter_ == 3


def test_single_precision(cancer):
    """float32 data are not converted, and the fit ends without complaint about rounding."""
    X, y = cancer
    single = LinearClassifier(l2=1e-3).fit(X.astype(np.float32), y)
    double = LinearClassifier(l2=1e-3).fit(X, y)
    assert single.decision_function(X.astype(np.float32)).dtype == np.float64  # the coefficients' type
    np.testing.assert_allclose(single.predict_proba(X), double.predict_proba(X), atol=0.01)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (LinearClassifier(solver="sgd"), "solver = 'sgd' is unknown; expected one of 'lbfgs'"),
        (LinearClassifier(max_iter=0), "max_iter = 0"),
        (LinearClassifier(tol=0.0), "tol = 0.0"),
        (LinearClassifier(l2=-1), "l2 = -1 is out of range"),
        (LinearClassifier("multiclass_hinge_loss", solver="trust-ncg"), "needs second derivatives"),
        (LinearClassifier("focal_loss", loss_parameters={"gamma": -1}), "gamma = -1 is out of range"),
        (LinearRegressor("huber_loss", loss_parameters={"delta": 0}), "delta = 0 is out of range"),
    ],
)
def test_errors(model, words, iris):
    with pytest.raises(ValueError, match=words):
        model.fit(*iris)
    with pytest.raises(NotFittedError):
        model.predict(iris[0])


def test_tools_of_scikit_learn(cancer):
    """Clones, pickles, grid searches; pickles name the public module."""
    X, y = cancer
    model = LinearClassifier(fl.focal_loss, loss_parameters={"gamma": 1.5})
    assert clone(model).loss is fl.focal_loss
    model.fit(X, y)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    assert b"_classifier" not in pickle.dumps(model)
    search = GridSearchCV(
        LinearClassifier("focal_loss"),
        {"l2": [1e-3, 10.0], "loss_parameters": [{"gamma": g} for g in (0.5, 2.0)]},
        cv=3,
    )
    assert search.fit(X, y).best_params_["l2"] == 1e-3


def test_without_scikit_learn():
    """The objective stays; the estimators say what they need; a name that isn't there is an AttributeError."""
    code = """
import sys
sys.modules["sklearn"] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "sklearn" else find(name)
from fastloss.linear import *
assert objective and "LinearClassifier" not in globals()
import fastloss.linear
try:
    fastloss.linear.LinearRegressor
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.startswith("fastloss.linear.LinearRegressor needs scikit-learn 1.6 or newer: pip install")
    with pytest.raises(AttributeError, match=r"'fastloss\.linear' has no attribute 'LinearModel'"):
        linear.LinearModel
    assert {"LinearClassifier", "LinearRegressor", "LinearObjective", "objective"} <= set(dir(linear))
