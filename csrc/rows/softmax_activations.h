/* softmax, log_softmax and logsumexp of rows. Not here: losses, and the passes themselves (softmax.h, softmax_tile.h).
 *
 * As in the losses, the maximum k is left out of the sum of exponentials: log-softmax at k is -log1p(Sx / e_k),
 * elsewhere -((m - x_c) + log1p(Sx / e_k)), a sum of terms of one sign. A probability that equals the largest is that
 * of the maximum, rounded once: it never exceeds 1, and is exactly 1 for a single class.
 * Measured, in ULP (float, double): softmax 2.8 and 2.7, log_softmax 1.9 and 2.6, logsumexp 1.5 and 2.5 of the larger
 * of m and the logarithm.
 * A row without a finite maximum has a limit only for a single +inf: one-hot; 0 and -inf; +inf. logsumexp also has
 * one for several +inf, and for nothing but -inf (or nothing at all): -inf.
 */
#ifndef FASTLOSS_SOFTMAX_ACTIVATIONS_H
#define FASTLOSS_SOFTMAX_ACTIVATIONS_H

#include "softmax_xent.h"

enum { SOFTMAX, LOG_SOFTMAX, LOGSUMEXP };

typedef struct {
  softmax_tile tile;
  tile_piece piece;
  fl_size at_max[TILE_ROWS], infinite[TILE_ROWS];
  int limit[TILE_ROWS]; /* a row without a finite maximum; its +inf is at infinite[] */
  real e_max[TILE_ROWS], inverse[TILE_ROWS], largest[TILE_ROWS], above[TILE_ROWS];
  double value[TILE_ROWS];
} activation_tile;

typedef union {
  real e[ROW_CHUNK];
  activation_tile tile;
} activation_scratch;

static UNUSED size_t softmax_scratch(fl_size classes) {
  return (sizeof(activation_scratch) + 63) / 64 * 64 + ((size_t)classes * sizeof(real) + 63) / 64 * 64;
}

/* exp(x - m) / sum and x - m - log(sum / e_m), from their parts. */
INLINE real softmax_of(real e, real e_max, real inverse, real largest) { return e == e_max ? largest : e * inverse; }
INLINE real largest_of(double e_max, softmax_sum s) { return s.hi + s.lo == e_max ? R(1.0) : (real)quotient(e_max, s); }
INLINE real log_softmax_of(real x, real m, real above) { return -((m - x) + above); }

/* A row without a finite maximum; k as from single_infinity(). */
static UNUSED void infinite_activation(int what, fl_size classes, fl_size k, real *out, fl_size stride) {
  const real at = what == SOFTMAX ? R(1.0) : R(0.0), elsewhere = what == SOFTMAX ? R(0.0) : -REAL_INF;
  for (fl_size i = 0; i < classes; i++) out[i * stride] = k < 0 ? REAL_NAN : i == k ? at : elsewhere;
}

static UNUSED int has_nan(fl_size n, const real *x, fl_size stride) {
  for (fl_size i = 0; i < n; i++)
    if (x[i * stride] != x[i * stride]) return 1;
  return 0;
}

/* A contiguous row. out may be x, and is NULL for LOGSUMEXP. */
static UNUSED double activation_row(int what, fl_size n, const real *x, real *out, real *work) {
  real m = row_max(n, x);
  if (!(abs_(m) <= REAL_MAX)) {
    double value = has_nan(n, x, 1) ? (double)NAN : (double)m;
    if (out) infinite_activation(what, n, single_infinity(n, x, 1), out, 1);
    return value;
  }
  const row_shift s = shift_of(m, R(0.0));
  const fl_size k = row_find(n, x, m);
  double hi = 0.0, lo = 0.0, part_hi, part_lo;
  for (fl_size i = 0; i < n; i += ROW_CHUNK) {
    fl_size length = chunk_length(n, i);
    real *e = what == SOFTMAX ? out + i : work;
    exp_sum_chunk(length, x + i, no_fetch, k - i, s, e, &part_hi, &part_lo);
    pair_add(&hi, &lo, part_hi, part_lo);
  }
  const real e_max = exp_shifted(m, s);
  const double above = log1p_quotient(hi + lo, (double)e_max);
  const softmax_sum sum = sum_with(hi, lo, (double)e_max);
  if (what == SOFTMAX) {
    const real inverse = (real)quotient(1.0, sum), largest = largest_of((double)e_max, sum);
    out[k] = e_max;
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) out[i] = softmax_of(out[i], e_max, inverse, largest);
  } else if (what == LOG_SOFTMAX) {
    const real a = (real)above;
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) out[i] = log_softmax_of(x[i], m, a);
  }
  return (double)m + above;
}

/* ---- Tiles ---- */

/* Second pass over a piece: exponentials without the first maximum, and their sums. */
static UNUSED void activation_tile_sums(activation_tile *w, fl_size start, fl_size n) {
  fl_size at[TILE_ROWS];
  for (int l = 0; l < TILE_ROWS; l++) at[l] = -1;
  tile_find(start, n, w->piece, w->tile.max, at);
  tile_exp(&w->tile, n, w->piece, TILE_ROWS, w->piece, NULL, 0);
  for (int l = 0; l < TILE_ROWS; l++) {
    if (w->at_max[l] >= 0 || at[l] < 0) continue;
    w->at_max[l] = at[l];
    w->piece[(at[l] - start) * TILE_ROWS + l] = R(0.0);
  }
  tile_sum(&w->tile, n, w->piece);
}

/* Third pass, from the logits again: short of a tile of its own, a piece has no room for both. */
static UNUSED void activation_tile_finish(int what, activation_tile *w, fl_size n) {
  const softmax_tile *t = &w->tile;
  if (what == SOFTMAX) tile_exp(t, n, w->piece, TILE_ROWS, w->piece, NULL, 0);
  for (fl_size i = 0; i < n; i++) {
    real *v = w->piece + i * TILE_ROWS;
    if (what == SOFTMAX) {
      VECTOR_LOOP
      for (int l = 0; l < TILE_ROWS; l++) v[l] = softmax_of(v[l], w->e_max[l], w->inverse[l], w->largest[l]);
    } else {
      VECTOR_LOOP
      for (int l = 0; l < TILE_ROWS; l++) v[l] = log_softmax_of(v[l], t->max[l], w->above[l]);
    }
  }
}

static UNUSED void activation_tile_rows(int what, fl_size classes, fl_size start, fl_size rows, fl_rows logits,
                                        fl_rows out, double *value, activation_tile *w) {
  softmax_tile *t = &w->tile;
  const fl_size step = logits.class_stride;
  const real *x = (const real *)logits.data + start * logits.row_stride;
  real *o = out.data ? (real *)out.data + start * out.row_stride : NULL;
  t->rows = rows;
  t->any_dead = 0;
  for (int l = 0; l < TILE_ROWS; l++) {
    t->dead[l] = 0;
    t->max[l] = -REAL_INF;
    w->at_max[l] = -1;
  }
  for (fl_size s = 0; s < classes; s += TILE_CLASSES) {
    tile_load(t, piece_length(classes, s), x + s * step, logits.row_stride, step, w->piece);
    tile_max(t, piece_length(classes, s), w->piece, TILE_ROWS);
  }
  for (fl_size l = 0; l < TILE_ROWS; l++) {
    const real *row = x + (l < rows ? l : rows - 1) * logits.row_stride;
    w->limit[l] = !(abs_(t->max[l]) <= REAL_MAX);
    if (!w->limit[l]) continue;
    w->infinite[l] = single_infinity(classes, row, step);
    w->value[l] = has_nan(classes, row, step) ? (double)NAN : (double)t->max[l];
    t->dead[l] = t->any_dead = 1;
    t->max[l] = R(0.0);
  }
  tile_shift(t);
  for (fl_size s = 0; s < classes; s += TILE_CLASSES) {
    tile_load(t, piece_length(classes, s), x + s * step, logits.row_stride, step, w->piece);
    activation_tile_sums(w, s, piece_length(classes, s));
  }
  VECTOR_LOOP
  for (int l = 0; l < TILE_ROWS; l++) {
    double hi = t->hi[l], lo = t->lo[l], e = (double)exp_shifted(t->max[l], tile_row_shift(t, l));
    double above = log1p_quotient(hi + lo, e);
    softmax_sum sum = sum_with(hi, lo, e);
    w->e_max[l] = (real)e;
    w->inverse[l] = (real)quotient(1.0, sum);
    w->largest[l] = largest_of(e, sum);
    w->above[l] = (real)above;
    w->value[l] = w->limit[l] ? w->value[l] : (double)t->max[l] + above;
  }
  for (fl_size s = 0; o && s < classes; s += TILE_CLASSES) {
    tile_load(t, piece_length(classes, s), x + s * step, logits.row_stride, step, w->piece);
    activation_tile_finish(what, w, piece_length(classes, s));
    tile_store(t, piece_length(classes, s), w->piece, out.row_stride, out.class_stride, o + s * out.class_stride);
  }
  for (fl_size l = 0; l < rows; l++) {
    if (value) value[start + l] = w->value[l];
    if (w->limit[l] && o) infinite_activation(what, classes, w->infinite[l], o + l * out.row_stride, out.class_stride);
  }
}

/* ---- Entry points ---- */

static UNUSED void activation_rows(int what, fl_size classes, fl_size rows, fl_rows logits, fl_rows out, double *value,
                                   void *scratch) {
  activation_scratch *work = scratch;
  real *copy = (real *)((char *)scratch + (sizeof(activation_scratch) + 63) / 64 * 64);
  if (classes <= TILE_LIMIT || logits.class_stride != 1) {
    for (fl_size i = 0; i < rows; i += TILE_ROWS) {
      fl_size n = rows - i < TILE_ROWS ? rows - i : TILE_ROWS;
      activation_tile_rows(what, classes, i, n, logits, out, value, &work->tile);
    }
    return;
  }
  for (fl_size i = 0; i < rows; i++) {
    real *o = row_at(out, i), *to = o && out.class_stride != 1 ? copy : o;
    double v = activation_row(what, classes, row_at(logits, i), to, work->e);
    if (value) value[i] = v;
    if (to != o) scatter_row(classes, to, o, out.class_stride);
  }
}

static UNUSED void softmax_rows(fl_size classes, fl_size rows, fl_rows logits, fl_rows out, void *scratch) {
  activation_rows(SOFTMAX, classes, rows, logits, out, NULL, scratch);
}

static UNUSED void log_softmax_rows(fl_size classes, fl_size rows, fl_rows logits, fl_rows out, void *scratch) {
  activation_rows(LOG_SOFTMAX, classes, rows, logits, out, NULL, scratch);
}

static UNUSED void logsumexp_rows(fl_size classes, fl_size rows, fl_rows logits, double *value, void *scratch) {
  const fl_rows none = {NULL, 0, 0};
  activation_rows(LOGSUMEXP, classes, rows, logits, none, value, scratch);
}

#endif
