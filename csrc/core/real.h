/* The real type of this translation unit, and the few primitives all kernels are written in.
 *
 * A target file defines FASTLOSS_REAL_BITS (32 or 64) before it includes kernels.inc.h, so every
 * kernel is plain C on `real` and needs no suffix. Nothing here allocates, branches on the CPU
 * or knows about threads or Python.
 *
 * Rules that keep the bits equal on every instruction set with FMA: only + - * / sqrt, fma_,
 * integer operations and ternaries; a*b+c is never contracted (-ffp-contract=off) and fma_ is
 * written where it is wanted; accumulators are explicit arrays of LANES elements.
 */
#ifndef FASTLOSS_REAL_H
#define FASTLOSS_REAL_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if FASTLOSS_REAL_BITS == 32
typedef float real;
typedef int32_t ireal;  /* the integer of the same width, for bit work */
typedef uint32_t ureal;
#define R(constant) constant##f
#define REAL_MANTISSA 23
#define REAL_EPSILON FLT_EPSILON
#define REAL_MIN FLT_MIN
#define REAL_MAX FLT_MAX
#elif FASTLOSS_REAL_BITS == 64
typedef double real;
typedef int64_t ireal;
typedef uint64_t ureal;
#define R(constant) constant
#define REAL_MANTISSA 52
#define REAL_EPSILON DBL_EPSILON
#define REAL_MIN DBL_MIN
#define REAL_MAX DBL_MAX
#else
#error "define FASTLOSS_REAL_BITS as 32 or 64"
#endif

#define REAL_INF ((real)INFINITY)
#define REAL_NAN ((real)NAN)

/* Loops over elements are independent iteration by iteration, also where an output is the
 * input's own buffer (same index), so `restrict` is never used on kernel arguments: this pragma
 * says the weaker thing that is true. */
#if defined(__clang__)
#define VECTOR_LOOP _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define VECTOR_LOOP _Pragma("GCC ivdep")
#elif defined(_MSC_VER)
#define VECTOR_LOOP __pragma(loop(ivdep))
#else
#define VECTOR_LOOP
#endif

/* The same for a loop that mixes real with double, whose vectors Clang would cut to the double's count of elements:
 * half the speed. */
#if defined(__clang__)
#if defined(__AVX512F__)
#define VECTOR_BITS 512
#elif defined(__AVX2__)
#define VECTOR_BITS 256
#else
#define VECTOR_BITS 128
#endif
#define PRAGMA_TEXT(text) _Pragma(#text)
#define PRAGMA(text) PRAGMA_TEXT(text)
#define VECTOR_LOOP_WIDE \
  PRAGMA(clang loop vectorize(assume_safety) vectorize_width(VECTOR_BITS / FASTLOSS_REAL_BITS))
#else
#define VECTOR_LOOP_WIDE VECTOR_LOOP
#endif

/* A short loop that had better stay one: unrolled, it runs out of address registers, or (before compilers look for vectors)
 * becomes a row of scalars. */
#if defined(__clang__)
#define ROLLED_LOOP _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__)
#define ROLLED_LOOP _Pragma("GCC unroll 1")
#else
#define ROLLED_LOOP
#endif

/* Vector registers enough to interleave four long bodies with a sum: with 16, the spills cost more than the sum. */
#if defined(__AVX512F__) || defined(__aarch64__) || defined(_M_ARM64)
#define MANY_REGISTERS 1
#else
#define MANY_REGISTERS 0
#endif

/* Accumulators of a sum: fixed in the source, so that a sum has the same bits on every target. */
#define LANES 32

/* ONCE: of a function that many loops call; a copy in each would cost more than the calls. RARE: of one for rare inputs,
 * small rather than fast. */
#if defined(__clang__)
#define ONCE static __attribute__((noinline, unused))
#define RARE static __attribute__((cold, noinline, unused))
#elif defined(__GNUC__)
#define ONCE static __attribute__((noinline, noclone, unused))
#define RARE static __attribute__((cold, noinline, noclone, unused))
#elif defined(_MSC_VER)
#define ONCE static __declspec(noinline)
#define RARE static __declspec(noinline)
#else
#define ONCE static
#define RARE static
#endif

#if defined(__GNUC__) || defined(__clang__)
#define INLINE static inline __attribute__((always_inline, unused))
#define UNUSED __attribute__((unused))
#elif defined(_MSC_VER)
#define INLINE static __forceinline
#define UNUSED
#else
#define INLINE static inline
#define UNUSED
#endif

#if defined(__FMA__) || defined(__aarch64__) || defined(_M_ARM64) || (defined(_MSC_VER) && defined(__AVX2__))
#define HAVE_FMA 1
#else
#define HAVE_FMA 0
#endif

/* a*b + c with one rounding where the target has the instruction, two where it has not. */
INLINE real fma_(real a, real b, real c) {
#if !HAVE_FMA
  return a * b + c;
#elif FASTLOSS_REAL_BITS == 32
#if defined(_MSC_VER) && !defined(__clang__)
  return fmaf(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
#else
#if defined(_MSC_VER) && !defined(__clang__)
  return fma(a, b, c);
#else
  return __builtin_fma(a, b, c);
#endif
#endif
}

INLINE real sqrt_(real x) {
#if defined(_MSC_VER) && !defined(__clang__)
  return (real)sqrt(x);
#elif FASTLOSS_REAL_BITS == 32
  return __builtin_sqrtf(x);
#else
  return __builtin_sqrt(x);
#endif
}

/* The bits of a real and back: memcpy is the portable form, and compiles to nothing. */
INLINE ureal bits_of(real x) {
  ureal u;
  memcpy(&u, &x, sizeof u);
  return u;
}

INLINE real real_of(ureal u) {
  real x;
  memcpy(&x, &u, sizeof x);
  return x;
}

INLINE real abs_(real x) { return real_of(bits_of(x) & (ureal)~((ureal)1 << (FASTLOSS_REAL_BITS - 1))); }
INLINE real copysign_(real magnitude, real sign) {
  const ureal s = (ureal)1 << (FASTLOSS_REAL_BITS - 1);
  return real_of((bits_of(magnitude) & ~s) | (bits_of(sign) & s));
}

/* max and min in the form that vectorises; with a NaN the SECOND argument is returned, so write
 * max_(bound, x) where a NaN x must survive. */
INLINE real max_(real a, real b) { return a > b ? a : b; }
INLINE real min_(real a, real b) { return a < b ? a : b; }

/* a + b, computed by the multiplier: the compiler does not know that fl_one is 1. Cores with multipliers and adders
 * apart (AMD's since Zen) run a body of additions 1.2 times as fast with a part of them there. */
extern const double fl_one;
INLINE real add_on_multiplier(real a, real b) {
#if HAVE_FMA
  return fma_(a, (real)fl_one, b);
#else
  return a + b;
#endif
}

/* difference + *error == a - b exactly (Knuth's 2Sum); NaN in *error where the difference is infinite. */
INLINE real two_difference(real a, real b, real *error) {
  real d = add_on_multiplier(a, -b), bb = add_on_multiplier(d, -a), aa = add_on_multiplier(d, -bb);
  *error = (a - aa) - (b + bb);
  return d;
}

/* sum + *error == a + b exactly (Knuth's 2Sum; finite, no overflow). */
INLINE real two_sum(real a, real b, real *error) {
  real s = a + b, bb = s - a;
  *error = (a - (s - bb)) + (b - bb);
  return s;
}

/* product + *error == a * b exactly where nothing under- or overflows (in double without FMA: to 2^-105 of it). */
INLINE real two_product(real a, real b, real *error) {
  real product = a * b;
#if HAVE_FMA
  *error = fma_(a, b, -product);
#else
  const ureal high = ~(((ureal)1 << (REAL_MANTISSA / 2 + 1)) - 1); /* Dekker's halves, whose products are exact */
  real ah = real_of(bits_of(a) & high), al = a - ah, bh = real_of(bits_of(b) & high), bl = b - bh;
  *error = (((ah * bh - product) + ah * bl) + al * bh) + al * bl;
#endif
  return product;
}

/* c - a b where that is a number of the type, as what a quotient leaves is. */
INLINE real remainder_(real c, real a, real b) {
#if HAVE_FMA
  return fma_(-a, b, c);
#else
  real lost, product = two_product(a, b, &lost);
  return (c - product) - lost;
#endif
}

#endif
