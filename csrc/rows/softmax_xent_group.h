/* Plain cross-entropy rows of one chunk, some at a time: passes over classes row by row, as in softmax_xent_plain.h, and what
 * is done once a row (shifts, logarithms, quotients) for all of them in vectors, as in softmax_xent_tile.h. A row alone would
 * wait some 300 cycles for these (1000 classes: 0.8 of the time, 300 classes: 0.6). The numbers and the bits are those of
 * plain_row(). Not here: Hessians, temperature, longer rows.
 */
#ifndef FASTLOSS_SOFTMAX_XENT_GROUP_H
#define FASTLOSS_SOFTMAX_XENT_GROUP_H

#include "softmax_xent_tile.h"

/* Elements of a group's rows: they are read three times, from the nearest caches. */
#define GROUP_SIZE ((fl_size)(65536 / sizeof(real)))

INLINE fl_size group_rows(fl_size classes) {
  const fl_size n = GROUP_SIZE / classes;
  return n < 4 ? 4 : n < TILE_ROWS ? n : TILE_ROWS;
}

/* The largest logit of every row that is read, and 0 for lanes that are not. */
static UNUSED void group_max(softmax_tile *t, fl_size n, const real *x, fl_size row_stride) {
  for (fl_size l = 0; l < TILE_ROWS; l++) {
    const int read = l < t->rows && !(t->any_dead && t->dead[l]);
    t->max[l] = read ? max_chunk(n, x + l * row_stride) : R(0.0);
  }
}

/* Up to TILE_ROWS rows from row `start` of the arrays, whose classes are contiguous. */
static UNUSED void xent_group_rows(const xent *c, fl_size start, fl_size rows, fl_rows logits, const int64_t *target,
                                   const double *scale, double *value, fl_rows grad, xent_tile *w) {
  softmax_tile *t = &w->tile;
  const fl_size n = c->classes;
  const real *x = (const real *)logits.data + start * logits.row_stride;
  real *g = grad.data ? (real *)grad.data + start * grad.row_stride : NULL;
  t->rows = rows;
  xent_tile_targets(c, w, target + start, scale ? scale + start : NULL);
  group_max(t, n, x, logits.row_stride);
  const int limits = !tile_all_finite(t);
  if (limits) xent_tile_limits(c, w, x, logits);
  tile_shift(t);
  VECTOR_LOOP
  for (int l = 0; l < TILE_ROWS; l++) w->e_max[l] = exp_shifted(t->max[l], tile_row_shift(t, l));
  memcpy(w->at_target, t->max, sizeof w->at_target);
  for (fl_size l = 0; l < rows; l++) {
    const real *row = x + l * logits.row_stride;
    if (t->any_dead && t->dead[l]) continue;
    w->at_target[l] = row[w->target[l]];
    exp_sum_chunk(n, row, c->ahead, w->target[l], tile_row_shift(t, (int)l), g ? g + l * grad.row_stride : w->piece, &t->hi[l],
                  &t->lo[l]);
  }
  xent_tile_values(w, 0);
  for (fl_size l = 0; g && l < rows; l++) {
    real *to = g + l * grad.row_stride;
    if (t->any_dead && t->dead[l]) memset(to, 0, (size_t)n * sizeof(real));
    else scale_chunk(n, to, w->wide_factor[l], to), to[w->target[l]] = w->grad_target[l];
  }
  memcpy(value + start, w->value, (size_t)rows * sizeof(double));
  if (limits) xent_tile_infinite(c, w, start, scale, value, g, grad, NULL, grad);
}

#endif
