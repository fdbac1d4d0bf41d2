# New arrays for results; large ones in pages that are there already. Included in _core.pyx.

cdef extern from "pages.h":
    void fl_pages_settle(size_t limit, int huge)
    void *fl_pages_take(size_t bytes, size_t *capacity)
    void fl_pages_give(void *piece, size_t capacity)
    size_t fl_pages_kept()

cdef extern from "Python.h":
    int PyTraceMalloc_Track(unsigned int domain, uintptr_t address, size_t size)
    int PyTraceMalloc_Untrack(unsigned int domain, uintptr_t address)

# From which size on NumPy's arrays cost more than they need: glibc's malloc() keeps up to 32 MiB by itself once it has
# seen such a size, others less. And how much is kept unless FASTLOSS_KEPT_BYTES says otherwise.
cdef enum:
    LARGE_RESULT = 8 * 1024 * 1024
    KEPT_BYTES = 256 * 1024 * 1024
    NUMPYS_DOMAIN = 389047  # np.lib.tracemalloc_domain


cdef Py_ssize_t LARGEST = <Py_ssize_t>(SIZE_MAX // 2)
cdef object float64 = np.dtype(np.float64)


cdef class Pages:
    """The memory of one large array, given back when the array and all its views are gone."""
    cdef void *data
    cdef size_t capacity
    cdef Py_ssize_t size

    def __cinit__(self, Py_ssize_t size):
        self.size = size
        self.data = fl_pages_take(size, &self.capacity)
        if self.data != NULL:
            PyTraceMalloc_Track(NUMPYS_DOMAIN, <uintptr_t>self.data, size)

    def __dealloc__(self):
        if self.data != NULL:
            PyTraceMalloc_Untrack(NUMPYS_DOMAIN, <uintptr_t>self.data)
            fl_pages_give(self.data, self.capacity)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        buffer.buf = self.data
        buffer.obj = self
        buffer.len = self.size
        buffer.readonly = False
        buffer.itemsize = 1
        buffer.format = NULL
        if flags & PyBUF_FORMAT:
            buffer.format = b"B"
        buffer.ndim = 1
        buffer.shape = &buffer.len
        buffer.strides = &buffer.itemsize
        buffer.suboffsets = NULL
        buffer.internal = NULL


def new_array(shape, dtype):
    """An array of any content, C-contiguous: np.empty, or if it is large, in pages that an earlier one has left."""
    cdef Pages pages
    cdef Py_ssize_t size = dtype.itemsize
    if shape.__class__ is tuple and not dtype.hasobject:
        for n in shape:
            if n == 0 or size > LARGEST // n:
                return np.empty(shape, dtype)
            size *= n
        if size >= LARGE_RESULT:
            pages = Pages(size)
            if pages.data != NULL:
                return ndarray(shape, dtype, pages)
    return np.empty(shape, dtype)


cdef object new_like(object array):
    """An array of any content like a C-contiguous one, or the view of a tensor like that of a view."""
    cdef Py_ssize_t size
    if type(array) is TensorView:  # in torch's memory: aligned, and freed without waiting for the interpreter
        return TensorView(empty_tensor_like((<TensorView>array).tensor))
    size = array.nbytes
    return empty_like(array) if size < LARGE_RESULT else new_array(array.shape, array.dtype)


def kept_bytes():
    """Bytes of earlier results that are kept for new ones."""
    return fl_pages_kept()


cdef size_t kept_setting() except? 0:
    given = os.environ.get("FASTLOSS_KEPT_BYTES") or KEPT_BYTES
    try:
        value = int(given)
        if value < 0:
            raise ValueError
    except ValueError:
        raise ValueError(f"FASTLOSS_KEPT_BYTES = {given!r} is not a number of bytes; expected an integer >= 0"
                         ) from None
    return min(value, LARGEST)


fl_pages_settle(kept_setting(), os.environ.get("NUMPY_MADVISE_HUGEPAGE", "1") != "0")
