/* Cross-entropy of one contiguous row: all options, any length. Not here: strides and tiles (softmax_xent.h).
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

typedef struct {
  fl_size classes;
  const real *weight;     /* per class, or NULL */
  double onehot, spread;  /* 1 - label_smoothing, label_smoothing / classes */
  double weight_sum;      /* of all classes; only where smoothing needs it */
  double z_loss;
  int smooth, simple;     /* simple: plain, if the target is an integer */
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

/* L - a_y from rest = Sx, gap = m - a_y. */
INLINE double plain_loss(double rest, double e_target, double e_max, double gap) {
  double q = (gap == 0.0 ? rest : (rest - e_max) + e_target) / e_max;
  return gap + log1p_ratio(q);
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
static UNUSED double infinite_row(const xent *c, fl_size k, const real *x, fl_size x_stride, const real *probability,
                                  fl_size probability_stride, fl_size target, double scale, real *g, fl_size g_stride,
                                  real *h, fl_size h_stride) {
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

/* ---- Plain rows ---- */

/* factor e (1 - p), factor in one: e times the gradient's factor might be subnormal. h may be e. */
INLINE void hess_chunk(fl_size n, const real *e, real inverse, real factor, real *h) {
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) h[i] = e[i] * factor * (R(1.0) - e[i] * inverse);
}

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
    exp_sum_chunk(n, x, without, s, e, hi, lo);
    return;
  }
  xent_exp_chunk(c, n, x, s, e, work);
  if (without >= 0 && without < n) e[without] = R(0.0);
  sum_block(n, e, hi, lo);
}

/* The sum over a row of exponentials, all finite, whose element `without` counts 0. */
static UNUSED double sum_without(fl_size n, real *e, fl_size without) {
  double hi, lo;
  real kept = e[without];
  e[without] = R(0.0);
  row_sum(n, e, &hi, &lo);
  e[without] = kept;
  return hi + lo;
}

/* m: the largest logit, finite. */
static UNUSED double plain_row(const xent *c, const xent_row *row, real m, xent_work *work) {
  const fl_size n = c->classes, y = row->target;
  const real top = m, logit_y = row->x[y];
  real m_low = R(0.0), y_low = R(0.0), at_y = logit_y;
  if (c->map.on) {
    m = map_logit(&c->map, m, &m_low);
    at_y = map_logit(&c->map, at_y, &y_low);
  }
  row_shift s = shift_of(m, m_low);
  double hi = 0.0, lo = 0.0, part_hi, part_lo;
  for (fl_size i = 0; i < n; i += ROW_CHUNK) {
    fl_size length = chunk_length(n, i);
    real *e = row->g ? row->g + i : work->e;
    xent_exp_sum(c, length, row->x + i, y - i, s, e, work, &part_hi, &part_lo);
    pair_add(&hi, &lo, part_hi, part_lo);
  }
  real e_y = exp_shifted_low(at_y, y_low, s), e_m = exp_shifted_low(m, m_low, s);
  double gap = map_gap(&c->map, top, logit_y, m, m_low, at_y, y_low);
  double rest = hi + lo, weight = weight_of(c, y);
  double value = weight * plain_loss(rest, (double)e_y, (double)e_m, gap);
  if (!row->g) return value;

  const softmax_sum sum = sum_with(hi, lo, (double)e_y);
  const double scale = row->scale * weight * c->map.slope, factor = quotient(scale, sum);
  if (!row->h) {
    for (fl_size i = 0; i < n; i += ROW_CHUNK) scale_chunk(chunk_length(n, i), row->g + i, factor, row->g + i);
  } else {
    /* 1 - p cancels at the maximum, unless it is computed as the sum of the others */
    const double slope = c->map.slope, curve = scale * slope;
    double hess_y = quotient(curve * quotient((double)e_y * rest, sum), sum), hess_k = hess_y;
    fl_size k = y;
    if (e_y != e_m) {
      k = row_find(n, row->g, e_m);
      row->g[y] = e_y;
      if (k < n) {
        hess_k = quotient(curve * quotient((double)e_m * sum_without(n, row->g, k), sum), sum);
      } else {
        k = y; /* only in a row of NaN */
      }
    }
    const real inverse = (real)quotient(1.0, sum), hess_factor = (real)(slope * factor);
    for (fl_size i = 0; i < n; i += ROW_CHUNK) {
      fl_size length = chunk_length(n, i);
      hess_chunk(length, row->g + i, inverse, hess_factor, work->e);
      scale_chunk(length, row->g + i, factor, row->g + i);
      memcpy(row->h + i, work->e, (size_t)length * sizeof(real));
    }
    row->h[y] = (real)hess_y;
    row->h[k] = (real)hess_k;
  }
  row->g[y] = (real)(0.0 - quotient(scale * rest, sum));
  return value;
}

/* ---- Rows with any option ---- */

/* u of a chunk that starts at class `start`, without what an integer target adds at its own class. */
static UNUSED void xent_targets(const xent *c, const xent_row *row, double total, fl_size start, fl_size n, real *u) {
  const real *w = c->weight ? c->weight + start : NULL;
  const real *p = row->probability ? row->probability + start : NULL;
  const real onehot = (real)c->onehot, even = (real)c->spread, spread = c->smooth ? (real)(c->spread * total) : R(0.0);
  if (p && w) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) u[i] = fma_(onehot, p[i], spread) * w[i];
  } else if (p) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) u[i] = fma_(onehot, p[i], spread);
  } else {
    for (fl_size i = 0; i < n; i++) u[i] = w ? even * w[i] : even;
  }
}

/* Sum of u_c (a(m) - a(x_c)) over a chunk, in double. A temperature alone is a factor, applied to halves so that the
 * difference does not overflow where the quotient would not; behind a cap (a_low not NULL) a is given as a pair. */
static UNUSED void xent_distances(const logit_map *map, fl_size n, const real *u, const real *x, const real *a_low,
                                  double m, double m_low, double *term, double *hi, double *lo) {
  const double slope = 2.0 * map->slope;
  if (a_low) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) {
      double distance = (double)u[i] * ((m - (double)x[i]) + (m_low - (double)a_low[i]));
      term[i] = u[i] == R(0.0) ? 0.0 : distance;
    }
  } else if (map->on) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) {
      double distance = ((double)u[i] * (0.5 * m - 0.5 * (double)x[i])) * slope;
      term[i] = u[i] == R(0.0) ? 0.0 : distance;
    }
  } else {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) {
      double distance = (double)u[i] * (m - (double)x[i]);
      term[i] = u[i] == R(0.0) ? 0.0 : distance;
    }
  }
  sum_doubles(n, term, hi, lo);
}

/* What the first pass over such a row finds. hit: what an integer target adds to u at its own class. */
typedef struct {
  fl_size k;
  double total, hit, mass_hi, mass_lo, z, z_slope; /* total: of the probabilities */
  double e_k, rest;
  row_shift shift;
  softmax_sum sum;
  real at_y, y_low;
} weighted_state;

/* x y, and 0 for x = 0 whatever y is. */
INLINE double zero_or(double x, double y) { return x == 0.0 ? 0.0 : x * y; }

/* The second pass: gradients and Hessians. e_row: the exponentials, or NULL to compute them again. */
static UNUSED void weighted_gradients(const xent *c, const xent_row *row, const weighted_state *w, const real *e_row,
                                      xent_work *work) {
  const fl_size n = c->classes, k = w->k, y = row->probability ? -1 : row->target;
  const int dense = row->probability || c->smooth; /* u is more than a one-hot */
  const double slope = c->map.slope, scale = row->scale * slope, mass = pair_value(w->mass_hi, w->mass_lo);
  const double pull = mass + w->z_slope, p_k = quotient(w->e_k, w->sum), q_k = quotient(w->rest, w->sum);
  const double wide_factor = quotient(pull * scale, w->sum);
  const real factor = (real)wide_factor, inverse = (real)quotient(1.0, w->sum), f = (real)scale;
  const real hess_factor = (real)(wide_factor * slope), squared = (real)(2.0 * w->z * scale * slope);
  /* z-loss of huge logits: an infinite factor leaves a probability of 0 at its limit */
  const int overflow = abs_(factor) > REAL_MAX || abs_(hess_factor) > REAL_MAX;
  for (fl_size i = 0; i < n; i += ROW_CHUNK) {
    fl_size length = chunk_length(n, i);
    const real *x = row->x + i, *u = work->u, *e = e_row ? e_row + i : work->e;
    real *g = work->high, *h = row->h ? work->low : NULL;
    if (!e_row) xent_exp_chunk(c, length, x, w->shift, work->e, work);
    if (h) {
      VECTOR_LOOP
      for (fl_size j = 0; j < length; j++) {
        real p = e[j] * inverse;
        h[j] = fma_(e[j] * hess_factor, R(1.0) - p, squared * p * p);
      }
    }
    if (dense) {
      xent_targets(c, row, w->total, i, length, work->u);
      VECTOR_LOOP
      for (fl_size j = 0; j < length; j++) g[j] = fma_(e[j], factor, R(0.0) - u[j] * f);
    } else {
      scale_chunk(length, e, wide_factor, g);
    }
    for (fl_size j = 0; overflow && j < length; j++) {
      if (e[j] != R(0.0)) continue;
      g[j] = dense ? R(0.0) - u[j] * f : R(0.0);
      if (h) h[j] = R(0.0);
    }
    if (y >= i && y < i + length && y != k) {
      double p_y = quotient((double)exp_shifted_low(w->at_y, w->y_low, w->shift), w->sum);
      g[y - i] = (real)(scale * (zero_or(p_y, pull) - (c->spread * weight_of(c, y) + w->hit)));
    }
    if (k >= i && k < i + length) {
      double even = c->spread * weight_of(c, k);
      double u_k = y < 0 ? (double)u[k - i] : k == y ? even + w->hit : even;
      double others = y < 0 ? (w->mass_hi - u_k) + w->mass_lo
                            : c->spread * (c->weight_sum - weight_of(c, k)) + (k == y ? 0.0 : w->hit);
      g[k - i] = (real)(scale * ((w->z_slope + others) * p_k - u_k * q_k));
      if (h) h[k - i] = (real)(scale * slope * (zero_or(p_k * q_k, pull) + 2.0 * w->z * p_k * p_k));
    }
    if (c->map.capped) map_derivatives_chunk(&c->map, length, x, g, h);
    memcpy(row->g + i, g, (size_t)length * sizeof(real));
    if (h) memcpy(row->h + i, h, (size_t)length * sizeof(real));
  }
}

/* m: the largest logit, finite. */
static UNUSED double weighted_row(const xent *c, const xent_row *row, real m, xent_work *work) {
  const fl_size n = c->classes, y = row->target;
  const int dense = row->probability || c->smooth;
  /* a cap needs x in the second pass too, so g cannot hold the exponentials where it is x */
  const real top = m, logit_y = row->probability ? m : row->x[y]; /* read now: g may be x */
  real m_low = R(0.0), *kept = row->g && !(c->map.capped && row->g == row->x) ? row->g : NULL;
  double rest_hi = 0.0, rest_lo = 0.0, far_hi = 0.0, far_lo = 0.0, hi, lo, far = 0.0;
  weighted_state w = {.k = row_find(n, row->x, m), .z = c->z_loss};
  if (c->map.on) m = map_logit(&c->map, m, &m_low);
  w.shift = shift_of(m, m_low);
  w.at_y = logit_y;
  if (c->map.on) w.at_y = map_logit(&c->map, logit_y, &w.y_low);
  if (row->probability && c->smooth) w.total = row_sum(n, row->probability, &hi, &lo);
  for (fl_size i = 0; i < n; i += ROW_CHUNK) {
    fl_size length = chunk_length(n, i);
    const real *x = row->x + i;
    xent_exp_sum(c, length, x, w.k - i, w.shift, work->e, work, &hi, &lo);
    pair_add(&rest_hi, &rest_lo, hi, lo);
    if (dense) {
      xent_targets(c, row, w.total, i, length, work->u);
      if (c->map.capped) {
        xent_distances(&c->map, length, work->u, work->high, work->low, (double)m, (double)m_low, work->term, &hi, &lo);
      } else {
        xent_distances(&c->map, length, work->u, x, NULL, (double)top, 0.0, work->term, &hi, &lo);
      }
      pair_add(&far_hi, &far_lo, hi, lo);
    }
    if (row->probability) {
      sum_block(length, work->u, &hi, &lo);
      pair_add(&w.mass_hi, &w.mass_lo, hi, lo);
    }
    if (kept) memcpy(kept + i, work->e, (size_t)length * sizeof(real));
  }
  far = pair_value(far_hi, far_lo);
  if (!row->probability) {
    const double weight = weight_of(c, y);
    w.z *= weight;
    w.hit = c->onehot * weight;
    w.mass_hi = c->spread * c->weight_sum + w.hit;
    if (w.hit != 0.0) far += w.hit * map_gap(&c->map, top, logit_y, m, m_low, w.at_y, w.y_low);
  }
  w.e_k = (double)exp_shifted_low(m, m_low, w.shift);
  w.rest = rest_hi + rest_lo;
  w.sum = sum_with(rest_hi, rest_lo, w.e_k);
  const double far_top = c->map.offset != R(0.0) ? (double)top * c->map.slope : (double)m;
  const double above = log1p_ratio(w.rest / w.e_k), lse = far_top + ((double)m_low + above);
  w.z_slope = zero_or(w.z, 2.0 * lse);
  if (row->g) weighted_gradients(c, row, &w, kept, work);
  return (pair_value(w.mass_hi, w.mass_lo) * above + far) + (w.z == 0.0 ? 0.0 : w.z * lse * lse);
}

/* ---- Any row ---- */

static UNUSED double xent_contiguous_row(const xent *c, const xent_row *row, xent_work *work) {
  real m = row_max(c->classes, row->x);
  if (!(abs_(m) <= REAL_MAX)) {
    fl_size k = single_infinity(c->classes, row->x, 1);
    return infinite_row(c, k, row->x, 1, row->probability, 1, row->target, row->scale, row->g, 1, row->h, 1);
  }
  xent mapped;
  if (c->map.on) {
    mapped = *c;
    set_offset(&mapped.map, m);
    c = &mapped;
  }
  return c->simple && !row->probability ? plain_row(c, row, m, work) : weighted_row(c, row, m, work);
}

#endif
