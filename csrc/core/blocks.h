/* What happens to a block of elements beside the formulas: the loops that run a body over it,
 * conversion, weights. Nothing here knows a loss.
 */
#ifndef FASTLOSS_BLOCKS_H
#define FASTLOSS_BLOCKS_H

#include "../fastloss.h"
#include "domains.h"
#include "fetch.h"
#include "half.h"
#include "real.h"
#include "reduce.h"

/* A pointwise loss: one element in, value, gradient and Hessian out; p are the loss's parameters.
 * A body writes all three results, and what the caller does not store the compiler drops.
 * LIMITS(p), a constant of the loop that it is inlined into, is 0 where a body may give anything beside an infinite
 * argument or intermediate result if only its value is NaN or infinite there: the block is then done again with 1. */
#define LIMITS(p) ((p)[FL_PARAMETERS] != R(0.0))
/* Which of a loss's formulas is wanted (see losses.def): a constant of the loop too. */
#define FORMULA(p) ((int)(p)[FL_PARAMETERS + 1])
typedef void pointwise_body(real x, real t, real aux, const real *p, real *value, real *grad, real *hess);

/* Elements of a vector of 64 bytes, and of two, which the loops below take at a time: compilers load nothing ahead of a
 * store, and the chain of one element's operations is longer than the processor looks ahead. Interleaved, focal loss
 * in one loop takes 0.81 of the time with AVX-512 and 0.79 with AVX2. */
enum { HALF_PAIR = 64 / sizeof(real), PAIR = 2 * HALF_PAIR, QUAD = 2 * PAIR };

/* One vector or two; vectors and orders, how many derivatives are stored, are constants, and value may be a constant
 * NULL. */
INLINE void pointwise_vectors(pointwise_body *body, int vectors, int orders, int has_aux, const real *x, const real *t,
                              const real *aux, const real *p, real s, real *value, real *grad, real *hess) {
  VECTOR_LOOP
  for (int l = 0; l < HALF_PAIR; l++) {
    const int m = vectors == 2 ? l + HALF_PAIR : l;
    real v, g, h, v2, g2, h2;
    body(x[l], t[l], has_aux ? aux[l] : R(1.0), p, &v, &g, &h);
    if (vectors == 2) body(x[m], t[m], has_aux ? aux[m] : R(1.0), p, &v2, &g2, &h2);
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

/* Called with a constant body, vectors, formula, alone and has_aux: inlined into one loop per set of results; `self` is the
 * function that this is the body of. alone: a value that is not wanted beside a Hessian has a loop without it; otherwise
 * value is not NULL. */
INLINE void pointwise_loops_of(fl_pointwise *self, pointwise_body *body, int vectors, int formula, int alone, int has_aux,
                               fl_size n, const real *x, const real *t, const real *aux, const double *parameter,
                               double scale, real *value, real *grad, real *hess) {
  real p[FL_PARAMETERS + 2], s = (real)scale;
  const fl_size step = vectors * HALF_PAIR, whole = n / step * step;
  for (int i = 0; i < FL_PARAMETERS; i++) p[i] = (real)parameter[i];
  p[FL_PARAMETERS] = R(1.0);
  p[FL_PARAMETERS + 1] = (real)formula;
#define VECTORS(orders, v, g, h)                                                                                       \
  for (fl_size i = 0; i < whole; i += step)                                                                            \
    pointwise_vectors(body, vectors, orders, has_aux, x + i, t + i, has_aux ? aux + i : NULL, p, s, v, g, h)
  if (alone && hess && !value) VECTORS(2, NULL, grad + i, hess + i);
  else if (hess) VECTORS(2, value + i, grad + i, hess + i);
  else if (grad) VECTORS(1, value + i, grad + i, NULL);
  else VECTORS(0, value + i, NULL, NULL);
#undef VECTORS
  if (whole < n)
    last_elements(self, PAIR, whole, n, x, t, has_aux ? aux : NULL, parameter, scale, value, grad, hess);
}

INLINE void pointwise_loops(fl_pointwise *self, pointwise_body *body, int formula, int has_aux, fl_size n, const real *x,
                            const real *t, const real *aux, const double *parameter, double scale, real *value,
                            real *grad, real *hess) {
  pointwise_loops_of(self, body, 2, formula, 0, has_aux, n, x, t, aux, parameter, scale, value, grad, hess);
}

/* A block function of a body without parameters and of one formula. */
#define BLOCK_OF(name, body)                                                                                           \
  static void name(fl_size n, int ahead, const void *x, const void *t, const void *aux, const double *p, double s,     \
                   void *v, void *g, void *h) {                                                                        \
    (void)ahead, (void)aux;                                                                                            \
    pointwise_loops(name, body, 0, 0, n, x, t, NULL, p, s, v, g, h);                                                   \
  }

/* v times w, and exactly 0 for a weight of 0 whatever v is. */
INLINE real weighted(real w, real v) { return w == R(0.0) ? R(0.0) : w * v; }

/* One element of the loops below: its weighted value, and its gradient to *grad. */
INLINE real weighted_body(pointwise_body *body, real x, real t, const real *w, const real *p, real s, real *grad) {
  real v, g, h;
  body(x, t, R(1.0), p, &v, &g, &h);
  *grad = w ? weighted(*w, s * g) : s * g;
  return w ? weighted(*w, v) : v;
}

/* v, but NaN, so that the block is looked at again, where one of the targets is not -1 or +1; signs, a constant: 0 where they
 * may be anything. */
INLINE real if_signs(int signs, real a, real b, real c, real d, real v) {
  const ureal one = bits_of(R(1.0));
  ureal others = (bits_of(a) ^ one) | (bits_of(b) ^ one) | (bits_of(c) ^ one) | (bits_of(d) ^ one);
  return !signs || others << 1 == 0 ? v : REAL_NAN;
}

/* Elements of a half type as a sum kernel works with them: some groups, so that memory is read while the last are worked
 * on. With blocks of 1024, mse and Huber of 1.6e7 took 1.4 to 1.6 times as long. */
enum { PIECE = 2 * VALUE_GROUP };
typedef struct {
  real x[PIECE], t[PIECE], w[PIECE], grad[PIECE];
} half_piece;

/* Elements first ... first+n of the arrays of a half type. */
ONCE void load_piece(int halves, fl_size first, fl_size n, const void *x, const void *t, const void *w, half_piece *to) {
  if (halves & FL_HALF_X) load_halves(halves & FL_BFLOAT16, n, x, first, to->x);
  if (halves & FL_HALF_TARGET) load_halves(halves & FL_BFLOAT16, n, t, first, to->t);
  if (halves & FL_HALF_WEIGHT) load_halves(halves & FL_BFLOAT16, n, w, first, to->w);
}

/* The halves that some piece to come will be made of: cross-entropy with logits of 1.6e7 takes 0.88 of the time. */
INLINE void fetch_piece(int halves, fl_size first, const void *x, const void *t, const void *w, const void *g) {
  const size_t at = 2 * (size_t)first, bytes = 2 * PIECE;
  if (halves & FL_HALF_X) fetch_ahead_of(0, (const char *)x + at, bytes);
  if (halves & FL_HALF_TARGET) fetch_ahead_of(0, (const char *)t + at, bytes);
  if (halves & FL_HALF_WEIGHT) fetch_ahead_of(0, (const char *)w + at, bytes);
  if (halves & FL_HALF_GRAD && g != x) fetch_ahead_of(1, (const char *)g + at, bytes);
}

/* The sum kernel of a body: values weighted (has_weight) and summed where they arise, in the order of sum_values();
 * storing them first cost mse 2 times this, Huber 1.7. Four bodies at a time, because the lanes of a sum are
 * fixed and compilers keep them in memory. Returns 0 where the block must be done again, with LIMITS and a sum that does
 * not overflow. */
INLINE int pointwise_sums(pointwise_body *body, int formula, int signs, int has_weight, fl_size n, int flags,
                          const void *x, const void *t, const void *weight, const double *parameter, double scale,
                          void *grad, double *hi, double *lo) {
  real p[FL_PARAMETERS + 2], s = (real)scale, rest[VALUE_GROUP];
  _Alignas(64) value_sums sums = {{0.0}};
  _Alignas(64) half_piece piece;
  fl_size m, left = 0;
  const int halves = FASTLOSS_REAL_BITS == 64 ? 0 : flags & ~FL_AHEAD;
  for (int k = 0; k < FL_PARAMETERS; k++) p[k] = (real)parameter[k];
  p[FL_PARAMETERS] = R(0.0);
  p[FL_PARAMETERS + 1] = (real)formula;
  for (fl_size first = 0; first < n; first += m) {
    m = halves && n - first > PIECE ? PIECE : n - first;
    if (halves) load_piece(halves, first, m, x, t, has_weight ? weight : NULL, &piece);
    const real *xs = halves & FL_HALF_X ? piece.x : (const real *)x + first;
    const real *ts = halves & FL_HALF_TARGET ? piece.t : (const real *)t + first;
    const real *ws = !has_weight ? NULL : halves & FL_HALF_WEIGHT ? piece.w : (const real *)weight + first;
    real *gs = halves & FL_HALF_GRAD ? piece.grad : grad ? (real *)grad + first : NULL;
    fl_size i = 0;
    for (; i + VALUE_GROUP <= m; i += VALUE_GROUP) {
      for (int r = 0; r < VALUE_GROUP; r += FOUR_LINES) {
        const real *y = xs + i + r, *u = ts + i + r, *w = has_weight ? ws + i + r : NULL;
        if (grad) {
          real *g = gs + i + r;
          VECTOR_LOOP_WIDE
          for (int l = 0; l < LINE; l++) {
            int o = l + LINE, k = l + 2 * LINE, j = l + 3 * LINE;
            real da, db, dc, dd; /* stored last: compilers load nothing ahead of a store */
            real a = weighted_body(body, y[l], u[l], has_weight ? &w[l] : NULL, p, s, &da);
            real b = weighted_body(body, y[o], u[o], has_weight ? &w[o] : NULL, p, s, &db);
            real c = weighted_body(body, y[k], u[k], has_weight ? &w[k] : NULL, p, s, &dc);
            real d = weighted_body(body, y[j], u[j], has_weight ? &w[j] : NULL, p, s, &dd);
            g[l] = da;
            g[o] = db;
            g[k] = dc;
            g[j] = dd;
            add_four(&sums, r / 4 + l, if_signs(signs, u[l], u[o], u[k], u[j], a), b, c, d);
          }
        } else {
          VECTOR_LOOP_WIDE
          for (int l = 0; l < LINE; l++) {
            int o = l + LINE, k = l + 2 * LINE, j = l + 3 * LINE;
            real g, a = weighted_body(body, y[l], u[l], has_weight ? &w[l] : NULL, p, s, &g);
            real b = weighted_body(body, y[o], u[o], has_weight ? &w[o] : NULL, p, s, &g);
            real c = weighted_body(body, y[k], u[k], has_weight ? &w[k] : NULL, p, s, &g);
            real d = weighted_body(body, y[j], u[j], has_weight ? &w[j] : NULL, p, s, &g);
            add_four(&sums, r / 4 + l, if_signs(signs, u[l], u[o], u[k], u[j], a), b, c, d);
          }
        }
      }
    }
    for (; i < m; i++) { /* of the last piece: others are whole groups */
      real g;
      real v = weighted_body(body, xs[i], ts[i], has_weight ? &ws[i] : NULL, p, s, &g);
      rest[left++] = if_signs(signs, ts[i], ts[i], ts[i], ts[i], v);
      if (grad) gs[i] = g;
    }
    if (halves & FL_HALF_GRAD) store_halves(halves & FL_BFLOAT16, m, piece.grad, grad, first);
  }
  return end_values(&sums, left, rest, hi, lo);
}

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

/* The sum kernel of a block kernel: all values are stored, then added up. exactly: by sum_block(). */
ONCE void sum_stored(fl_pointwise *block, int exactly, fl_size n, int flags, const void *x, const void *t, const void *w,
                     const double *p, double s, void *g, double *hi, double *lo) {
  const int ahead = flags & FL_AHEAD, halves = FASTLOSS_REAL_BITS == 64 ? 0 : flags & ~FL_AHEAD;
  real v[FL_BLOCK];
  _Alignas(64) half_piece piece;
  for (fl_size i = 0; halves && i < n; i += PIECE) {
    const fl_size m = n - i < PIECE ? n - i : PIECE;
    if (ahead) fetch_piece(halves, i, x, t, w, g);
    load_piece(halves, i, m, x, t, w, &piece);
    const real *xs = halves & FL_HALF_X ? piece.x : (const real *)x + i;
    const real *ts = halves & FL_HALF_TARGET ? piece.t : (const real *)t + i;
    const real *ws = !w ? NULL : halves & FL_HALF_WEIGHT ? piece.w : (const real *)w + i;
    real *gs = halves & FL_HALF_GRAD ? piece.grad : g ? (real *)g + i : NULL;
    block(m, 0, xs, ts, NULL, p, s, v + i, gs, NULL);
    weigh_block(m, ws, NULL, v + i, gs, NULL);
    if (halves & FL_HALF_GRAD) store_halves(halves & FL_BFLOAT16, m, piece.grad, g, i);
  }
  if (!halves) {
    block(n, ahead, x, t, NULL, p, s, v, g, NULL);
    weigh_block(n, w, NULL, v, g, NULL);
  }
  if (exactly) sum_block(n, v, hi, lo);
  else sum_values(n, v, hi, lo);
}

#endif
