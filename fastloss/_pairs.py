"""How the losses of metric learning meet their kernels: shapes and labels checked, rows described, one call each."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss import _core
from fastloss._arguments import Array
from fastloss._several import Problem, Run

# The kernel of scores that are ranked: pointwise, the second score in the place of pos_weight.
RANKING = _core.PointwiseKernel("margin_ranking_loss", (None, 0.0), tuple, "any", "sign", True, 0.4)


def bad_label(target: Array, bad: Array, expected: str) -> ValueError:
    """The error for the first label that is none."""
    flat = int(np.argmax(bad))
    value = target.reshape(-1)[flat]
    return ValueError(f"target{arguments.element(target, flat)} = {value} is out of range; expected {expected}")


def ranking(real: np.dtype[Any], arrays: tuple[Any, ...], parameters: dict[str, Any]) -> Problem:
    """margin_ranking_loss."""
    x1, x2, target = arrays
    arguments.same_shape(x2, "x2", x1, "x1")
    arguments.same_shape(target, "target", x1, "x1")

    def run(call: Run) -> tuple[float]:
        if not x1.size:
            return (0.0,)
        in_place = bool(call.gradients) and arguments.same_buffer(call.gradients[0], x1)
        outputs = [call.unreduced, *(call.gradients or (None, None))]
        operands = [x1, target, x2, call.weight, call.upstream]
        numbers = (parameters["margin"],)
        bad, total = RANKING.run(real.itemsize == 8, numbers, 1.0, call.scale, operands, outputs, in_place)
        if bad:
            with np.errstate(over="ignore"):
                raise bad_label(target, np.abs(target.astype(real)) != 1, "-1 or +1")
        return (total,)

    return Problem(x1.shape, run, unreduced_type=None)
