/* Dice loss 1 - (2 sum p g + smooth) / (sum p^2 + sum g^2 + smooth); without `squared`, sum p + sum g in the
 * denominator.
 *
 * As a quotient of sums: (sum p^2 + sum g^2 - 2 sum p g) / (... + smooth), whose numerator, apart, is sum (p - g)^2, or
 * sum p (1 - g) + g (1 - p): no difference of nearly equal numbers, so an almost perfect overlap keeps its digits. With
 * size the denominator and loss the quotient, the gradient with respect to p is 2 ((p - g) - loss p) / size, or
 * (1 - loss - 2 g) / size. A size of 0 (both empty, smooth 0) gives 0.
 */
INLINE void dice_terms(int squared, double p, double g, double *apart, double *size) {
  if (squared) {
    *apart = (p - g) * (p - g);
    *size = fma_double(p, p, g * g);
  } else {
    *apart = p * (1.0 - g) + g * (1.0 - p);
    *size = p + g;
  }
}

INLINE void dice_loop(int squared, fl_size n, const real *p, const real *g, fl_overlap *sums) {
  double apart_hi[ROW_LANES] = {0.0}, apart_lo[ROW_LANES] = {0.0};
  double size_hi[ROW_LANES] = {0.0}, size_lo[ROW_LANES] = {0.0};
  fl_size i = 0;
  for (; i + 4 * ROW_LANES <= n; i += 4 * ROW_LANES) {
    VECTOR_LOOP
    for (int l = 0; l < ROW_LANES; l++) {
      double a[4], s[4];
      for (int k = 0; k < 4; k++)
        dice_terms(squared, (double)p[i + l + k * ROW_LANES], (double)g[i + l + k * ROW_LANES], &a[k], &s[k]);
#if FASTLOSS_REAL_BITS == 64
      pair_add(&apart_hi[l], &apart_lo[l], (a[0] + a[1]) + (a[2] + a[3]), 0.0);
      pair_add(&size_hi[l], &size_lo[l], (s[0] + s[1]) + (s[2] + s[3]), 0.0);
#else
      apart_hi[l] += (a[0] + a[1]) + (a[2] + a[3]);
      size_hi[l] += (s[0] + s[1]) + (s[2] + s[3]);
#endif
    }
  }
  for (int l = 0; i < n; i++, l = (l + 1) % ROW_LANES) {
    double a, s;
    dice_terms(squared, (double)p[i], (double)g[i], &a, &s);
    pair_add(&apart_hi[l], &apart_lo[l], a, 0.0);
    pair_add(&size_hi[l], &size_lo[l], s, 0.0);
  }
  *sums = (fl_overlap){0.0, 0.0, 0.0, 0.0};
  for (int l = 0; l < ROW_LANES; l++) {
    pair_add(&sums->apart_hi, &sums->apart_lo, apart_hi[l], apart_lo[l]);
    pair_add(&sums->size_hi, &sums->size_lo, size_hi[l], size_lo[l]);
  }
}

static void dice_sums(fl_size n, const void *x, const void *target, int squared, fl_overlap *sums) {
  if (squared)
    dice_loop(1, n, x, target, sums);
  else
    dice_loop(0, n, x, target, sums);
}

static double dice_value(const fl_overlap *sums, double smooth) {
  double apart = pair_value(sums->apart_hi, sums->apart_lo), size = pair_value(sums->size_hi, sums->size_lo) + smooth;
  return size == 0.0 && apart == 0.0 ? 0.0 : apart / size;
}

static void dice_gradient(fl_size n, const void *x, const void *target, int squared, const fl_overlap *sums,
                          double smooth, double factor, void *grad) {
  const real *p = x, *g = target;
  const double size = pair_value(sums->size_hi, sums->size_lo) + smooth, loss = dice_value(sums, smooth);
  const double slope = size == 0.0 ? 0.0 : factor / size;
  real *to = grad;
  if (squared) {
    VECTOR_LOOP_WIDE
    for (fl_size i = 0; i < n; i++) to[i] = (real)(2.0 * slope * (((double)p[i] - (double)g[i]) - loss * (double)p[i]));
  } else {
    VECTOR_LOOP_WIDE
    for (fl_size i = 0; i < n; i++) to[i] = (real)(slope * ((1.0 - loss) - 2.0 * (double)g[i]));
  }
}
