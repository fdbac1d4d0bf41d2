/* Runs a sampler of samplers.c on keystreams of several kinds and prints, for each, a hash of all that it did.
 *
 * Compiled as it is, with samplers.c instrumented: every basic block entered, every address read or written with its
 * width, every call of the keystream. (GCC instruments before it vectorises, Clang after.) The functions with reserved
 * names are what the instrumented code calls.
 *
 * Compiled with -DSTEPS, with samplers.c as the kernels are compiled: the address of every instruction, one by one, as
 * the system's debugging interface steps through a child process. Exit status 77 where that is not allowed.
 *
 *   trace SAMPLER VALUES PATTERNS < law     (law: laplace inner_bits outer_bits count, then the limits)
 *
 * A line per pattern: hash, events, keystream calls, smallest and largest value. Pattern 0 has words of all zeros, 1 of
 * all ones, the others are pseudo-random, every fourth with high bits of zero or one in most words.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef STEPS
#include <elf.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "../../csrc/privacy/privacy_kernels.h"

#define LARGEST_CALLS 4096

static uint64_t hash, events, calls, pattern;

static void note(uint64_t what, uint64_t x) {
  hash = (hash ^ (what * 0x9e3779b97f4a7c15u + x)) * 0x100000001b3u;
  hash ^= hash >> 29;
  events++;
}

void __sanitizer_cov_trace_pc(void) { note(1, (uint64_t)(uintptr_t)__builtin_return_address(0)); }

#define ACCESS(size)                                                                          \
  void __asan_load##size##_noabort(uintptr_t address) { note(2 + (size << 4), address); }     \
  void __asan_store##size##_noabort(uintptr_t address) { note(3 + (size << 4), address); }
ACCESS(1) ACCESS(2) ACCESS(4) ACCESS(8) ACCESS(16)
void __asan_loadN_noabort(uintptr_t address, size_t size) { note(2 + (size << 4), address); }
void __asan_storeN_noabort(uintptr_t address, size_t size) { note(3 + (size << 4), address); }
void __asan_handle_no_return(void) {}
void *__asan_memcpy(void *to, const void *from, size_t size) { return memcpy(to, from, size); }
void *__asan_memset(void *to, int byte, size_t size) { return memset(to, byte, size); }

static uint64_t mix(uint64_t x) { /* splitmix64 */
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

#ifdef STEPS
static uint32_t used[LARGEST_CALLS][FL_CHACHA_WORDS]; /* what the keystream gave, to be given again without a branch */
static int replayed;
#endif

void chosen_words(const uint32_t *key, uint64_t counter, uint64_t nonce, uint32_t *words) {
#ifdef STEPS
  if (replayed) {
    memcpy(words, used[calls++], sizeof used[0]);
    return;
  }
#endif
  note(4, counter * 8 + nonce);
  calls++;
  for (int i = 0; i < FL_CHACHA_WORDS; i++) {
    uint64_t x = mix(mix(pattern * 1000003 + counter) + (uint64_t)i + key[0]);
    uint32_t w = (uint32_t)x;
    if (pattern % 4 == 3 && (x >> 32 & 3)) w = x >> 40 & 1 ? w >> 20 : ~(w >> 20);
    words[i] = pattern == 0 ? 0 : pattern == 1 ? 0xffffffffu : w;
  }
#ifdef STEPS
  if (calls > LARGEST_CALLS) exit(2);
  memcpy(used[calls - 1], words, sizeof used[0]);
#endif
}

typedef void sampler(const uint32_t *key, ptrdiff_t n, const fl_discrete *law, int64_t *sums);
sampler draw_integers, draw_gaussian, draw_laplace, draw_by_trials, draw_by_table;

#ifdef STEPS
static void step_through(sampler *draw, const uint32_t *key, ptrdiff_t n, const fl_discrete *law, int64_t *sums) {
  int status;
  replayed = 1;
  pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(77);
    raise(SIGSTOP);
    draw(key, n, law, sums);
    _exit(0);
  }
  while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    struct user_regs_struct registers;
    struct iovec place = {&registers, sizeof registers};
    if (ptrace(PTRACE_GETREGSET, child, (void *)NT_PRSTATUS, &place) != 0) exit(77);
#ifdef __x86_64__
    note(5, registers.rip);
#else
    note(5, registers.pc);
#endif
    if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0) exit(77);
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) exit(77);
  replayed = 0;
}
#endif

int main(int argc, char **argv) {
  static const struct { const char *name; sampler *draw; int reals; } samplers[] = {
    {"integers", draw_integers, 0}, {"gaussian", draw_gaussian, 1}, {"laplace", draw_laplace, 1},
    {"trials", draw_by_trials, 0}, {"table", draw_by_table, 0}};
  sampler *draw = NULL;
  int reals = 0;
  for (int i = 0; argc == 4 && i < 5; i++)
    if (strcmp(argv[1], samplers[i].name) == 0) draw = samplers[i].draw, reals = samplers[i].reals;
  if (!draw) return fprintf(stderr, "usage: trace SAMPLER VALUES PATTERNS < law\n"), 2;
  const ptrdiff_t n = atol(argv[2]);
  int64_t limits[1024], *sums = malloc((size_t)n * sizeof *sums); /* what a stepped child writes is its own copy */
  fl_discrete law = {0, 0, 0, 0, limits};
  if (scanf("%d %d %d %td", &law.laplace, &law.inner_bits, &law.outer_bits, &law.count) != 4 || law.count > 1024) return 2;
  for (ptrdiff_t i = 0; i < law.count; i++)
    if (scanf("%" SCNd64, &limits[i]) != 1) return 2;
  for (pattern = 0; pattern < (uint64_t)atol(argv[3]); pattern++) {
    uint32_t key[8];
    for (uint32_t i = 0; i < 8; i++) key[i] = pattern == 0 ? 0 : pattern == 1 ? 0xffffffffu : (uint32_t)mix(pattern * 8 + i);
    memset(sums, 0, (size_t)n * sizeof *sums);
    hash = 0xcbf29ce484222325u, events = calls = 0;
    draw(key, n, &law, sums);
#ifdef STEPS
    uint64_t made = calls;
    hash = 0xcbf29ce484222325u, events = calls = 0;
    step_through(draw, key, n, &law, sums);
    calls = made;
#endif
    double least = 1e300, most = -1e300;
    for (ptrdiff_t i = 0; i < n; i++) {
      double x;
      if (reals) memcpy(&x, &sums[i], sizeof x);
      else x = (double)sums[i];
      least = x < least ? x : least, most = x > most ? x : most;
    }
    printf("%016" PRIx64 " %" PRIu64 " %" PRIu64 " %.17g %.17g\n", hash, events, calls, least, most);
  }
  free(sums);
  return 0;
}
