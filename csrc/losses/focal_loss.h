/* Focal loss alpha_t q^gamma CE of a logit x and a label t, q = 1 - p_t; gamma = p[0], and where p[1] is not 0,
 * alpha_t = alpha t + (1 - alpha) (1 - t) with alpha = p[2], else 1. core/binary_terms.h has the names used here.
 *
 * With q' = sign tilt u and q'' = tilt u spread,
 *   gradient  alpha_t (q^gamma CE' + gamma q^(gamma-1) q' CE),
 *   Hessian  alpha_t (q^gamma u + gamma q^(gamma-1) (2 q' CE' + q'' CE) + gamma (gamma-1) q^(gamma-2) q'^2 CE).
 * For a hard label both terms of the gradient have one sign. For any gamma, q^gamma is taken out and q' / q =
 * sign tilt big z / (c + o z) put in, which is finite at p_t = 1: no exponent is negative. The power, and what belongs
 * to it, comes in two words: rounded, q^2 alone would be up to 5 ULP off.
 *
 * Worst found (soft labels), gamma up to 5: value 3.3, gradient 3.8, Hessian 6.0 ULP; without FMA 3.6, 4.0, 7.0. The
 * logarithm of q has some 5 bits more than the type, so the error grows with gamma from 20 on (10 and 22 ULP at 150).
 */

INLINE real focal_alpha(real t, const real *p) {
  real alpha = p[1] != R(0.0) ? p[2] : R(1.0), beta = p[1] != R(0.0) ? R(1.0) - p[2] : R(1.0);
  real b = R(1.0) - t; /* from the nearer end: rounded once */
  return t < b ? fma_(alpha - beta, t, beta) : fma_(beta - alpha, b, alpha);
}

/* What a body returns, the limit at an infinite x on the wrong side put in. */
INLINE void focal_results(const binary_terms *s, real x, const real *p, real alpha, real v, real g, real h, real *value,
                          real *grad, real *hess) {
  *value = LIMITS(p) && (abs_(x) > REAL_MAX) & (s->c > R(0.0)) & (alpha > R(0.0)) ? REAL_INF : v;
  *grad = s->sign * g;
  *hess = h;
}

/* gamma = 1 or 2, a constant: as q^(gamma - 1) gamma q' CE needs no division. */
INLINE void focal_whole(real x, real t, const real *p, int gamma, real *value, real *grad, real *hess) {
  binary_terms s = binary_terms_(x, t, LIMITS(p), 2);
  real alpha = focal_alpha(t, p), power = s.q, power_low = s.q_low, rate = s.u, rate_low = s.u_low;
  real q = s.q + s.q_low, above = R(1.0); /* q^(gamma-1); rate is that times u */
  if (gamma == 2) {
    real lost;
    power = two_product(s.q, s.q, &lost);
    power_low = fma_(R(2.0) * s.q, s.q_low, lost);
    rate = two_product(s.q, s.u, &lost);
    rate_low = lost + fma_(s.q, s.u_low, s.q_low * s.u);
    above = q;
  }
  /* the loss comes last: gamma times it may overflow where rate is 0 */
  real loss = alpha * s.loss, twist = (real)gamma * s.tilt;
  real g_low = fma_(twist * rate_low, s.loss, power_low * s.slope);
  real g = fma_(power, s.slope, fma_(twist * rate, s.loss, g_low));
  /* times 2^64, as a large loss may lift a subnormal u: q^(gamma-1) (q u + gamma tilt u (2 slope + CE spread)), and the
   * square's term */
  real turn = (real)gamma * s.tilt * s.u_64;
  real h = fma_(turn, fma_(s.spread, s.loss, R(2.0) * s.slope), s.u_64 * q) * above;
  h = gamma == 2 ? fma_(turn * s.tilt * (s.u + s.u_low), s.loss, h) : h;
  focal_results(&s, x, p, alpha, fma_(power, loss, power_low * loss), alpha * g, alpha * h * R(0x1p-64), value, grad,
                hess);
}

/* Any gamma. */
INLINE void focal_any(real x, real t, const real *p, real *value, real *grad, real *hess) {
  binary_terms s = binary_terms_(x, t, LIMITS(p), 2);
  real gamma = p[0], alpha = focal_alpha(t, p), low, error, lost, r, l;
  int certain = s.c == R(0.0); /* a hard label on x's own side */

  /* q of a certain element may underflow where its power does not: log q = -|x| + log big. (Beyond EXP_LOWEST its loss
   * is 0.) A gamma beyond 2^64 differs from it only at q = 1. The power is 2^n (power + power_low), the factor 2^n
   * applied last: what power is multiplied by may be large. */
  real exact = certain ? max_(EXP_LOWEST, -s.distance) : R(0.0);
  real log_q = log_low_(certain ? s.big : s.q, certain ? s.big_low : s.q_low, &low);
  log_q = two_sum(exact, log_q, &error);
  real exponent = min_(gamma, R(0x1p64)), product = two_product(exponent, log_q, &lost);
  int none = product < POWER_LOWEST;
  real shifted = exp_reduce_low_(max_(POWER_LOWEST, product), &r, &l), power_low;
  real power = exp_poly_low_(r, l, &power_low);
  power_low = none ? R(0.0) : fma_(power, fma_(exponent, error + low, lost), power_low);
  power = none ? R(0.0) : power;

  /* r = gamma tilt rho. A subnormal label's mixed may be subnormal too, and its reciprocal infinite: all that follows
   * is then 0. */
  real mixed = certain ? R(1.0) : max_(REAL_MIN, s.mixed), inverse = R(1.0) / mixed;
  real top = certain ? R(1.0) : s.z, ratio = top * inverse, back = two_product(ratio, mixed, &lost);
  real ratio_low = inverse * (((top - back) - lost) + (certain ? R(0.0) : fma_(-ratio, s.mixed_low, s.z_low)));
  real rho_low, rho = two_product(s.big, ratio, &rho_low), k = gamma * s.tilt;
  r = two_product(k, rho, &lost);
  real r_low = fma_(k, rho_low + fma_(s.big, ratio_low, s.big_low * ratio), lost);

  real loss = alpha * s.loss, slope = alpha * (fma_(r, s.loss, s.slope) + r_low * s.loss);
  real bend = fma_((gamma - R(1.0)) * s.tilt, rho, s.spread); /* times 2^64: a large loss may lift a subnormal z */
  real r_64 = k * s.big * ((certain ? R(0x1p64) : s.z_64) * inverse);
  real curve = alpha * fma_(r_64, fma_(bend, s.loss, R(2.0) * s.slope), s.u_64);
  focal_results(&s, x, p, alpha, scale_shifted_(fma_(power, loss, power_low * loss), shifted),
                scale_shifted_(fma_(power, slope, power_low * slope), shifted),
                scale_shifted_(fma_(power, curve, power_low * curve) * R(0x1p-64), shifted), value, grad, hess);
}

INLINE void focal_loss(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  (void)aux;
  if (FORMULA(p) != 0) focal_whole(x, t, p, FORMULA(p), value, grad, hess);
  else focal_any(x, t, p, value, grad, hess);
}

static void focal_loss_loops(fl_size n, const void *x, const void *t, const double *p, double s, void *v, void *g,
                             void *h) {
  if (p[0] == 2.0) pointwise_loops(focal_loss, 2, 0, n, x, t, NULL, p, s, v, g, h);
  else if (p[0] == 0.0 && p[1] == 0.0) /* cross-entropy itself, to the bit */
    pointwise_loops(binary_cross_entropy_with_logits, 0, 0, n, x, t, NULL, p, s, v, g, h);
  else if (p[0] == 1.0) pointwise_loops(focal_loss, 1, 0, n, x, t, NULL, p, s, v, g, h);
  else pointwise_loops(focal_loss, 0, 0, n, x, t, NULL, p, s, v, g, h);
}

/* Bodies too long to be run four at a time between the additions of a sum: no gain, and five times their code. */
static int focal_loss_sums(fl_size n, const void *x, const void *t, const void *w, const double *p, double s, void *g,
                           double *hi, double *lo) {
  (void)n, (void)x, (void)t, (void)w, (void)p, (void)s, (void)g, (void)hi, (void)lo;
  return 0;
}
