"""Members of a mesh in one process: real keys, real files, real TLS on the loopback, each member a task."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import trio
from conftest import make_consortium, make_keys
from crashing import Killed
from powers import PowersOfTwo, initial

from net.config import MeshConfig, PartyConfig, PartyTerms, dump_consortium
from net.events import Happened, PartyEvent
from net.party import run_party
from net.policy import Policy, RoundPolicy
from net.report import SessionReport
from net.store import write_keys
from veilsum.demo.files import free_addresses


@dataclass
class Member:
    """`kill_at`: message class name, in step `kill_in`, before which it vanishes."""

    place: int
    config: PartyConfig
    workload: PowersOfTwo
    kill_at: str | None = None
    kill_in: int = 1
    initial: bytes = b""
    events: list[PartyEvent] = field(default_factory=list)
    reports: list[SessionReport] = field(default_factory=list)
    on_event: Callable[[PartyEvent], None] = lambda event: None
    stop: trio.Event = field(default_factory=trio.Event)
    error: Exception | None = None
    ended: trio.Event = field(default_factory=trio.Event)

    def before_send(self, fl_round: int, message: Any) -> None:
        if type(message).__name__ == self.kill_at and fl_round == self.kill_in:
            raise Killed

    def note(self, event: PartyEvent) -> None:
        self.events.append(event)
        self.on_event(event)

    def happened(self, what: Happened) -> list[PartyEvent]:
        return [event for event in self.events if event.what is what]

    async def run(self) -> None:
        try:
            await run_party(
                self.config,
                self.workload,
                self.initial,
                before_send=self.before_send,
                on_event=self.note,
                on_report=self.reports.append,
                stop=self.stop,
            )
        except Exception as exc:
            self.error = exc
        self.ended.set()

    async def run_again(self) -> None:
        """Once it has ended, and not killed any more."""
        await self.ended.wait()
        self.kill_at, self.error = None, None
        await self.run()


class MeshLoopback:
    """The files of a mesh in a folder, and its processes as tasks."""

    def __init__(self, folder: Path, banks: int = 5, **changes: Any) -> None:
        self.folder = folder
        self.consortium = make_consortium(banks, **{"protocol": "mesh", "coordinator": None, **changes})
        (folder / "consortium.toml").write_text(dump_consortium(self.consortium))
        for card in self.consortium.members:
            write_keys(folder / f"{card.name}.key", make_keys(card.name))
        self.addresses = free_addresses(banks)
        self.members = [self._member(place) for place in range(banks)]

    def _member(self, place: int) -> Member:
        names = [card.name for card in self.consortium.members]
        config = PartyConfig(
            consortium=self.folder / "consortium.toml",
            identity=self.folder / f"bank-{place}.key",
            payload=self.folder / f"bank-{place}.model",
            mesh=MeshConfig(
                self.addresses[place],
                {name: at for name, at in zip(names, self.addresses, strict=True) if name != f"bank-{place}"},
                Policy(RoundPolicy(patience=20.0), attempts=1),
            ),
            data=self.folder / "unused.csv",
            terms=PartyTerms(max_colluding=self.consortium.colluding),
            patience=10.0,
        )
        return Member(place, config, PowersOfTwo(place))

    def set_policy(self, policy: Policy) -> None:
        self.set_policy_of(self.members, policy)

    def set_policy_of(self, members: list[Member], policy: Policy) -> None:
        for member in members:
            mesh = member.config.mesh
            assert mesh is not None
            member.config = replace(member.config, mesh=replace(mesh, policy=policy))

    async def run(self, steps: int = 1, *, missing: tuple[int, ...] = ()) -> None:
        """Until all have ended; a member's error is in it."""
        with trio.fail_after(60):
            async with trio.open_nursery() as self.nursery:
                for member in self.members:
                    member.initial = member.initial or initial(steps)
                    if member.place not in missing:
                        self.nursery.start_soon(member.run)

    def payloads(self) -> list[bytes]:
        return [member.config.payload.read_bytes() for member in self.members if member.error is None]
