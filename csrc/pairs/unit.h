/* Rows divided by their length, and gradients taken back through that division. Not here: products of different rows,
 * which are BLAS's.
 *
 * A row of zeros stays zero, as does its gradient: its cosine with anything is 0. Lengths are taken in double, where a
 * float can neither overflow nor vanish when squared; doubles whose squares may have are scaled by a power of two.
 */
#ifndef FASTLOSS_PAIRS_UNIT_H
#define FASTLOSS_PAIRS_UNIT_H

#include "rows.h"

/* An inverse length that double cannot hold is its largest number, so that a gradient of 0 stays 0. */
static void unit_rows(fl_size rows, fl_size n, const void *source, fl_size stride, void *out, fl_size out_stride,
                      double *inverse) {
  for (fl_size r = 0; r < rows; r++) {
    const real *x = (const real *)((const char *)source + r * stride);
    real *y = (real *)((char *)out + r * out_stride);
    scaling s = no_scaling;
    double square = sum_row(left_square, 1, n, x, x, &s), length, back;
    if (square >= 0x1p-900 && square <= 0x1p900) {
      back = inverse[r] = 1.0 / sqrt(square);
      VECTOR_LOOP_WIDE
      for (fl_size i = 0; i < n; i++) y[i] = (real)((double)x[i] * back);
      continue;
    }
    s.before = row_unit(n, x);
    length = sqrt(sum_row(left_square, 0, n, x, x, &s));
    back = length == 0.0 ? 0.0 : s.before / length;
    inverse[r] = back > DBL_MAX ? DBL_MAX : back;
    for (fl_size i = 0; i < n; i++) y[i] = length == 0.0 ? R(0.0) : (real)((double)x[i] * s.before / length);
  }
}

/* With u the unit vector: f (g - u (u . g)), f being times, and inverse and factor of the row where they are not NULL; f g
 * where unit is NULL. f is kept finite, so that 0 times it is still 0. out may be g. */
static void project_rows(fl_size rows, fl_size n, const void *unit, fl_size unit_stride, const double *inverse,
                         const double *factor, double times, const void *gradient, fl_size stride, void *out,
                         fl_size out_stride) {
  for (fl_size r = 0; r < rows; r++) {
    const real *g = (const real *)((const char *)gradient + r * stride);
    real *y = (real *)((char *)out + r * out_stride);
    double f = times;
    if (inverse) f *= inverse[r];
    if (factor) f *= factor[r];
    f = f > DBL_MAX ? DBL_MAX : f < -DBL_MAX ? -DBL_MAX : f;
    if (!unit) {
      VECTOR_LOOP_WIDE
      for (fl_size i = 0; i < n; i++) y[i] = (real)(f * (double)g[i]);
      continue;
    }
    const real *u = (const real *)((const char *)unit + r * unit_stride);
    const double along = sum_row(product_term, 1, n, u, g, &no_scaling);
    VECTOR_LOOP_WIDE
    for (fl_size i = 0; i < n; i++) y[i] = (real)(f * fma_double(-along, (double)u[i], (double)g[i]));
  }
}

/* The product of every row with its counterpart. */
static void dot_rows(fl_size rows, fl_size n, const void *a, fl_size a_stride, const void *b, fl_size b_stride, double *out) {
  for (fl_size r = 0; r < rows; r++)
    out[r] = sum_row(product_term, 1, n, (const real *)((const char *)a + r * a_stride),
                     (const real *)((const char *)b + r * b_stride), &no_scaling);
}

#endif
