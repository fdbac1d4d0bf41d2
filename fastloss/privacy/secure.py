r"""``secure=True``: values on a grid, exact integer sums, integer noise, and the budget of what that costs.

What is claimed. Every input is rounded to a multiple of g = 2^k, everything after that is integer arithmetic until the
noise has been added, and the result is a function of that integer. So the set of possible results does not depend on
the data (Mironov 2012), no rounding of a sum has to be accounted for, the order of the rows does not matter, and
neither time nor memory accesses of the sampler depend on the values it draws.

The grid. Rounding moves each of D coordinates by at most g/2, a vector by at most sqrt(D) g/2 (L2) or D g/2 (L1). Rows
are clipped to C' = C - that, so what is summed has a norm <= C exactly, and neighbouring sums differ by at most C on
the grid. g is the largest power of two that costs at most 2^-10 of C and is at most 2^-20 of the sensitivity: known
before the noise is, so that `clip_and_sum` can add up what `add_noise` noises later.

The noise. The discrete Gaussian of scale s obeys the same Renyi and concentrated bounds as the continuous one of s,
exactly (Canonne, Kamath, Steinke 2020). Its scale is sqrt((sigma/g)^2 + 1/12) steps. With that, from s = 2^14 on (a
noise multiplier of 1/64), it is within a total variation distance of 0.001 / s^4 of the continuous Gaussian of sigma,
rounded to the grid: what holds for Gaussian noise of sigma, sampled, composed, by whatever accountant, holds for it,
but for that distance. The discrete Laplace of scale b/g on an integer of sensitivity C/g is (C/b)-DP exactly.

The budget. The samplers are within a total variation distance TV of these laws, so a release of D coordinates is
(epsilon, delta + (1 + e^epsilon) D TV)-DP; ``delta_sampler`` = D TV is reported, and bounded by delta/1000 where a
function knows delta, by 1e-9 (a thousandth of delta = 1e-6) where it does not. Laplace noise is then (epsilon,
delta_sampler)-DP in the same sense, not pure. Over T steps the budgets add up.

What is not claimed: anything about the memory or caches that hold inputs and sums, or about the time of clipping.

Derivations and figures, each with the test that checks it: docs/privacy-secure.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss import _arguments as arguments
from fastloss import _core
from fastloss.privacy import _rules as rules
from fastloss.privacy._discrete import LARGEST_SCALE, law_of
from fastloss.privacy.noise import GAUSSIAN, LAPLACE, NoiseGenerator

Array = npt.NDArray[Any]

# What D TV may be where delta is not known, and its share of delta where it is.
LARGEST_DELTA = 1e-9
SHARE_OF_DELTA = 1e-3

# Integers that doubles hold when clipped rows are rounded, and sums that int64 holds with noise to spare.
LARGEST_TERM, LARGEST_SUM = 2.0**51, 2.0**62

# A sensitivity has so many steps of the grid at least: Gaussian noise of a multiplier of 1/64 then has 2^14, from where
# on it is within LAW_DISTANCE / s^4 of the rounded continuous law.
STEPS_OF_SENSITIVITY, LEAST_SCALE, LAW_DISTANCE = 2.0**20, 2.0**14, 1e-3


@dataclass(frozen=True)
class SecureBudget:
    """How a secure release is made, and what its sampler costs.

    Attributes
    ----------
    grid : float
        The step g, a power of two: results are multiples of it (before the division by the batch size). It depends on
        the bounds and the number of coordinates alone.
    bounds : tuple of float
        C', what rows are clipped to so that they have a norm <= C once they are rounded; one per norm.
    scale : float
        Scale of the integer noise, in steps of the grid; 0 for none.
    distance : float
        Upper bound of the total variation distance of one value from its ideal law: the rounded continuous Gaussian
        (below a scale of 2^14 the discrete one), or the discrete Laplace.
    delta_sampler : float
        ``distance`` times the number of coordinates.
    """

    grid: float
    bounds: tuple[float, ...]
    scale: float
    distance: float
    delta_sampler: float


def sampler_delta(size: int, scale: float, *, mechanism: str = "gaussian") -> float:
    """Return the total variation distance of integer noise from its ideal law, for a vector of independent values.

    Parameters
    ----------
    size : int
        How many values, >= 0.
    scale : float
        Scale of the noise in integers, as in `NoiseGenerator.discrete_gaussian`.
    mechanism : {"gaussian", "laplace"}
        Which law.

    Returns
    -------
    float
        An upper bound: `size` times the distance of one value.

    Examples
    --------
    >>> from fastloss.privacy import sampler_delta
    >>> sampler_delta(10**6, 2.0**20) < 4e-12
    True
    """
    rules.check_choice(mechanism, "mechanism", (GAUSSIAN, LAPLACE))
    count = arguments.non_negative(size, "size")
    factor = arguments.non_negative(scale, "scale")
    return count * _distance(mechanism, factor)


def secure_budget(
    max_grad_norm: float, noise_multiplier: float, size: int, *, mechanism: str = "gaussian", norm: str | None = None
) -> SecureBudget:
    """Return how `clip_and_noise` with ``secure=True`` makes its result, and what its sampler costs.

    Parameters
    ----------
    max_grad_norm, noise_multiplier, mechanism, norm
        As in `clip_and_noise`, for one bound.
    size : int
        Number of coordinates of a gradient, over all arrays.

    Returns
    -------
    SecureBudget
        ``.grid``, ``.bounds``, ``.scale``, ``.distance`` and ``.delta_sampler``.

    Raises
    ------
    ValueError
        For an argument out of its domain, or a budget above 1e-9.

    Examples
    --------
    >>> from fastloss.privacy import secure_budget
    >>> budget = secure_budget(1.0, 1.1, 10_000)
    >>> budget.grid == 2.0**-20, budget.bounds[0] > 0.999, budget.delta_sampler < 4e-14
    (True, True, True)
    """
    rules.check_choice(mechanism, "mechanism", (GAUSSIAN, LAPLACE))
    kind = rules.check_norm(norm, mechanism)
    bound = rules.check_bound(max_grad_norm, "max_grad_norm")
    multiplier = arguments.non_negative(noise_multiplier, "noise_multiplier")
    count = int(arguments.non_negative(size, "size"))
    rule = rules.Rule(kind, "flat", (bound,), (0,))
    return budget_of(rule, [count], mechanism, rules.noise_scale(multiplier, rule))


def budget_of(rule: rules.Rule, sizes: Sequence[int], mechanism: str = GAUSSIAN, scale: float = 0.0) -> SecureBudget:
    """The budget of clipping by a rule, with as many coordinates per bound, and noise of that scale (0: none)."""
    if math.inf in rule.bounds:
        raise ValueError(f"max_grad_norm = {rule.max_grad_norm!r} with secure = True; expected finite bounds")
    rounding = [_rounding(rule.norm, size) for size in sizes]
    affordable = min(c / max(2 * r, 1) for c, r in zip(rule.bounds, rounding, strict=True))
    grid = _power_below(min(affordable * 2.0**-9, rule.reach / STEPS_OF_SENSITIVITY))
    # C - rounding * grid, rounded down.
    bounds = tuple(
        math.nextafter(c - math.nextafter(r * grid, math.inf), -math.inf) if r else c
        for c, r in zip(rule.bounds, rounding, strict=True)
    )
    if not min(bounds) > 0 or grid == 0 or not math.isfinite(1 / grid):
        raise ValueError(f"max_grad_norm = {rule.max_grad_norm!r} leaves {min(bounds)!r} for rows that are rounded to "
                         "multiples of 2^-1022 or more; expected larger bounds with secure = True")  # fmt: skip
    if max(bounds) / grid >= LARGEST_TERM:
        raise ValueError(f"max_grad_norm = {rule.max_grad_norm!r} has bounds too far apart for one grid of {grid!r}; "
                         "expected the largest below 2^51 steps with secure = True")  # fmt: skip
    return noise_budget(grid, bounds, mechanism, scale, sum(sizes))


def secure_rule(rule: rules.Rule, budget: SecureBudget, batch_size: int) -> rules.Rule:
    """The rule by which rows are clipped before they are rounded; raises where int64 might not hold their sum."""
    if batch_size * (max(rule.bounds) / budget.grid + 1) >= LARGEST_SUM:
        raise ValueError(f"grads has {batch_size} samples, whose sum on a grid of {budget.grid!r} may exceed 64 bits; "
                         "expected fewer samples, or bounds closer together, with secure = True")  # fmt: skip
    return replace(rule, bounds=budget.bounds)


def noise_on_grid(
    values: Sequence[Array],
    outputs: Sequence[Array],
    scale: float,
    sensitivity: float,
    *,
    mechanism: str,
    generator: NoiseGenerator,
    divisor: float = 1.0,
    uncertainty: float = 0.0,
    delta: float | None = None,
) -> SecureBudget:
    """Write (values rounded to a grid + integer noise) / divisor to outputs.

    Values are vectors whose neighbours lie within `sensitivity` (L2 for Gaussian noise, L1 for Laplace) but for an
    error of at most `uncertainty` a coordinate, such as a floating-point sum has. Rounding moves each by g/2 more,
    so neighbours lie within sensitivity + sqrt(D) (g + 2 uncertainty) (L1: D), and the noise is scaled up by as much.
    Values beyond 2^51 g are moved there, which brings no two vectors further apart; g does not depend on values.

    Parameters
    ----------
    values, outputs : sequences of ndarray
        Finite values and where the results go, array by array; an output may be its value's own array.
    scale : float
        Scale of the noise for `sensitivity`, > 0.
    sensitivity : float
        Distance of neighbours, > 0.
    mechanism : {"gaussian", "laplace"}
        Which noise.
    generator : NoiseGenerator
        Where the noise comes from.
    divisor, uncertainty : float
        As above.
    delta : float, optional
        The delta of the guarantee; the sampler's part must not exceed a thousandth of it.

    Returns
    -------
    SecureBudget
        What was done, with ``scale`` the enlarged one in steps of the grid, and ``bounds`` the enlarged sensitivity.

    Raises
    ------
    ValueError
        For values that are not finite, or a sampler's part above its share of delta; nothing is written then.
    """
    size = sum(array.size for array in values)
    rounding = _rounding("l1" if mechanism == LAPLACE else "l2", size)
    step = sensitivity / max(2 * rounding, 1)
    finest = max(scale * 2.0**-20, step * 2.0**-40) if mechanism == GAUSSIAN else math.inf
    grid = _power_below(min(step * 2.0**-9, finest))
    if grid == 0 or not math.isfinite(1 / grid):
        raise ValueError(f"sensitivity = {sensitivity!r} is too small to round to a grid; expected more than 1e-290")
    enlarged = sensitivity + 2 * rounding * (grid + 2 * uncertainty)
    factor = (enlarged / sensitivity) * (1 + 2.0**-50)
    budget = noise_budget(grid, (enlarged,), mechanism, scale * factor, size, delta)
    sums = np.empty(size, np.int64)
    at = 0
    for array in values:
        if not np.isfinite(array).all():
            raise ValueError("values hold a NaN or inf; expected finite numbers with secure = True")
        steps = np.clip(np.rint(array.reshape(-1).astype(np.float64) / grid), -LARGEST_TERM, LARGEST_TERM)
        sums[at : at + array.size] = steps
        at += array.size
    generator._add_integers(mechanism, budget.scale, sums)
    write_grid(sums, outputs, grid, divisor)
    return budget


def write_grid(sums: Array, outputs: Sequence[Array], grid: float, divisor: float) -> None:
    """Write sums * grid / divisor, array after array."""
    at = 0
    for array in outputs:
        _core.grid_values(sums[at : at + array.size], array, grid, divisor)
        at += array.size


def _rounding(norm: str, size: int) -> float:
    """The most that rounding moves a vector, in steps of the grid."""
    return math.nextafter(math.sqrt(size) / 2, math.inf) if norm == "l2" and size else size / 2


def _power_below(x: float) -> float:
    """The largest power of two that is at most x > 0; 0 where that is none."""
    return math.ldexp(1.0, math.frexp(x)[1] - 1) if x > 0 else 0.0


def _distance(mechanism: str, scale: float) -> float:
    if scale == 0:
        return 0.0
    if scale >= LARGEST_SCALE[mechanism]:
        raise ValueError(f"the noise is {scale!r} steps of the grid; expected less than {LARGEST_SCALE[mechanism]!r}: "
                         "a smaller noise_multiplier or fewer coordinates with secure = True")  # fmt: skip
    return law_of(mechanism, scale).distance


def noise_budget(
    grid: float, bounds: tuple[float, ...], mechanism: str, scale: float, size: int, delta: float | None = None
) -> SecureBudget:
    """Checked: the sampler's part is within its share of delta."""
    steps, gap = scale / grid, 0.0
    if mechanism == GAUSSIAN and scale > 0:
        steps = math.hypot(steps, math.sqrt(1 / 12)) * (1 + 2.0**-50)
        gap = LAW_DISTANCE / steps**4 if steps >= LEAST_SCALE else 0.0
    steps = math.nextafter(steps, math.inf) if scale > 0 else 0.0
    distance = _distance(mechanism, steps) + gap
    total = distance * size
    allowed = LARGEST_DELTA if delta is None else SHARE_OF_DELTA * delta
    if total > allowed:
        raise ValueError(f"delta_sampler = {total:.3g} for {size} coordinates, more than {allowed:.3g}; expected a "
                         "larger delta or fewer coordinates with secure = True")  # fmt: skip
    return SecureBudget(grid, bounds, steps, distance, total)
