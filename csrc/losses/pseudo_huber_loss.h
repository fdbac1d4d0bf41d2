/* Pseudo-Huber loss: delta^2 (sqrt(1 + (r/delta)^2) - 1), r = x - t, delta = p[0]; gradient r / sqrt(1 + (r/delta)^2),
 * Hessian (1 + (r/delta)^2)^(-3/2).
 *
 * With m and M the smaller and larger of |r| and delta, k = m / M <= 1 and s = sqrt(1 + k^2), no square overflows; and
 * as sqrt(1 + y) - 1 = y / (1 + sqrt(1 + y)), nothing cancels: the value is m (|r| / (s + 1)) for |r| <= delta and
 * m (|r| / (s + k)) beyond, the gradient m / s for both, the Hessian 1 / s^3 or (k / s)^3.
 * The rounding error of r costs the value twice as much, so gradient times error is added; it costs the Hessian three
 * times as much, and so do those of k and s: there all of them are put right to first order.
 * Measured over 5e6 samples, with FMA (without): value 3.5 (3.7) ULP, gradient 2.8 (2.8), Hessian 3.2 (3.6).
 */
INLINE void pseudo_huber_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real delta = p[0], e, r = two_difference(x, t, &e), a = abs_(r), lost;
  int inside = a <= delta;
  real least = inside ? a : delta, most = inside ? delta : a, k = least / most;
  real ss = fma_(k, k, R(1.0)), s = sqrt_(ss), slope = least / s;
  (void)aux;
  e = LIMITS(p) && !(a <= REAL_MAX) ? R(0.0) : e; /* its NaN beside an infinite r */
  e = r < R(0.0) ? -e : e;
  *value = fma_(least, a / (s + (inside ? R(1.0) : k)), slope * e);
  *grad = copysign_(slope, r);

  real product = two_product(k, most, &lost), dk = ((least - product) - lost + (inside ? e : -(k * e))) / most;
  real root = fma_(R(0.5), fma_(s, s, -ss), R(-1.5) * fma_(k, k, R(1.0) - ss));
  real top = inside ? R(1.0) : k, factor = (inside ? R(1.0) : k * k) / (ss * s);
  real correction = fma_(top, root, R(3.0) * (inside ? -(k * dk) : dk)) / ss;
  *hess = LIMITS(p) && a > REAL_MAX ? R(0.0) : fma_(factor, correction, factor * top);
}
