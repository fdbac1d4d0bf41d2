# Threads and instruction sets, as the drivers see them. Included in _core.pyx.

cdef object threads_in_context = ContextVar("fastloss_num_threads", default=None)
cdef int threads_of_process = 0  # 0: nobody has set it

fl_threads_init()


def set_process_threads(int n):
    """Set the number of threads of the whole process."""
    global threads_of_process
    threads_of_process = n


def enter_threads(n):
    """Set the number of threads of this context; returns the token that undoes it."""
    return threads_in_context.set(n)


def exit_threads(token):
    """Undo enter_threads."""
    threads_in_context.reset(token)


cpdef int current_threads() except -1:
    """Number of threads that a large call would use now."""
    global threads_of_process
    n = threads_in_context.get()
    if n is not None:
        return n
    if threads_of_process == 0:
        from fastloss._threads import default_num_threads
        threads_of_process = default_num_threads()
    return threads_of_process


cdef int threads_acquire(double work) except -1:
    """Threads to use for `work` nanoseconds of one thread, as csrc/threads.c decides: 1 means no parallel region.

    The team is the whole configured one or none: libgomp ends and restarts its threads whenever
    the size changes. Every result above 1 must be given back to threads_release."""
    cdef int n
    if work < FL_LEAST_WORK:
        return 1
    n = current_threads()
    if n <= 1 or not fl_parallel_enter(work, n):
        return 1
    return n


cdef void threads_release(int n) noexcept:
    if n > 1:
        fl_parallel_leave()


def openmp_version():
    """Version date of the OpenMP that this build uses, 0 where it has none."""
    return fl_openmp_version()


def compiler():
    """The compiler that built this module."""
    return FASTLOSS_COMPILER.decode()


def isa_names():
    """Every instruction set that fastloss knows, with (compiled in, supported here)."""
    names = {}
    cdef int isa = 0
    while fl_isa_name(isa) != NULL:
        names[fl_isa_name(isa).decode()] = (bool(fl_isa_compiled(isa)), bool(fl_isa_supported(isa)))
        isa += 1
    return names


def isa_selected():
    """The instruction set in use."""
    return fl_isa_name(fl_isa_selected()).decode()


def isa_select(name):
    """Use this instruction set from now on, in the whole process."""
    states = isa_names()
    usable = [isa for isa, (compiled, supported) in states.items() if compiled and supported]
    if name not in states:
        raise ValueError(f"FASTLOSS_ISA = {name!r} is unknown: expected one of {', '.join(states)}")
    if name not in usable:
        why = "is not supported by this CPU" if states[name][0] else "is not compiled into this build"
        raise ValueError(f"FASTLOSS_ISA = {name!r} {why}: expected one of {', '.join(usable)}")
    fl_isa_select(list(states).index(name))


cdef const fl_kernels *table_of(bint is_double) noexcept nogil:
    return fl_table(64 if is_double else 32)


def isa_best():
    """The best instruction set that is compiled in and supported here."""
    return [isa for isa, (compiled, supported) in isa_names().items() if compiled and supported][-1]


isa_select(os.environ.get("FASTLOSS_ISA") or isa_best())
