/* The privacy part of a kernel table: keystream, noise, clipping. Plain C types, no `real`.
 *
 * Arrays of the table's real type are `void *`; sums, norms and factors are double in both tables.
 */
#ifndef FASTLOSS_PRIVACY_KERNELS_H
#define FASTLOSS_PRIVACY_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* 32-bit words of one call of chacha20(): 16 blocks of 16 words. */
#define FL_CHACHA_WORDS 256

/* Streams of one key (the ChaCha20 nonce): no two of them share a word. */
enum { FL_STREAM_GAUSSIAN_F32 = 1, FL_STREAM_GAUSSIAN_F64 = 2, FL_STREAM_LAPLACE = 3,
       FL_STREAM_DISCRETE_GAUSSIAN = 4, FL_STREAM_DISCRETE_LAPLACE = 5 };

/* Values that one call of chacha20() yields. Work is cut at multiples of it. */
#define FL_NOISE_GROUP 256

enum { FL_NORM_L2, FL_NORM_L1 };

/* What became of a row. FL_ROW_OPEN: clip_factors could not tell, clip_factor must look again. */
enum { FL_ROW_KEPT, FL_ROW_CLIPPED, FL_ROW_NONFINITE, FL_ROW_OPEN };

/* Some columns of some gradients: one array's columns first ... first+columns of the concatenation
 * of all arrays. Row r begins at data + r * stride (bytes). `half` is FL_F16 or FL_BF16 where the elements are of that
 * type, 0 where they are of the table's real type. */
typedef struct fl_clip_block {
  const char *data;
  ptrdiff_t stride, columns, first;
  int half;
} fl_clip_block;

/* How rows are clipped: the bound, and what the proofs in clip.h need to know about the shape. */
typedef struct fl_clip_rule {
  int norm;         /* FL_NORM_... */
  int automatic;    /* factor = bound / (norm + gamma) instead of min(1, bound / norm) */
  double bound;     /* > 0, or infinity */
  double gamma;
  double columns;   /* of the concatenation */
  double slack;     /* (widest block / 32 + 12) 2^-53: see clip.h */
} fl_clip_rule;

/* A law on the integers as its sampler wants it: discrete_gaussian.h, discrete_laplace.h. Limits are what a
 * uniform integer below 2^63 is compared with; a Gaussian's count is a multiple of 8. */
typedef struct fl_discrete {
  int laplace;
  int inner_bits, outer_bits; /* of the uniforms that a Gaussian adds */
  ptrdiff_t count;
  const int64_t *limits;
} fl_discrete;

typedef void fl_noise(const uint32_t *key, uint64_t first, ptrdiff_t n, double scale, void *out);
typedef void fl_noise_add(const uint32_t *key, uint64_t first, ptrdiff_t n, double scale, double *sums);

typedef struct fl_privacy_kernels {
  /* Blocks counter ... counter+15 of the stream: words[16 * w + b] is word w of block counter+b. */
  void (*chacha20)(const uint32_t *key, uint64_t counter, uint64_t nonce, uint32_t *words);
  /* Values first ... first+n of the key's stream, times scale: stored, or added to sums. */
  fl_noise *gaussian;
  fl_noise_add *gaussian_add;
  fl_noise *laplace; /* NULL in the float32 table: there it is the float64 value, rounded */
  fl_noise_add *laplace_add;

  /* slots[r] = the block's part of the sum of squares (or absolute values) of row first + r. */
  void (*clip_sums)(const fl_clip_block *block, int norm, ptrdiff_t first, ptrdiff_t rows, double *slots);
  /* Norm, factor and state of rows, from their slots (slots[b * stride + r], blocks b added in order).
   * Returns how many are FL_ROW_OPEN. */
  ptrdiff_t (*clip_factors)(const fl_clip_rule *rule, ptrdiff_t blocks, ptrdiff_t stride, const double *slots,
                            ptrdiff_t rows, double *norms, double *factors, unsigned char *states);
  /* The same of one row, with a second look at its elements. */
  void (*clip_factor)(const fl_clip_rule *rule, const fl_clip_block *blocks, ptrdiff_t count, ptrdiff_t row,
                      double *norm, double *factor, unsigned char *state);
  /* sums[j] += factors[i] * gradient[rows[i]][j], i = 0 ... count in order. */
  void (*clip_add)(const fl_clip_block *block, ptrdiff_t count, const ptrdiff_t *rows, const double *factors,
                   double *sums);
  /* out[j] = sums[j] / divisor, rounded towards zero. out may be sums in the float64 table. */
  void (*clip_finish)(ptrdiff_t n, const double *sums, double divisor, void *out);

  /* sums[j] += the nearest integer to factors[i] * gradient[rows[i]][j] * units, units a power of two. */
  void (*grid_add)(const fl_clip_block *block, ptrdiff_t count, const ptrdiff_t *rows, const double *factors,
                   double units, int64_t *sums);
  /* sums[i] += value first + i of the law. NULL in the float32 table. */
  void (*discrete_add)(const uint32_t *key, uint64_t first, ptrdiff_t n, const fl_discrete *law, int64_t *sums);
  /* out[j] = sums[j] * grid / divisor. */
  void (*grid_finish)(ptrdiff_t n, const int64_t *sums, double grid, double divisor, void *out);
} fl_privacy_kernels;

#endif
