/* Keeps the memory of large results that nobody uses any more for the next ones. Not an allocator: a handful of pieces,
 * of many megabytes each. Threads may call it together: whoever comes while another is in here takes a new piece, or
 * gives his back to the system, so that nobody waits, and a child of a fork at that moment loses no more than its pool.
 *
 * Why: what malloc() takes for an array beyond 32 MiB goes back to the system with the array, and the next one's pages
 * are cleared anew: 64 MiB take 7.6 ms to fill where pages are huge and new, 2.5 where they are there; 131 MiB of small
 * pages 70 and 5. The system clears them one after the other, however many threads write, so the fused kernels waited
 * twice as long for it as they worked.
 *
 * The system is told (MADV_FREE) that it may take what is kept when it is short of memory, which needs 0.1 ms for
 * 131 MiB of huge pages and 3 of small ones. Where it can't be told, nothing is kept. Address space and, under strict
 * accounting, commitments stay taken: at most `limit`.
 */
#include "pages.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

#if defined(MADV_FREE) && (defined(MAP_ANONYMOUS) || defined(MAP_ANON))

#include <stdint.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

#define HUGE ((size_t)2 << 20)
#define GRAIN ((size_t)64 << 10) /* the largest page size of the systems that fastloss is built for */
#define PIECES 8

typedef struct { char *data; size_t capacity; } piece;

static piece kept[PIECES]; /* the oldest first */
static int count, ask_for_huge, busy;
static size_t total, limit;

static int enter(void) { return !__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE); }
static void leave(void) { __atomic_store_n(&busy, 0, __ATOMIC_RELEASE); }

void fl_pages_settle(size_t bytes, int huge) {
  limit = bytes;
  ask_for_huge = huge;
}

size_t fl_pages_kept(void) { return total; }

static piece take_out(int k) {
  piece p = kept[k];
  total -= p.capacity;
  count--;
  for (; k < count; k++) kept[k] = kept[k + 1];
  return p;
}

static void drop_oldest(void) {
  piece p = take_out(0);
  munmap(p.data, p.capacity);
}

/* A new piece that begins where a huge page may. */
static char *map(size_t capacity) {
  const size_t whole = capacity + HUGE;
  char *start = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *data;
  if (start == MAP_FAILED) return NULL;
  data = (char *)(((uintptr_t)start + HUGE - 1) / HUGE * HUGE);
  if (data > start) munmap(start, (size_t)(data - start));
  munmap(data + capacity, (size_t)(start + whole - (data + capacity)));
#ifdef MADV_HUGEPAGE
  if (ask_for_huge) madvise(data, capacity, MADV_HUGEPAGE);
#endif
  return data;
}

/* The smallest that is large enough, the latest of these, which may be in a cache; more than twice of what is wanted
 * would be a waste. */
static piece take_kept(size_t bytes) {
  const piece none = {NULL, 0};
  int best = -1;
  for (int k = 0; k < count; k++) {
    size_t capacity = kept[k].capacity;
    if (capacity >= bytes && capacity / 2 <= bytes && (best < 0 || capacity <= kept[best].capacity)) best = k;
  }
  return best < 0 ? none : take_out(best);
}

void *fl_pages_take(size_t bytes, size_t *capacity) {
  piece p = {NULL, 0};
  int alone;
  if (bytes > limit) return NULL;
  alone = enter();
  if (alone) p = take_kept(bytes);
  if (!p.data) {
    p.capacity = (bytes + GRAIN - 1) / GRAIN * GRAIN;
    p.data = map(p.capacity);
    while (!p.data && alone && count > 0) {
      drop_oldest();
      p.data = map(p.capacity);
    }
  }
  if (alone) leave();
  *capacity = p.capacity;
  return p.data;
}

void fl_pages_give(void *data, size_t capacity) {
  const int keeps = capacity <= limit && !madvise(data, capacity, MADV_FREE);
  if (capacity <= limit && !keeps) limit = 0; /* a system that can't be told: new arrays had better be malloc()'s */
  if (!keeps || !enter()) {
    munmap(data, capacity);
    return;
  }
  while (count > 0 && (count == PIECES || total + capacity > limit)) drop_oldest();
  kept[count].data = data;
  kept[count++].capacity = capacity;
  total += capacity;
  leave();
}

#else

void fl_pages_settle(size_t bytes, int huge) { (void)bytes, (void)huge; }
void *fl_pages_take(size_t bytes, size_t *capacity) { (void)bytes, (void)capacity; return NULL; }
void fl_pages_give(void *data, size_t capacity) { (void)data, (void)capacity; }
size_t fl_pages_kept(void) { return 0; }

#endif
