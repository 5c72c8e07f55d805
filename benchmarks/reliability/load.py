"""A thousand parties at one coordinator: all connect at the same moment, then hold a session.

The coordinator is a process of its own, and what it uses is read from outside. The parties are tasks of one other
process, each with its own identity, TLS connection and machine, so that the seconds of a round are mostly theirs.
"""

import os
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import trio

from benchmarks.reliability import child
from benchmarks.reliability.faults import Setting
from benchmarks.reliability.files import Folder, write_consortium, write_coordinator
from benchmarks.reliability.proxy import LOOPBACK
from benchmarks.reliability.spawning import heard, launch
from benchmarks.reliability.story import Happening, Listening, Reported, Told
from benchmarks.reliability.usage import Usage, usage
from net.config import Address
from net.events import Happened
from net.policy import ASSEMBLE, Policy, RoundPolicy
from protocols.session import Variant

PATIENCE: Final = 3600.0  # seconds of a round: a thousand parties work on one core
SPARE: Final = 0.05  # so many of the parties may collude, and so many be lost
LOOK: Final = 0.05  # seconds between two looks at who has called


@dataclass(frozen=True, slots=True)
class Load:
    """connected: seconds from the moment at which the coordinator saw all callers to the last one's welcome. closed:
    connections that it closed meanwhile, which were opened again. round: seconds of the session.
    """

    parties: int
    included: int
    connected: float
    closed: int
    round: float
    idle: Usage
    greeted: Usage
    ended: Usage


def load_setting(parties: int) -> Setting:
    spare = round(SPARE * parties)
    return Setting("secagg+", Variant.ACTIVE, parties, spare, spare, 1, 1)


async def load(parties: int) -> Load:
    """All connect at once, and hold one session."""
    with TemporaryDirectory(prefix="veilsum-load-") as path:
        folder, setting = Folder(Path(path)), load_setting(parties)
        write_consortium(folder, setting)
        write_coordinator(folder, Policy(RoundPolicy(PATIENCE), {ASSEMBLE: RoundPolicy(PATIENCE)}, attempts=1))
        coordinator, told = launch(child.coordinate, folder, setting)
        try:
            async with aclosing(heard(told)) as facts:
                return await _measure(folder, setting, coordinator.pid or 0, facts)
        finally:
            coordinator.kill()
            coordinator.join()


async def _measure(folder: Folder, setting: Setting, pid: int, facts: AsyncGenerator[Any, None]) -> Load:
    listening = await anext(facts)
    assert isinstance(listening, Listening)
    idle = usage(pid)
    os.kill(pid, signal.SIGSTOP)  # so that all are there when it looks
    crowd, calls = launch(
        child.take_parts, folder, setting, range(setting.banks), Address(LOOPBACK, listening.port), PATIENCE
    )
    try:
        while _callers(listening.port) < setting.banks:
            await trio.sleep(LOOK)
        os.kill(pid, signal.SIGCONT)
        begun = time.monotonic()
        connected = await _all_connected(setting.banks, calls) - begun
        greeted = usage(pid)
        async for fact in facts:
            if isinstance(fact, Reported):
                closed = folder.log(None).read_text().count("closed a connection")
                seconds = fact.end - fact.begin
                return Load(setting.banks, len(fact.included), connected, closed, seconds, idle, greeted, usage(pid))
        raise RuntimeError(f"the coordinator ended without a session: {folder.log(None).read_text()[-500:]}")
    finally:
        crowd.kill()
        crowd.join()


async def _all_connected(parties: int, calls: Any) -> float:
    """When the last one was welcome."""
    welcome: set[int | None] = set()
    async for one in heard(calls):
        assert isinstance(one, Told)
        if isinstance(one.fact, Happening) and one.fact.what == Happened.CONNECTED:
            welcome.add(one.who)
            if len(welcome) == parties:
                return one.fact.at
    raise RuntimeError("the parties ended before they were connected")


def _callers(port: int) -> int:
    """Connections that stand at this port of the loopback, whether they were accepted or not."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return sum(one[1].endswith(f":{port:04X}") and one[3] == "01" for one in fields)


def section(one: Load) -> str:
    """Markdown."""
    steps = (("listening", one.idle), (f"{one.parties:,} are connected", one.greeted), ("the sum is there", one.ended))
    lines = [
        f"{one.parties:,} parties had called before the coordinator looked: after {one.connected:.1f} s all were "
        f"welcome, {one.closed:,} connections were closed and opened again. The round of "
        f"{load_setting(one.parties).protocol} took {one.round:.0f} s, its sum covers {one.included:,}.",
        "",
        "| the coordinator, when | CPU seconds so far | memory, MB | at most, MB |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {used.cpu:.1f} | {used.resident / 1e6:.0f} | {used.peak / 1e6:.0f} |" for name, used in steps
    ]
    return "\n".join(lines)
