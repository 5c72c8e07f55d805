"""Runs a target, by a generator in this process or guided by coverage in one of its own, and says what came of it."""

import re
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fuzz_plain
from fuzz_findings import Findings, kept_in
from fuzz_target import Target

_HERE = Path(__file__).parent
_DONE = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERED = re.compile(r"cov: (\d+)")

HEAD = "| target | inputs | a second | covered | findings |\n| --- | ---: | ---: | ---: | ---: |"


@dataclass(frozen=True)
class Limit:
    """One of the two."""

    inputs: int | None = None
    seconds: int | None = None


@dataclass(frozen=True)
class Ran:
    """cpu: seconds of processor time. covered: edges of our code; None without a look at coverage."""

    name: str
    inputs: int
    cpu: float
    covered: int | None
    findings: int

    @property
    def row(self) -> str:
        covered = "" if self.covered is None else f"{self.covered:,}"
        rate = self.inputs / self.cpu if self.cpu else 0
        return f"| `{self.name}` | {self.inputs:,} | {rate:,.0f} | {covered} | {self.findings} |"


def total(ran: Sequence[Ran]) -> str:
    """The last row, and what all of it took."""
    inputs, cpu = sum(one.inputs for one in ran), sum(one.cpu for one in ran)
    row = f"| all | {inputs:,} | {inputs / cpu if cpu else 0:,.0f} | | {sum(one.findings for one in ran)} |"
    return f"{row}\n\n{cpu:,.0f} s of processor time."


def run_plain(target: Target, work: Path, limit: Limit, seed: int = 0) -> Ran:
    findings, began = Findings(work / "findings" / target.name), time.process_time()
    one_input, done = findings.watched(target.one_input), 0
    for data in fuzz_plain.inputs(target, sys.maxsize if limit.inputs is None else limit.inputs, seed):
        one_input(data)
        done += 1
        if limit.seconds is not None and time.process_time() > began + limit.seconds:
            break
    return Ran(target.name, done, time.process_time() - began, None, len(findings.by_place))


def run_guided(target: Target, work: Path, limit: Limit) -> Ran:
    """The start of the process is in its time. Raises RuntimeError where it did not run."""
    began = _used_by_children()
    given = f"-runs={limit.inputs}" if limit.seconds is None else f"-max_total_time={limit.seconds}"
    done = subprocess.run(
        [sys.executable, str(_HERE), "--child", target.name, f"--limit={given}", "--work", str(work)],
        stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    found = len(kept_in(work / "findings" / target.name))
    executed, covered = _DONE.findall(done.stderr), _COVERED.findall(done.stderr)
    if not executed or (done.returncode and not found):
        raise RuntimeError(f"{target.name} did not run to its end:\n{done.stderr[-3000:]}")
    return Ran(target.name, int(executed[-1]), _used_by_children() - began, int(covered[-1]) if covered else 0, found)


def _used_by_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
