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
  activation_tile tile; /* of a group, the piece holds a row */
} activation_scratch;

_Static_assert(TILE_ROWS * TILE_CLASSES >= ROW_CHUNK, "a piece holds a chunk");

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

/* The last pass over a row, whose exponentials SOFTMAX finds in `out`, but for that of the maximum, at k. */
INLINE void activation_finish(int what, fl_size n, const real *x, real m, fl_size k, real e_max, real inverse, real largest,
                              real above, real *out) {
  if (what == SOFTMAX) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) out[i] = softmax_of(out[i], e_max, inverse, largest);
    out[k] = largest;
  } else if (what == LOG_SOFTMAX) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) out[i] = log_softmax_of(x[i], m, above);
  }
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
  const double e_max = (double)exp_shifted(m, s), above = log1p_quotient(hi + lo, e_max);
  const softmax_sum sum = sum_with(hi, lo, e_max);
  activation_finish(what, n, x, m, k, (real)e_max, (real)quotient(1.0, sum), largest_of(e_max, sum), (real)above, out);
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

/* Third pass, over the piece's logits again; ready: over its exponentials, but for those of the maxima. */
static UNUSED void activation_tile_finish(int what, int ready, activation_tile *w, fl_size n) {
  const softmax_tile *t = &w->tile;
  if (what == SOFTMAX && !ready) tile_exp(t, n, w->piece, TILE_ROWS, w->piece, NULL, 0);
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
  for (int l = 0; ready && l < TILE_ROWS; l++)
    if (w->at_max[l] >= 0) w->piece[w->at_max[l] * TILE_ROWS + l] = w->largest[l];
}

/* Which rows have no finite maximum, and what is known of them; they leave the tile, or group. */
static UNUSED void activation_tile_limits(activation_tile *w, fl_size classes, const real *x, fl_rows logits) {
  softmax_tile *t = &w->tile;
  for (fl_size l = 0; l < TILE_ROWS; l++) {
    const real *row = x + (l < t->rows ? l : t->rows - 1) * logits.row_stride;
    w->limit[l] = !(abs_(t->max[l]) <= REAL_MAX);
    if (!w->limit[l]) continue;
    w->infinite[l] = single_infinity(classes, row, logits.class_stride);
    w->value[l] = has_nan(classes, row, logits.class_stride) ? (double)NAN : (double)t->max[l];
    t->dead[l] = t->any_dead = 1;
    t->max[l] = R(0.0);
  }
}

/* What a row's last pass needs, from its sums. */
static UNUSED void activation_tile_values(activation_tile *w) {
  const softmax_tile *t = &w->tile;
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
}

static UNUSED void activation_tile_end(int what, const activation_tile *w, fl_size classes, real *o, fl_rows out,
                                       double *value) {
  for (fl_size l = 0; l < w->tile.rows; l++) {
    if (value) value[l] = w->value[l];
    if (w->limit[l] && o) infinite_activation(what, classes, w->infinite[l], o + l * out.row_stride, out.class_stride);
  }
}

static UNUSED void activation_tile_begin(activation_tile *w, fl_size rows) {
  softmax_tile *t = &w->tile;
  t->rows = rows;
  t->any_dead = 0;
  for (int l = 0; l < TILE_ROWS; l++) {
    t->dead[l] = 0;
    t->max[l] = -REAL_INF;
    w->at_max[l] = -1;
  }
}

/* Rows of one chunk, whose classes are contiguous: as in softmax_xent_group.h. The bits are those of activation_row(). */
static UNUSED void activation_group_rows(int what, fl_size n, fl_size start, fl_size rows, fl_rows logits, fl_rows out,
                                         double *value, activation_tile *w) {
  softmax_tile *t = &w->tile;
  const real *x = (const real *)logits.data + start * logits.row_stride;
  real *o = out.data ? (real *)out.data + start * out.row_stride : NULL;
  fetch_ahead ahead = {n >= AHEAD ? rows * logits.row_stride : 0, 0};
  activation_tile_begin(w, rows);
  group_max(t, n, x, logits.row_stride);
  activation_tile_limits(w, n, x, logits);
  tile_shift(t);
  for (fl_size l = 0; l < rows; l++) {
    const real *row = x + l * logits.row_stride;
    if (t->dead[l]) continue;
    real *to = o ? o + l * out.row_stride : NULL; /* where a logarithm will go, its exponential only warms the line up */
    w->at_max[l] = row_find(n, row, t->max[l]);
    exp_sum_chunk(n, row, ahead, w->at_max[l], tile_row_shift(t, (int)l), to && (what == SOFTMAX || to != row) ? to : w->piece,
                  &t->hi[l], &t->lo[l]);
  }
  activation_tile_values(w);
  for (fl_size l = 0; o && l < rows; l++)
    if (!t->dead[l])
      activation_finish(what, n, x + l * logits.row_stride, t->max[l], w->at_max[l], w->e_max[l], w->inverse[l], w->largest[l],
                        w->above[l], o + l * out.row_stride);
  activation_tile_end(what, w, n, o, out, value ? value + start : NULL);
}

static UNUSED void activation_tile_rows(int what, fl_size classes, fl_size start, fl_size rows, fl_rows logits,
                                        fl_rows out, double *value, activation_tile *w) {
  softmax_tile *t = &w->tile;
  const fl_size step = logits.class_stride;
  const real *x = (const real *)logits.data + start * logits.row_stride;
  real *o = out.data ? (real *)out.data + start * out.row_stride : NULL;
  activation_tile_begin(w, rows);
  tile_ahead(t, step == 1 ? classes : 0, x, logits.row_stride, NULL, 0, o, out.row_stride);
  for (fl_size s = 0; s < classes; s += TILE_CLASSES) {
    tile_load(t, piece_length(classes, s), x + s * step, logits.row_stride, step, w->piece);
    tile_max(t, piece_length(classes, s), w->piece, TILE_ROWS);
  }
  activation_tile_limits(w, classes, x, logits);
  tile_shift(t);
  const int whole = classes <= TILE_CLASSES, ready = whole && what == SOFTMAX;
  for (fl_size s = 0; s < classes; s += TILE_CLASSES) {
    if (!whole || t->any_dead) tile_load(t, piece_length(classes, s), x + s * step, logits.row_stride, step, w->piece);
    activation_tile_sums(w, s, piece_length(classes, s));
  }
  activation_tile_values(w);
  for (fl_size s = 0; o && s < classes; s += TILE_CLASSES) {
    if (!ready) tile_load(t, piece_length(classes, s), x + s * step, logits.row_stride, step, w->piece);
    activation_tile_finish(what, ready, w, piece_length(classes, s));
    tile_store(t, piece_length(classes, s), w->piece, out.row_stride, out.class_stride, o + s * out.class_stride);
  }
  activation_tile_end(what, w, classes, o, out, value ? value + start : NULL);
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
  const fl_size group = group_rows(classes);
  if (classes <= ROW_CHUNK && (!out.data || out.class_stride == 1)) {
    for (fl_size i = 0; i < rows; i += group)
      activation_group_rows(what, classes, i, rows - i < group ? rows - i : group, logits, out, value, &work->tile);
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
