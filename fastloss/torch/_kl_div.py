"""Kullback-Leibler divergence of logarithms of probabilities, which is what torch's kl_div takes.

fastloss itself has no loss of log-probabilities (``kl_divergence`` takes probabilities or logits). The formula has no
transcendental function of the prediction, so NumPy does it; the object behaves as a loss object does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss._arguments import Array


def _weights_and_terms(x: Array, t: Array, log_target: bool) -> tuple[Array, Array]:
    """The probabilities p and p (log p - x); what has probability 0 costs 0, also where x is -inf."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        p, log_p = (np.exp(t), t) if log_target else (t, np.log(t))
        terms = p * (log_p - x)
    terms[p == 0] = 0
    return p, terms


class KLDiv:
    """The loss object: elementwise, of log-probabilities x and probabilities t (or, log_target, their logarithms)."""

    __name__ = "kl_div"
    arrays = ("input", "target")
    kind = "pointwise"
    _parameter_names = ("log_target",)
    _short = None

    def __call__(self, x: Any, t: Any, *, log_target: bool, reduction: str, denominator: float | None = None) -> Any:
        """The value."""
        return self._evaluate(x, t, log_target, reduction, denominator, None, False)[0]

    def value_and_grad(
        self,
        x: Any,
        t: Any,
        *,
        log_target: bool,
        reduction: str,
        denominator: float | None = None,
        grad_output: Array | None = None,
    ) -> Any:
        """The value and the derivative by x."""
        return self._evaluate(x, t, log_target, reduction, denominator, grad_output, True)

    def _evaluate(
        self,
        x: Any,
        t: Any,
        log_target: bool,
        reduction: str,
        denominator: float | None,
        grad_output: Array | None,
        gradient: bool,
    ) -> Any:
        arguments.check_reduction(reduction)
        prediction = arguments.as_array(x, "input")  # half precision in float32
        if prediction.dtype.kind != "f":
            prediction = prediction.astype(np.float64)
        result_type = prediction.dtype if x.dtype.kind in "iub" else x.dtype
        target = arguments.as_array(t, "target")
        arguments.same_shape(target, "target", prediction, "input")
        p, terms = _weights_and_terms(prediction, target.astype(prediction.dtype), log_target)
        count = denominator or prediction.size
        value: Any = terms.astype(result_type, copy=False)
        if reduction != "none":
            value = float(terms.sum(dtype=np.float64))
            if reduction == "mean":
                value = value / count if count else np.nan
        if not gradient:
            return value, None
        factor: Any = -1.0 if grad_output is None else -np.asarray(grad_output, np.float64)
        slope = p * prediction.dtype.type(factor / count if reduction == "mean" and count else factor)
        return value, np.asarray(slope, result_type)


kl_div = KLDiv()
