/* The samplers as they are, compiled with a call before every basic block and memory access (test_constant_time.py);
 * and two that are not in constant time, which the test must notice. The trace is taken in trace.c.
 *
 * The keystream is what the test wants it to be; with -DREAL_STREAM it is ChaCha20, traced as well.
 */
#define FASTLOSS_REAL_BITS 64
#include "../../csrc/core/real.h"
#include "../../csrc/privacy/privacy_kernels.h"

void chosen_words(const uint32_t *key, uint64_t counter, uint64_t nonce, uint32_t *words);

#ifdef REAL_STREAM
#include "../../csrc/privacy/chacha20.h"
#else
#define FASTLOSS_CHACHA20_H
static void chacha20(const uint32_t *key, uint64_t counter, uint64_t nonce, uint32_t *words) {
  chosen_words(key, counter, nonce, words);
}
#endif
#include "../../csrc/privacy/grid.h"
#include "../../csrc/privacy/noise.h"

void draw_integers(const uint32_t *key, ptrdiff_t n, const fl_discrete *law, int64_t *sums) {
  discrete_add(key, 0, n, law, sums);
}

void draw_gaussian(const uint32_t *key, ptrdiff_t n, const fl_discrete *law, int64_t *sums) {
  (void)law;
  gaussian(key, 0, n, 1e6, sums);
}

void draw_laplace(const uint32_t *key, ptrdiff_t n, const fl_discrete *law, int64_t *sums) {
  (void)law;
  laplace(key, 0, n, 1e6, sums);
}

/* How the geometric law is drawn elsewhere: trials until one fails. The number of blocks tells the value. */
void draw_by_trials(const uint32_t *key, ptrdiff_t n, const fl_discrete *law, int64_t *sums) {
  uint32_t words[FL_CHACHA_WORDS];
  uint64_t counter = 0;
  (void)law;
  for (ptrdiff_t i = 0; i < n; i++) {
    int64_t value = 0;
    chosen_words(key, counter++, 0, words);
    while (value < 200 && words[value] < 0xf0000000u) value++;
    sums[i] = value;
  }
}

/* A table looked up in: the same blocks, but an address that tells the value. */
void draw_by_table(const uint32_t *key, ptrdiff_t n, const fl_discrete *law, int64_t *sums) {
  uint32_t words[FL_CHACHA_WORDS];
  for (ptrdiff_t i = 0; i < n; i++) {
    chosen_words(key, (uint64_t)i, 0, words);
    sums[i] = law->limits[words[0] % (uint32_t)law->count];
  }
}
