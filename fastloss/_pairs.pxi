# Losses of rows of embeddings, the sums that are the centers' gradients, and overlaps. Included in _core.pyx.

# Elements of an array in one block of rows: enough work for one piece, few enough to stay in the cache.
cdef enum:
    PAIR_BLOCK = 8192


cdef struct Pairs:
    fl_pairs options
    fl_pair_rows *body
    int arrays
    Py_ssize_t rows, block  # rows of a block; the last may have fewer
    const fl_kernels *kernels
    fl_operand x[FL_PAIR_ARRAYS]     # contiguous
    fl_operand grad[FL_PAIR_ARRAYS]  # absent where it is not wanted
    const int64_t *centers      # numbers of the rows of the last array, which are then copied together; or NULL
    const double *label         # one number for every row each, or NULL
    const double *weight
    const double *upstream
    double *unreduced
    double scale
    bint converts               # a part of the arrays is copied to scratch


cdef void pairs_block(const Pairs *job, Py_ssize_t piece, char *scratch, double *slot) noexcept nogil:
    cdef Py_ssize_t first = piece * job.block
    cdef Py_ssize_t n = min(job.block, job.rows - first)
    cdef Py_ssize_t columns = job.options.columns
    cdef Py_ssize_t i, start = first * columns
    cdef Py_ssize_t step = job.block * columns * sizeof(double)
    cdef double *factor = <double *>scratch
    cdef double *value = factor + job.block
    cdef unsigned char *skip = <unsigned char *>(value + job.block)
    cdef char *gathered = scratch + 3 * job.block * sizeof(double)
    cdef const double *label = job.label
    cdef const void *x[FL_PAIR_ARRAYS]
    cdef void *grad[FL_PAIR_ARRAYS]
    cdef double weight
    cdef int k, whole = job.arrays - (job.centers != NULL)
    for k in range(job.arrays):
        grad[k] = fl_operand_target(&job.grad[k], job.kernels, start, gathered + (job.arrays + k) * step)
    for k in range(whole):
        x[k] = fl_operand_read(&job.x[k], job.kernels, start, n * columns, gathered + k * step)
    if job.centers != NULL:
        x[whole] = gathered + whole * step
        for i in range(n):
            fl_operand_copy(&job.x[whole], job.kernels, job.centers[first + i] * columns, columns,
                            gathered + whole * step + i * columns * (job.kernels.bits // 8))
    for i in range(n):
        weight = 1.0 if job.weight == NULL else job.weight[first + i]
        skip[i] = weight == 0
        factor[i] = job.scale * weight * (1.0 if job.upstream == NULL else job.upstream[first + i])
    if label != NULL:
        label += first
    job.body(&job.options, n, x, label, skip, factor, value, grad)
    for k in range(job.arrays):
        fl_operand_write(&job.grad[k], job.kernels, start, n * columns, grad[k])
    if job.weight != NULL:
        for i in range(n):
            value[i] = 0.0 if skip[i] else value[i] * job.weight[first + i]
    if job.unreduced != NULL:
        memcpy(job.unreduced + first, value, n * sizeof(double))
    table_of(True).sum(n, value, slot, slot + 1)


cdef int run_pairs(Pairs *job, double work, double *total) except -1:
    """Runs all blocks; *total becomes the sum of the weighted losses."""
    cdef Py_ssize_t piece, pieces, step
    cdef double hi = 0.0
    cdef double lo = 0.0
    cdef int threads
    cdef char *memory
    cdef char *scratch
    cdef double *slots
    job.block = min(job.rows, max(<Py_ssize_t>1, PAIR_BLOCK // max(job.options.columns, <Py_ssize_t>1)))
    pieces = (job.rows + job.block - 1) // job.block
    step = 3 * job.block * sizeof(double)
    if job.converts:
        step += 2 * job.arrays * job.block * job.options.columns * sizeof(double)
    step = (step + 63) // 64 * 64
    threads = threads_acquire(work * job.rows * (job.options.columns + 20)) if pieces > 1 else 1
    memory = <char *>malloc(threads * step + 64 + pieces * 2 * sizeof(double))
    if memory == NULL:
        threads_release(threads)
        raise MemoryError("no memory for the blocks of a loss of embeddings")
    scratch = memory + (64 - <uintptr_t>memory % 64) % 64
    slots = <double *>(memory + threads * step + 64)
    with nogil:
        if threads > 1:
            for piece in prange(pieces, num_threads=threads, schedule="static"):
                pairs_block(job, piece, scratch + threadid() * step, slots + 2 * piece)
        else:
            for piece in range(pieces):
                pairs_block(job, piece, scratch, slots + 2 * piece)
        for piece in range(pieces):
            add_pair(&hi, &lo, slots[2 * piece], slots[2 * piece + 1])
    free(memory)
    threads_release(threads)
    total[0] = pair_value(hi, lo)
    return 0


cdef const double *doubles_of(const double[::1] values) noexcept nogil:
    """Where they lie; NULL where there are none."""
    return &values[0] if values is not None and values.shape[0] else NULL


def pair_rows(int index, arrays, const int64_t[::1] centers, const double[::1] label, tuple parameters, double work,
              double scale, const double[::1] weight, const double[::1] upstream, double[::1] unreduced, gradients):
    """Sum of the weighted losses of rows. `arrays` and `gradients` (None where not wanted): contiguous, of one real type
    or of half types, two-dimensional; with `centers`, row i of the last array is its row centers[i]. `work`: nanoseconds an element."""
    cdef Pairs job
    cdef Buffers buffers = Buffers()
    cdef double total = 0.0
    cdef int k
    job.kernels = table_of(arrays[0].dtype.itemsize == 8)
    job.body = job.kernels.pairs[index]
    job.arrays = len(arrays)
    job.rows = arrays[0].shape[0]
    job.options.columns = arrays[0].shape[1]
    for k in range(FL_PAIR_PARAMETERS):
        job.options.parameter[k] = parameters[k] if k < len(parameters) else 0.0
    job.centers = &centers[0] if centers is not None and centers.shape[0] else NULL
    job.converts = job.centers != NULL
    for k in range(job.arrays):
        buffers.describe(arrays[k], &job.x[k], job.kernels.bits, False)
        buffers.describe(gradients[k] if gradients else None, &job.grad[k], job.kernels.bits, True)
        job.converts |= not job.x[k].direct or (job.grad[k].data != NULL and not job.grad[k].direct)
    job.label = doubles_of(label)
    job.weight = doubles_of(weight)
    job.upstream = doubles_of(upstream)
    job.unreduced = <double *>doubles_of(unreduced)
    job.scale = scale
    if job.rows:
        run_pairs(&job, work, &total)
    return total


# Columns of one center's gradient that a piece of work adds up, and rows' columns from which threads pay.
cdef enum:
    CENTER_COLUMNS = 64


cdef struct Centers:
    const fl_kernels *kernels
    fl_operand x, centers, gradient  # contiguous rows
    Py_ssize_t columns, cuts
    const Py_ssize_t *end            # rows of center k end there
    const Py_ssize_t *order
    const double *factor
    const double *weight


def center_gradients(x, centers, const int64_t[::1] label, double scale, const double[::1] weight,
                     const double[::1] upstream, gradient):
    """gradient[k] = the sum of factor (center k - x[i]) over the rows i of center k, in their order.

    Arrays are contiguous, of one real type or of half types."""
    cdef Pairs job
    cdef Buffers buffers = Buffers()
    cdef fl_operand to
    job.kernels = table_of(x.dtype.itemsize == 8)
    job.rows = x.shape[0]
    job.options.columns = x.shape[1]
    job.centers = &label[0] if job.rows else NULL
    job.weight = doubles_of(weight)
    job.upstream = doubles_of(upstream)
    job.scale = scale
    buffers.describe(x, &job.x[0], job.kernels.bits, False)
    buffers.describe(centers, &job.x[1], job.kernels.bits, False)
    buffers.describe(gradient, &to, job.kernels.bits, True)
    run_centers(&job, centers.shape[0], &to)


cdef int run_centers(const Pairs *rows, Py_ssize_t classes, const fl_operand *gradient) except -1:
    """The gradients of the centers, which are the second array of a job, all of them to one operand."""
    cdef Centers job
    cdef Py_ssize_t i, piece
    cdef int threads
    cdef Py_ssize_t *start
    cdef Py_ssize_t *order
    cdef double *factor
    job.kernels = rows.kernels
    job.x, job.centers, job.gradient = rows.x[0], rows.x[1], gradient[0]
    job.columns = rows.options.columns
    job.cuts = (job.columns + CENTER_COLUMNS - 1) // CENTER_COLUMNS
    if classes == 0 or job.columns == 0:
        return 0
    start = <Py_ssize_t *>malloc((classes + 1 + rows.rows) * sizeof(Py_ssize_t) + rows.rows * sizeof(double))
    if start == NULL:
        raise MemoryError("no memory for the rows of the centers")
    order = start + classes + 1
    factor = <double *>(order + rows.rows)
    job.end = start
    job.order = order
    job.factor = factor
    job.weight = rows.weight
    threads = threads_acquire(0.4 * rows.rows * job.columns) if classes * job.cuts > 1 else 1
    with nogil:
        # A counting sort: rows by center, in their order.
        for i in range(classes + 1):
            start[i] = 0
        for i in range(rows.rows):
            start[rows.centers[i] + 1] += 1
            factor[i] = rows.scale
            if rows.weight != NULL:
                factor[i] *= rows.weight[i]
            if rows.upstream != NULL:
                factor[i] *= rows.upstream[i]
        for i in range(classes):
            start[i + 1] += start[i]
        for i in range(rows.rows):
            order[start[rows.centers[i]]] = i
            start[rows.centers[i]] += 1
        if threads > 1:
            for piece in prange(classes * job.cuts, num_threads=threads, schedule="dynamic", chunksize=16):
                center_piece(&job, piece)
        else:
            for piece in range(classes * job.cuts):
                center_piece(&job, piece)
    free(start)
    threads_release(threads)
    return 0


cdef void center_piece(const Centers *job, Py_ssize_t piece) noexcept nogil:
    """Some columns of one center."""
    cdef double hi[CENTER_COLUMNS]
    cdef double lo[CENTER_COLUMNS]
    cdef double converted[CENTER_COLUMNS]
    cdef double center_converted[CENTER_COLUMNS]
    cdef const fl_kernels *kernels = job.kernels
    cdef Py_ssize_t k = piece // job.cuts
    cdef Py_ssize_t first = piece % job.cuts * CENTER_COLUMNS
    cdef Py_ssize_t n = min(<Py_ssize_t>CENTER_COLUMNS, job.columns - first)
    cdef Py_ssize_t i, at
    cdef const void *center = fl_operand_read(&job.centers, kernels, k * job.columns + first, n, center_converted)
    cdef void *to
    for i in range(n):
        hi[i] = lo[i] = 0.0
    for at in range(job.end[k - 1] if k else 0, job.end[k]):
        i = job.order[at]
        if job.weight == NULL or job.weight[i] != 0:
            kernels.pair.center_add(n, fl_operand_read(&job.x, kernels, i * job.columns + first, n, converted), center,
                                    job.factor[i], hi, lo)
    to = fl_operand_target(&job.gradient, kernels, k * job.columns + first, converted)
    kernels.pair.center_finish(n, hi, lo, to)
    fl_operand_write(&job.gradient, kernels, k * job.columns + first, n, to)


# ---- Overlaps ----


cdef struct Overlap:
    const fl_kernels *kernels
    fl_operand x, target, grad
    Py_ssize_t rows, columns, blocks  # blocks of a row
    bint squared
    double smooth, scale
    const double *weight
    const double *upstream


cdef inline fl_overlap overlap_sums(const Overlap *job, Py_ssize_t piece, char *scratch) noexcept nogil:
    cdef Py_ssize_t start = piece % job.blocks * FL_BLOCK
    cdef Py_ssize_t n = min(job.columns - start, <Py_ssize_t>FL_BLOCK)
    cdef fl_overlap sums
    start += piece // job.blocks * job.columns
    job.kernels.pair.dice_sums(n, fl_operand_read(&job.x, job.kernels, start, n, scratch),
                               fl_operand_read(&job.target, job.kernels, start, n, scratch + FL_BLOCK * 8),
                               job.squared, &sums)
    return sums


cdef inline void overlap_gradient(const Overlap *job, Py_ssize_t piece, const fl_overlap *sums,
                                  char *scratch) noexcept nogil:
    cdef Py_ssize_t row = piece // job.blocks
    cdef Py_ssize_t start = piece % job.blocks * FL_BLOCK
    cdef Py_ssize_t n = min(job.columns - start, <Py_ssize_t>FL_BLOCK)
    cdef Py_ssize_t i
    cdef double factor = job.scale
    cdef void *to
    if job.weight != NULL:
        factor *= job.weight[row]
    if job.upstream != NULL:
        factor *= job.upstream[row]
    start += row * job.columns
    to = fl_operand_target(&job.grad, job.kernels, start, scratch + 2 * FL_BLOCK * 8)
    if job.weight != NULL and job.weight[row] == 0:
        job.kernels.fill(n, 0.0, to)
    else:
        job.kernels.pair.dice_gradient(n, fl_operand_read(&job.x, job.kernels, start, n, scratch),
                                       fl_operand_read(&job.target, job.kernels, start, n, scratch + FL_BLOCK * 8),
                                       job.squared, &sums[row], job.smooth, factor, to)
    fl_operand_write(&job.grad, job.kernels, start, n, to)


def dice(x, target, Py_ssize_t rows, bint squared, double smooth, double scale, const double[::1] weight,
         const double[::1] upstream, double[::1] unreduced, gradient):
    """Sum of the weighted losses of rows, of any layout: `x`, `target` and `gradient` (or None) hold `rows` equal parts."""
    cdef Overlap job
    cdef Buffers buffers = Buffers()
    job.kernels = table_of(x.dtype.itemsize == 8)
    buffers.describe(x, &job.x, job.kernels.bits, False)
    buffers.describe(target, &job.target, job.kernels.bits, False)
    buffers.describe(gradient, &job.grad, job.kernels.bits, True)
    job.rows = rows
    job.columns = x.size // max(rows, <Py_ssize_t>1)
    job.squared = squared
    job.smooth = smooth
    job.scale = scale
    job.weight = doubles_of(weight)
    job.upstream = doubles_of(upstream)
    return run_overlap(&job, <double *>doubles_of(unreduced))


cdef double run_overlap(Overlap *job, double *unreduced) except? -1:
    """Runs all pieces; the sum of the weighted losses."""
    cdef Py_ssize_t piece, pieces, row, k, rows = job.rows, step = 3 * FL_BLOCK * 8
    cdef double hi = 0.0
    cdef double lo = 0.0
    cdef double value
    cdef int threads
    cdef char *memory
    cdef char *scratch
    cdef fl_overlap *sums
    cdef fl_overlap *parts
    job.blocks = max(<Py_ssize_t>1, (job.columns + FL_BLOCK - 1) // FL_BLOCK)
    pieces = rows * job.blocks
    threads = threads_acquire(0.5 * rows * job.columns) if pieces > 1 else 1
    memory = <char *>malloc(threads * step + 64 + (pieces + (0 if job.blocks == 1 else rows)) * sizeof(fl_overlap))
    if memory == NULL:
        threads_release(threads)
        raise MemoryError("no memory for the blocks of an overlap")
    scratch = memory + (64 - <uintptr_t>memory % 64) % 64
    sums = <fl_overlap *>(memory + threads * step + 64)
    parts = sums if job.blocks == 1 else sums + rows
    with nogil:
        if threads > 1:
            for piece in prange(pieces, num_threads=threads, schedule="static"):
                parts[piece] = overlap_sums(job, piece, scratch + threadid() * step)
        else:
            for piece in range(pieces):
                parts[piece] = overlap_sums(job, piece, scratch)
        for row in range(rows):
            sums[row] = parts[row * job.blocks]
            for k in range(row * job.blocks + 1, (row + 1) * job.blocks):
                add_pair(&sums[row].apart_hi, &sums[row].apart_lo, parts[k].apart_hi, parts[k].apart_lo)
                add_pair(&sums[row].size_hi, &sums[row].size_lo, parts[k].size_hi, parts[k].size_lo)
            value = job.kernels.pair.dice_value(&sums[row], job.smooth)
            if job.weight != NULL:
                value = 0.0 if job.weight[row] == 0 else value * job.weight[row]
            if unreduced != NULL:
                unreduced[row] = value
            add_pair(&hi, &lo, value, 0.0)
        if job.grad.data != NULL:
            if threads > 1:
                for piece in prange(pieces, num_threads=threads, schedule="static"):
                    overlap_gradient(job, piece, sums, scratch + threadid() * step)
            else:
                for piece in range(pieces):
                    overlap_gradient(job, piece, sums, scratch)
    free(memory)
    threads_release(threads)
    return pair_value(hi, lo)


def names_of_pairs():
    """Kernel number of every loss of rows of embeddings."""
    cdef int k = 0
    names = {}
    while fl_pairs_names[k] != NULL:
        names[fl_pairs_names[k].decode()] = k
        k += 1
    return names
