"""The NumPy twin of calibration and comparison in fastloss.privacy: from the definitions, slow and obviously correct.

Arguments are taken as right, and nothing is rounded upwards.
"""

import math

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def gaussian_delta(sigma: float, sensitivity: float, epsilon: float) -> float:
    """The smallest delta for which noise N(0, sigma^2) is (epsilon, delta)-private, by its definition.

    The integral of max(p - e^epsilon q, 0) over the densities p, q of two outputs a sensitivity apart. In units of
    sigma, with d = sensitivity / sigma, p is normal around 0 and q around -d; p / q = e^(d u + d^2 / 2), and so p is
    larger than e^epsilon q above a = epsilon / d - d / 2, where the integrand is p(u) (1 - e^(-d (u - a))).
    """
    d = sensitivity / sigma
    a = epsilon / d - d / 2
    # Gauss-Legendre on pieces; 40 beyond the start (or beyond the peak at 0) nothing is left.
    nodes, weights = np.polynomial.legendre.leggauss(20)
    start, end = max(a, -40.0), max(a, 0.0) + 40.0
    edges = np.linspace(start, end, 401)
    half = np.diff(edges)[:, None] / 2
    u = edges[:-1, None] + half * (nodes + 1)
    # u^2 = a^2 + (u - a)(u + a): the large part of the exponent is taken out of the sum.
    peak = max(a, 0.0)
    density = np.exp(-(u - peak) * (u + peak) / 2)
    integral = float((density * -np.expm1(-d * (u - a)) * half * weights).sum())
    return min(1.0, integral * math.exp(-peak * peak / 2) / math.sqrt(2 * math.pi))


def gaussian_sigma(sensitivity: float, epsilon: float, delta: float, *, method: str = "analytic") -> float:
    """The textbooks' formula, or bisection for the smallest sigma whose delta is small enough."""
    if method == "classical":
        return sensitivity * math.sqrt(2 * math.log(1.25 / delta)) / epsilon
    low, high = -700.0, 700.0  # log sigma / sensitivity
    for _ in range(80):
        middle = (low + high) / 2
        enough = gaussian_delta(math.exp(middle), 1.0, epsilon) <= delta
        low, high = (low, middle) if enough else (middle, high)
    return sensitivity * math.exp(high)


def laplace_scale(sensitivity: float, epsilon: float) -> float:
    """The scale of Laplace noise."""
    return sensitivity / epsilon


def laplace_within(bound: float, scale: float) -> float:
    """The probability that Laplace noise is within a bound."""
    return -math.expm1(-bound / scale)


def gaussian_within(bound: float, scale: float) -> float:
    """The probability that Gaussian noise is within a bound."""
    return math.erf(bound / (scale * math.sqrt(2)))


def error_bound(
    mechanism: str,
    queries: int,
    epsilon: float,
    *,
    delta: float = 0.5,
    confidence: float = 0.95,
    sensitivity: float = 1.0,
    calibration: str = "analytic",
    convention: str = "exact",
) -> float:
    """The bound that noise stays within with that probability, by bisection of the probability.

    One person changes the answers by queries * sensitivity in L1 norm, sqrt(queries) * sensitivity in L2 norm. In the
    source document's convention, sigma is the classical one and Laplace noise has half the probability of an error.
    """
    seed = convention == "seed"
    within, wanted = gaussian_within, confidence
    if mechanism == "laplace":
        scale = laplace_scale(queries * sensitivity, epsilon)
        within, wanted = laplace_within, (1 + confidence) / 2 if seed else confidence
    else:
        method = "classical" if seed else calibration
        scale = gaussian_sigma(math.sqrt(queries) * sensitivity, epsilon, delta, method=method)
    low, high = 0.0, 40 * scale
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if within(middle, scale) >= wanted else (middle, high)
    return high


def crossover(epsilon: float, delta: float, *, confidence: float = 0.95, calibration: str = "analytic",
              convention: str = "exact") -> int:  # fmt: skip
    """The least number of queries for which Gaussian noise errs less, by trying."""
    laplace = error_bound("laplace", 1, epsilon, confidence=confidence, convention=convention)
    gaussian = error_bound("gaussian", 1, epsilon, delta=delta, confidence=confidence, calibration=calibration,
                           convention=convention)  # fmt: skip
    queries = 1
    while not math.sqrt(queries) * gaussian < queries * laplace:
        queries += 1
    return queries
