/* Half the squared error, r^2 / 2 of the residual r = x - t; gradient r, Hessian 1.
 *
 * Halved before the product, so that r^2 does not overflow where r^2 / 2 would not.
 */
INLINE void half_mse_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real r = x - t;
  (void)aux, (void)p;
  *value = (R(0.5) * r) * r;
  *grad = r;
  *hess = r != r ? r : R(1.0);
}
