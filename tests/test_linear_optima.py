"""fastloss.linear.objective and SciPy reach the optima of scikit-learn's linear models.

Both sides look with tight tolerances, so that optima are compared and not where solvers stop.
"""

import numpy as np
import pytest

import fastloss as fl
from fastloss.linear import objective

sparse = pytest.importorskip("scipy.sparse")
datasets = pytest.importorskip("sklearn.datasets")
models = pytest.importorskip("sklearn.linear_model")
threadpoolctl = pytest.importorskip("threadpoolctl")

from scipy.optimize import minimize  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.svm import LinearSVC  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def _one_blas_thread():
    """Products of small matrices wait for each other on several BLAS threads."""
    with threadpoolctl.threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def cancer():
    X, y = datasets.load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y, np.random.default_rng(0).integers(0, 4, len(y)).astype(float)


@pytest.fixture(scope="module")
def digits():
    X, y = datasets.load_digits(return_X_y=True)
    return X[:400] / 16, y[:400], np.random.default_rng(0).uniform(0.5, 2, 400)


@pytest.fixture(scope="module")
def diabetes():
    X, y = datasets.load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y / 50, np.random.default_rng(0).uniform(0.5, 2, len(y))


def optimum(f, method="L-BFGS-B"):
    """The optimum to all digits that the method gets; line searches stop where rounding hides a decrease."""
    options = {"L-BFGS-B": {"gtol": 1e-11, "ftol": 0, "maxiter": 5000, "maxfun": 20000}, "trust-ncg": {"gtol": 1e-11},
               "Newton-CG": {"xtol": 1e-13}}[method]  # fmt: skip
    hessp = {} if method == "L-BFGS-B" else {"hessp": f.hessp}
    found = minimize(f.fun_and_jac, f.initial, jac=True, method=method, options=options, **hessp)
    assert np.abs(f.jac(found.x)).max() < 1e-7
    return f.unpack(found.x)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
@pytest.mark.parametrize("method", ["L-BFGS-B", "Newton-CG", "trust-ncg"])
def test_logistic_regression(kind, method, cancer):
    X, y, weight = cancer
    peer = models.LogisticRegression(C=0.7, solver="newton-cg", tol=1e-12, class_weight={0: 1.0, 1: 2.5})
    peer.fit(X, y, weight)
    counted = weight * np.where(y, 2.5, 1.0)
    l2 = 1 / (0.7 * counted.sum())
    f = objective(kind(X), y, "binary_cross_entropy_with_logits", l2=l2, sample_weight=counted)
    pinned = objective(kind(X), y, "cross_entropy", l2=l2, sample_weight=weight, class_weight=[1, 2.5], pin_first=True)
    # A gradient of 1e-7 where the curvature is about l2 = 1e-3; the other methods end far below that.
    atol = 1e-4 if method == "Newton-CG" else 1e-6
    for g in (f, pinned):
        coef, intercept = optimum(g, method)
        np.testing.assert_allclose(coef.ravel(), peer.coef_[0], rtol=1e-5, atol=atol)
        np.testing.assert_allclose(intercept, peer.intercept_[0], atol=atol)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array], ids=["dense", "CSR"])
@pytest.mark.parametrize("method", ["L-BFGS-B", "trust-ncg"])
def test_multinomial_logistic_regression(kind, method, digits):
    X, y, weight = digits
    peer = models.LogisticRegression(C=0.5, solver="newton-cg", tol=1e-12).fit(X, y, weight)
    f = objective(kind(X), y, fl.cross_entropy, l2=1 / (0.5 * weight.sum()), sample_weight=weight)
    coef, intercept = optimum(f, method)
    np.testing.assert_allclose(coef, peer.coef_, atol=2e-6)
    np.testing.assert_allclose(intercept - intercept.mean(), peer.intercept_ - peer.intercept_.mean(), atol=2e-6)


def test_huber_regressor(diabetes):
    """HuberRegressor at its own scale is the Huber loss with delta = epsilon sigma, l2 = alpha sigma / D."""
    X, y, weight = diabetes
    y = np.where(np.arange(len(y)) % 17 == 0, 10 * y, y)
    peer = models.HuberRegressor(epsilon=1.35, alpha=0.5, max_iter=5000, tol=1e-9).fit(X, y, weight)
    scale = peer.scale_
    f = objective(X, y, "huber_loss", delta=1.35 * scale, l2=0.5 * scale / weight.sum(), sample_weight=weight)
    coef, intercept = optimum(f)
    # The peer stops where a step gains less than 2e-9 of the value.
    np.testing.assert_allclose(coef, peer.coef_, atol=1e-4)
    assert intercept == pytest.approx(peer.intercept_, rel=1e-5)
    least = f.fun(f.pack(coef, intercept))
    assert least <= f.fun(f.pack(peer.coef_, peer.intercept_)) < least * (1 + 1e-8)


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("poisson_nll_loss", models.PoissonRegressor(alpha=0.1, tol=1e-10, solver="newton-cholesky")),
        ("gamma_nll_loss", models.GammaRegressor(alpha=0.1, tol=1e-10, solver="newton-cholesky")),
        ("tweedie_loss", models.TweedieRegressor(power=1.5, alpha=0.1, tol=1e-10, solver="newton-cholesky")),
    ],
)
@pytest.mark.parametrize("method", ["L-BFGS-B", "trust-ncg"])
def test_generalised_linear_models(name, peer, method, diabetes):
    X, y, weight = diabetes
    peer.fit(X, y, weight)
    coef, intercept = optimum(objective(X, y, name, l2=0.1, sample_weight=weight), method)
    np.testing.assert_allclose(coef, peer.coef_, rtol=1e-6, atol=1e-8)
    assert intercept == pytest.approx(peer.intercept_, rel=1e-7)


def test_ridge(diabetes):
    X, y, weight = diabetes
    Y = np.stack([y, np.sin(y)], axis=1)
    peer = models.Ridge(alpha=3.0).fit(X, Y, weight)
    f = objective(X, Y, "half_mse_loss", l2=3.0 / weight.sum(), sample_weight=weight, denominator=weight.sum())
    coef, intercept = optimum(f)
    np.testing.assert_allclose(coef, peer.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(intercept, peer.intercept_, rtol=1e-8)


def test_linear_svc(cancer):
    X, y, weight = cancer
    peer = LinearSVC(C=0.1, fit_intercept=False, dual=False, tol=1e-10, max_iter=10000).fit(X, y, weight)
    f = objective(
        X, 2 * y - 1, "squared_hinge_loss", l2=1 / (0.1 * weight.sum()), sample_weight=weight, fit_intercept=False
    )
    np.testing.assert_allclose(optimum(f)[0], peer.coef_[0], rtol=1e-5, atol=1e-6)


def test_quantile_regression(diabetes):
    """A kink at the optimum: L-BFGS gets three digits of the least loss, which a linear program finds exactly."""
    X, y, weight = diabetes
    peer = models.QuantileRegressor(quantile=0.8, alpha=0.0).fit(X, y, weight)
    f = objective(X, y, "quantile_loss", quantile=0.8, sample_weight=weight)
    least = f.fun(f.pack(peer.coef_, peer.intercept_))
    found = minimize(f.fun_and_jac, f.initial, jac=True, method="L-BFGS-B", options={"maxiter": 2000})
    assert least < found.fun < least * 1.003


def test_single_precision_reaches_the_optimum(digits):
    X, y, _ = digits
    f = objective(X.astype(np.float32), y, "cross_entropy", l2=1e-3)
    exact = objective(X, y, "cross_entropy", l2=1e-3)
    found = minimize(f.fun_and_jac, f.initial, jac=True, method="L-BFGS-B", options={"gtol": 1e-5, "ftol": 1e-7})
    best = exact.fun(exact.pack(*optimum(exact)))
    assert exact.fun(found.x) == pytest.approx(best, rel=1e-4)
