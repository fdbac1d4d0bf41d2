/* The transforms of csrc/privacy/noise.h, fed with words of the caller's choice in place of a keystream.
 *
 *   cc -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math -std=gnu11 [-mavx2 -mfma] \
 *      -DFASTLOSS_REAL_BITS=32 tests/proofs/transform.c -o transform -lm
 *   transform gaussian < words > values
 *
 * Reads groups of 256 words of 32 bits and writes every group's values as doubles. Judges nothing.
 */
#define FASTLOSS_CHACHA20_H /* the words come from here instead */
#include "../../csrc/core/real.h"
#include "../../csrc/privacy/privacy_kernels.h"
#include <stdio.h>
#include <string.h>

static uint32_t given[FL_CHACHA_WORDS];

static void chacha20(const uint32_t *key, uint64_t counter, uint64_t nonce, uint32_t *words) {
  (void)key, (void)counter, (void)nonce;
  memcpy(words, given, sizeof given);
}

#include "../../csrc/privacy/noise.h"

int main(int count, char **names) {
  const int laplace_wanted = count > 1 && strcmp(names[1], "laplace") == 0;
  while (fread(given, sizeof given, 1, stdin) == 1) {
    real z[FL_CHACHA_WORDS];
    int n = laplace_wanted ? 128 : GAUSSIANS;
#if FASTLOSS_REAL_BITS == 64
    if (laplace_wanted) laplace(NULL, 0, n, 1.0, z);
    else
#endif
      gaussian(NULL, 0, n, 1.0, z);
    for (int i = 0; i < n; i++) {
      double value = (double)z[i];
      fwrite(&value, sizeof value, 1, stdout);
    }
  }
  return 0;
}
