/* The functions of the C interface for one real type: REAL of BITS bits, SUFFIX(name). Included by c_api.c, twice. */

static void SUFFIX(pointwise)(const fastloss_loss *loss, fl_size n, const REAL *x, const REAL *target, const REAL *aux,
                              double scale, REAL *value, REAL *grad, REAL *hess) {
  pointwise(fl_table(BITS), loss, n, x, target, aux, scale, value, grad, hess);
}

static double SUFFIX(pointwise_sum)(const fastloss_loss *loss, fl_size n, const REAL *x, const REAL *target,
                                    const REAL *weight, double scale, REAL *grad) {
  return pointwise_sum(fl_table(BITS), loss, n, x, target, weight, scale, grad);
}

static void SUFFIX(elementwise)(int activation, fl_size n, const REAL *x, REAL *y) {
  fl_table(BITS)->unary[activation](n, 0, x, y);
}

static ptrdiff_t SUFFIX(cross_entropy)(const fastloss_cross_entropy_options *options, fl_size rows, fl_size classes,
                                       const REAL *logits, const int64_t *label, const double *scale, double *value,
                                       REAL *grad, REAL *hess) {
  return cross_entropy(fl_table(BITS), options, rows, classes, logits, label, scale, value, grad, hess);
}

static int SUFFIX(softmax)(fl_size rows, fl_size classes, const REAL *logits, REAL *out) {
  return row_activation(fl_table(BITS), fl_table(BITS)->rows.softmax, rows, classes, logits, out);
}

static int SUFFIX(log_softmax)(fl_size rows, fl_size classes, const REAL *logits, REAL *out) {
  return row_activation(fl_table(BITS), fl_table(BITS)->rows.log_softmax, rows, classes, logits, out);
}

static int SUFFIX(logsumexp)(fl_size rows, fl_size classes, const REAL *logits, double *out) {
  return logsumexp(fl_table(BITS), rows, classes, logits, out);
}
