# The privacy kernels, and noise: the keystream, arrays of noise, and the last pass over sums. Included in _core.pyx.

cdef extern from "privacy/privacy_kernels.h" nogil:
    enum:
        FL_CHACHA_WORDS
        FL_NOISE_GROUP
        FL_NORM_L2
        FL_NORM_L1
        FL_ROW_KEPT
        FL_ROW_CLIPPED
        FL_ROW_NONFINITE
        FL_ROW_OPEN
    ctypedef struct fl_clip_block:
        const char *data
        Py_ssize_t stride
        Py_ssize_t columns
        Py_ssize_t first
        int half
    ctypedef struct fl_clip_rule:
        int norm
        int automatic
        double bound
        double gamma
        double columns
        double slack
    ctypedef struct fl_discrete:
        int laplace
        int inner_bits
        int outer_bits
        Py_ssize_t count
        const int64_t *limits
    ctypedef void fl_noise(const uint32_t *, uint64_t, Py_ssize_t, double, void *) noexcept nogil
    ctypedef void fl_noise_add(const uint32_t *, uint64_t, Py_ssize_t, double, double *) noexcept nogil
    ctypedef struct fl_privacy_kernels:
        void (*chacha20)(const uint32_t *, uint64_t, uint64_t, uint32_t *) noexcept nogil
        fl_noise *gaussian
        fl_noise_add *gaussian_add
        fl_noise *laplace
        fl_noise_add *laplace_add
        void (*clip_sums)(const fl_clip_block *, int, Py_ssize_t, Py_ssize_t, double *) noexcept nogil
        Py_ssize_t (*clip_factors)(const fl_clip_rule *, Py_ssize_t, Py_ssize_t, const double *, Py_ssize_t, double *,
                                   double *, unsigned char *) noexcept nogil
        void (*clip_factor)(const fl_clip_rule *, const fl_clip_block *, Py_ssize_t, Py_ssize_t, double *, double *,
                            unsigned char *) noexcept nogil
        void (*clip_add)(const fl_clip_block *, Py_ssize_t, const Py_ssize_t *, const double *, double *) noexcept nogil
        void (*clip_finish)(Py_ssize_t, const double *, double, void *) noexcept nogil
        void (*grid_add)(const fl_clip_block *, Py_ssize_t, const Py_ssize_t *, const double *, double,
                         int64_t *) noexcept nogil
        void (*discrete_add)(const uint32_t *, uint64_t, Py_ssize_t, const fl_discrete *, int64_t *) noexcept nogil
        void (*grid_finish)(Py_ssize_t, const int64_t *, double, double, void *) noexcept nogil

cdef extern from *:
    """
    #define privacy_table(is_double) (&fl_table((is_double) ? 64 : 32)->privacy)
    """
    const fl_privacy_kernels *privacy_table(bint is_double) noexcept nogil

# Values or columns per task of the noise and of the last pass: whole noise groups.
cdef enum:
    NOISE_BLOCK = 4096


def chacha20(const uint32_t[::1] key, uint64_t counter, uint64_t nonce):
    """Blocks counter ... counter+15 of the keystream as (16, 16) words: one block a row."""
    words = np.empty(FL_CHACHA_WORDS, np.uint32)
    cdef uint32_t[::1] w = words
    privacy_table(False).chacha20(&key[0], counter, nonce, &w[0])
    return words.reshape(16, 16).T


cdef struct Noise:
    const fl_kernels *kernels
    const fl_privacy_kernels *privacy
    const uint32_t *key
    bint laplace
    bint is_double
    uint64_t first
    double scale
    double divisor
    double *sums
    Py_ssize_t size


cdef double WORK_OF_NOISE = 2.5  # nanoseconds a value


cdef inline Py_ssize_t block_start(uint64_t first, Py_ssize_t block, Py_ssize_t size) noexcept nogil:
    """Where a block begins, so that all but the ends of an array are whole groups of the stream."""
    cdef Py_ssize_t start = block * NOISE_BLOCK - <Py_ssize_t>(first % NOISE_BLOCK)
    return min(max(start, 0), size)


cdef void noise_block(const Noise *job, Py_ssize_t block, const fl_operand *out) noexcept nogil:
    cdef double scratch[NOISE_BLOCK]
    cdef double values[NOISE_BLOCK]
    cdef Py_ssize_t start = block_start(job.first, block, job.size)
    cdef Py_ssize_t n = block_start(job.first, block + 1, job.size) - start
    cdef Py_ssize_t i
    cdef void *target = fl_operand_target(out, job.kernels, start, scratch)
    if not job.laplace:
        job.privacy.gaussian(job.key, job.first + <uint64_t>start, n, job.scale, target)
    elif job.is_double:
        job.privacy.laplace(job.key, job.first + <uint64_t>start, n, job.scale, target)
    else:
        privacy_table(True).laplace(job.key, job.first + <uint64_t>start, n, job.scale, values)
        for i in range(n):
            (<float *>target)[i] = <float>values[i]
    fl_operand_write(out, job.kernels, start, n, target)


def noise(bint laplace, const uint32_t[::1] key, uint64_t first, double scale, out):
    """Fill out, of any strides, with values first, first + 1, ... of the key's Gaussian or Laplace stream."""
    cdef fl_operand operand
    cdef Buffers buffers = Buffers()
    cdef Noise job
    cdef Py_ssize_t block, blocks
    cdef int threads
    job.is_double = out.dtype.itemsize == 8
    job.kernels = table_of(job.is_double)
    job.privacy = privacy_table(job.is_double)
    job.key = &key[0]
    job.laplace = laplace
    job.first = first
    job.scale = scale
    job.size = out.size
    if job.size == 0:
        return
    buffers.describe(out, &operand, job.kernels.bits, True)
    blocks = <Py_ssize_t>(first % NOISE_BLOCK + <uint64_t>job.size + NOISE_BLOCK - 1) // NOISE_BLOCK
    threads = threads_acquire(WORK_OF_NOISE * job.size)
    with nogil:
        if threads > 1:
            for block in prange(blocks, num_threads=threads, schedule="static"):
                noise_block(&job, block, &operand)
        else:
            for block in range(blocks):
                noise_block(&job, block, &operand)
    threads_release(threads)


cdef void finish_block(const Noise *job, Py_ssize_t block, const fl_operand *out) noexcept nogil:
    cdef double scratch[NOISE_BLOCK]
    cdef Py_ssize_t start = block_start(job.first, block, job.size)
    cdef Py_ssize_t n = block_start(job.first, block + 1, job.size) - start
    cdef double *sums = job.sums + start
    cdef void *target = fl_operand_target(out, job.kernels, start, scratch)
    if job.scale != 0:
        if job.laplace:
            privacy_table(True).laplace_add(job.key, job.first + <uint64_t>start, n, job.scale, sums)
        else:
            job.privacy.gaussian_add(job.key, job.first + <uint64_t>start, n, job.scale, sums)
    job.privacy.clip_finish(n, sums, job.divisor, target)
    fl_operand_write(out, job.kernels, start, n, target)


cdef int finish_job(const Noise *job, const fl_operand *out) except -1:
    """out = (sums + scale * noise) / divisor, rounded towards zero."""
    cdef Py_ssize_t block, start = <Py_ssize_t>(job.first % NOISE_BLOCK)
    cdef Py_ssize_t blocks = (start + job.size + NOISE_BLOCK - 1) // NOISE_BLOCK
    cdef int threads = threads_acquire((WORK_OF_NOISE if job.scale != 0 else 0.3) * job.size)
    with nogil:
        if threads > 1:
            for block in prange(blocks, num_threads=threads, schedule="static"):
                finish_block(job, block, out)
        else:
            for block in range(blocks):
                finish_block(job, block, out)
    threads_release(threads)
    return 0


def finish_sums(double[::1] sums, out, double divisor, bint laplace, const uint32_t[::1] key, uint64_t first,
                double scale):
    """out = (sums + scale * noise) / divisor, rounded towards zero; sums is used up. scale 0: no noise, key unused."""
    cdef fl_operand operand
    cdef Buffers buffers = Buffers()
    cdef Noise job
    job.is_double = out.dtype.itemsize == 8
    job.kernels = table_of(job.is_double)
    job.privacy = privacy_table(job.is_double)
    job.key = &key[0] if scale != 0 else NULL
    job.laplace = laplace
    job.first = first
    job.scale = scale
    job.divisor = divisor
    job.size = out.size
    if job.size == 0:
        return
    job.sums = &sums[0]
    buffers.describe(out, &operand, job.kernels.bits, True)
    finish_job(&job, &operand)
