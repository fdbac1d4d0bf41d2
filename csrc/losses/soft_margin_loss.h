/* Soft margin loss log(1 + e^(-t x)) for labels t = -1 or +1: cross-entropy of the logit t x (the product is exact) and
 * the label 1, whose body this is. Gradient -t sigma(-t x), Hessian sigma(x) sigma(-x).
 */
INLINE void soft_margin_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real slope;
  binary_cross_entropy_with_logits(t * x, R(1.0), aux, p, value, &slope, hess);
  *grad = t * slope;
}
