/* Rows of cross-entropy with any option: probabilities, smoothing, z-loss, a cap; and which form a row takes. Not here:
 * plain rows (softmax_xent_plain.h).
 */
#ifndef FASTLOSS_SOFTMAX_XENT_WEIGHTED_H
#define FASTLOSS_SOFTMAX_XENT_WEIGHTED_H

#include "softmax_xent_dense.h"
#include "softmax_xent_plain.h"

/* ---- Rows with any option ---- */

/* What the first pass over such a row finds. hit: what an integer target adds to u at its own class. */
typedef struct {
  fl_size k;
  double hit, mass_hi, mass_lo, others, z, z_slope; /* others: the mass without class k */
  double e_k, rest;
  row_shift shift;
  softmax_sum sum;
  real at_y, y_low;
  dense_targets targets;
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
  /* a map's slopes need the logits, which g may overwrite, and an infinite factor needs the exponentials twice */
  const int buffered = c->map.capped || overflow;
  for (fl_size i = 0; i < n; i += ROW_CHUNK) {
    fl_size length = chunk_length(n, i);
    const dense_targets targets = dense_at(&w->targets, i);
    const real *x = row->x + i, *e = e_row ? e_row + i : work->e;
    real *g = buffered ? work->high : row->g + i, *h = !row->h ? NULL : buffered ? work->low : row->h + i;
    if (!e_row) xent_exp_chunk(c, length, x, w->shift, work->e, work);
    if (h) {
      VECTOR_LOOP
      for (fl_size j = 0; j < length; j++) {
        real p = e[j] * inverse;
        h[j] = fma_(e[j] * hess_factor, R(1.0) - p, squared * p * p);
      }
    }
    if (dense) dense_gradient(&targets, length, e, factor, f, g);
    else scale_chunk(length, e, wide_factor, g);
    for (fl_size j = 0; overflow && j < length; j++) {
      if (e[j] != R(0.0)) continue;
      g[j] = dense ? R(0.0) - dense_target_of(&targets, j) * f : R(0.0);
      if (h) h[j] = R(0.0);
    }
    if (y >= i && y < i + length && y != k) {
      double p_y = quotient((double)exp_shifted_low(w->at_y, w->y_low, w->shift), w->sum);
      g[y - i] = (real)(scale * (zero_or(p_y, pull) - (c->spread * weight_of(c, y) + w->hit)));
    }
    if (k >= i && k < i + length) {
      double even = c->spread * weight_of(c, k);
      double u_k = y < 0 ? (double)dense_target_of(&targets, k - i) : k == y ? even + w->hit : even;
      g[k - i] = (real)(scale * ((w->z_slope + w->others) * p_k - u_k * q_k));
      if (h) h[k - i] = (real)(scale * slope * (zero_or(p_k * q_k, pull) + 2.0 * w->z * p_k * p_k));
    }
    if (c->map.capped) map_derivatives_chunk(&c->map, length, x, g, h);
    if (buffered) {
      memcpy(row->g + i, g, (size_t)length * sizeof(real));
      if (h) memcpy(row->h + i, h, (size_t)length * sizeof(real));
    }
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
  w.targets = make_dense(c, row, row->probability && c->smooth ? row_sum(n, row->probability, &hi, &lo) : 0.0);
  for (fl_size i = 0; i < n; i += ROW_CHUNK) {
    fl_size length = chunk_length(n, i);
    const real *x = row->x + i;
    real *e = kept && kept != row->x ? kept + i : work->e;
    xent_exp_sum(c, length, x, w.k - i, w.shift, e, work, &hi, &lo);
    pair_add(&rest_hi, &rest_lo, hi, lo);
    if (dense) {
      const dense_targets targets = dense_at(&w.targets, i);
      double others_hi = 0.0, others_lo = 0.0;
      lo = 0.0;
      if (c->map.on || !dense_sums(&targets, length, x, m, w.k - i, &hi, &others_hi)) {
        const real *a = c->map.capped ? work->high : x, *a_low = c->map.capped ? work->low : NULL;
        dense_chunk(&targets, length, work->u);
        xent_distances(&c->map, length, work->u, a, a_low, (double)(a_low ? m : top), a_low ? (double)m_low : 0.0,
                       work->term, &hi, &lo);
        if (w.k >= i && w.k < i + length) work->u[w.k - i] = R(0.0);
        if (row->probability) sum_block(length, work->u, &others_hi, &others_lo);
      }
      pair_add(&far_hi, &far_lo, hi, lo);
      pair_add(&w.mass_hi, &w.mass_lo, others_hi, others_lo);
    }
    if (kept && kept == row->x) memcpy(kept + i, e, (size_t)length * sizeof(real));
  }
  far = pair_value(far_hi, far_lo);
  if (row->probability) {
    w.others = pair_value(w.mass_hi, w.mass_lo);
    pair_add(&w.mass_hi, &w.mass_lo, (double)dense_target_of(&w.targets, w.k), 0.0);
  } else {
    const double weight = weight_of(c, y);
    w.z *= weight;
    w.hit = c->onehot * weight;
    w.mass_hi = c->spread * c->weight_sum + w.hit;
    w.others = c->spread * (c->weight_sum - weight_of(c, w.k)) + (w.k == y ? 0.0 : w.hit);
    if (w.hit != 0.0) far += w.hit * map_gap(&c->map, top, logit_y, m, m_low, w.at_y, w.y_low);
  }
  w.e_k = (double)exp_shifted_low(m, m_low, w.shift);
  w.rest = rest_hi + rest_lo;
  w.sum = sum_with(rest_hi, rest_lo, w.e_k);
  const double far_top = c->map.offset != R(0.0) ? (double)top * c->map.slope : (double)m;
  const double above = log1p_quotient(w.rest, w.e_k), lse = far_top + ((double)m_low + above);
  w.z_slope = zero_or(w.z, 2.0 * lse);
  if (row->g) weighted_gradients(c, row, &w, kept, work);
  return (pair_value(w.mass_hi, w.mass_lo) * above + far) + (w.z == 0.0 ? 0.0 : w.z * lse * lse);
}

/* ---- Any row ---- */

static UNUSED double xent_contiguous_row(const xent *c, const xent_row *row, xent_work *work) {
  if (c->simple && !row->probability) return plain_row(c, row, work);
  /* of a longer row, they would be out of the nearest caches again before they are read */
  if (row->probability && c->ahead.read && c->classes <= 2 * ROW_CHUNK)
    for (fl_size i = 0; i < c->classes; i += VALUE_GROUP) prefetch_group(0, row->probability + i);
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
  return weighted_row(c, row, m, work);
}

#endif
