"""The memory of large results: taken over from earlier ones that are gone, never from one that is alive. Not here: what
a call needs beside its results (test_memory.py).
"""

import json
import os
import subprocess
import sys
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastloss as fl
from fastloss import _core, privacy

LARGE = 3 * 2**20  # float32: 12 MiB

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nothing may be kept")


def address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def rows(x: Any, columns: int) -> Any:
    return x.reshape(-1, columns)


def owner(array: Any) -> Any:
    """What the memory of an array belongs to in the end."""
    while isinstance(array, np.ndarray | memoryview):
        array = array.base if isinstance(array, np.ndarray) else array.obj
    return array


def new(n: int = LARGE) -> Any:
    return _core.new_array((n,), np.dtype(np.float32))


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    """But a piece as large as all together may be."""
    _core.new_array((256 << 20,), np.dtype(np.uint8))


@pytest.fixture
def x() -> Any:
    return np.linspace(-3, 3, LARGE, dtype=np.float32)


RESULTS = {
    "gradient": lambda x: fl.mse_loss.value_and_grad(x, x[::-1])[1],
    "hessian": lambda x: fl.huber_loss.value_grad_hess(x, -x)[2],
    "values": lambda x: fl.huber_loss(x, -x, reduction="none"),
    "rows": lambda x: fl.cross_entropy.value_and_grad(rows(x, 1024), np.arange(LARGE // 1024) % 1024)[1],
    "classes apart": lambda x: fl.cross_entropy.value_and_grad(rows(x, 1024), np.ones(1024, int), axis=0)[1],
    "activation": fl.sigmoid,
    "softmax": lambda x: fl.softmax(rows(x, 1024)),
    "pairs": lambda x: fl.contrastive_loss.value_and_grad(rows(x, 64), -rows(x, 64), np.ones(LARGE // 64))[1][1],
    "noise": lambda x: privacy.NoiseGenerator(1).gaussian(LARGE, dtype=np.float32),
    "private step": lambda x: privacy.clip_and_noise(x[None], 1.0, 0.0, reduction="sum"),
    "half type": lambda x: fl.mse_loss.value_and_grad(np.tile(x, 2).astype(np.float16), np.zeros(2 * LARGE))[1],
}


@pytest.mark.parametrize("what", RESULTS)
def test_the_next_result_takes_over(what: str, x: np.ndarray) -> None:
    make: Any = RESULTS[what]
    first = make(x)
    copy, view = first.copy(), first[1:]
    assert type(first) is np.ndarray
    assert type(owner(first)).__name__ == "Pages"
    assert first.flags.carray
    del first
    second = make(x)
    assert not np.may_share_memory(second, view)
    np.testing.assert_array_equal(view, copy[1:])  # a view keeps the memory
    del view, second
    places = set()
    for _ in range(6):
        result = make(x)
        places.add(address(result))
        np.testing.assert_array_equal(result, copy)
        del result
    assert len(places) <= 3  # the pieces that the first two calls used together, at most


def test_pieces_fit() -> None:
    big = new(5 * LARGE)
    where = address(big)
    assert where % 4096 == 0
    del big
    assert address(new(2 * LARGE)) != where  # less than half of it
    assert address(new(3 * LARGE)) == where
    kept = new(4 * LARGE)
    assert address(kept) == where
    assert address(new(5 * LARGE)) != where


def test_small_results_are_numpys_own(x: np.ndarray) -> None:
    assert fl.sigmoid(x[:1000]).base is None
    assert fl.mse_loss.value_and_grad(x[:1000], x[:1000])[1].base is None
    assert new(LARGE // 2).base is None
    assert _core.new_array((2**40, 0), np.dtype(np.float64)).shape == (2**40, 0)
    for shape in ((2**62, 8), (2**70,), (2**50,)):
        with pytest.raises((ValueError, MemoryError)):
            _core.new_array(shape, np.dtype(np.float64))


def test_tracemalloc_sees_them() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        array = new()
        assert tracemalloc.get_traced_memory()[0] - before >= array.nbytes
        del array
        assert tracemalloc.get_traced_memory()[0] - before < 2**20
    finally:
        tracemalloc.stop()


def run(program: str, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", "import json, numpy as np\nfrom fastloss import _core\n" + program],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


MANY = """
kept = []
for n in (10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 300):
    array = _core.new_array((n << 20,), np.dtype(np.uint8))
    del array
    kept.append(_core.kept_bytes() >> 20)
print(json.dumps(kept))
"""


def test_how_much_is_kept() -> None:
    """No more than the limit, the latest ones; a piece above the limit not at all."""
    assert run(MANY, FASTLOSS_KEPT_BYTES="") == [10, 30, 60, 100, 150, 210, 250, 210, 240, 190, 210, 210]
    assert run(MANY, FASTLOSS_KEPT_BYTES=str(100 << 20))[-4:] == [90, 100, 100, 100]
    assert run(MANY, FASTLOSS_KEPT_BYTES="0") == [0] * 12


@pytest.mark.parametrize("wrong", ["-1", "1e9", "much"])
def test_a_wrong_setting_is_named(wrong: str) -> None:
    assert f"FASTLOSS_KEPT_BYTES = '{wrong}' is not a number of bytes" in run("", FASTLOSS_KEPT_BYTES=wrong)


def test_threads_share_no_piece() -> None:
    """Also without a lock around the interpreter: every thread finds in its arrays what it wrote."""

    def work(k: int) -> bool:
        good = True
        for i in range(200):
            array = new()
            array[:: 2**18] = k + 100 * i
            other = new(LARGE + k)
            other[:: 2**18] = -k
            good = good and bool((array[:: 2**18] == k + 100 * i).all()) and not np.may_share_memory(array, other)
        return good

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_objects_are_numpys_own() -> None:
    assert _core.new_array((LARGE,), np.dtype(object))[0] is None
    with pytest.raises(TypeError, match="dtype object"):
        fl.mse_loss.value_and_grad(np.zeros(LARGE, object), np.zeros(LARGE))


def test_no_reference_is_lost() -> None:
    before = sys.getrefcount(None)
    for _ in range(1000):
        new()
    assert abs(sys.getrefcount(None) - before) < 500


def test_a_child_has_its_own(x: np.ndarray) -> None:
    mine = fl.sigmoid(x)
    expected = mine.copy()
    spare = address(fl.sigmoid(x))  # kept from here on
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork beside threads
        child = os.fork()
    if child == 0:
        mine[:] = 0
        theirs = fl.sigmoid(-x)
        os._exit(0 if address(theirs) == spare and np.array_equal(theirs, fl.sigmoid(-x)) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(mine, expected)
    again = fl.sigmoid(x)
    assert address(again) == spare
    np.testing.assert_array_equal(again, expected)
