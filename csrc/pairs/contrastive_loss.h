/* Contrastive loss of two rows at the Euclidean distance d: h d^2 where they are similar (label 1), else h z^2 with
 * z = max(0, margin - d). parameter[0] = margin, [1] = h, 1/2 or 1.
 *
 * With r = x1 - x2 the gradient with respect to x1 is 2 h r, or -2 h z r / d; of x2 its negative. At d = 0 the second is
 * the zero subgradient. A pair beyond the margin is not looked at again, so an infinite distance costs nothing.
 */
INLINE void contrastive_loss(const fl_pairs *o, const real *const *x, double label, double factor, double *value,
                             real *const *grad) {
  const fl_size n = o->columns;
  const double h = o->parameter[1];
  distance d = euclidean(n, x[0], x[1]);
  double slope;
  if (label == 1.0) {
    *value = h * square_of(&d);
    slope = 2.0 * h;
    d.plain = 1; /* r as it is */
  } else {
    double z = o->parameter[0] - length_of(&d);
    z = z <= 0.0 ? 0.0 : z;
    *value = h * z * z;
    slope = z == 0.0 || d.length == 0.0 ? 0.0 : -2.0 * h * z / d.length;
  }
  if (!grad[0]) return;
  if (slope == 0.0) {
    zero_row(n, grad[0]);
    zero_row(n, grad[1]);
  } else {
    pull_apart(n, &d, factor * slope, grad[0], grad[1]);
  }
}
