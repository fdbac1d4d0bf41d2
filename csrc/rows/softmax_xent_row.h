/* Cross-entropy of one contiguous row: its algebra, and what all its forms share. The forms: softmax_xent_plain.h,
 * softmax_xent_weighted.h. Not here: strides and tiles (softmax_xent.h).
 *
 * With a = the mapped logits (logit_map.h), p = softmax(a), u_c = w_c y'_c (class weight times smoothed target),
 * U = sum u, L = log sum e^a, z' = z_loss times the row's weight:
 *   value = sum u_c (L - a_c) + z' L^2,   da: U p - u + 2 z' L p,   da^2: U p (1 - p) + 2 z' (p^2 + L p (1 - p)).
 * Confident rows keep their digits because one term is left out of the sum of exponentials and put back by hand:
 *   plain rows (integer target, no smoothing, no z-loss, no cap): the target y. With Sx = sum over j != y of e_j:
 *     L - a_y = log1p(Sx / e_y) where y is the maximum, else (m - a_y) + log1p((S - e_m) / e_m);
 *     the gradient at y is -Sx / S.
 *   all others: the maximum k. L = m + log1p(Sx / e_k), value = U (L - m) + sum u_c (m - a_c) + z' L^2: no term is
 *     negative; 1 - p_k = Sx / S.
 * A term with u_c = 0 is 0 whatever a_c is. Weighted by 0, a plain row is an ignored row.
 *
 * Measured in ULP on FMA targets (gaps to 100 or 700, offsets to 1e4, ties, masks, 1 to 1000 classes), float and double:
 * plain rows: value 1.9 and 2.6, gradient 2.7 and 3.4, Hessian 3.5 and 5.1. Weights, smoothing, probabilities, temperature:
 * value 3.4, gradient 3.9 of the largest term; a cap or z-loss, and all options together, more: checked to 8.
 */
#ifndef FASTLOSS_SOFTMAX_XENT_ROW_H
#define FASTLOSS_SOFTMAX_XENT_ROW_H

#include "logit_map.h"
#include "softmax.h"
#include "xent_options.h"

/* What the first pass over a plain row leaves of a chunk: the largest logit and the sum of exponentials; and what these are
 * to be multiplied by, in two factors that are normal numbers, because the gradient's own factor may be large. */
typedef struct {
  double hi, lo, weight, more;
  real top;
} plain_part;

typedef struct {
  fl_size classes;
  const real *weight;     /* per class, or NULL */
  double onehot, spread;  /* 1 - label_smoothing, label_smoothing / classes */
  double weight_sum;      /* of all classes; only where smoothing needs it */
  double z_loss;
  int smooth, simple;     /* simple: plain, if the target is an integer */
  fetch_ahead ahead;      /* what is fetched while exponentials are computed */
  plain_part *part;       /* of plain rows, one for every chunk */
  logit_map map;
} xent;

/* One row's arrays. probability NULL: integer target. g, h may be NULL, may be x. */
typedef struct {
  const real *x, *probability;
  fl_size target;
  double scale;
  real *g, *h;
} xent_row;

/* Buffers of ROW_CHUNK elements. */
typedef struct {
  double term[ROW_CHUNK];
  real e[ROW_CHUNK], high[ROW_CHUNK], low[ROW_CHUNK], u[ROW_CHUNK];
} xent_work;

static UNUSED size_t plain_part_bytes(fl_size classes) {
  return ((size_t)classes + ROW_CHUNK - 1) / ROW_CHUNK * sizeof(plain_part);
}

/* Row i, or NULL; and whether the classes of all rows that there are lie one behind the other. */
INLINE real *row_at(fl_rows rows, fl_size i) { return rows.data ? (real *)rows.data + i * rows.row_stride : NULL; }
INLINE int contiguous_classes(fl_rows rows) { return !rows.data || rows.class_stride == 1; }

INLINE fl_size chunk_length(fl_size n, fl_size start) { return n - start < ROW_CHUNK ? n - start : ROW_CHUNK; }

static UNUSED double row_sum(fl_size n, const real *x, double *hi, double *lo) {
  double part_hi, part_lo;
  *hi = *lo = 0.0;
  for (fl_size i = 0; i < n; i += ROW_CHUNK) {
    sum_block(chunk_length(n, i), x + i, &part_hi, &part_lo);
    pair_add(hi, lo, part_hi, part_lo);
  }
  return pair_value(*hi, *lo);
}

static UNUSED xent make_xent(const fl_xent *o) {
  double smoothing = (double)(real)o->label_smoothing;
  xent c;
  c.classes = o->classes;
  c.weight = o->class_weight;
  c.onehot = 1.0 - smoothing;
  c.spread = smoothing / (double)o->classes;
  c.z_loss = (double)(real)o->z_loss;
  c.ahead = no_fetch;
  c.part = NULL;
  c.smooth = smoothing > 0.0;
  c.weight_sum = (double)c.classes;
  if (c.smooth && c.weight) {
    double hi = 0.0, lo = 0.0;
    c.weight_sum = row_sum(c.classes, c.weight, &hi, &lo);
  }
  c.map = make_logit_map(o->temperature, o->logit_softcap);
  c.simple = !c.smooth && c.z_loss == 0.0 && !c.map.capped;
  return c;
}

INLINE double weight_of(const xent *c, fl_size target) { return c->weight ? (double)c->weight[target] : 1.0; }

/* ---- The algebra of a plain row, shared with the tiles ---- */

/* L - a_y = gap + log(1 + plain_others / e_max), from rest = Sx, gap = m - a_y. */
INLINE double plain_others(double rest, double e_target, double e_max, double gap) {
  return gap == 0.0 ? rest : (rest - e_max) + e_target;
}

/* ---- Rows without a finite maximum ---- */

/* u_c; total: the sum of the row's probabilities. */
INLINE double infinite_u(const xent *c, const real *probability, fl_size stride, fl_size target, double total,
                         fl_size i) {
  double y = probability ? c->onehot * (double)probability[i * stride] + c->spread * total
                         : (i == target ? c->onehot : 0.0) + c->spread;
  return weight_of(c, i) * y;
}

/* A row whose one +inf is at class k: p is its one-hot; k < 0: no limit, NaN. The strides are those of the arrays. */
RARE double infinite_row(const xent *c, fl_size k, const real *x, fl_size x_stride, const real *probability,
                         fl_size probability_stride, fl_size target, double scale, real *g, fl_size g_stride, real *h,
                         fl_size h_stride) {
  double total = 0.0, hi = 0.0, lo = 0.0, value = 0.0, z = c->z_loss * (probability ? 1.0 : weight_of(c, target));
  if (k < 0) {
    for (fl_size i = 0; i < c->classes; i++) {
      if (g) g[i * g_stride] = REAL_NAN;
      if (h) h[i * h_stride] = REAL_NAN;
    }
    return (double)NAN;
  }
  if (probability && c->smooth)
    for (fl_size i = 0; i < c->classes; i++) total += (double)probability[i * probability_stride];
  for (fl_size i = 0; i < c->classes; i++) {
    double u = infinite_u(c, probability, probability_stride, target, total, i);
    if (i != k) pair_add(&hi, &lo, u, 0.0);
    if (i != k && u != 0.0) value += u * (double)INFINITY;
  }
  if (z > 0.0) value += (double)INFINITY;
  const double others = pair_value(hi, lo);
  for (fl_size i = 0; i < c->classes && g; i++) {
    double u = infinite_u(c, probability, probability_stride, target, total, i);
    double slope = i == k ? others + (z > 0.0 ? (double)INFINITY : 0.0) : 0.0 - u;
    real first = R(1.0), second = R(0.0); /* of the cap, where the logit is finite; g may be x */
    if (c->map.capped) first = capped_slope(c->map, x[i * x_stride], &second);
    g[i * g_stride] = (real)(scale * c->map.slope * slope * (double)first);
    if (!h) continue;
    h[i * h_stride] = (real)(scale * c->map.slope * (i == k ? c->map.slope * 2.0 * z : slope * (double)second));
  }
  return value;
}

/* ---- Exponentials ---- */

/* Exponentials of a chunk: of x, or of the mapped x. */
INLINE void xent_exp_chunk(const xent *c, fl_size n, const real *x, row_shift s, real *e, xent_work *work) {
  if (c->map.on) {
    map_chunk(&c->map, n, x, work->high, work->low);
    exp_low_chunk(n, work->high, work->low, s, e);
  } else {
    exp_chunk(n, x, s, e);
  }
}

/* The same, 0 at index `without`, and their sum. */
INLINE void xent_exp_sum(const xent *c, fl_size n, const real *x, fl_size without, row_shift s, real *e, xent_work *work,
                         double *hi, double *lo) {
  if (!c->map.on) {
    exp_sum_chunk(n, x, c->ahead, without, s, e, hi, lo);
    return;
  }
  xent_exp_chunk(c, n, x, s, e, work);
  if (without >= 0 && without < n) e[without] = R(0.0);
  sum_block(n, e, hi, lo);
}

#endif
