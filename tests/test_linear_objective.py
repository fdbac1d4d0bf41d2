"""fastloss.linear.objective: its formula, the derivatives of every loss, layouts, types and errors."""

import subprocess
import sys

import numpy as np
import pytest

import fastloss as fl
from fastloss.linear import LinearObjective, objective

sparse = pytest.importorskip("scipy.sparse")

N, D, K = 40, 5, 4
CLASS_WEIGHT = [0.5, 1.0, 2.0, 3.0]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    weight = rng.uniform(0, 2, N)
    weight[3] = 0.0
    return {
        "X": rng.normal(size=(N, D)),
        "weight": weight,
        "amounts": rng.uniform(0.1, 3, N),
        "outputs": rng.uniform(0.1, 3, (N, 3)),
        "labels": rng.integers(0, K, N),
        "binary": rng.integers(0, 2, N),
        "columns": rng.integers(0, 2, (N, 3)),
        "signs": 2 * rng.integers(0, 2, (N, 2)) - 1,
        "soft": rng.dirichlet(np.ones(K), N),
    }


# (loss, target, parameters): every loss of scores, and each of their parameters.
CALLS = [
    ("mse_loss", "amounts", {}),
    ("half_mse_loss", "outputs", {}),
    ("l1_loss", "amounts", {}),
    ("mae_loss", "amounts", {}),
    ("huber_loss", "amounts", {"delta": 0.7}),
    ("smooth_l1_loss", "amounts", {"beta": 0.5}),
    ("log_cosh_loss", "amounts", {}),
    ("pseudo_huber_loss", "amounts", {"delta": 0.5}),
    ("quantile_loss", "amounts", {"quantile": 0.8}),
    ("poisson_nll_loss", "amounts", {"full": True}),
    ("gamma_nll_loss", "amounts", {}),
    ("tweedie_loss", "amounts", {"power": 1.3}),
    ("binary_cross_entropy_with_logits", "binary", {}),
    ("binary_cross_entropy_with_logits", "columns", {"pos_weight": [1.0, 2.0, 3.0]}),
    ("focal_loss", "binary", {"gamma": 1.5, "alpha": 0.3}),
    ("poly_loss", "binary", {"epsilon": [2.0, -1.0]}),
    ("hinge_loss", "signs", {"margin": 0.5}),
    ("squared_hinge_loss", "signs", {}),
    ("soft_margin_loss", "signs", {}),
    ("exponential_loss", "binary", {}),
    ("cross_entropy", "labels", {}),
    ("cross_entropy", "labels", {"label_smoothing": 0.2, "class_weight": CLASS_WEIGHT}),
    ("cross_entropy", "labels", {"temperature": 2.0, "z_loss": 0.3, "ignore_index": 1}),
    (
        "cross_entropy",
        "labels",
        {"logit_softcap": 1.5, "z_loss": 0.2, "temperature": 0.7, "class_weight": CLASS_WEIGHT},
    ),
    ("cross_entropy", "labels", {"pin_first": True, "n_classes": 5}),
    ("cross_entropy", "soft", {}),
    ("cross_entropy", "soft", {"label_smoothing": 0.2, "class_weight": CLASS_WEIGHT, "z_loss": 0.2}),
    ("kl_divergence", "soft", {"from_logits": True}),
    ("softmax_focal_loss", "labels", {}),
    ("softmax_focal_loss", "labels", {"gamma": 0.5, "alpha": [1.0, 0.2, 0.3, 0.1], "ignore_index": 2}),
    ("softmax_focal_loss", "labels", {"pin_first": True, "class_weight": CLASS_WEIGHT}),
    ("poly_cross_entropy", "labels", {"epsilon": [2.0, -1.0, 0.5]}),
    ("multiclass_hinge_loss", "labels", {}),
]
IDS = [f"{name}-{k}" for k, (name, _, _) in enumerate(CALLS)]
OF_PROBABILITIES = {
    "binary_cross_entropy": "binary",
    "log_loss": "binary",
    "balanced_cross_entropy": "binary",
    "categorical_cross_entropy": "soft",
    "sparse_categorical_cross_entropy": "labels",
}


def central(function, at, step=1e-6):
    """Derivatives by central differences, one column for each parameter."""
    unit = np.eye(len(at)) * step
    return np.stack([(function(at + e) - function(at - e)) / (2 * step) for e in unit], axis=-1)


def some_point(f, seed=1):
    return np.random.default_rng(seed).normal(size=f.size) * 0.7


def test_every_loss_of_one_prediction_is_here():
    one = {name for name in fl.__all__ if getattr(getattr(fl, name), "kind", "") in ("pointwise", "rowwise")}
    assert one == {name for name, _, _ in CALLS} | set(OF_PROBABILITIES)


@pytest.mark.parametrize(("name", "target", "parameters"), CALLS, ids=IDS)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_formula_and_derivatives(name, target, parameters, fit_intercept, data):
    """The value is the loss's own weighted mean plus the penalty; derivatives are those of the value."""
    y, weight = data[target], data["weight"]
    f = objective(data["X"], y, name, l2=0.3, sample_weight=weight, fit_intercept=fit_intercept, **parameters)
    at = some_point(f)
    coef, intercept = f.unpack(at)
    scores = data["X"] @ coef.T + intercept
    pinned = parameters.get("pin_first", False)
    if pinned:
        scores = np.concatenate([np.zeros((N, 1)), scores], axis=1)
    own = {k: v for k, v in parameters.items() if k not in ("pin_first", "n_classes")}
    weights = weight[:, None] if getattr(fl, name).kind == "pointwise" and y.ndim == 2 else weight
    expected = getattr(fl, name)(scores, y, sample_weight=weights, **own) + 0.15 * (coef**2).sum()
    assert f.fun(at) == pytest.approx(expected, rel=1e-14)
    value, gradient = f.fun_and_jac(at)
    assert value == f.fun(at)
    np.testing.assert_array_equal(gradient, f.jac(at))
    np.testing.assert_allclose(gradient, central(f.fun, at), atol=2e-8)
    if not hasattr(f, "hessp"):
        assert name == "multiclass_hinge_loss"
        with pytest.raises(AttributeError, match=r"no hessp: fastloss\.multiclass_hinge_loss has no second"):
            f.hessp
        return
    hessian = np.stack([f.hessp(at, e) for e in np.eye(f.size)], axis=-1)
    np.testing.assert_allclose(hessian, central(f.jac, at), atol=2e-8)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-14)


@pytest.mark.parametrize(("name", "target", "parameters"), CALLS, ids=IDS)
def test_sparse_and_single_precision(name, target, parameters, data):
    """CSR, CSC, any layout and float32 give the same numbers, as far as they can."""
    X = np.where(np.abs(data["X"]) < 0.8, 0.0, data["X"]).astype(np.float16).astype(np.float32)
    arguments = {"l2": 0.3, "sample_weight": data["weight"], **parameters}
    f = objective(X.astype(np.float64), data[target], name, **arguments)
    at = some_point(f)
    value, gradient = f.fun_and_jac(at)
    double = X.astype(np.float64)
    others = [
        sparse.csr_array(double),
        sparse.csc_matrix(double),
        np.asfortranarray(double),
        double[:, ::-1].copy()[:, ::-1],
    ]
    for other in (*others, X, sparse.csr_array(X), X.astype(">f4"), X.astype(np.float16)):
        g = objective(other, data[target], name, **arguments)
        rtol = 1e-13 if other.dtype == np.float64 else 2e-6
        found = g.fun_and_jac(at)
        assert found[0] == pytest.approx(value, rel=rtol)
        assert found[1].dtype == np.float64
        np.testing.assert_allclose(found[1], gradient, atol=rtol * np.abs(gradient).max())
        if hasattr(g, "hessp"):
            expected = f.hessp(at, at)
            np.testing.assert_allclose(g.hessp(at, at), expected, atol=10 * rtol * np.abs(expected).max())


@pytest.mark.parametrize("name", OF_PROBABILITIES)
def test_losses_of_probabilities_name_the_one_of_scores(name, data):
    with pytest.raises(ValueError, match=r"takes probabilities or means.*expected a loss of scores: .*cross_entropy"):
        objective(data["X"], data[OF_PROBABILITIES[name]], name)


def test_confident_rows():
    """Nothing overflows or becomes NaN far out, where second derivatives underflow."""
    X = np.array([[1.0], [-1.0], [1.0]])
    for name, parameters in [("cross_entropy", {}), ("softmax_focal_loss", {"gamma": 0.5}), ("poly_cross_entropy", {})]:
        for dtype in (np.float32, np.float64):
            for far in (1.0, 40.0, 300.0, 2000.0, 1e30):
                f = objective(X.astype(dtype), [1, 0, 0], name, **parameters)
                at = f.pack([[0.0], [far]], [0.0, 0.0])
                product = f.hessp(at, np.ones(f.size) * [1, 2, 3, 4])
                assert np.isfinite(product).all(), (name, dtype, far)
    f = objective(np.eye(2), [0, 1], "cross_entropy", fit_intercept=False)
    product = f.hessp(f.pack([[20.0, 0.0], [0.0, 20.0]]), [1.0, 0.0, 0.0, 0.0])
    p = 1 / (1 + np.exp(20.0))
    np.testing.assert_allclose(product, [p * (1 - p) / 2, 0, -p * (1 - p) / 2, 0], rtol=1e-14)


def test_points_are_kept_and_not_mixed_up(data):
    """Values, gradients and products in any order are those of a new objective at that point."""
    arguments = (data["X"], data["labels"], "cross_entropy")
    f, others = objective(*arguments, l2=0.1), [some_point(objective(*arguments), seed) for seed in (1, 2)]
    for at in (*others, *others[::-1]):
        new = [objective(*arguments, l2=0.1) for _ in range(3)]
        assert f.fun(at) == new[0].fun(at)
        np.testing.assert_array_equal(f.hessp(at, others[0]), new[1].hessp(at, others[0]))
        np.testing.assert_array_equal(f.jac(at), new[2].jac(at))
    at = others[0] + 1.0
    before = f.fun(at)
    at[0] += 1.0  # the caller's own array, in place, as optimisers do
    assert f.fun(at) != before


def test_denominator_adds_up_shards(data):
    X, y, weight = data["X"], data["labels"], data["weight"]
    whole = objective(X, y, "cross_entropy", sample_weight=weight, class_weight=CLASS_WEIGHT)
    assert whole.denominator == pytest.approx((weight * np.take(CLASS_WEIGHT, y)).sum(), rel=1e-14)
    at = some_point(whole)
    shards = [
        objective(X[s], y[s], "cross_entropy", sample_weight=weight[s], class_weight=CLASS_WEIGHT,
                  denominator=whole.denominator)
        for s in (slice(0, 13), slice(13, N))
    ]  # fmt: skip
    np.testing.assert_allclose(sum(f.jac(at) for f in shards), whole.jac(at), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(sum(f.hessp(at, at) for f in shards), whole.hessp(at, at), rtol=1e-12, atol=1e-15)


def test_packing(data):
    f = objective(data["X"], data["labels"], fl.cross_entropy)
    assert isinstance(f, LinearObjective)
    coef, intercept = np.arange(K * D).reshape(K, D), np.arange(K)
    np.testing.assert_array_equal(f.pack(coef, intercept), [*range(K * D), *range(K)])
    for found, given in zip(f.unpack(f.pack(coef, intercept)), (coef, intercept), strict=True):
        np.testing.assert_array_equal(found, given)
    assert f.coef_shape == (K, D)
    assert f.initial.shape == (f.size,) == (K * D + K,)
    single = objective(data["X"], data["amounts"], "huber_loss", fit_intercept=False)
    assert single.unpack(single.initial)[1] == 0.0
    with pytest.raises(ValueError, match=r"coef has shape \(5, 4\); expected \(4, 5\)"):
        f.pack(coef.T)
    with pytest.raises(ValueError, match=r"packed has shape \(3,\); expected \(24,\)"):
        f.fun(np.zeros(3))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"loss": "hubber_loss"}, ValueError, "'hubber_loss' is not a loss of fastloss"),
        ({"loss": "dice_loss"}, ValueError, "dice_loss is not a loss of one prediction per sample"),
        ({"loss": "triplet_margin_loss"}, ValueError, "not a loss of one prediction"),
        ({"delta": 1.0}, TypeError, "no parameter 'delta' here; it has: class_weight"),
        ({"axis": 0}, TypeError, "no parameter 'axis' here"),
        ({"label_smoothing": 2.0}, ValueError, "label_smoothing = 2.0 is out of range"),
        ({"loss": "huber_loss", "delta": 0}, ValueError, "delta = 0 is out of range"),
        ({"loss": "poisson_nll_loss", "log_input": False}, ValueError, "takes probabilities or means"),
        ({"l2": -1.0}, ValueError, "l2 = -1.0 is out of range"),
        ({"fit_intercept": 1}, TypeError, "fit_intercept = 1 is not a bool"),
        ({"denominator": 0.0}, ValueError, "denominator = 0.0 is out of range"),
        ({"sample_weight": np.ones(3)}, ValueError, r"sample_weight has shape \(3,\); expected \(4,\)"),
        ({"sample_weight": [1, 1, -1, 1]}, ValueError, r"sample_weight\[2\] = -1 is not a weight"),
        ({"sample_weight": np.zeros(4)}, ValueError, "add up to 0"),
        ({"n_classes": 2}, ValueError, r"target\[2\] = 2 is outside \[0, 2\)"),
        ({"n_classes": 0}, ValueError, "n_classes = 0 is out of range"),
        ({"y": [0, 1, 2]}, ValueError, r"y has shape \(3,\) but X has 4 samples; expected shape \(4,\) of class"),
        ({"y": [0.0, 1.0, 2.0, 1.0]}, TypeError, "y has dtype float64; class indices must be integers"),
        (
            {"y": [0, 1, 2, 1], "loss": "kl_divergence", "from_logits": True},
            ValueError,
            r"expected shape \(4, classes\)",
        ),
        ({"class_weight": 1.0}, ValueError, r"class_weight has shape \(\)"),
        ({"y": [[0, 1]] * 4, "loss": "hinge_loss"}, ValueError, r"target\[0, 0\] = 0 is out of range; expected -1 or"),
        ({"pin_first": True, "loss": "huber_loss"}, ValueError, "pin_first=True needs a loss of rows of classes"),
        ({"X": [[1.0], [np.nan], [2.0], [3.0]]}, ValueError, r"X\[1, 0\] = nan is not finite"),
        ({"X": sparse.csr_array([[1.0], [np.inf], [2.0], [3.0]])}, ValueError, r"X.data\[1\] = inf is not finite"),
        ({"X": [1.0, 2.0, 3.0, 4.0]}, ValueError, "expected two dimensions"),
        ({"X": [["a"]] * 4}, TypeError, "X has dtype <U1"),
    ],
)
def test_errors(changes, error, words):
    arguments = {"X": [[0.0], [1.0], [2.0], [3.0]], "y": [0, 1, 2, 1], "loss": "cross_entropy", **changes}
    with pytest.raises(error, match=words):
        objective(**arguments)


def test_no_import_of_what_is_not_needed():
    """Neither SciPy nor scikit-learn is imported with the module or by a dense objective, and it not with fastloss."""
    code = (
        "import sys, fastloss; assert 'fastloss.linear' not in sys.modules; from fastloss.linear import objective; "
        "objective([[0.0], [1.0]], [0, 1], 'cross_entropy').jac([0, 1, 0, 0]); "
        "assert not {'scipy', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_backend_and_threads(data):
    """All of it goes through the losses: the check backend compares every evaluation with the reference."""
    gradients = []
    for threads in (1, 2):
        f = objective(data["X"], data["labels"], "softmax_focal_loss", l2=0.1, sample_weight=data["weight"])
        with fl.num_threads(threads), fl.backend("check"):
            gradients.append(f.jac(some_point(f)))
            f.hessp(some_point(f), some_point(f, 2))
    np.testing.assert_array_equal(*gradients)
    with fl.backend("reference"):
        np.testing.assert_allclose(f.jac(some_point(f)), gradients[0], rtol=1e-12)
