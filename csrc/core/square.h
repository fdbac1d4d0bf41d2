/* Four columns of eight rows transposed, between rows some way apart and a tile of `width` rows side by side: [4][width].
 * Not for anything else: the one place where kernels shuffle.
 *
 * By AVX2 in registers. The portable form goes through a small square on the stack, because a constant stride of four is
 * what compilers turn into shuffles (NEON: ld4, st4); the wide loads then wait for the narrow stores before them, and
 * both directions take 4 to 6 times as long as in registers.
 */
#ifndef FASTLOSS_SQUARE_H
#define FASTLOSS_SQUARE_H

#include "real.h"

#if defined(__AVX2__) && FASTLOSS_REAL_BITS == 32
#include <immintrin.h>

/* Rows l and l + 4 of four columns each, in the two halves. */
INLINE __m256 two_rows(const real *data, ptrdiff_t stride) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(data)), _mm_loadu_ps(data + 4 * stride), 1);
}

INLINE void put_two_rows(real *data, ptrdiff_t stride, __m256 v) {
  _mm_storeu_ps(data, _mm256_castps256_ps128(v));
  _mm_storeu_ps(data + 4 * stride, _mm256_extractf128_ps(v, 1));
}

/* 4 x 4 in each half, its own inverse. */
INLINE void turn_squares(__m256 *v) {
  __m256 a = _mm256_unpacklo_ps(v[0], v[1]), b = _mm256_unpackhi_ps(v[0], v[1]);
  __m256 c = _mm256_unpacklo_ps(v[2], v[3]), d = _mm256_unpackhi_ps(v[2], v[3]);
  v[0] = _mm256_shuffle_ps(a, c, 0x44);
  v[1] = _mm256_shuffle_ps(a, c, 0xee);
  v[2] = _mm256_shuffle_ps(b, d, 0x44);
  v[3] = _mm256_shuffle_ps(b, d, 0xee);
}

INLINE void load_square(const real *data, ptrdiff_t stride, real *tile, ptrdiff_t width) {
  __m256 v[4];
  for (int l = 0; l < 4; l++) v[l] = two_rows(data + l * stride, stride);
  turn_squares(v);
  for (int c = 0; c < 4; c++) _mm256_storeu_ps(tile + c * width, v[c]);
}

INLINE void store_square(const real *tile, ptrdiff_t width, real *data, ptrdiff_t stride) {
  __m256 v[4];
  for (int c = 0; c < 4; c++) v[c] = _mm256_loadu_ps(tile + c * width);
  turn_squares(v);
  for (int l = 0; l < 4; l++) put_two_rows(data + l * stride, stride, v[l]);
}

#elif defined(__AVX2__)
#include <immintrin.h>

INLINE void turn_square(__m256d *v) {
  __m256d a = _mm256_unpacklo_pd(v[0], v[1]), b = _mm256_unpackhi_pd(v[0], v[1]);
  __m256d c = _mm256_unpacklo_pd(v[2], v[3]), d = _mm256_unpackhi_pd(v[2], v[3]);
  v[0] = _mm256_permute2f128_pd(a, c, 0x20);
  v[1] = _mm256_permute2f128_pd(b, d, 0x20);
  v[2] = _mm256_permute2f128_pd(a, c, 0x31);
  v[3] = _mm256_permute2f128_pd(b, d, 0x31);
}

INLINE void load_square(const real *data, ptrdiff_t stride, real *tile, ptrdiff_t width) {
  for (int half = 0; half < 2; half++) {
    __m256d v[4];
    for (int l = 0; l < 4; l++) v[l] = _mm256_loadu_pd(data + (4 * half + l) * stride);
    turn_square(v);
    for (int c = 0; c < 4; c++) _mm256_storeu_pd(tile + c * width + 4 * half, v[c]);
  }
}

INLINE void store_square(const real *tile, ptrdiff_t width, real *data, ptrdiff_t stride) {
  for (int half = 0; half < 2; half++) {
    __m256d v[4];
    for (int c = 0; c < 4; c++) v[c] = _mm256_loadu_pd(tile + c * width + 4 * half);
    turn_square(v);
    for (int l = 0; l < 4; l++) _mm256_storeu_pd(data + (4 * half + l) * stride, v[l]);
  }
}

#else

INLINE void load_square(const real *data, ptrdiff_t stride, real *tile, ptrdiff_t width) {
  real square[32];
  for (int l = 0; l < 8; l++) memcpy(square + 4 * l, data + l * stride, 4 * sizeof(real));
  VECTOR_LOOP
  for (int l = 0; l < 8; l++) {
    real a = square[4 * l], b = square[4 * l + 1], c = square[4 * l + 2], d = square[4 * l + 3];
    tile[l] = a;
    tile[width + l] = b;
    tile[2 * width + l] = c;
    tile[3 * width + l] = d;
  }
}

INLINE void store_square(const real *tile, ptrdiff_t width, real *data, ptrdiff_t stride) {
  real square[32];
  VECTOR_LOOP
  for (int l = 0; l < 8; l++) {
    real a = tile[l], b = tile[width + l], c = tile[2 * width + l], d = tile[3 * width + l];
    square[4 * l] = a;
    square[4 * l + 1] = b;
    square[4 * l + 2] = c;
    square[4 * l + 3] = d;
  }
  for (int l = 0; l < 8; l++) memcpy(data + l * stride, square + 4 * l, 4 * sizeof(real));
}

#endif

#endif
