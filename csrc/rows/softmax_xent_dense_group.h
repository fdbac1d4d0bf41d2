/* Cross-entropy rows of one chunk with targets of many classes, some at a time: passes over classes row by row, as in
 * softmax_xent_weighted.h, and what is done once a row for all of them in vectors, as in softmax_xent_dense_tile.h, whose
 * algebra this is (1000 float32 classes: 0.88 of the time with smoothing, 0.96 with probabilities; 300 classes: 0.65). Not here:
 * mapped logits, longer rows.
 *
 * Exponentials stay in a buffer of the group, so that a row that turns out to need care still has its logits, also where the
 * gradient takes their place.
 */
#ifndef FASTLOSS_SOFTMAX_XENT_DENSE_GROUP_H
#define FASTLOSS_SOFTMAX_XENT_DENSE_GROUP_H

#include "softmax_xent_dense_tile.h"
#include "softmax_xent_group.h"

/* Classes of the longest rows that are worth it: of longer ones, a group has too few, and leaves the caches. */
#define DENSE_GROUP_LIMIT ((fl_size)(4096 / sizeof(real)))

/* Rows of a group begin on cache lines. */
INLINE fl_size dense_group_step(fl_size classes) { return (classes + LINE - 1) / LINE * LINE; }

INLINE fl_size dense_group_rows(fl_size classes) {
  const fl_size n = 2 * TILE_ROWS * TILE_CLASSES / dense_group_step(classes);
  return n < TILE_ROWS ? n : TILE_ROWS;
}

_Static_assert(DENSE_GROUP_LIMIT <= ROW_CHUNK, "rows of one chunk");

/* A row's sums over its targets, and where its maximum is. */
static UNUSED void dense_group_sums(const xent *c, xent_dense_tile *w, fl_size l, const real *x, const real *p) {
  const fl_size n = c->classes;
  const real m = w->tile.max[l];
  double hi, lo;
  w->k[l] = find_chunk(n, x, m);
  w->at_target[l] = x[w->target[l]];
  const xent_row row = {x, p, 0, 1.0, NULL, NULL};
  const dense_targets targets = make_dense(c, &row, p && c->smooth ? row_sum(n, p, &hi, &lo) : 0.0);
  w->spread[l] = targets.spread;
  w->u_k[l] = dense_target_of(&targets, w->k[l]);
  if (!dense_sums(&targets, n, x, m, w->k[l], &w->far[l], &w->others[l])) w->far[l] = (double)NAN;
}

/* The last pass over a row. g and h may lie where its logits were. */
static UNUSED void dense_group_derivatives(const xent *c, const xent_dense_tile *w, fl_size l, const real *p, int soft, real *e,
                                           real *g, real *h) {
  const fl_size n = c->classes, k = w->k[l];
  const real factor = w->factor[l], inverse = w->inverse[l], squared = w->squared[l];
  const dense_targets targets = {p, c->weight, (real)c->onehot, w->spread[l]};
  e[k] = w->e_k[l];
  if (h) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) {
      real q = e[i] * inverse;
      h[i] = fma_(e[i] * factor, R(1.0) - q, squared * q * q);
    }
    h[k] = w->hess_k[l];
  }
  dense_gradient(&targets, n, e, factor, w->f[l], g);
  if (!soft) g[w->target[l]] = w->grad_y[l];
  g[k] = w->grad_k[l];
}

/* Up to dense_group_rows() rows from row `start` of the arrays, all of whose classes are contiguous. Returns 1 where rows are
 * left to be worked on alone: w->alone says which. */
static UNUSED int dense_group(const xent *c, fl_size start, fl_size rows, fl_rows logits, const int64_t *target,
                              fl_rows probability, const unsigned char *skip, const double *scale, double *value, fl_rows grad,
                              fl_rows hess, xent_dense_tile *w) {
  softmax_tile *t = &w->tile;
  const fl_size n = c->classes, step = dense_group_step(n);
  const real *x = (const real *)logits.data + start * logits.row_stride;
  const int soft = probability.data != NULL;
  ireal alone = 0;
  t->rows = rows;
  dense_tile_begin(c, w, soft ? NULL : target + start, skip ? skip + start : NULL, scale ? scale + start : NULL);
  memset(w->k, 0, sizeof w->k);
  memset(w->at_target, 0, sizeof w->at_target);
  memset(w->far, 0, sizeof w->far);
  memset(w->far_low, 0, sizeof w->far_low);
  memset(w->others, 0, sizeof w->others);
  memset(w->others_low, 0, sizeof w->others_low);
  group_max(t, n, x, logits.row_stride);
  for (fl_size l = 0; l < rows; l++) {
    const real *p = soft ? (const real *)probability.data + (start + l) * probability.row_stride : NULL;
    for (fl_size i = 0; soft && c->ahead.read && i < n; i += VALUE_GROUP)
      prefetch_group(0, p + probability.row_stride + i); /* the next row's, as the logits are ahead too */
    if (abs_(t->max[l]) <= REAL_MAX && !t->dead[l]) dense_group_sums(c, w, l, x + l * logits.row_stride, p);
  }
  tile_shift(t);
  VECTOR_LOOP
  for (int l = 0; l < TILE_ROWS; l++) {
    const row_shift s = tile_row_shift(t, l);
    w->e_k[l] = exp_shifted(t->max[l], s);
    w->e_target[l] = exp_shifted(w->at_target[l], s);
  }
  for (fl_size l = 0; l < rows; l++) {
    for (fl_size i = 0; grad.data && c->ahead.read && i < n; i += VALUE_GROUP)
      prefetch_group(1, row_at(grad, start + l) + i); /* 300 and 500 classes outside the caches: 0.87 of the time */
    if (abs_(t->max[l]) <= REAL_MAX && !t->dead[l])
      exp_sum_chunk(n, x + l * logits.row_stride, c->ahead, w->k[l], tile_row_shift(t, (int)l), w->row + l * step, &t->hi[l],
                    &t->lo[l]);
  }
  if (soft) dense_tile_values(c, w, 1);
  else dense_tile_values(c, w, 0);
  memcpy(value + start, w->value, (size_t)rows * sizeof(double));
  for (fl_size l = 0; l < rows; l++) {
    real *g = row_at(grad, start + l), *h = row_at(hess, start + l);
    alone |= w->alone[l];
    if (!g || w->alone[l]) continue;
    if (t->dead[l]) {
      memset(g, 0, (size_t)n * sizeof(real));
      if (h) memset(h, 0, (size_t)n * sizeof(real));
      continue;
    }
    const real *p = soft ? (const real *)probability.data + (start + l) * probability.row_stride : NULL;
    dense_group_derivatives(c, w, l, p, soft, w->row + l * step, g, h);
  }
  return alone != 0;
}

#endif
