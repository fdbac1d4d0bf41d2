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

/* Elements that are converted at once, in registers. Compilers would vectorise bfloat16's loops by themselves, but not
 * within those of a body (vectors.h). store_short_nans() rounds twice as many to bfloat16, in half the time (Huber of
 * numbers in the caches 0.87 of it), if a NaN is quiet and has none of the digits that are dropped. */
#if FASTLOSS_REAL_BITS == 32 && defined(__AVX512F__)
#define HALVES_AT_ONCE 16
INLINE void load_float16s(const char *source, real *to) {
  _mm512_storeu_ps(to, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)source)));
}
INLINE void load_bfloat16s(const char *source, real *to) { /* each to the upper half of its float */
  const __m512i places = _mm512_set_epi16(15, 0, 14, 0, 13, 0, 12, 0, 11, 0, 10, 0, 9, 0, 8, 0, 7, 0, 6, 0, 5, 0, 4, 0, 3, 0,
                                          2, 0, 1, 0, 0, 0);
  __m512i halves = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)source));
  _mm512_storeu_ps(to, _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaau, places, halves)));
}
INLINE void store_float16s(const real *from, char *to) { /* twice as fast as eight at a time */
  _mm256_storeu_si256((__m256i *)to, _mm512_cvtps_ph(_mm512_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
}
INLINE __m512i rounded_to_upper(__m512i u) { /* as to_bfloat16(), NaN apart */
  __m512i last = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  return _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), last);
}
INLINE void store_bfloat16s(const real *from, char *to) {
  __m512 x = _mm512_loadu_ps(from);
  __m512i u = _mm512_castps_si512(x), quiet = _mm512_set1_epi32(0x400000);
  u = _mm512_mask_or_epi32(rounded_to_upper(u), _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), u, quiet);
  _mm256_storeu_si256((__m256i *)to, _mm512_cvtepi32_epi16(_mm512_srli_epi32(u, 16)));
}
INLINE void store_short_nans(const real *from, char *to) {
  const __m512i upper = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23,
                                         21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  __m512i low = rounded_to_upper(_mm512_loadu_si512((const __m512i *)from));
  __m512i high = rounded_to_upper(_mm512_loadu_si512((const __m512i *)(from + HALVES_AT_ONCE)));
  _mm512_storeu_si512((__m512i *)to, _mm512_permutex2var_epi16(low, upper, high));
}
#elif FASTLOSS_REAL_BITS == 32 && HAVE_F16C && defined(__AVX2__)
#define HALVES_AT_ONCE 8
INLINE void load_float16s(const char *source, real *to) {
  _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)source)));
}
INLINE void load_bfloat16s(const char *source, real *to) {
  __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)source));
  _mm256_storeu_ps(to, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
}
INLINE void store_float16s(const real *from, char *to) {
  _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph(_mm256_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
}
INLINE __m256i rounded_to_upper(__m256i u) {
  __m256i last = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  return _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), last);
}
INLINE void store_bfloat16s(const real *from, char *to) {
  __m256 x = _mm256_loadu_ps(from), nan = _mm256_cmp_ps(x, x, _CMP_UNORD_Q);
  __m256i u = _mm256_castps_si256(x), quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
  u = _mm256_srli_epi32(_mm256_blendv_epi8(rounded_to_upper(u), quiet, _mm256_castps_si256(nan)), 16);
  _mm_storeu_si128((__m128i *)to, _mm_packus_epi32(_mm256_castsi256_si128(u), _mm256_extracti128_si256(u, 1)));
}
INLINE void store_short_nans(const real *from, char *to) {
  __m256i low = rounded_to_upper(_mm256_loadu_si256((const __m256i *)from));
  __m256i high = rounded_to_upper(_mm256_loadu_si256((const __m256i *)(from + HALVES_AT_ONCE)));
  __m256i packed = _mm256_packus_epi32(_mm256_srli_epi32(low, 16), _mm256_srli_epi32(high, 16));
  _mm256_storeu_si256((__m256i *)to, _mm256_permute4x64_epi64(packed, 0xd8));
}
#else
#define HALVES_AT_ONCE 0
#endif

#if HALVES_AT_ONCE
INLINE void load_several(int bfloat16, const char *source, real *to) {
  if (bfloat16) load_bfloat16s(source, to);
  else load_float16s(source, to);
}
INLINE void store_several(int bfloat16, const real *from, char *to) {
  if (bfloat16) store_bfloat16s(from, to);
  else store_float16s(from, to);
}
#endif

/* The elements left over are filled up: a loop for them would be compiled to vectors too. */
INLINE void load_run(int bfloat16, fl_size n, const char *source, real *to) {
#if HALVES_AT_ONCE
  fl_size i = 0;
  for (; i + HALVES_AT_ONCE <= n; i += HALVES_AT_ONCE) load_several(bfloat16, source + 2 * i, to + i);
  if (i == n) return;
  uint16_t left[HALVES_AT_ONCE] = {0};
  real converted[HALVES_AT_ONCE];
  memcpy(left, source + 2 * i, 2 * (size_t)(n - i));
  load_several(bfloat16, (const char *)left, converted);
  memcpy(to + i, converted, sizeof(real) * (size_t)(n - i));
#else
  for (fl_size i = 0; i < n; i++) {
    uint16_t h;
    memcpy(&h, source + 2 * i, sizeof h);
    to[i] = (real)(bfloat16 ? from_bfloat16(h) : from_float16(h));
  }
#endif
}

/* Elements first ... first+n of an array of a half type: to floats, which are returned; and back. */
ONCE const real *load_halves(int bfloat16, fl_size n, const void *source, fl_size first, real *to) {
  const char *at = (const char *)source + 2 * first;
  if (bfloat16) load_run(1, n, at, to);
  else load_run(0, n, at, to);
  return to;
}

#if FASTLOSS_REAL_BITS == 32 /* results of half type are computed in float alone */
INLINE void store_run(int bfloat16, fl_size n, const real *from, char *destination) {
#if HALVES_AT_ONCE
  fl_size i = 0;
  for (; i + HALVES_AT_ONCE <= n; i += HALVES_AT_ONCE) store_several(bfloat16, from + i, destination + 2 * i);
  if (i == n) return;
  real left[HALVES_AT_ONCE] = {R(0.0)};
  uint16_t converted[HALVES_AT_ONCE];
  memcpy(left, from + i, sizeof(real) * (size_t)(n - i));
  store_several(bfloat16, left, (char *)converted);
  memcpy(destination + 2 * i, converted, 2 * (size_t)(n - i));
#else
  for (fl_size i = 0; i < n; i++) {
    uint16_t h = bfloat16 ? to_bfloat16(from[i]) : to_float16(from[i]);
    memcpy(destination + 2 * i, &h, sizeof h);
  }
#endif
}

ONCE void store_halves(int bfloat16, fl_size n, const real *from, void *destination, fl_size first) {
  char *at = (char *)destination + 2 * first;
  if (bfloat16) store_run(1, n, from, at);
  else store_run(0, n, from, at);
}
#else
INLINE void store_halves(int bfloat16, fl_size n, const real *from, void *destination, fl_size first) {
  (void)bfloat16, (void)n, (void)from, (void)destination, (void)first;
}
#endif

#endif
