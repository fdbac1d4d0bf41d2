"""Clipping of per-sample gradients, and the noised sum or mean. The arithmetic is in csrc/privacy/."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss import _arguments as arguments
from fastloss import _core, _settings
from fastloss.privacy import _rules as rules
from fastloss.privacy._gradients import Gradients
from fastloss.privacy._passes import cleared, clip_gradients, finish
from fastloss.privacy._rules import Rule
from fastloss.privacy.noise import GAUSSIAN, LAPLACE, NoiseGenerator, as_generator
from fastloss.privacy.secure import SecureBudget, budget_of, secure_rule, write_grid

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ClippedSum:
    """The sum of clipped per-sample gradients, and what is known about it.

    Attributes
    ----------
    sum : ndarray, or a list, tuple or dict of them
        The sum over the batch, in the structure of the gradients. **Not private**: noise has not been added.
    norms : ndarray of float64
        Norm of every row before clipping, (B,), or (B, number of arrays) for ``mode="per_layer"``; NaN or inf
        where the row holds one. **Not private.**
    clipped_fraction : float
        Share of the rows whose norm is above the bound (per layer: above any of its bounds); NaN for an empty
        batch. **Not private.**
    nonfinite_rows : int
        Rows that hold a NaN or an infinity and contribute exactly 0.
    batch_size : int
        Number of rows, all counted.
    sensitivity : float
        The most that one row can change the sum, in the norm it was clipped in, when it is added or removed
        (Poisson sampling and add/remove adjacency): C, or with a bound per layer the norm of the bounds. Twice
        that with ``adjacency="replace"``.
    norm, mode, max_grad_norm, adjacency
        How it was clipped, and what neighbouring batches are.
    noised : bool
        Whether `add_noise` has added noise to it, which happens once.
    grid : float
        With ``secure=True`` the power of two that rows were rounded to multiples of, else 0.
    steps : ndarray of int64, or None
        With ``secure=True`` the exact sum in units of `grid`, all coordinates of all arrays in order, which is what
        `add_noise` uses; ``sum`` is this in floating point. **Not private.**
    """

    sum: Any = field(repr=False)
    norms: Array = field(repr=False)
    clipped_fraction: float
    nonfinite_rows: int
    batch_size: int
    sensitivity: float
    norm: str
    mode: str
    max_grad_norm: float | tuple[float, ...]
    noised: bool = field(default=False, repr=False)
    grid: float = field(default=0.0, repr=False)
    steps: npt.NDArray[np.int64] | None = field(default=None, repr=False)
    adjacency: str = field(default="add_remove", repr=False)


def per_sample_norms(grads: object, *, norm: str = "l2") -> Array:
    """Return the norm of every sample's gradient; with several arrays, the joint norm.

    Not private.

    Parameters
    ----------
    grads : array_like (B, ...), or a list, tuple or dict of arrays with the same B
        Per-sample gradients. float16 and bfloat16 are read as they are, integers in float64.
    norm : {"l2", "l1"}
        Euclidean norm or sum of absolute values.

    Returns
    -------
    ndarray of float64, shape (B,)
        Right also where squares overflow or underflow; NaN or inf where the row holds one.

    Raises
    ------
    TypeError, ValueError
        For gradients that are no such arrays, of different batch sizes, or an unknown norm.

    Examples
    --------
    >>> from fastloss.privacy import per_sample_norms
    >>> per_sample_norms([[3.0, 4.0], [0.0, 0.0]]).tolist()
    [5.0, 0.0]
    """
    rules.check_choice(norm, "norm", rules.NORMS)
    gradients = Gradients(grads)
    rule = Rule(norm, "flat", (math.inf,), (0,) * len(gradients.matrices))
    norms, _ = clip_gradients(gradients, rule, None)
    result: Array = norms[0]
    return result


def clip_and_sum(
    grads: object,
    max_grad_norm: object,
    *,
    norm: str = "l2",
    mode: str = "flat",
    nonfinite: str = "zero",
    accumulate: ClippedSum | None = None,
    out: Any = None,
    secure: bool = False,
    adjacency: str = "add_remove",
) -> ClippedSum:
    """Clip every sample's gradient and add them up.

    Row i is multiplied by ``min(1, C / ||g_i||)``. The bound holds exactly, not up to rounding: the exact norm of
    what a row adds is at most C, and for a batch of one so is the norm of the result. Rows within the bound are
    added unchanged. Same bits for any number of threads.

    Parameters
    ----------
    grads : array_like (B, ...), or a list, tuple or dict of arrays with the same B
        Per-sample gradients; several arrays have one joint norm per sample. float16 and bfloat16 are
        read as they are and give float32 sums, integers and bool to float64; arrays of both real types are
        taken as float64.
    max_grad_norm : float, or one per array for ``mode="per_layer"``
        The bound C > 0; inf turns clipping off (the sensitivity is then inf).
    norm : {"l2", "l1"}
        The norm that is bounded: L2 for Gaussian noise, L1 for Laplace.
    mode : {"flat", "per_layer", "automatic"}
        ``"flat"``: as above. ``"per_layer"``: each array against its own bound, given in the structure of `grads`.
        ``"automatic"``: every row is multiplied by ``C / (||g_i|| + 0.01)`` (AUTO-S).
    nonfinite : {"zero", "raise"}
        A row with a NaN or inf in any array contributes exactly 0 and is counted, or raises.
    accumulate : ClippedSum, optional
        The result so far of the same batch, taken in pieces: the new result covers both. Clipped in the same way.
        It is not changed (its own arrays may be given as `out`).
    out : ndarray, or arrays in the structure of `grads`, optional
        Where the sum goes: exactly its shapes and type.
    secure : bool
        True: for ``add_noise(secure=True)``. Rows are clipped to a little less than C (at most 0.1 %, so that their
        norm is at most C once they are rounded), rounded to multiples of a power of two and added up in int64: exact,
        so neither their order nor how they are cut into pieces changes a bit. See `ClippedSum.grid`.
    adjacency : {"add_remove", "replace"}
        What neighbouring batches are: one has a sample more, as Poisson sampling and its accounting take it, or one
        sample is another, as where batches have a fixed size; the sensitivity is then 2 C.

    Returns
    -------
    ClippedSum
        ``.sum`` without noise, and ``.norms``, ``.clipped_fraction``, ``.nonfinite_rows``, ``.batch_size``,
        ``.sensitivity``.

    Raises
    ------
    TypeError, ValueError
        For an argument out of its domain, unequal batch sizes, or with ``nonfinite="raise"`` a row that holds a NaN
        or inf; outputs are then untouched.

    Notes
    -----
    Sums are double; the conversion of a float32 result rounds towards zero, so that the bound holds for it too.

    Examples
    --------
    >>> from fastloss.privacy import clip_and_sum
    >>> clip_and_sum([[3.0, 4.0], [0.3, 0.4]], 5.0).sum.tolist()
    [3.3, 4.4]
    """
    gradients = Gradients(grads)
    rule = rules.check_rule(gradients, max_grad_norm, norm, mode, adjacency)
    rules.check_choice(nonfinite, "nonfinite", ("zero", "raise"))
    budget = budget_of(rule, _sizes(gradients, rule)) if arguments.flag(secure, "secure") else None
    if accumulate is None:
        result, arrays = gradients.outputs(out)
    else:
        result, arrays = _outputs_over(gradients, out, accumulate, rule, secure)
    sums, norms, states = _summed(gradients, rule, budget, accumulate)
    bad = _nonfinite_rows(gradients, states, nonfinite)
    finish(sums if budget is None else sums * budget.grid, arrays, 1.0)

    shown = norms.T.copy() if rule.mode == "per_layer" else norms[0]
    batch, nonfinite_rows = gradients.batch_size, int(bad.sum())
    clipped = int(((states == _core.ROW_CLIPPED).any(axis=0) & ~bad).sum())
    if accumulate is not None:
        before = accumulate.batch_size
        clipped += round(accumulate.clipped_fraction * before) if before else 0
        shown = np.concatenate([accumulate.norms, shown])
        batch += before
        nonfinite_rows += accumulate.nonfinite_rows
    return ClippedSum(
        sum=result,
        norms=shown,
        clipped_fraction=clipped / batch if batch else math.nan,
        nonfinite_rows=nonfinite_rows,
        batch_size=batch,
        sensitivity=rule.sensitivity,
        norm=rule.norm,
        mode=rule.mode,
        max_grad_norm=rule.max_grad_norm,
        grid=0.0 if budget is None else budget.grid,
        steps=None if budget is None else sums,
        adjacency=rule.adjacency,
    )


def clip_and_noise(
    grads: object,
    max_grad_norm: object,
    noise_multiplier: float,
    *,
    expected_batch_size: float | None = None,
    reduction: str = "mean",
    mechanism: str = "gaussian",
    norm: str | None = None,
    mode: str = "flat",
    nonfinite: str = "zero",
    rng: object = None,
    secure: bool = False,
    out: Any = None,
    adjacency: str = "add_remove",
) -> Any:
    """Clip every sample's gradient, add them up, add noise to the sum, divide.

    The step of DP-SGD. The noise's scale (standard deviation of the Gaussian, b of the Laplace) is
    ``noise_multiplier`` times the sensitivity of the sum (see `ClippedSum`): by default C, under add/remove adjacency
    and Poisson sampling.

    Parameters
    ----------
    grads, max_grad_norm, mode, nonfinite, adjacency
        As in `clip_and_sum`; with ``adjacency="replace"`` the noise doubles. ``max_grad_norm=inf`` only with
        ``noise_multiplier=0``.
    noise_multiplier : float
        At least 0. With 0 there is no noise and the result is **not private**.
    expected_batch_size : float
        What the mean divides by: the size that sampling has on average, not this batch's, which is not public.
        Required with ``reduction="mean"``, unused with ``"sum"``.
    reduction : {"mean", "sum"}
        The noised sum over the batch, divided by `expected_batch_size` or as it is.
    mechanism : {"gaussian", "laplace"}
        The noise. It is generated in the type of the result (Laplace: always float64).
    norm : {"l2", "l1"}, optional
        The norm that is bounded: by default L2 for Gaussian and L1 for Laplace noise. Laplace noise with L2 raises.
    rng : None, int or NoiseGenerator
        None: keyed by the operating system. An integer: the first values of ``NoiseGenerator(rng)``, the same in every
        call, for reproduction only, **not private**. A generator: its next values.
    secure : bool
        False: floating-point noise on a floating-point sum, fast, **not hardened against floating-point attacks**.
        True: rows are clipped to a little less (C' = C minus what rounding may add, at most 0.1 %), rounded to a grid
        of 2^k, added up in integers and noised with integers from a constant-time sampler; a result is a multiple of
        2^k before it is divided. `secure_budget` says which k, and what the sampler adds to delta (at most 1e-9,
        else it raises); `fastloss.privacy.secure` says what is claimed.
    out : ndarray, or arrays in the structure of `grads`, optional
        Where the result goes: exactly its shapes and type.

    Returns
    -------
    ndarray, or a list, tuple or dict of them
        The noised mean or sum, shaped like one sample's gradient; of an empty batch, noise alone.

    Raises
    ------
    TypeError, ValueError
        For an argument out of its domain, a mean without `expected_batch_size`, unequal batch sizes, or with
        ``nonfinite="raise"`` a row that holds a NaN or inf; outputs are then untouched.

    Examples
    --------
    >>> import numpy as np
    >>> from fastloss.privacy import clip_and_noise
    >>> clip_and_noise(np.ones((4, 4)), 1.0, 0.0, expected_batch_size=4).round(12).tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    if (
        mode == "flat"
        and mechanism == GAUSSIAN
        and norm is None
        and nonfinite == "zero"
        and secure is False
        and adjacency == "add_remove"
        and (rng is None or rng.__class__ is NoiseGenerator)
        and (reduction == "mean" or (reduction == "sum" and expected_batch_size is None))
        and _settings.get_backend() == "native"
    ):
        divisor = expected_batch_size if reduction == "mean" else 1.0
        done = _core.quick_clip_and_noise(grads, max_grad_norm, noise_multiplier, divisor, rng, out)
        if done is not None:
            return done
    gradients = Gradients(grads)
    rules.check_choice(mechanism, "mechanism", (GAUSSIAN, LAPLACE))
    rule = rules.check_rule(gradients, max_grad_norm, rules.check_norm(norm, mechanism), mode, adjacency)
    rules.check_choice(nonfinite, "nonfinite", ("zero", "raise"))
    divisor = rules.check_divisor(expected_batch_size, reduction)
    multiplier = arguments.non_negative(noise_multiplier, "noise_multiplier")
    hardened = arguments.flag(secure, "secure")
    scale = rules.noise_scale(multiplier, rule)
    generator = as_generator(rng)
    result, arrays = gradients.outputs(out)
    budget = budget_of(rule, _sizes(gradients, rule), mechanism, scale) if hardened else None
    sums, _, states = _summed(gradients, rule, budget, None)
    if nonfinite == "raise":
        _nonfinite_rows(gradients, states, nonfinite)
    if budget is not None:
        if scale > 0:
            generator._add_integers(mechanism, budget.scale, sums)
        write_grid(sums, arrays, budget.grid, divisor)
        return result
    key, first = generator._reserve(mechanism, sums.size) if scale > 0 else (None, 0)
    finish(sums, arrays, divisor, mechanism == LAPLACE, key, first, scale)
    return result


def _sizes(gradients: Gradients, rule: Rule) -> list[int]:
    """How many coordinates each bound is for."""
    pairs = list(zip(gradients.sizes, rule.groups, strict=True))
    return [sum(size for size, group in pairs if group == k) for k in range(len(rule.bounds))]


def _summed(
    gradients: Gradients, rule: Rule, budget: SecureBudget | None, accumulate: ClippedSum | None
) -> tuple[Array, Array, Array]:
    """Sums (with a budget int64, in steps of its grid), norms and states."""
    if budget is None:
        sums = _initial_sums(gradients, accumulate)
        return sums, *clip_gradients(gradients, rule, sums)
    batch = gradients.batch_size
    if accumulate is None or accumulate.steps is None:
        sums = cleared((sum(gradients.sizes),), np.int64)
    else:
        sums, batch = accumulate.steps.copy(), batch + accumulate.batch_size
    return sums, *clip_gradients(gradients, secure_rule(rule, budget, batch), sums, 1 / budget.grid)


def _initial_sums(gradients: Gradients, accumulate: ClippedSum | None) -> Array:
    """What the rows are added to: all columns of all arrays, double."""
    sums = cleared((sum(gradients.sizes),))
    if accumulate is not None:
        at = 0
        for array, size in zip(gradients.match(accumulate.sum, "accumulate.sum"), gradients.sizes, strict=True):
            sums[at : at + size] = array.reshape(-1)
            at += size
    return sums


def _nonfinite_rows(gradients: Gradients, states: Array, nonfinite: str) -> npt.NDArray[np.bool_]:
    """Which rows hold a NaN or inf; raises where they must not."""
    bad: npt.NDArray[np.bool_] = (states == _core.ROW_NONFINITE).any(axis=0)
    if nonfinite == "raise" and bad.any():
        where = gradients.first_nonfinite(int(np.argmax(bad)))
        raise ValueError(f"{where} is not finite; expected finite gradients (nonfinite='zero' drops such rows)")
    return bad


def _outputs_over(
    gradients: Gradients, out: object, accumulate: object, rule: Rule, secure: bool
) -> tuple[Any, list[Array]]:
    """Outputs, after checking that the accumulated result is one of the same kind."""
    if not isinstance(accumulate, ClippedSum):
        raise TypeError(f"accumulate is a {type(accumulate).__name__}; expected a ClippedSum")
    if accumulate.noised:
        raise ValueError("accumulate has been noised; expected a sum without noise, as each is noised once")
    for name, before, now in (
        ("norm", accumulate.norm, rule.norm),
        ("mode", accumulate.mode, rule.mode),
        ("max_grad_norm", accumulate.max_grad_norm, rule.max_grad_norm),
        ("adjacency", accumulate.adjacency, rule.adjacency),
        ("secure", accumulate.steps is not None, secure),
    ):
        if before != now:
            raise ValueError(f"accumulate was clipped with {name} = {before!r}; expected {now!r}, as here")
    for k, array in enumerate(gradients.match(accumulate.sum, "accumulate.sum")):
        if array.shape != gradients.shapes[k] or array.dtype != gradients.real:
            raise ValueError(f"accumulate.sum has shape {array.shape} and dtype {array.dtype} where "
                             f"{gradients.names[k]} needs {gradients.shapes[k]} and {gradients.real}")  # fmt: skip
    return gradients.outputs(out)
