/* Center loss 1/2 |e - c|^2 of an embedding and the center of its class, and the sums that are the centers' gradients.
 *
 * The gradient with respect to e is e - c; that of a center is the sum of c - e over the rows of its class, added up in
 * the rows' order by center_add(), compensated in the double kernels.
 */
INLINE void center_loss(const fl_pairs *o, const real *const *x, double label, double factor, double *value,
                        real *const *grad) {
  const fl_size n = o->columns;
  const distance d = euclidean(n, x[0], x[1]);
  (void)label;
  *value = 0.5 * square_of(&d);
  if (!grad[0]) return;
  VECTOR_LOOP_WIDE
  for (fl_size i = 0; i < n; i++) grad[0][i] = (real)(factor * ((double)x[0][i] - (double)x[1][i]));
}

static void center_add(fl_size n, const void *x, const void *center, double factor, double *hi, double *lo) {
  const real *e = x, *c = center;
#if FASTLOSS_REAL_BITS == 64
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) pair_add(&hi[i], &lo[i], factor * (c[i] - e[i]), 0.0);
#else
  (void)lo;
  VECTOR_LOOP_WIDE
  for (fl_size i = 0; i < n; i++) hi[i] = fma_double(factor, (double)c[i] - (double)e[i], hi[i]);
#endif
}

static void center_finish(fl_size n, const double *hi, const double *lo, void *out) {
  real *to = out;
  for (fl_size i = 0; i < n; i++) to[i] = (real)(FASTLOSS_REAL_BITS == 64 ? pair_value(hi[i], lo[i]) : hi[i]);
}
