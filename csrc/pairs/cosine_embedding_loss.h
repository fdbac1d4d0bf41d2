/* Cosine embedding loss of two rows: 1 - c for label 1, max(0, c - margin) for label -1, c their cosine clamped to
 * [-1, 1]; parameter[0] = margin.
 *
 * c = x.y / sqrt(x.x y.y), which is exactly 1 for equal rows, as sqrt(s s) = s. Its gradient with respect to x is
 * (y / sqrt(x.x y.y) - x c / x.x); a row of zeros has cosine and gradients 0. In double, rows whose squares leave
 * [2^-500, 2^500] are scaled by a power of two, which changes no cosine.
 */
INLINE void cosine_embedding_loss(const fl_pairs *o, const real *const *x, double label, double factor, double *value,
                                  real *const *grad) {
  const fl_size n = o->columns;
  const real *a = x[0], *b = x[1];
  scaling s = no_scaling;
  double aa = sum_row(left_square, 1, n, a, b, &s), bb = sum_row(right_square, 1, n, a, b, &s);
  double ab = sum_row(product_term, 1, n, a, b, &s);
#if FASTLOSS_REAL_BITS == 64
  if (!(aa >= 0x1p-500 && aa <= 0x1p500 && bb >= 0x1p-500 && bb <= 0x1p500)) {
    s.before = row_unit(n, a);
    s.after = row_unit(n, b);
    aa = sum_row(left_square, 0, n, a, b, &s);
    bb = sum_row(right_square, 0, n, a, b, &s);
    ab = sum_row(product_term, 0, n, a, b, &s);
  }
#endif
  double lengths = sqrt(aa * bb), cosine = lengths == 0.0 ? 0.0 : ab / lengths, slope;
  cosine = cosine > 1.0 ? 1.0 : cosine < -1.0 ? -1.0 : cosine;
  if (label == 1.0) {
    *value = 1.0 - cosine;
    slope = -1.0;
  } else {
    double z = cosine - o->parameter[0];
    *value = z <= 0.0 ? 0.0 : z;
    slope = z <= 0.0 ? 0.0 : 1.0;
  }
  if (!grad[0]) return;
  if (slope == 0.0 || lengths == 0.0) {
    zero_row(n, grad[0]);
    zero_row(n, grad[1]);
    return;
  }
  /* The factor goes into the coefficients, unless the rows are scaled: then these could overflow where results do not. */
  const int scaled = s.before != 1.0 || s.after != 1.0;
  const double inside = scaled ? slope : factor * slope;
  const double a_outside = scaled ? factor * s.before : 1.0, b_outside = scaled ? factor * s.after : 1.0;
  const double across = inside / lengths, a_along = -inside * cosine / aa, b_along = -inside * cosine / bb;
  VECTOR_LOOP_WIDE
  for (fl_size i = 0; i < n; i++) {
    double u = (double)a[i] * s.before, v = (double)b[i] * s.after;
    grad[0][i] = (real)(a_outside * fma_double(v, across, u * a_along));
    grad[1][i] = (real)(b_outside * fma_double(u, across, v * b_along));
  }
}
