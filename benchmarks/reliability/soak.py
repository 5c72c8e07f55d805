"""Many trainings under drawn plans: how their sessions ended, and whether the plans explain it."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import trio

from benchmarks.reliability.crew import train
from benchmarks.reliability.drawing import draw
from benchmarks.reliability.faults import PATIENCE, FaultPlan
from benchmarks.reliability.files import Folder
from benchmarks.reliability.judge import Verdict, judge
from benchmarks.reliability.story import Story

AT_ONCE: Final = 3  # trainings; most of the time each waits for a connection that comes back


@dataclass(frozen=True, slots=True)
class Result:
    """One training. kept: where its logs are, where something was not explained."""

    plan: FaultPlan
    story: Story
    verdict: Verdict
    kept: Path | None


@dataclass(slots=True)
class Row:
    """Counts. sessions: that ended, with a sum or without. touched: those with a fault in them. short: exact sums in
    which somebody is missing. unexplained: lines of verdicts.
    """

    trainings: int = 0
    sessions: int = 0
    touched: int = 0
    exact: int = 0
    short: int = 0
    aborted: int = 0
    wrong: int = 0
    hangs: int = 0
    unexplained: int = 0

    def add(self, result: Result) -> None:
        verdict, banks = result.verdict, result.plan.setting.banks
        self.trainings += 1
        self.sessions += len(verdict.sessions)
        self.touched += sum(one.touched for one in verdict.sessions)
        self.exact += sum(one.finished for one in verdict.sessions)
        self.short += sum(one.finished and len(one.included) < banks for one in verdict.sessions)
        self.aborted += sum(not one.finished for one in verdict.sessions)
        self.wrong += len(verdict.wrong)
        self.hangs += len(verdict.hangs)
        self.unexplained += len(verdict.odd)


@dataclass(slots=True)
class Counts:
    """rows: by the kind of training. faults: how often each struck. pause: the longest that the machine kept a process
    waiting. unclean: results that are not explained.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    pause: float = 0.0
    unclean: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        self.rows.setdefault(result.plan.setting.name, Row()).add(result)
        self.pause = max(self.pause, result.story.pause)
        self.faults.update(struck.fault.action.value for struck in result.story.strikes)
        if not result.verdict.clean:
            self.unclean.append(result)

    @property
    def total(self) -> Row:
        total = Row()
        for row in self.rows.values():
            for name, value in asdict(row).items():
                setattr(total, name, getattr(total, name) + value)
        return total


async def run_one(plan: FaultPlan) -> Result:
    """The logs are thrown away where all is explained."""
    path = Path(mkdtemp(prefix="veilsum-soak-"))
    story = await train(plan, Folder(path))
    verdict = judge(plan, story)
    if verdict.clean:
        shutil.rmtree(path)
    return Result(plan, story, verdict, None if verdict.clean else path)


async def soak(
    seed: int, sessions: int, seconds: float, on_result: Callable[[Result], None], patience: float = PATIENCE
) -> Counts:
    """Until so many sessions with a fault in them have ended; after so many seconds no training begins any more."""
    counts, numbers, begun = Counts(), count(), time.monotonic()

    def goes_on() -> bool:
        return counts.total.touched < sessions and time.monotonic() - begun < seconds

    async def work() -> None:
        while goes_on():
            result = await run_one(draw(seed, next(numbers), patience=patience))
            counts.add(result)
            on_result(result)

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(work)
    counts.seconds = time.monotonic() - begun
    return counts


def table(counts: Counts) -> str:
    rows = [*sorted(counts.rows.items()), ("**all**", counts.total)]
    lines = [
        "| | trainings | sessions | with a fault | exact sums | of these with somebody missing | no sum, explained "
        "| wrong sums | hangs | unexplained |",
        "| --- |" + " --- |" * 9,
    ]
    lines += [f"| {name} | " + " | ".join(f"{value:,}" for value in asdict(row).values()) + " |" for name, row in rows]
    return "\n".join(lines)


def section(counts: Counts) -> str:
    """Markdown."""
    total = counts.total
    return (
        f"{total.wrong} wrong sums, {total.hangs} hangs, {total.unexplained} things that no fault explains; "
        f"{counts.seconds:.0f} s, in which this machine kept a process that was due waiting for up to "
        f"{counts.pause:.1f} s.\n\n{table(counts)}\n\nFaults that struck: {faults_in(counts)}."
    )


def faults_in(counts: Counts) -> str:
    return ", ".join(f"{action} {many:,}" for action, many in sorted(counts.faults.items()))


def complaints(result: Result) -> Iterator[str]:
    """What is not explained, and how to see it again."""
    verdict = result.verdict
    yield from (f"WRONG SUM: {line}" for line in verdict.wrong)
    yield from (f"HANG: {line}" for line in verdict.hangs)
    yield from (f"UNEXPLAINED: {line}" for line in verdict.odd)
    yield f"  logs: {result.kept}; this machine kept a process waiting for up to {result.story.pause:.1f} s"
    yield f"  again: python -m benchmarks.reliability soak --plan '{result.plan}'"
