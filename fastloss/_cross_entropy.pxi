# Cross-entropy over the rows of logits. Included in _core.pyx.

# One call of cross-entropy: everything that is the same for all its tiles.
cdef struct Xent:
    fl_xent options
    Rows rows
    const fl_kernels *kernels
    Array3 logits, grad, hess
    Labels labels               # data is NULL where the target holds probabilities
    Array3 soft                 # data is NULL where it holds labels
    Py_ssize_t itemsize
    Numbers sample_weight, upstream, unreduced  # one for every row each, where there are any
    double scale
    bint halves                 # the kernel reads and writes a half type itself
    bint fetches                # the kernel fetches what will be converted next: 8000 x 2000 take 0.75 of the time
    Py_ssize_t soft_bytes, row_bytes, half_bytes, scratch_bytes


# Classes from which a few rows are shared out row by row: two regions of threads a row must not show.
cdef enum:
    SHARED_CLASSES = 32 * FL_ROW_CHUNK


cdef bint can_share_rows(const Xent *x) noexcept nogil:
    """Whether the kernels take the rows in parts, each row being a piece of its own."""
    return (x.labels.data != NULL and x.rows.classes >= SHARED_CLASSES and x.options.label_smoothing == 0
            and x.options.logit_softcap == 0 and x.options.z_loss == 0 and x.hess.data == NULL
            and not is_half(x.logits.type)
            and x.logits.stride[1] == x.itemsize and (x.grad.data == NULL or x.grad.stride[1] == x.itemsize))


cdef bint can_take_halves(const Xent *x) noexcept nogil:
    """Whether a kernel takes the rows, which are of a half type, as they are."""
    return (is_half(x.logits.type) and x.labels.data != NULL and x.rows.classes > FL_ROW_CHUNK
            and x.options.label_smoothing == 0 and x.options.logit_softcap == 0 and x.options.z_loss == 0
            and x.options.temperature == 1 and x.hess.data == NULL and whole_halves(&x.logits)
            and (x.grad.data == NULL or (x.grad.type == x.logits.type and whole_halves(&x.grad))))


cdef bint whole_halves(const Array3 *a) noexcept nogil:
    """Whether the classes lie one behind the other, and rows a number of halves apart."""
    return has_whole_rows(a) and a.stride[0] % 2 == 0 and a.stride[2] % 2 == 0


cdef bint share_row(const Xent *x, int threads, char *scratch, Py_ssize_t piece, double *slot) noexcept nogil:
    """One row by all threads; False where it is not a row to share: ignored or of weight 0."""
    cdef const fl_row_kernels *kernels = &x.kernels.rows
    cdef Py_ssize_t classes = x.rows.classes
    cdef Py_ssize_t group = piece // x.rows.tiles
    cdef Py_ssize_t first = piece % x.rows.tiles
    cdef Py_ssize_t row = group * x.rows.rows + first
    cdef Py_ssize_t chunks = (classes + FL_ROW_CHUNK - 1) // FL_ROW_CHUNK
    cdef Py_ssize_t c
    cdef fl_rows logits = at_rows(&x.logits, &x.rows, group, first, x.itemsize)
    cdef fl_rows grad = at_rows(&x.grad, &x.rows, group, first, x.itemsize)
    cdef double weight = 1.0
    cdef double upstream = 1.0
    cdef double value
    cdef bint finite = True
    cdef int64_t label
    cdef void *memory
    cdef void *shared
    read_numbers(&x.sample_weight, row, 1, &weight)
    read_numbers(&x.upstream, row, 1, &upstream)
    load_labels(&x.labels, &x.rows, group, first, 1, &label)
    if label < 0 or weight == 0 or (x.options.class_weight != NULL and class_weight_of(x, label) == 0):
        return False
    memory = malloc(kernels.shared_row_bytes(classes) + 64)
    if memory == NULL:
        return False
    shared = <void *>((<uintptr_t>memory + 63) // 64 * 64)
    if kernels.shared_begin(&x.options, logits.data, label, x.scale * weight * upstream, grad.data, shared):
        for c in prange(chunks, num_threads=threads, schedule="static"):
            kernels.shared_max(shared, c)
        finite = kernels.shared_join(shared)
    if finite:
        for c in prange(chunks, num_threads=threads, schedule="static"):
            kernels.shared_chunk(shared, c, scratch + threadid() * x.scratch_bytes)
    if kernels.shared_value(shared, &value) and grad.data != NULL:
        for c in prange(chunks, num_threads=threads, schedule="static"):
            kernels.shared_gradient(shared, c)
    free(memory)
    value = value * weight
    slot[0] = value
    slot[1] = 0.0
    write_numbers(&x.unreduced, row, 1, &value)
    return True


cdef int run_xent(Xent *x, double *total) except -1:
    """Runs all tiles; *total becomes the sum of the weighted row losses."""
    cdef Py_ssize_t piece, pieces = x.rows.groups * x.rows.tiles
    cdef double hi = 0.0
    cdef double lo = 0.0
    cdef int threads
    cdef bint shared = can_share_rows(x)
    cdef char *memory
    cdef char *scratch
    cdef double *slots
    x.row_bytes = (x.rows.tile * 8 + 63) // 64 * 64
    x.scratch_bytes = (x.kernels.rows.cross_entropy_scratch(&x.options) + 63) // 64 * 64
    x.halves = can_take_halves(x)
    settle_strip(&x.rows, &x.logits)
    settle_strip(&x.rows, &x.soft)
    x.options.next = NULL
    x.fetches = (x.logits.converted and not x.halves and x.rows.ahead and x.rows.classes > TILED_CLASSES
                 and are_dense(&x.logits, &x.rows))
    x.half_bytes = 0 if x.halves else converted_bytes(&x.logits, &x.rows, x.kernels)
    x.soft_bytes = converted_bytes(&x.soft, &x.rows, x.kernels)
    if x.halves:
        x.scratch_bytes = (x.kernels.rows.half_rows_scratch(x.rows.classes) + 63) // 64 * 64
    x.scratch_bytes += x.soft_bytes + 5 * x.row_bytes + x.half_bytes * (2 if x.hess.data != NULL else 1)
    # About half a nanosecond an element of float32, and a logarithm or two for every row.
    threads = 1
    if pieces > 1 or shared:
        threads = threads_acquire(x.rows.groups * x.rows.rows * (0.14 * x.itemsize * x.rows.classes + 10))
    shared = shared and threads > 1 and pieces < 4 * threads
    memory = <char *>malloc(threads * x.scratch_bytes + 64 + pieces * 2 * sizeof(double))
    if memory == NULL:
        threads_release(threads)
        raise MemoryError("no memory for the row tiles of cross_entropy")
    scratch = memory + (64 - <uintptr_t>memory % 64) % 64
    slots = <double *>(memory + threads * x.scratch_bytes + 64)
    with nogil:
        if shared:
            for piece in range(pieces):
                if not share_row(x, threads, scratch, piece, slots + 2 * piece):
                    xent_tile(x, scratch, piece, slots + 2 * piece)
        elif threads > 1:
            for piece in prange(pieces, num_threads=threads, schedule="static"):
                xent_tile(x, scratch + threadid() * x.scratch_bytes, piece, slots + 2 * piece)
        else:
            for piece in range(pieces):
                xent_tile(x, scratch, piece, slots + 2 * piece)
        for piece in range(pieces):
            add_pair(&hi, &lo, slots[2 * piece], slots[2 * piece + 1])
    free(memory)
    threads_release(threads)
    total[0] = pair_value(hi, lo)
    return 0


def cross_entropy(logits, target, bint soft, dict options, class_weight, ignore_index, sample_weight, upstream,
                  double scale, grad, hess, unreduced):
    """Sum of the weighted row losses; arguments are checked, labels too.

    logits, grad, hess: (outer, C, inner), of one real type or a half type; target: labels (outer, inner), or
    probabilities (outer, C, inner) where `soft`; weights, upstream, unreduced: one number for every row, of any layout,
    or None; grad and hess are None where not wanted."""
    cdef Xent x
    cdef Py_buffer b
    cdef Buffers buffers = Buffers()
    cdef fl_operand by_class
    cdef double total = 0.0
    x.rows = rows_of(logits.shape[0], logits.shape[1], logits.shape[2])
    x.kernels = table_of(logits.dtype.itemsize == 8)
    x.itemsize = x.kernels.bits // 8
    x.options.classes = x.rows.classes
    x.options.label_smoothing = options["label_smoothing"]
    x.options.temperature = options["temperature"]
    x.options.logit_softcap = options["logit_softcap"]
    x.options.z_loss = options["z_loss"]
    x.logits = array3(buffers, logits, False)
    x.grad = array3(buffers, grad, True)
    x.hess = array3(buffers, hess, True)
    buffers.describe(class_weight, &by_class, x.kernels.bits, False)
    x.options.class_weight = by_class.data
    describe_numbers(buffers, sample_weight, &x.sample_weight, x.kernels, False)
    describe_numbers(buffers, upstream, &x.upstream, table_of(True), False)
    describe_values(buffers, unreduced, &x.unreduced, x.kernels)
    x.scale = scale
    x.labels.data = x.soft.data = NULL
    PyObject_GetBuffer(readable(target), &b, PyBUF_STRIDES | PyBUF_FORMAT)
    try:
        if soft:
            x.soft = targets3(&b, x.kernels.bits)
        else:
            describe_labels(&x.labels, &b, ignore_index)
        run_xent(&x, &total)
    finally:
        PyBuffer_Release(&b)
    return total


cdef bint is_default(object given, object default) except -1:
    """Whether an option is switched off: at its default, and of its type (True is no 1.0); an array is not."""
    return given is default or (given.__class__ is default.__class__ and given == default)


def quick_cross_entropy(tuple plain, int want, x, target, tuple parameters, bint mean, grad):
    """The common call without detours: contiguous arrays, integer labels or probabilities of the logits' type, no
    options. None where that does not hold or something is wrong: the general path then says what."""
    cdef Xent job
    cdef Buffers buffers
    cdef Py_buffer *b
    cdef Py_buffer *t
    cdef Py_buffer *g
    cdef Py_ssize_t classes, n = 1
    cdef int k
    cdef Py_ssize_t unused
    cdef double valid = 0.0
    cdef double total = 0.0
    cdef object ignore_index = parameters[1]
    if not is_buffer(x) or not is_buffer(target) or ignore_index.__class__ is not int:
        return None
    if parameters[0] is not None:
        return None
    for k in range(2, len(plain)):
        if not is_default(parameters[k], plain[k]):
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
    job.rows = rows_of(n, classes, 1)
    job.labels.data = job.soft.data = NULL
    if not is_plain(t, b):
        if not plain_labels(t, b):
            return None
        describe_labels(&job.labels, t, ignore_index)
        job.labels.stride[0] = t.itemsize  # the rows of all leading axes lie one behind the other
    if want == 1:
        if not is_plain(g, b) or overlap(g, t) or (g.buf != b.buf and overlap(g, b)):
            return None
    if job.labels.data != NULL:
        if scan_labels(&job.labels, &job.rows, NULL, NULL, &valid, &unused) >= 0 or valid == 0:
            return None
    else:
        valid = <double>n
        job.soft = rows3(t, classes)
    job.kernels = table_of(job.itemsize == 8)
    job.options.classes = classes
    job.options.label_smoothing = job.options.logit_softcap = job.options.z_loss = 0.0
    job.options.temperature = 1.0
    job.options.class_weight = NULL
    job.logits = rows3(b, classes)
    job.grad = rows3(g, classes)
    if want == 0:
        job.grad.data = NULL
    job.hess = job.grad
    job.hess.data = NULL
    job.sample_weight.operand.data = job.upstream.operand.data = job.unreduced.operand.data = NULL
    job.scale = 1.0 / valid if mean else 1.0
    run_xent(&job, &total)
    if mean:
        total = total / valid
    return total if want == 0 else (total, grad)


cdef inline Py_ssize_t real_size(int type) noexcept nogil:
    """Bytes of the real type that elements are computed in; 0 where they are no reals."""
    return 8 if type == FL_F64 else 4 if type == FL_F32 or is_half(type) else 0


cdef inline Array3 rows3(const Py_buffer *b, Py_ssize_t classes) noexcept nogil:
    """A contiguous array of rows of classes."""
    cdef Array3 a
    a.data = <char *>b.buf
    a.type = type_of(b)
    a.converted = is_half(a.type)
    a.stride[0] = classes * b.itemsize
    a.stride[1] = b.itemsize
    a.stride[2] = b.itemsize
    return a


cdef inline double class_weight_of(const Xent *x, int64_t label) noexcept nogil:
    if x.itemsize == 8:
        return (<const double *>x.options.class_weight)[label]
    return (<const float *>x.options.class_weight)[label]


cdef void xent_tile(const Xent *x, char *scratch, Py_ssize_t piece, double *slot) noexcept nogil:
    cdef const Rows *r = &x.rows
    cdef Py_ssize_t group = piece // r.tiles
    cdef Py_ssize_t first = piece % r.tiles * r.tile
    cdef Py_ssize_t n = min(r.tile, r.rows - first)
    cdef Py_ssize_t i, m, row = group * r.rows + first
    cdef int64_t *label = <int64_t *>scratch
    cdef double *factor = <double *>(scratch + x.row_bytes)
    cdef double *value = <double *>(scratch + 2 * x.row_bytes)
    cdef unsigned char *skip = <unsigned char *>(scratch + 3 * x.row_bytes)
    cdef double *own = <double *>(scratch + 4 * x.row_bytes)
    cdef char *converted = scratch + 5 * x.row_bytes
    cdef char *soft = converted + x.half_bytes * (2 if x.hess.data != NULL else 1)
    cdef char *work = soft + x.soft_bytes
    cdef Py_ssize_t strip = r.strip if x.half_bytes + x.soft_bytes else n
    cdef fl_xent options = x.options
    cdef Tile tile
    cdef bint hard = x.labels.data != NULL
    # A class weight of 0 silences the row unless smoothing spreads the label over other classes.
    cdef bint silence = x.options.class_weight != NULL and x.options.label_smoothing == 0
    cdef bint weighted = read_numbers(&x.sample_weight, row, n, own)
    cdef fl_rows probability
    if hard:
        load_labels(&x.labels, r, group, first, n, label)
        for i in range(n if weighted else 0):
            own[i] = 0 if label[i] < 0 else own[i]  # that of an ignored row may be anything
    for i in range(n):
        factor[i] = x.scale
    if weighted:
        for i in range(n):
            factor[i] *= own[i]
            skip[i] = own[i] == 0
    else:
        for i in range(n):
            skip[i] = 0
    if read_numbers(&x.upstream, row, n, value):
        for i in range(n):
            factor[i] *= value[i]
    if hard and (silence or weighted):
        for i in range(n):
            if skip[i] or (silence and label[i] >= 0 and class_weight_of(x, label[i]) == 0):
                skip[i] = 1
                label[i] = -1
    if x.halves:
        tile.x = at_rows(&x.logits, r, group, first, 2)
        tile.grad = at_rows(&x.grad, r, group, first, 2)
        x.kernels.rows.half_rows(&x.options, n, x.logits.type == FL_BF16, tile.x, label, factor, value, tile.grad, work)
    i = n if x.halves else 0
    while i < n:
        m = min(strip, n - i)
        tile = open_tile(&x.logits, &x.grad, &x.hess, r, x.kernels, group, first + i, m, not x.fetches, converted)
        probability = open_rows(&x.soft, r, x.kernels, group, first + i, m, tile.x.class_stride == 1, True, soft)
        if x.fetches:
            options.next = row_at(&x.logits, r, group, first + i + m)
        x.kernels.rows.cross_entropy(&options, m, tile.x, label + i if hard else <int64_t *>NULL, probability, skip + i,
                                     factor + i, value + i, tile.grad, tile.hess, work)
        close_tile(&tile, &x.grad, &x.hess, r, x.kernels, group, first + i, m)
        i += m
    if weighted:
        for i in range(n):
            value[i] = 0.0 if own[i] == 0 else value[i] * own[i]
    table_of(True).sum(n, value, slot, slot + 1)
    write_numbers(&x.unreduced, row, n, value)
