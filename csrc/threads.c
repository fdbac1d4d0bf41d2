/* Whether a parallel region may be opened now: fork, nesting and concurrency.
 *
 * libgomp's pool does not survive fork: the first parallel region of a child whose parent had one
 * waits for threads that do not exist. So such a child runs serially for good. One region at a
 * time: a call that comes while another Python thread is in one, or from inside somebody else's
 * parallel region, runs serially too, which keeps the number of threads of the process bounded
 * and, since results do not depend on the number of threads, changes nothing else.
 */
#include "threads.h"

#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
static volatile long busy, used, orphaned;
#define EXCHANGE(p, v) _InterlockedExchange((p), (v))
#define LOAD(p) _InterlockedOr((p), 0)
#else
static long busy, used, orphaned;
#define EXCHANGE(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
#define LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#endif

#ifndef _WIN32
#include <pthread.h>
static void in_child(void) {
  if (LOAD(&used)) EXCHANGE(&orphaned, 1);
  EXCHANGE(&busy, 0);
}
#endif

void fl_threads_init(void) {
#ifndef _WIN32
  pthread_atfork(NULL, NULL, in_child);
#endif
}

int fl_openmp_version(void) {
#ifdef _OPENMP
  return _OPENMP;
#else
  return 0;
#endif
}

int fl_parallel_enter(void) {
#ifdef _OPENMP
  if (LOAD(&orphaned) || omp_in_parallel()) return 0;
  if (EXCHANGE(&busy, 1)) return 0;
  EXCHANGE(&used, 1);
  return 1;
#else
  return 0;
#endif
}

void fl_parallel_leave(void) { EXCHANGE(&busy, 0); }
