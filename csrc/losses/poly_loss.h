/* Poly loss CE + P(q), P(q) = sum over j = 1 ... N of e_j q^j, of a logit x and a label t, q = 1 - p_t; p[0] = N,
 * e_j = p[1 + j], divided by j where p[1] is not 0. core/binary_terms.h has the names used here.
 *
 * With q' = sign (c - o) u, u = z big^2, and q'' = (c - o) u (z - 1) big:
 * gradient CE' + P'(q) q', Hessian u + P''(q) q'^2 + P'(q) q''.
 *
 * One term is a body in two stages. More are evaluated by Horner's rule, a term at a time over a group of elements,
 * because neither compiler vectorises over elements around a loop over terms.
 */

/* The results from P(q), P'(q) and P''(q); p0_low is added to the first. */
INLINE void poly_body(const binary_terms *s, real x, const real *p, real p0, real p0_low, real p1, real p2, real *value,
                      real *grad, real *hess) {
  real k = p1 * s->tilt, v = s->tilt * (s->u + s->u_low), loss = s->loss + (p0 + p0_low);
  *value = LIMITS(p) && (abs_(x) > REAL_MAX) & (s->c > R(0.0)) ? REAL_INF : loss;
  *grad = s->sign * (fma_(k, s->u, s->slope) + k * s->u_low);
  *hess = fma_(p2 * v, v, fma_(k, s->spread, R(1.0)) * s->u_64 * R(0x1p-64));
}

INLINE void poly_loss(real x, real t, real aux, stage z, const real *p, real *value, real *grad, real *hess) {
  binary_terms s = binary_terms_of_(x, t, LIMITS(p), 1, z.z, R(0.0), z.z * R(0x1p64));
  (void)aux;
  poly_body(&s, x, p, p[2] * s.q, R(0.0), p[2], R(0.0), value, grad, hess);
}

/* Coefficient j in the computing type, the rest of a quotient in *low. */
INLINE real poly_coefficient(const double *p, fl_size j, real *low) {
  real e = j ? (real)p[1 + j] : R(0.0), d = j && p[1] != 0.0 ? (real)j : R(1.0), c = e / d, rest;
  real product = two_product(c, d, &rest);
  *low = ((e - product) - rest) / d;
  return c;
}

#define POLY_GROUP 128

/* The polynomial and its derivatives divided by factorials, of a group; the low words of the first three. */
enum { POLY_Q, POLY_0, POLY_0_LOW, POLY_1, POLY_1_LOW, POLY_2, POLY_2_LOW, POLY_3, POLY_ARRAYS };
typedef real poly_group[POLY_ARRAYS][POLY_GROUP];

/* a q + b = result + *low, a and b with low words. */
INLINE real poly_next(real a, real a_low, real q, real b, real b_low, real *low) {
  real product_low, sum_low, sum = two_sum(two_product(a, q, &product_low), b, &sum_low);
  *low = fma_(a_low, q, b_low + (product_low + sum_low));
  return sum;
}

/* One step of Horner's rule, compensated: its roundings add up, and a power of q multiplies q's. */
INLINE void poly_step(fl_size n, real e, real e_low, const real *q, real *p0, real *l0, real *p1, real *l1, real *p2,
                      real *l2, real *p3) {
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) {
    real low_0, low_1, low_2, old_2 = p2[i];
    real new_0 = poly_next(p0[i], l0[i], q[i], e, e_low, &low_0);
    real new_1 = poly_next(p1[i], l1[i], q[i], p0[i], l0[i], &low_1);
    real new_2 = poly_next(p2[i], l2[i], q[i], p1[i], l1[i], &low_2);
    p3[i] = fma_(p3[i], q[i], old_2);
    p0[i] = new_0, p1[i] = new_1, p2[i] = new_2;
    l0[i] = low_0, l1[i] = low_1, l2[i] = low_2;
  }
}

static void poly_horner(fl_size n, const real *x, const real *t, const double *parameter, poly_group a) {
  memset(a, 0, sizeof(poly_group));
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) {
    binary_terms s = binary_terms_(x[i], t[i], 1, 2);
    a[POLY_Q][i] = s.q;
  }
  for (fl_size j = (fl_size)parameter[0]; j >= 0; j--) {
    real e_low, e = poly_coefficient(parameter, j, &e_low);
    poly_step(n, e, e_low, a[POLY_Q], a[POLY_0], a[POLY_0_LOW], a[POLY_1], a[POLY_1_LOW], a[POLY_2],
              a[POLY_2_LOW], a[POLY_3]);
  }
}

/* The losses of a group: orders, a constant, is how many derivatives are stored. */
INLINE void poly_results(int orders, fl_size n, const real *x, const real *t, const poly_group a, real scale,
                         real *value, real *grad, real *hess) {
  const real p[FL_PARAMETERS + 2] = {[FL_PARAMETERS] = R(1.0)};
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) {
    binary_terms s = binary_terms_(x[i], t[i], 1, 2);
    real v, g, h, second = fma_(R(3.0) * s.q_low, a[POLY_3][i], a[POLY_2_LOW][i]);
    real p2 = R(2.0) * (a[POLY_2][i] + second);
    real p0_low = fma_(s.q_low, a[POLY_1][i], a[POLY_0_LOW][i]);
    real p1 = a[POLY_1][i] + fma_(s.q_low, p2, a[POLY_1_LOW][i]);
    poly_body(&s, x[i], p, a[POLY_0][i], p0_low, p1, p2, &v, &g, &h);
    value[i] = v;
    if (orders > 0) grad[i] = scale * g;
    if (orders > 1) hess[i] = scale * h;
  }
}

static void poly_terms(fl_size n, const real *x, const real *t, const double *parameter, real scale, real *value,
                       real *grad, real *hess) {
  poly_group a;
  for (fl_size i = 0; i < n; i += POLY_GROUP) {
    fl_size m = n - i < POLY_GROUP ? n - i : POLY_GROUP;
    poly_horner(m, x + i, t + i, parameter, a);
    if (hess) poly_results(2, m, x + i, t + i, a, scale, value + i, grad + i, hess + i);
    else if (grad) poly_results(1, m, x + i, t + i, a, scale, value + i, grad + i, NULL);
    else poly_results(0, m, x + i, t + i, a, scale, value + i, NULL, NULL);
  }
}

static void poly_loss_loops(fl_pointwise *self, fl_size n, int flags, const void *x, const void *t, const double *p,
                            double s, void *v, void *g, void *h) {
  if (p[0] <= 1.0) staged_loops(self, poly_loss, 1, 2, 0, 0, 0, n, flags, x, t, NULL, p, s, v, g, h);
  else if (half_type(flags) != REALS) converted_block(self, half_type(flags), n, flags & FL_AHEAD, x, t, p, s, v, g);
  else poly_terms(n, x, t, p, (real)s, v, g, h);
}
