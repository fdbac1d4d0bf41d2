# The C side, declared: csrc/fastloss.h, operand.h, lines.h, labels.h and threads.h. Included in _core.pyx.

cdef extern from "fastloss.h" nogil:
    ctypedef Py_ssize_t fl_size
    ctypedef struct fl_xent:
        fl_size classes
        double label_smoothing
        double temperature
        double logit_softcap
        double z_loss
        const void *class_weight
        const void *next
    ctypedef struct fl_rows:
        void *data
        fl_size row_stride
        fl_size class_stride
    ctypedef struct fl_row_kernels:
        size_t (*cross_entropy_scratch)(const fl_xent *) noexcept nogil
        void (*cross_entropy)(const fl_xent *, fl_size, fl_rows, const int64_t *, fl_rows, const unsigned char *,
                              const double *, double *, fl_rows, fl_rows, void *) noexcept nogil
        size_t (*half_rows_scratch)(fl_size) noexcept nogil
        void (*half_rows)(const fl_xent *, fl_size, int, fl_rows, const int64_t *, const double *, double *, fl_rows,
                          void *) noexcept nogil
        size_t (*shared_row_bytes)(fl_size) noexcept nogil
        int (*shared_begin)(const fl_xent *, const void *, int64_t, double, void *, void *) noexcept nogil
        void (*shared_max)(const void *, fl_size) noexcept nogil
        int (*shared_join)(void *) noexcept nogil
        void (*shared_chunk)(const void *, fl_size, void *) noexcept nogil
        int (*shared_value)(void *, double *) noexcept nogil
        void (*shared_gradient)(const void *, fl_size) noexcept nogil
        size_t (*softmax_scratch)(fl_size) noexcept nogil
        void (*softmax)(fl_size, fl_size, fl_rows, fl_rows, void *) noexcept nogil
        void (*log_softmax)(fl_size, fl_size, fl_rows, fl_rows, void *) noexcept nogil
        void (*logsumexp)(fl_size, fl_size, fl_rows, double *, void *) noexcept nogil
    ctypedef struct fl_pairs:
        fl_size columns
        double *parameter
    ctypedef void fl_pair_rows(const fl_pairs *, fl_size, const void *const *, const double *, const unsigned char *,
                               const double *, double *, void *const *) noexcept nogil
    ctypedef struct fl_overlap:
        double apart_hi
        double apart_lo
        double size_hi
        double size_lo
    ctypedef struct fl_pair_kernels:
        void (*center_add)(fl_size, const void *, const void *, double, double *, double *) noexcept nogil
        void (*center_finish)(fl_size, const double *, const double *, void *) noexcept nogil
        void (*dice_sums)(fl_size, const void *, const void *, int, fl_overlap *) noexcept nogil
        double (*dice_value)(const fl_overlap *, double) noexcept nogil
        void (*dice_gradient)(fl_size, const void *, const void *, int, const fl_overlap *, double, double,
                              void *) noexcept nogil
        void (*unit_rows)(fl_size, fl_size, const void *, fl_size, void *, fl_size, double *) noexcept nogil
        void (*project_rows)(fl_size, fl_size, const void *, fl_size, const double *, const double *, double,
                             const void *, fl_size, void *, fl_size) noexcept nogil
        void (*dot_rows)(fl_size, fl_size, const void *, fl_size, const void *, fl_size, double *) noexcept nogil
        void (*product)(fl_size, fl_size, fl_size, const double *, fl_size, fl_size, const double *, fl_size,
                        double *, fl_size) noexcept nogil
        void (*turn)(fl_size, fl_size, const double *, fl_size, double, double *, fl_size) noexcept nogil
        void (*add_rows)(fl_size, fl_size, const double *, const double *, fl_size, const int64_t *, double *,
                         fl_size) noexcept nogil
        void (*arc_rows)(fl_size, fl_size, const double *, fl_size, const double *, const double *, fl_size,
                         const double *, const int64_t *, const double *, double *, double *, double *, double *,
                         fl_size) noexcept nogil
        void (*centroid_sums)(fl_size, fl_size, fl_size, double *, double *, double *, double *) noexcept nogil
        void (*centroid_gradients)(fl_size, fl_size, fl_size, const double *, const double *, const double *,
                                   double *) noexcept nogil
    ctypedef struct fl_row_call:
        fl_size classes
        fl_size rows
        const double *parameter
        fl_size parameters
        fl_rows x
        const int64_t *target
        fl_rows probability
        const unsigned char *skip
        const double *scale
        double *value
        const double *first
        fl_rows grad
        fl_rows hess
    ctypedef int fl_row_first(const fl_row_call *, void *) noexcept nogil
    ctypedef void fl_row_loss(const fl_row_call *, void *) noexcept nogil
    ctypedef void fl_pointwise(fl_size, int, const void *, const void *, const void *, const double *, double, void *,
                               void *, void *) noexcept nogil
    ctypedef void fl_pointwise_sum(fl_size, int, const void *, const void *, const void *, const double *, double,
                                   void *, double *, double *) noexcept nogil
    ctypedef void fl_unary(fl_size, int, const void *, void *) noexcept nogil
    ctypedef struct fl_kernels:
        int bits
        fl_pointwise **pointwise
        fl_pointwise_sum **pointwise_sum
        fl_unary **unary
        void (*load)(int, fl_size, const char *, fl_size, void *) noexcept nogil
        void (*store)(int, fl_size, const void *, char *, fl_size) noexcept nogil
        void (*sum)(fl_size, const void *, double *, double *) noexcept nogil
        void (*sum_values)(fl_size, void *, double *, double *) noexcept nogil
        int (*check)(int, fl_size, const void *) noexcept nogil
        int (*check_halves)(int, int, fl_size, const void *) noexcept nogil
        int (*check_weight)(fl_size, const void *) noexcept nogil
        void (*weigh)(fl_size, const void *, const void *, void *, void *, void *) noexcept nogil
        void (*fill)(fl_size, double, void *) noexcept nogil
        fl_row_kernels rows
        fl_pair_rows **pairs
        fl_pair_kernels pair
        fl_row_loss **row_loss
        fl_row_first **row_first
        size_t (*row_loss_scratch)(fl_size, fl_size) noexcept nogil
    enum:
        FL_BLOCK
        FL_ROW_CHUNK
        FL_PAIR_ARRAYS
        FL_PAIR_PARAMETERS
        FL_PRODUCT_STEP
        FL_PARAMETERS
        FL_F32
        FL_F64
        FL_I8
        FL_I16
        FL_I32
        FL_I64
        FL_U8
        FL_U16
        FL_U32
        FL_U64
        FL_BOOL
        FL_F16
        FL_BF16
        FL_HALF_X
        FL_HALF_GRAD
        FL_BFLOAT16
        FL_SHOW_SIGNS
        FL_AHEAD
        FL_ANY
        FL_UNIT_INTERVAL
        FL_SIGN
        FL_NON_NEGATIVE
        FL_POSITIVE
    const char **fl_pointwise_names
    const char **fl_row_loss_names
    const char **fl_unary_names
    const char **fl_pairs_names
    const char *fl_isa_name(int)
    int fl_isa_compiled(int)
    int fl_isa_supported(int)
    int fl_isa_select(int)
    int fl_isa_selected()
    const fl_kernels *fl_table(int)

cdef extern from "operand.h" nogil:
    enum:
        FL_MAX_DIMS
    ctypedef struct fl_operand:
        char *data
        int type
        int direct
        int halves
        int ndim
        fl_size *shape
        fl_size *stride
    int fl_type_bytes(int)
    void fl_operand_finish(fl_operand *, int)
    void fl_operand_walk(const fl_operand *, const fl_kernels *, fl_size, fl_size, char *, int)
    const void *fl_operand_read(const fl_operand *, const fl_kernels *, fl_size, fl_size, void *)
    void fl_operand_copy(const fl_operand *, const fl_kernels *, fl_size, fl_size, void *)
    void *fl_operand_target(const fl_operand *, const fl_kernels *, fl_size, void *)
    void fl_operand_write(const fl_operand *, const fl_kernels *, fl_size, fl_size, const void *)

cdef extern from "lines.h" nogil:
    void fetch_lines(int write, int level, uintptr_t first, size_t size)

cdef extern from "labels.h" nogil:
    fl_size fl_load_labels(int, fl_size, const char *, fl_size, int, int64_t, fl_size, int64_t *)

cdef extern from "threads.h" nogil:
    void fl_threads_init()
    int fl_openmp_version()
    double FL_LEAST_WORK
    int fl_parallel_enter(double work, int threads)
    void fl_parallel_leave()

cdef extern from *:
    const char *FASTLOSS_COMPILER
