"""The "reference" and "check" backends of the privacy functions: the NumPy twin's answer, and how far off it the
kernels' may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastloss import _core, _settings
from fastloss._backend import MismatchError
from fastloss.privacy._gradients import Gradients
from fastloss.reference import discrete
from fastloss.reference import privacy as reference

if TYPE_CHECKING:
    from fastloss.privacy._discrete import Law
    from fastloss.privacy._rules import Rule

Array = npt.NDArray[Any]


def clip(gradients: Gradients, rule: Rule, sums: Array | None, norms: Array, states: Array, units: float = 0.0) -> None:
    """What the driver of that name does, by the twin (a row's state stands in its first norm group)."""
    bounds = list(rule.bounds) if rule.mode == "per_layer" else rule.bounds[0]
    grid = 1 / units if units else 0.0
    twin = reference.clip_and_sum(gradients.wide, bounds, norm=rule.norm, mode=rule.mode, grid=grid)
    norms[...] = twin.norms.T
    states[0] = np.where(twin.finite, np.where(twin.clipped, _core.ROW_CLIPPED, _core.ROW_KEPT), _core.ROW_NONFINITE)
    if sums is not None:
        added = np.concatenate([part.reshape(-1) for part in twin.sum])
        sums += (added * units).astype(np.int64) if units else added


def check_clip(
    gradients: Gradients,
    rule: Rule,
    before: Array | None,
    sums: Array | None,
    norms: Array,
    states: Array,
    units: float = 0.0,
) -> None:
    """Raise MismatchError unless norms, states and sums are within bounds of the twin's, from the sums before."""
    want_norms, want_states = np.zeros_like(norms), np.zeros_like(states)
    want = None if before is None else before.copy()
    clip(gradients, rule, want, want_norms, want_states, units)
    # csrc/privacy/clip.h: norms within (W/32 + 7) u, factors within twice that, products and sums one u a row.
    compare("norms", norms, want_norms, 2e-14 * want_norms)
    nonfinite = (states == _core.ROW_NONFINITE).any(axis=0)
    clipped = (states == _core.ROW_CLIPPED).any(axis=0) & ~nonfinite
    # A row so close to the bound that double-double can't tell is clipped, which is harmless.
    lost = (want_states[0] == _core.ROW_CLIPPED) & ~clipped
    for name, wrong in (("non-finite", nonfinite != (want_states[0] == _core.ROW_NONFINITE)), ("clipped", lost)):
        if wrong.any():
            raise MismatchError(f"row {int(np.argmax(wrong))}: kernel and reference disagree on its being {name}")
    if units and sums is not None and want is not None:
        # A factor's last places may turn a row's rounding over, by one step.
        slack = 4e-14 * gradients.batch_size * max(rule.bounds) * units
        compare("sums", sums, want.astype(np.float64), np.full(sums.shape, gradients.batch_size + slack))
    elif sums is not None and before is not None and want is not None:
        sizes = np.abs(before)
        clip(Gradients([np.abs(matrix) for matrix in gradients.wide]), rule, sizes, want_norms, want_states)
        compare("sums", sums, want, (4e-14 + (gradients.batch_size + 4) * 2.0**-53) * sizes + 1e-320)


def noise(distribution: str, key: Array, first: int, scale: float, out: Array) -> None:
    """What the driver of that name does, by the twin."""
    values = scale * reference.noise(distribution, out.dtype.name, key, first, out.size)
    with np.errstate(over="ignore", under="ignore"):
        out[...] = values.reshape(out.shape)


def noise_bound(scale: float, want: Array, real: np.dtype[Any]) -> Array:
    """How far off noise may be: some ULPs of the radius of its Box-Muller pair, which is below 10."""
    info = np.finfo(real)
    bound: Array = 4 * float(info.eps) * (10 * scale + np.abs(want)) + float(info.smallest_subnormal)
    return bound


def check_noise(distribution: str, key: Array, first: int, scale: float, out: Array) -> None:
    """Raise MismatchError unless noise is within bounds of the twin's."""
    want = scale * reference.noise(distribution, out.dtype.name, key, first, out.size).reshape(out.shape)
    compare(f"{distribution} noise", out, want, noise_bound(scale, want, out.dtype))


def finish(
    sums: Array, out: Array, divisor: float, distribution: str, key: Array | None, first: int, scale: float
) -> None:
    """What `finish_sums` does, by the twin."""
    out[...] = reference.toward_zero(noised(sums, out, divisor, distribution, key, first, scale), out.dtype)


def noised(
    sums: Array, out: Array, divisor: float, distribution: str, key: Array | None, first: int, scale: float
) -> Array:
    """(sums + scale * noise) / divisor in float64, of the shape of the output."""
    if scale > 0 and key is not None:
        sums = sums + scale * reference.noise(distribution, out.dtype.name, key, first, out.size)
    return (sums / divisor).reshape(out.shape)


def check_finish(want: Array, out: Array, divisor: float, scale: float) -> None:
    """Raise MismatchError unless the result is within bounds of the twin's."""
    compare("results", out, want, noise_bound(scale / divisor, want, out.dtype))


def add_integers(distribution: str, law: Law, key: Array, first: int, sums: Array) -> None:
    """Add the values first, first + 1, ... of a law to int64 sums, on the backend that is set."""
    backend = _settings.get_backend()
    if backend == "native":
        law.add(key, first, sums)
        return
    twin = discrete.values(distribution, law.limits, law.inner_bits, law.outer_bits, key, first, sums.size)
    if backend == "check":
        native = np.zeros_like(sums)
        law.add(key, first, native)
        compare(f"discrete {distribution} noise", native, twin.astype(np.float64), np.zeros(sums.shape))
    sums += twin


def compare(what: str, got: Array, want: Array, bound: Array) -> None:
    """Raise MismatchError naming the first element that is further off than its bound."""
    got = got.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        good = (got == want) | (np.isnan(got) & np.isnan(want)) | (np.abs(got - want) <= bound)
    if not good.all():
        at = np.unravel_index(int(np.argmin(good)), good.shape)
        raise MismatchError(f"{what} differ from the reference at {tuple(int(i) for i in at)}: native {got[at]!r}, "
                            f"reference {want[at]!r}")  # fmt: skip
