"""One process of a training: what its main function does, and what it tells whoever started it."""

import faulthandler
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.reliability.attacks import ATTACKS, Attacker
from benchmarks.reliability.attacks import attack as run_attack
from benchmarks.reliability.crowd import run_crowd
from benchmarks.reliability.faults import Setting
from benchmarks.reliability.files import Folder
from benchmarks.reliability.story import Fact, Failed, Happening, Listening, Reported, Sent, Summed, Told
from benchmarks.reliability.training import Naming, initial
from net import cores
from net.config import Address, load_coordinator, load_party
from net.coordinator import run_coordinator
from net.errors import NetError
from net.events import Happened, PartyEvent, ignore
from net.party import run_party
from net.report import SessionReport
from protocols.errors import PartyId

CROWD = -1
"""The place under which many parties in one process keep their log."""

ATTACKER = -2

Tell = Callable[[Fact], None]


def coordinate(folder: Folder, setting: Setting, out: Connection) -> None:
    tell: Tell = out.send
    run = partial(
        run_coordinator,
        load_coordinator(folder.file(None)),
        Naming(setting, partial(_summed, tell)),
        initial(setting.steps),
        on_report=partial(_report, tell),
        on_listening=lambda host, port: tell(Listening(port)),
    )
    _run(folder, None, tell, run)


def take_part(folder: Folder, setting: Setting, place: int, out: Connection) -> None:
    tell: Tell = out.send
    run = partial(
        run_party,
        load_party(folder.file(place)),
        Naming(setting, partial(_summed, tell), place),
        initial(setting.steps),
        before_send=ignore if setting.is_mesh else partial(_sent, tell),  # a mesh waits for its writers to tell it
        on_event=partial(_happened, tell),
        on_report=partial(_report, tell),
    )
    _run(folder, place, tell, run)


def take_parts(
    folder: Folder, setting: Setting, places: Sequence[int], where: Address, patience: float, out: Connection
) -> None:
    """These parties in this one process. Told: of each that it is connected, and what went wrong."""

    def on_event(place: int, event: PartyEvent) -> None:
        if event.what in _WORTH_TELLING:
            out.send(Told(place, Happening(time.monotonic(), event.what.value, event.fl_round, event.text)))

    _run(folder, CROWD, out.send, partial(run_crowd, folder, setting, places, where, patience, on_event))


def attack(folder: Folder, setting: Setting, where: Address, name: str, seed: int, out: Connection) -> None:
    """Until it is killed. Told: how many connections it has begun, at each."""
    begun = count(1)

    async def main() -> None:
        attacker = Attacker(folder, setting, where, ATTACKS[name].address, seed)
        await run_attack(attacker, ATTACKS[name], lambda: out.send(next(begun)))

    _run(folder, ATTACKER, out.send, main)


_WORTH_TELLING = frozenset({Happened.CONNECTED, Happened.TURNED_AWAY, Happened.LOST, Happened.ABORTED})


def _run(folder: Folder, place: int | None, tell: Tell, main: Callable[[], Any]) -> None:
    """Status 1 with a line for people, as the commands do it; whatever else breaks out of it is a defect."""
    log = folder.log(place).open("a", encoding="utf-8", buffering=1)
    sys.stderr = log
    logging.basicConfig(stream=log, level=logging.DEBUG, format="%(relativeCreated)d %(name)s %(message)s")
    faulthandler.register(signal.SIGUSR1, file=log)
    try:
        cores.run(main)  # as the processes' own commands do
    except NetError as exc:
        tell(Failed(time.monotonic(), type(exc).__name__, str(exc)))
        sys.exit(1)
    except Exception:
        logging.exception("it broke down")
        sys.exit(BROKE_DOWN)


BROKE_DOWN = 70
"""Status of a process that ended with an error which is no line for people."""


def _summed(tell: Tell, fl_round: int, included: frozenset[PartyId], exact: bool) -> None:
    tell(Summed(time.monotonic(), fl_round, frozenset(included), exact))


def _report(tell: Tell, one: SessionReport) -> None:
    now = time.monotonic()
    dropped = tuple(f"{party} {stage.value} {why.value}" for party, (stage, why) in sorted(one.dropped.items()))
    finished = bool(one.included)
    tell(Reported(now - one.seconds, now, one.fl_round, one.included, one.absent, dropped, finished))


def _sent(tell: Tell, fl_round: int, message: Any) -> None:
    tell(Sent(time.monotonic(), fl_round, message.round.value))


def _happened(tell: Tell, event: PartyEvent) -> None:
    tell(Happening(time.monotonic(), event.what.value, event.fl_round, event.text))
