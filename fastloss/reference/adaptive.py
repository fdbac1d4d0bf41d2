"""The NumPy twin of `fastloss.privacy.AdaptiveClipper`, its noise apart."""

import math
from typing import Any

import numpy as np


def gradient_multiplier(noise_multiplier: float, count_noise: float) -> float:
    """The gradients' noise multiplier: (z^-2 - (2 sigma_b)^-2)^(-1/2)."""
    return 1 / math.sqrt(1 / noise_multiplier**2 - 1 / (2 * count_noise) ** 2)


def update(
    bound: float, norms: Any, count_noise: float, expected_batch_size: float, quantile: float, learning_rate: float
) -> tuple[float, float]:
    """The noised share of norms within the bound, and the next bound; `count_noise` is the noise itself."""
    bits = np.asarray(norms) <= bound
    share = 0.5 + (float(np.sum(bits - 0.5)) + count_noise) / expected_batch_size
    return share, bound * float(np.exp(-learning_rate * (share - quantile)))
