# Rows of logits (outer, C, inner), shared out in tiles, and their labels. Included in _core.pyx.

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


# An array of shape (outer, C, inner), strides in bytes; data is NULL where it is absent.
cdef struct Array3:
    char *data
    Py_ssize_t stride[3]


cdef Array3 array3(const real[:, :, :] view) noexcept nogil:
    cdef Array3 a
    cdef int k
    cdef bint given = view is not None and view.shape[0] and view.shape[1] and view.shape[2]
    a.data = <char *>&view[0, 0, 0] if given else NULL
    for k in range(3):
        a.stride[k] = view.strides[k] if given else 0
    return a


cdef inline fl_rows at_rows(const Array3 *a, const Rows *r, Py_ssize_t group, Py_ssize_t first,
                            Py_ssize_t itemsize) noexcept nogil:
    """The rows of a tile in an array, as the kernels take them."""
    cdef fl_rows rows
    cdef Py_ssize_t stride
    rows.data = NULL
    rows.row_stride = rows.class_stride = 0
    if a.data != NULL:
        stride = a.stride[0 if r.inner == 1 else 2]
        rows.data = a.data + first * stride + (group * a.stride[0] if r.inner != 1 else 0)
        rows.row_stride = stride // itemsize
        rows.class_stride = a.stride[1] // itemsize
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


cdef Py_ssize_t scan_labels(const Labels *labels, const Rows *rows, const double *class_weight,
                            const double *sample_weight, double *total) noexcept nogil:
    """Flat index of the first bad label or -1; *total: sample weight times class weight over the rows not ignored."""
    cdef Rows r = rows[0]
    cdef int64_t label[TILE]
    cdef Py_ssize_t group, block, first, n, i, bad, valid
    cdef double hi = 0.0
    cdef double lo = 0.0
    cdef double weight
    for group in range(r.groups):
        for block in range((r.rows + TILE - 1) // TILE):
            first = block * TILE
            n = min(<Py_ssize_t>TILE, r.rows - first)
            bad = load_labels(labels, &r, group, first, n, label)
            if bad >= 0:
                return group * r.rows + first + bad
            if class_weight == NULL and sample_weight == NULL:
                valid = 0
                for i in range(n):
                    valid += label[i] >= 0
                hi += <double>valid
                continue
            for i in range(n):
                if label[i] >= 0:
                    weight = 1.0 if class_weight == NULL else class_weight[label[i]]
                    if sample_weight != NULL:
                        weight *= sample_weight[group * r.rows + first + i]
                    add_pair(&hi, &lo, weight, 0.0)
    total[0] = pair_value(hi, lo)
    return -1


def check_labels(target, Py_ssize_t classes, ignore_index, const double[::1] class_weight, const double[::1] sample_weight):
    """(flat index of the first bad label or -1, sum of sample weight times class weight over the rows not ignored).

    `target` is an (outer, inner) integer array; the weights, per class and per row, may be None."""
    cdef Py_buffer b
    cdef Labels labels
    cdef Rows r = rows_of(target.shape[0], classes, target.shape[1])
    cdef const double *by_class = NULL
    cdef const double *by_row = NULL
    cdef Py_ssize_t bad
    cdef double total = 0.0
    if class_weight is not None and class_weight.shape[0]:
        by_class = &class_weight[0]
    if sample_weight is not None and sample_weight.shape[0]:
        by_row = &sample_weight[0]
    PyObject_GetBuffer(target, &b, PyBUF_STRIDES | PyBUF_FORMAT)
    try:
        describe_labels(&labels, &b, ignore_index)
        with nogil:
            bad = scan_labels(&labels, &r, by_class, by_row, &total)
    finally:
        PyBuffer_Release(&b)
    return bad, total


cdef int describe_labels(Labels *labels, const Py_buffer *b, object ignore_index) except -1:
    labels.data = <const char *>b.buf
    labels.type = type_of(b)
    if b.ndim == 2:
        labels.stride[0] = b.strides[0]
        labels.stride[1] = b.strides[1]
    labels.has_ignore = ignore_index is not None and -(2 ** 63) <= ignore_index < 2 ** 63
    labels.ignore = ignore_index if labels.has_ignore else 0
    return 0
