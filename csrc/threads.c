/* Whether a parallel region may be opened now, and whether it pays: fork, nesting, concurrency, sleeping teams.
 *
 * libgomp's pool does not survive fork: the first parallel region of a child whose parent had one
 * waits for threads that do not exist. So such a child runs serially for good. One region at a
 * time: a call that comes while another Python thread is in one, or from inside somebody else's
 * parallel region, runs serially too, which keeps the number of threads of the process bounded
 * and, since results do not depend on the number of threads, changes nothing else.
 *
 * What a region costs depends on its team. Measured with two cores: threads that still spin (libgomp: for milliseconds
 * after their last region) start in 1 to 3 microseconds, and a region pays from about 10 microseconds of work on; threads
 * that sleep take 40 to 60 to wake, and two are first as fast as one at 60 (huber_loss), 75
 * (binary_cross_entropy_with_logits) and 150 microseconds (cross_entropy, 1000 classes). So COLD_WORK is always shared
 * out, and less only with a team that was used just now. Where many threads want the cores, a thread that wakes may wait
 * for one for a scheduler's tick, 4 milliseconds were seen, and all others for it. So calls that follow each other closely
 * without such a team save up what two threads would have won, and wake it when that is a millisecond (cross_entropy of
 * 4096 x 10 in a long loop: 1.8 times as fast). What regions then win or lose against one thread is added up, to that
 * millisecond at most; where it comes out below nothing, such work stays on one thread for 4 milliseconds, twice as long
 * every further time, and less again after good regions: where cores are taken, little is lost to trying.
 */
#include "threads.h"

#include <stdlib.h>

#ifdef _OPENMP
#include <omp.h>
#endif

/* Nanoseconds: of one thread's work; of time. */
#define COLD_WORK 150e3
#define STILL_SPINS 1e6
#define WAKING 1e6
#define BACK_OFF 4e6
#define LONGEST_BACK_OFF 128e6

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

/* Read and written by the owner of `busy` alone. */
static int spins;
static double region_start, expected, region_end = -1e18, call_end = -1e18, saved, won, distrust = -1e18;
static double back_off = BACK_OFF;

#ifndef _WIN32
#include <pthread.h>
static void in_child(void) {
  if (LOAD(&used)) EXCHANGE(&orphaned, 1);
  EXCHANGE(&busy, 0);
}
#endif

void fl_threads_init(void) {
  /* Who says how long threads shall wait may mean that they don't spin at all. */
  spins = !getenv("OMP_WAIT_POLICY") && !getenv("GOMP_SPINCOUNT") && !getenv("KMP_BLOCKTIME");
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

#ifdef _OPENMP
static double now(void) { return omp_get_wtime() * 1e9; }

/* Whether work of FL_LEAST_WORK to COLD_WORK is worth a region now. */
static int team_is_warm(double work, int threads) {
  if (!spins || threads > omp_get_num_procs()) return 0;
  double start = now();
  if (start < distrust) return 0;
  if (start - region_end < STILL_SPINS) {
    expected = work;
    return 1;
  }
  saved = (start - call_end < STILL_SPINS ? saved : 0.0) + 0.5 * work;
  call_end = start + work;
  if (saved < WAKING) return 0;
  saved = 0.0;
  expected = work + WAKING;
  return 1;
}
#endif

int fl_parallel_enter(double work, int threads) {
#ifdef _OPENMP
  if (work < FL_LEAST_WORK || LOAD(&orphaned) || omp_in_parallel()) return 0;
  if (EXCHANGE(&busy, 1)) return 0;
  expected = 0.0; /* of a team that has to wake for large work, nothing is */
  if (work < COLD_WORK && !team_is_warm(work, threads)) {
    EXCHANGE(&busy, 0);
    return 0;
  }
  EXCHANGE(&used, 1);
  region_start = now();
  return 1;
#else
  (void)work, (void)threads;
  return 0;
#endif
}

void fl_parallel_leave(void) {
#ifdef _OPENMP
  region_end = now();
  if (expected > 0.0) {
    won += expected - (region_end - region_start);
    if (won > WAKING) won = WAKING;
    if (won < 0.0) {
      won = 0.0;
      distrust = region_end + back_off;
      back_off = back_off < LONGEST_BACK_OFF ? 2.0 * back_off : LONGEST_BACK_OFF;
    } else if (back_off > BACK_OFF) {
      back_off *= 0.98;
    }
  }
#endif
  EXCHANGE(&busy, 0);
}
