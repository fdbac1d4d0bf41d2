# Row losses and softmax activations: rows of logits (outer, C, inner), shared out in tiles. Included in _core.pyx.

ctypedef fused real:
    float
    double

# Elements of a tile of rows: enough work for one piece, few enough to share out small batches.
cdef enum:
    TILE = 8192


# How the rows of (outer, C, inner) are walked: groups of rows at a constant stride.
cdef struct Rows:
    Py_ssize_t classes, inner
    Py_ssize_t groups, rows  # rows of a group
    Py_ssize_t tile          # rows of a tile; the last of a group may have fewer
    Py_ssize_t tiles         # tiles of a group


cdef Rows rows_of(Py_ssize_t outer, Py_ssize_t classes, Py_ssize_t inner) noexcept nogil:
    cdef Rows r
    r.classes = classes
    r.inner = inner
    r.groups = 1 if inner == 1 else outer
    r.rows = outer if inner == 1 else inner
    r.tile = max(<Py_ssize_t>1, TILE // max(classes, <Py_ssize_t>1))
    if r.tile > 32:
        r.tile = r.tile // 32 * 32
    r.tile = min(r.tile, max(r.rows, <Py_ssize_t>1))
    r.tiles = (r.rows + r.tile - 1) // r.tile
    return r


cdef inline fl_rows at_rows(const real[:, :, :] view, const Rows *r, Py_ssize_t group, Py_ssize_t first) noexcept nogil:
    """The rows of a tile in an array, as the kernels take them; an absent array has no rows."""
    cdef fl_rows rows
    cdef Py_ssize_t row_axis = 0 if r.inner == 1 else 2
    if view is None or view.shape[1] == 0:
        rows.data = NULL
        rows.row_stride = rows.class_stride = 0
        return rows
    rows.data = <char *>&view[0, 0, 0] + first * view.strides[row_axis] + (group * view.strides[0] if r.inner != 1 else 0)
    rows.row_stride = view.strides[row_axis] // <Py_ssize_t>sizeof(real)
    rows.class_stride = view.strides[1] // <Py_ssize_t>sizeof(real)
    return rows


# Class labels of (outer, inner), of any integer type.
cdef struct Labels:
    const char *data
    int type
    Py_ssize_t stride[2]
    bint has_ignore
    int64_t ignore


cdef Py_ssize_t load_labels(const Labels *labels, const Rows *r, Py_ssize_t group, Py_ssize_t first, Py_ssize_t n,
                            int64_t *to) noexcept nogil:
    """Labels of a tile by value, ignored ones as -1. Returns the first row that is neither ignored nor a class, or -1."""
    cdef Py_ssize_t stride = labels.stride[0 if r.inner == 1 else 1]
    cdef const char *source = labels.data + first * stride + (group * labels.stride[0] if r.inner != 1 else 0)
    return fl_load_labels(labels.type, n, source, stride, labels.has_ignore, labels.ignore, r.classes, to)


def check_labels(target, Py_ssize_t classes, ignore_index, const double[::1] class_weight,
                 const double[::1] sample_weight):
    """(flat index of the first bad label or -1, sum of sample weight times class weight over the rows not ignored).

    `target` is an (outer, inner) integer array; the weights, per class and per row, may be None."""
    cdef Py_buffer b
    cdef Labels labels
    cdef Rows r = rows_of(target.shape[0], classes, target.shape[1])
    cdef int64_t label[TILE]
    cdef Py_ssize_t group, first, n, i, bad, row, block
    cdef double hi = 0.0, lo = 0.0, weight
    PyObject_GetBuffer(target, &b, PyBUF_STRIDES | PyBUF_FORMAT)
    try:
        describe_labels(&labels, &b, ignore_index)
        with nogil:
            r.tile = TILE
            for group in range(r.groups):
                for block in range((r.rows + TILE - 1) // TILE):
                    first = block * TILE
                    n = min(<Py_ssize_t>TILE, r.rows - first)
                    bad = load_labels(&labels, &r, group, first, n, label)
                    if bad >= 0:
                        with gil:
                            return group * r.rows + first + bad, 0.0
                    if class_weight is None and sample_weight is None:
                        row = 0
                        for i in range(n):
                            row += label[i] >= 0
                        hi += <double>row
                        continue
                    for i in range(n):
                        if label[i] < 0:
                            continue
                        weight = 1.0 if class_weight is None else class_weight[label[i]]
                        if sample_weight is not None:
                            weight *= sample_weight[group * r.rows + first + i]
                        add_pair(&hi, &lo, weight, 0.0)
    finally:
        PyBuffer_Release(&b)
    return -1, pair_value(hi, lo)


cdef int describe_labels(Labels *labels, const Py_buffer *b, object ignore_index) except -1:
    labels.data = <const char *>b.buf
    labels.type = type_of(b)
    labels.stride[0] = b.strides[0]
    labels.stride[1] = b.strides[1]
    labels.has_ignore = ignore_index is not None and -(2 ** 63) <= ignore_index < 2 ** 63
    labels.ignore = ignore_index if labels.has_ignore else 0
    return 0


def cross_entropy(const real[:, :, :] logits, target, bint soft, dict options, const real[::1] class_weight, ignore_index,
                  const double[::1] sample_weight, const double[::1] upstream, double scale,
                  real[:, :, :] grad, real[:, :, :] hess, double[::1] unreduced):
    """Sum of the weighted row losses; arguments are checked, labels too.

    logits, grad, hess: (outer, C, inner); target: labels (outer, inner), or probabilities (outer, C, inner) where
    `soft`; weights, upstream, unreduced: one number for every row, or None; grad and hess are None where not wanted."""
    cdef fl_xent o
    cdef Rows r = rows_of(logits.shape[0], logits.shape[1], logits.shape[2])
    cdef const fl_kernels *kernels = table_of(real is double)
    cdef Labels labels
    cdef Py_buffer b
    cdef double hi = 0.0, lo = 0.0
    cdef Py_ssize_t piece, pieces = r.groups * r.tiles
    cdef Py_ssize_t row_bytes, gather_bytes = 0, bytes
    cdef int threads
    cdef char *memory
    cdef char *scratch
    cdef double *slots
    o.classes = r.classes
    o.label_smoothing = options["label_smoothing"]
    o.temperature = options["temperature"]
    o.logit_softcap = options["logit_softcap"] or 0.0
    o.z_loss = options["z_loss"]
    o.class_weight = NULL if class_weight is None else <const void *>&class_weight[0]
    PyObject_GetBuffer(target, &b, PyBUF_STRIDES | PyBUF_FORMAT)
    try:
        if soft:
            labels.data = NULL
            # Probabilities of another type (or alignment) are converted a tile at a time.
            if not usable_rows(&b, sizeof(real), FL_F64 if real is double else FL_F32):
                gather_bytes = (r.tile * r.classes * sizeof(real) + 63) // 64 * 64
        else:
            describe_labels(&labels, &b, ignore_index)
        row_bytes = (r.tile * 8 + 63) // 64 * 64
        bytes = (kernels.rows.cross_entropy_scratch(&o) + 63) // 64 * 64 + gather_bytes + 4 * row_bytes
        # About half a nanosecond an element, and a logarithm or two for every row.
        threads = threads_acquire(0.6 * r.groups * r.rows * (r.classes + 30)) if pieces > 1 else 1
        memory = <char *>malloc(threads * bytes + 64 + pieces * 2 * sizeof(double))
        if memory == NULL:
            threads_release(threads)
            raise MemoryError("no memory for the row tiles of cross_entropy")
        scratch = memory + (64 - <uintptr_t>memory % 64) % 64
        slots = <double *>(memory + threads * bytes + 64)
        with nogil:
            if threads > 1:
                for piece in prange(pieces, num_threads=threads, schedule="static"):
                    xent_tile(&o, &r, kernels, logits, &labels, &b, gather_bytes, row_bytes, sample_weight, upstream,
                              scale, grad, hess, unreduced, scratch + threadid() * bytes, piece, slots + 2 * piece)
            else:
                for piece in range(pieces):
                    xent_tile(&o, &r, kernels, logits, &labels, &b, gather_bytes, row_bytes, sample_weight, upstream,
                              scale, grad, hess, unreduced, scratch, piece, slots + 2 * piece)
            for piece in range(pieces):
                add_pair(&hi, &lo, slots[2 * piece], slots[2 * piece + 1])
        free(memory)
        threads_release(threads)
    finally:
        PyBuffer_Release(&b)
    return pair_value(hi, lo)


cdef bint usable_rows(const Py_buffer *b, Py_ssize_t itemsize, int type) noexcept nogil:
    """Whether (outer, C, inner) probabilities can be read where they lie."""
    cdef int k
    if type_of(b) != type or <uintptr_t>b.buf % itemsize:
        return False
    for k in range(3):
        if b.strides[k] % itemsize:
            return False
    return True


cdef void xent_tile(const fl_xent *o, const Rows *r, const fl_kernels *kernels, const real[:, :, :] logits,
                    const Labels *labels, const Py_buffer *soft, Py_ssize_t gather_bytes, Py_ssize_t row_bytes,
                    const double[::1] sample_weight, const double[::1] upstream, double scale,
                    real[:, :, :] grad, real[:, :, :] hess, double[::1] unreduced, char *scratch,
                    Py_ssize_t piece, double *slot) noexcept nogil:
    cdef Py_ssize_t group = piece // r.tiles
    cdef Py_ssize_t first = piece % r.tiles * r.tile
    cdef Py_ssize_t n = min(r.tile, r.rows - first)
    cdef int64_t *label = <int64_t *>scratch
    cdef double *factor = <double *>(scratch + row_bytes)
    cdef double *value = <double *>(scratch + 2 * row_bytes)
    cdef unsigned char *skip = <unsigned char *>(scratch + 3 * row_bytes)
    cdef char *gathered = scratch + 4 * row_bytes
    cdef Py_ssize_t i, row = group * r.rows + first, row_axis = 0 if r.inner == 1 else 2
    cdef const char *source
    cdef fl_rows probability
    cdef const real *class_weight = <const real *>o.class_weight
    cdef double weight
    cdef double hi = 0.0
    cdef double lo = 0.0
    probability.data = NULL
    probability.row_stride = probability.class_stride = 0
    if labels.data != NULL:
        load_labels(labels, r, group, first, n, label)
    else:
        source = <const char *>soft.buf + first * soft.strides[row_axis] + (group * soft.strides[0] if r.inner != 1 else 0)
        if gather_bytes:
            for i in range(n):
                kernels.load(type_of(soft), r.classes, source + i * soft.strides[row_axis], soft.strides[1],
                             gathered + i * r.classes * <Py_ssize_t>sizeof(real))
            probability.data = gathered
            probability.row_stride = r.classes
            probability.class_stride = 1
        else:
            probability.data = <void *>source
            probability.row_stride = soft.strides[row_axis] // <Py_ssize_t>sizeof(real)
            probability.class_stride = soft.strides[1] // <Py_ssize_t>sizeof(real)
    for i in range(n):
        weight = 1.0 if sample_weight is None else sample_weight[row + i]
        factor[i] = scale * weight if upstream is None else scale * weight * upstream[row + i]
        skip[i] = weight == 0
        if labels.data != NULL:
            # A class weight of 0 silences the row unless smoothing spreads the label over other classes.
            if label[i] >= 0 and class_weight != NULL and o.label_smoothing == 0 and class_weight[label[i]] == 0:
                skip[i] = 1
            if skip[i]:
                label[i] = -1
    kernels.rows.cross_entropy(o, n, at_rows(logits, r, group, first), label if labels.data != NULL else <int64_t *>NULL,
                               probability, skip, factor, value, at_rows(grad, r, group, first),
                               at_rows(hess, r, group, first), gathered + gather_bytes)
    for i in range(n):
        if sample_weight is not None:
            weight = sample_weight[row + i]
            value[i] = 0.0 if weight == 0 else value[i] * weight
        if unreduced is not None:
            unreduced[row + i] = value[i]
        add_pair(&hi, &lo, value[i], 0.0)
    slot[0] = hi
    slot[1] = lo


def softmax_rows(int which, const real[:, :, :] logits, real[:, :, :] out, double[::1] values):
    """softmax (which = 0) or log_softmax (1) into `out`, logsumexp (2) into `values`, over the middle axis."""
    cdef Rows r = rows_of(logits.shape[0], logits.shape[1], logits.shape[2])
    cdef const fl_kernels *kernels = table_of(real is double)
    cdef Py_ssize_t piece, pieces = r.groups * r.tiles
    cdef Py_ssize_t row_bytes = (r.tile * 8 + 63) // 64 * 64
    cdef Py_ssize_t bytes = (kernels.rows.softmax_scratch(r.classes) + 63) // 64 * 64 + row_bytes
    cdef int threads = threads_acquire(0.6 * r.groups * r.rows * (r.classes + 30)) if pieces > 1 else 1
    cdef char *memory = <char *>malloc(threads * bytes + 64)
    cdef char *scratch
    if memory == NULL:
        threads_release(threads)
        raise MemoryError("no memory for the row tiles of softmax")
    scratch = memory + (64 - <uintptr_t>memory % 64) % 64
    with nogil:
        if threads > 1:
            for piece in prange(pieces, num_threads=threads, schedule="static"):
                softmax_tile(which, &r, kernels, logits, out, values, scratch + threadid() * bytes, row_bytes, piece)
        else:
            for piece in range(pieces):
                softmax_tile(which, &r, kernels, logits, out, values, scratch, row_bytes, piece)
    free(memory)
    threads_release(threads)


cdef void softmax_tile(int which, const Rows *r, const fl_kernels *kernels, const real[:, :, :] logits, real[:, :, :] out,
                       double[::1] values, char *scratch, Py_ssize_t row_bytes, Py_ssize_t piece) noexcept nogil:
    cdef Py_ssize_t group = piece // r.tiles
    cdef Py_ssize_t first = piece % r.tiles * r.tile
    cdef Py_ssize_t i, n = min(r.tile, r.rows - first)
    cdef fl_rows rows = at_rows(logits, r, group, first)
    cdef double *value = <double *>scratch
    if which == 0:
        kernels.rows.softmax(r.classes, n, rows, at_rows(out, r, group, first), scratch + row_bytes)
    elif which == 1:
        kernels.rows.log_softmax(r.classes, n, rows, at_rows(out, r, group, first), scratch + row_bytes)
    else:
        kernels.rows.logsumexp(r.classes, n, rows, value, scratch + row_bytes)
        for i in range(n):
            values[group * r.rows + first + i] = value[i]
