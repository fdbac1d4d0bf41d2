/* The loops of bodies that begin with e^-|x|: it is a first stage, with a loop of its own over a few vectors, and the rest
 * of the body a second, which fits the processor's window better. Of one loop's time, with AVX-512 and AVX2, focal loss
 * takes 0.73 and 0.72, cross-entropy with logits 0.75 and 0.80, softplus 0.67 and 0.72.
 */
#ifndef FASTLOSS_STAGES_H
#define FASTLOSS_STAGES_H

#include "blocks.h"
#include "fetch.h"
#include "math.h"

/* Clang, when it unrolls these loops, makes scalars of doubles: cross-entropy with logits, sigmoid and softplus take 1.2 to 5
 * times as long. */
#if defined(__clang__)
#define STAGE_LOOP VECTOR_LOOP ROLLED_LOOP
#else
#define STAGE_LOOP VECTOR_LOOP
#endif

enum { STAGED = 4 * QUAD };
typedef struct {
  real z, z_low, z_64; /* of exp_nonpositive_64_() */
} stage;
typedef struct {
  _Alignas(64) real z[STAGED], z_low[STAGED], z_64[STAGED];
} stages;

/* words, a constant: 1 for exp_nonpositive_(), 2 for the low word too, 3 for z_64 too. */
INLINE stage first_stage(int words, real x) {
  stage s = {R(0.0), R(0.0), R(0.0)};
  if (words == 1) s.z = exp_nonpositive_(-abs_(x));
  else s.z = exp_nonpositive_64_(-abs_(x), &s.z_64, &s.z_low);
  return s;
}

INLINE void put_stage(int words, stages *to, fl_size i, stage s) {
  to->z[i] = s.z;
  if (words > 1) to->z_low[i] = s.z_low;
  if (words > 2) to->z_64[i] = s.z_64;
}

INLINE stage get_stage(int words, const stages *from, fl_size i) {
  return (stage){from->z[i], words > 1 ? from->z_low[i] : R(0.0), words > 2 ? from->z_64[i] : R(0.0)};
}

/* n: whole quads. Two vectors at a time instead, focal loss takes 1.04 of the time with AVX-512; with the inner loop from 0,
 * GCC's takes 1.28 with AVX2: it spills more. */
INLINE void first_vectors(int words, fl_size n, const real *x, stages *to) {
  for (fl_size i = 0; i < n; i += QUAD) {
    STAGE_LOOP
    for (fl_size l = i; l < i + HALF_PAIR; l++) {
      const fl_size m = l + HALF_PAIR, j = l + PAIR, k = m + PAIR;
      const stage s1 = first_stage(words, x[l]), s2 = first_stage(words, x[m]);
      const stage s3 = first_stage(words, x[j]), s4 = first_stage(words, x[k]);
      put_stage(words, to, l, s1);
      put_stage(words, to, m, s2);
      put_stage(words, to, j, s3);
      put_stage(words, to, k, s4);
    }
  }
}

ONCE void first_stages_1(fl_size n, const real *x, stages *to) { first_vectors(1, n, x, to); }
ONCE void first_stages_2(fl_size n, const real *x, stages *to) { first_vectors(2, n, x, to); }
ONCE void first_stages_3(fl_size n, const real *x, stages *to) { first_vectors(3, n, x, to); }

INLINE void first_stages(int words, fl_size n, const real *x, stages *to) {
  if (words == 1) first_stages_1(n, x, to);
  else if (words == 2) first_stages_2(n, x, to);
  else first_stages_3(n, x, to);
}

typedef void second_stage(real x, real t, real aux, stage s, const real *p, real *value, real *grad, real *hess);

/* n <= STAGED elements, whole quads; see pointwise_vectors(). */
INLINE void staged_vectors(second_stage *second, int words, int vectors, int orders, int has_aux, fl_size n, int ahead,
                           const real *x, const real *t, const real *aux, const real *p, real s, real *value,
                           real *grad, real *hess) {
  stages all;
  first_stages(words, n, x, &all);
  for (fl_size i = 0; i < n; i += vectors * HALF_PAIR) {
    const size_t bytes = (size_t)vectors * HALF_PAIR * sizeof(real);
    if (ahead) {
      fetch_ahead_of(0, x + i, bytes);
      fetch_ahead_of(0, t + i, bytes);
      if (orders > 0) fetch_ahead_of(1, grad + i, bytes);
      if (orders > 1) fetch_ahead_of(1, hess + i, bytes);
    }
    STAGE_LOOP
    for (fl_size l = i; l < i + HALF_PAIR; l++) {
      const fl_size m = vectors == 2 ? l + HALF_PAIR : l;
      const stage s1 = get_stage(words, &all, l), s2 = get_stage(words, &all, m);
      real v, g, h, v2, g2, h2;
      second(x[l], t[l], has_aux ? aux[l] : R(1.0), s1, p, &v, &g, &h);
      if (vectors == 2) second(x[m], t[m], has_aux ? aux[m] : R(1.0), s2, p, &v2, &g2, &h2);
      else v2 = v, g2 = g, h2 = h;
      if (value) {
        value[l] = v;
        value[m] = v2;
      }
      if (orders > 0) {
        grad[l] = s * g;
        grad[m] = s * g2;
      }
      if (orders > 1) {
        hess[l] = s * h;
        hess[m] = s * h2;
      }
    }
  }
}

/* pointwise_loops_of() of a body in two stages. words: 1 or 2, which is 3 where a Hessian is wanted. */
INLINE void staged_loops(fl_pointwise *self, second_stage *second, int words, int vectors, int formula, int alone,
                         int has_aux, fl_size n, int ahead, const real *x, const real *t, const real *aux,
                         const double *parameter, double scale, real *value, real *grad, real *hess) {
  real p[FL_PARAMETERS + 2], s = (real)scale;
  const fl_size whole = n / QUAD * QUAD;
  for (int i = 0; i < FL_PARAMETERS; i++) p[i] = (real)parameter[i];
  p[FL_PARAMETERS] = R(1.0);
  p[FL_PARAMETERS + 1] = (real)formula;
#define VECTORS(orders, v, g, h)                                                                                       \
  for (fl_size i = 0; i < whole; i += STAGED)                                                                          \
    staged_vectors(second, words == 2 && orders == 2 ? 3 : words, vectors, orders, has_aux,                            \
                   whole - i < STAGED ? whole - i : STAGED, ahead, x + i, t + i, has_aux ? aux + i : NULL, p, s, v, g, h)
  if (alone && hess && !value) VECTORS(2, NULL, grad + i, hess + i);
  else if (hess) VECTORS(2, value + i, grad + i, hess + i);
  else if (grad) VECTORS(1, value + i, grad + i, NULL);
  else VECTORS(0, value + i, NULL, NULL);
#undef VECTORS
  if (whole < n)
    last_elements(self, QUAD, whole, n, x, t, has_aux ? aux : NULL, parameter, scale, value, grad, hess);
}

typedef real unary_second_stage(real x, real z, real z_low);

INLINE void unary_staged_loop(fl_unary *self, unary_second_stage *second, fl_size n, int ahead, const real *x, real *y) {
  const fl_size whole = n / QUAD * QUAD;
  stages all;
  for (fl_size start = 0; start < whole; start += STAGED) {
    const fl_size m = whole - start < STAGED ? whole - start : STAGED;
    const real *from = x + start;
    real *to = y + start;
    first_stages(2, m, from, &all);
    for (fl_size i = 0; i < m; i += PAIR) {
      if (ahead) {
        fetch_ahead_of(0, from + i, PAIR * sizeof(real));
        fetch_ahead_of(1, to + i, PAIR * sizeof(real));
      }
      STAGE_LOOP
      for (fl_size l = i; l < i + HALF_PAIR; l++) {
        const fl_size k = l + HALF_PAIR;
        real a = second(from[l], all.z[l], all.z_low[l]), b = second(from[k], all.z[k], all.z_low[k]);
        to[l] = a;
        to[k] = b;
      }
    }
  }
  if (whole < n) last_unary(self, whole, n, x, y);
}

#endif
