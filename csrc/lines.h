/* Lines of memory asked for before they are needed: by kernels (core/fetch.h) and by what converts rows for them. */
#ifndef FASTLOSS_LINES_H
#define FASTLOSS_LINES_H

#include <stddef.h>
#include <stdint.h>

/* The lines of so many bytes from an address on, maybe behind the end of an array; constants: write, to be written; level,
 * the cache to which they go. */
#if defined(__GNUC__) || defined(__clang__)
static inline __attribute__((always_inline, unused)) void fetch_lines(int write, int level, uintptr_t first, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) {
    const void *at = (const void *)(first + i);
    if (write && level == 1) __builtin_prefetch(at, 1, 3);
    else if (write) __builtin_prefetch(at, 1, 2);
    else if (level == 1) __builtin_prefetch(at, 0, 3);
    else __builtin_prefetch(at, 0, 2);
  }
}
#else
static inline void fetch_lines(int write, int level, uintptr_t first, size_t bytes) {
  (void)write, (void)level, (void)first, (void)bytes;
}
#endif

#endif
