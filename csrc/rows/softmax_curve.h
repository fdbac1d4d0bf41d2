/* Losses f(p) of a row of logits and a class y, p its softmax probability: focal, poly. Their algebra, and a row on its
 * own. Not here: the functions f (row_losses/), short rows (softmax_curve_tile.h), plain cross-entropy.
 *
 * With q = 1 - p, L = -log p, p_j the other probabilities and d_j 1 at y, else 0:
 *   A = -p f'(p), B = -p A'(p):   gradient A (p_j - d_j),   Hessian A p_j (1 - p_j) + B (p_j - d_j)^2.
 * f is given as value, A ("pull") and q B ("bend"), which stays bounded where B does not (q = 0):
 *   j != y: p_j (A (1 - p_j) + q B p_j / q), p_j / q <= 1;   y: gradient -A q, Hessian q (A p + q B).
 * q is the sum of the others, never 1 - p, so a confidently right row keeps its digits, and a confidently wrong one has
 * p = 0, A = A(0) and its full gradient.
 *
 * `exact`: where a power of q multiplies its relative error, exponentials are summed with the part below their last
 * bit, and q and L are good to an ULP of double in a float kernel too.
 */
#ifndef FASTLOSS_SOFTMAX_CURVE_H
#define FASTLOSS_SOFTMAX_CURVE_H

#include "../core/power.h"
#include "softmax_xent_plain.h"

/* Of n rows (1 or TILE_ROWS): p, q + q_low and L in; value, pull and bend out. */
typedef void curve_body(const double *parameter, fl_size parameters, fl_size n, const double *p, const double *q,
                        const double *q_low, const double *loss, double *value, double *pull, double *bend);

/* e^x shifted = result + *low, together good to 1/6 ULP. */
INLINE real exp_shifted_pair(real x, row_shift s, real *low) {
  real d = x - s.base, t = fma_(d, LOG2_E, s.magic), n = t - s.magic;
  real high = fma_(-n, LN2_HI, d), r = fma_(-n, LN2_LO, high), rest;
  real e = exp_poly_low_(r, fma_(-n, LN2_LO, high - r), &rest), power = real_of(bits_of(t) << REAL_MANTISSA);
  *low = d < s.lowest ? R(0.0) : rest * power;
  return d < s.lowest ? R(0.0) : e * power;
}

/* An exponential as a pair of doubles; low is 0 unless `exact`. */
INLINE double curve_exp(int exact, real x, row_shift s, double *low) {
  real l = R(0.0), e = exact ? exp_shifted_pair(x, s, &l) : exp_shifted(x, s);
  *low = (double)l;
  return (double)e;
}

typedef struct { double p, q, q_low, loss, rest; softmax_sum sum; } curve_terms; /* rest: the others' exponentials */

/* From the sum of the other exponentials, the target's, the largest, and gap = the largest logit less the target's. */
INLINE curve_terms terms_of(double rest, double rest_low, double e_y, double y_low, double e_m, double m_low,
                            double gap) {
  curve_terms t;
  double n = rest, n_low = rest_low, low, ratio;
  t.sum.hi = rest;
  t.sum.lo = rest_low;
  pair_add(&t.sum.hi, &t.sum.lo, e_y, y_low);
  t.sum.inverse = 1.0 / t.sum.hi;
#if FASTLOSS_REAL_BITS == 32
  const double sum = t.sum.hi + t.sum.lo, largest = e_m + m_low;
  t.p = (e_y + y_low) / sum;
  t.q = (rest + rest_low) / sum;
  t.q_low = 0.0;
  low = 0.0;
  ratio = (gap == 0.0 ? rest + rest_low : ((rest - e_m) + (rest_low - m_low)) + (e_y + y_low)) / largest;
#else
  t.p = pair_quotient(e_y, y_low, t.sum.hi, t.sum.lo, &low);
  t.q = pair_quotient(rest, rest_low, t.sum.hi, t.sum.lo, &t.q_low);
  pair_add(&n, &n_low, -e_m, -m_low);
  pair_add(&n, &n_low, e_y, y_low);
  ratio = pair_quotient(gap == 0.0 ? rest : n, gap == 0.0 ? rest_low : n_low, e_m, m_low, &low);
#endif
  (void)n, (void)n_low;
  t.rest = rest + rest_low;
  t.loss = gap + (log1p_quotient(ratio, 1.0) + low / (1.0 + ratio));
  return t;
}

/* A row without a finite maximum: its only +inf is at class k (p is its one-hot), or k < 0: no limit. */
static UNUSED double curve_limit(fl_size n, fl_size k, fl_size y, double scale, real *g, real *h) {
  for (fl_size i = 0; i < n; i++) {
    if (h) h[i] = k < 0 ? REAL_NAN : R(0.0);
    if (g) g[i] = k < 0 ? REAL_NAN : k == y ? R(0.0) : (real)(scale * (double)((i == k) - (i == y)));
  }
  return k < 0 ? (double)NAN : k == y ? 0.0 : (double)INFINITY;
}

/* A chunk's exponentials and their sum, 0 at index `without`. */
INLINE void curve_chunk(int exact, fl_size n, const real *x, fl_size without, row_shift s, real *e, xent_work *work,
                        double *hi, double *lo) {
  double highs[LANES] = {0.0}, lows[LANES] = {0.0};
  if (!exact) {
    exp_sum_chunk(n, x, no_fetch, without, s, e, hi, lo);
    return;
  }
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) {
    real low, high = exp_shifted_pair(x[i], s, &low);
    work->low[i] = low;
    e[i] = high;
  }
  if (without >= 0 && without < n) e[without] = work->low[without] = R(0.0);
  /* without the plain additions of sum_block(), whose error the power would multiply */
  fl_size i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) pair_add(&highs[l], &lows[l], (double)e[i + l], (double)work->low[i + l]);
  for (int l = 0; i < n; i++, l++) pair_add(&highs[l], &lows[l], (double)e[i], (double)work->low[i]);
  fold_pairs(highs, lows);
  *hi = highs[0];
  *lo = lows[0];
}

/* Hessian of a row whose g holds the exponentials, 0 at y. */
static UNUSED void curve_hessian(fl_size n, fl_size y, double scale, const curve_terms *t, double pull, double bend,
                                 real e_y, real e_m, real *g, real *h) {
  const double share = t->rest > 0.0 ? 1.0 / t->rest : 0.0; /* of the others, p_j / q */
  const real inverse = (real)quotient(1.0, t->sum), factor = (real)quotient(scale, t->sum), a = (real)pull;
  const real b = (real)bend, part = (real)share;
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) h[i] = g[i] * factor * fma_(a, R(1.0) - g[i] * inverse, g[i] * part * b);
  if (e_y != e_m) { /* 1 - p cancels at the maximum, unless it is computed as the sum of the others */
    fl_size k = row_find(n, g, e_m);
    if (k < n) {
      g[y] = e_y;
      double others = quotient(sum_without(NULL, n, g, k), t->sum), top = (double)e_m;
      h[k] = (real)(quotient(scale * top, t->sum) * (pull * others + share * top * bend));
    }
  }
  h[y] = (real)(scale * t->q * (pull * t->p + bend));
}

INLINE double curve_row(curve_body *body, int exact, const double *parameter, fl_size parameters, fl_size n,
                        const real *x, fl_size y, double scale, real *g, real *h, xent_work *work) {
  const real m = row_max(n, x);
  if (!(abs_(m) <= REAL_MAX)) return curve_limit(n, single_infinity(n, x, 1), y, scale, g, h);
  const row_shift s = shift_of(m, R(0.0));
  const double gap = (double)m - (double)x[y];
  double y_low, m_low, e_y = curve_exp(exact, x[y], s, &y_low), e_m = curve_exp(exact, m, s, &m_low);
  double hi = 0.0, lo = 0.0, part_hi, part_lo, value, pull, bend;
  for (fl_size i = 0; i < n; i += ROW_CHUNK) {
    real *e = g ? g + i : work->e;
    curve_chunk(exact, chunk_length(n, i), x + i, y - i, s, e, work, &part_hi, &part_lo);
    pair_add(&hi, &lo, part_hi, part_lo);
  }
  const curve_terms t = terms_of(hi, lo, e_y, y_low, e_m, m_low, gap);
  body(parameter, parameters, 1, &t.p, &t.q, &t.q_low, &t.loss, &value, &pull, &bend);
  if (h) curve_hessian(n, y, scale, &t, pull, bend, (real)e_y, (real)e_m, g, h);
  const double factor = quotient(scale * pull, t.sum);
  for (fl_size i = 0; g && i < n; i += ROW_CHUNK) scale_chunk(chunk_length(n, i), g + i, factor, g + i);
  if (g) g[y] = (real)(0.0 - scale * pull * t.q);
  return value;
}

#endif
