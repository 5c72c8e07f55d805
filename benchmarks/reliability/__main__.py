"""python -m benchmarks.reliability soak | load | abuse

Progress goes to standard error; to standard output go the tables and, as its last line, what was counted as JSON. With
--out the part of this command in that page is written anew. Status 1 where something is not as it should be.
"""

import argparse
import json
import math
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import trio

from benchmarks.reliability import abuse, load, soak
from benchmarks.reliability.attacks import ATTACKS
from benchmarks.reliability.faults import PATIENCE, FaultPlan
from benchmarks.reliability.page import machine, put

PROGRAM = "python -m benchmarks.reliability"


def main() -> int:
    parser = argparse.ArgumentParser(prog=PROGRAM)
    commands = parser.add_subparsers(required=True)
    soaking = commands.add_parser("soak", help="trainings under drawn faults")
    soaking.add_argument("--sessions", type=int, default=1000, help="with a fault in them")
    soaking.add_argument("--minutes", type=float, default=math.inf, help="after which no training begins")
    soaking.add_argument("--patience", type=float, default=PATIENCE, help="seconds of a round; more on a busy machine")
    soaking.add_argument("--seed", type=int, default=0)
    soaking.add_argument("--plan", type=FaultPlan.parse, help="this one training, as a line of another run names it")
    soaking.set_defaults(run=_soak, part="soak")
    loading = commands.add_parser("load", help="many parties at one coordinator")
    loading.add_argument("--parties", type=int, default=1000)
    loading.set_defaults(run=_load, part="load")
    abusing = commands.add_parser("abuse", help="attacks on a coordinator while banks train")
    abusing.add_argument("--steps", type=int, default=abuse.STEPS)
    abusing.add_argument("--seed", type=int, default=0)
    abusing.add_argument("--attack", action="append", choices=tuple(ATTACKS), help="these only")
    abusing.set_defaults(run=_abuse, part="abuse")
    for command in (soaking, loading, abusing):
        command.add_argument("--out", type=Path, help="the page whose part of this command is written anew")
    given = parser.parse_args()
    text, counted, fine = given.run(given)
    if given.out is not None:
        put(given.out, given.part, f"    {_command()}\n\n{machine()}. {text}")
    sys.stdout.write(f"{text}\n{json.dumps(counted)}\n")
    return 0 if fine else 1


Answer = tuple[str, Any, bool]
"""What stands on the page, what is counted, and whether all is as it should be."""


def _command() -> str:
    """As it was given, but for the page."""
    words = sys.argv[1:]
    at = words.index("--out")
    return " ".join([PROGRAM, *words[:at], *words[at + 2 :]])


def _soak(given: argparse.Namespace) -> Answer:
    counts = soak.Counts()
    if given.plan is not None:
        result = trio.run(soak.run_one, given.plan)
        _show_training(result)
        counts.seconds = result.story.seconds
        counts.add(result)
    else:
        run = partial(soak.soak, given.seed, given.sessions, 60 * given.minutes, _show_training, given.patience)
        counts = trio.run(run)
    for unclean in counts.unclean:
        sys.stdout.write("\n".join(soak.complaints(unclean)) + "\n")
    counted = {**asdict(counts.total), "faults": dict(counts.faults), "seconds": round(counts.seconds)}
    return soak.section(counts), counted, not counts.unclean


def _load(given: argparse.Namespace) -> Answer:
    found = trio.run(load.load, given.parties)
    return load.section(found), asdict(found), found.included == found.parties


def _abuse(given: argparse.Namespace) -> Answer:
    setting = abuse.abuse_setting(given.steps)
    found = trio.run(abuse.abuse, setting, given.seed, given.attack or tuple(ATTACKS), _show_attack)
    return abuse.section(found, setting), [asdict(one) for one in found], all(one.fine for one in found)


def _show_training(result: soak.Result) -> None:
    verdict, story = result.verdict, result.story
    ended = f"{sum(one.finished for one in verdict.sessions)} sums in {len(verdict.sessions)} sessions"
    sys.stderr.write(f"{result.plan.setting}: {ended}, {len(story.strikes)} faults, {story.seconds:.0f} s\n")
    for line in () if verdict.clean else soak.complaints(result):
        sys.stderr.write(f"{line}\n")


def _show_attack(borne: abuse.Borne) -> None:
    sys.stderr.write(f"{abuse.row(borne)}{'' if borne.fine else ' NOT BORNE'}\n")


if __name__ == "__main__":
    sys.exit(main())
