/* Focal loss of a softmax: q^gamma L with L = -log p and q = 1 - p, gamma = parameter[0] > 0; 0 is cross-entropy.
 *
 * With r = L / q, 1 at q = 0 and bounded by L elsewhere, and p L = 0 at p = 0:
 *   A = q^gamma (1 + gamma p r),   q B = gamma q^gamma (p (2 - L) + (gamma - 1) p^2 r).
 * No negative power of q: finite for gamma < 1 too, where p = 1 has gradient 0.
 * q^gamma takes the relative error of q gamma times, hence exact sums. Measured in ULP (float and double), gaps to 100:
 * gamma 0.5 to 2: value 1.0 and 2.8, gradient 2.7 and 4.0, Hessian 4.0 and 5.0; gamma 5: 1.7 and 2.6, 2.7 and 4.4, 4.3
 * and 5.3; gamma 10: 2.1 and 3.5, 3.5 and (next to underflow) 30.
 */
INLINE void softmax_focal_body(const double *parameter, fl_size parameters, fl_size n, const double *p, const double *q,
                               const double *q_low, const double *loss, double *value, double *pull, double *bend) {
  const double gamma = parameter[0];
  (void)parameters;
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) {
    double w = unit_power(q[i], q_low[i], gamma), r = q[i] > 0.0 ? loss[i] / q[i] : 1.0;
    double pr = p[i] == 0.0 ? 0.0 : p[i] * r, pl = p[i] == 0.0 ? 0.0 : p[i] * loss[i];
    value[i] = w * loss[i];
    pull[i] = w * (1.0 + gamma * pr);
    bend[i] = gamma * w * (2.0 * p[i] - pl + (gamma - 1.0) * p[i] * pr);
  }
}

static UNUSED void softmax_focal_loss_rows(const row_block *b, row_work *work, void *xent_scratch) {
  if (b->parameter[0] == 0.0) plain_rows(b, xent_scratch);
  else curve_rows(softmax_focal_body, 1, b, work);
}
