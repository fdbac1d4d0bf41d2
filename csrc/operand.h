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
  int halves; /* contiguous, of any alignment, of a half type where the real type is float: sum kernels read them so */
  int ndim;
  fl_size shape[FL_MAX_DIMS];
  fl_size stride[FL_MAX_DIMS]; /* bytes */
} fl_operand;

/* Bytes of an element of a type. */
int fl_type_bytes(int type);

/* Sets `direct` and merges axes that lie one behind the other. `data`, `type`, `ndim`, `shape` and
 * `stride` are set by the caller. */
void fl_operand_finish(fl_operand *operand, int bits);

/* Elements start ... start+n in C order: gathered into `block`, or (store) taken home from it. */
void fl_operand_walk(const fl_operand *operand, const fl_kernels *kernels, fl_size start, fl_size n, char *block,
                     int store);

/* Where a kernel finds those elements: where they lie, or gathered into `scratch`. NULL if absent. Inline, as all that
 * follows: the common operand is direct, and a dozen calls a block would be a twentieth of a cheap loss's time. */
static inline const void *fl_operand_read(const fl_operand *o, const fl_kernels *kernels, fl_size start, fl_size n,
                                          void *scratch) {
  if (!o->data) return NULL;
  if (o->direct) return o->data + start * (kernels->bits / 8);
  if (o->ndim == 1) /* the common array of a half type: no divisions by its shape */
    kernels->load(o->type, n, o->data + start * o->stride[0], o->stride[0], scratch);
  else
    fl_operand_walk(o, kernels, start, n, scratch, 0);
  return scratch;
}

/* Those elements in `block`. */
static inline void fl_operand_copy(const fl_operand *o, const fl_kernels *kernels, fl_size start, fl_size n,
                                   void *block) {
  fl_operand_walk(o, kernels, start, n, (char *)block, 0);
}

/* Where it should write them, and what takes them home afterwards. */
static inline void *fl_operand_target(const fl_operand *o, const fl_kernels *kernels, fl_size start, void *scratch) {
  if (!o->data) return NULL;
  return o->direct ? o->data + start * (kernels->bits / 8) : scratch;
}

static inline void fl_operand_write(const fl_operand *o, const fl_kernels *kernels, fl_size start, fl_size n,
                                    const void *written) {
  if (o->data && !o->direct) fl_operand_walk(o, kernels, start, n, (char *)written, 1);
}

#endif
