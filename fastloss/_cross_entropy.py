"""What cross-entropy has beside other losses of rows: its options, and a common call without detours."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss import _core, _rowwise, _settings


def cross_entropy_loss(function: Callable[..., Any]) -> Any:
    """Declare cross-entropy: rows of logits with integer or probability targets."""
    plain = tuple(p.default for p in list(inspect.signature(function).parameters.values())[2:])
    short = staticmethod(partial(_core.quick_cross_entropy, plain))
    return _rowwise.declare_rows(function, "either", evaluate, _options, _run, _short=short)


def _options(values: dict[str, Any], real: np.dtype[Any], classes: int) -> dict[str, float]:
    """The scalar parameters, checked; logit_softcap 0 stands for none."""
    cap = values["logit_softcap"]
    options = {
        "label_smoothing": arguments.fraction(values["label_smoothing"], "label_smoothing"),
        "temperature": arguments.positive(values["temperature"], "temperature"),
        "logit_softcap": 0.0 if cap is None else arguments.positive(cap, "logit_softcap"),
        "z_loss": arguments.non_negative(values["z_loss"], "z_loss"),
    }
    for name, number in options.items():
        arguments.representable(number, name, real)
    return options


def _run(options: dict[str, float], call: _rowwise.RowCall) -> float:
    return _core.cross_entropy(
        call.x, call.target, call.soft, options, call.class_weight, call.ignore_index, call.sample_weight,
        call.upstream, call.scale, call.grad, call.hess, call.unreduced,
    )  # fmt: skip


def evaluate(
    loss: Any,
    want: int,
    logits: object,
    target: object,
    parameters: tuple[Any, ...],
    sample_weight: object,
    reduction: str,
    denominator: object,
    grad_output: object,
    out: object,
    grad_out: object,
    hess_out: object,
) -> Any:
    """What the entry points of a row loss call; ``want`` is 0, 1 or 2 derivatives."""
    if (
        want < 2
        and sample_weight is None
        and denominator is None
        and grad_output is None
        and out is None
        and (reduction == "mean" or reduction == "sum")
        and _settings.get_backend() == "native"
    ):
        result = loss._short(want, logits, target, parameters, reduction == "mean", grad_out)
        if result is not None:
            return result
    return _rowwise.general(
        loss, want, logits, target, parameters, sample_weight, reduction, denominator, grad_output,
        (out, grad_out, hess_out),
    )  # fmt: skip
