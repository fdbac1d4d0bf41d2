# Rows of logits (outer, C, inner), shared out in tiles, and their labels. Included in _core.pyx.

# Elements of a tile of rows: enough work for one piece, few enough to share out small batches. Of a strip of rows that are
# converted and not in the caches: half types of 16000 x 1000 take 0.83 of the time fetched a strip ahead, multi-class hinge
# 0.65; fetched a tile ahead, it takes 0.82.
cdef enum:
    TILE = 8192, STRIP = 4096


# Classes of the rows that float kernels take in tiles of 32 (TILE_LIMIT in csrc/rows/softmax_xent.h) wherever they lie.
cdef enum:
    TILED_CLASSES = 256


# How the rows of (outer, C, inner) are walked: groups of rows at a constant stride.
cdef struct Rows:
    Py_ssize_t classes, inner
    Py_ssize_t groups, rows  # rows of a group
    Py_ssize_t tile          # rows of a tile; the last of a group may have fewer
    Py_ssize_t tiles         # tiles of a group
    bint ahead               # more than the caches keep
    Py_ssize_t strip         # rows of a tile that are converted at a time, the next being fetched meanwhile if `ahead`


cdef Rows rows_of(Py_ssize_t outer, Py_ssize_t classes, Py_ssize_t inner) noexcept nogil:
    cdef Rows r
    r.classes = classes
    r.inner = inner
    r.groups = 1 if inner == 1 else outer
    r.rows = outer if inner == 1 else inner
    r.tile = max(<Py_ssize_t>1, TILE // max(classes, <Py_ssize_t>1))
    if r.tile < r.rows:  # shared out evenly: four tiles or a multiple (4096 x 10 on two threads: 1.15 times as fast)
        r.tiles = ((r.rows + r.tile - 1) // r.tile + 3) // 4 * 4
        r.tile = (r.rows + r.tiles - 1) // r.tiles
    if r.tile > 32:
        r.tile = (r.tile + 31) // 32 * 32
    r.tile = min(r.tile, max(r.rows, <Py_ssize_t>1))
    r.tiles = (r.rows + r.tile - 1) // r.tile
    r.ahead = 4.0 * r.groups * r.rows * classes > UNCACHED  # a double: labels are checked against 2^62 classes
    r.strip = r.tile
    if r.ahead:
        r.strip = max(<Py_ssize_t>4, STRIP // max(classes, <Py_ssize_t>1))
        if classes <= TILED_CLASSES:  # kernels take 32 rows at a time
            r.strip = max(<Py_ssize_t>32, r.strip // 32 * 32)
        r.strip = min(r.strip, r.tile)
    return r


# An array of shape (outer, C, inner), strides in bytes; data is NULL where it is absent.
cdef struct Array3:
    char *data
    int type
    bint converted  # kernels meet it as reals in scratch: it is of a half type (targets: of any other type, or unaligned)
    Py_ssize_t stride[3]


cdef Array3 array3(Buffers buffers, object array, bint writable):
    """An array (or None) of that shape, of one real type or a half type."""
    cdef Array3 a
    cdef Py_buffer *b = &buffers.buffer[buffers.count]
    cdef int k
    a.data = NULL
    a.type = FL_F32
    a.converted = False
    if array is not None and array.size:
        PyObject_GetBuffer(readable(array), b, PyBUF_STRIDES | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
        buffers.count += 1
        a.data = <char *>b.buf
        a.type = type_of(b)
        a.converted = is_half(a.type)
        for k in range(3):
            a.stride[k] = b.strides[k]
    return a


cdef Array3 targets3(const Py_buffer *b, int bits) noexcept nogil:
    """An array (outer, C, inner) of probabilities, of any type."""
    cdef Array3 a
    cdef Py_ssize_t itemsize = bits // 8
    cdef int k
    a.data = <char *>b.buf
    a.type = type_of(b)
    a.converted = a.type != (FL_F64 if bits == 64 else FL_F32) or <uintptr_t>b.buf % itemsize != 0
    for k in range(3):
        a.stride[k] = b.strides[k]
        a.converted = a.converted or b.strides[k] % itemsize != 0
    return a


cdef inline Py_ssize_t row_stride(const Array3 *a, const Rows *r) noexcept nogil:
    return a.stride[0 if r.inner == 1 else 2]


cdef inline char *row_at(const Array3 *a, const Rows *r, Py_ssize_t group, Py_ssize_t first) noexcept nogil:
    return a.data + first * row_stride(a, r) + (group * a.stride[0] if r.inner != 1 else 0)


cdef inline fl_rows at_rows(const Array3 *a, const Rows *r, Py_ssize_t group, Py_ssize_t first,
                            Py_ssize_t itemsize) noexcept nogil:
    """Rows of an array, as the kernels take them."""
    cdef fl_rows rows
    rows.data = NULL
    rows.row_stride = rows.class_stride = 0
    if a.data != NULL:
        rows.data = row_at(a, r, group, first)
        rows.row_stride = row_stride(a, r) // itemsize
        rows.class_stride = a.stride[1] // itemsize
    return rows


# Rows that are converted go by way of scratch, a strip at a time: class by class where the classes do not lie one behind the
# other, so that rows of all types meet the same kernel; results are stored from there.

cdef inline bint has_whole_rows(const Array3 *a) noexcept nogil:
    """Whether the classes lie one behind the other."""
    return a.stride[1] == fl_type_bytes(a.type)


cdef inline void settle_strip(Rows *r, const Array3 *a) noexcept nogil:
    """Rows whose classes lie apart are taken in tiles of 32, and converted class by class: as many as there are at a time
    (of 300 to 1300 classes, strips of a few took 1.7 to 3 times as long)."""
    if a.data != NULL and a.converted and not has_whole_rows(a):
        r.strip = r.tile


cdef inline Py_ssize_t converted_bytes(const Array3 *a, const Rows *r, const fl_kernels *kernels) noexcept nogil:
    """Bytes of scratch that the rows of a strip need; 0 where they are used where they lie."""
    if a.data == NULL or not a.converted:
        return 0
    return (max(r.strip, <Py_ssize_t>2) * r.classes * (kernels.bits // 8) + 63) // 64 * 64


cdef inline fl_rows scratch_rows(const Rows *r, bint whole, char *scratch) noexcept nogil:
    """The rows of a strip in scratch; whole: with the classes one behind the other."""
    cdef fl_rows rows
    rows.data = scratch
    rows.row_stride = r.classes if whole else 1
    rows.class_stride = 1 if whole else max(r.strip, <Py_ssize_t>2)
    return rows


cdef void move_rows(const Array3 *a, const Rows *r, const fl_kernels *kernels, Py_ssize_t group, Py_ssize_t first,
                    Py_ssize_t n, const fl_rows *rows, bint store) noexcept nogil:
    """Converts rows to scratch, or stores them from there."""
    cdef bint contiguous = rows.class_stride == 1
    cdef Py_ssize_t itemsize = fl_type_bytes(a.type), bytes = kernels.bits // 8
    cdef Py_ssize_t outer = row_stride(a, r) if contiguous else a.stride[1]
    cdef Py_ssize_t inner = a.stride[1] if contiguous else row_stride(a, r)
    cdef Py_ssize_t count = r.classes if contiguous else n
    cdef Py_ssize_t step = bytes * (rows.row_stride if contiguous else rows.class_stride)
    cdef char *at = row_at(a, r, group, first)
    cdef char *to = <char *>rows.data
    cdef Py_ssize_t i, runs = n if contiguous else r.classes
    if inner == itemsize and outer == inner * count and step == bytes * count:
        count *= runs  # one run: short rows by themselves take four times as long
        runs = 1
    for i in range(runs):
        if store:
            kernels.store(a.type, count, to + i * step, at + i * outer, inner)
        else:
            kernels.load(a.type, count, at + i * outer, inner, to + i * step)


cdef inline bint are_dense(const Array3 *a, const Rows *r) noexcept nogil:
    """Whether rows lie one behind the other."""
    return has_whole_rows(a) and row_stride(a, r) == r.classes * a.stride[1]


cdef void fetch_rows(const Array3 *a, const Rows *r, Py_ssize_t group, Py_ssize_t first, Py_ssize_t n,
                     bint write) noexcept nogil:
    """Memory of rows, if they lie one behind the other."""
    if are_dense(a, r):
        fetch_lines(write, 1, <uintptr_t>row_at(a, r, group, first), n * row_stride(a, r))


cdef fl_rows open_rows(const Array3 *a, const Rows *r, const fl_kernels *kernels, Py_ssize_t group, Py_ssize_t first,
                       Py_ssize_t n, bint whole, bint fetch, char *scratch) noexcept nogil:
    """Rows where they lie, or converted: with the classes one behind the other if they are so, or if `whole`; the next are
    fetched, if that makes sense and `fetch` is set."""
    cdef fl_rows rows
    if a.data == NULL or not a.converted:
        return at_rows(a, r, group, first, kernels.bits // 8)
    rows = scratch_rows(r, whole or has_whole_rows(a), scratch)
    move_rows(a, r, kernels, group, first, n, &rows, False)
    if r.ahead and fetch:
        fetch_rows(a, r, group, first + n, n, False)
    return rows


cdef struct Tile:
    fl_rows x, grad, hess


cdef Tile open_tile(const Array3 *x, const Array3 *grad, const Array3 *hess, const Rows *r, const fl_kernels *kernels,
                    Py_ssize_t group, Py_ssize_t first, Py_ssize_t n, bint fetch, char *scratch) noexcept nogil:
    """What a kernel reads and writes: the rows where they lie, or converted (see above); gradients replace converted
    inputs."""
    cdef Tile tile
    cdef Py_ssize_t itemsize = kernels.bits // 8
    tile.x = open_rows(x, r, kernels, group, first, n, False, fetch, scratch)
    tile.grad = at_rows(grad, r, group, first, itemsize)
    tile.hess = at_rows(hess, r, group, first, itemsize)
    if x.converted:
        if grad.data != NULL:
            tile.grad = tile.x
            if r.ahead and grad.data != x.data:
                fetch_rows(grad, r, group, first, n, True)
        if hess.data != NULL:
            tile.hess = scratch_rows(r, has_whole_rows(x), scratch + converted_bytes(x, r, kernels))
    return tile


cdef void close_tile(const Tile *tile, const Array3 *grad, const Array3 *hess, const Rows *r, const fl_kernels *kernels,
                     Py_ssize_t group, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    """Stores the results that were computed in scratch."""
    if grad.data != NULL and grad.converted:
        move_rows(grad, r, kernels, group, first, n, &tile.grad, True)
    if hess.data != NULL and hess.converted:
        move_rows(hess, r, kernels, group, first, n, &tile.hess, True)


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
                            const Numbers *sample_weight, double *total, Py_ssize_t *bad_weight) noexcept nogil:
    """Flat index of the first bad label or -1; *bad_weight: that of the first row before it, not ignored, whose sample
    weight is none; *total: sample weight times class weight over the rows not ignored. sample_weight may be NULL."""
    cdef Rows r = rows[0]
    cdef int64_t label[SCANNED]
    cdef double weight[SCANNED]
    cdef Py_ssize_t group, block, first, n, i, bad, valid
    cdef double hi = 0.0
    cdef double lo = 0.0
    cdef bint weighted
    bad_weight[0] = -1
    for group in range(r.groups):
        for block in range((r.rows + SCANNED - 1) // SCANNED):
            first = block * SCANNED
            n = min(<Py_ssize_t>SCANNED, r.rows - first)
            bad = load_labels(labels, &r, group, first, n, label)
            if bad >= 0:
                return group * r.rows + first + bad
            weighted = sample_weight != NULL and read_numbers(sample_weight, group * r.rows + first, n, weight)
            if class_weight == NULL and not weighted:
                valid = n
                for i in range(n):
                    valid -= <Py_ssize_t>(<uint64_t>label[i] >> 63)
                hi += <double>valid
                continue
            for i in range(n):
                if label[i] < 0:
                    continue
                if not weighted:
                    weight[i] = 1.0
                elif not is_weight(weight[i]) and bad_weight[0] < 0:
                    bad_weight[0] = group * r.rows + first + i
                add_pair(&hi, &lo, weight[i] if class_weight == NULL else weight[i] * class_weight[label[i]], 0.0)
    total[0] = pair_value(hi, lo)
    return -1


def check_labels(target, Py_ssize_t classes, ignore_index, const double[::1] class_weight, sample_weight, bint is_double):
    """(flat index of the first bad label or -1, the same of a sample weight, sum of sample weight times class weight over
    the rows not ignored).

    `target` is an (outer, inner) integer array; the weights, per class and per row, may be None. Sample weights, of any
    layout and type, count as rounded to the real type; those of ignored rows are not looked at."""
    cdef Py_buffer b
    cdef Labels labels
    cdef Buffers buffers = Buffers()
    cdef Numbers weights
    cdef Rows r = rows_of(target.shape[0], classes, target.shape[1])
    cdef const double *by_class = NULL
    cdef Py_ssize_t bad, bad_weight = -1
    cdef double total = 0.0
    if class_weight is not None and class_weight.shape[0]:
        by_class = &class_weight[0]
    describe_numbers(buffers, sample_weight, &weights, table_of(is_double), False)
    PyObject_GetBuffer(target, &b, PyBUF_STRIDES | PyBUF_FORMAT)
    try:
        describe_labels(&labels, &b, ignore_index)
        with nogil:
            bad = scan_labels(&labels, &r, by_class, &weights, &total, &bad_weight)
    finally:
        PyBuffer_Release(&b)
    return bad, bad_weight, total


cdef int describe_labels(Labels *labels, const Py_buffer *b, object ignore_index) except -1:
    labels.data = <const char *>b.buf
    labels.type = type_of(b)
    if b.ndim == 2:
        labels.stride[0] = b.strides[0]
        labels.stride[1] = b.strides[1]
    labels.has_ignore = ignore_index is not None and -(2 ** 63) <= ignore_index < 2 ** 63
    labels.ignore = ignore_index if labels.has_ignore else 0
    return 0
