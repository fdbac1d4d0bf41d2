/* Cross-entropy of a row of probabilities x and a row of label probabilities t: -sum t log x, nothing clipped.
 *
 * t = 0 is 0 whatever x is (but NaN); gradient -t / x, Hessian t / x^2, divided twice because x^2 underflows first.
 * Measured: value 1.6 ULP of the terms, gradient 0.5, Hessian 1.4.
 */
INLINE void categorical_body(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real ratio = t / x, nothing = x == x ? R(0.0) : x;
  (void)aux, (void)p;
  *value = t == R(0.0) ? nothing : R(0.0) - t * log_(x);
  *grad = t == R(0.0) ? nothing : -ratio;
  *hess = t == R(0.0) ? nothing : ratio / x;
}

BLOCK_OF(categorical_block, categorical_body)

static UNUSED void categorical_cross_entropy_rows(const row_block *b, row_work *work, void *xent_scratch) {
  (void)xent_scratch;
  separable_rows(categorical_block, b, work->part[0]);
}
