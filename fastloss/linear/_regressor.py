"""scikit-learn's interface to linear regression; imported when its name is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import _check_sample_weight

from fastloss._arguments import Array
from fastloss.linear._design import Design
from fastloss.linear._fit import LinearModel
from fastloss.linear._objective import LinearObjective, domains, find_loss

# Losses whose score is the logarithm of the mean.
_LOG_LINK = ("poisson_nll_loss", "gamma_nll_loss", "tweedie_loss")


class LinearRegressor(RegressorMixin, LinearModel):  # type: ignore[misc]
    r"""Linear regression with any regression loss of fastloss, fitted by SciPy.

    .. math:: F(w, b) = \frac{1}{\sum_i s_i} \sum_i s_i\,\ell(w^T x_i + b,\ y_i) + \frac{\lambda}{2} \lVert w \rVert^2

    ``Ridge(alpha)`` is the default loss with l2 = alpha / sum s; ``PoissonRegressor(alpha)``, ``GammaRegressor`` and
    ``TweedieRegressor`` are theirs with l2 = alpha; ``HuberRegressor`` fits a scale besides (see
    :func:`objective`).

    Parameters
    ----------
    loss : str or Loss
        A regression loss: ``"half_mse_loss"``, ``"mse_loss"``, ``"huber_loss"``, ``"smooth_l1_loss"``,
        ``"pseudo_huber_loss"``, ``"log_cosh_loss"``, ``"l1_loss"``, ``"quantile_loss"``, and with the logarithm of the
        mean as the score ``"poisson_nll_loss"``, ``"gamma_nll_loss"``, ``"tweedie_loss"``.
    loss_parameters : dict, optional
        Of the loss, as ``{"delta": 1.35}``.
    l2 : float
        lambda >= 0.
    fit_intercept : bool
        Whether there is b, which is not penalised.
    solver : {"lbfgs", "newton-cg", "trust-ncg"}
        SciPy's methods; the last two use exact Hessian-vector products.
    tol : float
        Where to stop: the largest element of the gradient (L-BFGS), its norm (trust-ncg), or the mean step
        (Newton-CG). In the units of the loss: scale the targets, or choose it for yours.
    max_iter : int
        Most iterations of the solver.
    warm_start : bool
        Whether ``fit`` starts from what it found last.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_outputs, n_features)
        The coefficients.
    intercept_ : float or ndarray of shape (n_outputs,)
        0 without ``fit_intercept``.
    n_iter_ : int
        Iterations of the solver.
    n_features_in_ : int
        Features seen by ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where X had names that are all strings.

    Notes
    -----
    Several outputs are problems of their own that share X. The solvers are for smooth losses: with ``l1_loss`` and
    ``quantile_loss`` they stop at a kink, a few digits from the optimum, and say so in a ConvergenceWarning.

    Examples
    --------
    >>> from fastloss.linear import LinearRegressor
    >>> X, y = [[0.0], [1.0], [2.0], [3.0], [4.0]], [1.0, 3.0, 90.0, 7.0, 9.0]
    >>> model = LinearRegressor("huber_loss", loss_parameters={"delta": 0.1}, l2=0.0, tol=1e-8).fit(X, y)
    >>> model.coef_.round(3), round(model.intercept_, 3)
    (array([2.]), 1.025)
    """

    def __init__(
        self,
        loss: Any = "half_mse_loss",
        *,
        loss_parameters: dict[str, Any] | None = None,
        l2: float = 1e-4,
        fit_intercept: bool = True,
        solver: str = "lbfgs",
        tol: float = 1e-4,
        max_iter: int = 1000,
        warm_start: bool = False,
    ) -> None:
        self.loss = loss
        self.loss_parameters = loss_parameters
        self.l2 = l2
        self.fit_intercept = fit_intercept
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LinearRegressor:
        """Fit the model.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            float32 and float64 are computed as they are.
        y : array_like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : array_like of shape (n_samples,), optional
            Finite, >= 0.

        Returns
        -------
        LinearRegressor
            Itself.
        """
        X, y = self._checked_data(X, y, multi_output=True, y_numeric=True)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        loss, parameters = find_loss(self.loss), dict(self.loss_parameters or {})
        if loss.kind != "pointwise" or domains(loss, parameters)[1] in ("unit interval", "sign"):
            raise ValueError(f"loss = {loss!r} is of classes; expected a regression loss")
        options: dict[str, Any] = {}
        if y.ndim == 2:
            options = {"denominator": float(len(y) if weights is None else weights.sum())}
        f = LinearObjective(
            Design(X, finite=True),
            y,
            loss,
            l2=self.l2,
            sample_weight=weights,
            fit_intercept=self.fit_intercept,
            parameters=parameters,
            **options,
        )
        start = np.average(y, axis=0, weights=weights)
        if loss.__name__ in _LOG_LINK:
            start = np.log(np.maximum(start, np.finfo(np.float64).tiny))
        self.coef_, self.intercept_ = self._minimise(f, start)
        return self

    def predict(self, X: Any) -> Array:
        """Return the predicted targets: the scores, or their exponentials where the scores are logarithms of means.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of y.
        """
        scores = self._scores(X)
        return np.exp(scores) if find_loss(self.loss).__name__ in _LOG_LINK else scores

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = find_loss(self.loss).__name__ in _LOG_LINK
        return tags


# Pickles name the public module, where it is found, and not this one.
LinearRegressor.__module__ = "fastloss.linear"
