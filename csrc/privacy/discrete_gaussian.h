/* The discrete Gaussian of scale s on the integers, P(x) ~ exp(-x^2 / 2s^2): constant time, no rejection, no floating
 * point. A value is a function of (key, index, s). Not here: the limits (fastloss/privacy/_discrete.py).
 *
 * With s = 2^(b+m) r the value is
 *
 *     x = 2^m (2^b y + v_1 + ... + v_16 - c) + u_1 + ... + u_8 - c',   v_i uniform below 2^b <= 16, u_i below 2^m,
 *
 * y from a table for which the sum has the wanted law. Why this is possible: let phi(t) = exp(-s^2 t^2 / 2) be the
 * characteristic function (that of the discrete Gaussian, to within exp(-2 pi^2 s^2) relative), k = 2^b, m = 0, n = 16.
 * The mean over k uniforms has D(t) = sin(kt/2) / (k sin(t/2)), and y is given phi(w/k) D(w/k)^-n for |w| < pi. The
 * product is then phi around t = 0; around t = 2 pi j / k, j != 0, y repeats itself, but D^n has a zero of order n
 * there: what remains is phi(d) (sin(d/2) / sin(d/2 + pi j/k))^n at the distance d, about (dk / 2 pi j)^n phi(d). Back on
 * the integers that is (k / 2 pi j s)^n He_n(x/s) times the Gaussian, whose sum of absolute values is at most
 * sqrt(n!) (k / 2 pi j s)^n. So the total variation distance is about (2 pi r)^-n sqrt(n!), r = s/k: 2.7e-21 for
 * n = 16, r = 8, and 1.2e-21 for the outer sum, n = 8, r = 128. (Twice that is stated; tests compare with exact
 * probabilities.) The limits' rounding to 2^-63 is the larger part.
 *
 * The scan compares with every limit, so neither time nor memory accesses depend on a value.
 */
#ifndef FASTLOSS_DISCRETE_GAUSSIAN_H
#define FASTLOSS_DISCRETE_GAUSSIAN_H

#include "chacha20.h"

/* x[l] = how many limits are < u[l]. Both lie in [0, 2^63), so the difference's sign says which is larger. Eight limits
 * at a time (the caller pads with 2^63 - 1), or the counts' loads and stores would cost more than the comparisons; signs
 * shifted down, because a subtraction and a shift are two instructions everywhere, a 64-bit comparison on SSE2 six. */
static void scan_limits(const fl_discrete *law, const int64_t *u, int64_t *x) {
#define ABOVE(k) (int64_t)((uint64_t)(t[k] - u[l]) >> 63)
  for (int l = 0; l < FL_CHACHA_WORDS; l++) x[l] = 0;
  for (ptrdiff_t i = 0; i < law->count; i += 8) {
    const int64_t *limits = law->limits + i;
    const int64_t t[8] = {limits[0], limits[1], limits[2], limits[3], limits[4], limits[5], limits[6], limits[7]};
    VECTOR_LOOP
    for (int l = 0; l < FL_CHACHA_WORDS; l++)
      x[l] += ((ABOVE(0) + ABOVE(1)) + (ABOVE(2) + ABOVE(3))) + ((ABOVE(4) + ABOVE(5)) + (ABOVE(6) + ABOVE(7)));
  }
#undef ABOVE
}

/* A group has 16 calls of the keystream, of which 2, 4, 8 or 12 are used: y and its sign, v (the nibbles of two words a
 * value), u (the halves of four words, or eight words). */
static void discrete_gaussian_group(const uint32_t *key, uint64_t group, const fl_discrete *law, int64_t *x) {
  uint32_t w[FL_CHACHA_WORDS], low[FL_CHACHA_WORDS];
  int64_t u[FL_CHACHA_WORDS];
  const int b = law->inner_bits, m = law->outer_bits;
  const uint64_t counter = 256 * group;
  chacha20(key, counter, FL_STREAM_DISCRETE_GAUSSIAN, w);
  chacha20(key, counter + 16, FL_STREAM_DISCRETE_GAUSSIAN, low);
  VECTOR_LOOP
  for (int l = 0; l < FL_CHACHA_WORDS; l++) u[l] = (int64_t)(((uint64_t)w[l] << 32 | low[l]) >> 1);
  scan_limits(law, u, x);
  VECTOR_LOOP
  for (int l = 0; l < FL_CHACHA_WORDS; l++) {
    int64_t sign = -(int64_t)(low[l] & 1);
    x[l] = (x[l] ^ sign) - sign;
  }
  if (b > 0) {
    const uint32_t last = (1u << b) - 1, mask = 0x01010101u * last;
    chacha20(key, counter + 32, FL_STREAM_DISCRETE_GAUSSIAN, w);
    chacha20(key, counter + 48, FL_STREAM_DISCRETE_GAUSSIAN, low);
    VECTOR_LOOP
    for (int l = 0; l < FL_CHACHA_WORDS; l++) { /* four nibbles in each byte's place, at most 60, then the bytes: 240 */
      uint32_t bytes = ((w[l] & mask) + (w[l] >> 4 & mask)) + ((low[l] & mask) + (low[l] >> 4 & mask));
      x[l] = x[l] * ((int64_t)1 << b) + (int32_t)(bytes * 0x01010101u >> 24) - 8 * (int32_t)last;
    }
  }
  if (m > 0) {
    const int wide = m > 16;
    const uint32_t last = 0xffffffffu >> (32 - m);
    VECTOR_LOOP
    for (int l = 0; l < FL_CHACHA_WORDS; l++) x[l] = x[l] * ((int64_t)1 << m) - 4 * (int64_t)last;
    for (uint64_t call = 4; call < (wide ? 12 : 8); call++) {
      chacha20(key, counter + 16 * call, FL_STREAM_DISCRETE_GAUSSIAN, w);
      VECTOR_LOOP
      for (int l = 0; l < FL_CHACHA_WORDS; l++)
        x[l] += (int64_t)(w[l] & last) + (wide ? 0 : (int64_t)(w[l] >> 16 & last));
    }
  }
}

#endif
