/* Softmax passes over a tile: TILE_ROWS rows side by side, so that vector lanes are rows. For short rows, and for rows
 * whose classes lie apart in memory. A tile is [class][row]; a lane never meets another lane, so a row's bits do not
 * depend on its neighbours. Not here: losses.
 *
 * Rows are as long as they like: they pass in pieces of TILE_CLASSES, and sums run over a row's classes in order.
 */
#ifndef FASTLOSS_SOFTMAX_TILE_H
#define FASTLOSS_SOFTMAX_TILE_H

#include "../core/square.h"
#include "softmax.h"
#include "xent_options.h"

#define TILE_ROWS 32
#define TILE_CLASSES (1024 / (fl_size)sizeof(real)) /* a piece has 32 KB */

/* What a tile knows of its rows. The lanes past `rows` hold zeros and are never stored. Arrays come first, here and in what
 * begins with a tile, so that all of them begin on cache lines: with vectors across two lines, rows of ten classes took 1.06
 * times as long. */
typedef struct {
  _Alignas(64) real max[TILE_ROWS];
  real base[TILE_ROWS], magic[TILE_ROWS], lowest[TILE_ROWS];
  double hi[TILE_ROWS], lo[TILE_ROWS]; /* sums of exponentials */
  int dead[TILE_ROWS];                 /* read as zeros */
  int any_dead;
  fl_size rows;
  uintptr_t read_ahead[2], write_ahead; /* where tiles to come will read and write; 0: unknown */
} softmax_tile;

typedef real tile_piece[TILE_CLASSES * TILE_ROWS];

INLINE fl_size piece_length(fl_size classes, fl_size start) {
  return classes - start < TILE_CLASSES ? classes - start : TILE_CLASSES;
}

/* Where rows of an array will be worked on soon, if the rows of its tiles lie one behind the other. */
INLINE uintptr_t ahead_of_tile(fl_size classes, const real *first, fl_size row_stride) {
  const fl_size tile = TILE_ROWS * classes * (fl_size)sizeof(real);
  if (!first || row_stride != classes || classes <= 0 || classes > TILE_CLASSES) return 0;
  return (uintptr_t)first + (uintptr_t)((FETCH_DISTANCE + tile - 1) / tile * tile);
}

/* Says what tile_fetch() fetches; p: probabilities, or NULL. With 1.6e7 floats on one thread, cross-entropy of ten classes takes
 * 0.67 of its time so, of 16 to 100 classes 0.5 to 0.65, with probabilities 0.7 to 0.85, focal loss 0.6 to 0.75;
 * in the caches nothing is lost. */
static UNUSED void tile_ahead(softmax_tile *t, fl_size classes, const real *x, fl_size x_stride, const real *p,
                              fl_size p_stride, const real *g, fl_size g_stride) {
  t->read_ahead[0] = ahead_of_tile(classes, x, x_stride);
  t->read_ahead[1] = ahead_of_tile(classes, p, p_stride);
  t->write_ahead = g == x ? 0 : ahead_of_tile(classes, g, g_stride);
}

/* While four classes from c on are computed with, as many elements of tiles to come. */
INLINE void tile_fetch(const softmax_tile *t, fl_size c) {
  const size_t bytes = 4 * TILE_ROWS * sizeof(real), at = (size_t)c * TILE_ROWS * sizeof(real);
  if (t->read_ahead[0]) fetch_lines(0, 1, t->read_ahead[0] + at, bytes);
  if (t->read_ahead[1]) fetch_lines(0, 1, t->read_ahead[1] + at, bytes);
  if (t->write_ahead) fetch_lines(1, 1, t->write_ahead + at, bytes);
}

/* Whether the tile can be read (written) where it lies, a class's rows one behind the other. */
INLINE int tile_lies(const softmax_tile *t, fl_size row_stride) {
  return t->rows == TILE_ROWS && row_stride == 1 && !t->any_dead;
}

/* How many classes of n, from class c on, go the next step of a loop over squares: 8 where that is possible and pays. The last
 * step may overlap the one before it: it begins at step_first(). */
INLINE fl_size square_step(fl_size n, fl_size c) {
#ifdef DEEP_ROWS
  return n >= 8 && n - c > 4 ? 8 : 4;
#else
  (void)n, (void)c;
  return 4;
#endif
}

INLINE fl_size step_first(fl_size n, fl_size c, fl_size step) { return c + step <= n ? c : n - step; }

/* n classes of the tile's rows; data points at the first class of the first row. Lanes past the rows hold zeros. */
static UNUSED void tile_load(const softmax_tile *t, fl_size n, const real *data, fl_size row_stride,
                             fl_size class_stride, real *piece) {
  const fl_size rows = t->rows, squares = class_stride == 1 && n >= 4 ? rows / 8 * 8 : 0;
  fl_size c = 0, step;
  if (rows == TILE_ROWS && row_stride == 1) {
    for (; c < n; c++) memcpy(piece + c * TILE_ROWS, data + c * class_stride, TILE_ROWS * sizeof(real));
  } else {
    if (rows < TILE_ROWS) memset(piece, 0, (size_t)(n * TILE_ROWS) * sizeof(real));
    for (; squares > 0 && c < n; c += step) {
      step = square_step(n, c);
      const real *from = data + step_first(n, c, step);
      real *to = piece + step_first(n, c, step) * TILE_ROWS;
      fl_size l = 0;
#ifdef DEEP_ROWS
      if (step == 8)
        ROLLED_LOOP
        for (; l + DEEP_ROWS <= squares; l += DEEP_ROWS) load_deep(from + l * row_stride, row_stride, to + l, TILE_ROWS);
#endif
#ifdef WIDE_ROWS
      if (step == 4)
        ROLLED_LOOP
        for (; l + WIDE_ROWS <= squares; l += WIDE_ROWS)
          load_wide_square(from + l * row_stride, row_stride, to + l, TILE_ROWS);
#endif
      ROLLED_LOOP
      for (; l < squares; l += 8)
        for (fl_size half = 0; half < step; half += 4)
          load_square(from + l * row_stride + half, row_stride, to + l + half * TILE_ROWS, TILE_ROWS);
    }
    for (c = 0; squares < rows && c < n; c++)
      for (fl_size l = squares; l < rows; l++) piece[c * TILE_ROWS + l] = data[l * row_stride + c * class_stride];
  }
  if (!t->any_dead) return;
  for (fl_size l = 0; l < TILE_ROWS; l++)
    for (c = 0; t->dead[l] && c < n; c++) piece[c * TILE_ROWS + l] = R(0.0);
}

/* The way back; factor: of every row, or NULL, a constant. */
INLINE void tile_store_by(const softmax_tile *t, fl_size n, const real *piece, const real *factor, fl_size row_stride,
                          fl_size class_stride, real *data) {
  const fl_size rows = t->rows, squares = class_stride == 1 && n >= 4 ? rows / 8 * 8 : 0;
  fl_size c = 0, step;
  if (rows == TILE_ROWS && row_stride == 1) {
    for (; c < n; c++)
      for (int l = 0; l < TILE_ROWS; l++)
        data[c * class_stride + l] = factor ? piece[c * TILE_ROWS + l] * factor[l] : piece[c * TILE_ROWS + l];
    return;
  }
  for (; squares > 0 && c < n; c += step) {
    step = square_step(n, c);
    const real *from = piece + step_first(n, c, step) * TILE_ROWS;
    real *to = data + step_first(n, c, step);
    fl_size l = 0;
#ifdef DEEP_ROWS
    if (step == 8)
      ROLLED_LOOP
      for (; l + DEEP_ROWS <= squares; l += DEEP_ROWS)
        store_deep(from + l, TILE_ROWS, factor ? factor + l : NULL, to + l * row_stride, row_stride);
#endif
#ifdef WIDE_ROWS
    if (step == 4)
      ROLLED_LOOP
      for (; l + WIDE_ROWS <= squares; l += WIDE_ROWS)
        store_wide_square(from + l, TILE_ROWS, factor ? factor + l : NULL, to + l * row_stride, row_stride);
#endif
    ROLLED_LOOP
    for (; l < squares; l += 8)
      for (fl_size half = 0; half < step; half += 4)
        store_square(from + l + half * TILE_ROWS, TILE_ROWS, factor ? factor + l : NULL, to + l * row_stride + half, row_stride);
  }
  for (c = 0; squares < rows && c < n; c++)
    for (fl_size l = squares; l < rows; l++) {
      real y = piece[c * TILE_ROWS + l];
      data[l * row_stride + c * class_stride] = factor ? y * factor[l] : y;
    }
}

static UNUSED void tile_store(const softmax_tile *t, fl_size n, const real *piece, fl_size row_stride,
                              fl_size class_stride, real *data) {
  tile_store_by(t, n, piece, NULL, row_stride, class_stride, data);
}

static UNUSED void tile_store_scaled(const softmax_tile *t, fl_size n, const real *piece, const real *factor,
                                     fl_size row_stride, fl_size class_stride, real *data) {
  tile_store_by(t, n, piece, factor, row_stride, class_stride, data);
}

/* 1 where every row that is read has a finite maximum. */
static UNUSED int tile_all_finite(const softmax_tile *t) {
  ireal bad = 0;
  for (int l = 0; l < TILE_ROWS; l++) bad |= !(abs_(t->max[l]) <= REAL_MAX);
  return !bad;
}

/* tile->max, over all pieces: start with -inf. The classes are `stride` apart: TILE_ROWS in a piece. Four classes at a
 * time, here and below, because compilers keep the lanes of an accumulator in memory, and a class at a time waits for it. */
static UNUSED void tile_max(softmax_tile *t, fl_size n, const real *x, fl_size stride) {
  real m[TILE_ROWS];
  fl_size c = 0;
  memcpy(m, t->max, sizeof m);
  for (; c + 4 <= n; c += 4) {
    const real *x0 = x + c * stride, *x1 = x0 + stride, *x2 = x1 + stride, *x3 = x2 + stride;
    for (int l = 0; l < TILE_ROWS; l++) m[l] = max_(x3[l], max_(x2[l], max_(x1[l], max_(x0[l], m[l]))));
  }
  for (; c < n; c++)
    for (int l = 0; l < TILE_ROWS; l++) m[l] = max_(x[c * stride + l], m[l]);
  memcpy(t->max, m, sizeof m);
}

/* All bits where the condition holds, else none: of a ternary, compilers make branches here. */
INLINE ureal all_bits(int condition) { return (ureal)0 - (ureal)condition; }

/* The same of a piece with all classes of its rows, and *at, those of class[l] (one of them). */
static UNUSED void tile_max_and(softmax_tile *t, fl_size n, const real *x, const ireal *class, real *at) {
  real m[TILE_ROWS];
  ureal a[TILE_ROWS] = {0};
  fl_size c = 0;
  memcpy(m, t->max, sizeof m);
  for (; c + 4 <= n; c += 4) {
    const real *x0 = x + c * TILE_ROWS, *x1 = x0 + TILE_ROWS, *x2 = x1 + TILE_ROWS, *x3 = x2 + TILE_ROWS;
    VECTOR_LOOP
    for (int l = 0; l < TILE_ROWS; l++) {
      const ireal k = class[l] - (ireal)c;
      a[l] |= (all_bits(k == 0) & bits_of(x0[l])) | (all_bits(k == 1) & bits_of(x1[l])) |
              (all_bits(k == 2) & bits_of(x2[l])) | (all_bits(k == 3) & bits_of(x3[l]));
      m[l] = max_(x3[l], max_(x2[l], max_(x1[l], max_(x0[l], m[l]))));
    }
  }
  for (; c < n; c++) {
    VECTOR_LOOP
    for (int l = 0; l < TILE_ROWS; l++) {
      a[l] |= all_bits(class[l] == (ireal)c) & bits_of(x[c * TILE_ROWS + l]);
      m[l] = max_(x[c * TILE_ROWS + l], m[l]);
    }
  }
  memcpy(t->max, m, sizeof m);
  memcpy(at, a, sizeof a);
}

static UNUSED void tile_shift(softmax_tile *t) {
  VECTOR_LOOP
  for (int l = 0; l < TILE_ROWS; l++) {
    row_shift s = shift_of(t->max[l], R(0.0));
    t->base[l] = s.base;
    t->magic[l] = s.magic;
    t->lowest[l] = s.lowest;
  }
  memset(t->hi, 0, sizeof t->hi);
  memset(t->lo, 0, sizeof t->lo);
}

INLINE row_shift tile_row_shift(const softmax_tile *t, int l) {
  row_shift s = {t->base[l], t->magic[l], t->lowest[l]};
  return s;
}

/* The lines where TILE_ROWS reals end, soon to be read or (write, a constant) written. Classes that lie apart are a stream
 * each, more than a processor follows by itself: without this and with a copy to the piece and from it, (32, 81, 8732) took
 * 1.35 times as long. */
INLINE void prefetch_tile(int write, const real *data) {
  fetch_lines(write, 1, (uintptr_t)data + 63, TILE_ROWS * sizeof(real));
}

/* Exponentials, of the piece itself or of classes `stride` apart; out: where their multiples will go, or NULL. */
static UNUSED void tile_exp(const softmax_tile *t, fl_size n, const real *x, fl_size stride, real *piece, const real *out,
                            fl_size out_stride) {
  for (fl_size c = 0; c < n; c++) {
    const real *from = x + c * stride;
    real *e = piece + c * TILE_ROWS;
    if (stride != TILE_ROWS) prefetch_tile(0, from + TILE_ROWS);
    else if (c % 4 == 0) tile_fetch(t, c);
    if (out) prefetch_tile(1, out + c * out_stride);
    VECTOR_LOOP
    for (int l = 0; l < TILE_ROWS; l++) e[l] = exp_shifted(from[l], tile_row_shift(t, l));
  }
}

/* hi, lo of lane l += four exponentials: as in core/reduce.h, without its lanes. */
INLINE void tile_add_four(softmax_tile *t, int l, real a, real b, real c, real d) {
#if FASTLOSS_REAL_BITS == 32
  t->hi[l] = (((t->hi[l] + (double)a) + (double)b) + (double)c) + (double)d;
#else
  pair_add(&t->hi[l], &t->lo[l], (a + b) + (c + d), 0.0);
#endif
}

INLINE void tile_add(softmax_tile *t, int l, real a) {
#if FASTLOSS_REAL_BITS == 32
  t->hi[l] += (double)a;
#else
  pair_add(&t->hi[l], &t->lo[l], a, 0.0);
#endif
}

/* tile->hi, lo += the piece's sums. */
static UNUSED void tile_sum(softmax_tile *t, fl_size n, const real *piece) {
  fl_size c = 0;
  for (; c + 4 <= n; c += 4) {
    const real *e = piece + c * TILE_ROWS;
    VECTOR_LOOP_WIDE
    for (int l = 0; l < TILE_ROWS; l++)
      tile_add_four(t, l, e[l], e[l + TILE_ROWS], e[l + 2 * TILE_ROWS], e[l + 3 * TILE_ROWS]);
  }
  for (; c < n; c++) {
    const real *e = piece + c * TILE_ROWS;
    VECTOR_LOOP_WIDE
    for (int l = 0; l < TILE_ROWS; l++) tile_add(t, l, e[l]);
  }
}

/* An exponential of class c, or 0 where that is the one that is left out; out NULL: none is. */
INLINE real exp_but(real x, row_shift s, const ireal *out, fl_size c) {
  real e = exp_shifted(x, s);
  return out ? real_of(bits_of(e) & ~all_bits(*out == (ireal)c)) : e;
}

/* Exponentials of the piece in place, and their sums, class out[l] of a row being 0 (out, known when compiling, may be NULL);
 * added where they arise if there are registers enough. */
INLINE void tile_exp_sum_but(softmax_tile *t, fl_size n, real *piece, const ireal *out) {
  fl_size c = 0;
#if MANY_REGISTERS
  for (; c + 4 <= n; c += 4) {
    real *e = piece + c * TILE_ROWS;
    tile_fetch(t, c);
    VECTOR_LOOP_WIDE
    for (int l = 0; l < TILE_ROWS; l++) {
      const row_shift s = tile_row_shift(t, l);
      const ireal *o = out ? out + l : NULL;
      real a = exp_but(e[l], s, o, c), b = exp_but(e[l + TILE_ROWS], s, o, c + 1);
      real y = exp_but(e[l + 2 * TILE_ROWS], s, o, c + 2), z = exp_but(e[l + 3 * TILE_ROWS], s, o, c + 3);
      e[l] = a;
      e[l + TILE_ROWS] = b;
      e[l + 2 * TILE_ROWS] = y;
      e[l + 3 * TILE_ROWS] = z;
      tile_add_four(t, l, a, b, y, z);
    }
  }
  if (c < n) tile_fetch(t, c);
  for (; c < n; c++) {
    real *e = piece + c * TILE_ROWS;
    VECTOR_LOOP_WIDE
    for (int l = 0; l < TILE_ROWS; l++) {
      e[l] = exp_but(e[l], tile_row_shift(t, l), out ? out + l : NULL, c);
      tile_add(t, l, e[l]);
    }
  }
#else
  for (; c < n; c++) {
    real *e = piece + c * TILE_ROWS;
    if (c % 4 == 0) tile_fetch(t, c);
    VECTOR_LOOP
    for (int l = 0; l < TILE_ROWS; l++) e[l] = exp_but(e[l], tile_row_shift(t, l), out ? out + l : NULL, c);
  }
  tile_sum(t, n, piece);
#endif
}

static UNUSED void tile_exp_sum(softmax_tile *t, fl_size n, real *piece) { tile_exp_sum_but(t, n, piece, NULL); }

/* at[l] = start + the first class of the piece where it equals wanted[l]; unchanged where none does. */
static UNUSED void tile_find(fl_size start, fl_size n, const real *piece, const real *wanted, fl_size *at) {
  real first[TILE_ROWS];
  for (int l = 0; l < TILE_ROWS; l++) first[l] = R(-1.0);
  for (fl_size c = n - 1; c >= 0; c--)
    for (int l = 0; l < TILE_ROWS; l++) first[l] = piece[c * TILE_ROWS + l] == wanted[l] ? (real)c : first[l];
  for (int l = 0; l < TILE_ROWS; l++)
    if (first[l] >= R(0.0)) at[l] = start + (fl_size)first[l];
}

#endif
