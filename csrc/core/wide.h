/* Reals to double a few at a time, for loops that do nothing but widen, multiply and add. Not for the formulas of
 * losses, which compilers vectorise from plain C.
 *
 * `wide` is a vector of WIDE doubles, or one double where there is no AVX2: code is written once, in steps of WIDE.
 * Left to themselves GCC and Clang load a full register of floats and convert its halves, 1.3 cycles for eight on AMD's
 * Zen 4, which from memory converts four in half a cycle: so the two loops of clipping run 1.8 and 1.4 times as fast.
 */
#ifndef FASTLOSS_WIDE_H
#define FASTLOSS_WIDE_H

#include "real.h"

/* a*b + c in double, in the float kernels too; one rounding where the target has the instruction. */
INLINE double fma_double(double a, double b, double c) {
#if !HAVE_FMA
  return a * b + c;
#elif defined(_MSC_VER) && !defined(__clang__)
  return fma(a, b, c);
#else
  return __builtin_fma(a, b, c);
#endif
}

#if defined(__AVX2__) && HAVE_FMA
#include <immintrin.h>
#define WIDE 4
typedef __m256d wide;
INLINE wide widen(const real *x) {
#if FASTLOSS_REAL_BITS == 32
  return _mm256_cvtps_pd(_mm_loadu_ps(x));
#else
  return _mm256_loadu_pd(x);
#endif
}
INLINE wide wide_load(const double *x) { return _mm256_loadu_pd(x); }
INLINE void wide_store(double *x, wide v) { _mm256_storeu_pd(x, v); }
INLINE wide wide_all(double x) { return _mm256_set1_pd(x); }
INLINE wide wide_add(wide a, wide b) { return _mm256_add_pd(a, b); }
INLINE wide wide_fma(wide a, wide b, wide c) { return _mm256_fmadd_pd(a, b, c); }
INLINE wide wide_abs(wide v) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), v); }
#else
#define WIDE 1
typedef double wide;
INLINE wide widen(const real *x) { return (double)*x; }
INLINE wide wide_load(const double *x) { return *x; }
INLINE void wide_store(double *x, wide v) { *x = v; }
INLINE wide wide_all(double x) { return x; }
INLINE wide wide_add(wide a, wide b) { return a + b; }
INLINE wide wide_fma(wide a, wide b, wide c) { return fma_double(a, b, c); }
INLINE wide wide_abs(wide v) { return fabs(v); }
#endif

#endif
