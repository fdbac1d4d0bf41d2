/* Losses of a row that are sums over its classes of a body of one prediction and one target: pointwise bodies, rows of
 * them. Not here: formulas.
 */
#ifndef FASTLOSS_SEPARABLE_H
#define FASTLOSS_SEPARABLE_H

#include "row_block.h"

/* The sum of a row's terms, n <= ROW_CHUNK: short rows by fours, without the lanes of a long sum. */
INLINE double terms_sum(fl_size n, const real *term, double *lo) {
  double hi = 0.0;
  *lo = 0.0;
  if (n > LANES) {
    sum_block(n, term, &hi, lo);
    return hi;
  }
  fl_size i = 0;
#if FASTLOSS_REAL_BITS == 32
  for (; i + 4 <= n; i += 4)
    hi += ((double)term[i] + (double)term[i + 1]) + ((double)term[i + 2] + (double)term[i + 3]);
  for (; i < n; i++) hi += (double)term[i];
#else
  if (n >= 4) hi = (term[0] + term[1]) + (term[2] + term[3]), i = 4;
  for (; i + 4 <= n; i += 4) pair_add(&hi, lo, (term[i] + term[i + 1]) + (term[i + 2] + term[i + 3]), 0.0);
  for (; i < n; i++) pair_add(&hi, lo, term[i], 0.0);
#endif
  return hi;
}

/* `block` is the body's (BLOCK_OF). Rows that lie one behind the other with one scale are worked on together: a loop over
 * ten classes is half overhead. */
static void separable_rows(fl_pointwise *block, const row_block *b, real *term) {
  const fl_size n = b->classes;
  int together = b->x_step == n && b->p_step == n && (!b->g || b->g_step == n) && (!b->h || b->h_step == n);
  for (fl_size i = 1; together && i < b->rows; i++) together = b->scale[i] == b->scale[0];
  const fl_size most = together && n > 0 && n < ROW_CHUNK ? ROW_CHUNK / n : 1;
  const double none[FL_PARAMETERS] = {0.0};
  for (fl_size i = 0; i < b->rows; i += most) {
    const fl_size rows = b->rows - i < most ? b->rows - i : most, all = rows * n;
    const real *x = b->x + i * b->x_step, *p = b->p + i * b->p_step;
    real *g = b->g ? b->g + i * b->g_step : NULL, *h = b->h ? b->h + i * b->h_step : NULL;
    double hi = 0.0, lo = 0.0, part, part_lo;
    for (fl_size c = 0; c < all; c += ROW_CHUNK) {
      fl_size length = chunk_length(all, c);
      block(length, 0, x + c, p + c, NULL, none, b->scale[i], term, g ? g + c : NULL, h ? h + c : NULL);
      if (rows > 1) continue; /* one chunk of several rows */
      part = terms_sum(length, term, &part_lo);
      pair_add(&hi, &lo, part, part_lo);
    }
    b->value[i] = pair_value(hi, lo);
    for (fl_size r = 0; rows > 1 && r < rows; r++) {
      hi = terms_sum(n, term + r * n, &lo);
      b->value[i + r] = pair_value(hi, lo);
    }
  }
}

#endif
