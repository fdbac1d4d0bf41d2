/* What every softmax is made of: e^(x - max) without a rounding error in x - max, and the passes over a chunk of a row.
 * Not here: losses, targets, strides (all chunks are contiguous).
 *
 * The usual e^(x_j - m) rounds x_j - m, which costs up to 64 ULP at a gap of 100. Here the maximum is subtracted as an
 * integer in the exponent: with d_j = x_j - base = n_j ln 2 + r_j and N the n of the maximum,
 *   e_j = e^(r_j) 2^(n_j - N + EXP_BIAS),   e_j = 0 from where the exponent field of that power is 0: below m - EXP_SPAN.
 * A d_j below that is lifted to it, where the power is 0 by its bits: one maximum in the place of a comparison and selects
 * (0.93 of the time with 64 classes, vectors of rows; where vectors are classes, none).
 * base is 0, or m itself where |m| > 2 EXP_SPAN: then x_j - m is exact for every x_j within EXP_SPAN of m (Sterbenz);
 * and |d_j| stays below 3 EXP_SPAN, so n_j LN2_HI is exact too. EXP_BIAS keeps all e_j normal numbers, far below the
 * smallest that a gradient needs (but for those with the lowest power and r_j < 0); quotients do not see it.
 *
 * Sums: a row is cut into chunks of ROW_CHUNK, each gives a (hi, lo) pair, pairs are added in order. Each pass is
 * independent chunk by chunk, so the chunks of one huge row can be shared out without changing a bit.
 */
#ifndef FASTLOSS_SOFTMAX_H
#define FASTLOSS_SOFTMAX_H

#include "../core/fetch.h"
#include "../core/math.h"
#include "../core/reduce.h"
#include "xent_options.h"

#define ROW_CHUNK FL_ROW_CHUNK

#if FASTLOSS_REAL_BITS == 32
#define EXP_BIAS 40
#define EXP_SPAN R(116.0) /* the field is 0 below 166.5 ln 2 = 115.41, and N rounds m log2 e */
#define EXP_BASE R(232.0)
#else
#define EXP_BIAS 100
#define EXP_SPAN R(780.0) /* 1122.5 ln 2 = 778.06 */
#define EXP_BASE R(1560.0)
#endif

/* How one row is shifted. magic = ROUND_MAGIC plus the exponent field of 2^(EXP_BIAS - N): adding it rounds to an
 * integer and subtracts the maximum at once; at d = lowest, to the exponent field 0. */
typedef struct { real base, magic, lowest, base_low; } row_shift;

/* The maximum m + m_low, finite. */
INLINE row_shift shift_of(real m, real m_low) {
  row_shift s;
  int far = abs_(m) > EXP_BASE;
  s.base = far ? m : R(0.0);
  s.base_low = far ? m_low : R(0.0);
  real d = m - s.base, n = fma_(d, LOG2_E, ROUND_MAGIC) - ROUND_MAGIC;
  n -= (real)(EXP_BIAS + (int)EXPONENT_BIAS);
  s.magic = ROUND_MAGIC - n;
  s.lowest = n * LN2_HI;
  return s;
}

/* e of x + low, |low| <= half an ULP of x; a NaN passes, and so does -inf (as 0, whatever low is: so a select here). */
INLINE real exp_shifted_low(real x, real low, row_shift s) {
  real d = x - s.base, t = fma_(d, LOG2_E, s.magic), n = t - s.magic;
  real r = fma_(-n, LN2_LO, fma_(-n, LN2_HI, d)) + (low - s.base_low);
  real e = exp_poly_(r) * real_of(bits_of(t) << REAL_MANTISSA);
  return d < s.lowest ? R(0.0) : e;
}

INLINE real exp_shifted(real x, row_shift s) {
  real d = max_(s.lowest, x - s.base), t = fma_(d, LOG2_E, s.magic), n = t - s.magic;
  real r = fma_(-n, LN2_LO, fma_(-n, LN2_HI, d));
  return exp_poly_(r) * real_of(bits_of(t) << REAL_MANTISSA);
}

/* log(1 + a / e) for a >= 0, e > 0 in double, also in a float kernel, where the exponentials that a and e come from carry
 * errors of 1e-7 and 1e-10 is enough: with k near log2(1 + a / e) and v = 2^k e, the logarithm is k ln 2 + 2 atanh(s),
 * s = ((a + e) - v) / ((a + e) + v). k comes from the difference of two bit patterns, which is a logarithm to 0.09, so that
 * |s| < 0.2. One division in all: the logarithm's argument is never formed. */
#if FASTLOSS_REAL_BITS == 32
INLINE double ratio_split(double a, double e, double *numerator, double *denominator) {
  double total = e + a, scaled, k;
  uint64_t bits, base;
  memcpy(&bits, &total, sizeof bits);
  memcpy(&base, &e, sizeof base);
  bits = (bits - base + ((uint64_t)1 << 51)) >> 52;
  base += bits << 52;
  memcpy(&scaled, &base, sizeof scaled);
  bits |= 0x4330000000000000u;
  memcpy(&k, &bits, sizeof k);
  *numerator = a + (e - scaled);
  *denominator = total + scaled;
  return k - 0x1p52;
}

/* The polynomial's error: 2.4e-11 of atanh (csrc/tools/coefficients.sollya). */
INLINE double ratio_log(double k, double s) {
  double g = s * s, p = 0x1.ee04dccbe18c6p-3;
  p = p * g + 0x1.23e597659d621p-2;
  p = p * g + 0x1.999bf036bae39p-2;
  p = p * g + 0x1.5555541400be8p-1;
  return k * 0x1.62e42fefa39efp-1 + (s * g * p + 2.0 * s);
}
#endif

INLINE double log1p_quotient(double a, double e) {
#if FASTLOSS_REAL_BITS == 64
  return log1p_(a / e);
#else
  double top, bottom, k = ratio_split(a, e, &top, &bottom);
  return ratio_log(k, top / bottom);
#endif
}

/* The sum of a row's exponentials as a divisor. Double: the quotient is corrected by its residual, so that neither the
 * sum nor its reciprocal is rounded; a float kernel divides doubles anyway. */
typedef struct { double hi, lo, inverse; } softmax_sum;

INLINE softmax_sum sum_with(double hi, double lo, double e) {
  softmax_sum s = {hi, lo, 0.0};
  pair_add(&s.hi, &s.lo, e, 0.0);
  s.inverse = 1.0 / s.hi;
  return s;
}

/* The same, and *log = log(1 + a / e_max): a float kernel needs but one division for both. */
INLINE softmax_sum sum_and_log(double hi, double lo, double e, double a, double e_max, double *log) {
#if FASTLOSS_REAL_BITS == 64
  *log = log1p_(a / e_max);
  return sum_with(hi, lo, e);
#else
  double top, bottom, k = ratio_split(a, e_max, &top, &bottom);
  softmax_sum s = {hi + e, lo, 0.0};
  double both = 1.0 / (s.hi * bottom);
  s.inverse = bottom * both;
  *log = ratio_log(k, top * (s.hi * both));
  return s;
#endif
}

INLINE double quotient(double n, softmax_sum s) {
  double q = n * s.inverse;
#if FASTLOSS_REAL_BITS == 64
  double rest = (fma_(-q, s.hi, n) - q * s.lo) * s.inverse;
  q += rest == rest ? rest : 0.0; /* NaN beside an infinite q */
#endif
  return q;
}

INLINE void max_step(int width, real *acc) {
  for (int l = 0; l < width; l++) acc[l] = max_(acc[l + width], acc[l]);
}

/* The largest element; NaNs are passed over, so the sum of exponentials has to carry them. */
static UNUSED real max_chunk(fl_size n, const real *x) {
  real acc[LANES];
  for (int l = 0; l < LANES; l++) acc[l] = -REAL_INF;
  fl_size i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) acc[l] = max_(x[i + l], acc[l]);
  for (int l = 0; l < LANES && i + l < n; l++) acc[l] = max_(x[i + l], acc[l]);
  max_step(16, acc);
  max_step(8, acc);
  max_step(4, acc);
  max_step(2, acc);
  max_step(1, acc);
  return acc[0];
}

/* The first index where x equals m, or n. */
static UNUSED fl_size find_chunk(fl_size n, const real *x, real m) {
  fl_size i = 0;
  for (; i + LANES <= n; i += LANES) {
    ireal found = 0;
    for (int l = 0; l < LANES; l++) found |= x[i + l] == m;
    if (found) break;
  }
  while (i < n && x[i] != m) i++;
  return i;
}

/* e may be x. */
static UNUSED void exp_chunk(fl_size n, const real *x, row_shift s, real *e) {
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) e[i] = exp_shifted(x[i], s);
}

/* How far ahead of a pass memory is fetched, in elements; 0: not at all. halves: of elements that were converted from halves,
 * the address of those to be fetched less half the address of the elements. */
typedef struct {
  fl_size read, write;
  uintptr_t halves;
} fetch_ahead;
static UNUSED const fetch_ahead no_fetch = {0, 0, 0};

/* The lines of a group, into the second-level cache; write: a constant. */
INLINE void prefetch_group(int write, const real *x) { fetch_lines(write, 2, (uintptr_t)x, VALUE_GROUP * sizeof(real)); }

/* Groups of four rows of lanes: exponentials, and their sum where they arise (1.2 times as fast as afterwards, with
 * registers enough). Memory is idle meanwhile. */
static UNUSED void exp_sum_groups(fl_size groups, const real *x, fetch_ahead ahead, row_shift s, real *e, value_sums *sums) {
  for (; groups > 0; groups--, x += VALUE_GROUP, e += VALUE_GROUP) {
    if (ahead.read) prefetch_group(0, x + ahead.read);
    if (ahead.write) prefetch_group(1, e + ahead.write);
    if (ahead.halves) fetch_lines(0, 1, ((uintptr_t)x >> 1) + ahead.halves, 2 * VALUE_GROUP);
#if !MANY_REGISTERS
    exp_chunk(VALUE_GROUP, x, s, e);
#endif
    for (int r = 0; r < VALUE_GROUP; r += FOUR_LINES) {
#if MANY_REGISTERS
      const real *y = x + r;
#endif
      real *z = e + r;
      VECTOR_LOOP_WIDE
      ROLLED_LOOP
      for (int l = 0; l < LINE; l++) {
#if MANY_REGISTERS
        real a = exp_shifted(y[l], s), b = exp_shifted(y[l + LINE], s);
        real c = exp_shifted(y[l + 2 * LINE], s), d = exp_shifted(y[l + 3 * LINE], s);
        z[l] = a;
        z[l + LINE] = b;
        z[l + 2 * LINE] = c;
        z[l + 3 * LINE] = d;
        add_four(sums, r / 4 + l, a, b, c, d);
#else
        add_four(sums, r / 4 + l, z[l], z[l + LINE], z[l + 2 * LINE], z[l + 3 * LINE]);
#endif
      }
    }
  }
}

/* Exponentials of a chunk, 0 at index `without` (outside [0, n): nowhere), and their sum; e may be x. The group of
 * `without` is read from a copy. */
static UNUSED void exp_sum_chunk(fl_size n, const real *x, fetch_ahead ahead, fl_size without, row_shift s, real *e,
                                 double *hi, double *lo) {
  const fl_size groups = n / VALUE_GROUP, done = groups * VALUE_GROUP, inside = without >= 0 && without < n;
  value_sums sums = {{0.0}};
  real copy[VALUE_GROUP];
  if (inside && without < done) {
    const fl_size first = without / VALUE_GROUP, at = first * VALUE_GROUP, next = at + VALUE_GROUP;
    memcpy(copy, x + at, sizeof copy);
    copy[without - at] = -REAL_INF;
    exp_sum_groups(first, x, ahead, s, e, &sums);
    exp_sum_groups(1, copy, no_fetch, s, e + at, &sums);
    exp_sum_groups(groups - first - 1, x + next, ahead, s, e + next, &sums);
  } else {
    exp_sum_groups(groups, x, ahead, s, e, &sums);
  }
  exp_chunk(n - done, x + done, s, e + done);
  if (inside && without >= done) e[without] = R(0.0);
  end_values(&sums, n - done, e + done, hi, lo); /* no sum of them overflows; a NaN is meant to show */
}

static UNUSED void exp_low_chunk(fl_size n, const real *x, const real *low, row_shift s, real *e) {
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) e[i] = exp_shifted_low(x[i], low[i], s);
}

/* y may be e. A factor too small for a normal number is applied in two steps. */
static UNUSED void scale_chunk(fl_size n, const real *e, double factor, real *y) {
  real f = (real)factor, first = R(1.0);
  if (abs_(f) < REAL_MIN && factor != 0.0) { first = R(0x1p-60); f = (real)(factor * 0x1p60); }
  if (first != R(1.0)) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) y[i] = e[i] * first * f;
  } else {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) y[i] = e[i] * f;
  }
}

static UNUSED real row_max(fl_size n, const real *x) {
  real m = -REAL_INF;
  for (fl_size c = 0; c < n; c += ROW_CHUNK) m = max_(max_chunk(n - c < ROW_CHUNK ? n - c : ROW_CHUNK, x + c), m);
  return m;
}

static UNUSED fl_size row_find(fl_size n, const real *x, real m) { return find_chunk(n, x, m); }

/* What is left of a row whose maximum is infinite or that has no number: the index of its only +inf, or -1 where a
 * NaN, a second +inf or nothing but -inf leaves no limit. */
RARE fl_size single_infinity(fl_size n, const real *x, fl_size stride) {
  fl_size at = -1;
  for (fl_size c = 0; c < n; c++) {
    real v = x[c * stride];
    if (v != v || (v == REAL_INF && at >= 0)) return -1;
    if (v == REAL_INF) at = c;
  }
  return at;
}

#endif
