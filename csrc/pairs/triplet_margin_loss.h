/* Triplet margin loss max(0, z), z = d(a, p) - d(a, n) + margin, with the distances' squares where parameter[2] is 1.
 * parameter[0] = margin, [1] = p of the norm, [3] = 1 where the negative's distance is the lesser of d(a, n) and d(p, n)
 * (a tie goes to the first).
 *
 * Where z > 0 the positive pair is pulled together and the negative one pushed apart: each distance gives both of its
 * rows a gradient, r / d of the 2-norm, or 2 r of its square, and an anchor or positive that is in both gets their sum.
 * Equal rows give the zero subgradient. An inactive triplet has gradient 0 whatever it holds.
 */
#include "norms.h"

INLINE void triplet_margin_loss(const fl_pairs *o, const real *const *x, double label, double factor, double *value,
                                real *const *grad) {
  const fl_size n = o->columns;
  const double p = o->parameter[1];
  const int squared = o->parameter[2] != 0.0;
  distance near = norm_distance(p, n, x[0], x[1]), far = norm_distance(p, n, x[0], x[2]);
  int swapped = 0;
  (void)label;
  if (o->parameter[3] != 0.0) {
    const distance other = norm_distance(p, n, x[1], x[2]);
    swapped = length_of(&other) < length_of(&far);
    far = swapped ? other : far;
  }
  double z = squared ? square_of(&near) - square_of(&far) : length_of(&near) - length_of(&far);
  if (z != z) { /* both squares or both distances infinite, whose difference may not be */
    const double a = near.length * (near.s.back * 0x1p-300), b = far.length * (far.s.back * 0x1p-300);
    z = squared ? (a - b) * (a + b) * 0x1p600 : (a - b) * 0x1p300;
  }
  z += o->parameter[0];
  *value = z <= 0.0 ? 0.0 : z;
  if (!grad[0]) return;
  if (z <= 0.0) {
    for (int k = 0; k < 3; k++) zero_row(n, grad[k]);
    return;
  }
  norm_gradients(p, squared, swapped, n, &near, &far, factor, grad);
}
