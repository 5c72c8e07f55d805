"""One process of the tests of processes: a coordinator, or a bank, that kills itself where it is told to.

What happens is printed, a line of JSON each: `{"port"}`, `{"report"}` from a coordinator, or a member of a mesh,
`{"held"}` from a coordinator that waits for a line on its standard input, `{"event"}` and `{"sent"}` from a bank.
"""

import gc
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import trio
from crashing import Crash, Writes
from powers import PowersOfTwo, initial

from mpc.keys import AgreementSecret, ChannelKey
from mpc.prg import Seed
from net.config import load_coordinator, load_party
from net.coordinator import run_coordinator
from net.errors import NetError
from net.events import Happened
from net.party import run_party
from protocols.machine import Finished


def say(**what):
    print(json.dumps(what), flush=True)  # noqa: T201


def report(one):
    say(
        report={
            "included": sorted(one.included),
            "dropped": {party: stage.value for party, (stage, _) in one.dropped.items()},
            "absent": sorted(one.absent),
            "bytes_up": max((one.bytes_up.get(party, 0) for party in one.included), default=0),
            "finished": isinstance(one.outcome, Finished),
            "seconds": one.seconds,
        }
    )


def coordinate(path, steps, hold):
    def hold_back(fl_round):
        if fl_round == int(hold):
            say(held=fl_round)
            sys.stdin.readline()

    workload = PowersOfTwo()
    workload.before_advance = hold_back
    run = partial(
        run_coordinator,
        load_coordinator(Path(path)),
        workload,
        initial(int(steps)),
        on_report=report,
        on_listening=lambda host, port: say(port=port),
    )
    trio.run(run)


def secrets_in_memory():
    gc.collect()
    return sum(isinstance(thing, AgreementSecret | ChannelKey | Seed) for thing in gc.get_objects())


def take_part(path, place, steps, stage):
    def before_send(fl_round, message):
        if fl_round == 2 and message.round.value == stage:
            os.kill(os.getpid(), signal.SIGKILL)
        say(sent=type(message).__name__, fl_round=fl_round)

    def on_event(event):
        held = secrets_in_memory() if event.what in (Happened.ABORTED, Happened.LOST) else None
        say(event=event.what.value, fl_round=event.fl_round, secrets=held)

    run = partial(
        run_party,
        load_party(Path(path)),
        PowersOfTwo(int(place)),
        initial(int(steps)),
        before_send=before_send,
        on_event=on_event,
        on_report=report,
    )
    trio.run(run)


def crash_where_told(role, path, place=""):
    """The environment says at which of its writes, and of the frames of sessions that it has sent."""
    if where := os.environ.get("CRASH"):
        name = role if role == "coordinator" else f"bank-{place}"
        writes = Writes(name, lambda: os.kill(os.getpid(), signal.SIGKILL), Crash.parse(where))
        writes.watch(setattr).watch_frames(setattr)


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    crash_where_told(role, *arguments[:2])
    try:
        {"coordinator": coordinate, "party": take_part}[role](*arguments)
    except NetError as exc:
        sys.exit(f"{type(exc).__name__}: {exc}")
