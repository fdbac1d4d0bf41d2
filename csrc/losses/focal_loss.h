/* Focal loss alpha_t q^gamma CE of a logit x and a label t, q = 1 - p_t; gamma = p[0], and where p[1] is not 0,
 * alpha_t = alpha t + (1 - alpha) (1 - t) with alpha = p[2], else 1. core/binary_terms.h has the names used here.
 *
 * With q' = sign tilt u and q'' = tilt u spread,
 *   gradient  alpha_t (q^gamma CE' + gamma q^(gamma-1) q' CE),
 *   Hessian  alpha_t (q^gamma u + gamma q^(gamma-1) (2 q' CE' + q'' CE) + gamma (gamma-1) q^(gamma-2) q'^2 CE).
 * For any gamma, q^gamma is taken out and q' / q =
 * sign tilt big z / (c + o z) put in, which is finite at p_t = 1: no exponent is negative. The power, and what belongs
 * to it, comes in two words: rounded, q^2 alone would be up to 5 ULP off.
 *
 * Blocks of hard labels, the common case, have formulas of their own (focal_hard), 1.9 times as fast.
 *
 * Worst found, gamma up to 5: value 3.4, gradient 3.8, Hessian 6.0 ULP; without FMA 3.9, 4.1, 7.0. The logarithm of q
 * has some 5 bits more than the type, so the error grows with gamma from 20 on (11 and 22 ULP at 150).
 */

INLINE real focal_alpha(real t, const real *p) {
  real alpha = p[1] != R(0.0) ? p[2] : R(1.0), beta = p[1] != R(0.0) ? R(1.0) - p[2] : R(1.0);
  real b = R(1.0) - t; /* from the nearer end: rounded once */
  return t < b ? fma_(alpha - beta, t, beta) : fma_(beta - alpha, b, alpha);
}

/* What a body returns, the limit at an infinite x on the wrong side put in. */
INLINE void focal_results(const binary_terms *s, real x, real alpha, real v, real g, real h, real *value, real *grad,
                          real *hess) {
  *value = (abs_(x) > REAL_MAX) & (s->c > R(0.0)) & (alpha > R(0.0)) ? REAL_INF : v;
  *grad = s->sign * g;
  *hess = h;
}

/* e^(exponent log_q), times 2^-n for the n in *shifted: result + *low; 0 where that is all there is. */
INLINE real focal_power(real exponent, real log_q, real log_low, real *shifted, real *low) {
  real lost, product = two_product(exponent, log_q, &lost), r, l;
  int none = product < POWER_LOWEST;
  *shifted = exp_reduce_low_(max_(POWER_LOWEST, product), &r, &l);
  real power = exp_poly_low_(r, l, low);
  *low = none ? R(0.0) : fma_(power, fma_(exponent, log_low, lost), *low);
  return none ? R(0.0) : power;
}

/* t = 0 or 1. With y = x for t = 0 and -x for t = 1, q = sigma(y) and p_t = 1 - q. With the loss CE = log(1 + e^y) and
 * P = alpha q^gamma, value P CE, gradient +-P (q + gamma p_t CE), Hessian
 * P p_t ((1 + 2 gamma) q + gamma (gamma p_t - q) CE). whole, a constant: gamma is 2, and the power a product; else
 * e^(gamma log q). A gamma beyond 2^62 differs from it at q = 1 alone. */
INLINE void focal_hard(real x, real t, stage s, const real *p, int whole, real *value, real *grad, real *hess) {
  const real z = s.z, z_low = s.z_low;
  const int one = t > R(0.0);
  const real y = one ? -x : x, gamma = whole ? R(2.0) : min_(p[0], R(0x1p62));
  const int wrong = y > R(0.0);
  const real alpha_one = p[1] != R(0.0) ? p[2] : R(1.0), alpha_zero = p[1] != R(0.0) ? R(1.0) - p[2] : R(1.0);
  const real alpha = one ? alpha_one : alpha_zero;
  /* q is 1 / (1 + z) or z / (1 + z): the rounded quotient, and what it leaves, top - q being exact. */
  real w = R(1.0) / (R(1.0) + z), top = wrong ? R(1.0) : z, top_low = wrong ? R(0.0) : z_low;
  real q = top * w, q_low = w * (remainder_(top - q, q, z) + fma_(-q, z_low, top_low));
  real other = (R(1.0) - q) - q_low, both = q + q_low;
  /* a product's three roundings leave room for a shorter logarithm */
  real rise = fma_(z_low, w, max_(R(0.0), y)), tail, h = log1p_unit_low_(z, rise, &tail);
  real loss = min_(REAL_MAX, whole ? z + log1p_tail_(z, rise) : h + tail);

  real power, low, lost, shifted = ROUND_MAGIC;
  if (whole) {
    power = two_product(q, q, &lost);
    low = fma_(q + q, q_low, lost);
  } else {
    /* log q = -|x| + log(1 / (1 + z)) on x's own side, where q may underflow and its power not; beyond EXP_LOWEST the
     * loss is 0. (CE has the same logarithm, but not the digits: 28 ULP at gamma = 150.) */
    real w_low = w * fma_(-w, z_low, remainder_(R(1.0) - w, w, z)), log_low, error;
    real log_q = log_low_(w, w_low, &log_low);
    log_q = two_sum(wrong ? R(0.0) : max_(EXP_LOWEST, -abs_(x)), log_q, &error);
    other = wrong ? other : w + w_low; /* rounded once */
    power = focal_power(gamma, log_q, error + log_low, &shifted, &low);
  }
  real own = alpha * loss, slope = alpha * fma_(gamma * other, loss, both);
  /* times 2^64: a large loss may lift a subnormal p_t */
  real other_64 = wrong ? s.z_64 * both : other * R(0x1p64);
  real curve = fma_(gamma * other_64 * fma_(gamma, other, -both), loss, other_64 * fma_(R(2.0), gamma, R(1.0)) * both);
  curve = power == R(0.0) ? R(0.0) : alpha * curve; /* it may overflow for a gamma that leaves nothing of the power */
  real v = fma_(power, own, low * own), g = fma_(power, slope, low * slope);
  real c = fma_(power, curve, low * curve) * R(0x1p-64);
  v = whole ? v : scale_shifted_(v, shifted);
  g = whole ? g : scale_shifted_(g, shifted);
  *value = (y > REAL_MAX) & (alpha > R(0.0)) ? REAL_INF : v;
  *grad = one ? -g : g;
  *hess = whole ? c : scale_shifted_(c, shifted);
}

/* The second stage of a block of hard labels. FORMULA(p): 1 for gamma = 2, else 0. */
INLINE void focal_hard_second(real x, real t, real aux, stage z, const real *p, real *value, real *grad, real *hess) {
  (void)aux;
  focal_hard(x, t, z, p, FORMULA(p), value, grad, hess);
}

/* gamma = 2: the square in two words, and as q^(gamma - 1) gamma q' CE needs no division. */
INLINE void focal_square(real x, real t, stage z, const real *p, real *value, real *grad, real *hess) {
  binary_terms s = binary_terms_of_(x, t, 1, 2, z.z, z.z_low, z.z_64);
  real lost, power = two_product(s.q, s.q, &lost), power_low = fma_(R(2.0) * s.q, s.q_low, lost);
  real rate = two_product(s.q, s.u, &lost), rate_low = lost + fma_(s.q, s.u_low, s.q_low * s.u);
  /* the loss comes last: gamma times it may overflow where rate is 0 */
  real alpha = focal_alpha(t, p), loss = alpha * s.loss, twist = R(2.0) * s.tilt;
  real g_low = fma_(twist * rate_low, s.loss, power_low * s.slope);
  real g = fma_(power, s.slope, fma_(twist * rate, s.loss, g_low));
  /* times 2^64, as a large loss may lift a subnormal u: q (q u + 2 tilt u (2 slope + CE spread)), and the square's */
  real turn = R(2.0) * s.tilt * s.u_64, q = s.q + s.q_low;
  real h = fma_(turn, fma_(s.spread, s.loss, R(2.0) * s.slope), s.u_64 * q) * q;
  h = fma_(turn * s.tilt * (s.u + s.u_low), s.loss, h);
  focal_results(&s, x, alpha, fma_(power, loss, power_low * loss), alpha * g, alpha * h * R(0x1p-64), value, grad,
                hess);
}

/* Any gamma. */
INLINE void focal_any(real x, real t, stage z, const real *p, real *value, real *grad, real *hess) {
  binary_terms s = binary_terms_of_(x, t, 1, 2, z.z, z.z_low, z.z_64);
  real gamma = p[0], alpha = focal_alpha(t, p), shifted, power_low, low, lost;
  real log_q = log_low_(s.q, s.q_low, &low);
  real power = focal_power(min_(gamma, R(0x1p64)), log_q, low, &shifted, &power_low);

  /* r = gamma tilt rho. A subnormal label's mixed may be subnormal too, and its reciprocal infinite: all that follows
   * is then 0. */
  real mixed = max_(REAL_MIN, s.mixed), inverse = R(1.0) / mixed;
  real ratio = s.z * inverse, back = two_product(ratio, mixed, &lost);
  real ratio_low = inverse * (((s.z - back) - lost) + fma_(-ratio, s.mixed_low, s.z_low));
  real rho_low, rho = two_product(s.big, ratio, &rho_low), k = gamma * s.tilt;
  real r = two_product(k, rho, &lost);
  real r_low = fma_(k, rho_low + fma_(s.big, ratio_low, s.big_low * ratio), lost);

  real loss = alpha * s.loss, slope = alpha * (fma_(r, s.loss, s.slope) + r_low * s.loss);
  real bend = fma_((gamma - R(1.0)) * s.tilt, rho, s.spread); /* times 2^64: a large loss may lift a subnormal z */
  real r_64 = k * s.big * (s.z_64 * inverse);
  real curve = alpha * fma_(r_64, fma_(bend, s.loss, R(2.0) * s.slope), s.u_64);
  focal_results(&s, x, alpha, scale_shifted_(fma_(power, loss, power_low * loss), shifted),
                scale_shifted_(fma_(power, slope, power_low * slope), shifted),
                scale_shifted_(fma_(power, curve, power_low * curve) * R(0x1p-64), shifted), value, grad, hess);
}

/* Of one with soft labels, where a hard one has the same results. */
INLINE void focal_loss(real x, real t, real aux, stage z, const real *p, real *value, real *grad, real *hess) {
  real v, g, h;
  focal_hard_second(x, t, aux, z, p, value, grad, hess);
  if (FORMULA(p)) focal_square(x, t, z, p, &v, &g, &h);
  else focal_any(x, t, z, p, &v, &g, &h);
  const int hard = (t == R(0.0)) | (t == R(1.0));
  *value = hard ? *value : v;
  *grad = hard ? *grad : g;
  *hess = hard ? *hess : h;
}

/* Halves may have any alignment. */
static int focal_hard_block(int type, fl_size n, const void *target) {
  const real *t = target;
  const char *at = target;
  const uint16_t one = type == FLOAT16S ? 0x3c00 : 0x3f80;
  ureal soft = 0;
  uint16_t h, soft_half = 0;
  for (fl_size i = 0; type == REALS && i < n; i++) soft |= (bits_of(t[i]) != 0) & (bits_of(t[i]) != bits_of(R(1.0)));
  for (fl_size i = 0; type != REALS && i < n; i++) {
    memcpy(&h, at + 2 * i, sizeof h);
    soft_half |= (h != 0) & (h != one);
  }
  return !(soft | soft_half);
}

static fl_pointwise binary_cross_entropy_with_logits_block;

static void focal_loss_loops(fl_pointwise *self, fl_size n, int flags, const void *x, const void *t, const double *p,
                             double s, void *v, void *g, void *h) {
  const int type = half_type(flags), square = p[0] == 2.0, hard = focal_hard_block(type, n, t), ahead = flags & FL_AHEAD;
  if (p[0] == 0.0 && p[1] == 0.0) /* cross-entropy itself, to the bit */
    binary_cross_entropy_with_logits_block(n, flags, x, t, NULL, p, s, v, g, h);
  else if (hard && square) staged_loops(self, focal_hard_second, 2, 2, 1, 0, 0, n, flags, x, t, NULL, p, s, v, g, h);
  else if (hard) staged_loops(self, focal_hard_second, 2, 2, 0, 0, 0, n, flags, x, t, NULL, p, s, v, g, h);
  else if (type != REALS) converted_block(self, type, n, ahead, x, t, p, s, v, g);
  else if (square) staged_loops(self, focal_loss, 2, 1, 1, 0, 0, n, ahead, x, t, NULL, p, s, v, g, h);
  else staged_loops(self, focal_loss, 2, 1, 0, 0, 0, n, ahead, x, t, NULL, p, s, v, g, h);
}
