/* Whether a parallel region may be opened now, and pays (not how many threads). */
#ifndef FASTLOSS_THREADS_H
#define FASTLOSS_THREADS_H

/* Nanoseconds of one thread's work that are never worth a second thread. */
#define FL_LEAST_WORK 20e3

/* Call once at import. */
void fl_threads_init(void);
/* 1 where this build has OpenMP; its version date (_OPENMP), or 0. */
int fl_openmp_version(void);
/* Claims the one parallel region of this process for `work` nanoseconds of one thread: 1, or 0 where the caller must or
 * had better run serially. */
int fl_parallel_enter(double work, int threads);
void fl_parallel_leave(void);

#endif
