/* Quantile (pinball) loss: (1 - q) r above, -q r below, r = x - t, q = p[0]; gradient 1 - q or -q, and 0 at r = 0.
 *
 * Both slopes times |r| are non-negative. r and 1 - q are rounded; their errors, found exactly, are added to the
 * product, which leaves 0.6 ULP with FMA and 1.0 without.
 */
INLINE void quantile_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real q = p[0], above = R(1.0) - q, lost = (R(1.0) - above) - q;
  real e, r = two_difference(x, t, &e), a = abs_(r), nan = LIMITS(p) && r != r ? r : R(0.0);
  real slope = r < R(0.0) ? q : above, low = r < R(0.0) ? R(0.0) : lost;
  (void)aux;
  e = r < R(0.0) ? -e : e;
  *value = fma_(slope, a, fma_(slope, e, low * a));
  *value = LIMITS(p) && a > REAL_MAX ? a : *value; /* where e is NaN */
  *grad = r == R(0.0) ? R(0.0) : (r < R(0.0) ? -q : above) + nan;
  *hess = nan;
}
