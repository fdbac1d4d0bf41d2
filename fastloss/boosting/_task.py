"""A loss as boosting sees it: raw scores, labels and weights as the libraries hand them over, checked, in one shape.

Not here: derivatives (``_derivatives.py``) and what the libraries call (``_objectives.py``, ``_metrics.py``).
"""

from __future__ import annotations

import difflib
import inspect
from typing import Any

import numpy as np

import fastloss
from fastloss import _arguments as arguments
from fastloss import _row_arguments
from fastloss._arguments import Array
from fastloss._loss import Loss

# Losses of probabilities, and what is the same for raw scores.
_OF_SCORES = {
    "binary_cross_entropy": "binary_cross_entropy_with_logits",
    "balanced_cross_entropy": "binary_cross_entropy_with_logits with pos_weight",
    "categorical_cross_entropy": "cross_entropy",
    "sparse_categorical_cross_entropy": "cross_entropy",
    "kl_divergence": "kl_divergence with from_logits=True",
    "poisson_nll_loss": "poisson_nll_loss with log_input=True",
}


class Task:
    """A loss with its parameters, and how labels of two classes are written.

    Parameters
    ----------
    loss
        A pointwise or row loss of fastloss, or its name.
    labels
        None, ``"zero-one"`` or ``"sign"``.
    parameters
        The loss's own keywords but ``axis``.
    """

    def __init__(self, loss: object, labels: object, parameters: dict[str, Any]) -> None:
        self.loss = find(loss)
        self.name = self.loss.__name__
        self.rowwise = self.loss.kind == "rowwise"
        known = [p for p in self.loss._parameter_names if p != "axis"]
        for name in parameters:
            if name not in known:
                raise TypeError(f"{self.name} has no parameter {name!r}; it has {', '.join(known) or 'none'}")
        self.parameters = dict(parameters)
        given = inspect.signature(self.loss.__call__).parameters
        self.values = {k: parameters.get(k, given[k].default) for k in self.loss._parameter_names}
        if self._domain() != "any":
            what = "means" if self.name == "poisson_nll_loss" else "probabilities"
            raise ValueError(f"{self.name} is a loss of {what}, but trees add up raw scores: "
                             f"use {_OF_SCORES[self.name]}")  # fmt: skip
        if labels not in (None, "zero-one", "sign"):
            raise ValueError(f"labels = {labels!r} is unknown; expected None, 'zero-one' or 'sign'")
        if labels is not None and (self.rowwise or self._target_domain() not in ("sign", "unit interval")):
            raise ValueError(f"labels = {labels!r} is for losses of two classes; {self.name} is none")
        self.labels = labels
        takes = {"sign": "sign", "unit interval": "zero-one"}
        self.converts = labels is not None and labels != takes[self._target_domain()]

    def _domain(self) -> str:
        """What predictions may be; the parameters are checked on the way."""
        if self.rowwise:
            sizes = [np.size(v) for k, v in self.values.items() if k in ("class_weight", "alpha") and np.ndim(v) == 1]
            if self.values.get("class_weight") is not None:
                _row_arguments.per_class(self.values["class_weight"], "class_weight", None, np.dtype(np.float64))
            self.loss._prepare(self.values, np.dtype(np.float64), sizes[0] if sizes else 2)
            domain: str = self.loss._row_domains(self.values)[0]
            return domain
        domain = self.loss._domains(self.numbers())[0]
        return domain

    def _target_domain(self) -> str:
        if self.rowwise:
            return "any"
        domain: str = self.loss._domains(self.numbers())[1]
        return domain

    def checked(self) -> dict[str, Any]:
        """The scalar parameters of a pointwise loss, checked."""
        skip = 1 if self.loss._array_parameter else 0
        checked: dict[str, Any] = self.loss._check(tuple(self.values.values())[skip:])
        return checked

    def numbers(self) -> tuple[float, ...]:
        """What the kernel of a pointwise loss takes for its parameters."""
        numbers: tuple[float, ...] = self.loss._numbers(*self.checked().values())
        return numbers

    @property
    def soft(self) -> bool:
        """Whether targets can be nothing but probabilities of classes."""
        return self.rowwise and bool(self.loss._targets == "probabilities")

    def arrays(self, scores: object, labels: object, weight: object, class_major: bool) -> tuple[Array, Array, Any]:
        """Scores as the loss takes them (a view where they are flat), its target, its weights.

        ``class_major`` says how flat scores of several classes lie.
        """
        x = arguments.as_array(scores, "predictions")
        if x.dtype.kind != "f":
            x = x.astype(np.float64)
        if labels is None:
            raise ValueError("the data have no labels")
        t = arguments.as_array(labels, "labels")
        w = None if weight is None else arguments.as_array(weight, "sample_weight")
        if w is not None and w.size == 0 and x.size:
            w = None  # XGBoost's way to say that there are none
        if self.rowwise:
            x, t = self._rows(x, t, class_major)
        elif t.shape != x.shape:
            if t.size != x.size:
                raise ValueError(f"predictions have shape {x.shape} but labels have shape {t.shape}: {self.name} takes "
                                 "one label a score; for several classes use cross_entropy, say")  # fmt: skip
            t = t.reshape(x.shape)
        if w is not None and w.shape != x.shape[:1]:
            raise ValueError(f"sample_weight has shape {w.shape}; expected {x.shape[:1]}, one weight a row")
        if w is not None and not self.rowwise and x.ndim == 2:
            w = w[:, None]
        return x, self._converted(t) if self.converts else t, w

    def _rows(self, x: Array, t: Array, class_major: bool) -> tuple[Array, Array]:
        """Scores (n, K), and class indices (n,) or probabilities (n, K)."""
        if x.ndim == 1 and (t.size == 0 or x.size % len(t) or x.size == len(t)):
            raise ValueError(f"predictions have shape {x.shape} for {len(t)} rows: {self.name} takes several scores a "
                             "row; tell the library the number of classes (num_class, classes_count)")  # fmt: skip
        if x.ndim == 1:
            n = len(t)
            x = x.reshape(-1, n).T if class_major else x.reshape(n, -1)
        if x.ndim != 2 or x.shape[1] < 2:
            raise ValueError(
                f"predictions have shape {x.shape}; {self.name} takes (rows, classes), two classes or more"
            )
        if self.soft or (self.loss._targets == "either" and t.size == x.size and x.shape[1] > 1):
            if t.size != x.size:
                raise ValueError(f"labels have shape {t.shape}; {self.name} takes probabilities of shape {x.shape}")
            return x, t.reshape(x.shape)
        if t.size != len(x):
            raise ValueError(f"labels have shape {t.shape}; expected one class index a row, {len(x)}")
        return x, classes(t.reshape(-1))

    def _converted(self, t: Array) -> Array:
        """Labels 0 and 1 as -1 and +1, or the other way round."""
        zero_one = self.labels == "zero-one"
        good = (t == 0) | (t == 1) if zero_one else np.abs(t) == 1
        if not good.all():
            flat = int(np.argmin(good))
            raise ValueError(f"labels{arguments.element(t, flat)} = {t.reshape(-1)[flat]} is out of range; "
                             f"expected {'0 or 1' if zero_one else '-1 or +1'} as labels={self.labels!r} "
                             "says")  # fmt: skip
        t = t.astype(np.float32)
        return 2 * t - 1 if zero_one else (t + 1) / 2


def find(loss: object) -> Any:
    """The loss of a name, or what was given, if boosting can use it."""
    if isinstance(loss, str):
        names = [name for name in fastloss.__all__ if isinstance(getattr(fastloss, name), Loss)]
        if loss not in names:
            near = difflib.get_close_matches(loss, names, 1) or difflib.get_close_matches(f"{loss}_loss", names, 1)
            raise ValueError(f"loss = {loss!r} is unknown{f'; did you mean {near[0]!r}?' if near else ''}")
        loss = getattr(fastloss, loss)
    if not isinstance(loss, Loss):
        raise TypeError(f"loss is a {type(loss).__name__}; expected a loss of fastloss or its name")
    if loss.kind == "several":
        raise ValueError(f"{loss!r} is a loss of several arrays; boosting takes losses of scores and labels")
    return loss


def classes(t: Array) -> Array:
    """Class indices of any real type as integers, by value."""
    if t.dtype.kind in "iu":
        return t
    with np.errstate(invalid="ignore"):
        whole = t.astype(np.int64)
    good = whole == t
    if not good.all():
        k = int(np.argmin(good))
        raise ValueError(f"labels[{k}] = {t[k]} is not a class index; expected a whole number")
    return whole
