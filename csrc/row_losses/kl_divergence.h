/* Kullback-Leibler divergence of a row: sum t (log t - log x), t the target's probabilities, x the prediction's; or,
 * parameter[0] = 1, logits with softmax x.
 *
 * Probabilities: t log(t / x), where a ratio near 1 is 1 + (t - x) / x with an exact difference, so a term keeps its
 * digits where the distributions nearly agree; small t and x are scaled by 2^64, so no ratio leaves the normal numbers.
 * t = 0 is 0 (but NaN for a NaN x), t > 0 with x = 0 is +inf. Gradient -t / x, Hessian t / x^2.
 * Logits: cross-entropy with t as its target, and sum t log t, which has no derivative.
 * Measured: value 3.2 ULP of the terms, gradient 0.7; from logits (float, double) value 1.8 and 3.0 ULP of the larger of
 * cross-entropy and entropy, gradient 2.6 and 4.2 of its larger term.
 */
INLINE void divergence_body(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  const int small_t = t < R(0x1p-40), small_x = x < R(0x1p-40);
  real up = small_x ? R(0x1p64) : R(1.0), a = t * (small_t ? R(0x1p64) : R(1.0)), b = x * up, d = a - b, m;
  int near = abs_(d) <= R(0.25) * b;
  real w = (near ? d : a) / b, scaled = near ? R(1.0) + w : w, f;
  real ratio = scaled * (up * (small_t ? R(0x1p-64) : R(1.0))), bad = x == x ? R(0.0) : x;
  real k = exponent_real_(log_split_(scaled, &m)) + ((small_x ? R(64.0) : R(0.0)) - (small_t ? R(64.0) : R(0.0)));
  f = near ? w : m - R(1.0);
  real kh = k * LN2_HI, h = kh + f, term = t * (h + ((f - (h - kh)) + log_tail_(f, k * LN2_LO)));
  (void)aux, (void)p;
  term = x == R(0.0) ? REAL_INF : term; /* what the logarithm above makes of 0, infinity and NaN does not matter */
  term = x > REAL_MAX ? -REAL_INF : term;
  term = ratio == ratio ? term : ratio;
  *value = t == R(0.0) ? bad : term;
  *grad = t == R(0.0) ? bad : -ratio;
  *hess = t == R(0.0) ? bad : ratio / x;
}

/* t log t for t >= 0: 0 at 0, where the logarithm is some number, and NaN for NaN. */
INLINE void entropy_body(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  const int small = t < R(0x1p-40);
  real m, k = exponent_real_(log_split_(t * (small ? R(0x1p64) : R(1.0)), &m)) - (small ? R(64.0) : R(0.0));
  real f = m - R(1.0);
  (void)x, (void)aux, (void)p;
  *value = t * fma_(k, LN2_HI, f + log_tail_(f, k * LN2_LO));
  *grad = *hess = R(0.0);
}

BLOCK_OF(divergence_block, divergence_body)
BLOCK_OF(entropy_block, entropy_body)

static UNUSED void kl_divergence_rows(const row_block *b, row_work *work, void *xent_scratch) {
  if (b->parameter[0] == 0.0) {
    separable_rows(divergence_block, b, work->part[0]);
    return;
  }
  const fl_xent options = {.classes = b->classes, .temperature = 1.0};
  cross_entropy(&options, b->rows, rows_of_block(b->x, b->x_step), NULL, rows_of_block(b->p, b->p_step), NULL, b->scale,
                b->value, rows_of_block(b->g, b->g_step), rows_of_block(b->h, b->h_step), xent_scratch);
  double entropy[64]; /* rows at a time */
  row_block part = *b;
  part.g = part.h = NULL;
  part.x_step = b->p_step; /* not looked at */
  part.value = entropy;
  for (fl_size i = 0; i < b->rows; i += 64) {
    part.rows = b->rows - i < 64 ? b->rows - i : 64;
    part.x = part.p = b->p + i * b->p_step;
    part.scale = b->scale + i;
    separable_rows(entropy_block, &part, work->part[0]);
    for (fl_size r = 0; r < part.rows; r++) b->value[i + r] += entropy[r];
  }
}
