"""How much noise a guarantee takes: the standard deviation of Gaussian noise, the scale of Laplace noise.

Which of the two errs less is in comparison.py; what privacy many steps of training cost, in accounting.py.
"""

from __future__ import annotations

import math
import warnings
from fractions import Fraction

from fastloss import _arguments as arguments
from fastloss.privacy import _gaussian
from fastloss.privacy import _rules as rules

ANALYTIC, CLASSICAL = "analytic", "classical"
METHODS = (ANALYTIC, CLASSICAL)

# As error messages call them.
GAUSSIAN_SIGMA, LAPLACE_SCALE = "the standard deviation of Gaussian noise", "the scale of Laplace noise"


def gaussian_sigma(sensitivity: float, epsilon: float, delta: float, *, method: str = ANALYTIC) -> float:
    r"""Return the standard deviation of Gaussian noise that makes a release (epsilon, delta)-differentially private.

    ``"analytic"`` solves, for the smallest :math:`\sigma`,

    .. math:: \Phi\left(\frac{\Delta}{2\sigma} - \frac{\epsilon\sigma}{\Delta}\right)
              - e^\epsilon\, \Phi\left(-\frac{\Delta}{2\sigma} - \frac{\epsilon\sigma}{\Delta}\right) \le \delta,

    which is exactly what Gaussian noise guarantees (Balle and Wang, "Improving the Gaussian Mechanism for Differential
    Privacy", ICML 2018). ``"classical"`` is the formula of the textbooks and of the source documents,

    .. math:: \sigma = \frac{\Delta \sqrt{2 \ln(1.25 / \delta)}}{\epsilon},

    a theorem for epsilon < 1 only (Dwork and Roth 2014, theorem 3.22), and larger than needed there.

    Parameters
    ----------
    sensitivity : float
        The most, in L2 norm, that one person's data can change what is released; > 0.
    epsilon : float
        Privacy budget, > 0.
    delta : float
        Probability left outside epsilon, in (0, 1); take it well below one over the number of people.
    method : {"analytic", "classical"}
        The formula.

    Returns
    -------
    float
        The guarantee holds for the very number returned: rounding is upwards. With the analytic method and sensitivity
        1 it is the smallest float64 for which the inequality holds exactly. Where the classical formula alone would
        break it (it does for large epsilon), the analytic value.

    Raises
    ------
    TypeError, ValueError
        For an argument out of its domain, and where no float64 is large enough.

    Warns
    -----
    UserWarning
        By the classical method from epsilon = 1 on: the theorem does not cover it.

    Notes
    -----
    The guarantee is about real numbers. Noise of `NoiseGenerator` has floating-point holes: see there.

    Examples
    --------
    >>> from fastloss.privacy import gaussian_sigma
    >>> round(gaussian_sigma(1.0, 1.0, 1e-5), 7)
    3.7306316
    >>> round(gaussian_sigma(1.0, 0.5, 1e-5, method="classical"), 7)
    9.6896105
    """
    size = arguments.positive(sensitivity, "sensitivity")
    rules.check_choice(method, "method", METHODS)
    return sigma(size, *check_budget(epsilon, delta), method, stacklevel=2)


def sigma(sensitivity: float, epsilon: float, delta: float, method: str, stacklevel: int) -> float:
    """`gaussian_sigma` of checked arguments; its warning names the line so many calls above."""
    unit = unit_sigma(epsilon, delta, method, stacklevel + 1)
    return rounded_up(Fraction(sensitivity) * Fraction(unit), GAUSSIAN_SIGMA)


def laplace_scale(sensitivity: float, epsilon: float) -> float:
    r"""Return the scale of Laplace noise that makes a release epsilon-differentially private.

    .. math:: b = \Delta / \epsilon

    The noise has density :math:`e^{-|x|/b} / 2b` and standard deviation :math:`\sqrt2\, b` (Dwork et al. 2006).

    Parameters
    ----------
    sensitivity : float
        The most, in L1 norm, that one person's data can change what is released; > 0.
    epsilon : float
        Privacy budget, > 0.

    Returns
    -------
    float
        The smallest float64 that is at least the quotient.

    Raises
    ------
    TypeError, ValueError
        For an argument out of its domain, and where no float64 is large enough.

    Examples
    --------
    >>> from fastloss.privacy import laplace_scale
    >>> laplace_scale(1.0, 2.0)
    0.5
    """
    size, budget = arguments.positive(sensitivity, "sensitivity"), arguments.positive(epsilon, "epsilon")
    return rounded_up(Fraction(size) / Fraction(budget), LAPLACE_SCALE)


def check_budget(epsilon: object, delta: object) -> tuple[float, float]:
    """Epsilon and delta as numbers in their domains."""
    budget = arguments.positive(epsilon, "epsilon")
    return budget, arguments.number(delta, "delta", 0.0, 1.0, low_open=True, high_open=True)


def unit_sigma(epsilon: float, delta: float, method: str, stacklevel: int) -> float:
    """The standard deviation for sensitivity 1; its warning names the line so many calls above."""
    unit = _gaussian.unit_deviation(epsilon, delta)
    if method == CLASSICAL:
        classical = classical_unit_sigma(epsilon, delta)
        if epsilon >= 1:
            text = f"the classical formula is a theorem for epsilon < 1 only, and epsilon = {epsilon!r}; "
            if classical < unit:
                text += f"its {classical:.6g} (for sensitivity 1) is too small: the analytic {unit:.6g} is taken"
            else:
                text += "the analytic one holds for all and needs less noise"
            warnings.warn(text, stacklevel=stacklevel + 1)
        unit = max(classical, unit)
    if unit == math.inf:
        raise ValueError(f"epsilon = {epsilon!r} and delta = {delta!r} need a standard deviation beyond float64; "
                         "expected larger ones")  # fmt: skip
    return unit


def classical_unit_sigma(epsilon: float, delta: float) -> float:
    """The textbooks' formula as it stands, for sensitivity 1."""
    return math.sqrt(2 * (math.log(1.25) - math.log(delta))) / epsilon


def rounded_up(exact: Fraction, name: str) -> float:
    """The smallest double that is at least a positive number."""
    try:
        nearest = float(exact)
    except OverflowError:
        nearest = math.inf
    result = nearest if nearest == math.inf or Fraction(nearest) >= exact else math.nextafter(nearest, math.inf)
    if result == math.inf:
        raise ValueError(f"{name} overflows float64; expected a smaller sensitivity or a larger epsilon")
    return result
