"""What threads survive: fork, other threads, other people's parallel regions, the end of the interpreter.

That results don't depend on their number is tested elsewhere, and where the number comes from.
"""

import ctypes
import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from interpreters import python

import fastloss as fl
from fastloss import _core

N = 1 << 20  # far above the work from which on a second thread is used
LINUX = sys.platform.startswith("linux")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
needs_openmp = pytest.mark.skipif(not _core.openmp_version(), reason="a serial build")


def problem(seed: int = 0, n: int = N) -> tuple[np.ndarray, np.ndarray, tuple[float, np.ndarray]]:
    """Prediction, target, and the right answer as one thread finds it."""
    x, t = np.random.default_rng(seed).normal(size=(2, n)).astype(np.float32)
    with fl.num_threads(1):
        return x, t, fl.huber_loss.value_and_grad(x, t)


def same(found: tuple[float, np.ndarray], right: tuple[float, np.ndarray]) -> bool:
    return found[0] == right[0] and np.array_equal(found[1], right[1])


# ---- Fork ----


def report(queue: "multiprocessing.Queue[bool]", seed: int) -> None:
    x, t, right = problem(seed)
    queue.put(same(fl.huber_loss.value_and_grad(x, t), right))


def is_right(seed: int) -> bool:
    x, t, right = problem(seed)
    return same(fl.huber_loss.value_and_grad(x, t), right)


@needs_fork
def test_fork_after_a_parallel_call() -> None:
    fl.set_num_threads(2)
    assert is_right(0)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=report, args=(queue, 1))
    child.start()
    try:
        assert queue.get(timeout=60)
        child.join(60)
        assert child.exitcode == 0
    finally:
        child.kill()
    assert is_right(2)


@needs_fork
def test_fork_pool_after_a_parallel_call() -> None:
    fl.set_num_threads(2)
    assert is_right(0)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map_async(is_right, range(6)).get(timeout=120) == [True] * 6


FORK_TREE = """
    import os, sys, threading
    import numpy as np
    import fastloss as fl

    def run():
        x = np.linspace(-2, 2, 1 << 20)
        return fl.huber_loss(x, np.zeros_like(x))

    def team():
        return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0

    fl.set_num_threads(3)
    right = None
    {before}
    read, write = os.pipe()
    if os.fork() == 0:
        first = team()
        value = run()
        grown = team() > first
        if os.fork() == 0:  # a grandchild
            os._exit(0 if run() == value else 1)
        _, status = os.wait()
        os.write(write, f"{{value == (right or value)}} {{status}} {{grown}}".encode())
        os._exit(0)
    os.close(write)
    os.wait()
    print(os.read(read, 100).decode(), run() == (right or run()))
"""


@needs_fork
@pytest.mark.parametrize(
    ("before", "parallel"),
    [
        ("right = run()", False),  # the pool is lost: the child stays serial
        ("pass", True),  # no pool yet: it makes its own
        ("w = threading.Thread(target=run); w.start(); w.join()", False),
    ],
    ids=["parallel", "nothing", "parallel elsewhere"],
)
def test_forked_children_and_grandchildren(before: str, parallel: bool) -> None:
    if sys.version_info >= (3, 12):
        before = "import warnings; warnings.simplefilter('ignore', DeprecationWarning); " + before
    result = python(FORK_TREE.format(before=before), timeout=60)
    assert result.returncode == 0, result.stderr
    right, status, grown, after = result.stdout.split()
    assert (right, status, after) == ("True", "0", "True")
    if LINUX and _core.openmp_version():
        assert grown == str(parallel)


@needs_fork
def test_fork_while_another_thread_is_in_a_parallel_call() -> None:
    code = """
        import os, threading, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import numpy as np
        import fastloss as fl

        fl.set_num_threads(2)
        x = np.linspace(-2, 2, 1 << 22)
        right = fl.huber_loss(x, x[::-1])
        stop = False

        def work():
            while not stop:
                fl.huber_loss(x, x[::-1])

        thread = threading.Thread(target=work)
        thread.start()
        good = True
        for _ in range(5):
            time.sleep(0.01)
            child = os.fork()
            if child == 0:
                os._exit(0 if fl.huber_loss(x, x[::-1]) == right else 1)
            good = good and os.waitpid(child, 0)[1] == 0
        stop = True
        thread.join()
        print(good)
    """
    result = python(code, timeout=100)
    assert result.stdout.strip() == "True", result.stderr


# ---- Several Python threads, other people's regions, exit ----


def test_eight_python_threads_at_once() -> None:
    fl.set_num_threads(2)
    problems = [problem(seed, N // 4) for seed in range(8)]
    logits = np.random.default_rng(9).normal(size=(512, 400)).astype(np.float32)
    labels = np.arange(512) % 400
    with fl.num_threads(1):
        rows = fl.cross_entropy.value_and_grad(logits, labels)
    gate = threading.Barrier(8)

    def run(k: int) -> bool:
        x, t, right = problems[k]
        gate.wait(30)
        return all(
            same(fl.huber_loss.value_and_grad(x, t), right)
            and same(fl.cross_entropy.value_and_grad(logits, labels), rows)
            for _ in range(10)
        )

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(8))) == [True] * 8


def test_an_error_gives_the_region_back() -> None:
    """A parallel call that finds a bad label must not leave the process serial for good."""
    code = """
        import os
        import numpy as np
        import fastloss as fl
        fl.set_num_threads(3)
        x = np.zeros(1 << 20)
        bad = x.copy()
        bad[-1] = 2
        for _ in range(3):
            try:
                fl.binary_cross_entropy_with_logits(x, bad)
            except ValueError:
                continue
            raise SystemExit("no error")
        fl.binary_cross_entropy_with_logits(x, x)
        print(len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 3)
    """
    result = python(code, OPENBLAS_NUM_THREADS="1")
    assert result.returncode == 0, result.stderr
    if _core.openmp_version():
        assert int(result.stdout) >= 3
    else:
        assert int(result.stdout) >= 1


def test_the_lock_is_released() -> None:
    x = np.broadcast_to(np.float32(0.5), (100_000_000,))  # no memory, much work
    t = np.broadcast_to(np.float32(0), x.shape)
    stamps, stop = [], threading.Event()

    def tick() -> None:
        while not stop.is_set():
            stamps.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        start = time.perf_counter()
        with fl.num_threads(1):
            assert fl.huber_loss(x, t) == 0.125
        end = time.perf_counter()
    finally:
        stop.set()
        thread.join()
    middle = [s for s in stamps if start + 0.1 * (end - start) < s < end - 0.1 * (end - start)]
    assert len(middle) >= 3, f"{len(middle)} ticks in the middle of {end - start:.3f} s"


@needs_openmp
@pytest.mark.skipif(not LINUX, reason="looks for the runtime in /proc")
def test_inside_a_foreign_parallel_region() -> None:
    maps = Path("/proc/self/maps").read_text().split()
    # The runtime that fastloss is linked with; others (of torch or scikit-learn) have names of their own.
    libraries = {m for m in maps if Path(m).name.startswith(("libgomp.so", "libomp.so", "libomp5.so"))}
    names = [m for m in sorted(libraries) if hasattr(ctypes.CDLL(m), "GOMP_parallel")]
    if not names:
        pytest.skip("the OpenMP runtime in use has no GOMP_parallel")
    runtime = ctypes.CDLL(names[0])
    x, t, right = problem(3)
    fl.set_num_threads(2)
    found = []

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def body(_: object) -> None:
        with fl.num_threads(2):
            found.append(runtime.omp_in_parallel() == 1 and same(fl.huber_loss.value_and_grad(x, t), right))

    runtime.GOMP_parallel(body, None, 2, 0)
    assert found == [True, True]
    assert same(fl.huber_loss.value_and_grad(x, t), right)


def test_clean_exit() -> None:
    code = """
        import atexit, threading
        import numpy as np
        import fastloss as fl
        fl.set_num_threads(3)
        x = np.linspace(-2, 2, 1 << 20)
        run = lambda: fl.huber_loss(x, x[::-1])
        run()
        for thread in [threading.Thread(target=run) for _ in range(4)]:
            thread.start()
        atexit.register(run)
    """
    result = python(code, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
