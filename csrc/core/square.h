/* Four columns of eight rows (by AVX-512, of WIDE_ROWS rows too) transposed, between rows some way apart and a tile of
 * `width` rows side by side: [4][width]; and where DEEP_ROWS is defined, eight columns of so many rows, which take half the
 * loads and stores. On the way back every row is multiplied by its factor, unless factor, known when compiling, is NULL. Not
 * for anything else: the one place where kernels shuffle.
 *
 * By AVX2 in registers. The portable form goes through a small square on the stack, because a constant stride of four is
 * what compilers turn into shuffles (NEON: ld4, st4); the wide loads then wait for the narrow stores before them, and
 * both directions take 4 to 6 times as long as in registers. Loads as wide as the kernels' own matter as well: those that
 * span two stores of half a vector wait for both (cross_entropy of 4096 x 10: 1.1 times as long).
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

INLINE void store_square(const real *tile, ptrdiff_t width, const real *factor, real *data, ptrdiff_t stride) {
  __m256 v[4];
  for (int c = 0; c < 4; c++) v[c] = _mm256_loadu_ps(tile + c * width);
  for (int c = 0; factor && c < 4; c++) v[c] = _mm256_mul_ps(v[c], _mm256_loadu_ps(factor));
  turn_squares(v);
  for (int l = 0; l < 4; l++) put_two_rows(data + l * stride, stride, v[l]);
}

#if defined(__AVX512F__)
#define WIDE_ROWS 16

/* 4 x 4 in each quarter; the instructions of turn_squares have other names and types at this width. */
INLINE void turn_four_squares(__m512 *v) {
  __m512 a = _mm512_unpacklo_ps(v[0], v[1]), b = _mm512_unpackhi_ps(v[0], v[1]);
  __m512 c = _mm512_unpacklo_ps(v[2], v[3]), d = _mm512_unpackhi_ps(v[2], v[3]);
  v[0] = _mm512_shuffle_ps(a, c, 0x44);
  v[1] = _mm512_shuffle_ps(a, c, 0xee);
  v[2] = _mm512_shuffle_ps(b, d, 0x44);
  v[3] = _mm512_shuffle_ps(b, d, 0xee);
}

INLINE void load_wide_square(const real *data, ptrdiff_t stride, real *tile, ptrdiff_t width) {
  __m512 v[4];
  for (int l = 0; l < 4; l++) {
    const real *row = data + l * stride;
    v[l] = _mm512_castps128_ps512(_mm_loadu_ps(row));
    v[l] = _mm512_insertf32x4(v[l], _mm_loadu_ps(row + 4 * stride), 1);
    v[l] = _mm512_insertf32x4(v[l], _mm_loadu_ps(row + 8 * stride), 2);
    v[l] = _mm512_insertf32x4(v[l], _mm_loadu_ps(row + 12 * stride), 3);
  }
  turn_four_squares(v);
  for (int c = 0; c < 4; c++) _mm512_storeu_ps(tile + c * width, v[c]);
}

INLINE void store_wide_square(const real *tile, ptrdiff_t width, const real *factor, real *data, ptrdiff_t stride) {
  __m512 v[4];
  for (int c = 0; c < 4; c++) v[c] = _mm512_loadu_ps(tile + c * width);
  for (int c = 0; factor && c < 4; c++) v[c] = _mm512_mul_ps(v[c], _mm512_loadu_ps(factor));
  turn_four_squares(v);
  for (int l = 0; l < 4; l++) {
    real *row = data + l * stride;
    _mm_storeu_ps(row, _mm512_castps512_ps128(v[l]));
    _mm_storeu_ps(row + 4 * stride, _mm512_extractf32x4_ps(v[l], 1));
    _mm_storeu_ps(row + 8 * stride, _mm512_extractf32x4_ps(v[l], 2));
    _mm_storeu_ps(row + 12 * stride, _mm512_extractf32x4_ps(v[l], 3));
  }
}

#define DEEP_ROWS 16

/* The quarters of v[k] and v[k + 4] that belong together: the first and third to v[k], the others to v[k + 4]. Its own inverse. */
INLINE void join_quarters(__m512 *v) {
  const __m512i even = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
  const __m512i odd = _mm512_setr_epi32(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  for (int k = 0; k < 4; k++) {
    __m512 a = v[k];
    v[k] = _mm512_permutex2var_ps(a, even, v[k + 4]);
    v[k + 4] = _mm512_permutex2var_ps(a, odd, v[k + 4]);
  }
}

/* Rows l and l + 8 in the two halves of a vector. */
INLINE void load_deep(const real *data, ptrdiff_t stride, real *tile, ptrdiff_t width) {
  __m512 v[8];
  for (int l = 0; l < 8; l++)
    v[l] = _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(data + l * stride)),
                              _mm256_loadu_ps(data + (l + 8) * stride), 1);
  turn_four_squares(v);
  turn_four_squares(v + 4);
  join_quarters(v);
  for (int c = 0; c < 8; c++) _mm512_storeu_ps(tile + c * width, v[c]);
}

INLINE void store_deep(const real *tile, ptrdiff_t width, const real *factor, real *data, ptrdiff_t stride) {
  __m512 v[8];
  for (int c = 0; c < 8; c++) v[c] = _mm512_loadu_ps(tile + c * width);
  for (int c = 0; factor && c < 8; c++) v[c] = _mm512_mul_ps(v[c], _mm512_loadu_ps(factor));
  join_quarters(v);
  turn_four_squares(v);
  turn_four_squares(v + 4);
  for (int l = 0; l < 8; l++) {
    _mm256_storeu_ps(data + l * stride, _mm512_castps512_ps256(v[l]));
    _mm256_storeu_ps(data + (l + 8) * stride, _mm512_extractf32x8_ps(v[l], 1));
  }
}
#else
#define DEEP_ROWS 8

/* The halves of v[k] and v[k + 4] that belong together. Its own inverse. */
INLINE void join_halves(__m256 *v) {
  for (int k = 0; k < 4; k++) {
    __m256 a = v[k];
    v[k] = _mm256_permute2f128_ps(a, v[k + 4], 0x20);
    v[k + 4] = _mm256_permute2f128_ps(a, v[k + 4], 0x31);
  }
}

INLINE void load_deep(const real *data, ptrdiff_t stride, real *tile, ptrdiff_t width) {
  __m256 v[8];
  for (int l = 0; l < 8; l++) v[l] = _mm256_loadu_ps(data + l * stride);
  turn_squares(v);
  turn_squares(v + 4);
  join_halves(v);
  for (int c = 0; c < 8; c++) _mm256_storeu_ps(tile + c * width, v[c]);
}

INLINE void store_deep(const real *tile, ptrdiff_t width, const real *factor, real *data, ptrdiff_t stride) {
  __m256 v[8];
  for (int c = 0; c < 8; c++) v[c] = _mm256_loadu_ps(tile + c * width);
  for (int c = 0; factor && c < 8; c++) v[c] = _mm256_mul_ps(v[c], _mm256_loadu_ps(factor));
  join_halves(v);
  turn_squares(v);
  turn_squares(v + 4);
  for (int l = 0; l < 8; l++) _mm256_storeu_ps(data + l * stride, v[l]);
}
#endif

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

INLINE void store_square(const real *tile, ptrdiff_t width, const real *factor, real *data, ptrdiff_t stride) {
  for (int half = 0; half < 2; half++) {
    __m256d v[4];
    for (int c = 0; c < 4; c++) v[c] = _mm256_loadu_pd(tile + c * width + 4 * half);
    for (int c = 0; factor && c < 4; c++) v[c] = _mm256_mul_pd(v[c], _mm256_loadu_pd(factor + 4 * half));
    turn_square(v);
    for (int l = 0; l < 4; l++) _mm256_storeu_pd(data + (4 * half + l) * stride, v[l]);
  }
}

#if defined(__AVX512F__)
#define WIDE_ROWS 8

/* Rows l and l + 4 in the two halves of v[l]; its own inverse. */
INLINE void turn_two_squares(__m512d *v) {
  const __m512i even = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), odd = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
  __m512d a = _mm512_unpacklo_pd(v[0], v[1]), b = _mm512_unpackhi_pd(v[0], v[1]);
  __m512d c = _mm512_unpacklo_pd(v[2], v[3]), d = _mm512_unpackhi_pd(v[2], v[3]);
  v[0] = _mm512_permutex2var_pd(a, even, c);
  v[1] = _mm512_permutex2var_pd(b, even, d);
  v[2] = _mm512_permutex2var_pd(a, odd, c);
  v[3] = _mm512_permutex2var_pd(b, odd, d);
}

INLINE void load_wide_square(const real *data, ptrdiff_t stride, real *tile, ptrdiff_t width) {
  __m512d v[4];
  for (int l = 0; l < 4; l++)
    v[l] = _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(data + l * stride)),
                              _mm256_loadu_pd(data + (l + 4) * stride), 1);
  turn_two_squares(v);
  for (int c = 0; c < 4; c++) _mm512_storeu_pd(tile + c * width, v[c]);
}

INLINE void store_wide_square(const real *tile, ptrdiff_t width, const real *factor, real *data, ptrdiff_t stride) {
  __m512d v[4];
  for (int c = 0; c < 4; c++) v[c] = _mm512_loadu_pd(tile + c * width);
  for (int c = 0; factor && c < 4; c++) v[c] = _mm512_mul_pd(v[c], _mm512_loadu_pd(factor));
  turn_two_squares(v);
  for (int l = 0; l < 4; l++) {
    _mm256_storeu_pd(data + l * stride, _mm512_castpd512_pd256(v[l]));
    _mm256_storeu_pd(data + (l + 4) * stride, _mm512_extractf64x4_pd(v[l], 1));
  }
}
#endif

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

INLINE void store_square(const real *tile, ptrdiff_t width, const real *factor, real *data, ptrdiff_t stride) {
  real square[32];
  VECTOR_LOOP
  for (int l = 0; l < 8; l++) {
    const real f = factor ? factor[l] : R(1.0);
    real a = tile[l] * f, b = tile[width + l] * f, c = tile[2 * width + l] * f, d = tile[3 * width + l] * f;
    square[4 * l] = a;
    square[4 * l + 1] = b;
    square[4 * l + 2] = c;
    square[4 * l + 3] = d;
  }
  for (int l = 0; l < 8; l++) memcpy(data + l * stride, square + 4 * l, 4 * sizeof(real));
}

#endif

#endif
