"""What the libraries call: objectives with both calling conventions, made of a task and its derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastloss import _core
from fastloss._arguments import Array
from fastloss.boosting._derivatives import Derivatives
from fastloss.boosting._task import Task


class Adapter:
    """The base of objectives and metrics: remembers how it was made, so that it prints, copies and pickles."""

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

    def __deepcopy__(self, memo: object) -> Adapter:
        return self  # never changes; and CatBoost's estimators can be cloned only if what they are given copies so


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
        if x.flags.c_contiguous:
            grad, hess = (_core.new_array(x.shape, x.dtype) for _ in range(2))
        else:
            grad, hess = (np.empty_like(x, subok=False) for _ in range(2))
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
        """(K,) and (K, K): the derivatives of one row of several classes. Called for every row, so without detours."""
        derivatives = self._derivatives
        x = np.asarray(scores, np.float64)[None]
        if derivatives.task.rowwise and x.shape[1] > 1 and isinstance(label, int | float) and float(label).is_integer():
            t, w = np.array([int(label)]), None if weight == 1 else np.array([float(weight)])
        else:
            x, t, w = derivatives.task.arrays(x, np.atleast_1d(label), [weight], False)
        grad, hess = np.empty_like(x), np.empty_like(x)
        derivatives(x, t, w, grad, hess, -1.0)
        return grad[0], Hessian(grad[0], hess[0], int(t[0]) if derivatives.whole else -1, weight)


class Hessian:
    """The matrix of one row's second derivatives, made when its rows are asked for.

    CatBoost asks for derivatives twice a tree, but looks at the matrix only for Newton's leaf values. It is diagonal,
    or, where the label is not -1, that of plain cross-entropy, w (p p' - diag p), whose gradient is w (onehot - p).
    """

    def __init__(self, grad: Array, hess: Array, label: int, weight: float) -> None:
        self._given = grad, hess, label, weight

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        grad, hess, label, weight = self._given
        if label < 0 or not weight:
            return np.diag(hess)
        p = -grad
        p[label] += weight
        matrix = np.outer(p, p / weight)
        matrix.flat[:: len(p) + 1] = hess
        return matrix

    def __iter__(self) -> Iterator[Array]:
        return iter(self.__array__())

    def __len__(self) -> int:
        return len(self._given[0])
