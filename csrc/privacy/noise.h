/* Continuous noise from a ChaCha20 stream: standard Gaussian and Laplace values, each a function of (key, stream,
 * index) alone, so that neither threads nor chunks nor the instruction set change a value.
 *
 * Not hardened against floating-point attacks (Mironov 2012): the set of doubles that come out has holes.
 *
 * A group of 256 keystream words w[0..255] is one call of chacha20(). With 64-bit values, word i is made of
 * w[i] (high) and w[i + 64] (low). W is such a random integer of N = 32 or 64 bits:
 *   uniform       u = (W + 1/2) / 2^N in (0, 1)
 *   Gaussian      r = sqrt(-2 log u) of the first half of the group, an angle from the second half; a pair gives
 *                 r cos (first half of the values) and r sin (second half). |z| <= 6.7637 (float), 9.4926 (double).
 *   Laplace       N = 64: the top bit is the sign, the rest shifted left the uniform of -log u; |x| <= 45.06.
 */
#ifndef FASTLOSS_NOISE_H
#define FASTLOSS_NOISE_H

#include "../core/math.h"
#include "chacha20.h"

#define HALF_BITS (FASTLOSS_REAL_BITS / 2)
#define HALF_MASK (((ureal)1 << HALF_BITS) - 1)
#define HALF_SCALE (R(1.0) / (real)((ureal)1 << HALF_BITS))

/* Values per group, and N-bit integers in half a group. */
#define GAUSSIANS (FL_CHACHA_WORDS * 32 / FASTLOSS_REAL_BITS)
#define PAIRS (GAUSSIANS / 2)

/* An integer below 2^HALF_BITS as a real, exactly; the conversion that AVX2 has for both types. */
INLINE real half_real_(ureal w) { return real_of(w | bits_of(ABOVE_INTEGERS)) - ABOVE_INTEGERS; }

/* (w + 1/2) / 2^N: two exact halves, one rounding. */
INLINE real uniform_(ureal w) {
  return half_real_(w >> HALF_BITS) * HALF_SCALE + (half_real_(w & HALF_MASK) + R(0.5)) * (HALF_SCALE * HALF_SCALE);
}

/* -log((w + 1/2) / 2^N). u rounds to 1 where it is close to it; its exact complement is (~w + 1/2) / 2^N, so from 0.7
 * on (k = 0) the logarithm is that of 1 - complement, and small values neither collapse to 0 nor lie too far apart. */
INLINE real exponential_(ureal w) {
  real m, u = uniform_(w), complement = uniform_(~w);
  real k = exponent_real_(log_split_(u, &m));
  real f = k == R(0.0) ? -complement : m - R(1.0);
  return -fma_(k, LN2_HI, f + log_tail_(f, k * LN2_LO));
}

/* The two normals of a radius and an angle word. The top two bits of the angle are the quadrant q, the rest is
 * f = (fraction + 1/2) / 2^N - 1/2: the angle is (q + f) pi/2, and 1/2 is taken off the high half where it is exact. */
INLINE void box_muller_(ureal radius, ureal angle, real *z0, real *z1) {
  ureal fraction = angle << 2, q = angle >> (FASTLOSS_REAL_BITS - 2);
  real r = sqrt_(R(2.0) * exponential_(radius));
  real f = (half_real_(fraction >> HALF_BITS) * HALF_SCALE - R(0.5)) +
           (half_real_(fraction & HALF_MASK) + R(0.5)) * (HALF_SCALE * HALF_SCALE);
  real sine, cosine;
  sincos_quarter_(f, &sine, &cosine);
  real x = (q & 1) ? sine : cosine, y = (q & 1) ? cosine : sine;
  *z0 = r * real_of(bits_of(x) ^ (((q + 1) & 2) << (FASTLOSS_REAL_BITS - 2)));
  *z1 = r * real_of(bits_of(y) ^ ((q & 2) << (FASTLOSS_REAL_BITS - 2)));
}

/* N-bit integer i of a group of keystream words. */
#if FASTLOSS_REAL_BITS == 32
#define KEYSTREAM(words, i) (words)[i]
#else
#define KEYSTREAM(words, i) ((uint64_t)(words)[i] << 32 | (words)[(i) + 64])
#endif

/* Words 0 ... 127 are the radii and 128 ... 255 the angles, in both types. */
static void gaussian_group(const uint32_t *key, uint64_t group, real *z) {
  uint32_t words[FL_CHACHA_WORDS];
  chacha20(key, 16 * group, FASTLOSS_REAL_BITS == 32 ? FL_STREAM_GAUSSIAN_F32 : FL_STREAM_GAUSSIAN_F64, words);
  VECTOR_LOOP
  for (int i = 0; i < PAIRS; i++)
    box_muller_(KEYSTREAM(words, i), KEYSTREAM(words + 128, i), &z[i], &z[PAIRS + i]);
}

#if FASTLOSS_REAL_BITS == 64
/* The first 128 words give values 0 ... 63, the others 64 ... 127. */
static void laplace_group(const uint32_t *key, uint64_t group, real *z) {
  uint32_t words[FL_CHACHA_WORDS];
  chacha20(key, 16 * group, FL_STREAM_LAPLACE, words);
  for (int half = 0; half < 2; half++) {
    VECTOR_LOOP
    for (int i = 0; i < 64; i++) {
      ureal w = KEYSTREAM(words + 128 * half, i);
      z[64 * half + i] = real_of(bits_of(exponential_(w << 1)) | (w & ((ureal)1 << 63)));
    }
  }
}
#endif

typedef void noise_group(const uint32_t *key, uint64_t group, real *z);

/* Values first ... first+n, a group of `size` at a time; `action` uses i (where to) and k (which of the group). */
#define FOR_NOISE(size, make, action)                              \
  real z[size];                                                    \
  uint64_t group = first / (size);                                 \
  ptrdiff_t offset = (ptrdiff_t)(first % (size)), i = -offset;     \
  for (; i < n; i += (size), group++) {                            \
    ptrdiff_t from = i < 0 ? -i : 0, to = n - i < (size) ? n - i : (size); \
    make(key, group, z);                                           \
    if (from == 0 && to == (size)) {                               \
      VECTOR_LOOP                                                  \
      for (ptrdiff_t k = 0; k < (size); k++) action;               \
    } else {                                                       \
      for (ptrdiff_t k = from; k < to; k++) action;                \
    }                                                              \
  }

static void gaussian(const uint32_t *key, uint64_t first, ptrdiff_t n, double scale, void *out) {
  real *x = out, s = (real)scale;
  FOR_NOISE(GAUSSIANS, gaussian_group, x[i + k] = s * z[k])
}

static void gaussian_add(const uint32_t *key, uint64_t first, ptrdiff_t n, double scale, double *sums) {
  FOR_NOISE(GAUSSIANS, gaussian_group, sums[i + k] += scale * (double)z[k])
}

#if FASTLOSS_REAL_BITS == 64
static void laplace(const uint32_t *key, uint64_t first, ptrdiff_t n, double scale, void *out) {
  real *x = out;
  FOR_NOISE(128, laplace_group, x[i + k] = scale * z[k])
}

static void laplace_add(const uint32_t *key, uint64_t first, ptrdiff_t n, double scale, double *sums) {
  FOR_NOISE(128, laplace_group, sums[i + k] += scale * z[k])
}
#define LAPLACE_KERNELS .laplace = laplace, .laplace_add = laplace_add,
#else
#define LAPLACE_KERNELS
#endif

#endif
