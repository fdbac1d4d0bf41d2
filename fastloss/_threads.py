"""How many threads large calls use: by default what the process may really use, not what the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastloss import _core

# Beyond any machine's use; the OpenMP runtime ends the process where it cannot start a thread.
MOST_THREADS = 4096


def _from_environment(name: str) -> int | None:
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    ours = name == "FASTLOSS_NUM_THREADS"
    try:
        n = int(text if ours else text.split(",")[0])  # OMP_NUM_THREADS may be a list, one number per nesting level
    except ValueError:
        n = 0
    if not 1 <= n <= MOST_THREADS:
        if not ours:  # not ours to refuse
            return None
        raise ValueError(f"{name} = {text!r} is not a number of threads; expected an integer from 1 to {MOST_THREADS}")
    return n


def _quota_v2(group: Path) -> float | None:
    quota, period = (group / "cpu.max").read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(group: Path) -> float | None:
    quota = int((group / "cpu.cfs_quota_us").read_text())
    return None if quota <= 0 else quota / int((group / "cpu.cfs_period_us").read_text())


def cgroup_quota(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """CPUs that the container may use (the least along the path of control groups), None for no limit.

    OpenMP runtimes don't look at it, and a team larger than the quota is stopped for most of every
    scheduling period.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    quotas = []
    for line in [*lines, "0::/", "1:cpu:/"]:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers == "":
            read, base = _quota_v2, root
        elif "cpu" in controllers.split(","):
            read, base = _quota_v1, root / "cpu"
        else:
            continue
        group = base / path.lstrip("/")
        for folder in [group, *group.parents]:
            if not folder.is_relative_to(base):
                break
            try:
                quotas.append(read(folder))
            except (OSError, ValueError, ZeroDivisionError):
                continue
    limits = [q for q in quotas if q is not None]
    return min(limits) if limits else None


def default_num_threads() -> int:
    """FASTLOSS_NUM_THREADS, else OMP_NUM_THREADS, else the least of CPU affinity and container quota."""
    for name in ("FASTLOSS_NUM_THREADS", "OMP_NUM_THREADS"):
        n = _from_environment(name)
        if n is not None:
            return n
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    return n if quota is None else max(1, min(n, int(quota + 0.5)))


def _checked(n: object) -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"n = {n!r} is not a number of threads; expected an integer >= 1")
    k = int(n.__index__())
    if not 1 <= k <= MOST_THREADS:
        raise ValueError(f"n = {k} is not a number of threads; expected an integer from 1 to {MOST_THREADS}")
    return k


def get_num_threads() -> int:
    """Return the number of threads that a large call made here and now would use.

    Examples
    --------
    >>> import fastloss as fl
    >>> with fl.num_threads(2):
    ...     fl.get_num_threads()
    2
    """
    return _core.current_threads()


def set_num_threads(n: int) -> None:
    """Set the number of threads of the whole process.

    The number is honoured as it is. Results never depend on it; small calls, nested calls, calls made
    while another thread is inside a parallel one, and forked children of a process that ran in
    parallel use one thread whatever it says.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError, ValueError
        If ``n`` is not such an integer.
    """
    _core.set_process_threads(_checked(n))


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Set the number of threads inside a ``with`` block (for this thread or task alone).

    Examples
    --------
    >>> import fastloss as fl
    >>> with fl.num_threads(1):
    ...     fl.mse_loss([1.0, 2.0], [0.0, 0.0])
    2.5
    """
    token = _core.enter_threads(_checked(n))
    try:
        yield
    finally:
        _core.exit_threads(token)
