/* The ChaCha20 block function (RFC 8439, section 2.3), sixteen blocks at a time. Nothing else: what the
 * words become is noise.h.
 *
 * The RFC's 32-bit counter and 96-bit nonce are here a 64-bit counter (words 12, 13) and a 64-bit nonce
 * (words 14, 15), as in Bernstein's original: the block function is the same, and its published vectors
 * are reached by splitting the RFC's nonce. A stream has 2^64 blocks of 64 bytes.
 *
 * Layout: word-major, words[16 * w + b] for block b, so that the vectoriser takes the loop over blocks
 * and nothing is transposed. The rounds are written out because a loop inside that loop stops it.
 */
#ifndef FASTLOSS_CHACHA20_H
#define FASTLOSS_CHACHA20_H

#include "../core/real.h"
#include "privacy_kernels.h"

#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))
#define QUARTER_ROUND(a, b, c, d)                                      \
  a += b, d = ROTATE(d ^ a, 16), c += d, b = ROTATE(b ^ c, 12),        \
  a += b, d = ROTATE(d ^ a, 8), c += d, b = ROTATE(b ^ c, 7)
#define DOUBLE_ROUND                                                   \
  QUARTER_ROUND(x0, x4, x8, x12), QUARTER_ROUND(x1, x5, x9, x13),      \
  QUARTER_ROUND(x2, x6, x10, x14), QUARTER_ROUND(x3, x7, x11, x15),    \
  QUARTER_ROUND(x0, x5, x10, x15), QUARTER_ROUND(x1, x6, x11, x12),    \
  QUARTER_ROUND(x2, x7, x8, x13), QUARTER_ROUND(x3, x4, x9, x14)

static void chacha20(const uint32_t *key, uint64_t counter, uint64_t nonce, uint32_t *words) {
  const uint32_t c0 = 0x61707865, c1 = 0x3320646e, c2 = 0x79622d32, c3 = 0x6b206574; /* "expand 32-byte k" */
  const uint32_t k0 = key[0], k1 = key[1], k2 = key[2], k3 = key[3];
  const uint32_t k4 = key[4], k5 = key[5], k6 = key[6], k7 = key[7];
  const uint32_t n0 = (uint32_t)nonce, n1 = (uint32_t)(nonce >> 32);
  uint32_t low[16], high[16];
  for (int b = 0; b < 16; b++) {
    low[b] = (uint32_t)(counter + (uint64_t)b);
    high[b] = (uint32_t)((counter + (uint64_t)b) >> 32);
  }
  VECTOR_LOOP
  for (int b = 0; b < 16; b++) {
    uint32_t x0 = c0, x1 = c1, x2 = c2, x3 = c3, x4 = k0, x5 = k1, x6 = k2, x7 = k3;
    uint32_t x8 = k4, x9 = k5, x10 = k6, x11 = k7, x12 = low[b], x13 = high[b], x14 = n0, x15 = n1;
    DOUBLE_ROUND; DOUBLE_ROUND; DOUBLE_ROUND; DOUBLE_ROUND; DOUBLE_ROUND;
    DOUBLE_ROUND; DOUBLE_ROUND; DOUBLE_ROUND; DOUBLE_ROUND; DOUBLE_ROUND;
    words[b] = x0 + c0, words[16 + b] = x1 + c1, words[32 + b] = x2 + c2, words[48 + b] = x3 + c3;
    words[64 + b] = x4 + k0, words[80 + b] = x5 + k1, words[96 + b] = x6 + k2, words[112 + b] = x7 + k3;
    words[128 + b] = x8 + k4, words[144 + b] = x9 + k5, words[160 + b] = x10 + k6, words[176 + b] = x11 + k7;
    words[192 + b] = x12 + low[b], words[208 + b] = x13 + high[b], words[224 + b] = x14 + n0, words[240 + b] = x15 + n1;
  }
}

#undef ROTATE
#undef QUARTER_ROUND
#undef DOUBLE_ROUND

#endif
