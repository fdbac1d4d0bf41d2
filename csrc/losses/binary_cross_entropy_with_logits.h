/* Binary cross-entropy of a logit x: a softplus(-x) + b softplus(x), a = pos_weight t, b = 1 - t.
 *
 * With z = e^-|x| and L = log1p(z), softplus(-x) = max(-x, 0) + L and softplus(x) = max(x, 0) + L,
 * so the loss is c |x| + (a + b) L where c is b for x >= 0 and a for x < 0: non-negative terms
 * only, and a confident right answer keeps its relative accuracy. c = 0 takes the product out
 * where x is infinite: the limit.
 *
 * Gradient b sigma(x) - a sigma(-x) (= sigma(x) - t for pos_weight 1): for a hard label one term,
 * never a difference. Hessian (a + b) sigma(x) sigma(-x). One exponential, one logarithm, one
 * division.
 */
INLINE void binary_cross_entropy_with_logits(real x, real t, real aux, stage s, const real *p, real *value,
                                             real *grad, real *hess) {
  real a = aux * t, b = R(1.0) - t, z = s.z, big = R(1.0) / (R(1.0) + z), small = z * big;
  real up = x < R(0.0) ? small : big, down = x < R(0.0) ? big : small; /* sigma(x), sigma(-x) */
  real c = x < R(0.0) ? a : b;
  *value = fma_(a + b, log1p_tail_(z, z), LIMITS(p) && c == R(0.0) ? R(0.0) : c * abs_(x));
  *grad = fma_(b, up, -(a * down));
  *hess = (a + b) * (small * big);
}
