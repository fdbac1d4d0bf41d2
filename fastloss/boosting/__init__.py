"""fastloss in gradient boosting: exact objectives, metrics and starting scores for XGBoost, LightGBM and CatBoost.

>>> from fastloss import boosting
>>> objective = boosting.xgboost_objective("focal_loss", gamma=2.0, alpha=0.25)

``xgboost.train(..., obj=objective)`` and ``XGBClassifier(objective=objective)`` take it; nothing here imports a
boosting library. The objectives take raw scores (margins, logits, logarithms of means), never probabilities, are
picklable, and work in ``clone``, ``GridSearchCV`` and worker processes.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from fastloss._loss import Loss
from fastloss.boosting._metrics import CatBoostMetric, LightGBMMetric, XGBoostMetric
from fastloss.boosting._objectives import CatBoostObjective, LightGBMObjective, XGBoostObjective
from fastloss.boosting._start import start
from fastloss.boosting._task import Task

__all__ = [
    "catboost_metric",
    "catboost_objective",
    "init_score",
    "lightgbm_metric",
    "lightgbm_objective",
    "xgboost_metric",
    "xgboost_objective",
]


def xgboost_objective(
    loss: Loss | str,
    *,
    hessian: str = "exact",
    hessian_floor: float | None = None,
    labels: str | None = None,
    **parameters: Any,
) -> XGBoostObjective:
    r"""A loss as an objective of XGBoost.

    .. math:: g_i = w_i \frac{\partial \ell_i}{\partial x_i}, \qquad
              h_i = w_i \max\Bigl(\kappa \frac{\partial^2 \ell_i}{\partial x_i^2}, \text{floor}\Bigr)

    with the raw scores x and the sample weights w; nothing is divided by their number.

    Parameters
    ----------
    loss : fastloss loss or str
        A loss of scores and targets of one shape (regression, two classes, several labels), or of rows of classes;
        itself or its name. Losses of probabilities raise: trees add up raw scores.
    hessian : {"exact", "ones", "xgboost", "lightgbm"}
        "exact" is the second derivative; for losses that have none, being piecewise linear (``l1_loss``,
        ``quantile_loss``, ``hinge_loss``, ``multiclass_hinge_loss``), it is 1. "ones" is that for any loss. The
        libraries' names are what their own objective of this loss does: XGBoost doubles the Hessian of a softmax and
        never goes below 1e-16, LightGBM multiplies it by K / (K - 1) and takes 1 for Huber's; both multiply that of
        Poisson by exp(0.7). A loss that the library hasn't got raises.
    hessian_floor : float, optional
        What no Hessian is below, >= 0, times the sample weight; by default the convention's own, for "exact" 0, so
        that concave parts (of ``focal_loss``, say) count 0.
    labels : {None, "zero-one", "sign"}
        How two classes are written in the data: as the loss takes them (None), as 0 and 1, or as -1 and +1. Needed
        for hinge losses of data labelled 0 and 1.
    **parameters
        The loss's own keywords: ``gamma``, ``delta``, ``class_weight``, ``ignore_index`` ...

    Returns
    -------
    XGBoostObjective
        To be called with ``(scores, data)`` or ``(labels, scores, sample_weight)``: gradient and Hessian of the
        scores' shape, (n,) or (n, K), and type. For ``xgboost.train(obj=...)`` and the estimators' ``objective``.

    Raises
    ------
    TypeError, ValueError
        For an unknown loss, keyword or convention; when called, for labels outside the loss's domain and for shapes
        that don't fit.

    Notes
    -----
    Hessians are diagonal: for several classes the libraries know no more. Custom objectives start at score 0.5
    (``base_score``) or 0, where the built-in ones begin with the best constant: see :func:`init_score`.

    Examples
    --------
    >>> from fastloss import boosting
    >>> objective = boosting.xgboost_objective("huber_loss", delta=2.0)
    >>> grad, hess = objective([0.0, 0.0], [1.0, 5.0])  # labels, scores
    >>> grad.tolist(), hess.tolist()
    ([1.0, 2.0], [1.0, 0.0])
    """
    return XGBoostObjective(loss, hessian=hessian, hessian_floor=hessian_floor, labels=labels, **parameters)


def lightgbm_objective(
    loss: Loss | str,
    *,
    hessian: str = "exact",
    hessian_floor: float | None = None,
    labels: str | None = None,
    **parameters: Any,
) -> LightGBMObjective:
    """A loss as an objective of LightGBM.

    Parameters
    ----------
    loss, hessian, hessian_floor, labels, **parameters
        As for :func:`xgboost_objective`.

    Returns
    -------
    LightGBMObjective
        To be called with ``(scores, data)`` or ``(labels, scores, weight)``: gradient and Hessian of the scores'
        shape and order in memory, so that LightGBM copies nothing: (n,), (n, K) class by class, or flat class by
        class. For ``params["objective"]`` of ``lightgbm.train`` and the estimators' ``objective``.

    Notes
    -----
    LightGBM's own ``l1``, ``quantile`` and ``huber`` objectives may set leaf values anew after a tree is grown (to a
    median, say), which no custom objective can.

    Examples
    --------
    >>> from fastloss import boosting
    >>> objective = boosting.lightgbm_objective("cross_entropy", hessian="lightgbm")
    >>> grad, hess = objective([0, 1], [0.0, 0.0, 0.0, 0.0])  # two rows of two classes, class by class
    >>> grad.tolist(), hess.tolist()
    ([-0.5, 0.5, 0.5, -0.5], [0.5, 0.5, 0.5, 0.5])
    """
    return LightGBMObjective(loss, hessian=hessian, hessian_floor=hessian_floor, labels=labels, **parameters)


def catboost_objective(
    loss: Loss | str,
    *,
    hessian: str = "exact",
    hessian_floor: float | None = None,
    labels: str | None = None,
    **parameters: Any,
) -> CatBoostObjective:
    """A loss as an objective of CatBoost, which maximises: all derivatives have the other sign.

    Parameters
    ----------
    loss, hessian, hessian_floor, labels, **parameters
        As for :func:`xgboost_objective`.

    Returns
    -------
    CatBoostObjective
        With ``calc_ders_range`` for one score a row and ``calc_ders_multi`` for several classes. For the estimators'
        ``loss_function``; CatBoost wants an ``eval_metric`` with it (:func:`catboost_metric`).

    Notes
    -----
    CatBoost asks for several classes row by row, so that the calls cost more than the arithmetic. It takes a whole
    matrix of second derivatives there, and gets it for plain ``cross_entropy``; for other losses of rows it gets the
    diagonal, for which ``leaf_estimation_method="Gradient"`` may be the better choice.

    Examples
    --------
    >>> import numpy as np
    >>> from fastloss import boosting
    >>> objective = boosting.catboost_objective("binary_cross_entropy_with_logits")
    >>> objective.calc_ders_range(np.array([0.0]), np.array([1.0]), None).tolist()
    [[0.5, -0.25]]
    """
    return CatBoostObjective(loss, hessian=hessian, hessian_floor=hessian_floor, labels=labels, **parameters)


def xgboost_metric(
    loss: Loss | str, *, name: str | None = None, labels: str | None = None, **parameters: Any
) -> XGBoostMetric:
    """The weighted mean of a loss as an evaluation metric of XGBoost; lower is better.

    Parameters
    ----------
    loss, labels, **parameters
        As for :func:`xgboost_objective`.
    name : str, optional
        What the metric is called in logs; by default the loss's name.

    Returns
    -------
    XGBoostMetric
        For ``xgboost.train(custom_metric=...)`` and the estimators' ``eval_metric``, together with an objective of
        this module: with a built-in one XGBoost passes probabilities to metrics, not raw scores.

    Examples
    --------
    >>> from fastloss import boosting
    >>> boosting.xgboost_metric("l1_loss")([1.0, 2.0], [1.0, 3.0])
    0.5
    """
    return XGBoostMetric(loss, name=name, labels=labels, **parameters)


def lightgbm_metric(
    loss: Loss | str, *, name: str | None = None, labels: str | None = None, **parameters: Any
) -> LightGBMMetric:
    """The weighted mean of a loss as an evaluation metric of LightGBM; lower is better.

    Parameters
    ----------
    loss, name, labels, **parameters
        As for :func:`xgboost_metric`.

    Returns
    -------
    LightGBMMetric
        For ``lightgbm.train(feval=...)`` and ``fit(eval_metric=...)``, together with an objective of this module.

    Examples
    --------
    >>> from fastloss import boosting
    >>> boosting.lightgbm_metric("l1_loss", name="mae")([1.0, 2.0], [1.0, 3.0])  # name, value, is_higher_better
    ('mae', 0.5, False)
    """
    return LightGBMMetric(loss, name=name, labels=labels, **parameters)


def catboost_metric(
    loss: Loss | str, *, name: str | None = None, labels: str | None = None, **parameters: Any
) -> CatBoostMetric:
    """The weighted mean of a loss as an evaluation metric of CatBoost; lower is better.

    Parameters
    ----------
    loss, name, labels, **parameters
        As for :func:`xgboost_metric`.

    Returns
    -------
    CatBoostMetric
        For the estimators' ``eval_metric``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastloss import boosting
    >>> metric = boosting.catboost_metric("l1_loss")
    >>> metric.get_final_error(*metric.evaluate([np.array([1.0, 3.0])], np.array([1.0, 2.0]), None))
    0.5
    """
    return CatBoostMetric(loss, name=name, labels=labels, **parameters)


def init_score(
    loss: Loss | str,
    target: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    n_classes: int | None = None,
    labels: str | None = None,
    **parameters: Any,
) -> float | NDArray[Any]:
    """The constant raw score with the least loss, where built-in objectives start and custom ones don't.

    Parameters
    ----------
    loss, labels, **parameters
        As for :func:`xgboost_objective`.
    target : array_like
        The training labels, (n,); (n, L) for several targets of a row, or probabilities (n, K).
    sample_weight : array_like, optional
        (n,), finite, >= 0.
    n_classes : int, optional
        K for losses of rows; by default the largest label plus 1.

    Returns
    -------
    float or ndarray
        For losses of rows (K,), for (n, L) targets (L,). Means, medians, quantiles, log-odds and logarithms of means
        or frequencies where they are the minimum, else found by Newton's method. A class that never occurs gets the
        probability 1e-15, as in LightGBM.

    Notes
    -----
    XGBoost: ``DMatrix(X, y, base_margin=np.full(n, score))``, for prediction too, or ``base_score`` with
    ``xgboost.train(obj=...)``. LightGBM: ``Dataset(X, y, init_score=np.full(n, score))``; predictions leave it out,
    so add it. CatBoost: ``Pool(X, y, baseline=np.full(n, score))``. For several classes ``np.tile(score, (n, 1))``.

    Examples
    --------
    >>> from fastloss import boosting
    >>> boosting.init_score("quantile_loss", [1.0, 2.0, 3.0, 4.0, 50.0], quantile=0.5)
    3.0
    >>> boosting.init_score("cross_entropy", [0, 1, 1, 1]).round(4).tolist()
    [-1.3863, -0.2877]
    """
    return start(Task(loss, labels, parameters), target, sample_weight, n_classes)
