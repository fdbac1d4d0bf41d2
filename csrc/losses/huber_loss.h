/* Huber loss: r^2 / 2 where |r| <= delta, delta (|r| - delta / 2) beyond; r = x - t, delta = p[0].
 *
 * With g = clamp(r, -delta, delta), which is the gradient, both branches are g (r - g / 2): no
 * branch, and the square of a large r is never formed. Near |r| = delta the linear branch halves
 * r, which doubles its rounding error in relative terms (3.5 ULP at worst): the exact error e of
 * the subtraction is added back (2Sum), which leaves below 2 ULP.
 */
INLINE void huber_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real delta = p[0], e, r = two_sum(x, -t, &e);
  real g = r > delta ? delta : (r < -delta ? -delta : r);
  (void)aux;
  e = abs_(e) <= REAL_MAX ? e : R(0.0); /* inf - inf inside the 2Sum of an infinite r */
  *value = g * ((r - R(0.5) * g) + e);
  *grad = g;
  /* |r + e| <= delta, decided exactly: a residual may round to the kink from outside */
  *hess = r != r ? r : ((abs_(r) < delta) | ((abs_(r) == delta) & (r * e <= R(0.0))) ? R(1.0) : R(0.0));
}
