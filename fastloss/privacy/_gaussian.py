"""What Gaussian noise guarantees, exactly: the delta of a standard deviation, and the least deviation for a delta.

With sensitivity 1, standard deviation s and m = 1/s, the smallest delta for which the noise is (epsilon, delta)-private
is (Balle and Wang 2018) ::

    delta = Q(a) - e^epsilon Q(b),    a = epsilon/m - m/2,    b = epsilon/m + m/2,    Q(x) = P(N(0, 1) > x)
          = phi(a) (R(a) - R(b)),     R = Q/phi (Mills' ratio), as e^epsilon phi(b) = phi(a)

Both differences cancel: at epsilon = 1e-6 and delta = 1e-300, R(a) and R(b) agree to nine digits; for a large epsilon,
a is a small difference of large numbers. Binary floating point would need a proof for every range of arguments;
decimals with digits to spare need none, and the answer takes milliseconds, once.
"""

from __future__ import annotations

import decimal
import functools
import math
from decimal import Decimal

# Digits beyond those that cancel. Some ten are lost in sums of hundreds of terms.
SPARE = 50


def unit_delta(deviation: float, epsilon: float) -> Decimal:
    """The delta of noise of that standard deviation on something of sensitivity 1, right to more than 30 digits."""
    return _delta_and_slope(deviation, epsilon)[0]


@functools.lru_cache(maxsize=256)
def unit_deviation(epsilon: float, delta: float) -> float:
    """The smallest double whose `unit_delta` is at most delta; inf where there is none."""
    target = Decimal(delta)
    # Two proven upper bounds: delta <= exp(-a^2/2), and the total variation distance, delta <= m / sqrt(2 pi).
    tail = -2 * (math.log(delta) if delta < 0.5 else math.log1p(delta - 1))
    high = min((math.sqrt(tail) + math.sqrt(tail + 2 * epsilon)) / 2 / epsilon, 1 / math.sqrt(2 * math.pi) / delta)
    high = min(max(high * (1 + 2.0**-40), math.ulp(0.0)), math.nextafter(math.inf, 0))
    low, at = 0.0, high
    while True:
        found, slope = _delta_and_slope(at, epsilon)
        if found <= target:
            high = at
        elif at == high:
            return math.inf
        else:
            low = at
        middle = low + (high - low) / 2
        if not low < middle < high:
            return high
        # Newton's method in m, for log delta or, where that is flat, log(1 - delta): a little beyond the root, so that
        # the bracket closes from both sides; bisection at its end, and wherever a step leaves the bracket.
        with decimal.localcontext(_context(SPARE)):
            share, goal, sign = (found, target, 1) if delta < 0.5 else (1 - found, 1 - target, -1)
            m = 1 / Decimal(at) - sign * (share / goal).ln() * share / slope if share > 0 < slope else Decimal(0)
            step = float(1 / m) * (1 - 2.0**-50 if at == high else 1 + 2.0**-50) if m > 0 else math.inf
        at = step if low < step < high and high - low > 2.0**-48 * high else middle


def _delta_and_slope(deviation: float, epsilon: float) -> tuple[Decimal, Decimal]:
    """Delta and its derivative with respect to m, which is phi(a)."""
    m, e = 1 / Decimal(deviation), Decimal(epsilon)
    # R(a) - R(b) is about m/a of R(a), and a about epsilon/m; a itself is needed to an absolute 1e-SPARE / a.
    with decimal.localcontext(_context(SPARE + 2 * abs(m.adjusted()) + 2 * abs(e.adjusted()))):
        m = 1 / Decimal(deviation)
        a, b = e / m - m / 2, e / m + m / 2
        slope = (-a * a / 2).exp() / (2 * _pi(decimal.getcontext().prec)).sqrt()
        return slope * (_mills(a) - _mills(b)) if a >= 0 else 1 - slope * (_mills(-a) + _mills(b)), slope


def _context(digits: int) -> decimal.Context:
    """Arithmetic whose numbers never overflow and whose rounding is silent."""
    return decimal.Context(
        prec=digits, rounding=decimal.ROUND_HALF_EVEN, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX, capitals=1,
        clamp=0, flags=[], traps=[decimal.InvalidOperation, decimal.DivisionByZero],
    )  # fmt: skip


def _mills(x: Decimal) -> Decimal:
    """Q(x) / phi(x) of x >= 0, in the current context."""
    digits = decimal.getcontext().prec
    square = x * x
    if square < digits:
        return _mills_by_series(x, digits + int(square / 4) + 5)
    # Laplace's continued fraction 1/(x + 1/(x + 2/(x + 3/...))). Its convergents p/q lie on either side of the value,
    # (n - 1)! / (q_n q_(n-1)) apart; all terms are positive.
    p0, p, q0, q, n = Decimal(0), Decimal(1), Decimal(1), x, 1
    gap = 1 / x  # of the last two, as a share of the last
    while gap.adjusted() > -digits:
        p0, p = p, x * p + n * p0
        q0, q = q, x * q + n * q0
        n += 1
        gap = abs(1 - p0 * q / (q0 * p))
    return p / q


def _mills_by_series(x: Decimal, digits: int) -> Decimal:
    """sqrt(pi/2) e^(x^2/2) - (x + x^3/3 + x^5/(3 5) + ...); that difference loses x^2/4.6 digits."""
    with decimal.localcontext(_context(digits)):
        square = x * x
        term, total, n = x, Decimal(0), 1
        while term.adjusted() > total.adjusted() - digits and term != 0:
            total += term
            n += 2
            term = term * square / n
        return (_pi(digits) / 2).sqrt() * (square / 2).exp() - total


@functools.lru_cache(maxsize=64)
def _pi(digits: int) -> Decimal:
    """Machin: 16 arctan(1/5) - 4 arctan(1/239), in integers."""
    one = 10 ** (digits + 10)

    def arctan_of_inverse(n: int) -> int:
        power, total, k = one // n, 0, 1
        while power:
            total += power // k
            power, k = -(power // (n * n)) if power > 0 else -power // (n * n), k + 2
        return total

    return Decimal(16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239)).scaleb(-digits - 10)
