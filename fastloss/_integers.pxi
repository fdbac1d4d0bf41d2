# Integer noise, and the way from integers on a grid to reals: which values a thread takes. Included in _core.pyx.

cdef enum:
    DISCRETE_BLOCK = 1024

cdef double WORK_OF_DISCRETE_NOISE = 15  # nanoseconds a value


cdef inline Py_ssize_t discrete_start(uint64_t first, Py_ssize_t block, Py_ssize_t size) noexcept nogil:
    """As block_start."""
    return min(max(block * DISCRETE_BLOCK - <Py_ssize_t>(first % DISCRETE_BLOCK), 0), size)


def discrete_noise(const int64_t[::1] limits, bint laplace, int inner_bits, int outer_bits,
                   const uint32_t[::1] key, uint64_t first, int64_t[::1] sums):
    """Values first, first + 1, ... of the key's stream added to sums."""
    cdef fl_discrete law
    cdef const fl_privacy_kernels *kernels = privacy_table(True)
    cdef Py_ssize_t size = sums.shape[0], block, blocks, start, end
    cdef int threads
    if size == 0:
        return
    law.laplace = laplace
    law.inner_bits = inner_bits
    law.outer_bits = outer_bits
    law.count = limits.shape[0]
    law.limits = &limits[0]
    blocks = <Py_ssize_t>(first % DISCRETE_BLOCK + <uint64_t>size + DISCRETE_BLOCK - 1) // DISCRETE_BLOCK
    threads = threads_acquire(WORK_OF_DISCRETE_NOISE * size)
    with nogil:
        if threads > 1:
            for block in prange(blocks, num_threads=threads, schedule="static"):
                start = discrete_start(first, block, size)
                end = discrete_start(first, block + 1, size)
                kernels.discrete_add(&key[0], first + <uint64_t>start, end - start, &law, &sums[start])
        else:
            for block in range(blocks):
                start = discrete_start(first, block, size)
                end = discrete_start(first, block + 1, size)
                kernels.discrete_add(&key[0], first + <uint64_t>start, end - start, &law, &sums[start])
    threads_release(threads)


cdef void grid_block(const Noise *job, Py_ssize_t block, const fl_operand *out) noexcept nogil:
    cdef double scratch[NOISE_BLOCK]
    cdef Py_ssize_t start = block * NOISE_BLOCK
    cdef Py_ssize_t n = min(<Py_ssize_t>NOISE_BLOCK, job.size - start)
    cdef void *target = fl_operand_target(out, job.kernels, start, scratch)
    job.privacy.grid_finish(n, <const int64_t *>job.sums + start, job.scale, job.divisor, target)
    fl_operand_write(out, job.kernels, start, n, target)


def grid_values(int64_t[::1] sums, out, double grid, double divisor):
    """out, of any strides, = sums * grid / divisor."""
    cdef fl_operand operand
    cdef Buffers buffers = Buffers()
    cdef Noise job
    cdef Py_ssize_t block, blocks
    cdef int threads
    job.is_double = out.dtype.itemsize == 8
    job.kernels = table_of(job.is_double)
    job.privacy = privacy_table(job.is_double)
    job.scale = grid
    job.divisor = divisor
    job.size = out.size
    if job.size == 0:
        return
    job.sums = <double *>&sums[0]
    buffers.describe(out, &operand, job.kernels.bits, True)
    blocks = (job.size + NOISE_BLOCK - 1) // NOISE_BLOCK
    threads = threads_acquire(0.5 * job.size)
    with nogil:
        if threads > 1:
            for block in prange(blocks, num_threads=threads, schedule="static"):
                grid_block(&job, block, &operand)
        else:
            for block in range(blocks):
                grid_block(&job, block, &operand)
    threads_release(threads)
