/* Huber loss: r^2 / 2 where |r| <= delta, delta (|r| - delta / 2) beyond; r = x - t, delta = p[0].
 *
 * With g = clamp(r, -delta, delta), which is the gradient, both branches are g (r - g / 2): no
 * branch, and the square of a large r is never formed. Near |r| = delta the linear branch halves
 * r, which doubles its rounding error in relative terms (3.5 ULP at worst): the exact error e of
 * the subtraction is added back (2Sum), which leaves below 2 ULP.
 */
INLINE void huber_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real delta = p[0], e, r = two_difference(x, t, &e);
  real g = max_(-delta, min_(delta, r));
  (void)aux;
  e = LIMITS(p) ? min_(e, REAL_MAX) : e; /* its NaN beside an infinite r */
  *value = g * (fma_(R(-0.5), g, r) + e);
  *grad = g;
  /* |r + e| <= delta, decided exactly: a residual may round to the kink from outside */
  *hess = r != r ? r : ((abs_(r) < delta) | ((abs_(r) == delta) & (r * e <= R(0.0))) ? R(1.0) : R(0.0));
}
