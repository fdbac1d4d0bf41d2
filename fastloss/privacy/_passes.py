"""The passes of the privacy functions over arrays, on whatever backend is set: clipping rows and adding them up, and
adding noise to the sums. Not here: the checks of arguments (_rules.py), integer sums' way back (secure.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss import _core, _settings
from fastloss.privacy import _backend
from fastloss.privacy._gradients import Gradients
from fastloss.privacy._rules import Rule
from fastloss.privacy.noise import GAUSSIAN, LAPLACE

Array = npt.NDArray[Any]

# AUTO-S (Bu et al. 2023): factor C / (norm + gamma).
AUTOMATIC_GAMMA = 0.01


def cleared(shape: tuple[int, ...], dtype: Any = np.float64) -> Array:
    """Zeros to add to, in pages that are there.

    Those of ``np.zeros`` are mapped when they are read and again when they are written, the second time with an
    interrupt of every core on which a thread of the process runs, BLAS's idle ones among them: 8 ms for 2 MB were seen.
    """
    sums = _core.new_array(shape, np.dtype(dtype))
    sums.fill(0)
    return sums


def clip_gradients(gradients: Gradients, rule: Rule, sums: Array | None, units: float = 0.0) -> tuple[Array, Array]:
    """Norms and states, (norm groups, B); clipped rows are added to sums (with units: int64, of rows times units)."""
    norms = np.zeros((len(rule.bounds), gradients.batch_size))
    states = np.zeros(norms.shape, np.uint8)
    backend = _settings.get_backend()
    if backend == "reference":
        _backend.clip(gradients, rule, sums, norms, states, units)
        return norms, states
    before = sums.copy() if backend == "check" and sums is not None else None
    _core.clip(
        gradients.matrices,
        gradients.real.itemsize == 8,
        np.array(rule.groups, np.intp),
        np.array(rule.bounds),
        rule.norm == "l1",
        rule.mode == "automatic",
        AUTOMATIC_GAMMA,
        sums.view(np.float64) if units and sums is not None else sums,
        norms,
        states,
        units,
    )
    if backend == "check":
        _backend.check_clip(gradients, rule, before, sums, norms, states, units)
    return norms, states


def finish(
    sums: Array,
    arrays: list[Array],
    divisor: float,
    laplace: bool = False,
    key: Array | None = None,
    first: int = 0,
    scale: float = 0.0,
) -> None:
    """Write (sums + noise) / divisor to the outputs, one after the other in the stream."""
    at, backend, distribution = 0, _settings.get_backend(), LAPLACE if laplace else GAUSSIAN
    for array in arrays:
        part, index = sums[at : at + array.size], first + at
        at += array.size
        if backend == "reference":
            _backend.finish(part, array, divisor, distribution, key, index, scale)
            continue
        want = _backend.noised(part, array, divisor, distribution, key, index, scale) if backend == "check" else None
        _core.finish_sums(part, array, divisor, laplace, key, index, scale)
        if want is not None:
            _backend.check_finish(want, array, divisor, scale)
