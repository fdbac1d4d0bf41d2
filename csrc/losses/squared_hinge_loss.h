/* Squared hinge loss max(0, z)^2, z = margin - t x, for labels t = -1 or +1; margin = p[0].
 *
 * Gradient -2 t max(0, z), Hessian 2 where z > 0, else 0.
 */
INLINE void squared_hinge_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real z = p[0] - t * x, nan = LIMITS(p) && z != z ? z : R(0.0);
  real m = max_(R(0.0), z);
  (void)aux;
  *value = m * m;
  *grad = R(-2.0) * t * m;
  *hess = z > R(0.0) ? R(2.0) : nan;
}
