# The sum of the sample weights of a pointwise loss, and whether all of them are weights. Included in _core.pyx.

cdef struct Weights:
    const fl_kernels *kernels
    fl_operand operand
    Py_ssize_t size


cdef bint weights_unit(const Weights *job, Py_ssize_t unit, double *hi, double *lo) noexcept nogil:
    """Adds up UNIT blocks; whether all weights are good."""
    cdef double scratch[FL_BLOCK]
    cdef double more_hi, more_lo
    cdef Py_ssize_t k, start, n
    cdef const void *block
    cdef bint good = True
    for k in range(UNIT):
        start = (unit * UNIT + k) * FL_BLOCK
        n = min(job.size - start, <Py_ssize_t>FL_BLOCK)
        if n <= 0:
            break
        block = fl_operand_read(&job.operand, job.kernels, start, n, scratch)
        good = good and job.kernels.check_weight(n, block)
        job.kernels.sum(n, block, &more_hi, &more_lo)
        add_pair(hi, lo, more_hi, more_lo)
    return good


def weight_total(weight, bint is_double):
    """(all finite and >= 0 once rounded to the computing type, their sum), of any layout."""
    cdef Weights job
    cdef Buffers buffers = Buffers()
    cdef double hi = 0.0, lo = 0.0
    cdef Py_ssize_t unit, units
    cdef int threads, bad = 0
    cdef double[::1] slots
    job.kernels = table_of(is_double)
    job.size = weight.size
    if job.size == 0:
        return True, 0.0
    buffers.describe(weight, &job.operand, job.kernels.bits, False)
    units = (job.size + UNIT * FL_BLOCK - 1) // (UNIT * FL_BLOCK)
    slots = np.zeros(2 * units)
    threads = threads_acquire(0.15 * job.size) if units > 1 else 1
    with nogil:
        if threads > 1:
            for unit in prange(units, num_threads=threads, schedule="static"):
                bad += not weights_unit(&job, unit, &slots[2 * unit], &slots[2 * unit + 1])
        else:
            for unit in range(units):
                bad += not weights_unit(&job, unit, &slots[2 * unit], &slots[2 * unit + 1])
        for unit in range(units):
            add_pair(&hi, &lo, slots[2 * unit], slots[2 * unit + 1])
    threads_release(threads)
    return bad == 0, pair_value(hi, lo)
