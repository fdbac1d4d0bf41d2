/* Memory for large new results: pages that an earlier result has left behind, or new ones. See pages.c. */
#ifndef FASTLOSS_PAGES_H
#define FASTLOSS_PAGES_H

#include <stddef.h>

/* At most how much is kept, and whether huge pages are asked for; before the first piece. */
void fl_pages_settle(size_t limit, int huge);

/* At least `bytes`, aligned to pages, of any content; how much it is. NULL: nothing of that size is kept here, or there
 * is no memory. */
void *fl_pages_take(size_t bytes, size_t *capacity);

/* Gives a piece back, with its capacity. */
void fl_pages_give(void *piece, size_t capacity);

/* Bytes that are kept now. */
size_t fl_pages_kept(void);

#endif
