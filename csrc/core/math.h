/* The elementary functions of fastloss: exp, log and their relatives, for every finite, infinite and NaN input.
 *
 * Each is branch-free (ternaries only), so that a plain loop over it vectorises for every instruction set, and
 * uses nothing but + - * / fma_, integer operations and selects, so that the bits are equal on all targets with
 * FMA. Written once for `real`; constants and polynomials are in math_f32.h and math_f64.h.
 * Its folder must not be on an include path (-I): it would hide the system math.h, which real.h needs.
 * Not here: rounding modes, errno, exception flags, complex or vector types.
 *
 * Integers live in reals and in exponents only: AVX2 has neither a conversion between int64 and double nor a 64-bit
 * arithmetic shift, and one of them in a loop keeps it from vectorising.
 *
 * Largest error in ULP (measured by tests/ulp/ulp.c, more in tests/ulp/RESULTS.md) and its input, with FMA: float over
 * all inputs, double over 1.1e9 samples; without FMA at most 1.48 was seen. Then ns per element in cache, AVX2/AVX-512,
 * GCC 12 on Zen 4, as an indication.
 *                    float                    ns           double                          ns
 *   exp              0.912  -0x1.7639a4p+2  0.41/0.29    0.935  0x1.1e730aefe41ccp+9   1.2/0.8
 *   exp_nonpositive  0.912  -0x1.7639a4p+2  0.27/0.22    0.923  -0x1.e0aee19fd4983p+8  0.9/0.6
 *   expm1            0.798  0x1.92c908p-2   0.71/0.53    0.852  0x1.70e64147723p-2     1.8/1.2
 *   log              0.806  0x1.451f72p-1   0.59/0.37    0.862  0x1.660a58235e074p-1   1.4/0.9
 *   log1p            0.944  0x1.9c97bep-2   0.70/0.45    0.933  0x1.a7fee886d1035p-2   1.7/1.0
 *   log1p_unit       0.963  0x1.ffa8a8p-1   0.39/0.32    0.933  0x1.a7fee886d1035p-2   1.0/0.8
 *   tanh             0.726  0x1.000b0cp-4   1.07/0.75    0.743  -0x1.0003ef84697p-4    2.5/1.7
 *   sigmoid          0.818  -0x1.5bc36cp+6  0.89/0.60    0.756  -0x1.614e9d3cd638ap+9  2.3/1.5
 *   softplus         0.992  0x1.a7f7f4p-7   1.53/0.94    0.986  -0x1.c66ebf2da5acp-1   4.1/2.5
 *   log_sigmoid      0.992  -0x1.a7f7f4p-7  1.59/1.00    0.984  0x1.d18afc54b7fcp-1    4.3/2.7
 *   sin_quarter      0.956  0x1.54df74p-2   0.09/0.09    0.949  0x1.554cc38cb63bap-2   0.3/0.3
 *   cos_quarter      0.874  0x1.fb58e6p-2   0.09/0.09    0.889  -0x1.fe82cbae2cd1ap-2  0.3/0.3
 */
#ifndef FASTLOSS_MATH_H
#define FASTLOSS_MATH_H

#include "real.h"

#if FASTLOSS_REAL_BITS == 32
#include "math_f32.h"
#else
#include "math_f64.h"
#endif

#define EXPONENT_BIAS ((ureal)(FASTLOSS_REAL_BITS == 32 ? 127 : 1023))
#define MANTISSA_MASK (((ureal)1 << REAL_MANTISSA) - 1)

/* c * 2^n for a power of two c, from shifted = ROUND_MAGIC + n; the result must be a normal number.
 * The shift moves n into the exponent field and everything above it out of the word. */
INLINE real pow2_shifted_(real shifted, real c) { return real_of((bits_of(shifted) << REAL_MANTISSA) + bits_of(c)); }

/* y * 2^n for n in [-252, 254] (float) or [-2044, 2046] (double), given as shifted = ROUND_MAGIC + n:
 * in two steps, so that subnormal results are rounded once and overflow gives inf. */
INLINE real scale_shifted_(real y, real shifted) {
  ureal all = bits_of(shifted), half = all >> 1; /* low bits: n and floor(n / 2), as ROUND_MAGIC's are 0 */
  real a = real_of((half << REAL_MANTISSA) + bits_of(R(1.0)));
  real b = real_of(((all - half) << REAL_MANTISSA) + bits_of(R(1.0)));
  return y * a * b;
}

/* The reduction of every exponential: x = n ln 2 + r + *low, |r| <= 0.3475; returns ROUND_MAGIC + n.
 * x - n LN2_HI is exact, with FMA or without, for |n| <= 2^12 (float) or 2^24 (double): the product has at most 24 (53)
 * bits, and the difference is below 1/2 and a multiple of its last bit. What LN2_LO lacks costs |n| 2^-40 (2^-88). */
INLINE real exp_reduce_low_(real x, real *r, real *low) {
  real shifted = fma_(x, LOG2_E, ROUND_MAGIC), n = shifted - ROUND_MAGIC;
  real high = fma_(-n, LN2_HI, x);
  *r = fma_(-n, LN2_LO, high);
  *low = fma_(-n, LN2_LO, high - *r);
  return shifted;
}

/* The same for x + xl, |xl| <= 2^-10: r takes it up, as low is good for tiny parts only. */
INLINE real exp_reduce_pair_(real x, real xl, real *r, real *low) {
  real shifted = exp_reduce_low_(x, r, low), sum = *r + xl;
  *low += xl - (sum - *r);
  *r = sum;
  return shifted;
}

/* e^r for |r| <= 0.3475. */
INLINE real exp_poly_(real r) {
  real q = fma_(exp_tail_(r), r, R(0.5));
  return fma_(fma_(q, r, R(1.0)), r, R(1.0));
}

/* e^(r + low) = result + *rest: 1 + r is summed exactly, the small terms go below. Without the rest a quotient or
 * logarithm of the result would inherit its half ULP. */
INLINE real exp_poly_low_(real r, real low, real *rest) {
  real t = fma_(r * r, fma_(exp_tail_(r), r, R(0.5)), low);
  real h = R(1.0) + r;
  real l = (r - (h - R(1.0))) + t;
  real z = h + l;
  *rest = l - (z - h);
  return z;
}

/* e^x = 2^n e^r. The clamps keep n in the range of scale_shifted_; written so, they pass a NaN on. */
INLINE real exp_(real x) {
  real r, low, shifted = exp_reduce_low_(min_(EXP_HIGHEST, max_(EXP_LOWEST, x)), &r, &low);
  (void)low;
  return scale_shifted_(exp_poly_(r), shifted);
}

/* e^x for x <= 0: n is never large, so 2^(n + 64) 2^-64 replaces the two halves of exp_, and is
 * multiplied in early. Right up to x = 43 (float) or 660 (double), meaningless beyond; NaN stays NaN. */
INLINE real exp_nonpositive_(real x) {
  real r, low, shifted = exp_reduce_low_(max_(EXP_LOWEST, x), &r, &low);
  (void)low;
  real scale = pow2_shifted_(shifted, R(0x1p64));
  return fma_(fma_(fma_(exp_tail_(r), r, R(0.5)), r, R(1.0)), r * scale, scale) * R(0x1p-64);
}

/* The same as result + *rest, which together are good to about 1/6 ULP of the result, where that is normal; and the
 * result times 2^64, which is so down to EXP_LOWEST_64 and then 0. */
INLINE real exp_nonpositive_64_(real x, real *result_64, real *rest) {
  real r, low, shifted = exp_reduce_low_(max_(EXP_LOWEST_64, x), &r, &low);
  real t = fma_(r * r, fma_(exp_tail_(r), r, R(0.5)), low), e = r + t, e_low = t - (e - r);
  real scale_64 = pow2_shifted_(shifted, R(0x1p64)), scale = scale_64 * R(0x1p-64);
  real z = fma_(scale, e, scale);
  *rest = fma_(scale, e_low, fma_(scale, e, scale - z));
  *result_64 = x < EXP_LOWEST_64 ? R(0.0) : fma_(scale_64, e, scale_64);
  return z;
}

INLINE real exp_nonpositive_low_(real x, real *rest) {
  real result_64;
  return exp_nonpositive_64_(x, &result_64, rest);
}

/* (e^x - 1) / 2 = result + *rest, for x = n ln 2 + r + low in [EXPM1_LOWEST, EXP_HIGHEST]; the half keeps s finite. With
 * s = 2^(n-1) and e^r - 1 = t + tl, t = fl(r + r^2/2): s (1 + t + tl) - 1/2 = (s - 1/2) + s t + s tl. The first sum is
 * kept exactly, as h and its error: n = 0 or |s - 1/2| > |s t|. s - 1/2 is rounded for |n| > REAL_MANTISSA: tanh near 1
 * needs `lost`. */
INLINE real half_expm1_reduced_(real shifted, real r, real low, real *rest) {
  real s = pow2_shifted_(shifted, R(0.5));
  real rr = r * r, rrl = fma_(r, r, -rr); /* the square's own error; 0 without FMA */
  real small = fma_(R(0.5), rrl, fma_(r, low, low)); /* e^r low, to first order */
  real t = fma_(R(0.5), rr, r), tl = fma_(R(0.5), rr, r - t) + fma_(rr * r, exp_tail_(r), small);
  real lost, base = two_sum(s, R(-0.5), &lost);
  real h = fma_(s, t, base), l = fma_(s, t, base - h) + fma_(s, tl, lost);
  real z = h + l; /* l reaches 2^-8 of h: sum again */
  *rest = l - (z - h);
  return z;
}

INLINE real half_expm1_low_(real x, real *rest) {
  real r, low, shifted = exp_reduce_low_(x, &r, &low);
  return half_expm1_reduced_(shifted, r, low, rest);
}

/* e^x - 1. Below TINY the answer is x, which also keeps -0 and subnormals from being halved. */
INLINE real expm1_(real x) {
  real l, h = half_expm1_low_(min_(EXP_HIGHEST, max_(EXPM1_LOWEST, x)), &l);
  (void)l;
  return abs_(x) < TINY ? x : R(2.0) * h;
}

/* x = 2^k m with m in [0.7, 1.4), for positive normal x; returns k + EXPONENT_BIAS in the exponent field, bits below
 * cleared. With m in [2/3, 4/3) or around sqrt 2, float log1p passed 1 ULP. */
INLINE ureal log_split_(real x, real *m) {
  ureal u = bits_of(x) + (bits_of(R(1.0)) - bits_of(R(0.7)));
  *m = real_of((u & MANTISSA_MASK) + bits_of(R(0.7)));
  return u & ~MANTISSA_MASK;
}

/* k of the above as a real: an integer OR-ed into the low bits of 2^REAL_MANTISSA is added to it. */
INLINE real exponent_real_(ureal field) {
  return real_of((field >> REAL_MANTISSA) | bits_of(ABOVE_INTEGERS)) - (ABOVE_INTEGERS + (real)EXPONENT_BIAS);
}

/* t = m 2^j with m in [1, 2), returns j; 0, infinity and NaN stay m, with j = 0. The sign is dropped. */
INLINE real normalized_(real t, real *m) {
  real size = abs_(t), scaled = size < REAL_MIN ? size * ABOVE_INTEGERS : size;
  ureal bits = bits_of(scaled);
  real j = exponent_real_(bits & ~MANTISSA_MASK) - (size < REAL_MIN ? (real)REAL_MANTISSA : R(0.0));
  int ordinary = (size > R(0.0)) & (size <= REAL_MAX);
  *m = ordinary ? real_of((bits & MANTISSA_MASK) | bits_of(R(1.0))) : size;
  return ordinary ? j : R(0.0);
}

/* y 2^n for any whole n. */
INLINE real scale_(real y, real n) {
  const real most = R(3.9) * HALF_RANGE_BITS; /* a whole number or not: it is rounded below */
  return scale_shifted_(y, ROUND_MAGIC + min_(most, max_(-most, n)));
}

/* t e^x for t >= 0, also where e^x alone over- or underflows; an infinite x gives the limit for t > 0. */
INLINE real exp_times_(real x, real t) {
  const real bound = R(4.5) * HALF_RANGE_LOG;
  real r, low, m, shifted = exp_reduce_low_(min_(bound, max_(-bound, x)), &r, &low), j = normalized_(t, &m);
  (void)low;
  return scale_(exp_poly_(r) * m, (shifted - ROUND_MAGIC) + j);
}

/* log x = k ln 2 + log(1 + f). Subnormal x is scaled up first. */
INLINE real log_(real x) {
  int subnormal = x < REAL_MIN;
  real m, scaled = subnormal ? x * ABOVE_INTEGERS : x;
  ureal field = log_split_(scaled, &m);
  real k = exponent_real_(field) - (subnormal ? (real)REAL_MANTISSA : R(0.0));
  real f = m - R(1.0);
  real y = fma_(k, LN2_HI, f + log_tail_(f, k * LN2_LO));
  real special = x == R(0.0) ? -REAL_INF : REAL_NAN;
  real finite = x < REAL_INF ? y : x;
  return x > R(0.0) ? finite : special;
}

/* log(x + xl) = result + *low for positive x, with some 5 bits more than the type has: what a power needs, whose exponent
 * multiplies them. With s = f / (2 + f) to both words, log(1 + f) = 2s + s^3 (...), and the second term, all that is
 * rounded, is below 1/96 of the first. */
INLINE real log_low_(real x, real xl, real *low) {
  int subnormal = x < REAL_MIN;
  real m, scale = subnormal ? ABOVE_INTEGERS : R(1.0), e;
  ureal field = log_split_(x * scale, &m);
  real k = exponent_real_(field) - (subnormal ? (real)REAL_MANTISSA : R(0.0));
  real inverse = R(0.5) * real_of(((EXPONENT_BIAS * 2 + 1) << REAL_MANTISSA) - field); /* 2^-k, as in log1p_ */
  real f = m - R(1.0), fl = xl * scale * inverse;
  real d = R(2.0) + f, dl = f - (d - R(2.0)), w = R(1.0) / d;
  real p, pl, s = f * w;
  p = two_product(s, d, &pl);
  real sl = w * (((f - p) - pl) + (fl - s * (dl + fl))), g = s * s;
  real h = two_sum(k * LN2_HI, R(2.0) * s, &e);
  real l = e + fma_(k, LN2_LO, fma_(s * g, atanh_tail_(g), R(2.0) * sl)), y = h + l;
  *low = l - (y - h);
  return y;
}

/* log(1 + x) = k ln 2 + log(1 + f): u = fl(1 + x) gives k only; f = 2^-k x + (2^-k - 1) comes from x itself, and its
 * rounding error is added below. For x > 2^60 the 1 does not matter and 2^-k might underflow: f = m - 1. */
INLINE real log1p_(real x) {
  real m;
  ureal field = log_split_(R(1.0) + x, &m);
  real k = exponent_real_(field);
  real s = R(0.5) * real_of(((EXPONENT_BIAS * 2 + 1) << REAL_MANTISSA) - field); /* 2^-k, also for the largest k */
  real p = x > R(0x1p60) ? m : s * x, base = s - R(1.0);
  real f = p + base, residual = p + (base - f);
  real kh = k * LN2_HI, h = kh + f;
  real y = h + ((f - (h - kh)) + log_tail_(f, fma_(k, LN2_LO, residual)));
  real special = x == R(-1.0) ? -REAL_INF : REAL_NAN;
  real finite = x < REAL_INF ? y : x;
  real signed_zero = x == R(0.0) ? x : finite;
  return x > R(-1.0) ? signed_zero : special;
}

/* log(1 + z) for z in [0, 1], with the relative accuracy of z kept down to subnormal z. */
INLINE real log1p_unit_(real z) {
  real low, h = log1p_unit_low_(z, R(0.0), &low);
  return h + low;
}

/* tanh|x| = (1 - e^(-2|x|)) / (1 + e^(-2|x|)) = -h / (1 + h), h + l = (e^(-2|x|) - 1) / 2: exact in relative terms down
 * to x = 0 without a second polynomial. The quotient gets one corrected step that uses all low parts. */
INLINE real tanh_of_half_expm1_(real h, real l) {
  real d = R(1.0) + h, dl = (h - (d - R(1.0))) + l;
  real w = R(1.0) / d, q = h * w;
  return fma_(w, fma_(-q, d, h) + (l - q * dl), q);
}

INLINE real tanh_(real x) {
  real l, h = half_expm1_low_(max_(EXPM1_LOWEST, R(-2.0) * abs_(x)), &l);
  return copysign_(tanh_of_half_expm1_(h, l), x);
}

/* 1 / (1 + e^-x): with z + zl = e^-|x|, 1 / (1 + z) for x >= 0 and z / (1 + z) below, so no cancellation and no overflow:
 * the rounded quotient q and what it leaves, where 1 - q and z - q are exact. The low part of z is needed: without it, z
 * just above a power of two costs 2 ULP. */
INLINE real sigmoid_of_(real x, real z, real zl) {
  real w = R(1.0) / (R(1.0) + z), top = x >= R(0.0) ? R(1.0) : z, tl = x >= R(0.0) ? R(0.0) : zl, q = top * w;
  return fma_(w, remainder_(top - q, q, z) + fma_(-q, zl, tl), q);
}

INLINE real sigmoid_(real x) {
  real zl, z = exp_nonpositive_low_(-abs_(x), &zl);
  return sigmoid_of_(x, z, zl);
}

/* log(1 + e^x) = max(x, 0) + log1p(e^-|x|); all leading terms are summed without error. zl is taken with the derivative
 * 1 / (1 + z), the line between its ends being near enough (0.086). */
INLINE real softplus_of_(real x, real z, real zl) {
  real low, error, h = log1p_unit_low_(z, zl * fma_(R(-0.5), z, R(1.0)), &low);
  real s = two_sum(max_(R(0.0), x), h, &error), y = s + (error + low);
  return x > -EXP_LOWEST ? x : y;
}

INLINE real softplus_(real x) {
  real zl, z = exp_nonpositive_low_(-abs_(x), &zl);
  return softplus_of_(x, z, zl);
}

/* log(1 / (1 + e^-x)). */
INLINE real log_sigmoid_of_(real x, real z, real zl) { return -softplus_of_(-x, z, zl); }
INLINE real log_sigmoid_(real x) { return -softplus_(-x); }

/* sin and cos of (pi/2) f for f in [-1/2, 1/2]: the angle is never formed, so it is never rounded; f itself is taken
 * out of the sine, so that only the smaller part f (pi/2 - 1 + ...) carries an error. */
INLINE void sincos_quarter_(real f, real *sine, real *cosine) {
  real g = f * f;
  *sine = fma_(f, PI_2_LESS_1_HI + fma_(g, sin_tail_(g), PI_2_LESS_1_LO), f);
  *cosine = fma_(g, cos_tail_(g), R(1.0));
}

#endif
