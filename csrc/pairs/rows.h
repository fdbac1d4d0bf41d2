/* Sums over one or two rows of embeddings, and the distance of two rows. All in double, in the float kernels too: their
 * differences, squares and sums then neither overflow nor underflow, and are exact to float.
 *
 * In double the sums are compensated (see core/reduce.h): a sum of terms of one sign has a relative error of at most
 * 3 * 2^-53 beside those of the terms. Rows whose squares leave the range of double are done again scaled.
 */
#ifndef FASTLOSS_PAIRS_ROWS_H
#define FASTLOSS_PAIRS_ROWS_H

#include "../core/reduce.h"
#include "../core/wide.h"

/* Accumulators of a row's sum: fewer than LANES, since rows are short. */
#define ROW_LANES 8

/* How a body sees two rows: differences are (x before - y before) after, powers of two that are 1 unless the squares
 * overflow or underflow; `back` undoes them. `plain`, a constant of the loop, says that they are 1. What else a term
 * depends on comes with it: the norm's p, the largest difference, and a logarithm (norms.h). */
typedef struct {
  double before, after, back, p, largest, log, log_low;
} scaling;

static const scaling no_scaling = {1.0, 1.0, 1.0, 2.0, 0.0, 0.0, 0.0};

INLINE double difference(int plain, const real *x, const real *y, fl_size i, const scaling *s) {
  if (plain) return (double)x[i] - (double)y[i];
  return ((double)x[i] * s->before - (double)y[i] * s->before) * s->after;
}

/* What the rounding of a difference that is not plain leaves: x - y = difference + rest. Nothing, of floats. */
INLINE double difference_rest(const real *x, const real *y, fl_size i, const scaling *s) {
#if FASTLOSS_REAL_BITS == 64
  double a = x[i] * s->before, b = y[i] * s->before, d = a - b, bb = d - a;
  return (a - (d - bb)) - (b + bb);
#else
  (void)x, (void)y, (void)i, (void)s;
  return 0.0;
#endif
}

typedef double row_term(int plain, const real *x, const real *y, fl_size i, const scaling *s);

/* The sum of term(x, y, i) over a row; called with a constant term and a constant `plain`. */
INLINE double sum_row(row_term *term, int plain, fl_size n, const real *x, const real *y, const scaling *s) {
  double hi[ROW_LANES] = {0.0}, lo[ROW_LANES] = {0.0};
  fl_size i = 0;
  for (; i + 4 * ROW_LANES <= n; i += 4 * ROW_LANES) {
    VECTOR_LOOP
    for (int l = 0; l < ROW_LANES; l++) {
      double a = term(plain, x, y, i + l, s), b = term(plain, x, y, i + l + ROW_LANES, s);
      double c = term(plain, x, y, i + l + 2 * ROW_LANES, s), d = term(plain, x, y, i + l + 3 * ROW_LANES, s);
#if FASTLOSS_REAL_BITS == 64
      pair_add(&hi[l], &lo[l], (a + b) + (c + d), 0.0);
#else
      hi[l] += (a + b) + (c + d);
#endif
    }
  }
#ifdef __AVX512F__
  /* Masked: 0.5 of the time for 10 columns. With AVX2 that takes as long as one by one, and more code. */
  for (; i < n; i += ROW_LANES) {
    const int left = n - i < ROW_LANES ? (int)(n - i) : ROW_LANES;
    VECTOR_LOOP
    ROLLED_LOOP
    for (int l = 0; l < ROW_LANES; l++) pair_add(&hi[l], &lo[l], l < left ? term(plain, x, y, i + l, s) : 0.0, 0.0);
  }
#endif
  for (int l = 0; i < n; i++, l = (l + 1) % ROW_LANES) pair_add(&hi[l], &lo[l], term(plain, x, y, i, s), 0.0);
  for (int width = ROW_LANES / 2; width; width /= 2)
    for (int l = 0; l < width; l++) pair_add(&hi[l], &lo[l], hi[l + width], lo[l + width]);
  return pair_value(hi[0], lo[0]);
}

INLINE double square_term(int plain, const real *x, const real *y, fl_size i, const scaling *s) {
  double r = difference(plain, x, y, i, s);
  return r * r;
}

INLINE double absolute_term(int plain, const real *x, const real *y, fl_size i, const scaling *s) {
  return fabs(difference(plain, x, y, i, s));
}

/* Squares and products of two rows that are scaled apart: x by before, y by after. */
INLINE double left_square(int plain, const real *x, const real *y, fl_size i, const scaling *s) {
  double v = plain ? (double)x[i] : (double)x[i] * s->before;
  (void)y;
  return v * v;
}

INLINE double right_square(int plain, const real *x, const real *y, fl_size i, const scaling *s) {
  double v = plain ? (double)y[i] : (double)y[i] * s->after;
  (void)x;
  return v * v;
}

INLINE double product_term(int plain, const real *x, const real *y, fl_size i, const scaling *s) {
  return plain ? (double)x[i] * (double)y[i] : ((double)x[i] * s->before) * ((double)y[i] * s->after);
}

/* A power of two that brings the largest element of a row near 1. */
static UNUSED double row_unit(fl_size n, const real *x) {
  double largest = 0.0;
  int exponent = 0;
  for (fl_size i = 0; i < n; i++) largest = fabs((double)x[i]) > largest ? fabs((double)x[i]) : largest;
  if (largest > 0.0 && largest <= DBL_MAX) frexp(largest, &exponent);
  return ldexp(1.0, exponent < -1000 ? 1000 : -exponent);
}

/* Two rows and their distance: d = length * s.back, its square = square * s.back * s.back. The rest is norms.h's. */
typedef struct {
  const real *x, *y;
  double length, square;
  scaling s;
  int plain;
  fl_size first;
} distance;

/* The Euclidean distance. Squares beyond [2^-900, 2^1000] (double only) may have overflowed or lost digits. */
INLINE distance euclidean(fl_size n, const real *x, const real *y) {
  distance d = {x, y, 0.0, sum_row(square_term, 1, n, x, y, &no_scaling), no_scaling, 1, 0};
#if FASTLOSS_REAL_BITS == 64
  if (!(d.square >= 0x1p-900 && d.square <= 0x1p1000)) {
    d.plain = 0;
    if (d.square > 1.0) {
      d.s.before = 0x1p-600;
      d.s.back = 0x1p600;
    } else {
      d.s.after = d.square > 0.0 ? 0x1p500 : 0x1p1000;
      d.s.back = 1.0 / d.s.after;
    }
    d.square = sum_row(square_term, 0, n, x, y, &d.s);
  }
#endif
  d.length = sqrt(d.square);
  return d;
}

INLINE double length_of(const distance *d) { return d->length * d->s.back; }
INLINE double square_of(const distance *d) { return d->square * d->s.back * d->s.back; }

INLINE void zero_row(fl_size n, real *to) {
  for (fl_size i = 0; i < n; i++) to[i] = R(0.0);
}

/* x_grad = factor (x - y) and y_grad = -x_grad, differences scaled as in the distance. x_grad may be x. */
INLINE void pull_apart(fl_size n, const distance *d, double factor, real *x_grad, real *y_grad) {
  const real *x = d->x, *y = d->y;
  if (d->plain) {
    VECTOR_LOOP_WIDE
    for (fl_size i = 0; i < n; i++) {
      real g = (real)(factor * difference(1, x, y, i, &d->s));
      x_grad[i] = g;
      y_grad[i] = -g;
    }
  } else {
    for (fl_size i = 0; i < n; i++) {
      real g = (real)(factor * difference(0, x, y, i, &d->s));
      x_grad[i] = g;
      y_grad[i] = -g;
    }
  }
}

#endif
