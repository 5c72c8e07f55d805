"""How a figure is taken: work and floor by turns, medians of each, so that a slow second hits both."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

Work = Callable[[], object]
Clock = Callable[[], float]
Figure = Callable[["Scale"], Any]
"""Measures one part of the report and gives it as JSON values."""


@dataclass(frozen=True, slots=True)
class Scale:
    """quick: smaller sizes, for a look. times: of which the median is taken."""

    quick: bool

    @property
    def times(self) -> int:
        return 3 if self.quick else 5


@dataclass(frozen=True, slots=True)
class Compared:
    """Medians in seconds of wall time; `ratio` is the median of work / floor over the turns."""

    seconds: float
    floor_seconds: float
    ratio: float


def compare(work: Work, floor: Work, times: int) -> Compared:
    """Both are run once before anything is measured."""
    taken = by_turns([work, floor], times)
    return Compared(median(taken[0]), median(taken[1]), median(one / other for one, other in zip(*taken, strict=True)))


def by_turns(works: list[Work], times: int, clock: Clock = time.perf_counter) -> list[list[float]]:
    """Seconds of each run of each work: one after the other, then again from the first. No garbage is collected.

    clock: wall time, or `time.process_time` where others' work on the machine is not to count.
    """
    for work in works:
        work()
    taken: list[list[float]] = [[] for _ in works]
    gc.collect()
    gc.disable()
    try:
        for _ in range(times):
            for place, work in enumerate(works):
                taken[place].append(seconds(work, clock))
    finally:
        gc.enable()
    return taken


def seconds(work: Work, clock: Clock = time.perf_counter) -> float:
    """Of one run."""
    started = clock()
    work()
    return clock() - started


def rounded(value: float) -> float:
    """Three digits: more are noise."""
    return float(f"{value:.3g}")
