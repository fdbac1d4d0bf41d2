/* Losses f(p) of short rows of logits, a tile at a time: the algebra of softmax_curve.h with a row per lane. Not here:
 * longer rows.
 */
#ifndef FASTLOSS_SOFTMAX_CURVE_TILE_H
#define FASTLOSS_SOFTMAX_CURVE_TILE_H

#include "softmax_curve.h"
#include "softmax_tile.h"

typedef struct {
  softmax_tile tile;
  tile_piece piece, second;
  fl_size target[TILE_ROWS], infinite[TILE_ROWS], at_max[TILE_ROWS];
  int limit[TILE_ROWS]; /* a row without a finite maximum; its +inf is at infinite[] */
  real at_target[TILE_ROWS], e_target[TILE_ROWS], e_max[TILE_ROWS];
  double target_low[TILE_ROWS], max_low[TILE_ROWS];
  double p[TILE_ROWS], q[TILE_ROWS], q_low[TILE_ROWS], loss[TILE_ROWS], rest[TILE_ROWS];
  double sum[TILE_ROWS], sum_low[TILE_ROWS], inverse[TILE_ROWS];
  double value[TILE_ROWS], pull[TILE_ROWS], bend[TILE_ROWS], scale[TILE_ROWS];
  real first[TILE_ROWS], factor[TILE_ROWS];
} curve_tile;

/* Exponentials of a tile in place, and their sums. */
INLINE void curve_tile_exp(int exact, softmax_tile *t, fl_size n, real *piece) {
  if (!exact) {
    tile_exp_sum(t, n, piece);
    return;
  }
  for (fl_size c = 0; c < n; c++) {
    real *x = piece + c * TILE_ROWS, low[TILE_ROWS];
    if (c % 4 == 0) tile_fetch(t, c);
    VECTOR_LOOP
    for (int l = 0; l < TILE_ROWS; l++) x[l] = exp_shifted_pair(x[l], tile_row_shift(t, l), &low[l]);
    for (int l = 0; l < TILE_ROWS; l++) pair_add(&t->hi[l], &t->lo[l], (double)x[l], (double)low[l]);
  }
}

INLINE softmax_sum tile_row_sum(const curve_tile *w, int l) {
  softmax_sum s = {w->sum[l], w->sum_low[l], w->inverse[l]};
  return s;
}

/* Hessians of the tile whose piece holds the exponentials, 0 at the targets, to `second`. */
static UNUSED void curve_tile_hessian(curve_tile *w, fl_size n) {
  softmax_tile *t = &w->tile;
  real inverse[TILE_ROWS], factor[TILE_ROWS], a[TILE_ROWS], b[TILE_ROWS], part[TILE_ROWS];
  real top[TILE_ROWS];
  double share[TILE_ROWS];
  fl_size at[TILE_ROWS];
  for (int l = 0; l < TILE_ROWS; l++) {
    softmax_sum s = tile_row_sum(w, l);
    share[l] = w->rest[l] > 0.0 ? 1.0 / w->rest[l] : 0.0;
    inverse[l] = (real)quotient(1.0, s);
    factor[l] = (real)quotient(w->scale[l], s);
    a[l] = (real)w->pull[l];
    b[l] = (real)w->bend[l];
    part[l] = (real)share[l];
    at[l] = -1;
  }
  for (fl_size c = 0; c < n; c++) {
    const real *e = w->piece + c * TILE_ROWS;
    real *h = w->second + c * TILE_ROWS;
    VECTOR_LOOP
    for (int l = 0; l < TILE_ROWS; l++)
      h[l] = e[l] * factor[l] * fma_(a[l], R(1.0) - e[l] * inverse[l], e[l] * part[l] * b[l]);
  }
  /* 1 - p cancels at a maximum that is not the target: there it is the sum of the others */
  for (int l = 0; l < TILE_ROWS; l++) top[l] = w->e_target[l] == w->e_max[l] ? R(-1.0) : w->e_max[l];
  tile_find(0, n, w->piece, top, at);
  for (int l = 0; l < TILE_ROWS; l++) {
    w->piece[w->target[l] * TILE_ROWS + l] = w->e_target[l];
    if (at[l] >= 0) w->piece[at[l] * TILE_ROWS + l] = R(0.0);
    t->hi[l] = t->lo[l] = 0.0;
  }
  tile_sum(t, n, w->piece);
  for (int l = 0; l < TILE_ROWS; l++) {
    softmax_sum s = tile_row_sum(w, l);
    double e = (double)w->e_max[l], others = quotient(t->hi[l] + t->lo[l], s);
    w->piece[w->target[l] * TILE_ROWS + l] = R(0.0);
    if (at[l] >= 0) {
      w->piece[at[l] * TILE_ROWS + l] = w->e_max[l];
      double curved = w->pull[l] * others + share[l] * e * w->bend[l];
      w->second[at[l] * TILE_ROWS + l] = (real)(quotient(w->scale[l] * e, s) * curved);
    }
    w->second[w->target[l] * TILE_ROWS + l] = (real)(w->scale[l] * w->q[l] * (w->pull[l] * w->p[l] + w->bend[l]));
  }
}

/* Gradients of the tile's exponentials, in place. */
static UNUSED void curve_tile_gradient(curve_tile *w, fl_size n) {
  ireal small = 0;
  for (int l = 0; l < TILE_ROWS; l++) {
    /* as in scale_chunk(): a factor too small for a normal number is applied in two steps */
    double wide = quotient(w->scale[l] * w->pull[l], tile_row_sum(w, l));
    int split = abs_((real)wide) < REAL_MIN && wide != 0.0;
    small |= split;
    w->first[l] = split ? R(0x1p-60) : R(1.0);
    w->factor[l] = (real)(split ? wide * 0x1p60 : wide);
  }
  for (fl_size c = 0; small && c < n; c++)
    for (int l = 0; l < TILE_ROWS; l++) w->piece[c * TILE_ROWS + l] *= w->first[l];
  for (fl_size c = 0; c < n; c++) {
    real *e = w->piece + c * TILE_ROWS;
    VECTOR_LOOP
    for (int l = 0; l < TILE_ROWS; l++) e[l] *= w->factor[l];
  }
  for (int l = 0; l < TILE_ROWS; l++)
    w->piece[w->target[l] * TILE_ROWS + l] = (real)(0.0 - w->scale[l] * w->pull[l] * w->q[l]);
}

/* Up to TILE_ROWS rows of at most TILE_CLASSES classes. */
INLINE void curve_tile_rows(curve_body *body, int exact, const double *parameter, fl_size parameters, fl_size rows,
                            fl_size n, const real *x, fl_size x_step, const int64_t *target, const double *scale,
                            double *value, real *g, fl_size g_step, real *h, fl_size h_step, curve_tile *w) {
  softmax_tile *t = &w->tile;
  t->rows = rows;
  tile_ahead(t, n, x, x_step, NULL, 0, g, g_step);
  t->any_dead = 0;
  for (int l = 0; l < TILE_ROWS; l++) t->max[l] = -REAL_INF;
  for (fl_size l = 0; l < TILE_ROWS; l++) {
    w->target[l] = l < rows ? (fl_size)target[l] : 0;
    w->scale[l] = l < rows ? scale[l] : 0.0;
  }
  tile_load(t, n, x, x_step, 1, w->piece);
  tile_max(t, n, w->piece, TILE_ROWS);
  const int limits = !tile_all_finite(t);
  for (fl_size l = 0; limits && l < TILE_ROWS; l++) {
    w->limit[l] = !(abs_(t->max[l]) <= REAL_MAX);
    if (!w->limit[l]) continue;
    w->infinite[l] = single_infinity(n, x + l * x_step, 1);
    t->max[l] = R(0.0);
    for (fl_size c = 0; c < n; c++) w->piece[c * TILE_ROWS + l] = R(0.0);
  }
  tile_shift(t);
  for (int l = 0; l < TILE_ROWS; l++) {
    real *at = &w->piece[w->target[l] * TILE_ROWS + l];
    w->at_target[l] = *at;
    *at = -REAL_INF;
  }
  VECTOR_LOOP_WIDE
  for (int l = 0; l < TILE_ROWS; l++) {
    row_shift s = tile_row_shift(t, l);
    w->e_target[l] = (real)curve_exp(exact, w->at_target[l], s, &w->target_low[l]);
    w->e_max[l] = (real)curve_exp(exact, t->max[l], s, &w->max_low[l]);
  }
  curve_tile_exp(exact, t, n, w->piece);
  VECTOR_LOOP
  for (int l = 0; l < TILE_ROWS; l++) {
    curve_terms c = terms_of(t->hi[l], t->lo[l], (double)w->e_target[l], w->target_low[l], (double)w->e_max[l],
                             w->max_low[l], (double)t->max[l] - (double)w->at_target[l]);
    w->p[l] = c.p;
    w->q[l] = c.q;
    w->q_low[l] = c.q_low;
    w->loss[l] = c.loss;
    w->rest[l] = c.rest;
    w->sum[l] = c.sum.hi;
    w->sum_low[l] = c.sum.lo;
    w->inverse[l] = c.sum.inverse;
  }
  body(parameter, parameters, TILE_ROWS, w->p, w->q, w->q_low, w->loss, w->value, w->pull, w->bend);
  memcpy(value, w->value, (size_t)rows * sizeof(double));
  if (h) curve_tile_hessian(w, n);
  if (g) curve_tile_gradient(w, n);
  if (g) tile_store(t, n, w->piece, g_step, 1, g);
  if (h) tile_store(t, n, w->second, h_step, 1, h);
  for (fl_size l = 0; limits && l < rows; l++)
    if (w->limit[l])
      value[l] = curve_limit(n, w->infinite[l], w->target[l], scale[l], g ? g + l * g_step : NULL,
                             h ? h + l * h_step : NULL);
}

#endif
