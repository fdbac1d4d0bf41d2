/* Soft margin loss log(1 + e^(-t x)) for labels t = -1 or +1: cross-entropy of the logit t x (the product is exact) and
 * the label 1, whose body this is; |t x| is |x|, so that the first stage is the same. Gradient -t sigma(-t x), Hessian
 * sigma(x) sigma(-x).
 */
INLINE void soft_margin_loss(real x, real t, real aux, stage s, const real *p, real *value, real *grad, real *hess) {
  real slope;
  binary_cross_entropy_with_logits(t * x, R(1.0), aux, s, p, value, &slope, hess);
  *grad = t * slope;
}
