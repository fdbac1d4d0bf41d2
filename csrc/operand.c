/* An n-dimensional array as a pointwise kernel meets it (see operand.h). */
#include "operand.h"

static const int size_of[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1, 2, 2};

int fl_type_bytes(int type) { return size_of[type]; }

void fl_operand_finish(fl_operand *o, int bits) {
  int size = size_of[o->type], n = 0;
  for (int k = 0; k < o->ndim; k++) {
    if (o->shape[k] == 1) continue;
    if (n > 0 && o->stride[n - 1] == o->shape[k] * o->stride[k]) {
      o->shape[n - 1] *= o->shape[k];
    } else {
      o->shape[n] = o->shape[k];
      n++;
    }
    o->stride[n - 1] = o->stride[k];
  }
  if (n == 0) {
    o->shape[0] = 1;
    o->stride[0] = size;
    n = 1;
  }
  o->ndim = n;
  o->direct = o->type == (bits == 64 ? FL_F64 : FL_F32) && n == 1 && o->stride[0] == size &&
              (uintptr_t)o->data % (uintptr_t)size == 0;
  o->halves = bits == 32 && (o->type == FL_F16 || o->type == FL_BF16) && n == 1 && o->stride[0] == size;
}

/* Calls load or store for every run of elements along the last axis. */
void fl_operand_walk(const fl_operand *o, const fl_kernels *kernels, fl_size start, fl_size n, char *block, int store) {
  const fl_size size = size_of[kernels->bits == 64 ? FL_F64 : FL_F32];
  fl_size index[FL_MAX_DIMS], rest = start;
  char *at = o->data;
  int last = o->ndim - 1;
  if (n == 0) return; /* an axis may have no elements */
  for (int k = last; k >= 0; k--) {
    index[k] = rest % o->shape[k];
    rest /= o->shape[k];
    at += index[k] * o->stride[k];
  }
  while (n > 0) {
    fl_size run = o->shape[last] - index[last];
    if (run > n) run = n;
    if (store)
      kernels->store(o->type, run, block, at, o->stride[last]);
    else
      kernels->load(o->type, run, at, o->stride[last], block);
    block += run * size;
    n -= run;
    at += run * o->stride[last];
    index[last] += run;
    for (int k = last; k > 0 && index[k] == o->shape[k]; k--) {
      index[k] = 0;
      at += o->stride[k - 1] - o->shape[k] * o->stride[k];
      index[k - 1]++;
    }
  }
}
