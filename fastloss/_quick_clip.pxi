# The common private step without detours: one contiguous array, Gaussian noise. Included in _core.pyx.

cdef double quick_number(value) except? -1:
    """A finite Python number of at least 0, else -1."""
    cdef double x
    if value.__class__ is not float and value.__class__ is not int:
        return -1
    try:
        x = value
    except OverflowError:
        return -1
    return x if 0 <= x < INFINITY else -1


def quick_clip_and_noise(grads, max_grad_norm, noise_multiplier, divisor, rng, out):
    """`clip_and_noise` of an aligned C-contiguous array of a real type in L2 norm, with Gaussian noise, to `out` or a
    new array; None where this is no such call or something is wrong: the general path then says what.

    ``rng``: None for a key from the operating system, or a generator with ``_reserve``."""
    cdef Clip job
    cdef Noise noise
    cdef ClipArray described
    cdef fl_clip_rule rule
    cdef fl_operand operand
    cdef Buffers buffers
    cdef Py_buffer *x
    cdef Py_buffer *y
    cdef Py_ssize_t batch, columns
    cdef uint32_t own_key[8]
    cdef bytes random
    cdef const uint32_t[::1] key
    cdef double[::1] sums
    cdef void *memory
    cdef int k
    cdef double bound = quick_number(max_grad_norm)
    cdef double multiplier = quick_number(noise_multiplier)
    cdef double scale = bound * multiplier
    noise.divisor = quick_number(divisor)
    if bound <= 0 or multiplier < 0 or noise.divisor <= 0 or (multiplier > 0 and not 0 < scale < INFINITY):
        return None
    if grads.__class__ is not ndarray or not (out is None or out.__class__ is ndarray):
        return None
    buffers = Buffers()
    x = &buffers.buffer[0]
    y = &buffers.buffer[1]
    if not open_activation(buffers, grads) or x.ndim < 2:
        return None
    if out is None:
        out = new_array(grads.shape[1:], grads.dtype)
    if not open_result(buffers, out):
        return None
    if not is_plain(y, y) or type_of(y) != type_of(x) or overlap(y, x) or y.ndim != x.ndim - 1:
        return None
    for k in range(y.ndim):
        if y.shape[k] != x.shape[k + 1]:
            return None
    batch, columns = x.shape[0], y.len // y.itemsize
    sums = new_array((columns,), float64)
    memset(&sums[0], 0, columns * sizeof(double))
    described.data = <const char *>x.buf
    described.stride = columns * x.itemsize
    described.columns = columns
    described.itemsize = x.itemsize
    described.group = described.half = 0
    rule.norm = FL_NORM_L2
    rule.automatic = False
    rule.gamma = 0
    job.kernels = noise.privacy = privacy_table(x.itemsize == 8)
    job.groups = 1
    job.batch = batch
    job.units = 0
    job.sums = noise.sums = &sums[0]
    memory = malloc(batch * (sizeof(double) + 1))
    if memory == NULL:
        raise MemoryError("no memory for the norms of the rows")
    job.norms = <double *>memory
    job.states = <unsigned char *>(job.norms + batch)
    try:
        clip_arrays(&job, &described, 1, &rule, &bound)
    finally:
        free(memory)
    noise.is_double = x.itemsize == 8
    noise.kernels = table_of(noise.is_double)
    noise.laplace = False
    noise.scale = scale
    noise.size = columns
    noise.first = 0
    noise.key = NULL
    if scale > 0 and rng is None:
        random = os.urandom(sizeof(own_key))
        memcpy(own_key, <const char *>random, sizeof(own_key))
        noise.key = own_key
    elif scale > 0:
        key, noise.first = rng._reserve("gaussian", columns)
        noise.key = &key[0]
    plain_operand(&operand, y, type_of(y), columns)
    finish_job(&noise, &operand)
    return out
