/* Which instruction set runs: detection by CPUID and XGETBV, and the chosen kernel tables.
 *
 * Compiled for the baseline. CPUID says what the processor can do, XGETBV what the operating
 * system saves on a context switch: a hypervisor may hide AVX-512 from the second alone.
 */
#include "fastloss.h"

#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__) || defined(_M_IX86)
#define X86 1
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

const char *const fl_pointwise_names[] = {
#define POINTWISE(name, aux) #name,
#include "losses.def"
#undef POINTWISE
    NULL};

const char *const fl_row_loss_names[] = {
#define ROW_LOSS(name) #name,
#include "row_losses.def"
#undef ROW_LOSS
    NULL};

const char *const fl_unary_names[] = {
#define UNARY(name) #name,
#include "unary.def"
#undef UNARY
    NULL};

const char *const fl_pairs_names[] = {
#define PAIR_LOSS(name, arrays) #name,
#include "pairs.def"
#undef PAIR_LOSS
    NULL};

const double fl_one = 1.0; /* see add_on_multiplier() */

enum { BASELINE, AVX2, AVX512, NEON, ISA_COUNT };
static const char *const isa_names[] = {"baseline", "avx2", "avx512", "neon"};

extern const fl_kernels fl_baseline_f32, fl_baseline_f64;
#ifdef FASTLOSS_AVX2
extern const fl_kernels fl_avx2_f32, fl_avx2_f64;
#endif
#ifdef FASTLOSS_AVX512
extern const fl_kernels fl_avx512_f32, fl_avx512_f64;
#endif
#ifdef FASTLOSS_NEON
extern const fl_kernels fl_neon_f32, fl_neon_f64;
#endif

static const fl_kernels *const tables[ISA_COUNT][2] = {
    [BASELINE] = {&fl_baseline_f32, &fl_baseline_f64},
#ifdef FASTLOSS_AVX2
    [AVX2] = {&fl_avx2_f32, &fl_avx2_f64},
#endif
#ifdef FASTLOSS_AVX512
    [AVX512] = {&fl_avx512_f32, &fl_avx512_f64},
#endif
#ifdef FASTLOSS_NEON
    [NEON] = {&fl_neon_f32, &fl_neon_f64},
#endif
};

static int selected = BASELINE;

#ifdef X86
static void cpuid(unsigned leaf, unsigned r[4]) {
#if defined(_MSC_VER)
  __cpuidex((int *)r, (int)leaf, 0);
#else
  __cpuid_count(leaf, 0, r[0], r[1], r[2], r[3]);
#endif
}

static uint64_t xgetbv(void) {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return ((uint64_t)high << 32) | low;
#endif
}

#define ALL(value, mask) (((value) & (mask)) == (mask))

static int x86_supports(int isa) {
  unsigned r[4], features1, features7;
  uint64_t saved;
  cpuid(0, r);
  if (r[0] < 7) return 0;
  cpuid(1, r);
  features1 = r[2];
  /* FMA (bit 12), OSXSAVE (27), AVX (28), F16C (29) */
  if (!ALL(features1, 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29)) return 0;
  saved = xgetbv();
  if (!ALL(saved, 0x6u)) return 0; /* XMM and YMM state */
  cpuid(7, r);
  features7 = r[1];
  if (!ALL(features7, 1u << 5 | 1u << 8)) return 0; /* AVX2, BMI2: both are in the compile flags */
  if (isa == AVX2) return 1;
  /* AVX-512 F (16), DQ (17), CD (28), BW (30), VL (31); opmask and ZMM state */
  return ALL(features7, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31) && ALL(saved, 0xe6u);
}
#endif

const char *fl_isa_name(int isa) { return isa >= 0 && isa < ISA_COUNT ? isa_names[isa] : NULL; }

int fl_isa_compiled(int isa) { return isa >= 0 && isa < ISA_COUNT && tables[isa][0] != NULL; }

int fl_isa_supported(int isa) {
  if (isa == BASELINE) return 1;
#ifdef X86
  if (isa == AVX2 || isa == AVX512) return x86_supports(isa);
#endif
#ifdef FASTLOSS_NEON
  if (isa == NEON) return 1; /* part of every AArch64 processor */
#endif
  return 0;
}

int fl_isa_select(int isa) {
  if (!fl_isa_compiled(isa) || !fl_isa_supported(isa)) return -1;
  selected = isa;
  return 0;
}

int fl_isa_selected(void) { return selected; }

const fl_kernels *fl_table(int bits) { return tables[selected][bits == 64]; }
