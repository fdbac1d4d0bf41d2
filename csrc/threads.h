/* Whether a parallel region may be opened now: fork, nesting and concurrency (not how many threads). */
#ifndef FASTLOSS_THREADS_H
#define FASTLOSS_THREADS_H

/* Call once at import. */
void fl_threads_init(void);
/* 1 where this build has OpenMP; its version date (_OPENMP), or 0. */
int fl_openmp_version(void);
/* Claims the one parallel region of this process: 1, or 0 where the caller must run serially. */
int fl_parallel_enter(void);
void fl_parallel_leave(void);

#endif
