/* Balanced cross-entropy of a probability x in [0, 1]: -(a log x + b log(1 - x)), a = pos_weight t = p[0] t and
 * b = neg_weight (1 - t) = p[1] (1 - t). No clipping; log(1 - x) is log1p(-x), exact for small x.
 *
 * Gradient b / (1 - x) - a / x: two quotients, of which a hard label leaves one, so it needs no limits at the ends (at
 * x = t = 1 it is -a). Hessian a / x^2 + b / (1 - x)^2, divided twice because x^2 underflows first. A part of weight 0
 * is 0 whatever its logarithm or quotient, but for a NaN: hence 0 x.
 */
INLINE void balanced_cross_entropy(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real a = p[0] * t, b = p[1] * (R(1.0) - t), y = R(1.0) - x, zero = R(0.0) * x;
  real rise = a == R(0.0) ? zero : a / x, fall = b == R(0.0) ? zero : b / y;
  (void)aux;
  *value = R(0.0) - ((a == R(0.0) ? zero : a * log_(x)) + (b == R(0.0) ? zero : b * log1p_(-x)));
  *grad = fall - rise;
  *hess = (a == R(0.0) ? zero : rise / x) + (b == R(0.0) ? zero : fall / y);
}
