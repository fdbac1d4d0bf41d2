"""What a mechanism that claims to be private gives away at least, found by attacking it many times over.

SciPy has the quantiles: ``pip install 'fastloss[privacy]'``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastloss import _arguments as arguments

Array = npt.NDArray[Any]

# Shares of the trials: for the direction in which results differ, and for the event; the rest judges.
DIRECTION, EVENT = 0.2, 0.3
LEAST_TRIALS, THRESHOLDS = 100, 400


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes
    ----------
    epsilon : float
        Lower bound of the mechanism's epsilon at that delta, >= 0; a claim of less is refuted.
    delta, confidence : float
        As given to `audit`.
    event : str
        The event that tells the two inputs apart, such as ``"statistic >= 1.25"``.
    likelier : str
        On which of them it is the likelier: ``"batch"`` or ``"neighbour"``.
    inside, outside : int
        How often it happened there, and on the other.
    trials : int
        Out of how many on each: those that judge.
    """

    epsilon: float
    delta: float
    confidence: float
    event: str
    likelier: str
    inside: int
    outside: int
    trials: int


def audit(
    mechanism: Callable[[Any], Any],
    batch: Any,
    neighbour: Any,
    *,
    delta: float = 0.0,
    trials: int = 10_000,
    confidence: float = 0.99,
    statistic: Callable[[Any], float] | None = None,
) -> Audit:
    r"""Return a lower bound on the epsilon of a mechanism, from its results for two neighbouring inputs.

    An (epsilon, delta)-private mechanism satisfies, for every event S and in both directions,

    .. math::

        P(M(batch) \in S) \le e^\varepsilon P(M(neighbour) \in S) + \delta.

    An event is chosen on some of the trials and counted on others, whose Clopper-Pearson intervals bound both
    probabilities. Needs the extra ``fastloss[privacy]``.

    Parameters
    ----------
    mechanism : callable
        Takes an input and returns a result with new noise: numbers, an array, or a list, tuple or dict of arrays.
    batch, neighbour
        Inputs that differ in one sample: the harder to hide, the tighter the bound.
    delta : float
        In [0, 1).
    trials : int
        How often the mechanism is called for each input, >= 100.
    confidence : float
        In (0, 1): the bound is wrong with a probability of at most one less this, if results are independent.
    statistic : callable, optional
        Makes a number of a result; events are that it is above or below a threshold. By default a weighted sum
        of all numbers, with weights in which the means of the two inputs differ most.

    Returns
    -------
    Audit
        With the bound ``.epsilon``.

    Raises
    ------
    TypeError, ValueError
        For an argument out of its domain, or results that are not finite or change their size.
    ImportError
        Where SciPy is not installed.

    Notes
    -----
    A bound below the claim proves nothing: it is one attack on one pair of inputs. A bound above the claim proves an
    error, with that confidence. No event whose probability is near 1e-5 is seen in some thousand trials, so a
    delta as small leaves most of epsilon unseen; audit the same mechanism at another point of its curve, such as
    delta = 0.1. The largest bound that trials can show is about the logarithm of their number less 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastloss.privacy import NoiseGenerator, clip_and_noise, gaussian_sigma
    >>> from fastloss.privacy.auditing import audit
    >>> generator = NoiseGenerator(1)
    >>> def release(grads, noise=gaussian_sigma(1.0, epsilon=1.0, delta=0.1)):
    ...     return clip_and_noise(grads, 1.0, noise, reduction="sum", rng=generator)
    >>> grads = np.full((3, 2), 0.1)
    >>> with_another = np.concatenate([grads, [[30.0, 40.0]]])
    >>> 0.3 < audit(release, grads, with_another, delta=0.1, trials=2000).epsilon < 1.0
    True
    >>> too_little = lambda grads: release(grads, noise=0.5)
    >>> audit(too_little, grads, with_another, delta=0.1, trials=2000).epsilon > 1.0
    True
    """
    share = arguments.number(delta, "delta", 0.0, 1.0, high_open=True)
    level = arguments.number(confidence, "confidence", 0.0, 1.0, low_open=True, high_open=True)
    count = _check_trials(trials)
    for name, function in (("mechanism", mechanism), ("statistic", abs if statistic is None else statistic)):
        if not callable(function):
            raise TypeError(f"{name} = {function!r} is not callable")
    first = 0
    if statistic is None:
        first = round(DIRECTION * count)
        weights = _direction(mechanism, batch, neighbour, first)
        measured: Callable[[Any], float] = lambda result: float(weights @ _flat(result, weights.size))  # noqa: E731
    else:
        measured = statistic

    def sample(n: int) -> tuple[Array, Array]:
        """On both inputs, taking turns: what drifts over time can't pass for a difference."""
        values = np.array([[measured(mechanism(data)) for data in (batch, neighbour)] for _ in range(n)], float)
        if not np.isfinite(values).all():
            raise ValueError("statistic gave a NaN or inf; expected finite numbers")
        return values[:, 0], values[:, 1]

    second = round(EVENT * count)
    likelier, above, threshold = _choose(*sample(second), share, level)
    samples = sample(count - first - second)
    happened = [int(np.count_nonzero((values >= threshold) == above)) for values in samples]
    inside, outside = happened[likelier], happened[1 - likelier]
    return Audit(
        epsilon=float(_bound(np.array([inside]), np.array([outside]), len(samples[0]), share, level)[0]),
        delta=share,
        confidence=level,
        event=f"statistic {'>=' if above else '<'} {threshold:.6g}",
        likelier=("batch", "neighbour")[likelier],
        inside=inside,
        outside=outside,
        trials=len(samples[0]),
    )


def _check_trials(trials: object) -> int:
    if isinstance(trials, bool) or not hasattr(trials, "__index__"):
        raise TypeError(f"trials = {trials!r} is not an integer")
    count = operator.index(trials)
    if count < LEAST_TRIALS:
        raise ValueError(f"trials = {count} is too small; expected an integer >= {LEAST_TRIALS}")
    return count


def _flat(result: Any, size: int | None) -> Array:
    """All numbers of a result."""
    parts = result.values() if isinstance(result, dict) else result if isinstance(result, list | tuple) else [result]
    flat = np.concatenate([np.asarray(part, np.float64).reshape(-1) for part in parts] or [np.empty(0)])
    if size is not None and flat.size != size:
        raise ValueError(f"mechanism gave {flat.size} numbers after {size}; expected results of one size")
    if not np.isfinite(flat).all():
        raise ValueError("mechanism gave a NaN or inf; expected finite numbers, or a statistic that copes with others")
    return flat


def _direction(mechanism: Callable[[Any], Any], batch: Any, neighbour: Any, n: int) -> Array:
    """Difference of the means over the variance, number by number: the best weights for independent normal noise."""
    sums, squares, size = [0.0, 0.0], 0.0, None
    origin: Any = 0.0
    for _ in range(n):
        for k, data in enumerate((batch, neighbour)):
            flat = _flat(mechanism(data), size)
            if size is None:
                size, origin = flat.size, flat
            away = flat - origin  # near 0: no cancellation in the variances
            sums[k] = sums[k] + away
            squares = squares + away * away
    means = [np.asarray(total / n) for total in sums]
    gap = means[1] - means[0]
    variance = np.maximum(squares / n - means[0] ** 2 - means[1] ** 2, 0.0) / 2
    # Numbers without noise get as much weight as a double holds beside the others.
    weights: Array = gap / np.maximum(variance, max(float(np.max(gap**2, initial=0.0)) * 1e-12, 1e-300))
    return weights


def _choose(batch: Array, neighbour: Array, delta: float, confidence: float) -> tuple[int, bool, float]:
    """The event with the highest bound: on which input it is the likelier, whether above, and the threshold."""
    pooled = np.unique(np.concatenate([batch, neighbour]))
    thresholds = pooled[np.unique(np.linspace(0, pooled.size - 1, THRESHOLDS).astype(int))]
    n = batch.size
    below = [np.searchsorted(np.sort(values), thresholds) for values in (batch, neighbour)]
    best = (-math.inf, 0, True, float(thresholds[0]))
    for likelier in (0, 1):
        for above in (True, False):
            counts = [n - b if above else b for b in below]
            bounds = _bound(counts[likelier], counts[1 - likelier], n, delta, confidence, floor=-math.inf)
            k = int(np.argmax(bounds))
            best = max(best, (float(bounds[k]), likelier, above, float(thresholds[k])))
    return best[1:]


def _bound(inside: Array, outside: Array, n: int, delta: float, confidence: float, floor: float = 0.0) -> Array:
    """log((p - delta) / q) with p a lower bound of one probability and q an upper bound of the other."""
    special = _package()
    error = (1 - confidence) / 2
    p = np.where(inside > 0, special.betaincinv(np.maximum(inside, 1), n - inside + 1, error), 0.0)
    q = np.where(outside < n, special.betaincinv(outside + 1, np.maximum(n - outside, 1), 1 - error), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Array = np.where(p > delta, np.maximum(np.log(np.maximum(p - delta, 0.0) / q), floor), floor)
    return result


def _package() -> Any:
    try:
        from scipy import special
    except ImportError as error:
        raise ImportError(
            "an audit needs SciPy, which is not installed here; to install: pip install scipy   "
            "(or: pip install 'fastloss[privacy]')"
        ) from error
    return special
