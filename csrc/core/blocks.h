/* What happens to a block of elements beside the formulas: the loops that run a body over it,
 * conversion, weights. Sums are in sums.h. Nothing here knows a loss.
 */
#ifndef FASTLOSS_BLOCKS_H
#define FASTLOSS_BLOCKS_H

#include "../fastloss.h"
#include "domains.h"
#include "fetch.h"
#include "real.h"
#include "reduce.h"
#include "vectors.h"

/* A pointwise loss: one element in, value, gradient and Hessian out; p are the loss's parameters.
 * A body writes all three results, and what the caller does not store the compiler drops.
 * LIMITS(p), a constant of the loop that it is inlined into, is 0 where a body may give anything beside an infinite
 * argument or intermediate result if only its value is NaN or infinite there: the block is then done again with 1. */
#define LIMITS(p) ((p)[FL_PARAMETERS] != R(0.0))
/* Which of a loss's formulas is wanted (see losses.def): a constant of the loop too. */
#define FORMULA(p) ((int)(p)[FL_PARAMETERS + 1])
typedef void pointwise_body(real x, real t, real aux, const real *p, real *value, real *grad, real *hess);

/* What loops over so many elements will read and write when they have come further. Not a vector's at a time, within the
 * loop: exponential loss in the caches took 1.25 times as long; nor twice as many: nothing was gained outside them. */
enum { FETCHED = 2 * QUAD };
INLINE void fetch_elements(int type, int n, int orders, fl_size i, const void *x, const void *t, const void *grad,
                           const real *hess) {
  const size_t bytes = (size_t)n * item_bytes(type);
  fetch_ahead_of(0, items(type, x, i), bytes);
  fetch_ahead_of(0, items(type, t, i), bytes);
  if (orders > 0) fetch_ahead_of(1, items(type, grad, i), bytes);
  if (orders > 1) fetch_ahead_of(1, hess + i, bytes);
}

/* The elements from i on, of arrays of this type: one unit or two. units and orders, how many derivatives are stored,
 * are constants, and value may be a constant NULL. Halves are x, t and the gradient; there is no aux then and no Hessian. */
INLINE void pointwise_vectors(pointwise_body *body, int type, int units, int orders, int has_aux, fl_size i,
                              const void *x, const void *t, const real *aux, const real *p, real s, real *value,
                              void *grad, real *hess) {
  const int unit = unit_of(type);
  _Alignas(64) real wide_x[PAIR], wide_t[PAIR], wide_grad[PAIR];
  const real *xs = open_units(type, units, unit, x, i, wide_x), *ts = open_units(type, units, unit, t, i, wide_t);
  real *gs = orders > 0 ? results_at(type, grad, i, wide_grad) : NULL;
  VECTOR_LOOP
  for (int l = 0; l < unit; l++) {
    const int m = units == 2 ? l + unit : l;
    real v, g, h, v2, g2, h2;
    body(xs[l], ts[l], has_aux ? aux[i + l] : R(1.0), p, &v, &g, &h);
    if (units == 2) body(xs[m], ts[m], has_aux ? aux[i + m] : R(1.0), p, &v2, &g2, &h2);
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

/* The elements left over, from `first` on, filled up to `fill` and given to `self`: less code than a loop of their own. */
ONCE void last_elements(fl_pointwise *self, int fill, fl_size first, fl_size n, const real *x, const real *t, const real *aux,
                        const double *parameter, double scale, real *value, real *grad, real *hess) {
  real part[6][QUAD] = {{R(0.0)}};
  const size_t bytes = (size_t)(n - first) * sizeof(real);
  memcpy(part[0], x + first, bytes);
  memcpy(part[1], t + first, bytes);
  if (aux) memcpy(part[2], aux + first, bytes);
  self(fill, 0, part[0], part[1], aux ? part[2] : NULL, parameter, scale, value ? part[3] : NULL, grad ? part[4] : NULL,
       hess ? part[5] : NULL);
  if (value) memcpy(value + first, part[3], bytes);
  if (grad) memcpy(grad + first, part[4], bytes);
  if (hess) memcpy(hess + first, part[5], bytes);
}

/* Called with a constant body, vectors, formula, alone, halves and has_aux: inlined into one loop per set of results; `self`
 * is the function that this is the body of. alone: a value that is not wanted beside a Hessian has a loop without it;
 * otherwise value is not NULL. flags: FL_AHEAD, and, if there is a loop for it (halves), the half type of the arrays; n is
 * then a whole number of quads. */
INLINE void pointwise_loops_of(fl_pointwise *self, pointwise_body *body, int vectors, int formula, int alone,
                               int halves, int has_aux, fl_size n, int flags, const void *x, const void *t,
                               const real *aux, const double *parameter, double scale, real *value, void *grad,
                               real *hess) {
  real p[FL_PARAMETERS + 2], s = factor_of(scale);
  const fl_size step = vectors * HALF_PAIR, whole = n / step * step;
  const int type = HALF_LOOPS && halves ? half_type(flags) : REALS, ahead = flags & FL_AHEAD;
  const fl_size chunk = ahead ? FETCHED : whole;
  for (int i = 0; i < FL_PARAMETERS; i++) p[i] = (real)parameter[i];
  p[FL_PARAMETERS] = R(1.0);
  p[FL_PARAMETERS + 1] = (real)formula;
#define VECTORS(type, orders, v, g, h)                                                                                 \
  for (fl_size first = 0; first < whole; first += chunk) {                                                             \
    const fl_size end = whole - first < chunk ? whole : first + chunk;                                                 \
    if (ahead) fetch_elements(type, FETCHED, orders, first, x, t, g, h);                                               \
    for (fl_size i = first; i < end; i += vectors * unit_of(type))                                                     \
      pointwise_vectors(body, type, vectors, orders, has_aux, i, x, t, aux, p, s, v, g, h);                            \
  }
  if (type == FLOAT16S) {
    VECTORS(FLOAT16S, 1, value, grad, NULL)
  } else if (type == BFLOAT16S) {
    VECTORS(BFLOAT16S, 1, value, grad, NULL)
  } else if (alone && hess && !value) {
    VECTORS(REALS, 2, NULL, grad, hess)
  } else if (hess) {
    VECTORS(REALS, 2, value, grad, hess)
  } else if (grad) {
    VECTORS(REALS, 1, value, grad, NULL)
  } else {
    VECTORS(REALS, 0, value, NULL, NULL)
  }
#undef VECTORS
  if (whole < n)
    last_elements(self, PAIR, whole, n, x, t, has_aux ? aux : NULL, parameter, scale, value, grad, hess);
}

INLINE void pointwise_loops(fl_pointwise *self, pointwise_body *body, int formula, int has_aux, fl_size n, const real *x,
                            const real *t, const real *aux, const double *parameter, double scale, real *value,
                            real *grad, real *hess) {
  pointwise_loops_of(self, body, 2, formula, 0, 0, has_aux, n, 0, x, t, aux, parameter, scale, value, grad, hess);
}

/* A block of halves, with a gradient, for a kernel or a case of it that has no loops for them: by way of floats, a part at a
 * time. */
ONCE void converted_block(fl_pointwise *self, int type, fl_size n, int ahead, const void *x, const void *t,
                          const double *parameter, double scale, real *value, void *grad) {
  enum { PART = 4 * QUAD };
  _Alignas(64) real wide_x[PART], wide_t[PART], wide_grad[PART];
  for (fl_size i = 0; i < n; i += PART) {
    const fl_size m = n - i < PART ? n - i : PART;
    if (ahead) fetch_elements(type, PART, 1, i, x, t, grad, NULL);
    load_halves(type == BFLOAT16S, m, x, i, wide_x);
    load_halves(type == BFLOAT16S, m, t, i, wide_t);
    self(m, 0, wide_x, wide_t, NULL, parameter, scale, value + i, wide_grad, NULL);
    store_halves(type == BFLOAT16S, m, wide_grad, grad, i);
  }
}

/* A block function of a body without parameters and of one formula. */
#define BLOCK_OF(name, body)                                                                                           \
  static void name(fl_size n, int flags, const void *x, const void *t, const void *aux, const double *p, double s,     \
                   void *v, void *g, void *h) {                                                                        \
    (void)flags, (void)aux;                                                                                            \
    pointwise_loops(name, body, 0, 0, n, x, t, NULL, p, s, v, g, h);                                                   \
  }

/* v times w, and exactly 0 for a weight of 0 whatever v is. */
INLINE real weighted(real w, real v) { return w == R(0.0) ? R(0.0) : w * v; }

/* The elements left over, from `first` on. */
ONCE void last_unary(fl_unary *self, fl_size first, fl_size n, const real *x, real *y) {
  real part[QUAD] = {R(0.0)};
  const size_t bytes = (size_t)(n - first) * sizeof(real);
  memcpy(part, x + first, bytes);
  self(QUAD, 0, part, part);
  memcpy(y + first, part, bytes);
}

typedef real unary_body(real x);

INLINE void unary_loop(fl_unary *self, unary_body *body, fl_size n, const real *x, real *y) {
  const fl_size paired = n / PAIR * PAIR;
  for (fl_size i = 0; i < paired; i += PAIR) {
    VECTOR_LOOP
    for (int l = 0; l < HALF_PAIR; l++) {
      real a = body(x[i + l]), b = body(x[i + l + HALF_PAIR]);
      y[i + l] = a;
      y[i + l + HALF_PAIR] = b;
    }
  }
  if (paired < n) last_unary(self, paired, n, x, y);
}

/* Elements of another type, stride or alignment. The contiguous case is a loop of its own because
 * only a constant stride vectorises. */
#define LOAD_AS(type)                                                                              \
  if (stride == (fl_size)sizeof(type))                                                             \
    for (fl_size i = 0; i < n; i++) { type e; memcpy(&e, source + i * (fl_size)sizeof e, sizeof e); to[i] = (real)e; } \
  else                                                                                             \
    for (fl_size i = 0; i < n; i++) { type e; memcpy(&e, source + i * stride, sizeof e); to[i] = (real)e; } \
  break;
#define LOAD_HALF(type, bfloat16)                                                                  \
  if (stride == 2)                                                                                 \
    load_halves(bfloat16, n, source, 0, to);                                                       \
  else                                                                                             \
    for (fl_size i = 0; i < n; i++) { uint16_t h; memcpy(&h, source + i * stride, 2); to[i] = (real)from_##type(h); } \
  break;
#define STORE_HALF(type, bfloat16)                                                                 \
  if (stride == 2)                                                                                 \
    store_halves(bfloat16, n, from, destination, 0);                                               \
  else                                                                                             \
    for (fl_size i = 0; i < n; i++) { uint16_t h = to_##type(from[i]); memcpy(destination + i * stride, &h, 2); } \
  return;

static void load_block(int type, fl_size n, const char *source, fl_size stride, void *destination) {
  real *to = destination;
  switch (type) {
    case FL_F32: LOAD_AS(float)
    case FL_F64: LOAD_AS(double)
    case FL_I8: LOAD_AS(int8_t)
    case FL_I16: LOAD_AS(int16_t)
    case FL_I32: LOAD_AS(int32_t)
    case FL_I64: LOAD_AS(int64_t)
    case FL_BOOL:
    case FL_U8: LOAD_AS(uint8_t)
    case FL_U16: LOAD_AS(uint16_t)
    case FL_U32: LOAD_AS(uint32_t)
    case FL_U64: LOAD_AS(uint64_t)
    case FL_F16: LOAD_HALF(float16, 0)
    case FL_BF16: LOAD_HALF(bfloat16, 1)
  }
}

static void store_block(int type, fl_size n, const void *source, char *destination, fl_size stride) {
  const real *from = source;
#if FASTLOSS_REAL_BITS == 32
  switch (type) {
    case FL_F16: STORE_HALF(float16, 0)
    case FL_BF16: STORE_HALF(bfloat16, 1)
    default: break;
  }
#else
  (void)type;
#endif
  for (fl_size i = 0; i < n; i++) memcpy(destination + i * stride, &from[i], sizeof(real));
}

static void fill_block(fl_size n, double x, void *value) {
  real *v = value;
  for (fl_size i = 0; i < n; i++) v[i] = (real)x;
}

static void weigh_block(fl_size n, const void *weight, const void *upstream, void *value, void *grad, void *hess) {
  const real *w = weight, *u = upstream;
  real *outputs[2] = {grad, hess}, *v = value;
  if (w && v) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) v[i] = weighted(w[i], v[i]);
  }
  for (int k = 0; k < 2; k++) {
    real *o = outputs[k];
    if (!o) continue;
    if (w) {
      VECTOR_LOOP
      for (fl_size i = 0; i < n; i++) o[i] = weighted(w[i], o[i]);
    }
    if (u) {
      VECTOR_LOOP
      for (fl_size i = 0; i < n; i++) o[i] = u[i] * o[i];
    }
  }
}

#endif
