/* The discrete Laplace of scale s on the integers, P(x) ~ q^|x|, q = exp(-1/s): constant time, no rejection, no floating
 * point. A value is a function of (key, index, s). Not here: the limits (fastloss/privacy/_discrete.py).
 *
 * P(x >= 0) = 1 / (1 + q), and both x given x >= 0 and -1-x given x < 0 are geometric, P(g) = (1-q) q^g. As
 * q^g = prod_j (q^(2^j))^(bit j of g), the bits of g are independent, bit j being 1 with probability
 * q^(2^j) / (1 + q^(2^j)); and the sign is negative with that of bit 0. So a value is one uniform integer below 2^63 and
 * one comparison per bit, and x = g or ~g. The distance from the ideal law is the sum of the limits' roundings
 * (<= 2^-64 each) and P(g >= 2^bits), below 2^-64 too.
 */
#ifndef FASTLOSS_DISCRETE_LAPLACE_H
#define FASTLOSS_DISCRETE_LAPLACE_H

#include "chacha20.h"

/* A group has 128 calls of the keystream: two for the sign (limit 0), two for every bit (limits 1, 2, ...). */
static void discrete_laplace_group(const uint32_t *key, uint64_t group, const fl_discrete *law, int64_t *x) {
  uint32_t high[FL_CHACHA_WORDS], low[FL_CHACHA_WORDS];
  int64_t sign[FL_CHACHA_WORDS];
  uint64_t counter = 2048 * group;
  for (int l = 0; l < FL_CHACHA_WORDS; l++) x[l] = 0;
  for (ptrdiff_t j = 0; j < law->count; j++, counter += 32) {
    const int64_t limit = law->limits[j];
    const uint64_t bit = j > 0 ? (uint64_t)1 << (j - 1) : 0;
    int64_t *into = j > 0 ? x : sign;
    chacha20(key, counter, FL_STREAM_DISCRETE_LAPLACE, high);
    chacha20(key, counter + 16, FL_STREAM_DISCRETE_LAPLACE, low);
    VECTOR_LOOP
    for (int l = 0; l < FL_CHACHA_WORDS; l++) {
      int64_t u = (int64_t)(((uint64_t)high[l] << 32 | low[l]) >> 1);
      int64_t one = -(int64_t)(u < limit);
      into[l] = bit ? (into[l] | (one & (int64_t)bit)) : one;
    }
  }
  VECTOR_LOOP
  for (int l = 0; l < FL_CHACHA_WORDS; l++) x[l] ^= sign[l];
}

#endif
