/* Constants and polynomials of math.h for double: the only part of it that depends on the type.
 *
 * Regenerate with csrc/tools/coefficients.sollya (and log_cosh.py). The error beside a polynomial is relative to the
 * whole function it belongs to (2^-53 = 1.1e-16). See math_f32.h for what each name is used for.
 */
#ifndef FASTLOSS_MATH_F64_H
#define FASTLOSS_MATH_F64_H

#define LOG2_E R(0x1.71547652b82fep0)
#define LN2_HI R(0x1.62e42ffp-1) /* 29 bits: n * LN2_HI is exact for |n| <= 2^24 */
#define LN2_LO R(-0x1.718432a1b0e26p-35)
#define PI_2_LESS_1_HI R(0x1.243f6a8885a31p-1)
#define PI_2_LESS_1_LO R(-0x1.cb3b399d747f2p-55)

#define ROUND_MAGIC R(0x1.8p52)
#define ABOVE_INTEGERS R(0x1p52)

#define EXP_LOWEST R(-746.0)
#define EXP_LOWEST_64 R(-752.0)
#define EXP_HIGHEST R(710.0)
#define HALF_RANGE R(0x1p512)
#define HALF_RANGE_BITS R(512.0)
#define HALF_RANGE_LOG R(354.0)
#define POWER_LOWEST R(-1416.0)
#define EXPM1_LOWEST R(-40.0)
#define EXPM1_LOWEST_N R(-58.0)
#define TINY R(0x1p-56)

/* (e^r - 1 - r - r^2/2) / r^3 for |r| <= 0.3475; error 2.6e-17 of e^r - 1, 1.1e-17 of e^r. */
INLINE real exp_tail_(real r) {
  real q = R(0x1.ae46d835f2a71p-26);
  q = fma_(q, r, R(0x1.28984cdf6c352p-22));
  q = fma_(q, r, R(0x1.71de99af8bd95p-19));
  q = fma_(q, r, R(0x1.a019b2d2975ap-16));
  q = fma_(q, r, R(0x1.a01a017066296p-13));
  q = fma_(q, r, R(0x1.6c16c17a34dfbp-10));
  q = fma_(q, r, R(0x1.1111111119139p-7));
  q = fma_(q, r, R(0x1.5555555553a85p-5));
  return fma_(q, r, R(0x1.555555555553dp-3));
}

/* (2 atanh(s) / s - 2) / s^2 in g = s^2 <= 0.0312; error 2.0e-18 of atanh. */
INLINE real atanh_tail_(real g) {
  real p = R(0x1.30dd1b5edbdcdp-3);
  p = fma_(p, g, R(0x1.3973e434e7b8ep-3));
  p = fma_(p, g, R(0x1.7467fa338ed88p-3));
  p = fma_(p, g, R(0x1.c71c49dad251ep-3));
  p = fma_(p, g, R(0x1.2492494ba273ep-2));
  p = fma_(p, g, R(0x1.999999997567ap-2));
  return fma_(p, g, R(0x1.55555555555bp-1));
}

/* log(1 + f) - f + low for f in [-0.3, 0.4]; error 2.0e-18 of log(1 + f).
 * A polynomial in f would need degree 20. With s = f / (2 + f), log(1 + f) = 2 atanh(s) = 2s + s p,
 * p = (2/3) s^2 + ..., and 2s = f - s f = f - f^2/2 + s f^2/2; so log(1 + f) - f = s (f^2/2 + p) - f^2/2. */
INLINE real log_tail_(real f, real low) {
  real s = f / (R(2.0) + f), g = s * s, half = R(0.5) * f * f;
  return fma_(s, fma_(atanh_tail_(g), g, half), low - half);
}

/* A shorter one, as float has, would take 0.95 of the time for an error of 2.8e-16. */
#define log_tail_coarse_ log_tail_

/* log(1 + z) - z + low for z in [0, 1], in the same way with s up to 1/3, where z added is up to 1.3 ULP off; error
 * 1.3e-18 of log(1 + z). */
INLINE real log1p_tail_(real z, real low) {
  real s = z / (R(2.0) + z), g = s * s, half = R(0.5) * z * z;
  real p = R(0x1.5c62242f6b032p-3);
  p = fma_(p, g, R(0x1.55c870e042825p-4));
  p = fma_(p, g, R(0x1.efd33f51f84c8p-4));
  p = fma_(p, g, R(0x1.1068112711b15p-3));
  p = fma_(p, g, R(0x1.3b1dd62630701p-3));
  p = fma_(p, g, R(0x1.745cb438b4b19p-3));
  p = fma_(p, g, R(0x1.c71c741b15a32p-3));
  p = fma_(p, g, R(0x1.249249208e892p-2));
  p = fma_(p, g, R(0x1.99999999a0725p-2));
  p = fma_(p, g, R(0x1.5555555555535p-1));
  return fma_(s, fma_(p, g, half), low - half);
}

/* log(1 + z) + more = result + *low for z in [0, 1]: above 0.4, 1 + z is halved, f = (z - 1) / 2 in (-0.3, 0], and *base =
 * ln 2; below, f = z and base = 0. What f and base lack goes to *low. (Float's way, a rest below 1/12, would be 1.1 ULP
 * off: s = z / (2 + z) is rounded twice.) */
INLINE real log1p_unit_low_(real z, real more, real *low) {
  int halved = z > R(0.4);
  real g = fma_(R(0.5), z, R(-0.5)), gl = fma_(R(0.5), z, R(-0.5) - g);
  real f = halved ? g : z, base = halved ? LN2_HI : R(0.0), residual = halved ? gl + LN2_LO : R(0.0);
  real h = base + f;
  *low = (f - (h - base)) + log_tail_(f, residual + more);
  return h;
}

/* (log cosh r - r^2/2) / r^4 in g = r^2 <= 1/4; error 2.0e-18 of log cosh. */
INLINE real log_cosh_tail_(real g) {
  real q = R(0x1.79acce0c5cf54p-19);
  q = fma_(q, g, R(-0x1.773efd6576315p-17));
  q = fma_(q, g, R(0x1.1125b58b55359p-15));
  q = fma_(q, g, R(-0x1.7d7ae9eca11e6p-14));
  q = fma_(q, g, R(0x1.0d0a3a668727fp-12));
  q = fma_(q, g, R(-0x1.833d933419967p-11));
  q = fma_(q, g, R(0x1.1ea5d38519d9ep-9));
  q = fma_(q, g, R(-0x1.ba1ba1b9e320ep-8));
  q = fma_(q, g, R(0x1.6c16c16c16a61p-6));
  return fma_(q, g, R(-0x1.5555555555555p-4));
}

/* (sin(pi/2 f) / f - pi/2) / f^2 in g = f^2 <= 1/4; error 3.9e-18 of sin. */
INLINE real sin_tail_(real g) {
  real q = R(0x1.e405aac5fe054p-25);
  q = fma_(q, g, R(-0x1.e300ac2602c7ep-19));
  q = fma_(q, g, R(0x1.507830223eb79p-13));
  q = fma_(q, g, R(-0x1.32d2cce33abep-8));
  q = fma_(q, g, R(0x1.466bc67758dfep-4));
  return fma_(q, g, R(-0x1.4abbce625be47p-1));
}

/* (cos(pi/2 f) - 1) / f^2 in g = f^2 <= 1/4; error 4.0e-19 of cos. */
INLINE real cos_tail_(real g) {
  real q = R(-0x1.b1673f09c707fp-28);
  q = fma_(q, g, R(0x1.f9c89cce8e2d6p-22));
  q = fma_(q, g, R(-0x1.a6d1e7297d362p-16));
  q = fma_(q, g, R(0x1.e1f5067b90e22p-11));
  q = fma_(q, g, R(-0x1.55d3c7e3c325cp-6));
  q = fma_(q, g, R(0x1.03c1f081b5a67p-2));
  return fma_(q, g, R(-0x1.3bd3cc9be45dep0));
}

#endif
