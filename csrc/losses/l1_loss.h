/* Absolute error |r| of the residual r = x - t; gradient sign(r), which is 0 at r = 0, Hessian 0. */
INLINE void l1_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real r = x - t, nan = LIMITS(p) && r != r ? r : R(0.0);
  (void)aux;
  *value = abs_(r);
  *grad = r == R(0.0) ? R(0.0) : copysign_(R(1.0), r) + nan;
  *hess = nan;
}
