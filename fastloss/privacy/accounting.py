"""What privacy a training with `clip_and_noise` costs, and the noise that a budget needs: by the package dp-accounting.

It comes with the extra: ``pip install 'fastloss[privacy]'``. Here is only what makes its answers safe to use: the
discretisation that keeps memory bounded, and roundings that never overspend.
"""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import numpy as np

from fastloss import _arguments as arguments
from fastloss.privacy import _rules as rules
from fastloss.privacy import calibration as calibrate

PLD, RDP = "pld", "rdp"
ACCOUNTANTS = (PLD, RDP)

# Intervals of the privacy loss below the answer (first, and once it is known better), and in one step's range of it.
RESOLUTIONS, LARGEST_GRID = (1024, 2**13), 2**17

# Composition by fast Fourier transforms leaves errors of about 1e-13 in probabilities. They disappear in this share of
# a delta from the smallest on; smaller ones are left to RDP.
SLACK, SMALLEST_DELTA = 2.0**-10, 1e-10

# Renyi orders: beyond a thousand they matter for epsilons near 0.01.
ORDERS = [*range(2, 17), 18, 20, 22, 24, 28, 32, 36, 40, 44, 48, 56, 64, 80, 96, 112, 128, 160, 192, 256, 320, 384, 512]
ORDERS += [768, 1024, 1536, 2048, 3072, 4096, 8192]

# Noise multipliers that are tried: 512 in each factor of two.
STEPS_PER_OCTAVE, LARGEST_OCTAVE = 512, 30


def epsilon(noise_multiplier: float, delta: float, sampling_rate: float, steps: int, *, accountant: str = PLD) -> float:
    """Return the epsilon that steps of DP-SGD cost: an upper bound.

    Each step draws a batch by Poisson sampling and releases what `clip_and_noise` returns for it, with Gaussian noise.
    Neighbouring data sets differ by one sample added or removed. Needs the extra ``fastloss[privacy]``.

    Parameters
    ----------
    noise_multiplier : float
        As given to `clip_and_noise`, >= 0. With 0 the answer is inf.
    delta : float
        In (0, 1); take it well below one over the number of samples.
    sampling_rate : float
        Probability that a sample is in a batch, in (0, 1]: the expected batch size over the number of samples.
    steps : int
        Number of batches, >= 1.
    accountant : {"pld", "rdp"}
        Privacy loss distributions (numerical composition, tight; RDP where that is lower, and for delta < 1e-10), or
        Renyi differential privacy alone (faster, 5 to 20 percent more).

    Returns
    -------
    float
        The guarantee is (epsilon, delta)-differential privacy of all steps together.

    Raises
    ------
    TypeError, ValueError
        For an argument out of its domain.
    ImportError
        Where dp-accounting is not installed.

    Notes
    -----
    Batches that are shuffled instead of sampled are *not* covered, though often reported as if they were. Neither is
    noise of a seeded generator, nor what else was tried on the same data.

    Examples
    --------
    The training of the DP-SGD tutorials, 15 epochs of MNIST in batches of 256 of 60,000::

        epsilon(1.3, 1e-5, 256 / 60_000, 3516)   # 0.865
    """
    multiplier = arguments.non_negative(noise_multiplier, "noise_multiplier")
    training = _check(delta, sampling_rate, steps, accountant)
    return _epsilon(multiplier, *training)


def noise_multiplier(epsilon: float, delta: float, sampling_rate: float, steps: int, *, accountant: str = PLD) -> float:
    """Return the noise multiplier for which steps of DP-SGD cost at most an epsilon.

    Parameters
    ----------
    epsilon : float
        The budget, > 0.
    delta, sampling_rate, steps, accountant
        As in the function `epsilon`.

    Returns
    -------
    float
        For `clip_and_noise`. The function `epsilon` of it, with the same arguments, is at most the budget: never above
        it by a tolerance. It is a number of at most ten binary digits, at most 0.2 percent above the least.

    Raises
    ------
    TypeError, ValueError
        For an argument out of its domain, or a budget that no noise multiplier up to 2**30 meets.
    ImportError
        Where dp-accounting is not installed.

    Examples
    --------
    For epsilon = 2 with the training of the DP-SGD tutorials::

        noise_multiplier(2.0, 1e-5, 256 / 60_000, 14_063)   # 1.2265625
    """
    budget = arguments.positive(epsilon, "epsilon")
    training = _check(delta, sampling_rate, steps, accountant)
    return _multiplier(_least(budget, training))


def _check(delta: object, sampling_rate: object, steps: object, accountant: object) -> tuple[float, float, int, str]:
    """The arguments of a training, checked."""
    _, share = calibrate.check_budget(1.0, delta)
    rate = arguments.number(sampling_rate, "sampling_rate", 0.0, 1.0, low_open=True)
    rules.check_choice(accountant, "accountant", ACCOUNTANTS)
    if isinstance(steps, bool) or not hasattr(steps, "__index__"):
        raise TypeError(f"steps = {steps!r} is not an integer")
    count = operator.index(steps)
    if count < 1:
        raise ValueError(f"steps = {count} is out of range; expected an integer >= 1")
    return share, rate, count, str(accountant)


def _least(budget: float, training: tuple[float, float, int, str]) -> int:
    """The index of the least noise multiplier of the list that meets a budget: by interpolating log epsilon."""
    index, low, high = 0, (0, math.inf), (0, 0.0)  # of the last that failed and the last that met it
    failed = met = halve = False
    while True:
        cost = _epsilon(_multiplier(index), *training)
        if cost <= budget:
            high, met = (index, cost), True
        else:
            low, failed = (index, cost), True
        if met and failed:
            if high[0] - low[0] == 1:
                return high[0]
            # Every other time halved: where epsilon falls off a cliff, interpolation alone creeps.
            share, halve = 0.5, not halve
            if halve and low[1] < math.inf and high[1] > 0:
                share = math.log(low[1] / budget) / math.log(low[1] / high[1])
            index = min(max(math.ceil(low[0] + share * (high[0] - low[0])), low[0] + 1), high[0] - 1)
        else:
            # Epsilon falls about as fast as the multiplier rises, or faster.
            octaves = math.log2(cost / budget) if 0 < cost < math.inf else math.inf if cost else -math.inf
            index += round(STEPS_PER_OCTAVE * min(max(octaves, -2.0), 4.0)) or (1 if failed else -1)
            if index > LARGEST_OCTAVE * STEPS_PER_OCTAVE:
                raise ValueError(f"epsilon = {budget!r} needs a noise multiplier above 2**30; expected a larger "
                                 "epsilon or delta, or fewer steps")  # fmt: skip


def _multiplier(index: int) -> float:
    octave, place = divmod(index, STEPS_PER_OCTAVE)
    return math.ldexp(1 + place / STEPS_PER_OCTAVE, octave)


@functools.lru_cache(maxsize=1024)
def _epsilon(multiplier: float, delta: float, rate: float, steps: int, accountant: str) -> float:
    """An upper bound on epsilon, by a function that falls with the multiplier and delta and rises with the others."""
    dp_accounting = _package()
    if multiplier < 1e-3:
        return math.inf  # nothing is hidden, and the range of the loss overflows
    gaussian = dp_accounting.GaussianDpEvent(multiplier)
    event = dp_accounting.SelfComposedDpEvent(dp_accounting.PoissonSampledDpEvent(rate, gaussian), steps)
    # The package divides by masses near 0 on its way, to an inf that it compares.
    with np.errstate(all="ignore"):
        bound = float(dp_accounting.rdp.RdpAccountant(ORDERS).compose(event).get_epsilon(delta))
        if accountant == RDP or delta < SMALLEST_DELTA or not 0 < bound < math.inf:
            return bound
        # Intervals are powers of two that grow with the answer and with the range of the loss: so does the error of the
        # discretisation, which is upwards, and the answer stays monotone. RDP can be far off; hence a second round.
        least = _power_of_two(_range_of_loss(multiplier, rate) / LARGEST_GRID)
        intervals: list[float] = []
        for resolution in RESOLUTIONS:
            interval = max(_power_of_two(bound / resolution), least)
            if interval not in intervals and bound > 0:
                intervals.append(interval)
                accounting = dp_accounting.pld.PLDAccountant(value_discretization_interval=interval).compose(event)
                bound = min(bound, float(accounting.get_epsilon(delta * (1 - SLACK))))
    return bound


def _range_of_loss(multiplier: float, rate: float) -> float:
    """About how far apart the privacy losses of one step are, but for events of probability e^-50."""
    largest = 0.5 / multiplier**2 + 10 / multiplier
    if rate == 1:
        return 2 * largest
    gain = math.log1p(rate * math.expm1(largest)) if largest < 700 else largest + math.log(rate)
    return max(gain, 0.0) - math.log1p(-rate)


def _power_of_two(x: float) -> float:
    """The smallest that is at least x."""
    mantissa, exponent = math.frexp(x)
    return math.ldexp(1.0, exponent - (mantissa == 0.5))


def _package() -> Any:
    try:
        import dp_accounting
        import dp_accounting.pld
        import dp_accounting.rdp
    except ImportError as error:
        raise ImportError(
            "accounting needs the package dp-accounting, which is not installed here; to install: "
            "pip install dp-accounting   (or: pip install 'fastloss[privacy]')"
        ) from error
    return dp_accounting
