/* Gamma negative log-likelihood of t > 0 with mean e^x, constants dropped: x + t e^-x; gradient 1 - t e^-x, Hessian
 * t e^-x.
 *
 * The product is right also where e^-x alone under- or overflows. Value and gradient may cancel: ULP of the larger term.
 * Measured over 5e6 samples, with FMA (without): value 2.1 (2.4) ULP, gradient 1.9 (2.2), Hessian 2.2 (2.3).
 */
INLINE void gamma_nll_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real product = exp_times_(-x, t);
  (void)aux;
  *value = LIMITS(p) && product > REAL_MAX ? product : x + product; /* at x = -inf the exponential wins */
  *grad = R(1.0) - product;
  *hess = product;
}
