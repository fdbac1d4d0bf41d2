/* Plain cross-entropy rows (integer target, no smoothing, z-loss, cap or temperature), a tile at a time: the algebra of
 * softmax_xent_row.h with a row per lane. Not here: the other options, and when a tile is used (softmax_xent.h).
 */
#ifndef FASTLOSS_SOFTMAX_XENT_TILE_H
#define FASTLOSS_SOFTMAX_XENT_TILE_H

#include "softmax_tile.h"
#include "softmax_xent_row.h"

/* Classes up to which a row's target is found by comparing it with every class: 32 scalars are else read and written, and
 * vectors that are read where scalars were just written wait for them (10 classes: 0.92 of the time). Without mask registers,
 * comparisons cost more. */
#if defined(__AVX512F__)
#define FEW_CLASSES 32
#else
#define FEW_CLASSES 0
#endif

typedef struct {
  softmax_tile tile;
  tile_piece piece, second;
  ireal label[TILE_ROWS]; /* target, for few classes */
  fl_size target[TILE_ROWS], at_max[TILE_ROWS], infinite[TILE_ROWS];
  int limit[TILE_ROWS]; /* a row without a finite maximum; its +inf is at infinite[] */
  real at_target[TILE_ROWS], e_target[TILE_ROWS], e_max[TILE_ROWS];
  real factor[TILE_ROWS], first[TILE_ROWS], inverse[TILE_ROWS];
  real grad_target[TILE_ROWS], hess_target[TILE_ROWS], hess_max[TILE_ROWS];
  double weight[TILE_ROWS], scale[TILE_ROWS], value[TILE_ROWS], wide_factor[TILE_ROWS];
  double sum_hi[TILE_ROWS], sum_lo[TILE_ROWS];
  int any_small;
} xent_tile;

/* The rows' targets; which rows are read at all. */
static UNUSED void xent_tile_targets(const xent *c, xent_tile *w, const int64_t *target, const double *scale) {
  softmax_tile *t = &w->tile;
  const fl_size last = t->rows - 1;
  int64_t ignored = 0;
  memcpy(w->target, target, (size_t)t->rows * sizeof *target);
  for (fl_size l = t->rows; l < TILE_ROWS; l++) w->target[l] = w->target[last];
  for (fl_size l = 0; !scale && l < TILE_ROWS; l++) w->scale[l] = 1.0;
  if (scale) memcpy(w->scale, scale, (size_t)t->rows * sizeof *scale);
  for (fl_size l = t->rows; scale && l < TILE_ROWS; l++) w->scale[l] = w->scale[last];
  for (int l = 0; l < TILE_ROWS; l++) ignored |= w->target[l];
  for (int l = 0; l < TILE_ROWS; l++) w->weight[l] = 1.0;
  memset(t->dead, 0, sizeof t->dead);
  t->any_dead = 0;
  if (ignored < 0 || c->weight) {
    for (int l = 0; l < TILE_ROWS; l++) {
      int skip = w->target[l] < 0;
      w->target[l] = skip ? 0 : w->target[l];
      w->weight[l] = skip ? 0.0 : weight_of(c, w->target[l]);
      t->dead[l] = w->weight[l] == 0.0;
      t->any_dead |= t->dead[l];
    }
  }
  for (int l = 0; l < TILE_ROWS; l++) t->max[l] = -REAL_INF;
  for (int l = 0; l < TILE_ROWS; l++) w->label[l] = (ireal)w->target[l];
}

/* Rows without a finite maximum leave the tile: they are finished alone at the end, from what is found out here. */
static UNUSED void xent_tile_limits(const xent *c, xent_tile *w, const real *x, fl_rows logits) {
  softmax_tile *t = &w->tile;
  memset(w->limit, 0, sizeof w->limit);
  for (fl_size l = 0; l < TILE_ROWS; l++) {
    if (t->dead[l] || abs_(t->max[l]) <= REAL_MAX) continue;
    const real *row = x + (l < t->rows ? l : t->rows - 1) * logits.row_stride;
    w->limit[l] = 1;
    w->infinite[l] = single_infinity(c->classes, row, logits.class_stride);
    t->dead[l] = t->any_dead = 1;
    t->max[l] = R(0.0);
    for (fl_size i = 0; i < TILE_CLASSES; i++) w->piece[i * TILE_ROWS + l] = R(0.0);
  }
}

/* Elements at[l] of the piece that starts at class `start`, where they lie in it: read into old, replaced by new.
 * Either may be NULL. */
INLINE void xent_tile_swap_if(int everywhere, xent_tile *w, fl_size start, fl_size n, const fl_size *at, real *old,
                              const real *new_) {
  for (int l = 0; l < TILE_ROWS; l++) {
    fl_size i = at[l] - start;
    if (!everywhere && (i < 0 || i >= n)) continue;
    if (old) old[l] = w->piece[i * TILE_ROWS + l];
    if (new_) w->piece[i * TILE_ROWS + l] = new_[l];
  }
}

/* `whole`: the piece holds all classes, and at[] only valid ones, so nothing is tested. */
INLINE void xent_tile_swap(int whole, xent_tile *w, fl_size start, fl_size n, const fl_size *at, real *old,
                           const real *new_) {
  if (whole) xent_tile_swap_if(1, w, 0, n, at, old, new_);
  else xent_tile_swap_if(0, w, start, n, at, old, new_);
}

/* Values, and what the gradients (and, where hess, a constant, is 1, Hessians) need. */
INLINE void xent_tile_values(xent_tile *w, int hess) {
  const softmax_tile *t = &w->tile;
  VECTOR_LOOP_WIDE
  for (int l = 0; l < TILE_ROWS; l++) w->e_target[l] = exp_shifted(w->at_target[l], tile_row_shift(t, l));
  VECTOR_LOOP
  for (int l = 0; l < TILE_ROWS; l++) {
    double rest = t->hi[l] + t->lo[l], e_y = (double)w->e_target[l], scale = w->scale[l] * w->weight[l];
    double gap = (double)t->max[l] - (double)w->at_target[l], log_others;
    softmax_sum sum = sum_and_log(t->hi[l], t->lo[l], e_y, plain_others(rest, e_y, (double)w->e_max[l], gap),
                                  (double)w->e_max[l], &log_others);
    w->value[l] = w->weight[l] * (gap + log_others);
    w->wide_factor[l] = quotient(scale, sum);
    w->factor[l] = (real)w->wide_factor[l];
    w->grad_target[l] = (real)(0.0 - quotient(scale * rest, sum));
    if (hess) {
      w->inverse[l] = (real)quotient(1.0, sum);
      w->hess_target[l] = (real)(quotient(scale * e_y, sum) * quotient(rest, sum));
      w->sum_hi[l] = sum.hi;
      w->sum_lo[l] = sum.lo;
    }
  }
  for (int l = 0; t->any_dead && l < TILE_ROWS; l++) {
    if (!t->dead[l]) continue;
    w->value[l] = w->wide_factor[l] = w->scale[l] = 0.0;
    w->factor[l] = w->grad_target[l] = w->hess_target[l] = R(0.0);
  }
  /* As in scale_chunk: a factor too small for a normal number is applied in two steps. */
  ireal small = 0;
  for (int l = 0; l < TILE_ROWS; l++) small |= abs_(w->factor[l]) < REAL_MIN;
  w->any_small = 0;
  for (int l = 0; small && l < TILE_ROWS; l++) {
    int split = abs_(w->factor[l]) < REAL_MIN && w->wide_factor[l] != 0.0;
    w->any_small |= split;
    w->first[l] = split ? R(0x1p-60) : R(1.0);
    w->factor[l] = split ? (real)(w->wide_factor[l] * 0x1p60) : w->factor[l];
    if (hess && split) w->inverse[l] *= R(0x1p60);
  }
}

/* Sums without the maximum, for 1 - p there: the second use of tile->hi, lo. */
static UNUSED void xent_tile_maxima(const xent *c, xent_tile *w, const real *g, fl_rows grad) {
  softmax_tile *t = &w->tile;
  const fl_size classes = c->classes;
  const int whole = classes <= TILE_CLASSES;
  const real zero[TILE_ROWS] = {R(0.0)};
  memset(t->hi, 0, sizeof t->hi);
  memset(t->lo, 0, sizeof t->lo);
  for (int l = 0; l < TILE_ROWS; l++) w->at_max[l] = w->e_target[l] == w->e_max[l] ? w->target[l] : -1;
  for (fl_size s = 0; s < classes; s += TILE_CLASSES) {
    fl_size n = piece_length(classes, s), at[TILE_ROWS];
    if (!whole) tile_load(t, n, g + s * grad.class_stride, grad.row_stride, grad.class_stride, w->piece);
    xent_tile_swap(whole, w, s, n, w->target, NULL, w->e_target);
    for (int l = 0; l < TILE_ROWS; l++) at[l] = -1;
    tile_find(s, n, w->piece, w->e_max, at);
    for (int l = 0; l < TILE_ROWS; l++) w->at_max[l] = w->at_max[l] < 0 ? at[l] : w->at_max[l];
    xent_tile_swap(0, w, s, n, w->at_max, NULL, zero);
    tile_sum(t, n, w->piece);
    xent_tile_swap(0, w, s, n, w->at_max, NULL, w->e_max);
  }
  VECTOR_LOOP
  for (int l = 0; l < TILE_ROWS; l++) {
    softmax_sum sum = sum_with(w->sum_hi[l], w->sum_lo[l], 0.0);
    double top = w->scale[l] * w->weight[l] * (double)w->e_max[l];
    w->hess_max[l] = (real)(quotient(top, sum) * quotient(t->hi[l] + t->lo[l], sum));
  }
}

/* Every row's exponentials times its factor; to may be e. */
static UNUSED void tile_scale(fl_size n, const real *e, fl_size stride, const real *factor, real *to, fl_size to_stride) {
  for (fl_size i = 0; i < n; i++) {
    const real *from = e + i * stride;
    real *y = to + i * to_stride;
    VECTOR_LOOP
    for (int l = 0; l < TILE_ROWS; l++) y[l] = from[l] * factor[l];
  }
}

/* What one piece of exponentials, in w->piece, still lacks: the first of a factor's two steps, Hessians. */
static UNUSED void xent_tile_derivatives(xent_tile *w, fl_size start, fl_size n, int hess) {
  for (fl_size i = 0; w->any_small && i < n; i++)
    for (int l = 0; l < TILE_ROWS; l++) w->piece[i * TILE_ROWS + l] *= w->first[l];
  for (fl_size i = 0; hess && i < n; i++) {
    const real *e = w->piece + i * TILE_ROWS;
    real *h = w->second + i * TILE_ROWS;
    VECTOR_LOOP
    for (int l = 0; l < TILE_ROWS; l++) h[l] = e[l] * w->factor[l] * (R(1.0) - e[l] * w->inverse[l]);
  }
  for (int l = 0; hess && l < TILE_ROWS; l++) {
    fl_size y = w->target[l] - start, k = w->at_max[l] - start;
    if (k >= 0 && k < n) w->second[k * TILE_ROWS + l] = w->hess_max[l];
    if (y >= 0 && y < n) w->second[y * TILE_ROWS + l] = w->hess_target[l];
  }
}

/* The rows that left the tile; g and h: of its first row. */
static UNUSED void xent_tile_infinite(const xent *c, const xent_tile *w, fl_size start, const double *scale, double *value,
                                      real *g, fl_rows grad, real *h, fl_rows hess) {
  for (fl_size l = 0; l < w->tile.rows; l++) {
    if (!w->limit[l]) continue;
    real *g_row = g ? g + l * grad.row_stride : NULL, *h_row = h ? h + l * hess.row_stride : NULL;
    value[start + l] = infinite_row(c, w->infinite[l], NULL, 0, NULL, 0, w->target[l], scale ? scale[start + l] : 1.0, g_row,
                                    grad.class_stride, h_row, hess.class_stride);
  }
}

/* Up to TILE_ROWS rows from row `start` of the arrays. */
static UNUSED void xent_tile_rows(const xent *c, fl_size start, fl_size rows, fl_rows logits, const int64_t *target,
                                  const double *scale, double *value, fl_rows grad, fl_rows hess, xent_tile *w) {
  softmax_tile *t = &w->tile;
  const fl_size classes = c->classes, step = logits.class_stride;
  const real *x = (const real *)logits.data + start * logits.row_stride;
  real *g = grad.data ? (real *)grad.data + start * grad.row_stride : NULL;
  real *h = hess.data ? (real *)hess.data + start * hess.row_stride : NULL;
  const int whole = classes <= TILE_CLASSES; /* one piece: it stays in w->piece all the way */
  const int few = classes <= FEW_CLASSES && logits.row_stride != 1;
  real nothing[TILE_ROWS]; /* what a target's logit becomes, or where it must not be written, its exponential */
  t->rows = rows;
  tile_ahead(t, step == 1 ? classes : 0, x, logits.row_stride, NULL, 0, g, grad.row_stride);
  xent_tile_targets(c, w, target + start, scale ? scale + start : NULL);
  for (fl_size s = 0; s < classes; s += TILE_CLASSES) {
    fl_size n = piece_length(classes, s);
    if (tile_lies(t, logits.row_stride)) {
      tile_max(t, n, x + s * step, step);
    } else {
      tile_load(t, n, x + s * step, logits.row_stride, step, w->piece);
      if (few) tile_max_and(t, n, w->piece, w->label, w->at_target);
      else tile_max(t, n, w->piece, TILE_ROWS);
    }
  }
  const int limits = !tile_all_finite(t);
  if (limits) xent_tile_limits(c, w, x, logits);
  /* not where limits were found, although the maxima were taken in place: then the piece has yet to be loaded */
  const int lies = tile_lies(t, logits.row_stride), fused = tile_lies(t, grad.row_stride) && !h;
  tile_shift(t);
  VECTOR_LOOP
  for (int l = 0; l < TILE_ROWS; l++) w->e_max[l] = exp_shifted(t->max[l], tile_row_shift(t, l));
  for (int l = 0; lies && l < TILE_ROWS; l++) w->at_target[l] = x[w->target[l] * step + l];
  for (int l = 0; l < TILE_ROWS; l++) nothing[l] = lies ? R(0.0) : -REAL_INF;
  for (fl_size s = 0; s < classes; s += TILE_CLASSES) {
    fl_size n = piece_length(classes, s);
    if (lies) {
      const real *out = g ? g + s * grad.class_stride : NULL;
      tile_exp(t, n, x + s * step, step, w->piece, out, grad.class_stride);
      xent_tile_swap(whole, w, s, n, w->target, NULL, nothing);
      tile_sum(t, n, w->piece);
    } else {
      if (!whole || limits) tile_load(t, n, x + s * step, logits.row_stride, step, w->piece);
      if (few) {
        tile_exp_sum_but(t, n, w->piece, w->label);
        break;
      }
      xent_tile_swap(whole, w, s, n, w->target, w->at_target, nothing);
      tile_exp_sum(t, n, w->piece);
    }
    if (!whole && g) tile_store(t, n, w->piece, grad.row_stride, grad.class_stride, g + s * grad.class_stride);
  }
  if (h) xent_tile_values(w, 1);
  else xent_tile_values(w, 0);
  if (g && h) xent_tile_maxima(c, w, g, grad);
  for (fl_size s = 0; g && s < classes; s += TILE_CLASSES) {
    fl_size n = piece_length(classes, s);
    real *to = g + s * grad.class_stride;
    if (fused && !w->any_small) {
      if (whole) tile_scale(n, w->piece, TILE_ROWS, w->factor, to, grad.class_stride);
      else tile_scale(n, to, grad.class_stride, w->factor, to, grad.class_stride);
      continue;
    }
    if (!whole) tile_load(t, n, to, grad.row_stride, grad.class_stride, w->piece);
    if (w->any_small || h) xent_tile_derivatives(w, s, n, h != NULL);
    tile_store_scaled(t, n, w->piece, w->factor, grad.row_stride, grad.class_stride, to);
    if (h) tile_store(t, n, w->second, hess.row_stride, hess.class_stride, h + s * hess.class_stride);
  }
  for (fl_size l = 0; g && l < rows; l++) g[l * grad.row_stride + w->target[l] * grad.class_stride] = w->grad_target[l];
  memcpy(value + start, w->value, (size_t)rows * sizeof(double));
  if (limits) xent_tile_infinite(c, w, start, scale, value, g, grad, h, hess);
}

#endif
