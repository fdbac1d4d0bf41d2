/* float16 and bfloat16, as their 16 bits: to float, which is exact, and back to the nearest, ties to even; runs of them
 * as the blocks of a kernel. Subnormals of all three types are kept, what is too large becomes infinite, a NaN a quiet
 * one. Nothing computes in a half type.
 */
#ifndef FASTLOSS_HALF_H
#define FASTLOSS_HALF_H

#include "real.h"

#if defined(__F16C__) || (defined(_MSC_VER) && defined(__AVX2__))
#define HAVE_F16C 1
#include <immintrin.h>
#else
#define HAVE_F16C 0
#endif

INLINE uint32_t float_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

INLINE float float_of(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

INLINE float from_bfloat16(uint16_t h) { return float_of((uint32_t)h << 16); }

/* Rounding adds just less than half a step, and the last kept bit, which makes a tie even; a carry is right too. */
INLINE uint16_t to_bfloat16(float x) {
  uint32_t u = float_bits(x), rounded = u + 0x7fffu + (u >> 16 & 1u);
  return (uint16_t)((x != x ? u | 0x400000u : rounded) >> 16);
}

/* The exponent is moved by 112 = 127 - 15, that of infinity once more; a subnormal is m 2^-24 = (2^-14 + m 2^-24) - 2^-14. */
INLINE float from_float16(uint16_t h) {
  uint32_t a = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
  uint32_t normal = a + (112u << 23), large = a + (224u << 23);
  uint32_t small = float_bits(float_of(a + (113u << 23)) - float_of(113u << 23));
  uint32_t finite = a < (1u << 23) ? small : normal;
  return float_of((a >= (31u << 23) ? large : finite) | sign);
}

/* Below 2^-14 the float16 is a multiple of 2^-24, which is the last place of 1/2: adding that rounds. */
INLINE uint16_t to_float16(float x) {
  uint32_t u = float_bits(x), a = u & 0x7fffffffu, sign = u >> 16 & 0x8000u;
  uint32_t normal = (a + 0xfffu + (a >> 13 & 1u) - (112u << 23)) >> 13;
  uint32_t small = float_bits(float_of(a) + 0.5f) - float_bits(0.5f);
  uint32_t large = a > 0x7f800000u ? 0x7e00u | (a >> 13 & 0x3ffu) : 0x7c00u;
  uint32_t finite = a < (113u << 23) ? small : normal;
  return (uint16_t)((a >= (143u << 23) ? large : finite) | sign);
}

/* ---- Runs of contiguous elements, of any alignment ---- */

/* Elements that one instruction converts. Fewer are filled up: a loop for them would be compiled to vectors too. */
#if FASTLOSS_REAL_BITS == 32 && defined(__AVX512F__)
#define HALVES_AT_ONCE 16
INLINE void load_float16s(const char *source, real *to) {
  _mm512_storeu_ps(to, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)source)));
}
INLINE void store_float16s(const real *from, char *to) { /* twice as fast as eight at a time */
  _mm256_storeu_si256((__m256i *)to, _mm512_cvtps_ph(_mm512_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
}
#elif FASTLOSS_REAL_BITS == 32 && HAVE_F16C
#define HALVES_AT_ONCE 8
INLINE void load_float16s(const char *source, real *to) {
  _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)source)));
}
INLINE void store_float16s(const real *from, char *to) {
  _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph(_mm256_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
}
#else
#define HALVES_AT_ONCE 0
#endif

INLINE void load_float16(fl_size n, const char *source, real *to) {
#if HALVES_AT_ONCE
  fl_size i = 0;
  for (; i + HALVES_AT_ONCE <= n; i += HALVES_AT_ONCE) load_float16s(source + 2 * i, to + i);
  if (i == n) return;
  uint16_t left[HALVES_AT_ONCE] = {0};
  real converted[HALVES_AT_ONCE];
  memcpy(left, source + 2 * i, 2 * (size_t)(n - i));
  load_float16s((const char *)left, converted);
  memcpy(to + i, converted, sizeof(real) * (size_t)(n - i));
#else
  for (fl_size i = 0; i < n; i++) {
    uint16_t h;
    memcpy(&h, source + 2 * i, sizeof h);
    to[i] = (real)from_float16(h);
  }
#endif
}

INLINE void load_bfloat16(fl_size n, const char *source, real *to) {
  for (fl_size i = 0; i < n; i++) {
    uint16_t h;
    memcpy(&h, source + 2 * i, sizeof h);
    to[i] = (real)from_bfloat16(h);
  }
}

/* Elements first ... first+n of an array of a half type: to floats, which are returned; and back. */
ONCE const real *load_halves(int bfloat16, fl_size n, const void *source, fl_size first, real *to) {
  const char *at = (const char *)source + 2 * first;
  if (bfloat16) load_bfloat16(n, at, to);
  else load_float16(n, at, to);
  return to;
}

#if FASTLOSS_REAL_BITS == 32 /* results of half type are computed in float alone */
INLINE void store_float16(fl_size n, const real *from, char *destination) {
#if HALVES_AT_ONCE
  fl_size i = 0;
  for (; i + HALVES_AT_ONCE <= n; i += HALVES_AT_ONCE) store_float16s(from + i, destination + 2 * i);
  if (i == n) return;
  real left[HALVES_AT_ONCE] = {R(0.0)};
  uint16_t converted[HALVES_AT_ONCE];
  memcpy(left, from + i, sizeof(real) * (size_t)(n - i));
  store_float16s(left, (char *)converted);
  memcpy(destination + 2 * i, converted, 2 * (size_t)(n - i));
#else
  for (fl_size i = 0; i < n; i++) {
    uint16_t h = to_float16(from[i]);
    memcpy(destination + 2 * i, &h, sizeof h);
  }
#endif
}

INLINE void store_bfloat16(fl_size n, const real *from, char *destination) {
  for (fl_size i = 0; i < n; i++) {
    uint16_t h = to_bfloat16(from[i]);
    memcpy(destination + 2 * i, &h, sizeof h);
  }
}

ONCE void store_halves(int bfloat16, fl_size n, const real *from, void *destination, fl_size first) {
  char *at = (char *)destination + 2 * first;
  if (bfloat16) store_bfloat16(n, from, at);
  else store_float16(n, from, at);
}
#else
INLINE void store_halves(int bfloat16, fl_size n, const real *from, void *destination, fl_size first) {
  (void)bfloat16, (void)n, (void)from, (void)destination, (void)first;
}
#endif

#endif
