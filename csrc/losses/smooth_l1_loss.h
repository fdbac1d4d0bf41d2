/* Smooth L1: r^2 / (2 beta) where |r| < beta, |r| - beta / 2 beyond; r = x - t, beta = p[0].
 *
 * The gradient is r / beta inside and sign(r) outside. beta = 0 leaves no inside: the L1 loss,
 * its zero subgradient at r = 0 included. r / beta is formed first, so nothing overflows inside;
 * outside it may, unused.
 */
INLINE void smooth_l1_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real beta = p[0], r = x - t, a = abs_(r), q = r / beta, nan = LIMITS(p) && r != r ? r : R(0.0);
  real sign = r == R(0.0) ? R(0.0) : copysign_(R(1.0), r) + nan;
  (void)aux;
  *value = a < beta ? (R(0.5) * r) * q : a - R(0.5) * beta;
  *grad = a < beta ? q : sign;
  *hess = a < beta ? R(1.0) / beta : nan;
}
