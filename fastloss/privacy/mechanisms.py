"""Noise added to results: to any numbers of known sensitivity, and to the sum of clipped gradients.

How much is in calibration.py, the noise itself in noise.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss import _arguments as arguments
from fastloss import _core
from fastloss.privacy import _rules as rules
from fastloss.privacy import calibration as calibrate
from fastloss.privacy._gradients import Gradients
from fastloss.privacy._passes import finish
from fastloss.privacy.clip import ClippedSum
from fastloss.privacy.noise import GAUSSIAN, LAPLACE, as_generator
from fastloss.privacy.secure import noise_budget, noise_on_grid, write_grid

Array = npt.NDArray[Any]


def gaussian_mechanism(
    values: npt.ArrayLike,
    sensitivity: float,
    epsilon: float,
    delta: float,
    *,
    calibration: str = calibrate.ANALYTIC,
    rng: object = None,
    secure: bool = False,
    out: Array | None = None,
) -> Array:
    """Return values with Gaussian noise: one (epsilon, delta)-differentially private release of all of them together.

    The noise has standard deviation ``gaussian_sigma(sensitivity, epsilon, delta, method=calibration)``.

    Parameters
    ----------
    values : array_like
        What to release, all finite, of any shape. float16 and bfloat16 are taken as float32, integers and bool as
        float64.
    sensitivity : float
        The most, in L2 norm over all values, that one person's data can change them; > 0.
    epsilon, delta
        The budget of this release: > 0, and in (0, 1).
    calibration : {"analytic", "classical"}
        As the method of `gaussian_sigma`.
    rng : None, int or NoiseGenerator
        None: keyed by the operating system. An integer: the same noise in every call, for reproduction only, **not
        private**. A generator: its next values.
    secure : bool
        Values are rounded to a grid, and integer noise of slightly larger scale is added: hardened against attacks on
        floating-point noise, see ``fastloss.privacy.secure`` for exactly what is claimed. The sampler's part of delta
        is at most a thousandth of it, or ValueError.
    out : ndarray, optional
        Where the result goes: of exactly its shape and type. It may be the array of the values itself.

    Returns
    -------
    ndarray
        Of the shape of the values; float32 or float64. Noise is drawn in that type, added in float64, and the sum
        of a float32 result is rounded towards zero.

    Raises
    ------
    TypeError, ValueError
        For an argument out of its domain, or a value that is not finite (noise hides no NaN); `out` is then untouched.

    Warns
    -----
    UserWarning
        With ``calibration="classical"`` from epsilon = 1 on.

    Notes
    -----
    Without `secure` the noise is that of `NoiseGenerator.gaussian`: **not hardened against floating-point attacks**.
    Every release costs its own epsilon and delta.

    Examples
    --------
    >>> from fastloss.privacy import gaussian_mechanism
    >>> gaussian_mechanism([120.0, 75.0], 1.0, 1.0, 1e-5).shape
    (2,)
    """
    array = _release(values)
    size = arguments.positive(sensitivity, "sensitivity")
    budget = calibrate.check_budget(epsilon, delta)
    rules.check_choice(calibration, "calibration", calibrate.METHODS)
    hardened = arguments.flag(secure, "secure")
    sigma = calibrate.sigma(size, *budget, calibration, stacklevel=2)
    return _noised(array, GAUSSIAN, sigma, rng, out, size if hardened else None, budget[1])


def laplace_mechanism(
    values: npt.ArrayLike,
    sensitivity: float,
    epsilon: float,
    *,
    rng: object = None,
    secure: bool = False,
    out: Array | None = None,
) -> Array:
    """Return values with Laplace noise: one epsilon-differentially private release of all of them together.

    The noise has the scale ``laplace_scale(sensitivity, epsilon)``.

    Parameters
    ----------
    values : array_like
        What to release, all finite, of any shape. float16 and bfloat16 are taken as float32, integers and bool as
        float64.
    sensitivity : float
        The most, in L1 norm over all values, that one person's data can change them; > 0.
    epsilon : float
        The budget of this release, > 0.
    rng : None, int or NoiseGenerator
        None: keyed by the operating system. An integer: the same noise in every call, for reproduction only, **not
        private**. A generator: its next values.
    secure : bool
        Values are rounded to a grid, and integer noise of slightly larger scale is added: hardened against attacks on
        floating-point noise, see ``fastloss.privacy.secure`` for exactly what is claimed. The release is then
        (epsilon, 1e-9)-private at worst, or ValueError.
    out : ndarray, optional
        Where the result goes: of exactly its shape and type. It may be the array of the values itself.

    Returns
    -------
    ndarray
        Of the shape of the values; float32 or float64. Noise is drawn and added in float64, and a float32 result is
        rounded towards zero.

    Raises
    ------
    TypeError, ValueError
        For an argument out of its domain, or a value that is not finite (noise hides no NaN); `out` is then untouched.

    Notes
    -----
    Without `secure` the noise is that of `NoiseGenerator.laplace`: **not hardened against floating-point attacks**.
    Every release costs its own epsilon.

    Examples
    --------
    >>> from fastloss.privacy import laplace_mechanism
    >>> laplace_mechanism([120.0, 75.0], 1.0, 1.0).shape
    (2,)
    """
    array = _release(values)
    hardened = arguments.flag(secure, "secure")
    scale = calibrate.laplace_scale(sensitivity, epsilon)
    return _noised(array, LAPLACE, scale, rng, out, float(sensitivity) if hardened else None, None)


def add_noise(
    clipped: ClippedSum,
    noise_multiplier: float,
    *,
    expected_batch_size: float | None = None,
    reduction: str = "mean",
    mechanism: str = GAUSSIAN,
    rng: object = None,
    secure: bool = False,
    out: Any = None,
) -> Any:
    """Add noise to a sum of clipped gradients, once, and divide: the second half of `clip_and_noise`.

    For batches that come in pieces: `clip_and_sum` with ``accumulate`` over the pieces, then this. The noise's scale
    (standard deviation of the Gaussian, b of the Laplace) is ``noise_multiplier * clipped.sensitivity``.

    Parameters
    ----------
    clipped : ClippedSum
        From `clip_and_sum`. Once noise was added to it, it can't be noised or accumulated again: two noisy copies of
        one sum would cost privacy twice, and their average has less noise than was accounted for.
    noise_multiplier : float
        At least 0. With 0 there is no noise, the result is **not private**, and `clipped` does not count as noised.
    expected_batch_size : float
        What the mean divides by: the size that sampling has on average, not this batch's, which is not public.
        Required for a mean.
    reduction : {"mean", "sum"}
        The noised sum over the batch, divided by `expected_batch_size` or as it is.
    mechanism : {"gaussian", "laplace"}
        The noise. Laplace needs a sum that was clipped with ``norm="l1"``.
    rng : None, int or NoiseGenerator
        As in `clip_and_noise`.
    secure : bool
        As in `clip_and_noise`: integer noise on an exact sum of rows on a grid. So `clipped` must come from
        ``clip_and_sum(secure=True)``, and such a sum takes no other noise.
    out : ndarray, or arrays in the structure of ``clipped.sum``, optional
        Where the result goes: exactly its shapes and type. They may be the arrays of ``clipped.sum`` themselves.

    Returns
    -------
    ndarray, or a list, tuple or dict of them
        In the structure of ``clipped.sum``. With ``secure=True``, and for float64 sums, the same bits as from
        `clip_and_noise` with the same seed; else a float32 sum has been rounded once more, as ``clipped.sum`` is
        float32.

    Raises
    ------
    TypeError, ValueError
        For an argument out of its domain, a mean without `expected_batch_size`, Laplace noise on a sum clipped in L2,
        a sum that has been noised, or one that was made with another `secure`; nothing is then written.

    Examples
    --------
    >>> import numpy as np
    >>> from fastloss.privacy import add_noise, clip_and_sum
    >>> total = None
    >>> for part in (np.ones((3, 4)), np.ones((1, 4))):
    ...     total = clip_and_sum(part, 1.0, accumulate=total, secure=True)
    >>> add_noise(total, 1.1, expected_batch_size=4, secure=True).shape
    (4,)
    """
    if not isinstance(clipped, ClippedSum):
        raise TypeError(f"clipped is a {type(clipped).__name__}; expected a ClippedSum")
    rules.check_choice(mechanism, "mechanism", (GAUSSIAN, LAPLACE))
    rules.check_norm(clipped.norm, mechanism)
    divisor = rules.check_divisor(expected_batch_size, reduction)
    multiplier = arguments.non_negative(noise_multiplier, "noise_multiplier")
    hardened = arguments.flag(secure, "secure")
    scale = rules.noise_scale_of(multiplier, clipped.sensitivity, clipped.max_grad_norm)
    if clipped.noised:
        raise ValueError("clipped has been noised; expected a sum without noise, as each is noised once")
    if hardened != (clipped.steps is not None):
        raise ValueError(f"secure = {secure!r} with a sum that was not clipped for it; expected clipped to come from "
                         f"clip_and_sum(..., secure={secure!r})")  # fmt: skip
    generator = as_generator(rng)
    sums = Gradients(_map(clipped.sum, lambda array: array[None]))
    result, outputs = _outputs(sums, out)
    if clipped.steps is not None:
        steps = clipped.steps.copy()
        budget = noise_budget(clipped.grid, (), mechanism, scale, steps.size)
        if scale > 0:
            object.__setattr__(clipped, "noised", True)
            generator._add_integers(mechanism, budget.scale, steps)
        write_grid(steps, outputs, clipped.grid, divisor)
        return result
    total = np.concatenate([matrix.reshape(-1) for matrix in sums.wide]).astype(np.float64, copy=False)
    key, first = None, 0
    if scale > 0:
        key, first = generator._reserve(mechanism, total.size)
        object.__setattr__(clipped, "noised", True)
    finish(total, outputs, divisor, mechanism == LAPLACE, key, first, scale)
    return result


def _map(arrays: Any, function: Callable[[Array], Array]) -> Any:
    """A function of every array of a structure."""
    if isinstance(arrays, dict):
        return {key: function(array) for key, array in arrays.items()}
    return type(arrays)(map(function, arrays)) if isinstance(arrays, list | tuple) else function(arrays)


def _outputs(sums: Gradients, out: object) -> tuple[Any, list[Array]]:
    """What the caller gets back and the arrays to write: checked outputs, or new ones."""
    if out is None:
        return sums.outputs(None)
    arrays = sums.match(out, "out")
    names = [name.replace("grads", "out", 1) for name in sums.names]
    given = [(name.replace("grads", "clipped.sum", 1), x[0]) for name, x in zip(sums.names, sums.given, strict=True)]
    for k, (array, name) in enumerate(zip(arrays, names, strict=True)):
        others = [given[k], *given[:k], *given[k + 1 :], *zip(names[:k], arrays, strict=False)]
        arguments.check_output(array, name, sums.shapes[k], sums.real, others)
    return out, arrays


def _release(values: object) -> Array:
    """Finite values as float32 or float64."""
    array = arguments.as_array(values, "values")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    finite = np.isfinite(array)
    if not finite.all():
        at = int(np.argmin(finite))
        raise ValueError(f"values{arguments.element(array, at)} = {array.reshape(-1)[at]} is not finite; expected "
                         "finite values, as no noise hides others")  # fmt: skip
    return array


def _noised(
    array: Array, mechanism: str, scale: float, rng: object, out: object, secure: float | None, delta: float | None
) -> Array:
    """Values plus the next noise of a source; where a sensitivity is given as `secure`, on a grid."""
    generator = as_generator(rng)
    if out is None:
        result = _core.new_array(array.shape, array.dtype)
    else:
        result = arguments.check_output(out, "out", array.shape, array.dtype, [("values", array)])
    if secure is not None:
        noise_on_grid([array], [result], scale, secure, mechanism=mechanism, generator=generator, delta=delta)
        return result
    total = array.astype(np.float64, order="C").reshape(-1)
    key, first = generator._reserve(mechanism, total.size)
    finish(total, [result], 1.0, mechanism == LAPLACE, key, first, scale)
    return result
