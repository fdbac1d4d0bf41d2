"""What the libraries call: objectives with both calling conventions, made of a task and its derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastloss._arguments import Array
from fastloss.activations import softmax
from fastloss.boosting._derivatives import Derivatives
from fastloss.boosting._task import Task


class Adapter:
    """The base of objectives and metrics: remembers how it was made, so that it prints, compares and pickles."""

    _maker = ""  # the public function that makes it

    def __init__(self, loss: object, **options: Any) -> None:
        self._made_with = (loss, options)

    def __repr__(self) -> str:
        loss, options = self._made_with
        return (
            f"fastloss.boosting.{self._maker}({', '.join([repr(loss), *(f'{k}={v!r}' for k, v in options.items())])})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        loss, options = self._made_with
        return _remake, (type(self), loss, options)


def _remake(made: Any, loss: object, options: dict[str, Any]) -> Any:
    return made(loss, **options)


def unpacked(first: Any, second: Any, weight: object) -> tuple[Any, Any, Any, bool]:
    """(scores, labels, weights, native) of ``(scores, data set)`` and of ``(labels, scores, weights)``."""
    if hasattr(second, "get_label"):
        return first, second.get_label(), second.get_weight(), True
    return second, first, weight, False


class Objective(Adapter):
    """Gradient and Hessian for XGBoost and LightGBM."""

    _class_major = False

    def __init__(
        self,
        loss: object,
        *,
        hessian: str = "exact",
        hessian_floor: float | None = None,
        labels: str | None = None,
        **parameters: Any,
    ) -> None:
        common = {"hessian": hessian, "hessian_floor": hessian_floor, "labels": labels}
        super().__init__(loss, **parameters, **{k: v for k, v in common.items() if v not in (None, "exact")})
        self._derivatives = Derivatives(Task(loss, labels, parameters), hessian, hessian_floor)

    def __call__(self, labels: Any, predictions: Any, sample_weight: Any = None) -> tuple[Array, Array]:
        """Gradient and Hessian, of the scores' shape, type and order in memory.

        Called with ``(labels, scores)`` or ``(labels, scores, weights)`` by the scikit-learn interfaces, with
        ``(scores, data set)`` by the native ones.
        """
        scores, target, weight, _ = unpacked(labels, predictions, sample_weight)
        x, t, w = self._derivatives.task.arrays(scores, target, weight, self._class_major)
        grad, hess = np.empty_like(x, subok=False), np.empty_like(x, subok=False)
        self._derivatives(x, t, w, grad, hess)
        if np.ndim(scores) < x.ndim:  # flat scores of several classes
            return (grad.T.ravel(), hess.T.ravel()) if self._class_major else (grad.ravel(), hess.ravel())
        return grad, hess


class XGBoostObjective(Objective):
    """Flat scores of several classes, which old versions pass, are row by row."""

    _maker = "xgboost_objective"


class LightGBMObjective(Objective):
    """Flat scores of several classes, which old versions pass, are class by class."""

    _maker = "lightgbm_objective"
    _class_major = True


class CatBoostObjective(Objective):
    """The derivatives of what CatBoost maximises: minus the loss."""

    _maker = "catboost_objective"
    no_jit = True  # CatBoost compiles an objective's methods with Numba, and warns where it can't, unless this is there

    def calc_ders_range(self, scores: Array, labels: Array, weights: Array | None) -> Array:
        """(n, 2): first and second derivatives of a range of rows."""
        x, t, w = self._derivatives.task.arrays(scores, labels, weights, False)
        pairs = np.empty((*x.shape, 2), x.dtype)
        self._derivatives(x, t, w, pairs[..., 0], pairs[..., 1], -1.0)
        return pairs

    def calc_ders_multi(self, scores: Array, label: float, weight: float) -> tuple[Array, Hessian]:
        """(K,) and (K, K): the derivatives of one row of several classes."""
        task = self._derivatives.task
        x, t, w = task.arrays(np.asarray(scores)[None], np.atleast_1d(label), None if weight == 1 else [weight], False)
        grad = np.empty_like(x)
        self._derivatives(x, t, w, grad, None, -1.0)
        return grad[0], Hessian(self._derivatives, x.copy(), t, w)


class Hessian:
    """The matrix of one row's second derivatives, computed when its rows are asked for.

    CatBoost asks for gradients twice a tree, but looks at the matrix only for Newton's leaf values. It is whole for
    plain cross-entropy, w (p p' - diag p), and diagonal for all else.
    """

    def __init__(self, derivatives: Derivatives, x: Array, t: Array, w: Array | None) -> None:
        self._given = derivatives, x, t, w

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        derivatives, x, t, w = self._given
        grad, hess = np.empty_like(x), np.empty_like(x)
        derivatives(x, t, w, grad, hess, -1.0)
        if derivatives.whole:
            p = softmax(x[0])
            matrix = np.outer(p, p if w is None else w * p)
            np.fill_diagonal(matrix, hess[0])
        else:
            matrix = np.diag(hess[0])
        return matrix.astype(dtype or x.dtype, copy=False)

    def __iter__(self) -> Iterator[Array]:
        return iter(np.asarray(self))

    def __len__(self) -> int:
        return int(self._given[1].shape[1])
