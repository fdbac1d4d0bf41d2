/* Vectors of an array of reals or of a half type, as the loops over bodies read and write them. Halves are converted in
 * registers: compilers forward what is stored to the small arrays here to the loop of one vector that follows. Converted
 * before and after such loops, a few hundred at a time, sums and gradients in the caches took 1.6 to 1.8 times as long
 * (mse) and 1.2 times (cross-entropy with logits), log-cosh 1.07 times; AVX-512.
 */
#ifndef FASTLOSS_VECTORS_H
#define FASTLOSS_VECTORS_H

#include "../fastloss.h"
#include "half.h"

/* Elements of a vector of 64 bytes, and of two, which loops over bodies take at a time: compilers load nothing ahead of a
 * store, and the chain of one element's operations is longer than the processor looks ahead. Interleaved, focal loss
 * in one loop takes 0.81 of the time with AVX-512 and 0.79 with AVX2. */
enum { HALF_PAIR = 64 / sizeof(real), PAIR = 2 * HALF_PAIR, QUAD = 2 * PAIR };

/* What an array holds; a constant of every loop. */
enum { REALS = 0, FLOAT16S = 1, BFLOAT16S = 2 };
#define HALF_LOOPS (HALVES_AT_ONCE > 0) /* whether there are loops for the half types */

/* Of a call's flags, that say of every array which one is of a half type. */
INLINE int half_type(int flags) { return !(flags & FL_HALF_X) ? REALS : flags & FL_BFLOAT16 ? BFLOAT16S : FLOAT16S; }

INLINE size_t item_bytes(int type) { return type == REALS ? sizeof(real) : 2; }

/* Elements from i on. */
INLINE const void *items(int type, const void *array, fl_size i) {
  return (const char *)array + (fl_size)item_bytes(type) * i;
}

/* So many vectors from element i on, where they lie or converted. */
INLINE const real *open_vectors(int type, int vectors, const void *source, fl_size i, real *converted) {
#if HALF_LOOPS
  for (int k = 0; type != REALS && k < vectors * HALF_PAIR; k += HALVES_AT_ONCE)
    load_several(type == BFLOAT16S, (const char *)source + 2 * (i + k), converted + k);
#endif
  return type == REALS ? (const real *)source + i : converted;
}

/* Where a loop shall write so many vectors from element i on; and the end of that. What is written comes from bfloat16s
 * or is REAL_NAN where it is NaN. */
INLINE real *results_at(int type, void *destination, fl_size i, real *converted) {
  return type == REALS ? (real *)destination + i : converted;
}
INLINE void close_vectors(int type, int vectors, const real *converted, void *destination, fl_size i) {
#if HALF_LOOPS
  const fl_size n = type == REALS ? 0 : vectors * HALF_PAIR, pairs = type == BFLOAT16S ? n / (2 * HALVES_AT_ONCE) : 0;
  char *to = (char *)destination + 2 * i;
  for (fl_size k = 0; k < pairs; k++) store_short_nans(converted + 2 * HALVES_AT_ONCE * k, to + 4 * HALVES_AT_ONCE * k);
  for (fl_size k = 2 * HALVES_AT_ONCE * pairs; k < n; k += HALVES_AT_ONCE)
    store_several(type == BFLOAT16S, converted + k, to + 2 * k);
#else
  (void)type, (void)vectors, (void)converted, (void)destination, (void)i;
#endif
}

/* A call's factor, its NaN one that may be rounded to bfloat16. */
INLINE real factor_of(double scale) { return scale == scale ? (real)scale : REAL_NAN; }

#endif
