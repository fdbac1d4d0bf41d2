/* Reals to double a few at a time, for loops that do nothing but widen, multiply and add. Not for the formulas of
 * losses, which compilers vectorise from plain C.
 *
 * `wide` is a vector of WIDE doubles, or one double where there is no AVX2: code is written once, in steps of WIDE.
 * Left to themselves GCC and Clang load a full register of floats and convert its halves, 1.3 cycles for eight on AMD's
 * Zen 4, which from memory converts four in half a cycle: so the two loops of clipping run 1.8 and 1.4 times as fast.
 * Eight at a time, where there is AVX-512, 1.2 and 1.4 times as fast again (Zen 5).
 */
#ifndef FASTLOSS_WIDE_H
#define FASTLOSS_WIDE_H

#include "../fastloss.h"
#include "half.h"

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

#if defined(__AVX2__) && HAVE_FMA && HAVE_F16C
#include <immintrin.h>
#endif

/* ..._first: the first n < WIDE alone; the others are 0, and neither read nor written. wide_total: lane l takes lane
 * l + width, of 4, 2 and 1, as fold_lanes(). */
#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define WIDE 8
typedef __m512d wide;
INLINE wide wide_load(const double *x) { return _mm512_loadu_pd(x); }
INLINE void wide_store(double *x, wide v) { _mm512_storeu_pd(x, v); }
INLINE wide wide_all(double x) { return _mm512_set1_pd(x); }
INLINE wide wide_add(wide a, wide b) { return _mm512_add_pd(a, b); }
INLINE wide wide_fma(wide a, wide b, wide c) { return _mm512_fmadd_pd(a, b, c); }
INLINE wide wide_abs(wide v) { return _mm512_abs_pd(v); }
INLINE __mmask8 wide_mask(ptrdiff_t n) { return (__mmask8)((1u << n) - 1u); }
INLINE wide wide_load_first(ptrdiff_t n, const double *x) { return _mm512_maskz_loadu_pd(wide_mask(n), x); }
INLINE void wide_store_first(ptrdiff_t n, double *x, wide v) { _mm512_mask_storeu_pd(x, wide_mask(n), v); }
INLINE wide widen_float16(const char *x) {
  return _mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)x)));
}
INLINE wide widen_bfloat16(const char *x) { /* one shuffle, not an extension and a shift */
  const __m256i upper = _mm256_setr_epi8(-1, -1, 0, 1, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1, 6, 7,
                                         -1, -1, 8, 9, -1, -1, 10, 11, -1, -1, 12, 13, -1, -1, 14, 15);
  __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)x));
  return _mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_shuffle_epi8(twice, upper)));
}
#if FASTLOSS_REAL_BITS == 32
INLINE wide widen(const real *x) { return _mm512_cvtps_pd(_mm256_loadu_ps(x)); }
INLINE wide widen_first(ptrdiff_t n, const real *x) {
  return _mm512_cvtps_pd(_mm256_maskz_loadu_ps(wide_mask(n), x));
}
#endif
#elif defined(__AVX2__) && HAVE_FMA && HAVE_F16C
#define WIDE 4
typedef __m256d wide;
INLINE wide wide_load(const double *x) { return _mm256_loadu_pd(x); }
INLINE void wide_store(double *x, wide v) { _mm256_storeu_pd(x, v); }
INLINE wide wide_all(double x) { return _mm256_set1_pd(x); }
INLINE wide wide_add(wide a, wide b) { return _mm256_add_pd(a, b); }
INLINE wide wide_fma(wide a, wide b, wide c) { return _mm256_fmadd_pd(a, b, c); }
INLINE wide wide_abs(wide v) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), v); }
INLINE __m256i wide_mask(ptrdiff_t n) {
  return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
INLINE wide wide_load_first(ptrdiff_t n, const double *x) { return _mm256_maskload_pd(x, wide_mask(n)); }
INLINE void wide_store_first(ptrdiff_t n, double *x, wide v) { _mm256_maskstore_pd(x, wide_mask(n), v); }
INLINE wide widen_float16(const char *x) { return _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)x))); }
INLINE wide widen_bfloat16(const char *x) {
  __m128i four = _mm_unpacklo_epi16(_mm_setzero_si128(), _mm_loadl_epi64((const __m128i *)x));
  return _mm256_cvtps_pd(_mm_castsi128_ps(four));
}
#if FASTLOSS_REAL_BITS == 32
INLINE wide widen(const real *x) { return _mm256_cvtps_pd(_mm_loadu_ps(x)); }
INLINE wide widen_first(ptrdiff_t n, const real *x) {
  return _mm256_cvtps_pd(_mm_maskload_ps(x, _mm_cmpgt_epi32(_mm_set1_epi32((int)n), _mm_setr_epi32(0, 1, 2, 3))));
}
#endif
#else
#define WIDE 1
typedef double wide;
INLINE wide wide_load(const double *x) { return *x; }
INLINE void wide_store(double *x, wide v) { *x = v; }
INLINE wide wide_all(double x) { return x; }
INLINE wide wide_add(wide a, wide b) { return a + b; }
INLINE wide wide_fma(wide a, wide b, wide c) { return fma_double(a, b, c); }
INLINE wide wide_abs(wide v) { return fabs(v); }
INLINE wide wide_load_first(ptrdiff_t n, const double *x) { return (void)n, (void)x, 0.0; }
INLINE void wide_store_first(ptrdiff_t n, double *x, wide v) { (void)n, (void)x, (void)v; }
INLINE uint16_t half_at(const char *x) {
  uint16_t h;
  memcpy(&h, x, sizeof h);
  return h;
}
INLINE wide widen_float16(const char *x) { return from_float16(half_at(x)); }
INLINE wide widen_bfloat16(const char *x) { return from_bfloat16(half_at(x)); }
#if FASTLOSS_REAL_BITS == 32
INLINE wide widen(const real *x) { return (double)*x; }
INLINE wide widen_first(ptrdiff_t n, const real *x) { return (void)n, (void)x, 0.0; }
#endif
#endif

#if FASTLOSS_REAL_BITS == 64
INLINE wide widen(const real *x) { return wide_load(x); }
INLINE wide widen_first(ptrdiff_t n, const real *x) { return wide_load_first(n, x); }
#endif

/* WIDE elements of a half type, FL_F16 or FL_BF16, or of the real type, 0; a constant. */
INLINE ptrdiff_t size_as(int half) { return half ? 2 : sizeof(real); }
INLINE wide widen_as(int half, const char *x) {
  return half == FL_F16 ? widen_float16(x) : half == FL_BF16 ? widen_bfloat16(x) : widen((const real *)x);
}
INLINE wide widen_first_as(int half, ptrdiff_t n, const char *x) {
  uint16_t halves[WIDE] = {0};
  if (!half) return widen_first(n, (const real *)x);
  memcpy(halves, x, 2 * (size_t)n);
  return widen_as(half, (const char *)halves);
}

INLINE double wide_total(wide v) {
#if WIDE == 1
  return v;
#else
#if WIDE == 8
  __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(v), _mm512_extractf64x4_pd(v, 1));
#else
  __m256d four = v;
#endif
  __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(two) + _mm_cvtsd_f64(_mm_unpackhi_pd(two, two));
#endif
}

#endif
