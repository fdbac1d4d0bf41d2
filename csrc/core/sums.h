/* The kernels of a loss's sum: its values over a block are added up, its gradient stored if wanted. Of arrays of reals or
 * of a half type. Nothing here knows a loss.
 */
#ifndef FASTLOSS_SUMS_H
#define FASTLOSS_SUMS_H

#include "blocks.h"

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
  if (halves & FL_HALF_GRAD) fetch_ahead_of(1, (const char *)g + at, bytes);
}

/* Whether a gradient is wanted and every array is of a half type, and none is a weight: such calls have loops of their own.
 * (With others for values alone, they would take 120 kB more of a wheel.) */
INLINE int every_half(int halves, const void *w, const void *grad) {
  const int all = FL_HALF_X | FL_HALF_TARGET | FL_HALF_GRAD;
  return HALF_LOOPS && grad && !w && (halves & all) == all;
}

/* Whole groups of values, weighted (has_weight) and summed where they arise, in the order of sum_values(); storing them
 * first cost mse 2 times this, Huber 1.7. Four bodies at a time, because the lanes of a sum are fixed and compilers keep
 * them in memory. */
INLINE void value_groups(pointwise_body *body, int type, int signs, int orders, fl_size n, const void *x,
                         const void *t, const real *weight, const real *p, real s, void *grad, value_sums *sums) {
  const int unit = unit_of(type), line = type == REALS ? LINE : unit; /* from a line to the next, where they are opened */
  for (fl_size i = 0; i < n; i += VALUE_GROUP) {
    for (int r = 0; r < VALUE_GROUP; r += FOUR_LINES) {
      _Alignas(64) real wide_grad[FOUR_LINES];
      real *g = orders > 0 ? results_at(type, grad, i + r, wide_grad) : NULL;
      for (int first = 0; first < LINE; first += unit) {
        _Alignas(64) real wide_x[FOUR_LINES], wide_t[FOUR_LINES];
        const fl_size at = i + r + first;
        const real *y = open_units(type, 4, LINE, x, at, wide_x), *u = open_units(type, 4, LINE, t, at, wide_t);
        const real *w = weight ? weight + at : NULL;
        VECTOR_LOOP_WIDE
        for (int l = 0; l < unit; l++) {
          const int o = l + line, k = o + line, j = k + line, z = first + l;
          real da, db, dc, dd; /* stored last: compilers load nothing ahead of a store */
          real a = weighted_body(body, y[l], u[l], weight ? &w[l] : NULL, p, s, &da);
          real b = weighted_body(body, y[o], u[o], weight ? &w[o] : NULL, p, s, &db);
          real c = weighted_body(body, y[k], u[k], weight ? &w[k] : NULL, p, s, &dc);
          real d = weighted_body(body, y[j], u[j], weight ? &w[j] : NULL, p, s, &dd);
          if (orders > 0) {
            g[z] = da;
            g[z + LINE] = db;
            g[z + 2 * LINE] = dc;
            g[z + 3 * LINE] = dd;
          }
          add_four(sums, r / 4 + z, if_signs(signs, u[l], u[o], u[k], u[j], a), b, c, d);
        }
      }
      if (orders > 0) close_results(type, FOUR_LINES, wide_grad, grad, i + r);
    }
  }
}

/* The sum kernel of a body. Returns 0 where the block must be done again, with LIMITS and a sum that does not overflow. */
INLINE int pointwise_sums(pointwise_body *body, int formula, int signs, int has_weight, fl_size n, int flags,
                          const void *x, const void *t, const void *weight, const double *parameter, double scale,
                          void *grad, double *hi, double *lo) {
  real p[FL_PARAMETERS + 2], s = factor_of(scale), rest[VALUE_GROUP];
  _Alignas(64) value_sums sums = {{0.0}};
  _Alignas(64) half_piece piece;
  fl_size m, first = 0, left = 0;
  const int halves = FASTLOSS_REAL_BITS == 64 ? 0 : flags & ~FL_AHEAD;
  for (int k = 0; k < FL_PARAMETERS; k++) p[k] = (real)parameter[k];
  p[FL_PARAMETERS] = R(0.0);
  p[FL_PARAMETERS + 1] = (real)formula;
  if (!has_weight && every_half(halves, NULL, grad)) {
    first = n / VALUE_GROUP * VALUE_GROUP;
    if (halves & FL_BFLOAT16) value_groups(body, BFLOAT16S, signs, 1, first, x, t, NULL, p, s, grad, &sums);
    else value_groups(body, FLOAT16S, signs, 1, first, x, t, NULL, p, s, grad, &sums);
  }
  for (; first < n; first += m) {
    m = halves && n - first > PIECE ? PIECE : n - first;
    if (halves) load_piece(halves, first, m, x, t, has_weight ? weight : NULL, &piece);
    const real *xs = halves & FL_HALF_X ? piece.x : (const real *)x + first;
    const real *ts = halves & FL_HALF_TARGET ? piece.t : (const real *)t + first;
    const real *ws = !has_weight ? NULL : halves & FL_HALF_WEIGHT ? piece.w : (const real *)weight + first;
    real *gs = halves & FL_HALF_GRAD ? piece.grad : grad ? (real *)grad + first : NULL;
    fl_size i = m / VALUE_GROUP * VALUE_GROUP;
    if (grad) value_groups(body, REALS, signs, 1, i, xs, ts, has_weight ? ws : NULL, p, s, gs, &sums);
    else value_groups(body, REALS, signs, 0, i, xs, ts, has_weight ? ws : NULL, p, s, NULL, &sums);
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

/* The sum kernel of a block kernel: all values are stored, then added up. exactly: by sum_block(). native: the kernel has
 * loops for the half types. */
ONCE void sum_stored(fl_pointwise *block, int exactly, int native, fl_size n, int flags, const void *x, const void *t,
                     const void *w, const double *p, double s, void *g, double *hi, double *lo) {
  const int ahead = flags & FL_AHEAD, halves = FASTLOSS_REAL_BITS == 64 ? 0 : flags & ~FL_AHEAD;
  fl_size first = !halves ? n : native && every_half(halves, w, g) ? n / QUAD * QUAD : 0;
  real v[FL_BLOCK];
  _Alignas(64) half_piece piece;
  if (first > 0) block(first, flags, x, t, NULL, p, s, v, g, NULL);
  if (!halves) weigh_block(n, w, NULL, v, g, NULL);
  for (; first < n; first += PIECE) {
    const fl_size m = n - first < PIECE ? n - first : PIECE;
    if (ahead) fetch_piece(halves, first, x, t, w, g);
    load_piece(halves, first, m, x, t, w, &piece);
    const real *xs = halves & FL_HALF_X ? piece.x : (const real *)x + first;
    const real *ts = halves & FL_HALF_TARGET ? piece.t : (const real *)t + first;
    const real *ws = !w ? NULL : halves & FL_HALF_WEIGHT ? piece.w : (const real *)w + first;
    real *gs = halves & FL_HALF_GRAD ? piece.grad : g ? (real *)g + first : NULL;
    block(m, 0, xs, ts, NULL, p, s, v + first, gs, NULL);
    weigh_block(m, ws, NULL, v + first, gs, NULL);
    if (halves & FL_HALF_GRAD) store_halves(halves & FL_BFLOAT16, m, piece.grad, g, first);
  }
  if (exactly) sum_block(n, v, hi, lo);
  else sum_values(n, v, hi, lo);
}

#endif
