# Pointwise losses and elementwise functions: blocks over operands of any layout. Included in _core.pyx.

cdef enum:
    X, TARGET, AUX, WEIGHT, UPSTREAM, INPUTS  # operands that are read
    VALUE = INPUTS, GRAD, HESS, OPERANDS      # operands that are written

# What run_block() found; the Python layer looks again and names the element.
cdef enum:
    GOOD = 0, BAD_TARGET = 1, BAD_PREDICTION = 2


cdef struct Job:
    const fl_kernels *kernels
    fl_pointwise *body
    fl_operand operand[OPERANDS]
    double parameter[FL_PARAMETERS]
    double constant_aux  # used where there is no AUX operand
    double scale
    int x_domain
    int target_domain
    bint has_aux
    Py_ssize_t size
    Py_ssize_t unit  # blocks per slot


cdef class Buffers:
    """The buffers of one call, released together."""
    cdef Py_buffer buffer[OPERANDS]
    cdef int count

    def __cinit__(self):
        self.count = 0

    def __dealloc__(self):
        for k in range(self.count):
            PyBuffer_Release(&self.buffer[k])

    cdef int describe(self, object array, fl_operand *operand, int bits, bint writable) except -1:
        """Describes an array as an operand; None becomes an absent one."""
        cdef Py_buffer *b = &self.buffer[self.count]
        cdef int k
        if array is None:
            operand.data = NULL
            return 0
        PyObject_GetBuffer(array, b, PyBUF_STRIDES | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
        self.count += 1
        operand.type = type_of(b)
        if operand.type < 0:
            raise TypeError(f"no kernel reads elements of format {b.format.decode()!r}")
        operand.data = <char *>b.buf
        operand.ndim = b.ndim
        for k in range(b.ndim):
            operand.shape[k] = b.shape[k]
            operand.stride[k] = b.strides[k]
        fl_operand_finish(operand, bits)
        return 0


cdef int type_of(const Py_buffer *b) noexcept nogil:
    """The element type of a native buffer, -1 if there is none. A prefix tells of alignment only."""
    cdef const char *f = b.format
    cdef char c
    if f == NULL:
        return FL_U8
    while f[0] == c'=' or f[0] == c'@' or f[0] == c'^' or f[0] == c'<':
        f += 1
    if f[0] == 0 or f[1] != 0:
        return -1
    c = f[0]
    if c == c'f':
        return FL_F32
    if c == c'd':
        return FL_F64
    if c == c'?':
        return FL_BOOL
    if c == c'b' or c == c'h' or c == c'i' or c == c'l' or c == c'q':
        return FL_I8 if b.itemsize == 1 else FL_I16 if b.itemsize == 2 else FL_I32 if b.itemsize == 4 else FL_I64
    if c == c'B' or c == c'H' or c == c'I' or c == c'L' or c == c'Q':
        return FL_U8 if b.itemsize == 1 else FL_U16 if b.itemsize == 2 else FL_U32 if b.itemsize == 4 else FL_U64
    return -1


cdef inline void add_pair(double *hi, double *lo, double more_hi, double more_lo) noexcept nogil:
    """(hi, lo) += (more_hi, more_lo), the rounding error of the sum going to lo (2Sum)."""
    cdef double s = hi[0] + more_hi
    cdef double b = s - hi[0]
    lo[0] += ((hi[0] - (s - b)) + (more_hi - b)) + more_lo
    hi[0] = s


cdef inline double pair_value(double hi, double lo) noexcept nogil:
    """hi + lo; the compensation of a sum that is infinite or NaN is NaN, and dropped."""
    return hi + lo if hi - hi == 0 else hi


cdef int run_block(const Job *job, Py_ssize_t block, char *scratch, double *hi, double *lo) noexcept nogil:
    cdef Py_ssize_t start = block * FL_BLOCK
    cdef Py_ssize_t n = min(job.size - start, <Py_ssize_t>FL_BLOCK)
    cdef Py_ssize_t step = scratch_step(job.size)
    cdef const fl_kernels *kernels = job.kernels
    cdef const void *read[INPUTS]
    cdef void *written[OPERANDS]
    cdef double more_hi, more_lo
    cdef int k, status = GOOD
    for k in range(INPUTS):
        read[k] = fl_operand_read(&job.operand[k], kernels, start, n, scratch + k * step)
    if job.target_domain != FL_ANY and not kernels.check(job.target_domain, n, read[TARGET]):
        status |= BAD_TARGET
    if job.x_domain != FL_ANY and not kernels.check(job.x_domain, n, read[X]):
        status |= BAD_PREDICTION
    if job.has_aux and read[AUX] == NULL:
        kernels.fill(n, job.constant_aux, scratch + AUX * step)
        read[AUX] = scratch + AUX * step
    for k in range(VALUE, OPERANDS):
        written[k] = fl_operand_target(&job.operand[k], start, scratch + k * step)
    if written[VALUE] == NULL:
        written[VALUE] = scratch + VALUE * step
    job.body(n, read[X], read[TARGET], read[AUX], job.parameter, job.scale, written[VALUE], written[GRAD],
             written[HESS])
    if read[WEIGHT] != NULL or read[UPSTREAM] != NULL:
        kernels.weigh(n, read[WEIGHT], read[UPSTREAM], written[VALUE], written[GRAD], written[HESS])
    for k in range(VALUE, OPERANDS):
        fl_operand_write(&job.operand[k], kernels, start, n, written[k])
    if hi != NULL:
        kernels.sum(n, written[VALUE], &more_hi, &more_lo)
        add_pair(hi, lo, more_hi, more_lo)
    return status


cdef int run_unit(const Job *job, Py_ssize_t unit, char *scratch, double *hi, double *lo) noexcept nogil:
    cdef Py_ssize_t block
    cdef Py_ssize_t blocks = (job.size + FL_BLOCK - 1) // FL_BLOCK
    cdef int status = GOOD
    for block in range(unit * job.unit, min((unit + 1) * job.unit, blocks)):
        status |= run_block(job, block, scratch, hi, lo)
    return status


cdef int check_targets(const Job *job, char *scratch) noexcept nogil:
    """The domain checks alone, for calls whose output is the prediction's own buffer."""
    cdef Py_ssize_t start, n, block
    cdef int status = GOOD
    for block in range((job.size + FL_BLOCK - 1) // FL_BLOCK):
        start = block * FL_BLOCK
        n = min(job.size - start, <Py_ssize_t>FL_BLOCK)
        if not job.kernels.check(job.target_domain, n,
                                 fl_operand_read(&job.operand[TARGET], job.kernels, start, n, scratch)):
            status |= BAD_TARGET
        if not job.kernels.check(job.x_domain, n,
                                 fl_operand_read(&job.operand[X], job.kernels, start, n, scratch)):
            status |= BAD_PREDICTION
    return status


cdef Py_ssize_t scratch_step(Py_ssize_t size) noexcept nogil:
    """Bytes of one scratch block: whole cache lines."""
    return (min(size, <Py_ssize_t>FL_BLOCK) * 8 + 63) // 64 * 64


cdef int run_serial(const Job *job, Py_ssize_t units, char *scratch, double *slots) noexcept nogil:
    cdef Py_ssize_t unit
    cdef int status = GOOD
    for unit in range(units):
        status |= run_unit(job, unit, scratch, slots + 2 * unit, slots + 2 * unit + 1)
    return status


cdef int run_parallel(const Job *job, Py_ssize_t units, char *scratch, double *slots, int threads) noexcept nogil:
    cdef Py_ssize_t unit
    cdef Py_ssize_t step = scratch_step(job.size) * OPERANDS
    cdef int status = GOOD
    for unit in prange(units, num_threads=threads, schedule="static"):
        status |= run_unit(job, unit, scratch + threadid() * step, slots + 2 * unit, slots + 2 * unit + 1)
    return status


cdef int run_job(Job *job, double work, bint check_first, double *total) except -1:
    """Runs all blocks; *total becomes the sum of the values. Returns what was found bad."""
    cdef Py_ssize_t blocks = (job.size + FL_BLOCK - 1) // FL_BLOCK
    cdef Py_ssize_t units, unit, step = scratch_step(job.size) * OPERANDS
    cdef double hi = 0.0
    cdef double lo = 0.0
    cdef int threads, status = GOOD
    cdef char *memory
    cdef char *scratch
    cdef double *slots
    # By the shape alone: slots enough to share out, few enough to be no memory.
    job.unit = 1 if blocks <= 64 else 8
    units = (blocks + job.unit - 1) // job.unit
    threads = threads_acquire(work * job.size) if units > 1 else 1
    memory = <char *>malloc(threads * step + 64 + units * 2 * sizeof(double))
    if memory == NULL:
        threads_release(threads)
        raise MemoryError("no memory for the blocks of a pointwise loss")
    scratch = memory + (64 - <uintptr_t>memory % 64) % 64
    slots = <double *>(memory + threads * step + 64)
    with nogil:
        for unit in range(2 * units):
            slots[unit] = 0.0
        if check_first:
            status = check_targets(job, scratch)
        if status == GOOD:
            if threads > 1:
                status = run_parallel(job, units, scratch, slots, threads)
            else:
                status = run_serial(job, units, scratch, slots)
        for unit in range(units):
            add_pair(&hi, &lo, slots[2 * unit], slots[2 * unit + 1])
    free(memory)
    threads_release(threads)
    total[0] = pair_value(hi, lo)
    return status


cdef class PointwiseKernel:
    """One pointwise loss: its C body and what a driver must know of it.

    ``parameters`` are the defaults of its scalar parameters, ``check`` turns a tuple of given ones
    into floats or raises; ``work`` is its cost in nanoseconds an element on one thread, value and
    gradient (it decides where a second thread pays)."""

    cdef readonly int index
    cdef int x_domain, target_domain
    cdef bint has_aux
    cdef double work
    cdef tuple parameters
    cdef object check

    def __init__(self, name, tuple parameters, check, x_domain, target_domain, bint has_aux, double work):
        domains = {"any": FL_ANY, "unit interval": FL_UNIT_INTERVAL, "sign": FL_SIGN}
        self.index = names_of_pointwise()[name]
        self.parameters = parameters
        self.check = check
        self.x_domain = domains[x_domain]
        self.target_domain = domains[target_domain]
        self.has_aux = has_aux
        self.work = work

    cdef int prepare(self, Job *job, bint is_double, tuple parameters, double scale) except -1:
        cdef int k
        job.kernels = table_of(is_double)
        job.body = job.kernels.pointwise[self.index]
        for k in range(FL_PARAMETERS):
            job.parameter[k] = parameters[k] if k < len(parameters) else 0.0
        job.constant_aux = 1.0
        job.scale = scale
        job.x_domain = self.x_domain
        job.target_domain = self.target_domain
        job.has_aux = self.has_aux
        return 0

    def run(self, bint is_double, tuple parameters, double constant_aux, double scale, inputs, outputs,
            bint check_first):
        """Any layout: (status, sum of values). Inputs and outputs in the order of the operands, None where absent;
        all of the prediction's shape (broadcast by zero strides), outputs checked and of its type."""
        cdef Job job
        cdef Buffers buffers = Buffers()
        cdef double total = 0.0
        cdef int k, status
        self.prepare(&job, is_double, parameters, scale)
        job.constant_aux = constant_aux
        for k in range(OPERANDS):
            buffers.describe(inputs[k] if k < INPUTS else outputs[k - INPUTS], &job.operand[k], job.kernels.bits,
                             k >= INPUTS)
        job.size = inputs[X].size
        status = run_job(&job, self.work, check_first and (self.x_domain or self.target_domain), &total)
        return status, total

    def quick(self, int want, x, target, tuple parameters, bint mean, grad, hess):
        """The common call without detours: two contiguous arrays of one type and shape, all common keywords at
        their defaults. None where that does not hold or something is wrong: the general path then says what."""
        cdef Job job
        cdef Buffers buffers
        cdef double total = 0.0
        cdef int k, bits
        cdef Py_ssize_t size = 1
        cdef bint in_place = False
        cdef Py_buffer *b
        if type(x) is not ndarray or type(target) is not ndarray:
            return None
        if (grad is not None and type(grad) is not ndarray) or (hess is not None and type(hess) is not ndarray):
            return None
        if parameters != self.parameters:
            parameters = self.check(parameters)
        buffers = Buffers()
        if want >= 1 and grad is None:
            grad = empty_like(x)
        if want >= 2 and hess is None:
            hess = empty_like(x)
        try:
            PyObject_GetBuffer(x, &buffers.buffer[0], PyBUF_STRIDES | PyBUF_FORMAT)
            buffers.count = 1
            PyObject_GetBuffer(target, &buffers.buffer[1], PyBUF_STRIDES | PyBUF_FORMAT)
            buffers.count = 2
            if want >= 1:
                PyObject_GetBuffer(grad, &buffers.buffer[2], PyBUF_STRIDES | PyBUF_FORMAT | PyBUF_WRITABLE)
                buffers.count = 3
            if want >= 2:
                PyObject_GetBuffer(hess, &buffers.buffer[3], PyBUF_STRIDES | PyBUF_FORMAT | PyBUF_WRITABLE)
                buffers.count = 4
        except (ValueError, BufferError):
            return None
        b = &buffers.buffer[0]
        bits = 64 if b.format[0] == c"d" else 32 if b.format[0] == c"f" else 0
        if bits == 0:
            return None
        for k in range(b.ndim):
            size *= b.shape[k]
        if size == 0:
            return None
        for k in range(buffers.count):
            if not is_plain(&buffers.buffer[k], b, bits):
                return None
        for k in range(2, buffers.count):
            if buffers.buffer[k].buf == b.buf and k == 2 and want < 2:
                in_place = True
            elif overlap(&buffers.buffer[k], b) or overlap(&buffers.buffer[k], &buffers.buffer[1]):
                return None
        if buffers.count == 4 and overlap(&buffers.buffer[2], &buffers.buffer[3]):
            return None
        self.prepare(&job, bits == 64, parameters, 1.0 / size if mean else 1.0)
        for k in range(OPERANDS):
            job.operand[k].data = NULL
        direct(&job.operand[X], &buffers.buffer[0], bits)
        direct(&job.operand[TARGET], &buffers.buffer[1], bits)
        if want >= 1:
            direct(&job.operand[GRAD], &buffers.buffer[2], bits)
        if want >= 2:
            direct(&job.operand[HESS], &buffers.buffer[3], bits)
        job.size = size
        if run_job(&job, self.work, in_place and (self.x_domain or self.target_domain), &total) != GOOD:
            return None
        if mean:
            total = total / size
        if want == 0:
            return total
        return (total, grad) if want == 1 else (total, grad, hess)


cdef inline void direct(fl_operand *operand, const Py_buffer *b, int bits) noexcept nogil:
    operand.data = <char *>b.buf
    operand.type = FL_F64 if bits == 64 else FL_F32
    operand.direct = 1


cdef inline bint is_plain(const Py_buffer *b, const Py_buffer *like, int bits) noexcept nogil:
    """Native, aligned, C-contiguous, and of the same type and shape."""
    cdef Py_ssize_t stride = bits // 8
    cdef int k
    if b.format[0] != like.format[0] or b.format[1] != 0 or b.ndim != like.ndim or <uintptr_t>b.buf % (bits // 8):
        return False
    for k in range(b.ndim - 1, -1, -1):
        if b.shape[k] != like.shape[k] or (b.shape[k] != 1 and b.strides[k] != stride):
            return False
        stride *= b.shape[k]
    return True


cdef inline bint overlap(const Py_buffer *a, const Py_buffer *b) noexcept nogil:
    return <char *>a.buf < <char *>b.buf + b.len and <char *>b.buf < <char *>a.buf + a.len


cdef object ndarray = np.ndarray
cdef object empty_like = np.empty_like


def weight_total(weight, bint is_double):
    """(all finite and >= 0 once rounded to the computing type, their sum), of any layout."""
    cdef fl_operand operand
    cdef Buffers buffers = Buffers()
    cdef const fl_kernels *kernels = table_of(is_double)
    cdef double scratch[FL_BLOCK]
    cdef double hi = 0.0, lo = 0.0, more_hi, more_lo
    cdef Py_ssize_t start, n, k, size = weight.size
    cdef const void *block
    cdef bint good = True
    if size == 0:
        return True, 0.0
    buffers.describe(weight, &operand, kernels.bits, False)
    with nogil:
        for k in range((size + FL_BLOCK - 1) // FL_BLOCK):
            start = k * FL_BLOCK
            n = min(size - start, <Py_ssize_t>FL_BLOCK)
            block = fl_operand_read(&operand, kernels, start, n, scratch)
            good = good and kernels.check_weight(n, block)
            kernels.sum(n, block, &more_hi, &more_lo)
            add_pair(&hi, &lo, more_hi, more_lo)
    return good, pair_value(hi, lo)


def elementwise(int index, x, y):
    """y = f(x) for any layouts of one real type and shape; y may be x's own buffer."""
    cdef fl_operand read, written
    cdef Buffers buffers = Buffers()
    cdef bint is_double = x.dtype.itemsize == 8
    cdef const fl_kernels *kernels = table_of(is_double)
    cdef Py_ssize_t size = x.size
    cdef Py_ssize_t block, blocks = (size + FL_BLOCK - 1) // FL_BLOCK
    cdef int threads
    if size == 0:
        return
    buffers.describe(x, &read, kernels.bits, False)
    buffers.describe(y, &written, kernels.bits, True)
    threads = threads_acquire(1.0 * size) if blocks > 1 else 1
    with nogil:
        if threads > 1:
            for block in prange(blocks, num_threads=threads, schedule="static"):
                unary_block(kernels, index, &read, &written, block, size)
        else:
            for block in range(blocks):
                unary_block(kernels, index, &read, &written, block, size)
    threads_release(threads)


cdef void unary_block(const fl_kernels *kernels, int index, const fl_operand *read, const fl_operand *written,
                      Py_ssize_t block, Py_ssize_t size) noexcept nogil:
    cdef double gathered[FL_BLOCK]
    cdef double result[FL_BLOCK]
    cdef Py_ssize_t start = block * FL_BLOCK
    cdef Py_ssize_t n = min(size - start, <Py_ssize_t>FL_BLOCK)
    cdef void *to = fl_operand_target(written, start, result)
    kernels.unary[index](n, fl_operand_read(read, kernels, start, n, gathered), to)
    fl_operand_write(written, kernels, start, n, to)


def names_of_pointwise():
    """Kernel number of every pointwise loss."""
    cdef int k = 0
    names = {}
    while fl_pointwise_names[k] != NULL:
        names[fl_pointwise_names[k].decode()] = k
        k += 1
    return names


def names_of_unary():
    """Kernel number of every elementwise function."""
    cdef int k = 0
    names = {}
    while fl_unary_names[k] != NULL:
        names[fl_unary_names[k].decode()] = k
        k += 1
    return names
