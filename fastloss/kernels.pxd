# The kernels of fastloss for Cython: the functions of fastloss_kernels.h, which says what each does, and the same without
# a suffix for both real types. Compile with include_dirs=[fastloss.get_include()], and call fastloss_import() first.

from libc.stdint cimport int64_t

cdef extern from "fastloss_kernels.h" nogil:
    enum:
        FASTLOSS_ABI_MAJOR
        FASTLOSS_ABI_MINOR
        FASTLOSS_PARAMETERS

    ctypedef struct fastloss_loss:
        int number
        int parameters
        double parameter[16]

    ctypedef struct fastloss_cross_entropy_options:
        double label_smoothing
        double temperature
        double logit_softcap
        double z_loss
        const void *class_weight

    int fastloss_import() except -1 with gil
    int fastloss_loss_init(fastloss_loss *, const char *, int, const double *) noexcept
    int fastloss_activation(const char *) noexcept
    void fastloss_pointwise_f32(const fastloss_loss *, Py_ssize_t, const float *, const float *, const float *, double,
                                float *, float *, float *) noexcept
    void fastloss_pointwise_f64(const fastloss_loss *, Py_ssize_t, const double *, const double *, const double *,
                                double, double *, double *, double *) noexcept
    double fastloss_pointwise_sum_f32(const fastloss_loss *, Py_ssize_t, const float *, const float *, const float *,
                                      double, float *) noexcept
    double fastloss_pointwise_sum_f64(const fastloss_loss *, Py_ssize_t, const double *, const double *, const double *,
                                      double, double *) noexcept
    void fastloss_elementwise_f32(int, Py_ssize_t, const float *, float *) noexcept
    void fastloss_elementwise_f64(int, Py_ssize_t, const double *, double *) noexcept
    Py_ssize_t fastloss_cross_entropy_f32(const fastloss_cross_entropy_options *, Py_ssize_t, Py_ssize_t, const float *,
                                          const int64_t *, const double *, double *, float *, float *) noexcept
    Py_ssize_t fastloss_cross_entropy_f64(const fastloss_cross_entropy_options *, Py_ssize_t, Py_ssize_t,
                                          const double *, const int64_t *, const double *, double *, double *,
                                          double *) noexcept
    int fastloss_softmax_f32(Py_ssize_t, Py_ssize_t, const float *, float *) noexcept
    int fastloss_softmax_f64(Py_ssize_t, Py_ssize_t, const double *, double *) noexcept
    int fastloss_log_softmax_f32(Py_ssize_t, Py_ssize_t, const float *, float *) noexcept
    int fastloss_log_softmax_f64(Py_ssize_t, Py_ssize_t, const double *, double *) noexcept
    int fastloss_logsumexp_f32(Py_ssize_t, Py_ssize_t, const float *, double *) noexcept
    int fastloss_logsumexp_f64(Py_ssize_t, Py_ssize_t, const double *, double *) noexcept

ctypedef fused real:
    float
    double


cdef inline void pointwise(const fastloss_loss *loss, Py_ssize_t n, const real *x, const real *target, const real *aux,
                           double scale, real *value, real *grad, real *hess) noexcept nogil:
    if real is float:
        fastloss_pointwise_f32(loss, n, x, target, aux, scale, value, grad, hess)
    else:
        fastloss_pointwise_f64(loss, n, x, target, aux, scale, value, grad, hess)


cdef inline double pointwise_sum(const fastloss_loss *loss, Py_ssize_t n, const real *x, const real *target,
                                 const real *weight, double scale, real *grad) noexcept nogil:
    if real is float:
        return fastloss_pointwise_sum_f32(loss, n, x, target, weight, scale, grad)
    else:
        return fastloss_pointwise_sum_f64(loss, n, x, target, weight, scale, grad)


cdef inline void elementwise(int activation, Py_ssize_t n, const real *x, real *y) noexcept nogil:
    if real is float:
        fastloss_elementwise_f32(activation, n, x, y)
    else:
        fastloss_elementwise_f64(activation, n, x, y)


cdef inline Py_ssize_t cross_entropy(const fastloss_cross_entropy_options *options, Py_ssize_t rows, Py_ssize_t classes,
                                     const real *logits, const int64_t *label, const double *scale, double *value,
                                     real *grad, real *hess) noexcept nogil:
    if real is float:
        return fastloss_cross_entropy_f32(options, rows, classes, logits, label, scale, value, grad, hess)
    else:
        return fastloss_cross_entropy_f64(options, rows, classes, logits, label, scale, value, grad, hess)


cdef inline int softmax(Py_ssize_t rows, Py_ssize_t classes, const real *logits, real *out) noexcept nogil:
    if real is float:
        return fastloss_softmax_f32(rows, classes, logits, out)
    else:
        return fastloss_softmax_f64(rows, classes, logits, out)


cdef inline int log_softmax(Py_ssize_t rows, Py_ssize_t classes, const real *logits, real *out) noexcept nogil:
    if real is float:
        return fastloss_log_softmax_f32(rows, classes, logits, out)
    else:
        return fastloss_log_softmax_f64(rows, classes, logits, out)


cdef inline int logsumexp(Py_ssize_t rows, Py_ssize_t classes, const real *logits, double *out) noexcept nogil:
    if real is float:
        return fastloss_logsumexp_f32(rows, classes, logits, out)
    else:
        return fastloss_logsumexp_f64(rows, classes, logits, out)
