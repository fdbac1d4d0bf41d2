/* Sums with a proven bound whose bits depend on the terms alone: what every value, denominator
 * and softmax row is added up with. Nothing here knows a loss.
 *
 * A sum travels as an unevaluated pair (hi, lo) of doubles: a block gives one pair, pairs are
 * combined in order with pair_add, and pair_value is taken once at the end.
 *   float:  every term is converted to double, four are added up, then LANES double lanes. Terms of one sign:
 *           relative error <= 2^-53 (n / (4 LANES) + 10), 3e-15 for a block of 2048.
 *   double: (a + b) + (c + d), then 2Sum per lane and pairs all the way: <= 3 * 2^-53, at any length
 *           (numbers of both signs: the same, relative to the sum of absolute values). Eight plain additions
 *           between two 2Sums would do for a mean, but take the gradient of a softmax row past 4 ULP.
 * Infinities: 2Sum of an infinite sum leaves NaN in lo, hence pair_value; a NaN reaches hi.
 */
#ifndef FASTLOSS_REDUCE_H
#define FASTLOSS_REDUCE_H

#include "real.h"

_Static_assert(LANES == 32, "the folds below start at 16");

/* Terms that are added up, by fours, before they reach an accumulator: those of a four lie one line of a cache apart, in
 * lines that follow one another, so that memory is walked in order (LANES apart instead, loops that wait for memory took
 * 1.3 to 1.8 times as long: float64 of 1e6 elements). */
#define VALUE_GROUP (4 * LANES)
enum { LINE = 64 / sizeof(real), FOUR_LINES = 4 * LINE };

typedef ptrdiff_t fl_size;

/* (hi, lo) += (v_hi, v_lo) */
INLINE void pair_add(double *hi, double *lo, double v_hi, double v_lo) {
  double a = *hi, s = a + v_hi, b = s - a;
  *lo += ((a - (s - b)) + (v_hi - b)) + v_lo;
  *hi = s;
}

INLINE double pair_value(double hi, double lo) { return hi - hi == 0.0 ? hi + lo : hi; }

/* Lane l takes lane l + width, until one is left: the only order in which lanes are ever folded. A step is a function
 * of its own so that its width is a constant, which is what makes it vectorise. */
INLINE void fold_pairs_step(int width, double *hi, double *lo) {
  for (int l = 0; l < width; l++) pair_add(&hi[l], &lo[l], hi[l + width], lo[l + width]);
}

INLINE void fold_pairs(double *hi, double *lo) {
  fold_pairs_step(16, hi, lo);
  fold_pairs_step(8, hi, lo);
  fold_pairs_step(4, hi, lo);
  fold_pairs_step(2, hi, lo);
  fold_pairs_step(1, hi, lo);
}

INLINE void fold_lanes_step(int width, double *acc) {
  for (int l = 0; l < width; l++) acc[l] += acc[l + width];
}

INLINE double fold_lanes(double *acc) {
  fold_lanes_step(16, acc);
  fold_lanes_step(8, acc);
  fold_lanes_step(4, acc);
  fold_lanes_step(2, acc);
  fold_lanes_step(1, acc);
  return acc[0];
}

/* *sum_hi + *sum_lo = the sum of n doubles, by the policy of the real type: a float kernel has such terms too. */
static UNUSED void sum_doubles(fl_size n, const double *v, double *sum_hi, double *sum_lo) {
  double hi[LANES] = {0.0}, lo[LANES] = {0.0};
  fl_size i = 0;
#if FASTLOSS_REAL_BITS == 64
  for (; i + VALUE_GROUP <= n; i += VALUE_GROUP)
    for (int l = 0; l < LANES; l++) {
      const double *w = v + i + l;
      pair_add(&hi[l], &lo[l], (w[0] + w[LANES]) + (w[2 * LANES] + w[3 * LANES]), 0.0);
    }
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) pair_add(&hi[l], &lo[l], v[i + l], 0.0);
  for (int l = 0; l < LANES && i + l < n; l++) pair_add(&hi[l], &lo[l], v[i + l], 0.0);
  fold_pairs(hi, lo);
#else
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) hi[l] += v[i + l];
  for (int l = 0; l < LANES && i + l < n; l++) hi[l] += v[i + l];
  fold_lanes(hi);
#endif
  *sum_hi = hi[0];
  *sum_lo = lo[0];
}

/* *hi + *lo = the sum of a block of reals. Blocks are cut by the caller, and the cut decides the bits. */
static UNUSED void sum_block(fl_size n, const void *value, double *hi, double *lo) {
#if FASTLOSS_REAL_BITS == 64
  sum_doubles(n, value, hi, lo);
#else
  const real *v = value;
  double acc[LANES] = {0.0};
  fl_size i = 0;
  /* four rows of lanes at a time: compilers keep acc in memory, whose latency a row at a time would pay */
  for (; i + VALUE_GROUP <= n; i += VALUE_GROUP)
    for (int l = 0; l < LANES; l++) {
      const real *w = v + i + l;
      acc[l] += ((double)w[0] + (double)w[LANES]) + ((double)w[2 * LANES] + (double)w[3 * LANES]);
    }
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) acc[l] += (double)v[i + l];
  for (int l = 0; l < LANES && i + l < n; l++) acc[l] += (double)v[i + l];
  *hi = fold_lanes(acc);
  *lo = 0.0;
#endif
}

/* The values of a loss (or exponentials of a row), a block at a time, as they arise: groups of fours of lines, term l of
 * the four that begins at term r being added to lane r / 4 + l, then what is left of the block. Pairs of floats are added
 * up as floats, which halves the conversions to double: an error of at most 2^-24 = 6.0e-8, relative to the sum of
 * absolute values. */
typedef struct {
#if FASTLOSS_REAL_BITS == 64
  double hi[LANES], lo[LANES];
#else
  double hi[LANES];
#endif
} value_sums;

INLINE void add_four(value_sums *s, int l, real a, real b, real c, real d) {
#if FASTLOSS_REAL_BITS == 64
  pair_add(&s->hi[l], &s->lo[l], (a + b) + (c + d), 0.0);
#else
  s->hi[l] += (double)(a + b) + (double)(c + d);
#endif
}

/* The last n < VALUE_GROUP values, and the end of the sum: 0 where a value is not finite or a pair of floats overflowed;
 * sum_block() must then have the block. */
static UNUSED int end_values(value_sums *s, fl_size n, real *v, double *hi, double *lo) {
  fl_size i = 0;
#if FASTLOSS_REAL_BITS == 64
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) pair_add(&s->hi[l], &s->lo[l], v[i + l], 0.0);
  for (int l = 0; l < LANES && i + l < n; l++) pair_add(&s->hi[l], &s->lo[l], v[i + l], 0.0);
  fold_pairs(s->hi, s->lo);
  *lo = s->lo[0];
#else
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) s->hi[l] += (double)v[i + l];
  for (int l = 0; l < LANES && i + l < n; l++) s->hi[l] += (double)v[i + l];
  fold_lanes(s->hi);
  *lo = 0.0;
#endif
  *hi = s->hi[0];
  return *hi - *hi == 0.0;
}

/* The same sum of values that lie in memory. */
static UNUSED void sum_values(fl_size n, void *value, double *hi, double *lo) {
  real *v = value;
  value_sums sums = {{0.0}};
  fl_size i = 0;
  for (; i + VALUE_GROUP <= n; i += VALUE_GROUP)
    for (int r = 0; r < VALUE_GROUP; r += FOUR_LINES) {
      const real *w = v + i + r;
      VECTOR_LOOP_WIDE
      ROLLED_LOOP
      for (int l = 0; l < LINE; l++)
        add_four(&sums, r / 4 + l, w[l], w[l + LINE], w[l + 2 * LINE], w[l + 3 * LINE]);
    }
  if (!end_values(&sums, n - i, v + i, hi, lo)) sum_block(n, v, hi, lo);
}

#endif
