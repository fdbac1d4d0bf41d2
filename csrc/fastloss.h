/* The one interface between the C kernels and everything above them: plain C types, no `real`.
 *
 * A kernel table holds every block function for one real type, compiled for one instruction set;
 * fl_table() hands out the chosen one. Arrays of the table's real type are `void *` here.
 */
#ifndef FASTLOSS_H
#define FASTLOSS_H

#include <stddef.h>
#include <stdint.h>

#include "pairs/pair_kernels.h"
#include "privacy/privacy_kernels.h"
#include "rows/row_call.h"

typedef ptrdiff_t fl_size;

enum {
#define POINTWISE(name, aux) FL_##name,
#include "losses.def"
#undef POINTWISE
  FL_POINTWISE_COUNT
};

enum {
#define ROW_LOSS(name) FL_##name,
#include "row_losses.def"
#undef ROW_LOSS
  FL_ROW_LOSS_COUNT
};

enum {
#define UNARY(name) FL_##name,
#include "unary.def"
#undef UNARY
  FL_UNARY_COUNT
};

enum {
#define PAIR_LOSS(name, arrays) FL_##name,
#include "pairs.def"
#undef PAIR_LOSS
  FL_PAIRS_COUNT
};

/* Elements of a block of a pointwise loss: 8 KB of float32, so that a block of every array
 * involved stays in the first- and second-level caches between the passes over it. */
#define FL_BLOCK 2048

/* Most scalar parameters that a pointwise loss takes. */
#define FL_PARAMETERS 4

/* Element types that load_block() reads. store_block() writes the real type and, from float, the last two. */
enum { FL_F32, FL_F64, FL_I8, FL_I16, FL_I32, FL_I64, FL_U8, FL_U16, FL_U32, FL_U64, FL_BOOL, FL_F16, FL_BF16 };

/* Domains that check_block() knows: what a target (or prediction) may be, NaN apart. */
enum { FL_ANY, FL_UNIT_INTERVAL, FL_SIGN, FL_NON_NEGATIVE, FL_POSITIVE };

/* One block of a pointwise loss: value[i], grad[i] and hess[i], the latter two times `scale`, where the pointer is not
 * NULL (hess needs grad, and only with hess may value be NULL). grad or hess may be x itself. aux NULL is 1 everywhere.
 * flags: FL_AHEAD where what lies behind the block in memory comes next, and is not in the caches; loops that compute much
 * fetch it. (A sum kernel gives some of them arrays of a half type: flags says so then, as below; n is a multiple of 64, value
 * and grad are wanted, hess is not, and grad is not x.) */
typedef void fl_pointwise(fl_size n, int flags, const void *x, const void *target, const void *aux, const double *parameter,
                          double scale, void *value, void *grad, void *hess);
/* Which arrays of a sum kernel are of a half type, by the bits of their operands in _operands.pxi; and which type it is.
 * FL_SHOW_SIGNS, of a loss whose labels are signs: the sum shall be NaN where one is not, whatever its weight.
 * FL_AHEAD: as above. */
enum { FL_HALF_X = 1 << 0, FL_HALF_TARGET = 1 << 1, FL_HALF_WEIGHT = 1 << 3, FL_HALF_GRAD = 1 << 6, FL_BFLOAT16 = 1 << 8,
       FL_SHOW_SIGNS = 1 << 9, FL_AHEAD = 1 << 10 };
/* The same without stored values (and with aux 1): n <= FL_BLOCK values in, *hi + *lo their weighted sum as .weigh and
 * .sum_values give it. weight and grad may be NULL; grad must not be x. flags: of those above, halves for the float
 * kernel; such arrays may have any alignment. */
typedef void fl_pointwise_sum(fl_size n, int flags, const void *x, const void *target, const void *weight,
                              const double *parameter, double scale, void *grad, double *hi, double *lo);
typedef void fl_unary(fl_size n, int ahead, const void *x, void *y);

typedef struct fl_kernels {
  int bits; /* of the real type: 32 or 64 */
  fl_pointwise *pointwise[FL_POINTWISE_COUNT];
  fl_pointwise_sum *pointwise_sum[FL_POINTWISE_COUNT];
  fl_unary *unary[FL_UNARY_COUNT];

  /* n elements of `type`, `stride` bytes apart and of any alignment, converted to real; and back, rounded once to
   * nearest even. */
  void (*load)(int type, fl_size n, const char *source, fl_size stride, void *destination);
  void (*store)(int type, fl_size n, const void *source, char *destination, fl_size stride);
  /* *hi + *lo = the sum of the block; sum_values is a little less exact and faster. */
  void (*sum)(fl_size n, const void *value, double *hi, double *lo);
  void (*sum_values)(fl_size n, void *value, double *hi, double *lo);
  /* 1 where every element lies in the domain (NaN: only FL_SIGN refuses it). */
  int (*check)(int domain, fl_size n, const void *value);
  int (*check_halves)(int bfloat16, int domain, fl_size n, const void *value);
  /* 1 where every weight is finite and not negative. */
  int (*check_weight)(fl_size n, const void *weight);
  /* value *= weight; grad and hess *= weight * upstream; an element of weight 0 becomes exactly 0.
   * weight, upstream and each of the outputs may be NULL. */
  void (*weigh)(fl_size n, const void *weight, const void *upstream, void *value, void *grad, void *hess);
  void (*fill)(fl_size n, double x, void *value);

  fl_row_kernels rows;
  fl_pair_rows *pairs[FL_PAIRS_COUNT];
  fl_pair_kernels pair;
  fl_row_loss *row_loss[FL_ROW_LOSS_COUNT];
  fl_row_first *row_first[FL_ROW_LOSS_COUNT]; /* NULL where a loss has none */
  size_t (*row_loss_scratch)(fl_size classes, fl_size rows);
  fl_privacy_kernels privacy;
} fl_kernels;

/* Names in the order of the enums, NULL-terminated. */
extern const char *const fl_pointwise_names[];
extern const char *const fl_row_loss_names[];
extern const char *const fl_unary_names[];
extern const char *const fl_pairs_names[];

/* Instruction sets, best last; fl_isa_name(i) is NULL past the end. Compiled in and supported by
 * this CPU (and its operating system: XGETBV) are separate questions. */
const char *fl_isa_name(int isa);
int fl_isa_compiled(int isa);
int fl_isa_supported(int isa);
/* Chooses the instruction set of all later calls; 0 on success. */
int fl_isa_select(int isa);
int fl_isa_selected(void);
const fl_kernels *fl_table(int bits);

#endif
