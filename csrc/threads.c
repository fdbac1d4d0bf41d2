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
 * (binary_cross_entropy_with_logits) and 150 microseconds (cross_entropy, 1000 classes). So COLD_WORK is shared out with
 * any team, and less only with one that was used just now. Where many threads want the cores, a thread that wakes may wait
 * for one for a scheduler's tick, 4 milliseconds were seen, and all others for it. So calls that follow each other closely
 * without such a team save up what two threads would have won, and wake it when that is a millisecond (cross_entropy of
 * 4096 x 10 in a long loop: 1.8 times as fast).
 *
 * What regions then win or lose against one thread is added up, to that millisecond at most; where it comes out below
 * nothing, work of their kind stays on one thread for 4 milliseconds, twice as long every further time, and less again
 * after good regions: where cores are taken, little is lost to trying. Work of COLD_WORK to LARGE_WORK has an account of
 * its own (mse_loss of 1e6 elements was seen at 20 times one thread's time, tick after tick). What one thread takes is an
 * estimate, and a slower machine takes more; so only regions of more than twice of it and a waking lose there. And it
 * forgives at once: after a call of another library, whose threads spin for a while, the first region is late, not the next.
 */
#include "threads.h"

#include <stdlib.h>

#ifdef _OPENMP
#include <omp.h>
#endif

/* Nanoseconds: of one thread's work; of time. */
#define COLD_WORK 150e3
#define LARGE_WORK 20e6
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
static double region_start, expected, region_end = -1e18, call_end = -1e18, saved;
static struct account {
  double won, distrust, back_off;
  const double forgiving; /* what a good region leaves of back_off */
} accounts[2] = {{0.0, -1e18, BACK_OFF, 0.98}, {0.0, -1e18, BACK_OFF, 0.5}}, *account; /* of less than COLD_WORK, of more */

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
static int team_is_warm(double work, double start, int threads) {
  if (!spins || threads > omp_get_num_procs()) return 0;
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

/* The same of any work. Where a scheduler's tick hardly counts, nothing is expected of the team. */
static int team_pays(double work, double start, int threads) {
  account = work < LARGE_WORK ? &accounts[work >= COLD_WORK] : NULL;
  if (!account) return 1;
  if (start < account->distrust) return 0;
  expected = 2.0 * work + WAKING;
  return work >= COLD_WORK || team_is_warm(work, start, threads);
}
#endif

int fl_parallel_enter(double work, int threads) {
#ifdef _OPENMP
  if (work < FL_LEAST_WORK || LOAD(&orphaned) || omp_in_parallel()) return 0;
  if (EXCHANGE(&busy, 1)) return 0;
  double start = now();
  if (!team_pays(work, start, threads)) {
    EXCHANGE(&busy, 0);
    return 0;
  }
  EXCHANGE(&used, 1);
  region_start = start;
  return 1;
#else
  (void)work, (void)threads;
  return 0;
#endif
}

void fl_parallel_leave(void) {
#ifdef _OPENMP
  region_end = now();
  if (account) {
    account->won += expected - (region_end - region_start);
    if (account->won > WAKING) account->won = WAKING;
    if (account->won < 0.0) {
      account->won = 0.0;
      account->distrust = region_end + account->back_off;
      account->back_off = account->back_off < LONGEST_BACK_OFF ? 2.0 * account->back_off : LONGEST_BACK_OFF;
    } else if (account->back_off > BACK_OFF) {
      account->back_off *= account->forgiving;
    }
  }
#endif
  EXCHANGE(&busy, 0);
}
