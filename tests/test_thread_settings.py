"""How many threads: where the number comes from, and numbers that are none."""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from interpreters import python

import fastloss as fl
from fastloss import _core, _threads

N = 1 << 20  # far above the work from which on a second thread is used
LINUX = sys.platform.startswith("linux")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
needs_openmp = pytest.mark.skipif(not _core.openmp_version(), reason="a serial build")


def threads_of(**environment: str) -> int:
    result = python("import fastloss as fl; print(fl.get_num_threads())", **environment)
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


# ---- Settings ----


def test_set_and_get() -> None:
    for n in (1, 2, 3, 7, np.int64(4)):
        fl.set_num_threads(n)
        assert fl.get_num_threads() == n


def test_context_manager() -> None:
    fl.set_num_threads(3)
    with fl.num_threads(5):
        assert fl.get_num_threads() == 5
        with fl.num_threads(2):
            assert fl.get_num_threads() == 2
            fl.set_num_threads(4)
            assert fl.get_num_threads() == 2
        assert fl.get_num_threads() == 5
    assert fl.get_num_threads() == 4
    with pytest.raises(RuntimeError, match="from inside"), fl.num_threads(5):
        raise RuntimeError("from inside")
    assert fl.get_num_threads() == 4


def test_context_manager_is_per_thread() -> None:
    fl.set_num_threads(3)
    inside, looked = threading.Event(), threading.Event()
    seen = []

    def other() -> None:
        inside.wait(30)
        seen.append(fl.get_num_threads())
        with fl.num_threads(7):
            seen.append(fl.get_num_threads())
            looked.set()
            time.sleep(0.05)
        seen.append(fl.get_num_threads())

    thread = threading.Thread(target=other)
    thread.start()
    with fl.num_threads(5):
        inside.set()
        looked.wait(30)
        assert fl.get_num_threads() == 5
    thread.join()
    assert seen in ([3, 7, 3], [5, 7, 5])  # new threads inherit the context on free-threaded Python 3.14


@pytest.mark.parametrize("n", [0, -1, 4097, 10**30])
@pytest.mark.parametrize("call", [fl.set_num_threads, lambda n: fl.num_threads(n).__enter__()])
def test_numbers_that_are_none(call: Callable[[object], object], n: int) -> None:
    before = fl.get_num_threads()
    with pytest.raises(ValueError, match=rf"n = {n} is not a number of threads; expected an integer from 1 to 4096"):
        call(n)
    assert fl.get_num_threads() == before


@pytest.mark.parametrize("n", [True, 2.0, "2", None, [2]])
@pytest.mark.parametrize("call", [fl.set_num_threads, lambda n: fl.num_threads(n).__enter__()])
def test_types_that_are_no_number(call: Callable[[object], object], n: object) -> None:
    with pytest.raises(TypeError, match="is not a number of threads; expected an integer"):
        call(n)


# ---- Defaults ----


def test_environment_variables() -> None:
    assert threads_of(FASTLOSS_NUM_THREADS="3") == 3
    assert threads_of(OMP_NUM_THREADS="5") == 5
    assert threads_of(OMP_NUM_THREADS="6,2") == 6
    assert threads_of(FASTLOSS_NUM_THREADS="3", OMP_NUM_THREADS="5") == 3
    assert threads_of(FASTLOSS_NUM_THREADS="", OMP_NUM_THREADS="5") == 5
    assert threads_of(OMP_NUM_THREADS="many") == threads_of() == threads_of(OMP_NUM_THREADS="0")


@pytest.mark.parametrize("text", ["many", "0", "-2", "2.5", "2,3", "4097"])
def test_a_wrong_environment_variable_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTLOSS_NUM_THREADS", text)
    with pytest.raises(ValueError, match=f"FASTLOSS_NUM_THREADS = '{text}' is not a number of threads; expected"):
        _threads.default_num_threads()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
def test_affinity() -> None:
    code = """
        import os
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cpus[:1])
        import fastloss as fl
        one = fl.get_num_threads()
        fl.set_num_threads(2)
        print(one, fl.get_num_threads())
    """
    assert python(code).stdout.split() == ["1", "2"]
    quota = _threads.cgroup_quota()
    if quota is None:
        assert threads_of() == len(os.sched_getaffinity(0))


def test_affinity_and_quota_the_least_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FASTLOSS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    for quota, n in ((None, 6), (100.0, 6), (4.0, 4), (2.4, 2), (1.5, 2), (0.2, 1)):
        monkeypatch.setattr(_threads, "cgroup_quota", lambda quota=quota: quota)
        assert _threads.default_num_threads() == n


def groups(tmp_path: Path, membership: str, files: dict[str, str]) -> float | None:
    """The quota found with these control group files under a root and this /proc/self/cgroup."""
    root = tmp_path / "cgroup"
    root.mkdir()
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    member = tmp_path / "member"
    if membership:
        member.write_text(membership)
    return _threads.cgroup_quota(root, member)


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n", "cpu.max": "max 100000"}, 3.0),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n", "a/cpu.max": "300000 100000\n"}, 0.5),
        ("0::/gone\n", {"cpu.max": "200000 100000\n"}, 2.0),  # the path of another namespace
        ("0::/../../other\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("", {"cpu.max": "200000 100000\n"}, 2.0),  # no /proc
        ("", {}, None),
        ("4:cpu,cpuacct:/d\n", {"cpu/d/cpu.cfs_quota_us": "250000", "cpu/d/cpu.cfs_period_us": "100000"}, 2.5),
        ("4:cpu,cpuacct:/d\n", {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4.0),
        ("4:cpu,cpuacct:/d\n", {"cpu/d/cpu.cfs_quota_us": "-1", "cpu/d/cpu.cfs_period_us": "100000"}, None),
        ("3:cpuset:/d\n", {"cpu/d/cpu.cfs_quota_us": "100000", "cpu/d/cpu.cfs_period_us": "100000"}, None),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
        ("0::/\n", {"cpu.max": "100000 0"}, None),
        ("nonsense\n", {"cpu.max": "200000 100000\n"}, 2.0),
    ],
)
def test_cgroup_quota(tmp_path: Path, membership: str, files: dict[str, str], quota: float | None) -> None:
    assert groups(tmp_path, membership, files) == quota
