"""The objective of a linear model: mean loss of the scores plus an L2 penalty, with gradient and Hessian products.

The scores go to a loss of fastloss as its prediction, so that weights, labels and options are the loss's own matter;
what is added here are the two products with X, the penalty and the packing into one vector.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import fastloss
from fastloss import _arguments as arguments
from fastloss._arguments import Array
from fastloss._loss import Loss
from fastloss._threads import num_threads
from fastloss.linear import _curvature
from fastloss.linear._design import Design

# Losses of probabilities, which a linear score is not, and the same thing of scores.
_OF_SCORES = {
    "binary_cross_entropy": "binary_cross_entropy_with_logits",
    "balanced_cross_entropy": "neg_weight times binary_cross_entropy_with_logits(pos_weight=pos_weight / neg_weight)",
    "categorical_cross_entropy": "cross_entropy, whose targets may be probabilities",
    "sparse_categorical_cross_entropy": "cross_entropy",
    "kl_divergence": "kl_divergence with from_logits=True",
    "poisson_nll_loss": "poisson_nll_loss with log_input=True",
}


def find_loss(loss: object) -> Any:
    """The loss object of a name, or the one given; raises where it isn't a function of one score or row of scores."""
    found = getattr(fastloss, loss, None) if isinstance(loss, str) else loss
    if not isinstance(found, Loss):
        raise ValueError(f"loss = {loss!r} is not a loss of fastloss; expected one, or its name")
    kind = found.kind
    if kind not in ("pointwise", "rowwise"):
        raise ValueError(f"loss = {found!r} is not a loss of one prediction per sample; expected a regression, binary "
                         "or multi-class loss")  # fmt: skip
    return found


def domains(loss: Any, parameters: dict[str, Any]) -> tuple[str, str]:
    """What predictions and targets may be; raises for a parameter the loss hasn't."""
    own = [name for name in loss._parameter_names if name != "axis"]
    for name in parameters:
        if name not in own:
            raise TypeError(f"{loss!r} has no parameter {name!r} here; it has: {', '.join(own) or 'none'}")
    declared = inspect.signature(loss.__call__).parameters
    values = {k: parameters.get(k, declared[k].default) for k in loss._parameter_names}
    if loss.kind == "pointwise":
        values.pop(loss._array_parameter, None)
        found = loss._domains(loss._numbers(*loss._check(tuple(values.values())).values()))
    else:
        found = loss._row_domains(values)
    return str(found[0]), str(found[1])


class LinearObjective:
    """What :func:`objective` returns: functions of one packed vector of coefficients and intercepts.

    Attributes
    ----------
    size : int
        The length of the packed vector: all coefficients, row by row, then the intercepts.
    initial : ndarray
        A vector of zeros to start from.
    coef_shape : tuple of int
        (features,), or (K, features) where a sample has K scores.
    denominator : float
        What the sum of the losses is divided by.
    loss : Loss
        The loss of the scores.
    real : dtype
        float32 or float64: the type of scores and products.
    fit_intercept : bool
        Whether there are intercepts.

    Notes
    -----
    What was computed last is kept: ``fun`` followed by ``jac`` or ``hessp`` at the same point multiplies with X once.
    So an objective isn't to be called from several Python threads at once; make one for each (X is shared).
    ``hessp`` exists (``hasattr``) where the loss has second derivatives.

    Examples
    --------
    >>> from fastloss.linear import objective
    >>> f = objective([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0], "half_mse_loss")
    >>> value, gradient = f.fun_and_jac([2.0, 1.0])
    >>> value, gradient.tolist(), f.unpack([2.0, 1.0])
    (0.0, [0.0, 0.0], (array([2.]), 1.0))
    """

    def __init__(
        self,
        X: ArrayLike | Design,
        y: ArrayLike,
        loss: object,
        *,
        l2: float = 0.0,
        sample_weight: ArrayLike | None = None,
        fit_intercept: bool = True,
        denominator: float | None = None,
        n_classes: int | None = None,
        pin_first: bool = False,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        self.loss = find_loss(loss)
        parameters = dict(parameters or {})
        if domains(self.loss, parameters)[0] != "any":
            raise ValueError(f"loss = {self.loss!r} takes probabilities or means, and a linear score may be any "
                             f"number; expected a loss of scores: {_OF_SCORES[self.loss.__name__]}")  # fmt: skip
        self.l2 = arguments.non_negative(l2, "l2")
        self.fit_intercept = arguments.flag(fit_intercept, "fit_intercept")
        self._pinned = int(arguments.flag(pin_first, "pin_first"))
        self._parameters = parameters
        self._design = X if isinstance(X, Design) else Design(X)
        self._target = arguments.as_array(y, "y")
        shape = self._score_shape(n_classes)
        self._weights = self._checked_weights(sample_weight, shape)
        total = self.loss.denominator(self._target, **self._denominator_keywords())
        given = arguments.check_denominator(denominator, "mean")
        self.denominator = total if given is None else given
        if not self.denominator > 0:
            raise ValueError("sample_weight and class weights add up to 0; expected a sample that counts")
        # The plain mean of the loss itself takes its shortest path.
        self._keywords = {**parameters, "sample_weight": self._weights, "denominator": given}
        self.real = self._design.real
        self._scores, self._slope = np.zeros(shape, self.real), np.empty(shape, self.real)
        rows = shape[1:] and (shape[1] - self._pinned,)
        self.coef_shape: tuple[int, ...] = (*rows, self._design.features)
        self._n_coef = int(np.prod(self.coef_shape))
        self.size = self._n_coef + (int(np.prod(rows)) if self.fit_intercept else 0)
        self._at: Array | None = None  # where _scores were computed
        self._product: _curvature.Product | None = None  # the second derivatives there
        # Labels, weights and parameters are the loss's to check: here, not in the middle of somebody's minimisation.
        self.loss(self._scores, self._target, **self._keywords)

    def _score_shape(self, n_classes: int | None) -> tuple[int, ...]:
        """The shape of the loss's prediction; raises where y does not fit X or the loss."""
        y, n = self._target, self._design.samples
        rowwise = self.loss.kind == "rowwise"
        labels = rowwise and self.loss._targets != "probabilities" and y.dtype.kind in "iu"
        if rowwise and not labels and y.ndim == 1 and self.loss._targets != "probabilities":
            raise TypeError(f"y has dtype {y.dtype}; class indices must be integers")
        dimensions = ((1,) if labels else (2,)) if rowwise else (1, 2)
        if y.ndim not in dimensions or len(y) != n:
            wanted = f"({n},)" if 1 in dimensions else f"({n}, classes)"
            raise ValueError(f"y has shape {y.shape} but X has {n} samples; expected shape {wanted}"
                             + (" of class indices" if labels else "")
                             + (f" or ({n}, outputs)" if not rowwise else ""))  # fmt: skip
        if not rowwise or not labels:
            if n_classes is not None and (not rowwise or y.shape[1] != n_classes):
                raise ValueError(f"n_classes = {n_classes!r} does not fit y of shape {y.shape}")
            if self._pinned and not rowwise:
                raise ValueError(f"pin_first=True needs a loss of rows of classes; it was {self.loss!r}")
            return y.shape
        if n_classes is None:
            weight = self._parameters.get("class_weight")
            ignored = self._parameters.get("ignore_index", -100)
            counted = y if ignored is None else y[y != ignored]
            n_classes = int(counted.max(initial=0)) + 1 if weight is None else np.size(weight)
        elif n_classes < 1:
            raise ValueError(f"n_classes = {n_classes} is out of range; expected 1 or more")
        return (n, n_classes)

    def _checked_weights(self, sample_weight: ArrayLike | None, shape: tuple[int, ...]) -> Array | None:
        """One weight per sample, as the loss wants it."""
        if sample_weight is None:
            return None
        weights = arguments.as_array(sample_weight, "sample_weight")
        if weights.shape != (shape[0],):
            raise ValueError(f"sample_weight has shape {weights.shape}; expected ({shape[0]},): one per sample")
        return weights[:, None] if self.loss.kind == "pointwise" and len(shape) == 2 else weights

    def _denominator_keywords(self) -> dict[str, Any]:
        known = inspect.signature(self.loss.denominator).parameters
        return {"sample_weight": self._weights} | {k: v for k, v in self._parameters.items() if k in known}

    @property
    def initial(self) -> Array:
        """Zeros, to start from."""
        return np.zeros(self.size)

    def pack(self, coef: ArrayLike, intercept: ArrayLike = 0.0) -> Array:
        """Return coefficients of ``coef_shape`` and intercepts as one vector of float64."""
        coefficients = np.asarray(coef, np.float64)
        if coefficients.shape != self.coef_shape:
            raise ValueError(f"coef has shape {coefficients.shape}; expected {self.coef_shape}")
        if not self.fit_intercept:
            return coefficients.ravel().copy()
        ends = np.broadcast_to(np.asarray(intercept, np.float64), self.coef_shape[:-1])
        return np.concatenate([coefficients.ravel(), ends.ravel()])

    def unpack(self, packed: ArrayLike) -> tuple[Array, Any]:
        """Return (coef, intercept) of a packed vector: views of ``coef_shape`` and (K,), or a float for one score."""
        vector = self._checked(packed, "packed")
        coef = vector[: self._n_coef].reshape(self.coef_shape)
        if not self.fit_intercept:
            return coef, 0.0 if len(self.coef_shape) == 1 else np.zeros(self.coef_shape[0])
        ends = vector[self._n_coef :]
        return coef, float(ends[0]) if len(self.coef_shape) == 1 else ends

    def fun(self, packed: ArrayLike) -> float:
        """Return the objective's value."""
        vector = self._move_to(packed)
        with self._kernels():
            value = self.loss(self._scores, self._target, **self._keywords)
        return float(value + self._penalty(vector))

    def jac(self, packed: ArrayLike) -> Array:
        """Return the objective's gradient, float64 of shape (size,)."""
        return self.fun_and_jac(packed)[1]

    def fun_and_jac(self, packed: ArrayLike) -> tuple[float, Array]:
        """Return (value, gradient) from one pass: for ``minimize(f.fun_and_jac, f.initial, jac=True)``."""
        vector = self._move_to(packed)
        with self._kernels():
            value, slope = self.loss.value_and_grad(self._scores, self._target, grad_out=self._slope, **self._keywords)
        return float(value + self._penalty(vector)), self._back(slope, vector)

    def _kernels(self) -> AbstractContextManager[None]:
        """Where kernels run: on one thread beside products of matrices, as theirs and BLAS's two teams would wait for
        each other's cores (20000 x 100, 10 classes, on two threads: 2.8 times as long).
        """
        return num_threads(1) if self._scores.ndim == 2 and not self._design.sparse else nullcontext()

    @property
    def hessp(self) -> Callable[[ArrayLike, ArrayLike], Array]:
        """``hessp(packed, vector)``: the Hessian at ``packed`` times ``vector``, float64 of shape (size,)."""
        if not hasattr(self.loss, "value_grad_hess"):
            raise AttributeError(f"this objective has no hessp: {self.loss!r} has no second derivatives")
        return self._hessp

    def _hessp(self, packed: ArrayLike, vector: ArrayLike) -> Array:
        self._move_to(packed)
        if self._product is None:
            self._product = self._second_derivatives()
        direction = self._checked(vector, "vector")
        along = np.zeros_like(self._scores)
        self._write_scores(direction, along)
        return self._back(self._product(along), direction)

    def _second_derivatives(self) -> _curvature.Product:
        loss, scores, target = self.loss, self._scores, self._target
        with self._kernels():
            _, grad, hess = loss.value_grad_hess(scores, target, grad_out=self._slope, **self._keywords)
        if loss.kind == "pointwise":
            return _curvature.diagonal(hess)
        ignored = self._parameters.get("ignore_index", -100)
        live = np.ones(len(scores), bool)
        if target.ndim == 1 and ignored is not None:
            live = target != ignored
        if loss.__name__ in ("cross_entropy", "kl_divergence"):
            weight = live / self.denominator
            if self._weights is not None:
                weight[live] *= self._weights[live]
            options = {k: v for k, v in self._parameters.items() if k not in ("from_logits", "ignore_index")}
            return _curvature.of_cross_entropy(scores, target, weight, grad, **options)
        return _curvature.of_target_probability(scores, target, live, grad, hess)

    def _checked(self, vector: ArrayLike, name: str) -> Array:
        array = np.asarray(vector, np.float64)
        if array.shape != (self.size,):
            raise ValueError(f"{name} has shape {array.shape}; expected ({self.size},)")
        return array

    def _move_to(self, packed: ArrayLike) -> Array:
        """The scores at a point, unless they are there already."""
        vector = self._checked(packed, "packed")
        if self._at is None or not np.array_equal(vector, self._at):
            self._at, self._product = None, None
            self._write_scores(vector, self._scores)
            self._at = vector.copy()
        return vector

    def _write_scores(self, vector: Array, scores: Array) -> None:
        coef = vector[: self._n_coef].reshape(self.coef_shape).astype(self.real)
        out = scores[:, self._pinned :] if scores.ndim == 2 else scores
        self._design.scores(coef, out)
        if self.fit_intercept:
            out += vector[self._n_coef :].astype(self.real)

    def _back(self, slope: Array, vector: Array) -> Array:
        """The gradient of the packed vector, given that of the scores."""
        used = slope[:, self._pinned :] if slope.ndim == 2 else slope
        result = np.empty(self.size)
        coef = result[: self._n_coef].reshape(self.coef_shape)
        coef[...] = self._design.back(used)
        if self.l2:
            coef += self.l2 * vector[: self._n_coef].reshape(self.coef_shape)
        if self.fit_intercept:
            result[self._n_coef :] = used.sum(axis=0, dtype=np.float64)
        return result

    def _penalty(self, vector: Array) -> float:
        coef = vector[: self._n_coef]
        return 0.5 * self.l2 * float(coef @ coef) if self.l2 else 0.0


def objective(
    X: ArrayLike,
    y: ArrayLike,
    loss: Any,
    *,
    l2: float = 0.0,
    sample_weight: ArrayLike | None = None,
    fit_intercept: bool = True,
    denominator: float | None = None,
    n_classes: int | None = None,
    pin_first: bool = False,
    **loss_parameters: Any,
) -> LinearObjective:
    r"""Return the objective of a linear model, for ``scipy.optimize.minimize``.

    .. math:: F(W, b) = \frac{1}{D} \sum_i s_i\,\ell(W x_i + b,\ y_i) + \frac{\lambda}{2} \sum_{jk} W_{jk}^2

    with s the sample weights (class weights of the loss multiply them) and D their sum: the loss's weighted mean, and
    a penalty that does not depend on the number of samples and leaves the intercepts b alone.

    Parameters
    ----------
    X : array_like or sparse matrix
        Shape (samples, features), finite. Its type, float32 or float64, is that of all products (float16 and bfloat16
        are converted to float32, integers to float64); vectors going in and out are float64. A sparse matrix of SciPy
        is converted to CSR.
    y : array_like
        What the loss takes as its target: (samples,) for one score per sample or class indices; (samples, K) for K
        outputs of a regression or binary loss, or probabilities of K classes.
    loss : Loss or str
        A loss of one prediction array, or its name, as ``fl.huber_loss`` or ``"huber_loss"``. A linear score may be any
        number: losses of probabilities raise, and their error names the one of scores.
    l2 : float
        lambda >= 0.
    sample_weight : array_like, optional
        Shape (samples,), finite, >= 0.
    fit_intercept : bool
        Whether there is b; it is not penalised.
    denominator : float, optional
        D > 0, instead of the sum of the weights: 1 makes the mean a sum.
    n_classes : int, optional
        K where y holds class indices: by default the length of ``class_weight``, else the largest index plus one.
    pin_first : bool
        Softmax and other losses of rows of classes: whether the score of class 0 is fixed at 0, so that W has K - 1
        rows. With two classes this is the usual logistic regression with one vector.
    **loss_parameters
        Of the loss: ``delta=1.35``, ``label_smoothing=0.1``.

    Returns
    -------
    LinearObjective
        With ``fun``, ``jac``, ``fun_and_jac``, ``hessp``, ``initial``, ``pack``, ``unpack``.

    Raises
    ------
    TypeError
        If an argument's type cannot be meant, or the loss has no such parameter.
    ValueError
        If shapes don't fit, a value is outside its domain, X is not finite, or the loss takes no scores.

    Notes
    -----
    scikit-learn's names for the penalty, with D the sum of the weights: ``LogisticRegression(C)`` and ``LinearSVC(C)``
    have l2 = 1 / (C D) (and LinearSVC penalises its intercept); ``Ridge(alpha)`` is ``"half_mse_loss"`` with
    l2 = alpha / D; ``PoissonRegressor``, ``GammaRegressor``, ``TweedieRegressor`` and ``SGDClassifier`` have
    l2 = alpha; ``HuberRegressor(epsilon, alpha)`` also fits a scale sigma, and given it is ``"huber_loss"`` with
    delta = epsilon sigma, l2 = alpha sigma / D.

    The Hessian is that of the objective, exactly: for softmax losses with the off-diagonal parts that
    ``value_grad_hess`` does not give. Where the gradient has a kink (``huber_loss``, ``squared_hinge_loss``) it is that
    of one side; where the loss is piecewise linear (``hinge_loss``, ``l1_loss``, ``quantile_loss``) it is that of the
    penalty alone, and solvers for smooth functions get few digits.

    Examples
    --------
    >>> from scipy.optimize import minimize
    >>> from fastloss.linear import objective
    >>> f = objective([[0.0], [1.0], [2.0], [9.0]], [0, 1, 0, 1], "binary_cross_entropy_with_logits", l2=0.01)
    >>> found = minimize(f.fun_and_jac, f.initial, jac=True, hessp=f.hessp, method="trust-ncg")
    >>> coef, intercept = f.unpack(found.x)
    >>> coef.round(4), round(intercept, 4)
    (array([0.5149]), -1.1896)
    """
    return LinearObjective(
        X, y, loss, l2=l2, sample_weight=sample_weight, fit_intercept=fit_intercept, denominator=denominator,
        n_classes=n_classes, pin_first=pin_first, parameters=loss_parameters,
    )  # fmt: skip
