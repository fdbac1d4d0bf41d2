"""Recomputes the polynomials log_cosh_tail_() of csrc/core/math_f32.h and math_f64.h: python csrc/tools/log_cosh.py

(log cosh r - r^2/2) / r^4 as a polynomial in g = r^2 on [0, 1/4], interpolated at Chebyshev's points, its coefficients
rounded to the type; lowest power first, then the largest relative error that it leaves in log cosh r. Needs mpmath. The
build does not run it.
"""

import mpmath as mp
import numpy as np

LARGEST = mp.mpf(1) / 4


def tail(g: mp.mpf) -> mp.mpf:
    """Return what the polynomial stands for."""
    return (mp.log(mp.cosh(mp.sqrt(g))) - g / 2) / g**2


def coefficients(count: int, real: type) -> list[float]:
    """Return the coefficients as numbers of the type."""
    nodes = [LARGEST / 2 * (1 + mp.cos(mp.pi * (2 * k + 1) / (2 * count))) for k in range(count)]
    powers = mp.matrix([[x**j for j in range(count)] for x in nodes])
    solution = mp.lu_solve(powers, mp.matrix([tail(x) for x in nodes]))
    return [float(real(float(c))) for c in solution]


def error(poly: list[float]) -> mp.mpf:
    """Return the largest relative error of log cosh r."""

    def off(g: mp.mpf) -> mp.mpf:
        return abs((g / 2 + g * g * mp.polyval(poly[::-1], g)) / mp.log(mp.cosh(mp.sqrt(g))) - 1)

    return max(off(LARGEST * k / 1000) for k in range(1, 1001))


mp.mp.prec = 300
for count, real in ((5, np.float32), (10, np.float64)):
    poly = coefficients(count, real)
    print(real.__name__, *(c.hex() for c in poly), "error", mp.nstr(error(poly), 2))
