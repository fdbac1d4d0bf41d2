/* Largest error of one function of csrc/core/math.h in units in the last place (ULP).
 *
 *   cc -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math -std=gnu11 [-mavx2 -mfma ...] \
 *      -DFASTLOSS_REAL_BITS=32 tests/ulp/ulp.c -o ulp -lm
 *   ulp exp exhaustive          every float of the function's domain (about a minute)
 *   ulp exp 100000000 1         that many samples, seed 1; on float or double
 *   ulp exp bits                the checksum of the exhaustive run alone, without the truth (seconds)
 *   ulp exp time                ns per element in cache, best of many
 *
 * Prints: function, bits, inputs tested, max ULP, worst input (hex), result there, number of inputs above 1 ULP,
 * number of wrong special results (NaN, infinity, sign of zero), checksum of all result bits (NaNs as one value):
 * equal checksums on two targets mean equal bits.
 * Truth is libm in double for float and x87 long double for double, so the figures are good to 2^-9 ULP at worst; the
 * ULP is that of the true value's binade, subnormals counting in steps of the smallest one.
 * Not a unit test: it judges nothing, the caller does.
 */
#include "../../csrc/core/math.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if FASTLOSS_REAL_BITS == 32
typedef double truth;
#define T(name) name
#define MIN_EXPONENT (-126)
#else
typedef long double truth;
#define T(name) name##l
#define MIN_EXPONENT (-1022)
#endif
#define BLOCK 4096
#define LN2_TRUTH 0.693147180559945309417232121458176568L
#define PI_2_TRUTH 1.57079632679489661923132169163975144L

static real sin_quarter_(real f) {
  real s, c;
  sincos_quarter_(f, &s, &c);
  return s;
}
static real cos_quarter_(real f) {
  real s, c;
  sincos_quarter_(f, &s, &c);
  return c;
}

static truth true_exp(truth x) { return T(exp)(x); }
static truth true_expm1(truth x) { return T(expm1)(x); }
static truth true_log(truth x) { return T(log)(x); }
static truth true_log1p(truth x) { return T(log1p)(x); }
static truth true_tanh(truth x) { return T(tanh)(x); }
static truth true_sigmoid(truth x) {
  truth z = T(exp)(-T(fabs)(x));
  return (x < 0 ? z : 1) / (1 + z);
}
static truth true_softplus(truth x) {
  truth tail = T(log1p)(T(exp)(-T(fabs)(x)));
  return x > 0 ? x + tail : x == x ? tail : x;
}
static truth true_log_sigmoid(truth x) { return -true_softplus(-x); }
static truth true_sin_quarter(truth f) { return T(sin)((truth)PI_2_TRUTH * f); }
static truth true_cos_quarter(truth f) { return T(cos)((truth)PI_2_TRUTH * f); }

/* One vectorised loop per function. */
#define LOOP(name)                                                                                                     \
  static void block_##name(const real *x, real *y) {                                                                   \
    VECTOR_LOOP for (int i = 0; i < BLOCK; i++) y[i] = name##_(x[i]);                                                  \
  }
LOOP(exp)
LOOP(exp_nonpositive)
LOOP(expm1)
LOOP(log)
LOOP(log1p)
LOOP(log1p_unit)
LOOP(tanh)
LOOP(sigmoid)
LOOP(softplus)
LOOP(log_sigmoid)
LOOP(sin_quarter)
LOOP(cos_quarter)

/* [low, high]: the domain (NaN belongs to it where it is infinite); [from, to]: where half of the samples fall;
 * breakpoints: multiples of ln2/2 (reduction of exp) or 0.7, 1, 1.4 times powers of two (reduction of log). */
enum { AT_LN2, AT_POWERS };
static const struct function {
  const char *name;
  void (*block)(const real *, real *);
  truth (*truth)(truth);
  double low, high, from, to;
  int breakpoints;
} functions[] = {
#define EXP_FROM (FASTLOSS_REAL_BITS == 32 ? -105.0 : -746.5)
#define EXP_TO (FASTLOSS_REAL_BITS == 32 ? 90.0 : 711.0)
    {"exp", block_exp, true_exp, -INFINITY, INFINITY, EXP_FROM, EXP_TO, AT_LN2},
    {"exp_nonpositive", block_exp_nonpositive, true_exp, -INFINITY, 0, EXP_FROM, 0, AT_LN2},
    {"expm1", block_expm1, true_expm1, -INFINITY, INFINITY, -41, 41, AT_LN2},
    {"log", block_log, true_log, -INFINITY, INFINITY, 0, 4, AT_POWERS},
    {"log1p", block_log1p, true_log1p, -INFINITY, INFINITY, -1, 3, AT_POWERS},
    {"log1p_unit", block_log1p_unit, true_log1p, 0, 1, 0, 1, AT_POWERS},
    {"tanh", block_tanh, true_tanh, -INFINITY, INFINITY, -10, 10, AT_LN2},
    {"sigmoid", block_sigmoid, true_sigmoid, -INFINITY, INFINITY, -40, 40, AT_LN2},
    {"softplus", block_softplus, true_softplus, -INFINITY, INFINITY, -20, 20, AT_LN2},
    {"log_sigmoid", block_log_sigmoid, true_log_sigmoid, -INFINITY, INFINITY, -20, 20, AT_LN2},
    {"sin_quarter", block_sin_quarter, true_sin_quarter, -0.5, 0.5, -0.5, 0.5, AT_POWERS},
    {"cos_quarter", block_cos_quarter, true_cos_quarter, -0.5, 0.5, -0.5, 0.5, AT_POWERS},
};

struct result {
  double worst, input;
  real value;
  uint64_t tested, above, wrong, checksum;
};

/* Error in ULP of the exact value; a negative answer means a wrong NaN, infinity or sign of zero. */
static double ulp_error(real got, truth exact) {
  if (exact != exact || got != got) return exact != exact && got != got ? 0 : -1;
  if (exact == 0) return got == 0 && !signbit(got) == !signbit(exact) ? 0 : -1;
  truth limit = T(ldexp)(1, FASTLOSS_REAL_BITS == 32 ? 128 : 1024);
  if (T(fabs)(exact) >= limit) return got == (exact > 0 ? REAL_INF : -REAL_INF) ? 0 : -1;
  truth value = got == REAL_INF ? limit : got == -REAL_INF ? -limit : (truth)got;
  double magnitude = (double)T(fabs)(exact); /* its exponent, by hand as frexp and ldexp dominate the run */
  uint64_t bits, scale_bits;
  memcpy(&bits, &magnitude, sizeof bits);
  bits -= (truth)magnitude > T(fabs)(exact);
  int e = (int)(bits >> 52) - 1023;
  if (e < MIN_EXPONENT) e = MIN_EXPONENT;
  if (abs(e) > 900) return (double)T(ldexp)(T(fabs)(value - exact), REAL_MANTISSA - e);
  scale_bits = (uint64_t)(1023 + REAL_MANTISSA - e) << 52;
  double scale;
  memcpy(&scale, &scale_bits, sizeof scale);
  return (double)(T(fabs)(value - exact) * (truth)scale);
}

static int in_domain(const struct function *f, real x) {
  if (x != x) return isinf(f->low) || isinf(f->high);
  return (double)x >= f->low && (double)x <= f->high && !(f->low == 0 && signbit(x));
}

static void check_block(const struct function *f, const real *x, int count, int bits_only, struct result *r) {
  static real y[BLOCK];
  f->block(x, y);
  for (int i = 0; i < count; i++) {
    if (!in_domain(f, x[i])) continue;
    ureal bits = y[i] == y[i] ? bits_of(y[i]) : 0x7fc00000;
    r->checksum = (r->checksum ^ bits) * UINT64_C(0x100000001b3);
    r->tested++;
    if (bits_only) continue;
    double error = ulp_error(y[i], f->truth((truth)x[i]));
    r->wrong += error < 0;
    r->above += error > 1;
    if (error < 0 ? r->wrong == 1 : error > r->worst && !r->wrong) {
      if (error > 0) r->worst = error;
      r->input = x[i];
      r->value = y[i];
    }
  }
}

static uint64_t state;
static uint64_t next(void) { /* splitmix64 */
  uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

/* Half uniform in [from, to]; a quarter any bits (all exponents, subnormal, NaN); an eighth log-uniform with the
 * exponents where the functions change; an eighth within 32 steps of a breakpoint. */
static real sample(const struct function *f) {
  static const double edges[] = {0.7, 1.0, 1.4};
  uint64_t kind = next(), bits = next();
  double unit = (double)(bits >> 11) * 0x1p-53;
  if (kind % 8 < 4) return (real)(f->from + unit * (f->to - f->from));
  if (kind % 8 < 6) return real_of((ureal)bits);
  if (kind % 8 == 6) return copysign_((real)ldexp(1 + unit, (int)(kind >> 8) % 72 - 62), (kind >> 40) & 1 ? 1 : -1);
  int halves = (int)(bits % 301) - 150 + (bits & 1024 ? (int)(kind % 2000) - 1000 : 0);
  double edge = f->breakpoints == AT_LN2
                    ? (double)LN2_TRUTH / 2 * halves
                    : ldexp(edges[bits % 3], (int)((kind >> 8) % 64) - 40) - (f->low < 0 && bits & 4096 ? 1 : 0);
  ureal near = bits_of((real)edge) + (ureal)(kind >> 50) % 65 - 32;
  return real_of(near);
}

static void run_exhaustive(const struct function *f, int bits_only, struct result *r) {
  static real x[BLOCK];
  for (uint64_t start = 0; start < UINT64_C(1) << 32; start += BLOCK) {
    for (uint64_t i = 0; i < BLOCK; i++) x[i] = real_of((ureal)(start + i));
    check_block(f, x, BLOCK, bits_only, r);
  }
}

static void run_samples(const struct function *f, uint64_t count, struct result *r) {
  static const double special[] = {0.0, -0.0, INFINITY, -INFINITY, NAN,  1,  -1, 0.4,
                                   0.5, -0.5, 0x1p60,   -104,      -746, 89, 710};
  static real x[BLOCK];
  for (size_t i = 0; i < sizeof special / sizeof *special; i++) x[i] = (real)special[i];
  check_block(f, x, sizeof special / sizeof *special, 0, r);
  while (r->tested < count) { /* inputs outside the domain are skipped and not counted */
    for (int i = 0; i < BLOCK; i++) x[i] = sample(f);
    check_block(f, x, BLOCK, 0, r);
  }
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Inputs are uniform in [from, to]; the minimum over several places in memory, as some are slower. */
static double run_time(const struct function *f) {
  double best = 1e9, low = fmax(f->from, -20), high = fmin(f->to, 20);
  for (int place = 0; place < 8; place++) {
    char *memory = malloc(2 * BLOCK * sizeof(real) + 8192);
    real *x = (real *)(void *)(memory + 64 * place), *y = x + BLOCK + 32 * place;
    for (int i = 0; i < BLOCK; i++) x[i] = (real)(low + (high - low) * (double)(next() >> 11) * 0x1p-53);
    for (int repeat = 0; repeat < 100; repeat++) {
      double start = seconds();
      for (int inner = 0; inner < 8; inner++) f->block(x, y);
      best = fmin(best, seconds() - start);
    }
    free(memory);
  }
  return best / (8.0 * BLOCK) * 1e9;
}

int main(int argc, char **argv) {
  const struct function *f = NULL;
  for (size_t i = 0; argc >= 3 && i < sizeof functions / sizeof *functions; i++)
    if (strcmp(functions[i].name, argv[1]) == 0) f = &functions[i];
  int bits_only = argc >= 3 && strcmp(argv[2], "bits") == 0;
  int exhaustive = bits_only || (argc >= 3 && strcmp(argv[2], "exhaustive") == 0);
  if (!f || (FASTLOSS_REAL_BITS != 32 && exhaustive)) {
    fprintf(stderr, "usage: ulp FUNCTION exhaustive | bits (both float only) | SAMPLES SEED | time\n");
    return 2;
  }
  state = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
  if (strcmp(argv[2], "time") == 0) return printf("%s %d %.3f ns\n", f->name, FASTLOSS_REAL_BITS, run_time(f)) < 0;
  struct result r = {0};
  if (exhaustive) run_exhaustive(f, bits_only, &r);
  else run_samples(f, strtoull(argv[2], NULL, 0), &r);
  printf("%s %d tested %llu max %.4f at %a -> %a above1 %llu wrong %llu checksum %016llx\n", f->name,
         FASTLOSS_REAL_BITS, (unsigned long long)r.tested, r.worst, r.input, (double)r.value,
         (unsigned long long)r.above, (unsigned long long)r.wrong, (unsigned long long)r.checksum);
  return 0;
}
