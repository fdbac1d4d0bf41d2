/* Constants and polynomials of math.h for float: the only part of it that depends on the type.
 *
 * Regenerate with csrc/tools/coefficients.sollya (and log_cosh.py). The error beside a polynomial is relative to the
 * whole function it belongs to (2^-24 = 6.0e-8). Horner form throughout: Estrin's is shorter in
 * latency, but its extra roundings take log1p above 1 ULP.
 */
#ifndef FASTLOSS_MATH_F32_H
#define FASTLOSS_MATH_F32_H

#define LOG2_E R(0x1.715476p0)
#define LN2_HI R(0x1.62ep-1) /* 12 bits: n * LN2_HI is exact for |n| <= 2^12 */
#define LN2_LO R(0x1.0bfbe8p-15)
#define PI_2_LESS_1_HI R(0x1.243f6ap-1)
#define PI_2_LESS_1_LO R(0x1.110b46p-26)

/* t + ROUND_MAGIC rounds t to an integer n and leaves n in the low bits; |t| <= 2^21. */
#define ROUND_MAGIC R(0x1.8p23)
/* OR-ed into the low bits of ABOVE_INTEGERS, an integer < 2^23 becomes that real. */
#define ABOVE_INTEGERS R(0x1p23)

#define EXP_LOWEST R(-104.0)  /* e^x < 2^-150 here: rounds to 0 */
#define EXP_LOWEST_64 R(-131.0) /* n = -189, e^x 2^64 normal */
#define EXP_HIGHEST R(89.0)   /* e^x > REAL_MAX here */
#define HALF_RANGE R(0x1p64) /* about the square root of REAL_MAX; its exponent and logarithm: */
#define HALF_RANGE_BITS R(64.0)
#define HALF_RANGE_LOG R(44.0)
#define POWER_LOWEST R(-174.0) /* n = -251, the lowest of scale_shifted_ */
#define EXPM1_LOWEST R(-20.0) /* expm1 rounds to -1 here, and tanh(-10) too */
#define EXPM1_LOWEST_N R(-30.0) /* and with this power of two */
#define TINY R(0x1p-27)       /* |x| below this: expm1(x) = x to 1/4 ULP */

/* (e^r - 1 - r - r^2/2) / r^3 for |r| <= 0.3475; error 1.5e-8 of e^r - 1, 6.0e-9 of e^r. */
INLINE real exp_tail_(real r) {
  real q = R(0x1.6c5248p-10);
  q = fma_(q, r, R(0x1.12247cp-7));
  q = fma_(q, r, R(0x1.5555bep-5));
  return fma_(q, r, R(0x1.5554b6p-3));
}

/* log(1 + f) - f + low for f in [-0.3, 0.4]; error 7.7e-10 of log(1 + f). */
INLINE real log_tail_(real f, real low) {
  real q = R(0x1.300422p-4);
  q = fma_(q, f, R(-0x1.ec2034p-4));
  q = fma_(q, f, R(0x1.e2bf7ap-4));
  q = fma_(q, f, R(-0x1.f9b104p-4));
  q = fma_(q, f, R(0x1.2350fp-3));
  q = fma_(q, f, R(-0x1.556d96p-3));
  q = fma_(q, f, R(0x1.99a43cp-3));
  q = fma_(q, f, R(-0x1.ffffc2p-3));
  q = fma_(q, f, R(0x1.555548p-2));
  q = fma_(q, f, R(-0.5));
  return fma_(f * f, q, low);
}

/* The same, error 3.0e-8 of log(1 + f): for sums of logarithms that are larger than that, in 0.87 of the time. */
INLINE real log_tail_coarse_(real f, real low) {
  real q = R(0x1.8435c8p-4);
  q = fma_(q, f, R(-0x1.2b4d04p-3));
  q = fma_(q, f, R(0x1.2f75fcp-3));
  q = fma_(q, f, R(-0x1.528116p-3));
  q = fma_(q, f, R(0x1.98e83cp-3));
  q = fma_(q, f, R(-0x1.0008bp-2));
  q = fma_(q, f, R(0x1.5556d2p-2));
  q = fma_(q, f, R(-0x1.fffff2p-2));
  return fma_(f * f, q, low);
}

/* (log(1 + z) - z) / z^2 + 1/2 + start for z in [0, 1]; error 1.1e-9 of log(1 + z). The first two terms are added last: what
 * they are added to is rounded to less than a whole sum of the others is. */
INLINE real log1p_square_(real z, real start) {
  real q = R(0x1.2a3d5ep-9);
  q = fma_(q, z, R(-0x1.e0f71ap-7));
  q = fma_(q, z, R(0x1.6ad438p-5));
  q = fma_(q, z, R(-0x1.5fe48p-4));
  q = fma_(q, z, R(0x1.03ab9cp-3));
  q = fma_(q, z, R(-0x1.4c5bp-3));
  q = fma_(q, z, R(0x1.98175ap-3));
  q = fma_(q, z, R(-0x1.ffdcfp-3));
  return fma_(z * z, q, fma_(R(0x1.5554b4p-2), z, start));
}

/* log(1 + z) - z + low for z in [0, 1]; z added, it is up to 1.4 ULP off. */
INLINE real log1p_tail_(real z, real low) { return fma_(z * z, log1p_square_(z, R(-0.5)), low); }

/* log(1 + z) + more = result + *low for z in [0, 1]: result = z - z^2/4, whose rounding error goes to *low, as all the
 * rest does. That is below 1/12 of it, so that its own roundings matter little. */
INLINE real log1p_unit_low_(real z, real more, real *low) {
  real quarter = R(-0.25) * z, h = fma_(quarter, z, z);
  *low = fma_(z * z, log1p_square_(z, R(-0.25)), fma_(quarter, z, z - h) + more);
  return h;
}

/* (log cosh r - r^2/2) / r^4 in g = r^2 <= 1/4; error 1.8e-9 of log cosh. */
INLINE real log_cosh_tail_(real g) {
  real q = R(-0x1.39f49ap-11);
  q = fma_(q, g, R(0x1.1ad15ap-9));
  q = fma_(q, g, R(-0x1.b9f0bep-8));
  q = fma_(q, g, R(0x1.6c166cp-6));
  return fma_(q, g, R(-0x1.555556p-4));
}

/* (2 atanh(s) / s - 2) / s^2 in g = s^2 <= 0.0312; error 3.0e-11 of atanh. */
INLINE real atanh_tail_(real g) {
  real p = R(0x1.ebac72p-3);
  p = fma_(p, g, R(0x1.23f402p-2));
  p = fma_(p, g, R(0x1.999bcep-2));
  return fma_(p, g, R(0x1.555554p-1));
}

/* (sin(pi/2 f) / f - pi/2) / f^2 in g = f^2 <= 1/4; error 4.3e-9 of sin. */
INLINE real sin_tail_(real g) {
  real q = R(-0x1.2ddd78p-8);
  q = fma_(q, g, R(0x1.46608p-4));
  return fma_(q, g, R(-0x1.4abbcp-1));
}

/* (cos(pi/2 f) - 1) / f^2 in g = f^2 <= 1/4; error 5.2e-10 of cos. */
INLINE real cos_tail_(real g) {
  real q = R(0x1.d684aap-11);
  q = fma_(q, g, R(-0x1.55b7cep-6));
  q = fma_(q, g, R(0x1.03c1b8p-2));
  return fma_(q, g, R(-0x1.3bd3ccp0));
}

#endif
