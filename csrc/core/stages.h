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

/* n: whole quads. Two vectors at a time instead, focal loss takes 1.04 of the time with AVX-512. */
INLINE void first_vectors(int words, int type, fl_size n, const void *x, stages *to) {
  const fl_size unit = unit_of(type);
  for (fl_size i = 0; i < n; i += 4 * unit) {
    _Alignas(64) real wide[QUAD];
    const real *xs = open_units(type, 4, unit, x, i, wide);
    STAGE_LOOP
    for (fl_size l = 0; l < unit; l++) {
      const fl_size m = l + unit, j = m + unit, k = j + unit;
      const stage s1 = first_stage(words, xs[l]), s2 = first_stage(words, xs[m]);
      const stage s3 = first_stage(words, xs[j]), s4 = first_stage(words, xs[k]);
      put_stage(words, to, i + l, s1);
      put_stage(words, to, i + m, s2);
      put_stage(words, to, i + j, s3);
      put_stage(words, to, i + k, s4);
    }
  }
}

#define FIRST_STAGES(name, words, type)                                                                                \
  ONCE void name(fl_size n, const void *x, stages *to) { first_vectors(words, type, n, x, to); }
FIRST_STAGES(first_stages_1, 1, REALS)
FIRST_STAGES(first_stages_2, 2, REALS)
FIRST_STAGES(first_stages_3, 3, REALS)
#if HALF_LOOPS /* without Hessians */
FIRST_STAGES(first_stages_float16_1, 1, FLOAT16S)
FIRST_STAGES(first_stages_float16_2, 2, FLOAT16S)
FIRST_STAGES(first_stages_bfloat16_1, 1, BFLOAT16S)
FIRST_STAGES(first_stages_bfloat16_2, 2, BFLOAT16S)
#endif
#undef FIRST_STAGES

INLINE void first_stages(int words, int type, fl_size n, const void *x, stages *to) {
#if HALF_LOOPS
  if (type == FLOAT16S && words == 1) first_stages_float16_1(n, x, to);
  if (type == FLOAT16S && words == 2) first_stages_float16_2(n, x, to);
  if (type == BFLOAT16S && words == 1) first_stages_bfloat16_1(n, x, to);
  if (type == BFLOAT16S && words == 2) first_stages_bfloat16_2(n, x, to);
#endif
  if (type == REALS && words == 1) first_stages_1(n, x, to);
  if (type == REALS && words == 2) first_stages_2(n, x, to);
  if (type == REALS && words == 3) first_stages_3(n, x, to);
}

typedef void second_stage(real x, real t, real aux, stage s, const real *p, real *value, real *grad, real *hess);

/* n <= STAGED elements from `first` on, whole quads; see pointwise_vectors(). Memory is fetched within the loop, which loses
 * nothing by it here: its bodies are the shorter ones. */
INLINE void staged_vectors(second_stage *second, int words, int type, int units, int orders, int has_aux,
                           fl_size first, fl_size n, int ahead, const void *x, const void *t, const real *aux,
                           const real *p, real s, real *value, void *grad, real *hess) {
  const int unit = unit_of(type);
  stages all;
  first_stages(words, type, n, items(type, x, first), &all);
  for (fl_size from = 0; from < n; from += units * unit) {
    const fl_size i = first + from;
    _Alignas(64) real wide_x[PAIR], wide_t[PAIR], wide_grad[PAIR];
    if (ahead) fetch_elements(type, units * unit, orders, i, x, t, grad, hess);
    const real *xs = open_units(type, units, unit, x, i, wide_x), *ts = open_units(type, units, unit, t, i, wide_t);
    real *gs = orders > 0 ? results_at(type, grad, i, wide_grad) : NULL;
    STAGE_LOOP
    for (fl_size l = 0; l < unit; l++) {
      const fl_size m = units == 2 ? l + unit : l;
      const stage s1 = get_stage(words, &all, from + l), s2 = get_stage(words, &all, from + m);
      real v, g, h, v2, g2, h2;
      second(xs[l], ts[l], has_aux ? aux[i + l] : R(1.0), s1, p, &v, &g, &h);
      if (units == 2) second(xs[m], ts[m], has_aux ? aux[i + m] : R(1.0), s2, p, &v2, &g2, &h2);
      else v2 = v, g2 = g, h2 = h;
      if (value) {
        value[i + l] = v;
        value[i + m] = v2;
      }
      if (orders > 0) {
        gs[l] = s * g;
        gs[m] = s * g2;
      }
      if (orders > 1) {
        hess[i + l] = s * h;
        hess[i + m] = s * h2;
      }
    }
    if (orders > 0) close_results(type, units * unit, wide_grad, grad, i);
  }
}

/* pointwise_loops_of() of a body in two stages. words: 1 or 2, which is 3 where a Hessian is wanted. */
INLINE void staged_loops(fl_pointwise *self, second_stage *second, int words, int vectors, int formula, int alone,
                         int has_aux, fl_size n, int flags, const void *x, const void *t, const real *aux,
                         const double *parameter, double scale, real *value, void *grad, real *hess) {
  real p[FL_PARAMETERS + 2], s = factor_of(scale);
  const fl_size whole = n / QUAD * QUAD;
  const int type = HALF_LOOPS && !has_aux ? half_type(flags) : REALS, ahead = flags & FL_AHEAD;
  for (int i = 0; i < FL_PARAMETERS; i++) p[i] = (real)parameter[i];
  p[FL_PARAMETERS] = R(1.0);
  p[FL_PARAMETERS + 1] = (real)formula;
#define VECTORS(type, orders, v, g, h)                                                                                 \
  for (fl_size i = 0; i < whole; i += STAGED)                                                                          \
  staged_vectors(second, words == 2 && orders == 2 ? 3 : words, type, vectors, orders, has_aux, i,                     \
                 whole - i < STAGED ? whole - i : STAGED, ahead, x, t, aux, p, s, v, g, h)
  if (type == FLOAT16S) VECTORS(FLOAT16S, 1, value, grad, NULL);
  else if (type == BFLOAT16S) VECTORS(BFLOAT16S, 1, value, grad, NULL);
  else if (alone && hess && !value) VECTORS(REALS, 2, NULL, grad, hess);
  else if (hess) VECTORS(REALS, 2, value, grad, hess);
  else if (grad) VECTORS(REALS, 1, value, grad, NULL);
  else VECTORS(REALS, 0, value, NULL, NULL);
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
    first_stages(2, REALS, m, from, &all);
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
