"""How to clip and how much noise, from what the user passed: every check of those arguments.

No arithmetic on gradients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fastloss import _arguments as arguments
from fastloss.privacy._gradients import Gradients
from fastloss.privacy.noise import LAPLACE

NORMS = ("l2", "l1")
MODES = ("flat", "per_layer", "automatic")
ADJACENCIES = ("add_remove", "replace")


@dataclass(frozen=True)
class Rule:
    """How to clip, checked: one bound per norm group, and the norm group of each array."""

    norm: str
    mode: str
    bounds: tuple[float, ...]
    groups: tuple[int, ...]
    adjacency: str = "add_remove"

    @property
    def sensitivity(self) -> float:
        """How far apart the sums of neighbouring batches may be, in the norm; inf where that is no double."""
        return self.reach if self.adjacency == "add_remove" else 2.0 * self.reach

    @property
    def reach(self) -> float:
        """The largest norm of a clipped row; inf where that is no double."""
        if self.norm == "l2":
            return math.hypot(*self.bounds)
        try:
            return math.fsum(self.bounds)
        except OverflowError:
            return math.inf

    @property
    def max_grad_norm(self) -> float | tuple[float, ...]:
        """The bound, or the bounds per array."""
        return self.bounds if self.mode == "per_layer" else self.bounds[0]


def check_choice(value: object, name: str, choices: tuple[str, ...]) -> None:
    """One of the allowed words."""
    if not isinstance(value, str) or value not in choices:
        expected = ", ".join(repr(choice) for choice in choices[:-1]) + f" or {choices[-1]!r}"
        raise ValueError(f"{name} = {value!r} is unknown; expected {expected}")


def check_norm(norm: str | None, mechanism: str) -> str:
    """The norm to clip in: the mechanism's own where none was given."""
    if norm is None:
        return "l1" if mechanism == LAPLACE else "l2"
    check_choice(norm, "norm", NORMS)
    if mechanism == LAPLACE and norm != "l1":
        raise ValueError(f"norm = {norm!r} with mechanism = 'laplace': expected 'l1', as Laplace noise protects rows "
                         "of bounded L1 norm only")  # fmt: skip
    return norm


def check_bound(value: object, name: str) -> float:
    """A bound > 0, also inf."""
    try:
        return arguments.positive(value, name)
    except ValueError:
        if value == math.inf:
            return math.inf
        raise


def check_rule(
    gradients: Gradients, max_grad_norm: object, norm: str, mode: str, adjacency: str = "add_remove"
) -> Rule:
    """How to clip these gradients."""
    check_choice(norm, "norm", NORMS)
    check_choice(adjacency, "adjacency", ADJACENCIES)
    check_choice(mode, "mode", MODES)
    count = len(gradients.matrices)
    if mode != "per_layer":
        bound = check_bound(max_grad_norm, "max_grad_norm")
        if mode == "automatic" and bound == math.inf:
            raise ValueError("max_grad_norm = inf with mode = 'automatic'; expected a finite number > 0")
        return Rule(norm, mode, (bound,), (0,) * count, adjacency)
    names = [name.replace("grads", "max_grad_norm", 1) for name in gradients.names]
    values = gradients.match(max_grad_norm, "max_grad_norm")
    bounds = tuple(check_bound(value, name) for value, name in zip(values, names, strict=True))
    return Rule(norm, mode, bounds, tuple(range(count)), adjacency)


def check_divisor(expected_batch_size: object, reduction: object) -> float:
    """What the noised sum is divided by."""
    check_choice(reduction, "reduction", ("mean", "sum"))
    if expected_batch_size is None:
        if reduction == "mean":
            raise ValueError("expected_batch_size = None with reduction = 'mean'; expected the batch size that "
                             "sampling has on average, a number > 0 (this batch's own is not public)")  # fmt: skip
        return 1.0
    divisor = arguments.positive(expected_batch_size, "expected_batch_size")
    return divisor if reduction == "mean" else 1.0


def noise_scale(multiplier: float, rule: Rule) -> float:
    """The scale of the noise on sums that were clipped so."""
    return noise_scale_of(multiplier, rule.sensitivity, rule.max_grad_norm)


def noise_scale_of(multiplier: float, sensitivity: float, max_grad_norm: float | tuple[float, ...]) -> float:
    """Multiplier times sensitivity; a scale that is lost in overflow or underflow must not pass for none."""
    if multiplier == 0:
        return 0.0
    if math.inf in (max_grad_norm if isinstance(max_grad_norm, tuple) else (max_grad_norm,)):
        raise ValueError(f"max_grad_norm = {max_grad_norm!r} with noise_multiplier = {multiplier!r}: expected "
                         "finite bounds, as no noise hides unbounded rows (inf: noise_multiplier = 0)")  # fmt: skip
    scale = multiplier * sensitivity
    if not 0.0 < scale < math.inf:
        raise ValueError(f"noise_multiplier = {multiplier!r} times the sensitivity {sensitivity!r} is {scale!r}; "
                         "expected a finite number > 0")  # fmt: skip
    return scale
