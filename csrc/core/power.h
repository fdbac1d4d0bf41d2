/* Logarithm, exponential and powers in double, in the kernels of both real types, for the few numbers of a row that a loss
 * raises to a power. Not for loops over elements of a float kernel, which need no double.
 *
 * A logarithm is a pair (hi, lo), good to about 2^-62 of itself, because its multiple in x^q = e^(q log x) may reach 745
 * and its rounding alone would cost as many ULP; the product keeps what it rounds away. log x = k ln 2 + 2 atanh(s),
 * s = f / (2 + f), f = m - 1, m in [0.7, 1.4). Polynomials are Taylor's, long enough.
 */
#ifndef FASTLOSS_POWER_H
#define FASTLOSS_POWER_H

#include "wide.h"

INLINE double double_of(uint64_t u) {
  double x;
  memcpy(&x, &u, sizeof x);
  return x;
}

INLINE uint64_t bits_of_double(double x) {
  uint64_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

/* product + *low == a * b: by FMA, or by Dekker's halves of 26 bits (no overflow for |a|, |b| < 2^990). */
INLINE double double_product(double a, double b, double *low) {
  double p = a * b;
#if HAVE_FMA
  *low = fma_double(a, b, -p);
#else
  double ca = 134217729.0 * a, ah = ca - (ca - a), al = a - ah;
  double cb = 134217729.0 * b, bh = cb - (cb - b), bl = b - bh;
  *low = ((ah * bh - p) + ah * bl + al * bh) + al * bl;
#endif
  return p;
}

/* sum + *low == a + b, for |a| >= |b| or a = 0. */
INLINE double double_fast_sum(double a, double b, double *low) {
  double s = a + b;
  *low = b - (s - a);
  return s;
}

INLINE double double_log(double x, double *low) {
  const double ln2_hi = 0x1.62e42ffp-1, ln2_lo = -0x1.718432a1b0e26p-35;
  const int subnormal = x < DBL_MIN;
  const uint64_t one = bits_of_double(1.0), seventh = bits_of_double(0.7), mask = ((uint64_t)1 << 52) - 1;
  const uint64_t u = bits_of_double(subnormal ? x * 0x1p52 : x) + (one - seventh);
  const double k = double_of((u >> 52) | bits_of_double(0x1p52)) - (0x1p52 + 1023.0 + (subnormal ? 52.0 : 0.0));
  const double f = double_of((u & mask) + seventh) - 1.0, d = 2.0 + f, d_low = f - (d - 2.0);
  double p_low, s = f / d, p = double_product(s, d, &p_low);
  const double s_low = (((f - p) - p_low) - s * d_low) / d, g = s * s;
  /* 2 (atanh(s) - s) / s^3: Taylor's series, whose rest is below 2^-62 for |s| <= 0.1765 */
  double q = 2.0 / 25.0;
  q = fma_double(q, g, 2.0 / 23.0);
  q = fma_double(q, g, 2.0 / 21.0);
  q = fma_double(q, g, 2.0 / 19.0);
  q = fma_double(q, g, 2.0 / 17.0);
  q = fma_double(q, g, 2.0 / 15.0);
  q = fma_double(q, g, 2.0 / 13.0);
  q = fma_double(q, g, 2.0 / 11.0);
  q = fma_double(q, g, 2.0 / 9.0);
  q = fma_double(q, g, 2.0 / 7.0);
  q = fma_double(q, g, 2.0 / 5.0);
  q = fma_double(q, g, 2.0 / 3.0);
  double e, h = double_fast_sum(k * ln2_hi, 2.0 * s, &e);
  *low = e + (k * ln2_lo + (2.0 * s_low + s * g * q));
  return double_fast_sum(h, *low, low);
}

/* e^(x + low), x <= 710. */
INLINE double double_exp(double x, double low) {
  const double magic = 0x1.8p52;
  const double c = x < -746.0 ? -746.0 : x;
  const double shifted = fma_double(c, 0x1.71547652b82fep0, magic), n = shifted - magic;
  const double high = fma_double(-n, 0x1.62e42ffp-1, c), r = fma_double(-n, -0x1.718432a1b0e26p-35, high);
  const double rest = fma_double(-n, -0x1.718432a1b0e26p-35, high - r) + low;
  double q = 1.0 / 6227020800.0;
  q = fma_double(q, r, 1.0 / 479001600.0);
  q = fma_double(q, r, 1.0 / 39916800.0);
  q = fma_double(q, r, 1.0 / 3628800.0);
  q = fma_double(q, r, 1.0 / 362880.0);
  q = fma_double(q, r, 1.0 / 40320.0);
  q = fma_double(q, r, 1.0 / 5040.0);
  q = fma_double(q, r, 1.0 / 720.0);
  q = fma_double(q, r, 1.0 / 120.0);
  q = fma_double(q, r, 1.0 / 24.0);
  q = fma_double(q, r, 1.0 / 6.0);
  const double e_r = 1.0 + fma_double(r * r, fma_double(q, r, 0.5), r), y = fma_double(e_r, rest, e_r);
  const uint64_t all = bits_of_double(shifted), half = all >> 1, one = bits_of_double(1.0);
  return y * double_of((half << 52) + one) * double_of(((all - half) << 52) + one);
}

/* (x / y)^q for q > 0, from logarithms of x and y: at most 1 ULP off, where that is normal. */
INLINE double power_of_logs(double q, double log_x, double low_x, double log_y, double low_y) {
  double d = log_x - log_y, dd = d - log_x, low = (log_x - (d - dd)) - (log_y + dd);
  double product_low, product = double_product(q, d, &product_low);
  return double_exp(product, fma_double(q, low + (low_x - low_y), product_low));
}

/* (n + n_low) / (d + d_low) = result + *low. */
INLINE double pair_quotient(double n, double n_low, double d, double d_low, double *low) {
  double q = n / d, rounded, product = double_product(q, d, &rounded);
  double rest = (n - product) - rounded;
  double l = ((rest + n_low) - q * d_low) / d;
  l = l == l ? l : 0.0; /* NaN beside an infinite q */
  double sum = q + l; /* the low part of a long sum may be many units: add again */
  *low = l - (sum - q);
  *low = *low == *low ? *low : 0.0;
  return sum;
}

/* (q + q_low)^gamma for q in [0, 1], gamma > 0. */
INLINE double unit_power(double q, double q_low, double gamma) {
  double low, high = double_log(q, &low), rest = q_low / q, product_low;
  low += rest == rest ? rest : 0.0;
  double y = double_product(gamma, high, &product_low);
  return q > 0.0 ? double_exp(y, fma_double(gamma, low, product_low)) : q; /* 0 and NaN */
}

#endif
