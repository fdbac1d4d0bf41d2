# Pointwise losses: blocks over operands of any layout. Included in _core.pyx.

# What run_block() found; the Python layer looks again and names the element.
cdef enum:
    GOOD = 0, BAD_TARGET = 1, BAD_PREDICTION = 2


# Bytes of operands from which kernels fetch memory ahead: more than a cache keeps (csrc/core/fetch.h).
cdef enum:
    UNCACHED = 1 << 23


# Blocks per slot of a sum: slots enough to share out, few enough to be no memory. Elements of a block of half type: with
# what they are converted to, as many as the first-level cache holds (FL_BLOCK of them took 1.6 times as long). Blocks of
# scratch are some lines more than a power of two apart: at 4096 bytes they meet in one set of that cache, and are taken
# for one another by processors that compare the low bits of addresses first (Zen 4: bfloat16 1.4 times as long).
cdef enum:
    UNIT = 8, HALF_BLOCK = FL_BLOCK // 2, APART = 320


cdef struct Job:
    const fl_kernels *kernels
    fl_pointwise *body
    fl_pointwise_sum *body_sum
    fl_operand operand[OPERANDS]
    const double *parameter  # FL_PARAMETERS at least
    double few[FL_PARAMETERS]
    double constant_aux  # used where there is no AUX operand
    double scale
    int x_domain
    int target_domain
    bint has_aux
    bint sums  # the values are wanted as a sum only, and the body's sum kernel can do the call
    int halves  # the operands that it takes as they are, FL_HALF_X ...
    int ahead  # FL_AHEAD, or 0
    bint valueless  # gradient and Hessian alone are wanted
    Py_ssize_t size
    Py_ssize_t block  # elements of a block, by the prediction's type
    Py_ssize_t step   # bytes of one scratch block: whole cache lines
    Py_ssize_t unit   # blocks per slot


cdef int halves_of(const Job *job) noexcept nogil:
    """Which operands a sum kernel shall take as the half type that they are of."""
    cdef int k, type = -1, halves = 0
    for k in range(OPERANDS):
        if job.operand[k].data and job.operand[k].halves and (type < 0 or type == job.operand[k].type):
            type = job.operand[k].type
            halves |= 1 << k
    return halves | (FL_BFLOAT16 if type == FL_BF16 else 0)


cdef bint is_uncached(const Job *job) noexcept nogil:
    """Whether there is more than the caches keep, and everything is read and written where it lies."""
    cdef int k, count = 0
    for k in range(OPERANDS):
        if job.operand[k].data:
            if not (job.operand[k].direct or job.halves >> k & 1):
                return False
            count += 1
    return count * job.size * (job.kernels.bits // 8) > UNCACHED


cdef inline bint in_domain(const Job *job, int operand, int domain, Py_ssize_t n, const void *read) noexcept nogil:
    if domain == FL_ANY:
        return True
    if job.halves >> operand & 1:
        return job.kernels.check_halves(job.halves & FL_BFLOAT16, domain, n, read)
    return job.kernels.check(domain, n, read)


cdef int run_block(const Job *job, Py_ssize_t block, char *scratch, double *hi, double *lo) noexcept nogil:
    cdef Py_ssize_t start = block * job.block
    cdef Py_ssize_t n = min(job.size - start, job.block)
    cdef Py_ssize_t step = job.step
    cdef const fl_kernels *kernels = job.kernels
    cdef const void *read[INPUTS]
    cdef void *written[OPERANDS]
    cdef double more_hi, more_lo
    cdef int k, status = GOOD
    # A sum shows a bad sign by itself; with a pass over the targets before it, hinge_loss took 1.2 to 1.4 times as long.
    cdef bint shown = job.sums and job.target_domain == FL_SIGN
    for k in range(INPUTS):
        if job.halves >> k & 1:
            read[k] = job.operand[k].data + 2 * start
        else:
            read[k] = fl_operand_read(&job.operand[k], kernels, start, n, scratch + k * step)
    if not shown and not in_domain(job, TARGET, job.target_domain, n, read[TARGET]):
        status |= BAD_TARGET
    if not in_domain(job, X, job.x_domain, n, read[X]):
        status |= BAD_PREDICTION
    for k in range(VALUE, OPERANDS):
        written[k] = fl_operand_target(&job.operand[k], kernels, start, scratch + k * step)
    if job.sums:
        if job.halves & FL_HALF_GRAD:
            written[GRAD] = job.operand[GRAD].data + 2 * start
        if written[GRAD] == read[X]:  # the kernel may need the block twice
            memcpy(scratch + X * step, read[X], n * (2 if job.halves & FL_HALF_X else kernels.bits // 8))
            read[X] = scratch + X * step
        job.body_sum(n, job.halves | job.ahead | (FL_SHOW_SIGNS if shown else 0), read[X], read[TARGET], read[WEIGHT],
                     job.parameter, job.scale, written[GRAD], &more_hi, &more_lo)
        if shown and not isfinite(more_hi) and not in_domain(job, TARGET, FL_SIGN, n, read[TARGET]):
            status |= BAD_TARGET
    else:
        if job.has_aux and read[AUX] == NULL and job.constant_aux != 1.0:
            kernels.fill(n, job.constant_aux, scratch + AUX * step)
            read[AUX] = scratch + AUX * step
        if written[VALUE] == NULL and not job.valueless:
            written[VALUE] = scratch + VALUE * step
        job.body(n, job.ahead, read[X], read[TARGET], read[AUX], job.parameter, job.scale, written[VALUE],
                 written[GRAD], written[HESS])
        if read[WEIGHT] != NULL or read[UPSTREAM] != NULL:
            kernels.weigh(n, read[WEIGHT], read[UPSTREAM], written[VALUE], written[GRAD], written[HESS])
        if not job.valueless:
            kernels.sum_values(n, written[VALUE], &more_hi, &more_lo)
    if not job.valueless:
        add_pair(hi, lo, more_hi, more_lo)
    for k in range(VALUE, OPERANDS):
        if not job.halves >> k & 1:
            fl_operand_write(&job.operand[k], kernels, start, n, written[k])
    return status


cdef int run_unit(const Job *job, Py_ssize_t unit, char *scratch, double *hi, double *lo) noexcept nogil:
    cdef Py_ssize_t block
    cdef Py_ssize_t blocks = (job.size + job.block - 1) // job.block
    cdef int status = GOOD
    for block in range(unit * job.unit, min((unit + 1) * job.unit, blocks)):
        status |= run_block(job, block, scratch, hi, lo)
    return status


cdef int check_targets(const Job *job, char *scratch) noexcept nogil:
    """The domain checks alone, for calls whose output is the prediction's own buffer."""
    cdef Py_ssize_t start, n, block
    cdef int status = GOOD
    for block in range((job.size + job.block - 1) // job.block):
        start = block * job.block
        n = min(job.size - start, job.block)
        if not job.kernels.check(job.target_domain, n,
                                 fl_operand_read(&job.operand[TARGET], job.kernels, start, n, scratch)):
            status |= BAD_TARGET
        if not job.kernels.check(job.x_domain, n,
                                 fl_operand_read(&job.operand[X], job.kernels, start, n, scratch)):
            status |= BAD_PREDICTION
    return status


cdef int run_serial(const Job *job, Py_ssize_t units, char *scratch, double *slots) noexcept nogil:
    cdef Py_ssize_t unit
    cdef int status = GOOD
    for unit in range(units):
        status |= run_unit(job, unit, scratch, slots + 2 * unit, slots + 2 * unit + 1)
    return status


cdef int run_parallel(const Job *job, Py_ssize_t units, char *scratch, double *slots, int threads) noexcept nogil:
    cdef Py_ssize_t unit
    cdef Py_ssize_t step = job.step * OPERANDS
    cdef int status = GOOD
    for unit in prange(units, num_threads=threads, schedule="static"):
        status |= run_unit(job, unit, scratch + threadid() * step, slots + 2 * unit, slots + 2 * unit + 1)
    return status


cdef int run_job(Job *job, double work, bint check_first, double *total) except -1:
    """Runs all blocks; *total becomes the sum of the values. Returns what was found bad."""
    cdef Py_ssize_t blocks, units, unit, step
    cdef double hi = 0.0
    cdef double lo = 0.0
    cdef int threads, status = GOOD
    cdef char *memory
    cdef char *scratch
    cdef double *slots
    job.sums = not (job.operand[VALUE].data or job.operand[HESS].data or job.operand[UPSTREAM].data
                    or job.operand[AUX].data or job.constant_aux != 1.0)
    job.halves = halves_of(job) if job.sums else 0
    job.ahead = FL_AHEAD if is_uncached(job) else 0
    job.block = HALF_BLOCK if is_half(job.operand[X].type) else FL_BLOCK
    job.step = (min(job.size, job.block) * (job.kernels.bits // 8) + 63) // 64 * 64 + APART
    blocks = (job.size + job.block - 1) // job.block
    step = job.step * OPERANDS
    job.unit = 1 if blocks <= 64 else UNIT  # by the shape alone
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


DOMAINS = {"any": FL_ANY, "unit interval": FL_UNIT_INTERVAL, "sign": FL_SIGN, "non-negative": FL_NON_NEGATIVE,
           "positive": FL_POSITIVE}


cdef int domain_code(domain, tuple parameters) except -1:
    return domain if type(domain) is int else DOMAINS[domain(*parameters)]


cdef class PointwiseKernel:
    """One pointwise loss: its C body and what a driver must know of it.

    ``parameters`` are the defaults of its parameters (the first may be an array: the body's aux),
    ``check`` turns a tuple of given scalar ones into floats or raises; ``work`` is its cost in nanoseconds an element
    on one thread, value and gradient (it decides where a second thread pays). A domain that depends on the parameters
    is a function of them."""

    cdef readonly int index
    cdef object x_domain, target_domain
    cdef bint has_aux
    cdef double work
    cdef tuple parameters, numbers
    cdef object check

    def __init__(self, name, tuple parameters, check, x_domain, target_domain, bint has_aux, double work):
        self.index = names_of_pointwise()[name]
        self.parameters = parameters
        self.check = check
        self.numbers = check(parameters[1:] if has_aux else parameters)
        self.x_domain = x_domain if callable(x_domain) else DOMAINS[x_domain]
        self.target_domain = target_domain if callable(target_domain) else DOMAINS[target_domain]
        self.has_aux = has_aux
        self.work = work
        c_api_defaults(self.index, parameters, self.numbers)

    cdef object prepare(self, Job *job, bint is_double, tuple parameters, double scale):
        """Fills a job; the result owns its parameters where they are many, and must live as long."""
        cdef int k
        cdef object owner = None
        cdef double[::1] many
        job.kernels = table_of(is_double)
        job.body = job.kernels.pointwise[self.index]
        job.body_sum = job.kernels.pointwise_sum[self.index]
        if len(parameters) > FL_PARAMETERS:
            owner = np.array(parameters)
            many = owner
            job.parameter = &many[0]
        else:
            for k in range(FL_PARAMETERS):
                job.few[k] = parameters[k] if k < len(parameters) else 0.0
            job.parameter = job.few
        job.constant_aux = 1.0
        job.valueless = False
        job.scale = scale
        job.x_domain = domain_code(self.x_domain, parameters)
        job.target_domain = domain_code(self.target_domain, parameters)
        job.has_aux = self.has_aux
        return owner

    cdef tuple numbers_of(self, tuple parameters):
        """The scalar parameters as floats; None where an array parameter is given."""
        cdef Py_ssize_t k
        for k in range(len(parameters)):
            given, default = parameters[k], self.parameters[k]
            if given is not default and not (type(given) is type(default) and type(given) in (float, tuple)
                                             and given == default):
                return None if self.has_aux else self.check(parameters)
        return self.numbers

    def run(self, bint is_double, tuple parameters, double constant_aux, double scale, inputs, outputs,
            bint check_first, bint with_values=True):
        """Any layout: (status, sum of values). Inputs and outputs in the order of the operands, None where absent;
        all of the prediction's shape (broadcast by zero strides), outputs checked and of its type. Without values,
        which takes a Hessian and no output for them, the sum is 0."""
        cdef Job job
        cdef Buffers buffers = Buffers()
        cdef double total = 0.0
        cdef int k, status
        kept = self.prepare(&job, is_double, parameters, scale)
        job.constant_aux = constant_aux
        for k in range(OPERANDS):
            buffers.describe(inputs[k] if k < INPUTS else outputs[k - INPUTS], &job.operand[k], job.kernels.bits,
                             k >= INPUTS)
        job.size = inputs[X].size
        job.valueless = not with_values and job.operand[HESS].data != NULL and job.operand[VALUE].data == NULL
        status = run_job(&job, self.work, check_first and (job.x_domain or job.target_domain), &total)
        return status, total

    def quick(self, int want, x, target, tuple parameters, bint mean, grad, hess=None, aux=None):
        """The common call without detours: two contiguous arrays of one type and shape (three with the body's aux), all
        common keywords at their defaults. None where that does not hold or something is wrong: the general path then
        says what."""
        cdef Job job
        cdef Buffers buffers
        cdef double total = 0.0
        cdef int k, kind, bits, outputs
        cdef Py_ssize_t size = 1
        cdef bint in_place = False
        cdef Py_buffer *b
        if not is_buffer(x) or not is_buffer(target) or (aux is not None and type(aux) is not ndarray):
            return None
        if (grad is not None and not is_buffer(grad)) or (hess is not None and type(hess) is not ndarray):
            return None
        parameters = self.numbers_of(parameters)
        if parameters is None:
            return None
        buffers = Buffers()
        if want >= 1 and grad is None:
            grad = new_like(x)
        if want >= 2 and hess is None:
            hess = new_like(x)
        if not open_buffer(buffers, x, False) or not open_buffer(buffers, target, False):
            return None
        if (want >= 1 and not open_buffer(buffers, grad, True)) or (want >= 2 and not open_buffer(buffers, hess, True)):
            return None
        outputs = buffers.count
        if aux is not None and not open_buffer(buffers, aux, False):
            return None
        b = &buffers.buffer[0]
        kind = type_of(b)
        bits = 64 if kind == FL_F64 else 32 if kind == FL_F32 or is_half(kind) else 0
        if bits == 0:
            return None
        for k in range(b.ndim):
            size *= b.shape[k]
        if size == 0:
            return None
        for k in range(buffers.count):
            if not is_plain(&buffers.buffer[k], b):
                return None
        for k in range(2, outputs):
            if overlap(&buffers.buffer[k], &buffers.buffer[1]):
                return None
            if aux is not None and overlap(&buffers.buffer[k], &buffers.buffer[outputs]):
                return None
            if buffers.buffer[k].buf == b.buf and k == 2 and want < 2:
                in_place = True
            elif overlap(&buffers.buffer[k], b):
                return None
        if outputs == 4 and overlap(&buffers.buffer[2], &buffers.buffer[3]):
            return None
        kept = self.prepare(&job, bits == 64, parameters, 1.0 / size if mean else 1.0)
        for k in range(len(parameters)):
            if bits == 32 and ((<float>job.parameter[k] == 0) != (job.parameter[k] == 0) or isinf(<float>job.parameter[k])):
                return None  # not a number of the computing type
        for k in range(OPERANDS):
            job.operand[k].data = NULL
        plain_operand(&job.operand[X], &buffers.buffer[0], kind, size)
        plain_operand(&job.operand[TARGET], &buffers.buffer[1], kind, size)
        if aux is not None:
            plain_operand(&job.operand[AUX], &buffers.buffer[outputs], kind, size)
        if want >= 1:
            plain_operand(&job.operand[GRAD], &buffers.buffer[2], kind, size)
        if want >= 2:
            plain_operand(&job.operand[HESS], &buffers.buffer[3], kind, size)
        job.size = size
        if run_job(&job, self.work, in_place and (job.x_domain or job.target_domain), &total) != GOOD:
            return None
        if mean:
            total = total / size
        if want == 0:
            return total
        return (total, grad) if want == 1 else (total, grad, hess)


def names_of_pointwise():
    """Kernel number of every pointwise loss."""
    cdef int k = 0
    names = {}
    while fl_pointwise_names[k] != NULL:
        names[fl_pointwise_names[k].decode()] = k
        k += 1
    return names
