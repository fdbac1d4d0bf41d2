/* Squared error r^2 of the residual r = x - t; gradient 2r, Hessian 2.
 *
 * Accuracy: the rounding of r, doubled by the square, and one product stay below 2 ULP.
 */
INLINE void mse_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real r = x - t;
  (void)aux, (void)p;
  *value = r * r;
  *grad = R(2.0) * r;
  *hess = r != r ? r : R(2.0);
}
