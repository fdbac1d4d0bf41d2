/* Rows of cross-entropy with any option: probabilities, smoothing, z-loss, a cap; and which form a row takes. Not here:
 * plain rows (softmax_xent_plain.h).
 */
#ifndef FASTLOSS_SOFTMAX_XENT_WEIGHTED_H
#define FASTLOSS_SOFTMAX_XENT_WEIGHTED_H

#include "softmax_xent_plain.h"

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
