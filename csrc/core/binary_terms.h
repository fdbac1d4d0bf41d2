/* What the losses of a logit x and a label t in [0, 1] are made of, some in two words, so that a product of several of
 * them stays below 4 ULP. Not for cross-entropy alone, which has its own shorter body in losses/.
 *
 * With z = e^-|x| and 1 / (1 + z) = big, sigma(x) and sigma(-x) are big and z big. Let c be the part of the label on
 * the side that x is not on (1 - t for x >= 0, t below), o = 1 - c the other, and tilt = c - o. Then
 *   q = 1 - p_t = t sigma(-x) + (1 - t) sigma(x) = big (c + o z),  q' = sign tilt u,  u = p (1 - p) = z big^2,
 *   cross-entropy = c |x| + log1p(z),  its derivative sign big (c - o z):
 * sums of positive terms but for the last, which for a hard label has one.
 */
#ifndef FASTLOSS_BINARY_TERMS_H
#define FASTLOSS_BINARY_TERMS_H

#include "math.h"

typedef struct {
  real sign;     /* of x: 1 or -1 */
  real distance; /* |x| */
  real c, o, tilt;
  real z, z_low, z_64; /* z_64 = 2^64 z, normal */
  real big, big_low;
  real mixed, mixed_low; /* c + o z */
  real q, q_low;
  real loss;  /* cross-entropy */
  real slope; /* its derivative, times sign */
  real u, u_low, u_64;
  real spread; /* (z - 1) big = -|2p - 1| */
} binary_terms;

/* finite, a constant: |x| is cut at the largest number, so that 0 |x| is 0 where x is infinite. words, a constant: 2,
 * or 1 for a loss that multiplies no more than u; the low words are then 0. z is e^-|x|, with its low word, and z_64. */
INLINE binary_terms binary_terms_of_(real x, real t, int finite, int words, real z, real z_low, real z_64) {
  binary_terms s;
  real b = R(1.0) - t, b_low = words == 2 ? (R(1.0) - b) - t : R(0.0);
  int below = x < R(0.0);
  s.sign = below ? R(-1.0) : R(1.0);
  s.distance = finite ? min_(REAL_MAX, abs_(x)) : abs_(x);
  s.c = below ? t : b;
  s.o = below ? b : t;
  s.tilt = s.sign * fma_(R(-2.0), t, R(1.0));

  real w = R(1.0) / (R(1.0) + z), lost;
  real rest = fma_(-w, z_low, remainder_(R(1.0) - w, w, z)); /* 1 / (1 + z) = w (1 + rest); 1 - w is exact */
  s.z = z;
  s.z_low = z_low;
  s.z_64 = z_64;
  s.big = words == 2 ? w : fma_(w, rest, w);
  s.big_low = words == 2 ? w * rest : R(0.0);

  real c_low = below ? R(0.0) : b_low, o_low = below ? b_low : R(0.0);
  s.mixed = fma_(s.o, z, s.c);
  s.mixed_low = R(0.0);
  if (words == 2) {
    real oz = two_product(s.o, z, &lost);
    s.mixed = two_sum(s.c, oz, &s.mixed_low);
    s.mixed_low += (lost + c_low) + fma_(o_low, z, s.o * z_low);
  }
  real slope = s.big * fma_(-s.o, z, s.c), small_low, small = two_product(z, s.big, &small_low);
  s.q = s.mixed * s.big;
  s.u = small * s.big;
  real slope_low = fma_(-s.o, z_low, fma_(-o_low, z, c_low));
  s.slope = words == 2 ? slope + fma_(slope, rest, w * slope_low) : slope;
  s.q_low = s.u_low = R(0.0);
  s.u_64 = s.u * R(0x1p64);
  if (words == 2) {
    real q = two_product(s.mixed, w, &lost);
    s.q_low = lost + fma_(w, s.mixed_low, q * rest);
    small_low += fma_(z_low, w, small * rest);
    real u = two_product(small, w, &lost);
    s.u_low = lost + fma_(small_low, w, u * rest);
    s.u_64 = u > R(0x1p24) * REAL_MIN ? (u + s.u_low) * R(0x1p64) : s.z_64 * w * fma_(R(2.0), s.big_low, w);
  }
  real less = (z - R(1.0)) + z_low;
  s.spread = fma_(s.big, less, s.big_low * less);

  real more = fma_(c_low, s.distance, z_low * w), low, h = log1p_unit_low_(z, more, &low);
  s.loss = fma_(s.c, s.distance, words == 2 ? h + low : z + log1p_tail_(z, more));
  return s;
}

INLINE binary_terms binary_terms_(real x, real t, int finite, int words) {
  real z_low = R(0.0), z_64, z;
  if (words == 2) z = exp_nonpositive_64_(-abs_(x), &z_64, &z_low);
  else z = exp_nonpositive_(-abs_(x)), z_64 = z * R(0x1p64);
  return binary_terms_of_(x, t, finite, words, z, z_low, z_64);
}

#endif
