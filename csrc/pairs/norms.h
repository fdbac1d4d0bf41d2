/* The distance of two rows in any p-norm, p >= 1, and the gradients of a triplet's two distances.
 *
 *   p = 2         rows.h; gradient r / d
 *   p = 1         sum |r|; gradient sign(r), 0 at r = 0
 *   p = infinity  max |r|; gradient sign(r) at the first of the largest, else 0
 *   other p       m (sum t^p)^(1/p), t = |r| / m, m = max |r|: nothing overflows; gradient sign(r) (|r| / d)^(p - 1)
 * At distance 0 the gradient is 0; a distance that is NaN gives NaN.
 */
#ifndef FASTLOSS_PAIRS_NORMS_H
#define FASTLOSS_PAIRS_NORMS_H

#include "../core/power.h"
#include "rows.h"

/* The larger of two absolute differences; NaN counts as the largest. */
INLINE double larger(double a, double b) { return b > a || b != b ? b : a; }

/* max |r| */
static UNUSED void find_largest(fl_size n, distance *d) {
  double largest[ROW_LANES] = {0.0};
  fl_size i = 0;
  for (; i + ROW_LANES <= n; i += ROW_LANES) {
    VECTOR_LOOP
    for (int l = 0; l < ROW_LANES; l++) largest[l] = larger(largest[l], fabs(difference(0, d->x, d->y, i + l, &d->s)));
  }
  for (; i < n; i++) largest[0] = larger(largest[0], fabs(difference(0, d->x, d->y, i, &d->s)));
  d->s.largest = largest[0];
  for (int l = 1; l < ROW_LANES; l++) d->s.largest = larger(d->s.largest, largest[l]);
}

/* (|r| / c)^q, s->log being log c. The difference comes with its rest, whose relative size the power multiplies. */
INLINE double power_slope(const real *x, const real *y, fl_size i, const scaling *s, double q) {
  double r = difference(0, x, y, i, s), low, log = double_log(fabs(r), &low);
  double v = power_of_logs(q, log, low + difference_rest(x, y, i, s) / r, s->log, s->log_low);
  v = fabs(r) == 0.0 || s->largest > DBL_MAX ? 0.0 : v;
  return fabs(r) <= DBL_MAX ? v : r - r; /* an infinity by an infinity: NaN */
}

INLINE double power_term(int plain, const real *x, const real *y, fl_size i, const scaling *s) {
  (void)plain;
  return power_slope(x, y, i, s, s->p);
}

/* Other p: d = length * back, length = (sum t^p)^(1/p) >= 1, with t = |r| / largest. Its logarithm stays for the
 * gradient: with it the power's base has no rounding of its own. */
static UNUSED void power_distance(double p, fl_size n, distance *d) {
  d->s.p = p;
  find_largest(n, d);
  if (d->s.largest > DBL_MAX) { /* a difference may have overflowed: halves do not */
    d->s.before = 0.5;
    find_largest(n, d);
  }
  d->s.back = d->s.largest / d->s.before;
  d->length = 1.0;
  if (d->s.largest == 0.0 || !(d->s.largest <= DBL_MAX)) return;
  d->s.log = double_log(d->s.largest, &d->s.log_low);
  double low, product_low, log = double_log(sum_row(power_term, 0, n, d->x, d->y, &d->s), &low);
  double quotient = log / p, product = double_product(quotient, p, &product_low);
  double quotient_low = (((log - product) - product_low) + low) / p;
  d->length = double_exp(quotient, quotient_low);
  pair_add(&d->s.log, &d->s.log_low, quotient, quotient_low);
}

INLINE distance norm_distance(double p, fl_size n, const real *x, const real *y) {
  distance d = {x, y, 0.0, 0.0, no_scaling, 1, 0};
  if (p == 2.0) return euclidean(n, x, y);
  if (p == 1.0) {
    d.length = sum_row(absolute_term, 1, n, x, y, &no_scaling);
  } else if (p > DBL_MAX) {
    find_largest(n, &d);
    d.length = d.s.largest;
    for (d.first = 0; d.first < n && fabs(difference(1, x, y, d.first, &d.s)) != d.length;) d.first++;
  } else {
    power_distance(p, n, &d);
  }
  d.square = d.length * d.length;
  return d;
}

enum { NORM_TWO, NORM_TWO_SCALED, NORM_ONE, NORM_LARGEST, NORM_OTHER };

INLINE double sign_of(double r) { return r > 0.0 ? 1.0 : r < 0.0 ? -1.0 : 0.0; }

/* One element of a distance's gradient with respect to its first row, without the factor that all elements share. */
INLINE double norm_slope(int norm, double power_less_1, const distance *d, fl_size i) {
  double r = difference(norm != NORM_TWO_SCALED && norm != NORM_OTHER, d->x, d->y, i, &d->s);
  if (norm == NORM_TWO || norm == NORM_TWO_SCALED) return r;
  if (norm == NORM_ONE) return sign_of(r);
  if (norm == NORM_LARGEST) return i == d->first ? sign_of(r) : 0.0;
  return sign_of(r) * power_slope(d->x, d->y, i, &d->s, power_less_1);
}

/* That factor: the derivative of d or d^2, by d where the elements are differences. */
INLINE double norm_factor(int norm, int squared, const distance *d, double factor) {
  double length = length_of(d);
  if (length == 0.0) return 0.0;
  if (norm == NORM_TWO && squared) return 2.0 * factor;
  if (norm == NORM_TWO || norm == NORM_TWO_SCALED) return factor / d->length;
  factor = squared ? 2.0 * factor * length : factor;
  return length == length ? factor : length;
}

/* The distance of the anchor (or, swapped, the positive) and the negative is pushed, that of the others pulled. grad[0]
 * may be the anchor: each element is read before it is written. */
INLINE void norm_loop(int norm, int swapped, double power_less_1, fl_size n, const distance *near, const distance *far,
                      double near_factor, double far_factor, real *const *grad) {
  real *a = grad[0], *p = grad[1], *q = grad[2];
  VECTOR_LOOP_WIDE
  for (fl_size i = 0; i < n; i++) {
    double u = near_factor * norm_slope(norm, power_less_1, near, i);
    double v = far_factor * norm_slope(norm, power_less_1, far, i);
    a[i] = (real)(swapped ? u : u - v);
    p[i] = (real)(swapped ? -u - v : -u);
    q[i] = (real)v;
  }
}

INLINE void norm_gradients(double p, int squared, int swapped, fl_size n, const distance *near, const distance *far,
                           double factor, real *const *grad) {
  const int norm = p == 1.0 ? NORM_ONE : p > DBL_MAX ? NORM_LARGEST : p != 2.0 ? NORM_OTHER
                   : squared || (near->plain && far->plain) ? NORM_TWO : NORM_TWO_SCALED;
  const double u = norm_factor(norm, squared, near, factor), v = norm_factor(norm, squared, far, factor);
#define NORM_LOOP(norm)                                                      \
  if (swapped) norm_loop(norm, 1, p - 1.0, n, near, far, u, v, grad);        \
  else norm_loop(norm, 0, p - 1.0, n, near, far, u, v, grad);                \
  return;
  switch (norm) {
    case NORM_TWO: NORM_LOOP(NORM_TWO)
    case NORM_TWO_SCALED: NORM_LOOP(NORM_TWO_SCALED)
    case NORM_ONE: NORM_LOOP(NORM_ONE)
    case NORM_LARGEST: NORM_LOOP(NORM_LARGEST)
    case NORM_OTHER: NORM_LOOP(NORM_OTHER)
  }
#undef NORM_LOOP
}

#endif
