/* q^gamma in double, for the few numbers of a row that a loss raises to a power. Not for loops over elements of a float
 * kernel, which need no double.
 *
 * q^gamma = e^(gamma log q), and an error of log q is multiplied by gamma |log q|, up to 745: so the logarithm is a
 * pair of doubles, and the product keeps what it rounds away. q may be a pair too. Polynomials are Taylor's, long enough.
 */
#ifndef FASTLOSS_POWER_H
#define FASTLOSS_POWER_H

#include "wide.h"

/* What a b rounds away; exact unless it leaves the range of normal numbers. */
INLINE double product_rest(double a, double b, double product) {
#if HAVE_FMA
  return fma_double(a, b, -product);
#else
  double a1 = a * 0x1.0000002p27, b1 = b * 0x1.0000002p27; /* Dekker: halves of 26 bits */
  a1 = a1 - (a1 - a);
  b1 = b1 - (b1 - b);
  double a2 = a - a1, b2 = b - b1;
  return ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2;
#endif
}

/* (n + n_low) / (d + d_low) = result + *low. */
INLINE double pair_quotient(double n, double n_low, double d, double d_low, double *low) {
  double q = n / d, product = q * d;
  double rest = (n - product) - product_rest(q, d, product);
  double l = ((rest + n_low) - q * d_low) / d;
  l = l == l ? l : 0.0; /* NaN beside an infinite q */
  double sum = q + l; /* the low part of a long sum may be many units: add again */
  *low = l - (sum - q);
  *low = *low == *low ? *low : 0.0;
  return sum;
}

/* log q = result + *low for normal q: 2^k (1 + f), log(1 + f) = f - f^2 / 2 + s (f^2 / 2 + p), s = f / (2 + f). */
INLINE double log_pair(double q, double *low) {
  uint64_t bits, shifted;
  double field, f;
  memcpy(&bits, &q, sizeof bits);
  shifted = bits + (0x3ff0000000000000u - 0x3fe6666666666666u); /* k counts from 0.7 */
  bits = (shifted & 0xfffffffffffffu) + 0x3fe6666666666666u;
  memcpy(&f, &bits, sizeof f);
  f -= 1.0;
  bits = (shifted >> 52) | 0x4330000000000000u;
  memcpy(&field, &bits, sizeof field);
  const double k = field - (0x1p52 + 1023.0);
  double s = f / (2.0 + f), g = s * s, square = f * f, half = 0.5 * square;
  double p = 2.0 / 23.0;
  p = p * g + 2.0 / 21.0;
  p = p * g + 2.0 / 19.0;
  p = p * g + 2.0 / 17.0;
  p = p * g + 2.0 / 15.0;
  p = p * g + 2.0 / 13.0;
  p = p * g + 2.0 / 11.0;
  p = p * g + 2.0 / 9.0;
  p = p * g + 2.0 / 7.0;
  p = p * g + 2.0 / 5.0;
  p = p * g + 2.0 / 3.0;
  double a = f - half, small = (f - a) - half, t = s * (half + p * g);
  double b = a + t, h = k * 0x1.62e42ffp-1 + b; /* 29 bits of ln 2: the product is exact */
  small += ((a - b) + t) - 0.5 * product_rest(f, f, square);
  *low = small + ((k * 0x1.62e42ffp-1 - h) + b) + k * -0x1.718432a1b0e26p-35;
  return h;
}

/* e^(y + y_low) for y <= 0. */
INLINE double exp_pair(double y, double y_low) {
  double bounded = y < -746.0 ? -746.0 : y, power;
  double shifted = bounded * 0x1.71547652b82fep0 + 0x1.8p52, n = shifted - 0x1.8p52;
  double r = ((bounded - n * 0x1.62e42ffp-1) - n * -0x1.718432a1b0e26p-35) + y_low;
  uint64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  bits = (bits << 52) + ((uint64_t)(1023 + 200) << 52); /* n is never below -1077 */
  memcpy(&power, &bits, sizeof power);
  double e = 1.0 / 6227020800.0;
  e = e * r + 1.0 / 479001600.0;
  e = e * r + 1.0 / 39916800.0;
  e = e * r + 1.0 / 3628800.0;
  e = e * r + 1.0 / 362880.0;
  e = e * r + 1.0 / 40320.0;
  e = e * r + 1.0 / 5040.0;
  e = e * r + 1.0 / 720.0;
  e = e * r + 1.0 / 120.0;
  e = e * r + 1.0 / 24.0;
  e = e * r + 1.0 / 6.0;
  e = e * r + 0.5;
  return (e * r * r + r + 1.0) * power * 0x1p-200;
}

/* (q + q_low)^gamma for q in [0, 1], gamma > 0. */
INLINE double unit_power(double q, double q_low, double gamma) {
  int tiny = q < 0x1p-900;
  double scaled = tiny ? q * 0x1p100 : q, low, high = log_pair(scaled, &low);
  double rest = q_low / q;
  low += (tiny ? 100.0 * 0x1.718432a1b0e26p-35 : 0.0) + (rest == rest ? rest : 0.0);
  high -= tiny ? 100.0 * 0x1.62e42ffp-1 : 0.0;
  double y = gamma * high, power = exp_pair(y, product_rest(gamma, high, y) + gamma * low);
  return q > 0.0 ? power : q; /* 0 and NaN */
}

#endif
