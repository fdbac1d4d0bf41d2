"""First and second derivatives of a task, by the convention that was asked for.

A round of boosting calls this with the same loss again and again, CatBoost even for every row by itself. So where
nothing unusual is asked the kernel's driver is called directly, which takes the sign, the weights and outputs of any
layout in the same pass; all else, errors among it, goes through the loss's public entry point.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastloss import _arguments as arguments
from fastloss import _core, _layout, _row_arguments, _rowwise, _settings
from fastloss._arguments import Array
from fastloss.boosting._task import Task


class Rule(NamedTuple):
    """What a Hessian is made of, for weight 1: ``max(factor * second derivative, floor)``.

    ``kind`` is "exact" for that, "ones" for 1 everywhere, "slope" for the gradient's absolute value.
    """

    kind: str = "exact"
    factor: float = 1.0
    floor: float = 0.0


EXACT, ONES = Rule(), Rule("ones")
# What poisson objectives multiply their Hessian by: e^max_delta_step, which both libraries set to 0.7.
POISSON = Rule(factor=math.exp(0.7))

# The Hessians of the libraries' own objectives. A factor of 0 stands for K / (K - 1), K being the number of classes.
CONVENTIONS = {
    "xgboost": {
        "half_mse_loss": EXACT,
        "pseudo_huber_loss": EXACT,
        "gamma_nll_loss": EXACT,
        "tweedie_loss": EXACT,
        "l1_loss": ONES,
        "quantile_loss": ONES,
        "poisson_nll_loss": POISSON,
        "binary_cross_entropy_with_logits": Rule(floor=1e-16),
        "hinge_loss": Rule("slope", floor=float(np.finfo(np.float32).tiny)),
        "cross_entropy": Rule(factor=2.0, floor=1e-16),
    },
    "lightgbm": {
        "half_mse_loss": EXACT,
        "gamma_nll_loss": EXACT,
        "tweedie_loss": EXACT,
        "binary_cross_entropy_with_logits": EXACT,
        "l1_loss": ONES,
        "quantile_loss": ONES,
        "huber_loss": ONES,
        "poisson_nll_loss": POISSON,
        "cross_entropy": Rule(factor=0.0),
    },
}

# Piecewise linear: no tree grows on a Hessian that is 0, so theirs is 1 everywhere (gradient boosting of first order).
LINEAR = ("l1_loss", "quantile_loss", "hinge_loss", "multiclass_hinge_loss")

# The only losses whose second derivative can be negative (cross_entropy with these options alone).
NOT_CONVEX = ("focal_loss", "poly_loss", "tweedie_loss", "softmax_focal_loss", "poly_cross_entropy")
NOT_CONVEX_WITH = ("logit_softcap", "z_loss")


class Derivatives:
    """Writes gradients and Hessians of raw scores; weights are in both, the sum over rows is not divided."""

    def __init__(self, task: Task, hessian: object, hessian_floor: object) -> None:
        self.task = task
        self.rule = _rule(task, hessian)
        self.floor = self.rule.floor
        if hessian_floor is not None:
            self.floor = arguments.non_negative(hessian_floor, "hessian_floor")
        convex = task.name not in NOT_CONVEX and not any(task.values.get(k) for k in NOT_CONVEX_WITH)
        self.clamps = self.floor > 0 or not convex
        # CatBoost can use the matrix; of its formula this much is known here.
        self.whole = task.name == "cross_entropy" and not task.parameters and self.rule == EXACT and not self.floor
        self._prepared: dict[Any, Any] = {}

    def __call__(self, x: Array, t: Array, w: Array | None, grad: Array, hess: Array | None, sign: float = 1.0) -> None:
        """Fill ``grad`` and, unless it is None, ``hess``: the scores' shape and type, times ``sign`` (1 or -1)."""
        exact = self.rule.kind == "exact" and hess is not None
        if not self._direct(x, t, w, grad, hess if exact else None, sign):
            self._public(x, t, w, grad, hess if exact else None, sign)
        if hess is None:
            return
        weight = None if w is None else w[:, None] if w.ndim < x.ndim else w
        if self.rule.kind == "ones":
            hess[...] = sign if weight is None else sign * weight
        else:
            if self.rule.kind == "slope":
                np.multiply(np.abs(grad), sign, out=hess)
            factor = self.rule.factor or x.shape[-1] / (x.shape[-1] - 1)
            if factor != 1.0:
                hess *= factor
            if self.clamps:
                bound = sign * self.floor if weight is None else sign * self.floor * weight
                (np.maximum if sign > 0 else np.minimum)(hess, bound, out=hess)
        ignored = self.task.values.get("ignore_index")
        if ignored is not None and (self.rule.kind == "ones" or self.floor) and t.ndim == 1:
            hess[t == ignored] = 0

    def _public(self, x: Array, t: Array, w: Array | None, grad: Array, hess: Array | None, sign: float) -> None:
        task = self.task
        given = {**task.parameters, "reduction": "sum", "sample_weight": w, "grad_output": sign, "grad_out": grad}
        try:
            if hess is None:
                task.loss.value_and_grad(x, t, **given)
            else:
                task.loss.value_grad_hess(x, t, hess_out=hess, **given)
        except ValueError as error:
            if task.labels is None and not task.rowwise and task.loss._target_hint and "target" in str(error):
                raise ValueError(f"{error}, which labels='zero-one' does") from None
            raise

    def _direct(self, x: Array, t: Array, w: Array | None, grad: Array, hess: Array | None, sign: float) -> bool:
        """Whether the driver could do it."""
        if _settings.get_backend() != "native" or not x.size or not x.flags.aligned or not t.flags.aligned:
            return False
        return (self._rows if self.task.rowwise else self._elements)(x, t, w, grad, hess, sign)

    def _elements(self, x: Array, t: Array, w: Array | None, grad: Array, hess: Array | None, sign: float) -> bool:
        task, loss, is_double = self.task, self.task.loss, x.dtype.itemsize == 8
        aux = task.values[loss._array_parameter] if loss._array_parameter else None
        if (aux is not None and np.ndim(aux)) or (w is not None and not _core.weight_total(w, is_double)[0]):
            return False
        if is_double not in self._prepared:
            for name, value in task.checked().items():
                arguments.representable(value, name, x.dtype)
            factor = 1.0 if aux is None else arguments.non_negative(aux, loss._array_parameter)
            self._prepared[is_double] = task.numbers(), factor
        numbers, factor = self._prepared[is_double]
        if w is not None and w.shape != x.shape:
            w = np.broadcast_to(w, x.shape)
        status, _ = loss._kernel.run(
            is_double, numbers, factor, sign, [x, t, None, w, None], [None, grad, hess], False, False
        )  # fmt: skip
        return not status

    def _rows(self, x: Array, t: Array, w: Array | None, grad: Array, hess: Array | None, sign: float) -> bool:
        task, loss, real, classes = self.task, self.task.loss, x.dtype, x.shape[1]
        if t.ndim != 1:
            return False
        ignored = task.values["ignore_index"]
        if (real, classes) not in self._prepared:
            by_class = task.values["class_weight"]
            if by_class is not None:
                by_class = _row_arguments.per_class(by_class, "class_weight", classes, real)
            self._prepared[real, classes] = loss._prepare(task.values, real, classes), by_class
        own, by_class = self._prepared[real, classes]
        labels = t[:, None]
        bad_label, bad_weight, _ = _core.check_labels(labels, classes, ignored, None, w, real.itemsize == 8)
        if bad_label >= 0 or bad_weight >= 0:
            return False
        loss._run(own, _rowwise.RowCall(
            _layout.rows_view(x, 1), labels, False, by_class, ignored, w, None, sign,
            grad[:, :, None], None if hess is None else hess[:, :, None], None,
        ))  # fmt: skip
        return True


def _rule(task: Task, hessian: object) -> Rule:
    """The rule of a convention's name for a loss."""
    if hessian == "ones":
        return ONES
    if hessian == "exact":
        linear = task.name in LINEAR or (task.name == "smooth_l1_loss" and task.values["beta"] == 0)
        return ONES if linear else EXACT
    if not isinstance(hessian, str) or hessian not in CONVENTIONS:
        raise ValueError(f"hessian = {hessian!r} is unknown; expected 'exact', 'ones', 'xgboost' or 'lightgbm'")
    known = CONVENTIONS[hessian]
    if task.name not in known:
        raise ValueError(f"hessian = {hessian!r}: that library has no {task.name} of its own, only {', '.join(known)}; "
                         "use 'exact' or 'ones'")  # fmt: skip
    return known[task.name]
