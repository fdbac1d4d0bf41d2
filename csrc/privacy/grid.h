/* Integers on a grid 2^k: clipped rows rounded to it and added up exactly, integer noise, and the way back to reals.
 *
 * A row's products f g (clip.h, points 3 and 4) have a norm <= the bound that the factor was made for. In units of the
 * grid they are exact multiples by a power of two; rounding to the nearest integer moves each by at most 1/2. The sums
 * are int64: no order of the rows, tile or thread can change them.
 */
#ifndef FASTLOSS_GRID_H
#define FASTLOSS_GRID_H

#include "clip.h"

/* The nearest integer, ties to even, of |v| < 2^51: its bits after adding 1.5 2^52. */
INLINE int64_t nearest_integer(double v) {
  double shifted = v + 0x1.8p52;
  int64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  return bits - 0x4338000000000000;
}

static void grid_add(const fl_clip_block *block, ptrdiff_t count, const ptrdiff_t *rows, const double *factors,
                     double units, int64_t *sums) {
  real converted[CLIP_PART];
  for (ptrdiff_t i = 0; i < count; i++) {
    const double factor = factors[i];
    for (ptrdiff_t first = 0; first < block->columns; first += part_of(block)) {
      const ptrdiff_t n = left_of(block, first);
      const real *x = row_part(block, rows[i], first, converted);
      int64_t *s = sums + first;
      VECTOR_LOOP_WIDE
      for (ptrdiff_t j = 0; j < n; j++) s[j] += nearest_integer(factor * (double)x[j] * units);
    }
  }
}

#if FASTLOSS_REAL_BITS == 64
#include "discrete_gaussian.h"
#include "discrete_laplace.h"

static void discrete_add(const uint32_t *key, uint64_t first, ptrdiff_t n, const fl_discrete *law, int64_t *sums) {
  int64_t x[FL_CHACHA_WORDS];
  uint64_t group = first / FL_CHACHA_WORDS;
  for (ptrdiff_t i = -(ptrdiff_t)(first % FL_CHACHA_WORDS); i < n; i += FL_CHACHA_WORDS, group++) {
    ptrdiff_t from = i < 0 ? -i : 0, to = n - i < FL_CHACHA_WORDS ? n - i : FL_CHACHA_WORDS;
    if (law->laplace) discrete_laplace_group(key, group, law, x);
    else discrete_gaussian_group(key, group, law, x);
    for (ptrdiff_t k = from; k < to; k++) sums[i + k] += x[k];
  }
}
#define DISCRETE_KERNELS .discrete_add = discrete_add,
#else
#define DISCRETE_KERNELS
#endif

/* out[j] = sums[j] grid / divisor. */
static void grid_finish(ptrdiff_t n, const int64_t *sums, double grid, double divisor, void *out) {
  real *y = out;
  for (ptrdiff_t j = 0; j < n; j++) y[j] = (real)((double)sums[j] * grid / divisor);
}

#endif
