# Losses over rows of classes, from the table of row kernels. Included in _core.pyx.

# One call of a row loss: everything that is the same for all its tiles.
cdef struct RowJob:
    fl_row_loss *body
    fl_row_first *before         # the loss's pass over all rows before anything is written, or NULL
    double *first                # what it gave every row
    const fl_kernels *kernels
    Rows rows
    Array3 x, grad, hess
    Labels labels                # data is NULL where the target holds probabilities
    Array3 soft                  # data is NULL where it holds labels
    Py_ssize_t itemsize
    const double *parameter
    Py_ssize_t parameters
    const void *class_weight     # reals, one per class, or NULL: weights of the rows
    const void *class_factor     # the same, but a part of the loss, no weight
    double factor                # a part of the loss for all rows
    Numbers sample_weight, upstream, unreduced  # one for every row each, where there are any
    double scale
    Py_ssize_t soft_bytes, row_bytes, half_bytes, scratch_bytes


cdef inline double real_at(const void *reals, Py_ssize_t itemsize, int64_t k) noexcept nogil:
    return (<const double *>reals)[k] if itemsize == 8 else (<const float *>reals)[k]


cdef int first_tile(const RowJob *x, char *scratch, Py_ssize_t piece) noexcept nogil:
    """The first pass over a tile; returns whether something is outside its domain."""
    cdef const Rows *r = &x.rows
    cdef Py_ssize_t group = piece // r.tiles
    cdef Py_ssize_t first = piece % r.tiles * r.tile
    cdef Py_ssize_t i, n = min(r.tile, r.rows - first)
    cdef Py_ssize_t strip = r.strip if x.half_bytes + x.soft_bytes else n
    cdef fl_row_call call
    memset(&call, 0, sizeof(call))
    call.classes = r.classes
    call.parameter = x.parameter
    call.parameters = x.parameters
    i = 0
    while i < n:
        call.rows = min(strip, n - i)
        call.x = open_rows(&x.x, r, x.kernels, group, first + i, call.rows, False, True, scratch)
        call.probability = open_rows(&x.soft, r, x.kernels, group, first + i, call.rows, call.x.class_stride == 1, True,
                                     scratch + x.half_bytes)
        call.value = x.first + group * r.rows + first + i
        if not x.before(&call, scratch + x.half_bytes + x.soft_bytes):
            return 1
        i += call.rows
    return 0


cdef void row_tile(const RowJob *x, char *scratch, Py_ssize_t piece, double *slot) noexcept nogil:
    cdef const Rows *r = &x.rows
    cdef Py_ssize_t group = piece // r.tiles
    cdef Py_ssize_t first = piece % r.tiles * r.tile
    cdef Py_ssize_t n = min(r.tile, r.rows - first)
    cdef Py_ssize_t i, row = group * r.rows + first
    cdef int64_t *label = <int64_t *>scratch
    cdef double *scale = <double *>(scratch + x.row_bytes)
    cdef double *value = <double *>(scratch + 2 * x.row_bytes)
    cdef double *weight = <double *>(scratch + 3 * x.row_bytes)
    cdef double *own = <double *>(scratch + 4 * x.row_bytes)
    cdef unsigned char *skip = <unsigned char *>(scratch + 5 * x.row_bytes)
    cdef char *converted = scratch + 6 * x.row_bytes
    cdef char *soft = converted + x.half_bytes * (2 if x.hess.data != NULL else 1)
    cdef Py_ssize_t strip = r.strip if x.half_bytes + x.soft_bytes else n
    cdef Tile tile
    cdef bint weighted = read_numbers(&x.sample_weight, row, n, own)
    cdef bint scaled = read_numbers(&x.upstream, row, n, value)
    cdef fl_row_call call
    cdef bint plain
    cdef double w
    cdef bint hard = x.labels.data != NULL
    call.classes = r.classes
    call.parameter = x.parameter
    call.parameters = x.parameters
    if hard:
        load_labels(&x.labels, r, group, first, n, label)
    # Rows without weights of any kind need no look each: 0.95x of the time of 4096 x 10 double probabilities.
    plain = not (weighted or scaled or hard) and x.factor == 1.0
    if plain:
        memset(skip, 0, n)
        for i in range(n):
            scale[i] = x.scale
    for i in range(0 if plain else n):
        w = x.factor
        skip[i] = 0
        if hard:
            if label[i] < 0:
                skip[i] = 1
                label[i] = 0
            if x.class_weight != NULL:
                w *= real_at(x.class_weight, x.itemsize, label[i])
            if x.class_factor != NULL:
                w *= real_at(x.class_factor, x.itemsize, label[i])
        weight[i] = w
        scale[i] = x.scale
        if weighted:
            own[i] = 0 if skip[i] else own[i]  # that of an ignored row may be anything
            scale[i] *= own[i]
            skip[i] |= own[i] == 0
        if scaled:
            scale[i] *= value[i]
        scale[i] *= w
        skip[i] |= w == 0
    i = 0
    while i < n:
        call.rows = min(strip, n - i)
        tile = open_tile(&x.x, &x.grad, &x.hess, r, x.kernels, group, first + i, call.rows, True, converted)
        call.x = tile.x
        call.grad = tile.grad
        call.hess = tile.hess
        call.target = label + i if hard else NULL
        call.probability = open_rows(&x.soft, r, x.kernels, group, first + i, call.rows, tile.x.class_stride == 1,
                                     True, soft)
        call.skip = skip + i
        call.scale = scale + i
        call.value = value + i
        call.first = x.first + row + i if x.first != NULL else NULL
        x.body(&call, soft + x.soft_bytes)
        close_tile(&tile, &x.grad, &x.hess, r, x.kernels, group, first + i, call.rows)
        i += call.rows
    for i in range(0 if plain else n):
        if skip[i]:
            continue
        value[i] *= weight[i]
        if weighted:
            value[i] *= own[i]
    table_of(True).sum(n, value, slot, slot + 1)
    write_numbers(&x.unreduced, row, n, value)


cdef int run_rows(RowJob *x, double work, double *total) except -1:
    """Runs all tiles; *total becomes the sum of the weighted row losses. Returns 1, before anything is written, where the
    first pass found something outside its domain."""
    cdef Py_ssize_t piece, pieces = x.rows.groups * x.rows.tiles
    cdef Py_ssize_t rows = x.rows.groups * x.rows.rows
    cdef double hi = 0.0
    cdef double lo = 0.0
    cdef int threads
    cdef int outside = 0
    cdef char *memory
    cdef char *scratch
    cdef double *slots
    x.row_bytes = (x.rows.tile * 8 + 63) // 64 * 64
    x.scratch_bytes = (x.kernels.row_loss_scratch(x.rows.classes, x.rows.tile) + 63) // 64 * 64
    settle_strip(&x.rows, &x.x)
    settle_strip(&x.rows, &x.soft)
    x.half_bytes = converted_bytes(&x.x, &x.rows, x.kernels)
    x.soft_bytes = converted_bytes(&x.soft, &x.rows, x.kernels)
    x.scratch_bytes += x.soft_bytes + 6 * x.row_bytes + x.half_bytes * (2 if x.hess.data != NULL else 1)
    # A row costs as much as some thirty elements besides.
    threads = threads_acquire(work * rows * (x.rows.classes + 30)) if pieces > 1 else 1
    memory = <char *>malloc(threads * x.scratch_bytes + 64 + (pieces * 2 + (rows if x.before else 0)) * sizeof(double))
    if memory == NULL:
        threads_release(threads)
        raise MemoryError("no memory for the row tiles of a loss")
    scratch = memory + (64 - <uintptr_t>memory % 64) % 64
    slots = <double *>(memory + threads * x.scratch_bytes + 64)
    x.first = slots + pieces * 2 if x.before else NULL
    with nogil:
        if x.before and threads > 1:
            for piece in prange(pieces, num_threads=threads, schedule="static"):
                outside += first_tile(x, scratch + threadid() * x.scratch_bytes, piece)
        elif x.before:
            for piece in range(pieces):
                outside += first_tile(x, scratch, piece)
        if outside:
            pieces = 0
        if threads > 1:
            for piece in prange(pieces, num_threads=threads, schedule="static"):
                row_tile(x, scratch + threadid() * x.scratch_bytes, piece, slots + 2 * piece)
        else:
            for piece in range(pieces):
                row_tile(x, scratch, piece, slots + 2 * piece)
        for piece in range(pieces):
            add_pair(&hi, &lo, slots[2 * piece], slots[2 * piece + 1])
    free(memory)
    threads_release(threads)
    total[0] = pair_value(hi, lo)
    return outside != 0


def row_loss(int index, double work, x, target, bint soft, const double[::1] parameters, class_weight, class_factor,
             double factor, ignore_index, sample_weight, upstream, double scale, grad, hess, unreduced, bint first):
    """Sum of the weighted losses of row kernel `index`; arguments are checked, labels too. None, and nothing is written,
    if the kernel's first pass, which it has where ``first``, found a target outside its domain.

    x, grad, hess: (outer, C, inner), of one real type or a half type; target: labels (outer, inner), or probabilities
    (outer, C, inner) where `soft`; parameters: the kernel's numbers; class_weight, class_factor: one number per class,
    or None; sample_weight, upstream, unreduced: one for every row, of any layout, or None; grad and hess are None where
    not wanted."""
    cdef RowJob job
    cdef Py_buffer b
    cdef Buffers buffers = Buffers()
    cdef fl_operand by_class
    cdef bint outside
    cdef double total = 0.0
    job.rows = rows_of(x.shape[0], x.shape[1], x.shape[2])
    job.kernels = table_of(x.dtype.itemsize == 8)
    job.itemsize = job.kernels.bits // 8
    job.body = job.kernels.row_loss[index]
    job.before = job.kernels.row_first[index] if first else NULL
    job.x = array3(buffers, x, False)
    job.grad = array3(buffers, grad, True)
    job.hess = array3(buffers, hess, True)
    job.parameters = parameters.shape[0]
    job.parameter = &parameters[0] if job.parameters else NULL
    buffers.describe(class_weight, &by_class, job.kernels.bits, False)
    job.class_weight = by_class.data
    buffers.describe(class_factor, &by_class, job.kernels.bits, False)
    job.class_factor = by_class.data
    describe_numbers(buffers, sample_weight, &job.sample_weight, job.kernels, False)
    describe_numbers(buffers, upstream, &job.upstream, table_of(True), False)
    describe_values(buffers, unreduced, &job.unreduced, job.kernels)
    job.factor = factor
    job.scale = scale
    job.labels.data = job.soft.data = NULL
    PyObject_GetBuffer(readable(target), &b, PyBUF_STRIDES | PyBUF_FORMAT)
    try:
        if soft:
            job.soft = targets3(&b, job.kernels.bits)
        else:
            describe_labels(&job.labels, &b, ignore_index)
        outside = run_rows(&job, work, &total)
    finally:
        PyBuffer_Release(&b)
    return None if outside else total


def inside_domain(array, bint is_double, str domain):
    """Whether every element, once rounded to the computing type, is in a domain; a NaN is in every one."""
    cdef fl_operand operand
    cdef Buffers buffers = Buffers()
    cdef const fl_kernels *kernels = table_of(is_double)
    cdef Py_ssize_t size = array.size
    cdef Py_ssize_t block, blocks = (size + FL_BLOCK - 1) // FL_BLOCK
    cdef int threads, bad = 0, wanted = FL_UNIT_INTERVAL if domain == "unit interval" else FL_NON_NEGATIVE
    if size == 0 or domain == "any":
        return True
    buffers.describe(array, &operand, kernels.bits, False)
    threads = threads_acquire(0.1 * size) if blocks > 1 else 1
    with nogil:
        if threads > 1:
            for block in prange(blocks, num_threads=threads, schedule="static"):
                bad += block_outside(kernels, &operand, wanted, block, size)
        else:
            for block in range(blocks):
                bad += block_outside(kernels, &operand, wanted, block, size)
    threads_release(threads)
    return bad == 0


cdef int block_outside(const fl_kernels *kernels, const fl_operand *operand, int domain, Py_ssize_t block,
                       Py_ssize_t size) noexcept nogil:
    cdef double gathered[FL_BLOCK]
    cdef Py_ssize_t start = block * FL_BLOCK
    cdef Py_ssize_t n = min(size - start, <Py_ssize_t>FL_BLOCK)
    return not kernels.check(domain, n, fl_operand_read(operand, kernels, start, n, gathered))


def names_of_rows():
    """Kernel number of every row loss."""
    cdef int k = 0
    names = {}
    while fl_row_loss_names[k] != NULL:
        names[fl_row_loss_names[k].decode()] = k
        k += 1
    return names
