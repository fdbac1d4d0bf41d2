"""How time is measured: all contenders of a cell take turns, and what is compared are medians over the rounds.

A turn is: a pause (so that no other library's threads still spin), calls without timing (so that its own threads are
awake, and its arrays are in the caches as far as they fit: after another contender's turn 24 MB take ten calls to get
back into a third-level cache of 32 MB), then the timed calls, of which the mean counts.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import fastloss as fl
from bench.problems import Call

PAUSE = 0.02  # seconds; libgomp's idle threads spin for some milliseconds
TURN = 2e-3  # seconds that the timed calls of a turn take together, where one call is shorter
WARM = 1e-2  # seconds of the calls before them
LONG = 0.03  # seconds of a call that needs no other before it
# Who is this much slower than the best peer is not measured in the later rounds.
HOPELESS, FIRST_ROUNDS = 4, 3


def mean_time(call: Call, repeat: int) -> float:
    """Seconds of a call: the mean of a few in a row, resets not counted."""
    if call.reset is None:
        start = time.perf_counter()
        for _ in range(repeat):
            call.run()
        return (time.perf_counter() - start) / repeat
    total = 0.0
    for _ in range(repeat):
        call.reset()
        start = time.perf_counter()
        call.run()
        total += time.perf_counter() - start
    return total / repeat


def medians(contenders: Iterable[Call], rounds: int) -> dict[str, float]:
    """Seconds of every contender's work, measured turn by turn."""
    turns = list(contenders)
    found: dict[str, list[float]] = {call.library: [] for call in turns}
    once = {}
    for call in turns:
        fl.set_num_threads(call.threads)
        mean_time(call, 1)
        once[call.library] = max(mean_time(call, 1), 1e-7)
    for k in range(rounds):
        if k == FIRST_ROUNDS:
            turns = hopeful(turns, found)
        for call in turns[k % len(turns) :] + turns[: k % len(turns)]:
            time.sleep(PAUSE)
            fl.set_num_threads(call.threads)
            repeat = max(1, min(2000, int(TURN / once[call.library])))
            if once[call.library] < LONG:
                mean_time(call, max(1, min(2000, int(WARM / once[call.library]))))
            found[call.library].append(mean_time(call, repeat) / call.times)
    return {library: statistics.median(seconds) for library, seconds in found.items()}


class Others:
    """How much of the CPUs other processes take while it is open: a thread that waits for its CPU holds up its team.

    ``share`` is 0 where the system doesn't tell.
    """

    share = 0.0

    def __enter__(self) -> Others:
        self._start = self._now()
        return self

    def __exit__(self, *error: object) -> None:
        wall, busy, own = (now - then for now, then in zip(self._now(), self._start, strict=True))
        self.share = max(0.0, (busy - own) / (wall * (os.cpu_count() or 1)))

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Seconds: the clock's, of all CPUs busy, of this process."""
        stat = Path("/proc/stat")
        if not stat.exists():
            return time.monotonic(), 0.0, 0.0
        user, nice, system, _, _, *interrupts = map(int, stat.read_text().splitlines()[0].split()[1:9])
        ticks = user + nice + system + sum(interrupts)
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time()


def is_rival(library: str) -> bool:
    return not library.startswith(("fastloss", "limit"))


def hopeful(turns: list[Call], found: dict[str, list[float]]) -> list[Call]:
    best = min((statistics.median(s) for name, s in found.items() if is_rival(name)), default=0.0)
    return [c for c in turns if not is_rival(c.library) or statistics.median(found[c.library]) <= HOPELESS * best]
