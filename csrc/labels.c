/* Class labels of any integer type, by value (see labels.h). */
#include "labels.h"

#include <string.h>

#define LOAD_LABELS(type)                         \
  for (fl_size i = 0; i < n; i++) {               \
    type e;                                       \
    memcpy(&e, source + i * stride, sizeof e);    \
    labels[i] = (int64_t)e;                       \
  }                                               \
  break;

fl_size fl_load_labels(int type, fl_size n, const char *source, fl_size stride, int has_ignore, int64_t ignore,
                       fl_size classes, int64_t *labels) {
  fl_size bad = 0;
  switch (type) {
    case FL_I8: LOAD_LABELS(int8_t)
    case FL_I16: LOAD_LABELS(int16_t)
    case FL_I32: LOAD_LABELS(int32_t)
    case FL_I64: LOAD_LABELS(int64_t)
    case FL_BOOL:
    case FL_U8: LOAD_LABELS(uint8_t)
    case FL_U16: LOAD_LABELS(uint16_t)
    case FL_U32: LOAD_LABELS(uint32_t)
    default: /* uint64: what int64 cannot hold is above every class and every ignore_index */
      for (fl_size i = 0; i < n; i++) {
        uint64_t e;
        memcpy(&e, source + i * stride, sizeof e);
        labels[i] = e > (uint64_t)INT64_MAX ? INT64_MAX : (int64_t)e;
      }
  }
  for (fl_size i = 0; i < n; i++) bad += !(has_ignore & (labels[i] == ignore)) & ((uint64_t)labels[i] >= (uint64_t)classes);
  for (fl_size i = 0; bad && i < n; i++)
    if (!(has_ignore & (labels[i] == ignore)) && (uint64_t)labels[i] >= (uint64_t)classes) return i;
  for (fl_size i = 0; has_ignore && i < n; i++) labels[i] = labels[i] == ignore ? -1 : labels[i];
  return -1;
}
