/* Exponential loss t e^-x + (1 - t) e^x of a score x; gradient (1 - t) e^x - t e^-x, Hessian the value.
 *
 * Two exponentials, as the reciprocal of one would lose the digits of a subnormal e^-|x|. Each is multiplied by its
 * part of the label before it is scaled: 0 times an overflow is 0, and a small part of one stays finite.
 */
INLINE void exponential_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real falling = exp_times_(-x, t), rising = exp_times_(x, R(1.0) - t);
  (void)aux, (void)p;
  *value = *hess = falling + rising;
  *grad = rising - falling;
}
