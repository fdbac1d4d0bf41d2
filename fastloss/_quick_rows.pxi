# The common call of a loss of rows of classes, without detours. Included in _core.pyx.

cdef class QuickRows:
    """The common call of a row loss without detours: contiguous arrays, integer labels or probabilities of the
    prediction's type, everything at its default but ``ignore_index`` and what ``variants`` differ in.

    ``variants``: (parameters, the kernel's numbers for float32 and for float64, domain of predictions, of probability
    targets) for each; ``ignored_at``: which parameter is ignore_index, -1 where targets are probabilities."""

    cdef int index, ignored_at
    cdef double work
    cdef tuple variants

    def __init__(self, name, double work, list variants, int ignored_at):
        self.index = names_of_rows()[name]
        self.work = work
        self.ignored_at = ignored_at
        # bytes, because a memoryview of an array costs a call 0.1 microseconds
        self.variants = tuple((plain, single.tobytes(), double.tobytes(), DOMAINS[prediction], DOMAINS[target])
                              for plain, single, double, prediction, target in variants)

    cdef tuple variant_of(self, tuple parameters):
        """The variant that has these parameters, or None."""
        cdef Py_ssize_t k
        cdef bint same
        cdef tuple variant, plain
        for variant in self.variants:
            plain = variant[0]
            same = True
            for k in range(len(plain)):
                if k != self.ignored_at and not is_default(parameters[k], plain[k]):
                    same = False
                    break
            if same:
                return variant
        return None

    def run(self, int want, x, target, tuple parameters, bint mean, grad):
        """Value, or value and gradient; None where this is no such call or something is wrong: the general path then
        says what."""
        cdef RowJob job
        cdef Buffers buffers
        cdef Py_buffer *b
        cdef Py_buffer *t
        cdef Py_buffer *g
        cdef bytes own
        cdef Py_ssize_t n = 1
        cdef Py_ssize_t classes, unused
        cdef int k, x_domain, target_domain
        cdef double valid = 0.0
        cdef double total = 0.0
        cdef tuple variant
        if not is_buffer(x) or not is_buffer(target):
            return None
        if self.ignored_at >= 0 and parameters[self.ignored_at].__class__ is not int:
            return None
        variant = self.variant_of(parameters)
        if variant is None:
            return None
        if want == 1 and grad is None:
            grad = new_like(x)
        elif want == 1 and not is_buffer(grad):
            return None
        buffers = Buffers()
        b = &buffers.buffer[0]
        t = &buffers.buffer[1]
        g = &buffers.buffer[2]
        if not open_buffer(buffers, x, False) or not open_buffer(buffers, target, False):
            return None
        if want == 1 and not open_buffer(buffers, grad, True):
            return None
        job.itemsize = real_size(type_of(b))
        if job.itemsize == 0 or b.ndim == 0 or not is_plain(b, b):
            return None
        for k in range(b.ndim - 1):
            n *= b.shape[k]
        classes = b.shape[b.ndim - 1]
        if n == 0 or classes == 0:
            return None
        if want == 1:
            if not is_plain(g, b) or overlap(g, t) or (g.buf != b.buf and overlap(g, b)):
                return None
        job.rows = rows_of(n, classes, 1)
        job.labels.data = job.soft.data = NULL
        job.kernels = table_of(job.itemsize == 8)
        job.before = job.kernels.row_first[self.index]
        x_domain, target_domain = variant[3], variant[4]
        if self.ignored_at >= 0:
            if not plain_labels(t, b):
                return None
            describe_labels(&job.labels, t, parameters[self.ignored_at])
            job.labels.stride[0] = t.itemsize  # the rows of all leading axes lie one behind the other
            if scan_labels(&job.labels, &job.rows, NULL, NULL, &valid, &unused) >= 0 or valid == 0:
                return None
        else:
            if not is_plain(t, b):
                return None
            if job.before == NULL and not small_inside(job.kernels, t, target_domain, n * classes):
                return None
            valid = <double>n
            job.soft = rows3(t, classes)
        if job.before == NULL and not small_inside(job.kernels, b, x_domain, n * classes):
            return None
        own = variant[2 if job.itemsize == 8 else 1]
        job.body = job.kernels.row_loss[self.index]
        job.parameters = len(own) // <Py_ssize_t>sizeof(double)
        job.parameter = <const double *><char *>own
        job.x = rows3(b, classes)
        job.grad = rows3(g, classes)
        if want == 0:
            job.grad.data = NULL
        job.hess = job.grad
        job.hess.data = NULL
        job.class_weight = job.class_factor = NULL
        job.sample_weight.operand.data = job.upstream.operand.data = job.unreduced.operand.data = NULL
        job.factor = 1.0
        job.scale = 1.0 / valid if mean else 1.0
        if run_rows(&job, self.work, &total):
            return None
        if mean:
            total = total / valid
        return total if want == 0 else (total, grad)


cdef bint plain_labels(const Py_buffer *t, const Py_buffer *like) noexcept nogil:
    """Contiguous integers, one for every row of an array whose last axis is that of the classes."""
    cdef int k, type = type_of(t)
    cdef Py_ssize_t stride = t.itemsize
    if type < 0 or type == FL_F32 or type == FL_F64 or type == FL_BOOL or is_half(type) or t.ndim != like.ndim - 1:
        return False
    for k in range(t.ndim - 1, -1, -1):
        if t.shape[k] != like.shape[k] or (t.shape[k] != 1 and t.strides[k] != stride):
            return False
        stride *= t.shape[k]
    return True


# Elements that are worth looking at with one thread.
cdef enum:
    SMALL = 65536


cdef bint small_inside(const fl_kernels *kernels, const Py_buffer *b, int domain, Py_ssize_t n) noexcept nogil:
    """Whether an array is small and its n elements lie in a domain; of any size where that has everything."""
    if domain == FL_ANY:
        return True
    if is_half(type_of(b)):
        return n <= SMALL and kernels.check_halves(type_of(b) == FL_BF16, domain, n, b.buf)
    return n <= SMALL and kernels.check(domain, n, b.buf)
