/* An n-dimensional array as a pointwise kernel meets it: any strides, type or alignment, read and
 * written block by block in logical (C) order. Knows layouts; does no arithmetic.
 */
#ifndef FASTLOSS_OPERAND_H
#define FASTLOSS_OPERAND_H

#include "fastloss.h"

#define FL_MAX_DIMS 64

typedef struct fl_operand {
  char *data; /* NULL: absent */
  int type;   /* FL_F32 ... */
  int direct; /* contiguous, aligned and of the table's real type: blocks are used where they lie */
  int ndim;
  fl_size shape[FL_MAX_DIMS];
  fl_size stride[FL_MAX_DIMS]; /* bytes */
} fl_operand;

/* Sets `direct` and merges axes that lie one behind the other. `data`, `type`, `ndim`, `shape` and
 * `stride` are set by the caller. */
void fl_operand_finish(fl_operand *operand, int bits);

/* Elements start ... start+n in C order: where they lie, or gathered into `scratch`. NULL if absent. */
const void *fl_operand_read(const fl_operand *operand, const fl_kernels *kernels, fl_size start, fl_size n,
                            void *scratch);
/* Where a kernel should write those elements, and what takes them home afterwards. */
void *fl_operand_target(const fl_operand *operand, fl_size start, void *scratch);
void fl_operand_write(const fl_operand *operand, const fl_kernels *kernels, fl_size start, fl_size n,
                      const void *written);

#endif
