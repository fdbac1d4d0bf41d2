/* Hinge loss max(0, z), z = margin - t x, for labels t = -1 or +1 (the product is exact); margin = p[0].
 *
 * The gradient is -t where t x < margin, that is z > 0 (the subtraction of two different numbers
 * never gives 0, subnormals kept), and 0 elsewhere; the Hessian is 0.
 */
INLINE void hinge_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real z = p[0] - t * x, nan = LIMITS(p) && z != z ? z : R(0.0);
  const int inside = !(z <= R(0.0)); /* one comparison for both */
  (void)aux;
  *value = inside ? z : R(0.0);
  *grad = inside ? nan - t : R(0.0);
  *hess = nan;
}
