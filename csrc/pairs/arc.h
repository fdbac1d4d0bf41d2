/* ArcFace: the score of a row's own class, whose angle is enlarged by a margin m.
 *
 * With c and s the cosine and sine of the angle theta between e and w, t = w - c e is the tangent at e towards w, and its
 * length is s. Beyond theta + m = pi, where sin(theta + m) < 0 or m > pi, the cosine would rise again, and c - m sin m
 * takes over. The derivative is -sin(theta + m), or -sin theta, along the unit tangent t / s: nothing is divided by a sine
 * that the product rounded. Where s is 0 the tangent is 0. For the table of doubles alone.
 */
#ifndef FASTLOSS_PAIRS_ARC_H
#define FASTLOSS_PAIRS_ARC_H

#include "../core/wide.h"
#include "rows.h"

/* Sines below it are rounding: unit vectors so nearly parallel have no tangent that double knows. */
#define PARALLEL 0x1p-48

/* pi, rounded down */
#define ARC_PI 0x1.921fb54442d18p1

/* Sums side by side: unit vectors need no compensation. */
INLINE double dot_double(fl_size n, const double *x, const double *y) {
  double sum[ROW_LANES] = {0.0};
  fl_size i = 0;
  for (; i + ROW_LANES <= n; i += ROW_LANES) {
    VECTOR_LOOP
    ROLLED_LOOP
    for (int l = 0; l < ROW_LANES; l++) sum[l] = fma_double(x[i + l], y[i + l], sum[l]);
  }
  for (int l = 0; i + l < n; l++) sum[l] = fma_double(x[i + l], y[i + l], sum[l]);
  for (int width = ROW_LANES / 2; width; width /= 2)
    for (int l = 0; l < width; l++) sum[l] += sum[l + width];
  return sum[0];
}

/* What of `to` is at right angles to `at`, and its square; the second step takes out the first's rounding. */
INLINE double tangent(fl_size n, const double *to, const double *at, double cosine, double *t) {
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) t[i] = fma_double(-cosine, at[i], to[i]);
  const double rest = dot_double(n, t, at);
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) t[i] = fma_double(-rest, at[i], t[i]);
  return dot_double(n, t, t);
}

static void arc_rows(fl_size rows, fl_size columns, const double *e, fl_size e_stride, const double *inverse_e,
                     const double *w, fl_size w_stride, const double *inverse_w, const int64_t *at, const double *margin,
                     double *own, double *slope, double *toward_w, double *toward_e, fl_size stride) {
  const double m = margin[0], cos_m = margin[1], sin_m = margin[2];
  for (fl_size r = 0; r < rows; r++) {
    const fl_size row = at ? at[r] : r;
    const double *x = e + r * e_stride, *y = w + row * w_stride, dot = dot_double(columns, x, y);
    const double c = dot > 1.0 ? 1.0 : dot < -1.0 ? -1.0 : dot;
    double s = sqrt(tangent(columns, y, x, c, toward_w + r * stride));
    if (toward_e) tangent(columns, x, y, c, toward_e + r * stride);
    s = s < PARALLEL ? 0.0 : s;
    if (inverse_e[r] == 0.0 || inverse_w[row] == 0.0) s = 1.0; /* a zero vector is at right angles to all */
    const double turned = s * cos_m + c * sin_m;
    const int over = m > ARC_PI || turned < 0.0;
    own[r] = over ? c - m * sin_m : c * cos_m - s * sin_m;
    slope[r] = s == 0.0 ? 0.0 : (over ? s : turned) / s;
  }
}

#endif
