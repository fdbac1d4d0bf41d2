/* Clipping of per-sample gradients so that the bound holds exactly, not up to rounding: for every row g, the exact norm
 * of the products that enter the sum is <= bound. Not here: which rows and columns a thread takes (_clip.pxi).
 *
 * A row goes through clip_sums (its norm, one partial sum per column block), clip_factors (its factor) and clip_add.
 * With u = 2^-53, W the widest block, D the number of columns:
 *
 * 1. Norm n. Terms are added plainly in LANES double lanes, blocks with 2Sum; float squares are exact in double, double
 *    squares round once. A sum of squares has a relative error <= (W/LANES + 7) u, its root half of that and u more; a
 *    sum of absolute values <= (W/LANES + 5) u. slack = (W/LANES + 12) u is at least 5 u more than either.
 * 2. A row is kept as it is (factor exactly 1) where n (1 + slack) <= bound, which covers every row whose exact norm is
 *    <= bound (1 - 2^-40), as W <= 4096. It is clipped where n (1 - slack) > bound. Rows between, such as [3, 4] with
 *    bound 5, are added up again in double-double (fits()).
 * 3. Factor. f = (bound - E) / (n (1 + slack)), E = sqrt(D) 2^-1074 (L1: D 2^-1074). A product is
 *    fl(f g) <= f |g| (1 + u) + 2^-1075, so the norm of the products is <= f |g| (1 + u) + E <= bound: the denominator
 *    exceeds the exact norm by the 5 u that it, the quotient and the product may lose; E pays for subnormal products,
 *    and a subnormal f is lowered by two of its steps.
 * 4. Products and sums are double; the last conversion to float rounds towards zero (clip_finish), so for one row the
 *    bound survives it too.
 *
 * Squares beyond [1e-250, 1e300] (double only) have overflowed or lost digits: clip_factor scales such a row by a power
 * of two.
 */
#ifndef FASTLOSS_CLIP_H
#define FASTLOSS_CLIP_H

#include "../core/blocks.h"
#include "../core/fetch.h"
#include "../core/real.h"
#include "../core/reduce.h"
#include "../core/wide.h"
#include "privacy_kernels.h"

#define LEAST_DOUBLE 0x1p-1074

/* Where time hardly counts, rows are taken in parts: whole where they lie, or so many columns (a multiple of LANES)
 * converted from a half type. */
#define CLIP_PART 512
INLINE ptrdiff_t part_of(const fl_clip_block *block) { return block->half ? CLIP_PART : block->columns; }
INLINE ptrdiff_t left_of(const fl_clip_block *block, ptrdiff_t first) {
  return block->columns - first < part_of(block) ? block->columns - first : part_of(block);
}
INLINE const real *row_part(const fl_clip_block *block, ptrdiff_t row, ptrdiff_t first, real *converted) {
  const char *at = block->data + row * block->stride;
  if (!block->half) return (const real *)at;
  load_block(block->half, left_of(block, first), at + 2 * first, 2, converted);
  return converted;
}

/* ---- Sums over one row of one block ---- */

INLINE double term_added(int squares, double v, double sum) { return squares ? fma_double(v, v, sum) : sum + fabs(v); }

INLINE wide terms_added(int squares, wide v, wide sum) {
  return squares ? wide_fma(v, v, sum) : wide_add(sum, wide_abs(v));
}

/* The lanes stay in registers, also where they are folded: 16-8-4-2-1, as everywhere. Halves, which are worked on faster than
 * memory brings them, are fetched ahead: 0.87 of the time of 256 x 100000 clipped; floats would gain nothing. */
INLINE double clip_row_sum(int squares, int half, ptrdiff_t n, const char *x) {
  enum { VECTORS = LANES / WIDE };
  const ptrdiff_t size = size_as(half);
  wide sums[VECTORS];
  ptrdiff_t j = 0;
  for (int k = 0; k < VECTORS; k++) sums[k] = wide_all(0.0);
  for (; j + LANES <= n; j += LANES) {
    if (half) fetch_ahead_of(0, x + j * size, (size_t)(LANES * size));
    for (int k = 0; k < VECTORS; k++)
      sums[k] = terms_added(squares, widen_as(half, x + (j + k * WIDE) * size), sums[k]);
  }
  for (int k = 0; k < VECTORS; k++, j += WIDE) {
    if (j + WIDE <= n) sums[k] = terms_added(squares, widen_as(half, x + j * size), sums[k]);
    else if (j < n) sums[k] = terms_added(squares, widen_first_as(half, n - j, x + j * size), sums[k]);
  }
  for (int fold = VECTORS / 2; fold > 0; fold /= 2)
    for (int k = 0; k < fold; k++) sums[k] = wide_add(sums[k], sums[k + fold]);
  return wide_total(sums[0]);
}

#define CLIP_SUMS(squares, half) \
  for (ptrdiff_t r = 0; r < rows; r++) slots[r] = clip_row_sum(squares, half, block->columns, row + r * block->stride)

static void clip_sums(const fl_clip_block *block, int norm, ptrdiff_t first, ptrdiff_t rows, double *slots) {
  const char *row = block->data + first * block->stride;
  if (norm == FL_NORM_L2 && block->half == FL_F16) CLIP_SUMS(1, FL_F16);
  else if (norm == FL_NORM_L2 && block->half) CLIP_SUMS(1, FL_BF16);
  else if (norm == FL_NORM_L2) CLIP_SUMS(1, 0);
  else if (block->half == FL_F16) CLIP_SUMS(0, FL_F16);
  else if (block->half) CLIP_SUMS(0, FL_BF16);
  else CLIP_SUMS(0, 0);
}
#undef CLIP_SUMS

/* ---- From norm to factor ---- */

/* bound - E of point 3. */
INLINE double reduced_bound(const fl_clip_rule *rule) {
  double steps = rule->norm == FL_NORM_L2 ? ceil(sqrt(rule->columns)) : rule->columns;
  return rule->bound - steps * LEAST_DOUBLE;
}

/* numerator / denominator, not above the exact quotient by more than the slack in the denominator; finite. */
INLINE double factor_down(double numerator, double denominator) {
  double f = numerator / denominator;
  f = f < 0x1p-1000 ? f - 2.0 * LEAST_DOUBLE : f;
  f = f > DBL_MAX ? DBL_MAX : f;
  return f > 0.0 ? f : 0.0;
}

static ptrdiff_t clip_factors(const fl_clip_rule *rule, ptrdiff_t blocks, ptrdiff_t stride, const double *slots,
                              ptrdiff_t rows, double *norms, double *factors, unsigned char *states) {
  const double reduced = reduced_bound(rule), bound = rule->bound, slack = rule->slack;
  const double gamma = rule->automatic ? rule->gamma : 0.0;
  const int root = rule->norm == FL_NORM_L2, automatic = rule->automatic;
  const int zero_is_exact = !root || FASTLOSS_REAL_BITS == 32; /* squares of doubles may have underflowed */
  ptrdiff_t open = 0;
  for (ptrdiff_t first = 0; first < rows; first += LANES) {
    double hi[LANES] = {0.0}, lo[LANES] = {0.0}, norm[LANES], factor[LANES], state[LANES];
    for (ptrdiff_t b = 0; b < blocks; b++)
      for (int l = 0; l < LANES; l++) pair_add(&hi[l], &lo[l], slots[b * stride + first + l], 0.0);
    for (int l = 0; l < LANES; l++) {
      double s = hi[l] + lo[l], n = root ? __builtin_sqrt(s) : s, error = n * slack;
      double f = factor_down(reduced, (n + error) + gamma);
      double flat = n + error <= bound ? FL_ROW_KEPT : n - error > bound ? FL_ROW_CLIPPED : FL_ROW_OPEN;
      double decided = automatic ? (n > bound ? FL_ROW_CLIPPED : FL_ROW_KEPT) : flat;
      int usable = ((s >= 1e-250) & (s <= 1e300)) | ((s == 0.0) & zero_is_exact);
      norm[l] = n;
      factor[l] = (automatic | (decided == FL_ROW_CLIPPED)) ? f : 1.0;
      state[l] = usable ? decided : FL_ROW_OPEN;
    }
    for (ptrdiff_t l = 0; l < LANES && first + l < rows; l++) {
      norms[first + l] = norm[l];
      factors[first + l] = factor[l];
      states[first + l] = (unsigned char)state[l];
      open += state[l] == FL_ROW_OPEN;
    }
  }
  return open;
}

/* ---- The second look at a row ---- */

/* The largest |x| of a row; NaN where it holds one. Compared as integers, where NaN > inf > every number. */
static double row_largest(const fl_clip_block *blocks, ptrdiff_t count, ptrdiff_t row) {
  real converted[CLIP_PART];
  ireal largest = 0;
  for (ptrdiff_t b = 0; b < count; b++)
    for (ptrdiff_t first = 0; first < blocks[b].columns; first += part_of(&blocks[b])) {
      const real *x = row_part(&blocks[b], row, first, converted);
      for (ptrdiff_t j = 0; j < left_of(&blocks[b], first); j++) {
        ireal bits = (ireal)bits_of(abs_(x[j]));
        largest = bits > largest ? bits : largest;
      }
    }
  return (double)real_of((ureal)largest);
}

/* 2^-exponent as a product of two doubles, since 2^1074 is none. */
typedef struct { double a, b; } power;
INLINE power power_down(int exponent) {
  power p = {ldexp(1.0, -exponent / 2), ldexp(1.0, -exponent - -exponent / 2)};
  return p;
}

/* The norm of the row times 2^-exponent; lanes and blocks as in clip_sums and clip_factors, so the same digits. */
static double scaled_norm(const fl_clip_rule *rule, const fl_clip_block *blocks, ptrdiff_t count, ptrdiff_t row,
                          int exponent) {
  const power p = power_down(exponent);
  real converted[CLIP_PART];
  double hi = 0.0, lo = 0.0;
  for (ptrdiff_t b = 0; b < count; b++) {
    double acc[LANES] = {0.0};
    for (ptrdiff_t first = 0; first < blocks[b].columns; first += part_of(&blocks[b])) {
      const real *x = row_part(&blocks[b], row, first, converted);
      for (ptrdiff_t j = 0; j < left_of(&blocks[b], first); j++) {
        double v = (double)x[j] * p.a * p.b;
        acc[j % LANES] = term_added(rule->norm == FL_NORM_L2, v, acc[j % LANES]);
      }
    }
    pair_add(&hi, &lo, fold_lanes(acc), 0.0);
  }
  return rule->norm == FL_NORM_L2 ? sqrt(hi + lo) : hi + lo;
}

/* a b = product + error exactly (Dekker, who needs no FMA, so that baseline decides alike; no overflow here). */
INLINE double dekker_error(double a, double b, double product) {
  double t = 0x1.0000002p27 * a, ah = t - (t - a), al = a - ah;
  double s = 0x1.0000002p27 * b, bh = s - (s - b), bl = b - bh;
  return ((ah * bh - product) + ah * bl + al * bh) + al * bl;
}

/* (hi, lo) += v, and whatever was rounded off into lost. */
INLINE void exact_add(double *hi, double *lo, double *lost, double v, double error) {
  double a = *hi, s = a + v, t = s - a, e = (a - (s - t)) + (v - t);
  *hi = s;
  *lo += e + error;
  *lost += fabs(e) + fabs(error);
}

/* Whether the exact norm is <= bound. The row and the bound are scaled so that the bound lies in [1, 2); the sum is
 * hi + lo with an error below (D + 64)^2 2^-104 of itself, and exactly hi where nothing was lost. Elements below
 * 2^-400 have squares without error terms: they count as lost. 0 where still undecided: clipping is always safe. */
static int fits(const fl_clip_rule *rule, const fl_clip_block *blocks, ptrdiff_t count, ptrdiff_t row) {
  const int squared = rule->norm == FL_NORM_L2, exponent = ilogb(rule->bound);
  const power p = power_down(exponent);
  const double c = rule->bound * p.a * p.b;
  const double limit = squared ? c * c : c, limit_low = squared ? dekker_error(c, c, limit) : 0.0;
  const double tolerance = (rule->columns + 64.0) * (rule->columns + 64.0) * 0x1p-104;
  double sum = 0.0, sum_low = 0.0, inexact = 0.0;
  real converted[CLIP_PART];
  const real *x = converted;
  for (ptrdiff_t b = 0; b < count; b++) {
    const ptrdiff_t part = part_of(&blocks[b]);
    double hi[LANES] = {0.0}, lo[LANES] = {0.0}, lost[LANES] = {0.0};
    for (ptrdiff_t j = 0; j < blocks[b].columns; j += LANES) {
      real v[LANES] = {0};
      ptrdiff_t n = blocks[b].columns - j < LANES ? blocks[b].columns - j : LANES;
      if (j % part == 0) x = row_part(&blocks[b], row, j, converted);
      memcpy(v, x + j % part, (size_t)n * sizeof(real));
      VECTOR_LOOP
      for (int l = 0; l < LANES; l++) {
        double w = fabs((double)v[l]) * p.a * p.b, term = squared ? w * w : w;
        exact_add(&hi[l], &lo[l], &lost[l], term, squared ? dekker_error(w, w, term) : 0.0);
        lost[l] += ((v[l] != 0) & (w < 0x1p-400)) ? 1.0 : 0.0;
      }
    }
    for (int l = 0; l < LANES; l++) {
      exact_add(&sum, &sum_low, &inexact, hi[l], lo[l]);
      inexact += lost[l];
    }
  }
  if (inexact == 0.0) return sum < limit || (sum == limit && limit_low >= 0.0);
  return (sum - limit) + (sum_low - limit_low) <= -tolerance * limit;
}

static void clip_factor(const fl_clip_rule *rule, const fl_clip_block *blocks, ptrdiff_t count, ptrdiff_t row,
                        double *norm, double *factor, unsigned char *state) {
  double n = *norm, lower, upper, bound = rule->bound, reduced = reduced_bound(rule), gamma = rule->gamma;
  if (!(n >= 1e-125 && n <= 1e150)) {
    double largest = row_largest(blocks, count, row);
    int exponent;
    if (!(largest <= DBL_MAX)) {
      *norm = largest;
      *factor = 0.0;
      *state = FL_ROW_NONFINITE;
      return;
    }
    exponent = largest > 0.0 ? ilogb(largest) : 0;
    n = scaled_norm(rule, blocks, count, row, exponent);
    *norm = ldexp(n, exponent);
    /* Compare below at the row's own scale, since *norm may be inf; a small norm plus gamma can't overflow. */
    if (rule->automatic && exponent < 0) {
      n = *norm;
    } else {
      power p = power_down(exponent);
      bound = bound * p.a * p.b;
      reduced = reduced * p.a * p.b;
      gamma = gamma * p.a * p.b;
    }
  }
  upper = n + rule->slack * n;
  lower = n - rule->slack * n;
  if (rule->automatic) {
    *factor = factor_down(reduced, upper + gamma);
    *state = n > bound ? FL_ROW_CLIPPED : FL_ROW_KEPT;
  } else if (upper <= bound || (lower <= bound && fits(rule, blocks, count, row))) {
    *factor = 1.0;
    *state = FL_ROW_KEPT;
  } else {
    *factor = factor_down(reduced, upper);
    *state = FL_ROW_CLIPPED;
  }
}

/* ---- The sum ---- */

/* Rows of a type, as size_as() has it, and their factors. */
typedef struct { const char *row[8]; double factors[8]; } clip_rows;

/* sums[j] += the factors times `rows` rows, in order, for `vectors` times WIDE columns; all but j are constants. */
INLINE void clip_add_columns(int half, int rows, int vectors, const clip_rows *from, const wide *f, ptrdiff_t j,
                             double *sums) {
  wide s[4];
  for (int i = 0; i < vectors; i++) s[i] = wide_load(sums + j + i * WIDE);
  for (int k = 0; k < rows; k++)
    for (int i = 0; i < vectors; i++)
      s[i] = wide_fma(f[k], widen_as(half, from->row[k] + (j + i * WIDE) * size_as(half)), s[i]);
  for (int i = 0; i < vectors; i++) wide_store(sums + j + i * WIDE, s[i]);
}

/* The same for n < WIDE columns. */
INLINE void clip_add_first(int half, int rows, ptrdiff_t n, const clip_rows *from, ptrdiff_t j, double *sums) {
  wide s = wide_load_first(n, sums + j);
  for (int k = 0; k < rows; k++)
    s = wide_fma(wide_all(from->factors[k]), widen_first_as(half, n, from->row[k] + j * size_as(half)), s);
  wide_store_first(n, sums + j, s);
}

ONCE void clip_add_few(int half, int rows, ptrdiff_t n, const clip_rows *from, ptrdiff_t j, double *sums) {
  if (half == FL_F16) clip_add_first(FL_F16, rows, n, from, j, sums);
  else if (half == FL_BF16) clip_add_first(FL_BF16, rows, n, from, j, sums);
  else clip_add_first(0, rows, n, from, j, sums);
}

/* The first columns go alone, so that the others are read where vectors of memory begin: arrays of NumPy begin 16 bytes
 * after such a place, and vectors of AVX-512 across two lines of a cache took 1.2 times as long. */
INLINE void clip_add_rows(int half, int rows, ptrdiff_t n, const clip_rows *from, double *sums) {
  enum { VECTORS = MANY_REGISTERS ? 4 : 2 };
  const uintptr_t place = (uintptr_t)from->row[0] / (uintptr_t)size_as(half);
  ptrdiff_t j = n < 8 * WIDE ? 0 : (ptrdiff_t)((0 - place) % WIDE);
  wide f[8];
  for (int k = 0; k < rows; k++) f[k] = wide_all(from->factors[k]);
  if (j > 0) clip_add_few(half, rows, j, from, 0, sums);
  for (; j + VECTORS * WIDE <= n; j += VECTORS * WIDE) clip_add_columns(half, rows, VECTORS, from, f, j, sums);
  ROLLED_LOOP
  for (; j + WIDE <= n; j += WIDE) clip_add_columns(half, rows, 1, from, f, j, sums);
  if (j < n) clip_add_few(half, rows, n - j, from, j, sums);
}

INLINE void clip_add_as(int half, int rows, ptrdiff_t n, const clip_rows *from, double *sums) {
  switch (rows) {
    case 8: clip_add_rows(half, 8, n, from, sums); break;
    case 4:
      if (!half) clip_add_rows(0, 4, n, from, sums);
      break;
    case 2: clip_add_rows(half, 2, n, from, sums); break;
    default: clip_add_rows(half, 1, n, from, sums);
  }
}

/* Eight rows at a time while so many are left: each is a sequential stream, and the sums, at most 32 KB, pass through
 * the first-level cache once per eight. */
static void clip_add(const fl_clip_block *block, ptrdiff_t count, const ptrdiff_t *rows, const double *factors,
                     double *sums) {
  while (count > 0) {
    const int step = count >= 8 ? 8 : count >= 4 && !block->half ? 4 : count >= 2 ? 2 : 1;
    clip_rows from;
    for (int k = 0; k < step; k++) {
      from.row[k] = block->data + rows[k] * block->stride;
      from.factors[k] = factors[k];
    }
    if (block->half == FL_F16) clip_add_as(FL_F16, step, block->columns, &from, sums);
    else if (block->half == FL_BF16) clip_add_as(FL_BF16, step, block->columns, &from, sums);
    else clip_add_as(0, step, block->columns, &from, sums);
    rows += step, factors += step, count -= step;
  }
}

/* Towards zero: the nearest float, one step back where it lies beyond the double (FLT_MAX instead of infinity). */
static void clip_finish(ptrdiff_t n, const double *sums, double divisor, void *out) {
  real *y = out;
  VECTOR_LOOP
  for (ptrdiff_t j = 0; j < n; j++) {
    double x = sums[j] / divisor;
#if FASTLOSS_REAL_BITS == 32
    real nearest = (real)x, back = real_of(bits_of(nearest) - 1u);
    y[j] = fabs((double)nearest) > fabs(x) ? back : nearest;
#else
    y[j] = x;
#endif
  }
}

#endif
