"""scikit-learn's interface to linear classifiers; imported when its name is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

import fastloss
from fastloss import activations
from fastloss._arguments import Array
from fastloss.linear._design import Design
from fastloss.linear._fit import LinearModel
from fastloss.linear._objective import LinearObjective, domains, find_loss

# Losses of classes whose scores say which class, and nothing about probabilities.
_MARGINS = ("hinge_loss", "squared_hinge_loss", "multiclass_hinge_loss")


def _has_probabilities(self: LinearClassifier) -> bool:
    return find_loss(self.loss).__name__ not in _MARGINS


class LinearClassifier(ClassifierMixin, LinearModel):  # type: ignore[misc]
    r"""Linear classifier with any classification loss of fastloss, fitted by SciPy.

    .. math:: F(W, b) = \frac{1}{\sum_i s_i} \sum_i s_i\,\ell(W x_i + b,\ y_i) + \frac{\lambda}{2} \sum_{jk} W_{jk}^2

    with s the sample weights times the class weights. ``LogisticRegression(C)`` is the default loss with
    l2 = 1 / (C sum s).

    Parameters
    ----------
    loss : str or Loss
        A multi-class loss of logits (``"cross_entropy"``, ``"softmax_focal_loss"``, ``"poly_cross_entropy"``,
        ``"multiclass_hinge_loss"``) or a binary one (``"binary_cross_entropy_with_logits"``, ``"focal_loss"``,
        ``"poly_loss"``, ``"soft_margin_loss"``, ``"exponential_loss"``, ``"hinge_loss"``, ``"squared_hinge_loss"``).
        Two classes have one score: class 0 of a multi-class loss scores 0. More than two classes and a binary loss:
        one against the rest, each class a problem of its own.
    loss_parameters : dict, optional
        Of the loss, as ``{"gamma": 2.0}``.
    l2 : float
        lambda >= 0. The default is that of ``SGDClassifier(alpha)``, whose formula is the same.
    fit_intercept : bool
        Whether there is b, which is not penalised.
    class_weight : dict or "balanced", optional
        Factors of the sample weights by class, as in scikit-learn.
    solver : {"lbfgs", "newton-cg", "trust-ncg"}
        SciPy's methods; the last two use exact Hessian-vector products (and the loss must have a Hessian).
    tol : float
        Where to stop: the largest element of the gradient (L-BFGS), its norm (trust-ncg), or the mean step
        (Newton-CG).
    max_iter : int
        Most iterations of the solver.
    warm_start : bool
        Whether ``fit`` starts from what it found last.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        One row for two classes.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Zeros without ``fit_intercept``.
    n_iter_ : int
        Iterations of the solver.
    n_features_in_ : int
        Features seen by ``fit``.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where X had names that are all strings.

    Notes
    -----
    ``predict_proba`` exists for all losses but the hinges: the softmax of the scores (after the loss's own temperature
    and softcap), the sigmoid for binary losses (of twice the score for the exponential one), in the shares of one
    against the rest. Focal and poly losses are not proper scoring rules: their probabilities are biased. A loss with a
    kink (the hinges) may end in a ConvergenceWarning near its optimum.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastloss.linear import LinearClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LinearClassifier("softmax_focal_loss", loss_parameters={"gamma": 1.0}, l2=1e-3).fit(X, y)
    >>> model.score(X, y) > 0.95, model.coef_.shape
    (True, (3, 4))
    """

    def __init__(
        self,
        loss: Any = "cross_entropy",
        *,
        loss_parameters: dict[str, Any] | None = None,
        l2: float = 1e-4,
        fit_intercept: bool = True,
        class_weight: Any = None,
        solver: str = "lbfgs",
        tol: float = 1e-4,
        max_iter: int = 1000,
        warm_start: bool = False,
    ) -> None:
        self.loss = loss
        self.loss_parameters = loss_parameters
        self.l2 = l2
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.solver = solver
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LinearClassifier:
        """Fit the model.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            float32 and float64 are computed as they are.
        y : array_like of shape (n_samples,)
            Labels of any kind, at least two different ones.
        sample_weight : array_like of shape (n_samples,), optional
            Finite, >= 0.

        Returns
        -------
        LinearClassifier
            Itself.
        """
        X, y = self._checked_data(X, y)
        check_classification_targets(y)
        classes = np.unique(y)
        labels = np.searchsorted(classes, y)  # unique(return_inverse=True) would sort all of y
        count = len(classes)
        if count < 2:
            raise ValueError(f"y has the one class {classes[0]!r}; expected at least 2 classes")
        weights = None
        if sample_weight is not None or self.class_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if self.class_weight == "balanced":
            # Of the sample weights, as in newer versions of scikit-learn: weight 2 is as good as the sample twice.
            by_class = np.bincount(labels, weights)
            weights = weights * np.where(by_class, by_class.sum() / (count * (by_class + (by_class == 0))), 0)[labels]
        elif self.class_weight is not None:
            weights = weights * compute_class_weight(self.class_weight, classes=classes, y=y)[labels]

        loss, parameters = find_loss(self.loss), dict(self.loss_parameters or {})
        domain = domains(loss, parameters)[1]
        if loss is fastloss.cross_entropy and count == 2 and not parameters:
            loss, domain = fastloss.binary_cross_entropy_with_logits, "unit interval"  # the same, and quicker
        options: dict[str, Any] = {}
        if loss.kind == "rowwise" and loss._targets != "probabilities":
            options = {"n_classes": count, "pin_first": count == 2}
        elif loss.kind == "pointwise" and domain in ("unit interval", "sign"):
            low = 0 if domain == "unit interval" else -1
            if count > 2:
                labels = labels[:, None] == np.arange(count)
                options = {"denominator": float(len(labels) if weights is None else weights.sum())}
            labels = np.where(labels, np.int8(1), np.int8(low))
        else:
            raise ValueError(f"loss = {loss!r} has no class labels; expected a classification loss")
        f = LinearObjective(
            Design(X, finite=True),
            labels,
            loss,
            l2=self.l2,
            sample_weight=weights,
            fit_intercept=self.fit_intercept,
            parameters=parameters,
            **options,
        )
        coef, intercept = self._minimise(f, np.zeros(f.coef_shape[:-1]))
        self.classes_, self.coef_, self.intercept_ = classes, np.atleast_2d(coef), np.atleast_1d(intercept)
        return self

    def decision_function(self, X: Any) -> Array:
        """Return the scores.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes the score of the second.
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> Array:
        """Return the class of the largest score.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels, as in ``classes_``.
        """
        scores = self.decision_function(X)
        found: Array = self.classes_[(scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)]
        return found

    def _logits(self, X: Any) -> Array:
        """What the probabilities are the softmax of."""
        name, parameters = find_loss(self.loss).__name__, self.loss_parameters or {}
        scores = self._scores(X)
        binary = find_loss(self.loss).kind == "pointwise"
        if name == "exponential_loss":
            scores *= 2
        if scores.shape[1] == 1:
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        elif binary:
            return activations.log_sigmoid(scores)  # shares of the sigmoids, also where all of them underflow
        cap = parameters.get("logit_softcap")
        if cap is not None:
            scores = cap * np.tanh(scores / cap)
        return np.asarray(scores / parameters.get("temperature", 1.0))

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of the classes; not for hinge losses.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Rows add up to 1.
        """
        return activations.softmax(self._logits(X))

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of the probabilities, finite also where those underflow; not for hinge losses.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            At most 0.
        """
        return activations.log_softmax(self._logits(X))


# Pickles name the public module, where it is found, and not this one.
LinearClassifier.__module__ = "fastloss.linear"
