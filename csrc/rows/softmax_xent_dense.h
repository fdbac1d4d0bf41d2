/* Targets of many classes: u_c = w_c y'_c of a chunk (probabilities, smoothing, class weights), its sums, its gradient.
 * Not here: what the sums mean (softmax_xent_weighted.h).
 *
 * The sums of a row without a map take products and four terms at a time in the real type, then LANES double lanes: a few
 * ULP at the very worst where two terms dominate, below 1 in a row of many; 1.5 times as fast as the sums of reduce.h. A
 * product may overflow (the largest logit at 3e38, another at -3e38): xent_distances() then has the chunk, in double.
 */
#ifndef FASTLOSS_SOFTMAX_XENT_DENSE_H
#define FASTLOSS_SOFTMAX_XENT_DENSE_H

#include "softmax_xent_row.h"

/* The targets of a row; probability NULL: an integer target, whose own class is added elsewhere. weight may be NULL. */
typedef struct {
  const real *probability, *weight;
  real onehot, spread;
} dense_targets;

/* total: of the probabilities. */
INLINE dense_targets make_dense(const xent *c, const xent_row *row, double total) {
  dense_targets d = {row->probability, c->weight, (real)c->onehot, (real)(c->spread * (row->probability ? total : 1.0))};
  return d;
}

/* The targets from class `start` on. */
INLINE dense_targets dense_at(const dense_targets *d, fl_size start) {
  dense_targets part = *d;
  if (d->probability) part.probability += start;
  if (d->weight) part.weight += start;
  return part;
}

/* u of class i; has_p and has_w are constants. */
INLINE real dense_target(const dense_targets *d, int has_p, int has_w, fl_size i) {
  real u = has_p ? fma_(d->onehot, d->probability[i], d->spread) : d->spread;
  return has_w ? u * d->weight[i] : u;
}

INLINE real dense_target_of(const dense_targets *d, fl_size i) {
  return dense_target(d, d->probability != NULL, d->weight != NULL, i);
}

/* Runs loop(has_p, has_w, ...) with constants. */
#define DENSE_LOOP(loop, d, ...)                                          \
  do {                                                                    \
    if ((d)->probability && (d)->weight) loop(1, 1, d, __VA_ARGS__);      \
    else if ((d)->probability) loop(1, 0, d, __VA_ARGS__);                \
    else if ((d)->weight) loop(0, 1, d, __VA_ARGS__);                     \
    else loop(0, 0, d, __VA_ARGS__);                                      \
  } while (0)

INLINE void dense_loop(int has_p, int has_w, const dense_targets *d, fl_size n, real *u) {
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) u[i] = dense_target(d, has_p, has_w, i);
}

static UNUSED void dense_chunk(const dense_targets *d, fl_size n, real *u) { DENSE_LOOP(dense_loop, d, n, u); }

/* g = e factor - u f; g may be e. */
INLINE void dense_gradient_loop(int has_p, int has_w, const dense_targets *d, fl_size n, const real *e, real factor,
                                real f, real *g) {
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) g[i] = fma_(e[i], factor, R(0.0) - dense_target(d, has_p, has_w, i) * f);
}

static UNUSED void dense_gradient(const dense_targets *d, fl_size n, const real *e, real factor, real f, real *g) {
  DENSE_LOOP(dense_gradient_loop, d, n, e, factor, f, g);
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

/* u_c (m - x_c) of a logit. */
INLINE real dense_distance(real u, real m, real x) { return u == R(0.0) ? R(0.0) : u * (m - x); }

/* Sums of a chunk of unmapped logits in lanes: of u (m - x), and of u where there are probabilities. */
INLINE void dense_lanes(int has_p, int has_w, const dense_targets *d, fl_size n, const real *x, real m, double *far,
                        double *mass) {
  fl_size start = 0;
  for (; start + VALUE_GROUP <= n; start += VALUE_GROUP) {
    for (int r = 0; r < VALUE_GROUP; r += FOUR_LINES) {
      VECTOR_LOOP_WIDE
      ROLLED_LOOP
      for (int l = 0; l < LINE; l++) {
        const fl_size i = start + r + l, j = i + LINE, k = j + LINE, q = k + LINE;
        real a = dense_target(d, has_p, has_w, i), b = dense_target(d, has_p, has_w, j);
        real c = dense_target(d, has_p, has_w, k), e = dense_target(d, has_p, has_w, q);
        far[r / 4 + l] += (double)((dense_distance(a, m, x[i]) + dense_distance(b, m, x[j])) +
                                   (dense_distance(c, m, x[k]) + dense_distance(e, m, x[q])));
        if (has_p) mass[r / 4 + l] += (double)((a + b) + (c + e));
      }
    }
  }
  for (; start < n; start += LANES) {
    const int length = (int)(n - start < LANES ? n - start : LANES);
    VECTOR_LOOP_WIDE
    for (int l = 0; l < length; l++) {
      real u = dense_target(d, has_p, has_w, start + l);
      far[l] += (double)dense_distance(u, m, x[start + l]);
      if (has_p) mass[l] += (double)u;
    }
  }
}

/* The same as numbers, u of class k (outside [0, n): of none) not counted: beside a target of nearly 1 at the maximum, its
 * gradient needs the digits of all others. 0 where a sum is not finite. */
static UNUSED int dense_sums(const dense_targets *d, fl_size n, const real *x, real m, fl_size k, double *far,
                             double *others) {
  double far_lanes[LANES] = {0.0}, mass_lanes[LANES] = {0.0};
  fl_size start = 0;
  if (k >= 0 && k < n && d->probability) {
    const fl_size at = k / VALUE_GROUP * VALUE_GROUP, length = n - at < VALUE_GROUP ? n - at : VALUE_GROUP;
    const dense_targets group = dense_at(d, at);
    real u[VALUE_GROUP];
    const dense_targets copy = {u, NULL, R(1.0), R(0.0)};
    dense_chunk(&group, length, u);
    u[k - at] = R(0.0);
    DENSE_LOOP(dense_lanes, d, at, x, m, far_lanes, mass_lanes);
    dense_lanes(1, 0, &copy, length, x + at, m, far_lanes, mass_lanes);
    start = at + length;
  }
  const dense_targets last = dense_at(d, start);
  DENSE_LOOP(dense_lanes, &last, n - start, x + start, m, far_lanes, mass_lanes);
  *far = fold_lanes(far_lanes);
  *others = d->probability ? fold_lanes(mass_lanes) : 0.0;
  return *far - *far == 0.0 && *others - *others == 0.0;
}

#endif
