"""The best constant to start boosting from: in closed form where there is one, else by Newton's method.

Built-in objectives start there by themselves, custom ones at 0, which is why their results differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss._arguments import Array
from fastloss.boosting._task import Task

# The least probability of a class, as in LightGBM: one that never occurs starts at a finite score.
LEAST = 1e-15


def start(task: Task, labels: object, weight: object, n_classes: int | None) -> float | Array:
    """The constant score, or one for each class, that minimises the weighted loss of the labels."""
    t = arguments.as_array(labels, "labels")
    if t.size == 0:
        raise ValueError("there are no labels")
    if not task.rowwise:
        if t.ndim == 2:
            return np.array([start(task, column, weight, None) for column in t.T])
        x, t, w = task.arrays(np.zeros(t.shape), t, weight, False)
        task.loss(x, t, sample_weight=w, **task.parameters)  # says what is wrong with labels or weights
        w = np.ones(t.shape) if w is None else w.astype(np.float64)
        if not w.any():
            raise ValueError("all sample weights are 0")
        return _score(task, t.astype(np.float64), w)
    if t.ndim != 2:
        n_classes = int(np.max(t)) + 1 if n_classes is None else n_classes
    x, t, w = task.arrays(np.zeros((len(t), n_classes or t.shape[1])), t, weight, False)
    task.loss(x, t, sample_weight=w, **task.parameters)
    w = np.ones(len(t)) if w is None else w.astype(np.float64)
    live = np.full(len(t), True) if t.ndim == 2 else t != task.values["ignore_index"]
    if not w[live].any():
        raise ValueError("all rows are ignored or have weight 0")
    if t.ndim == 2:
        return _scores(task, t.astype(np.float64), w)
    # Rows of one class have one loss: a row for each class that occurs, weighted with all of its rows.
    found, where = np.unique(t[live], return_inverse=True)
    return _scores(task, found, np.bincount(where, w[live], len(found)), x.shape[1])


def _odds(positive: float, negative: float) -> float:
    share = min(max(positive / (positive + negative), LEAST), 1 - LEAST)
    return math.log(share / (1 - share))


def _quantile(t: Array, w: Array, q: float) -> float:
    """The least target with at least the share q of the weight at or below it; where the share is q, the middle."""
    order = np.argsort(t)
    below = np.cumsum(w[order])
    k = int(np.searchsorted(below, q * below[-1]))
    exact = below[k] == q * below[-1] and k + 1 < len(order)
    return float((t[order[k]] + t[order[k + 1]]) / 2 if exact else t[order[k]])


def _mean(t: Array, w: Array) -> float:
    return float(np.average(t, weights=w))


def _log_mean(t: Array, w: Array) -> float:
    return math.log(max(_mean(t, w), LEAST))


def _binary(t: Array, w: Array, pos_weight: Any = None) -> float:
    return _odds(float(w @ t) * (1.0 if pos_weight is None else float(pos_weight)), float(w @ (1 - t)))


# The minimum over constants, from targets and weights.
CLOSED: dict[str, Callable[..., float]] = {
    "mse_loss": _mean,
    "half_mse_loss": _mean,
    "l1_loss": lambda t, w: _quantile(t, w, 0.5),
    "quantile_loss": lambda t, w, quantile=0.5: _quantile(t, w, quantile),
    "poisson_nll_loss": lambda t, w, **_: _log_mean(t, w),
    "gamma_nll_loss": _log_mean,
    "tweedie_loss": lambda t, w, **_: _log_mean(t, w),
    "binary_cross_entropy_with_logits": _binary,
    "soft_margin_loss": lambda t, w: _binary((t + 1) / 2, w),
    "exponential_loss": lambda t, w: _binary(t, w) / 2,
}


def _score(task: Task, t: Array, w: Array) -> float:
    """The best constant score of a pointwise loss."""
    if task.name in CLOSED and not any(np.ndim(v) for v in task.parameters.values()):
        return CLOSED[task.name](t, w, **task.parameters)

    def derivatives(c: float) -> tuple[float, float]:
        _, g, h = task.loss.value_grad_hess(
            np.full(t.shape, c), t, sample_weight=w, reduction="mean", **task.parameters
        )
        return math.fsum(g), math.fsum(h)

    # Where the gradient turns from - to +: between the targets, or as far as probabilities of LEAST.
    limit = -math.log(LEAST)
    scores = task.loss._domains(task.numbers())[1] in ("unit interval", "sign")
    low, high = (-limit, limit) if scores else (float(t.min()), float(t.max()))
    c = 0.0 if scores else _quantile(t, w, 0.5)
    if derivatives(low)[0] >= 0:
        return low
    if derivatives(high)[0] <= 0:
        return high
    for _ in range(200):
        g, h = derivatives(c)
        low, high = (c, high) if g < 0 else (low, c)
        step = c - g / h if h > 0 else math.nan
        new = step if low < step < high else (low + high) / 2
        if g == 0 or abs(new - c) <= 1e-14 * max(1.0, abs(c)):
            break
        c = new
    return c


def _scores(task: Task, t: Array, w: Array, n_classes: int | None = None) -> Array:
    """The best constant scores of a row loss, for rows of class indices or of probabilities."""
    values = task.values
    classes = t.shape[1] if n_classes is None else n_classes
    counted = w if values.get("class_weight") is None or t.ndim == 2 else w * np.asarray(values["class_weight"])[t]
    onehot = t if t.ndim == 2 else np.eye(classes)[t]
    smoothing = values.get("label_smoothing", 0.0)
    total = counted @ ((1 - smoothing) * onehot + smoothing / classes * onehot.sum(axis=1, keepdims=True))
    c: Array = np.log(np.maximum(total / total.sum(), LEAST)) * values.get("temperature", 1.0)
    plain = task.name == "cross_entropy" and not values["logit_softcap"] and not values["z_loss"]
    plain &= t.ndim == 1 or values.get("class_weight") is None
    if plain or task.name == "kl_divergence":
        return c

    def evaluate(c: Array, entry: str) -> Any:
        x = np.tile(c, (len(t), 1))
        return getattr(task.loss, entry)(x, t, sample_weight=w, reduction="sum", **task.parameters)

    # Newton's method with the diagonal Hessian, halved until the loss falls; shares of 1e-15 stay where they are.
    if not hasattr(task.loss, "value_grad_hess"):
        return c
    scale = float(w.sum())
    for _ in range(500):
        value, g, h = evaluate(c, "value_grad_hess")
        g, h = g.sum(axis=0), h.sum(axis=0)
        if np.abs(g).max() <= 1e-12 * scale:
            break
        step = g / np.maximum(h, np.maximum(np.abs(g) / 2, 1e-12 * scale))
        while (value_there := evaluate(c - step, "__call__")) > value and np.abs(step).max() > 1e-15:
            step /= 2
        if value_there >= value:
            break
        c = c - step
    return c
