"""What both estimators do: check data, minimise an objective with SciPy, say how it went, and give scores.

Imported with the estimators alone, since it needs SciPy and scikit-learn. Not here: targets, classes and links.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import optimize
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from fastloss._arguments import Array
from fastloss.linear._objective import LinearObjective

METHODS = {"lbfgs": "L-BFGS-B", "newton-cg": "Newton-CG", "trust-ncg": "trust-ncg"}
REALS = [np.float64, np.float32]


class LinearModel(BaseEstimator):  # type: ignore[misc]
    """The base of the estimators, whose own constructors set these parameters."""

    loss: Any
    loss_parameters: dict[str, Any] | None
    l2: float
    fit_intercept: bool
    solver: str
    tol: float
    max_iter: int
    warm_start: bool

    def _checked_data(self, X: Any, y: Any, **checks: Any) -> tuple[Any, Any]:
        if self.solver not in METHODS:
            raise ValueError(f"solver = {self.solver!r} is unknown; expected one of {', '.join(map(repr, METHODS))}")
        if not (isinstance(self.max_iter, int | np.integer) and self.max_iter >= 1 and self.tol > 0):
            raise ValueError(f"max_iter = {self.max_iter!r}, tol = {self.tol!r} is out of range; expected an integer "
                             ">= 1 and a number > 0")  # fmt: skip
        checked: tuple[Any, Any] = validate_data(self, X, y, accept_sparse="csr", dtype=REALS, **checks)
        return checked

    def _minimise(self, f: LinearObjective, intercept: Any) -> tuple[Array, Any]:
        """Set n_iter_, and return the coefficients and intercepts that were found.

        The start is what was found last time (warm_start), or coefficients 0 and the intercept given.
        """
        start = f.pack(np.zeros(f.coef_shape), intercept)
        if self.warm_start and np.shape(getattr(self, "coef_", ())) in (f.coef_shape, (1, *f.coef_shape)):
            start = f.pack(np.reshape(self.coef_, f.coef_shape), np.reshape(self.intercept_, f.coef_shape[:-1]))
        found = optimize.minimize(f.fun_and_jac, start, jac=True, method=METHODS[self.solver], **self._settings(f))
        if not found.success:
            warnings.warn(
                f"{METHODS[self.solver]} stopped after {found.nit} iterations before it converged: {found.message} "
                "Scale the features, increase max_iter or tol, or take a loss without kinks.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.n_iter_ = int(found.nit)
        return f.unpack(found.x)

    def _settings(self, f: LinearObjective) -> dict[str, Any]:
        """Of SciPy's minimize."""
        options: dict[str, Any] = {"maxiter": self.max_iter}
        if self.solver == "lbfgs":
            # Below this relative decrease rounding decides, and the line search would complain of it.
            rounding = 64 * np.finfo(np.float64).eps if f.real == np.float64 else np.finfo(np.float32).eps
            return {"options": {**options, "gtol": self.tol, "ftol": rounding, "maxls": 50}}
        if not hasattr(f, "hessp"):
            raise ValueError(f"solver = {self.solver!r} needs second derivatives, which {f.loss!r} has not; "
                             "expected 'lbfgs'")  # fmt: skip
        options["xtol" if self.solver == "newton-cg" else "gtol"] = self.tol
        return {"options": options, "hessp": f.hessp}

    def _scores(self, X: Any) -> Array:
        """X times the coefficients plus the intercepts."""
        check_is_fitted(self, "coef_")
        matrix: Any = validate_data(self, X, accept_sparse="csr", dtype=REALS, reset=False)
        return np.asarray(matrix @ self.coef_.T + self.intercept_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
