/* Vectors of an array of reals or of a half type, as the loops over bodies read and write them. Halves are converted in
 * registers: compilers forward what is stored to the small arrays here to the loop of one vector that follows. Converted
 * before and after such loops, a few hundred at a time, sums and gradients in the caches took 1.6 to 1.8 times as long
 * (mse) and 1.2 times (cross-entropy with logits), log-cosh 1.05 times; with AVX2 1.4, 1.13 and 1.05 times.
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

/* Elements that a loop over bodies goes at a time, so that halves are one vector: of two, GCC keeps the small arrays in
 * memory (AVX2: cross-entropy with logits of halves took 1.13 times as long, focal and gamma loss 1.2 times). Clang does so
 * anyway, and makes scalars of a short loop over a cheap body (mse 1.8 times). */
#if HALF_LOOPS && !defined(__clang__)
INLINE int unit_of(int type) { return type == REALS ? HALF_PAIR : HALVES_AT_ONCE; }
#else
INLINE int unit_of(int type) { return (void)type, HALF_PAIR; }
#endif

/* Of a call's flags, that say of every array which one is of a half type. */
INLINE int half_type(int flags) { return !(flags & FL_HALF_X) ? REALS : flags & FL_BFLOAT16 ? BFLOAT16S : FLOAT16S; }

INLINE size_t item_bytes(int type) { return type == REALS ? sizeof(real) : 2; }

/* Elements from i on. */
INLINE const void *items(int type, const void *array, fl_size i) {
  return (const char *)array + (fl_size)item_bytes(type) * i;
}

/* So many units, `apart` elements from one to the next, from element i on: where they lie, or converted, one behind the other. */
INLINE const real *open_units(int type, int units, fl_size apart, const void *source, fl_size i, real *converted) {
#if HALF_LOOPS
  const int unit = unit_of(type);
  for (int k = 0; type != REALS && k < units; k++)
    for (int l = 0; l < unit; l += HALVES_AT_ONCE)
      load_several(type == BFLOAT16S, (const char *)source + 2 * (i + k * apart + l), converted + k * unit + l);
#if defined(__clang__) /* it knows too well what is in there, and makes scalars of the loop: 7 times as long */
  if (type != REALS) __asm__ volatile("" : : "r"(converted) : "memory");
#endif
#else
  (void)units, (void)apart;
#endif
  return type == REALS ? (const real *)source + i : converted;
}

/* Where a loop shall write so many elements from i on; and the end of that. What is written comes from bfloat16s or is
 * REAL_NAN where it is NaN. */
INLINE real *results_at(int type, void *destination, fl_size i, real *converted) {
  return type == REALS ? (real *)destination + i : converted;
}
INLINE void close_results(int type, int n, const real *converted, void *destination, fl_size i) {
#if HALF_LOOPS
  const int two = 2 * HALVES_AT_ONCE, paired = type == BFLOAT16S ? n / two * two : 0;
  char *to = (char *)destination + 2 * i;
  for (int k = 0; type != REALS && k < paired; k += two) store_short_nans(converted + k, to + 2 * k);
  for (int k = paired; type != REALS && k < n; k += HALVES_AT_ONCE) store_several(type == BFLOAT16S, converted + k, to + 2 * k);
#else
  (void)type, (void)n, (void)converted, (void)destination, (void)i;
#endif
}

/* A call's factor, its NaN one that may be rounded to bfloat16. */
INLINE real factor_of(double scale) { return scale == scale ? (real)scale : REAL_NAN; }

#endif
