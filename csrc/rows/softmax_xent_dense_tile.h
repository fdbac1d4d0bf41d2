/* Cross-entropy of short rows with targets of many classes (probabilities, smoothing), a tile at a time: the algebra of
 * softmax_xent_weighted.h with a row per lane. Not here: plain rows (softmax_xent_tile.h), mapped logits.
 *
 * A row that needs care (no finite maximum, a sum or factor that overflows) is worked on alone, as if there were no
 * tiles, from a copy: the tile's gradient may lie where its logits were.
 */
#ifndef FASTLOSS_SOFTMAX_XENT_DENSE_TILE_H
#define FASTLOSS_SOFTMAX_XENT_DENSE_TILE_H

#include "softmax_tile.h"
#include "softmax_xent_weighted.h"

typedef struct {
  softmax_tile tile;
  union {
    struct {
      tile_piece e, u, curve; /* exponentials, targets, Hessians; then e holds gradients */
    };
    real row[2 * TILE_ROWS * TILE_CLASSES]; /* of a group: exponentials, row by row */
  };
  real saved[TILE_ROWS][TILE_CLASSES]; /* logits of rows to be worked on alone */
  int alone[TILE_ROWS];
  fl_size target[TILE_ROWS], k[TILE_ROWS]; /* k: where the maximum is */
  real spread[TILE_ROWS], at_target[TILE_ROWS], e_target[TILE_ROWS], e_k[TILE_ROWS], u_k[TILE_ROWS];
  real factor[TILE_ROWS], f[TILE_ROWS], inverse[TILE_ROWS], squared[TILE_ROWS];
  real grad_y[TILE_ROWS], grad_k[TILE_ROWS], hess_k[TILE_ROWS];
  double weight[TILE_ROWS], weight_k[TILE_ROWS], scale[TILE_ROWS], value[TILE_ROWS];
  double far[TILE_ROWS], far_low[TILE_ROWS], others[TILE_ROWS], others_low[TILE_ROWS];
} xent_dense_tile;

/* hi, lo += the terms of four classes at a time; in double a pair. */
INLINE void dense_tile_add(double *hi, double *lo, real term) {
#if FASTLOSS_REAL_BITS == 32
  *hi += (double)term;
  (void)lo;
#else
  pair_add(hi, lo, term, 0.0);
#endif
}

/* Rows, their targets and scales; which rows are read at all. */
static UNUSED void dense_tile_begin(const xent *c, xent_dense_tile *w, const int64_t *target, const unsigned char *skip,
                                    const double *scale) {
  softmax_tile *t = &w->tile;
  const fl_size last = t->rows - 1;
  t->any_dead = 0;
  for (fl_size l = 0; l < TILE_ROWS; l++) {
    const fl_size i = l < last ? l : last;
    const fl_size y = target ? (fl_size)target[i] : 0;
    const int dead = target ? y < 0 : skip && skip[i];
    t->dead[l] = dead;
    t->any_dead |= dead;
    w->target[l] = dead ? 0 : y;
    w->scale[l] = dead ? 0.0 : scale ? scale[i] : 1.0;
    w->weight[l] = target ? weight_of(c, w->target[l]) : 1.0;
    t->max[l] = -REAL_INF;
  }
}

/* The targets u of probabilities, in w->u. */
static UNUSED void dense_tile_targets(const xent *c, xent_dense_tile *w, fl_rows probability, fl_size start) {
  const fl_size n = c->classes;
  const real onehot = (real)c->onehot, *p = (const real *)probability.data + start * probability.row_stride;
  double total[TILE_ROWS] = {0.0}, low[TILE_ROWS] = {0.0};
  tile_load(&w->tile, n, p, probability.row_stride, probability.class_stride, w->u);
  for (fl_size i = 0; c->smooth && i < n; i++)
    for (int l = 0; l < TILE_ROWS; l++) dense_tile_add(&total[l], &low[l], w->u[i * TILE_ROWS + l]);
  for (int l = 0; l < TILE_ROWS; l++) w->spread[l] = (real)(c->spread * pair_value(total[l], low[l]));
  if (!c->smooth && !c->weight) return;
  for (fl_size i = 0; i < n; i++) {
    const real weight = c->weight ? c->weight[i] : R(1.0);
    real *u = w->u + i * TILE_ROWS;
    VECTOR_LOOP
    for (int l = 0; l < TILE_ROWS; l++) u[l] = fma_(onehot, u[l], w->spread[l]) * weight;
  }
}

/* The same of an integer target's smoothing: every row's is the same, and its own class has its part elsewhere. */
static UNUSED void dense_tile_even(const xent *c, xent_dense_tile *w) {
  const real spread = (real)c->spread;
  for (fl_size i = 0; i < c->classes; i++) {
    const real u = c->weight ? spread * c->weight[i] : spread;
    for (int l = 0; l < TILE_ROWS; l++) w->u[i * TILE_ROWS + l] = u;
  }
}

/* Sums of u (m - x) and, but for the maximum, of u; w->e holds the logits. */
static UNUSED void dense_tile_sums(const xent *c, xent_dense_tile *w, int mass) {
  const softmax_tile *t = &w->tile;
  memset(w->far, 0, sizeof w->far);
  memset(w->far_low, 0, sizeof w->far_low);
  memset(w->others, 0, sizeof w->others);
  memset(w->others_low, 0, sizeof w->others_low);
  for (fl_size i = 0; i < c->classes; i++) {
    const real *x = w->e + i * TILE_ROWS, *u = w->u + i * TILE_ROWS;
    VECTOR_LOOP_WIDE
    for (int l = 0; l < TILE_ROWS; l++) dense_tile_add(&w->far[l], &w->far_low[l], dense_distance(u[l], t->max[l], x[l]));
  }
  if (!mass) return;
  for (int l = 0; l < TILE_ROWS; l++) {
    w->u_k[l] = w->u[w->k[l] * TILE_ROWS + l];
    w->u[w->k[l] * TILE_ROWS + l] = R(0.0);
  }
  for (fl_size i = 0; i < c->classes; i++) {
    const real *u = w->u + i * TILE_ROWS;
    VECTOR_LOOP_WIDE
    for (int l = 0; l < TILE_ROWS; l++) dense_tile_add(&w->others[l], &w->others_low[l], u[l]);
  }
  for (int l = 0; l < TILE_ROWS; l++) w->u[w->k[l] * TILE_ROWS + l] = w->u_k[l];
}

/* Values, and what the derivatives need; soft, a constant: probabilities. */
INLINE void dense_tile_values(const xent *c, xent_dense_tile *w, int soft) {
  const softmax_tile *t = &w->tile;
  const double spread = c->spread, onehot = c->onehot, weight_sum = c->weight_sum, z_loss = c->z_loss;
  ireal alone = 0;
  for (int l = 0; l < TILE_ROWS; l++) w->weight_k[l] = weight_of(c, w->k[l]);
  VECTOR_LOOP
  for (int l = 0; l < TILE_ROWS; l++) {
    const double weight = w->weight[l], scale = w->scale[l], top = (double)t->max[l], e_k = (double)w->e_k[l];
    const int own = w->target[l] == w->k[l]; /* the maximum is an integer target's class */
    const double hit = soft ? 0.0 : onehot * weight, z = soft ? z_loss : z_loss * weight;
    const double even = spread * w->weight_k[l], u_k = soft ? (double)w->u_k[l] : own ? even + hit : even;
    const double summed = pair_value(w->others[l], w->others_low[l]);
    const double others = soft ? summed : spread * (weight_sum - w->weight_k[l]) + (own ? 0.0 : hit);
    const double mass = soft ? summed + u_k : spread * weight_sum + hit;
    const double gap = top - (double)w->at_target[l];
    const double far = pair_value(w->far[l], w->far_low[l]) + (soft || hit == 0.0 ? 0.0 : hit * gap);
    const softmax_sum sum = sum_with(t->hi[l], t->lo[l], e_k);
    const double rest = t->hi[l] + t->lo[l], above = log1p_quotient(rest, e_k), lse = top + above;
    const double z_slope = z == 0.0 ? 0.0 : z * (2.0 * lse), pull = mass + z_slope;
    const double p_k = quotient(e_k, sum), q_k = quotient(rest, sum), p_y = quotient((double)w->e_target[l], sum);
    const double both = p_k * q_k;
    w->value[l] = (mass * above + far) + (z == 0.0 ? 0.0 : z * lse * lse);
    w->factor[l] = (real)quotient(pull * scale, sum);
    w->inverse[l] = (real)quotient(1.0, sum);
    w->f[l] = (real)scale;
    w->squared[l] = (real)(2.0 * z * scale);
    w->grad_y[l] = (real)(scale * ((p_y == 0.0 ? 0.0 : p_y * pull) - (spread * weight + hit)));
    w->grad_k[l] = (real)(scale * ((z_slope + others) * p_k - u_k * q_k));
    w->hess_k[l] = (real)(scale * ((both == 0.0 ? 0.0 : both * pull) + 2.0 * z * p_k * p_k));
  }
  for (int l = 0; l < TILE_ROWS; l++) {
    const int fits = (abs_(w->factor[l]) <= REAL_MAX) & (w->far[l] - w->far[l] == 0.0) & (w->others[l] - w->others[l] == 0.0);
    w->alone[l] = !fits | !(abs_(t->max[l]) <= REAL_MAX);
    alone |= w->alone[l];
  }
  for (int l = 0; alone && l < TILE_ROWS; l++) w->alone[l] &= !t->dead[l];
  for (int l = 0; t->any_dead && l < TILE_ROWS; l++) {
    if (!t->dead[l]) continue;
    w->value[l] = 0.0;
    w->factor[l] = w->f[l] = w->squared[l] = w->grad_y[l] = w->grad_k[l] = w->hess_k[l] = R(0.0);
  }
}

/* Gradients in the place of the exponentials, and Hessians. */
static UNUSED void dense_tile_derivatives(const xent *c, xent_dense_tile *w, int soft, int hess) {
  for (fl_size i = 0; i < c->classes; i++) {
    real *e = w->e + i * TILE_ROWS, *h = w->curve + i * TILE_ROWS;
    const real *u = w->u + i * TILE_ROWS;
    if (hess) {
      VECTOR_LOOP
      for (int l = 0; l < TILE_ROWS; l++) {
        real p = e[l] * w->inverse[l];
        h[l] = fma_(e[l] * w->factor[l], R(1.0) - p, w->squared[l] * p * p);
      }
    }
    VECTOR_LOOP
    for (int l = 0; l < TILE_ROWS; l++) e[l] = fma_(e[l], w->factor[l], R(0.0) - u[l] * w->f[l]);
  }
  for (int l = 0; l < TILE_ROWS; l++) {
    if (!soft) w->e[w->target[l] * TILE_ROWS + l] = w->grad_y[l];
    w->e[w->k[l] * TILE_ROWS + l] = w->grad_k[l];
    if (hess) w->curve[w->k[l] * TILE_ROWS + l] = w->hess_k[l];
  }
}

/* Up to TILE_ROWS rows of at most TILE_CLASSES classes from row `start` of the arrays. Returns 1 where rows are left to be
 * worked on alone: w->alone says which, w->saved has their logits. */
static UNUSED int dense_tile_rows(const xent *c, fl_size start, fl_size rows, fl_rows logits, const int64_t *target,
                                  fl_rows probability, const unsigned char *skip, const double *scale, double *value,
                                  fl_rows grad, fl_rows hess, xent_dense_tile *w) {
  softmax_tile *t = &w->tile;
  const fl_size n = c->classes;
  const real *x = (const real *)logits.data + start * logits.row_stride;
  const int soft = probability.data != NULL;
  ireal alone = 0;
  t->rows = rows;
  tile_ahead(t, logits.class_stride == 1 ? n : 0, x, logits.row_stride, row_at(probability, start), probability.row_stride,
             row_at(grad, start), grad.row_stride);
  dense_tile_begin(c, w, soft ? NULL : target + start, skip ? skip + start : NULL, scale ? scale + start : NULL);
  if (soft) dense_tile_targets(c, w, probability, start);
  else dense_tile_even(c, w);
  tile_load(t, n, x, logits.row_stride, logits.class_stride, w->e);
  tile_max(t, n, w->e, TILE_ROWS);
  tile_shift(t);
  memset(w->k, 0, sizeof w->k); /* a NaN is nowhere found */
  tile_find(0, n, w->e, t->max, w->k);
  for (int l = 0; l < TILE_ROWS; l++) w->at_target[l] = w->e[w->target[l] * TILE_ROWS + l];
  dense_tile_sums(c, w, soft);
  tile_exp(t, n, w->e, TILE_ROWS, w->e, NULL, 0);
  for (int l = 0; l < TILE_ROWS; l++) {
    w->e_target[l] = w->e[w->target[l] * TILE_ROWS + l];
    w->e_k[l] = w->e[w->k[l] * TILE_ROWS + l];
    w->e[w->k[l] * TILE_ROWS + l] = R(0.0);
  }
  tile_sum(t, n, w->e);
  for (int l = 0; l < TILE_ROWS; l++) w->e[w->k[l] * TILE_ROWS + l] = w->e_k[l];
  if (soft) dense_tile_values(c, w, 1);
  else dense_tile_values(c, w, 0);
  for (fl_size l = 0; l < rows; l++) alone |= w->alone[l];
  for (fl_size l = 0; alone && l < rows; l++)
    for (fl_size i = 0; w->alone[l] && i < n; i++) w->saved[l][i] = x[l * logits.row_stride + i * logits.class_stride];
  memcpy(value + start, w->value, (size_t)rows * sizeof(double));
  if (!grad.data) return alone != 0;
  dense_tile_derivatives(c, w, soft, hess.data != NULL);
  tile_store(t, n, w->e, grad.row_stride, grad.class_stride, (real *)grad.data + start * grad.row_stride);
  if (hess.data) tile_store(t, n, w->curve, hess.row_stride, hess.class_stride, (real *)hess.data + start * hess.row_stride);
  return alone != 0;
}

#endif
