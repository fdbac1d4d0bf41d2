/* Binary cross-entropy of a probability x in [0, 1]: -(t log x + (1 - t) log(1 - x)).
 *
 * No clipping: 0 log 0 = 0, and a confidently wrong probability costs +inf. log(1 - x) is
 * log1p(-x), exact for small x. Both terms are >= 0, so nothing cancels.
 *
 * Gradient (x - t) / (x (1 - x)); where x = t is an end of the interval it is 0 / 0, and its limit
 * is that of -1 / x at t = 1 and of 1 / (1 - x) at t = 0. Hessian t / x^2 + (1 - t) / (1 - x)^2,
 * divided twice because x^2 underflows first.
 */
INLINE void binary_cross_entropy(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real y = R(1.0) - x, u = R(1.0) - t, d = abs_(x * y); /* also of x = -0 */
  real positive = t == R(0.0) ? R(0.0) : t * log_(x);
  real negative = u == R(0.0) ? R(0.0) : u * log1p_(-x);
  (void)aux, (void)p;
  *value = R(0.0) - (positive + negative);
  *grad = (d == R(0.0)) & (x == t) ? y - x : (x - t) / d;
  *hess = (t == R(0.0) ? R(0.0) : t / x / x) + (u == R(0.0) ? R(0.0) : u / y / y);
}
