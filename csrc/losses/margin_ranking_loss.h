/* Margin ranking loss max(0, z), z = margin - t (x1 - x2), for t = -1 or +1 (the products are exact); margin = p[0].
 *
 * The first score is x, the second aux. The gradient with respect to x1 is -t where z > 0, else 0, and its negative is
 * the gradient with respect to x2, which takes the Hessian's place: both are written in one pass. The loss has no
 * Hessian of its own. The difference keeps its rounding error, so that the sign of z is exact, and the value within
 * 1 ULP of the largest of the two scores and the margin.
 */
INLINE void margin_ranking_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *grad_of_aux) {
  real rest, d = two_difference(x, aux, &rest), z = p[0] - t * d, nan;
  z = z - t * (rest - rest == R(0.0) ? rest : R(0.0)); /* of an infinite difference: NaN */
  nan = z != z ? z : R(0.0);
  *value = max_(R(0.0), z);
  *grad = z > R(0.0) ? -t : nan;
  *grad_of_aux = z > R(0.0) ? t : nan;
}
