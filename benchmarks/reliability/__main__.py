"""python -m benchmarks.reliability soak"""

import argparse
import json
import math
import sys
from dataclasses import asdict
from functools import partial

import trio

from benchmarks.reliability.faults import FaultPlan
from benchmarks.reliability.soak import Counts, Result, complaints, faults_in, run_one, soak, table


def main() -> int:
    """Status 1 where something is wrong, hung or not explained."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability")
    commands = parser.add_subparsers(required=True)
    soaking = commands.add_parser("soak", help="trainings under drawn faults")
    soaking.add_argument("--sessions", type=int, default=1000, help="with a fault in them")
    soaking.add_argument("--minutes", type=float, default=math.inf, help="after which no training begins")
    soaking.add_argument("--seed", type=int, default=0)
    soaking.add_argument("--plan", type=FaultPlan.parse, help="this one training, as a line of another run names it")
    soaking.set_defaults(run=_soak)
    given = parser.parse_args()
    status: int = given.run(given)
    return status


def _soak(given: argparse.Namespace) -> int:
    if given.plan is not None:
        result = trio.run(run_one, given.plan)
        _show(result)
        counts = Counts(seconds=result.story.seconds)
        counts.add(result)
    else:
        counts = trio.run(partial(soak, given.seed, given.sessions, 60 * given.minutes, _show))
    sys.stdout.write(f"{table(counts)}\n\nfaults: {faults_in(counts)}\n")
    for unclean in counts.unclean:
        sys.stdout.write("\n".join(complaints(unclean)) + "\n")
    counted = {**asdict(counts.total), "faults": dict(counts.faults), "seconds": round(counts.seconds)}
    sys.stdout.write(f"{json.dumps(counted)}\n")
    return 1 if counts.unclean else 0


def _show(result: Result) -> None:
    """Progress."""
    verdict = result.verdict
    ended = f"{sum(one.finished for one in verdict.sessions)} sums in {len(verdict.sessions)} sessions"
    sys.stderr.write(f"{result.plan.setting}: {ended}, {len(result.story.strikes)} faults")
    sys.stderr.write(f", {result.story.seconds:.0f} s{'' if verdict.clean else ', NOT EXPLAINED'}\n")
    for line in () if verdict.clean else complaints(result):
        sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
