"""The weighted mean of a loss as the libraries' evaluation metric: lower is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastloss._arguments import Array
from fastloss.boosting._objectives import Adapter, unpacked
from fastloss.boosting._task import Task


class Metric(Adapter):
    """What the three have in common."""

    is_higher_better = False
    _class_major = False

    def __init__(self, loss: object, *, name: str | None = None, labels: str | None = None, **parameters: Any) -> None:
        common = {"name": name, "labels": labels}
        super().__init__(loss, **parameters, **{k: v for k, v in common.items() if v is not None})
        self._task = Task(loss, labels, parameters)
        self.__name__ = self._task.name if name is None else name

    def _mean(self, scores: object, labels: object, weight: object) -> float:
        x, t, w = self._task.arrays(scores, labels, weight, self._class_major)
        value: float = self._task.loss(x, t, sample_weight=w, **self._task.parameters)
        return value


class XGBoostMetric(Metric):
    """(name, value) for ``train``, the value alone for the scikit-learn interface."""

    _maker = "xgboost_metric"

    def __call__(self, labels: Any, predictions: Any, sample_weight: Any = None) -> float | tuple[str, float]:
        """The mean loss of raw scores; arguments as of an objective."""
        scores, target, weight, native = unpacked(labels, predictions, sample_weight)
        value = self._mean(scores, target, weight)
        return (self.__name__, value) if native else value


class LightGBMMetric(Metric):
    """(name, value, is_higher_better)."""

    _maker = "lightgbm_metric"
    _class_major = True

    def __call__(self, labels: Any, predictions: Any, sample_weight: Any = None) -> tuple[str, float, bool]:
        """The mean loss of raw scores; arguments as of an objective."""
        scores, target, weight, _ = unpacked(labels, predictions, sample_weight)
        return self.__name__, self._mean(scores, target, weight), self.is_higher_better


class CatBoostMetric(Metric):
    """Sums over ranges of rows, which CatBoost adds up before it asks for the mean."""

    _maker = "catboost_metric"
    no_jit = True

    def is_max_optimal(self) -> bool:
        """Whether higher is better."""
        return self.is_higher_better

    def evaluate(self, scores: Sequence[Array], labels: Array, weights: Array | None) -> tuple[float, float]:
        """(sum of the losses, sum of the weights) of a range; ``scores`` holds an array for each class."""
        stacked = scores[0] if len(scores) == 1 else np.stack(tuple(scores), axis=1)
        x, t, w = self._task.arrays(stacked, labels, weights, False)
        loss, parameters = self._task.loss, self._task.parameters
        counted = {k: v for k, v in parameters.items() if k in ("class_weight", "ignore_index")}
        total = loss(x, t, sample_weight=w, reduction="sum", **parameters)
        return total, loss.denominator(t, sample_weight=w, **counted)

    def get_final_error(self, error: float, weight: float) -> float:
        """The mean."""
        return error / weight if weight else math.nan
