"""The same seeded session through `net` over memory streams: the same bytes, frame for frame.

The machines are the simulation's, seat by seat; `net` drives them with its own collecting, contributing, framing and
grants. What each side sends is compared with what the simulation's tap saw.
"""

from collections import Counter, defaultdict
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import memory_stream_pair

from mpc.keys import SigningKey
from net.collecting import Collecting
from net.contributing import Contributing
from net.control import CONTROL_LIMIT, Grant, Task
from net.coordinator_journal import CoordinatorJournal
from net.framing import HEADER_BYTES, Kind
from net.hall import Event, Left, Said, Sent
from net.party_journal import KeptSession, PartyJournal
from net.peer import SESSION_BYTES, Peer, read_control, split_session
from net.policy import Policy, RoundPolicy
from net.workload import Held
from protocols.errors import SERVER, DropReason, PartyId
from protocols.families import FAMILIES
from protocols.family import Limits
from protocols.machine import Aggregate
from protocols.session import Variant, VectorSpec
from simulations.faults import Exactly, Vanish
from simulations.network import FRAME_BYTES
from simulations.oracle import Oracle
from simulations.scenario import Scenario
from simulations.seats import Consortium, Seats
from simulations.simulate import known_family, simulate

SCENARIO = Scenario(parties=6, dimension=40, losses=2, colluding=0)
LARGE = 2**24
TASK = Task(1, 1, bytes(32), bytes(16))
Frames = dict[PartyId, list[bytes]]


class Killed(Exception):
    """The scenario's loss, at the party."""


class Room:
    """What `Collecting` needs of a hall: one stream of events."""

    grace = 0.0

    def __init__(self) -> None:
        self.away: dict[PartyId, Peer] = {}
        self._send, self._inbox = trio.open_memory_channel[Event](0)

    async def next_event(self) -> Event:
        return await self._inbox.receive()

    async def report(self, event: Event) -> None:
        await self._send.send(event)

    def name(self, party: PartyId) -> str:
        return f"party-{party}"


class Wire:
    """One session, with each party at the other end of a pair of memory streams."""

    def __init__(self, seats: Seats, oracle: Oracle, vanish: dict[PartyId, str], folder: Path) -> None:
        self.seats, self.oracle, self.vanish, self.folder = seats, oracle, vanish, folder
        self.up: Frames = defaultdict(list)
        self.down: Frames = defaultdict(list)
        self.room = Room()
        self.aggregate: Aggregate | None = None

    async def run(self) -> None:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                peers = {}
                for party in self.seats.consortium.members:
                    here, there = memory_stream_pair()
                    peers[party] = Peer(here)
                    nursery.start_soon(peers[party].serve, partial(self._listen, party))
                    nursery.start_soon(self._take_part, party, Peer(there))
                machine: Any = self.seats.machine(SERVER)
                family, limits = self.seats.family, Limits(LARGE, LARGE, LARGE)
                journal = CoordinatorJournal(self.folder / "hub.journal", SigningKey(bytes(32)), bytes(32))
                collecting = Collecting(
                    family, machine, TASK, peers, self.room, journal, limits=limits, absent=frozenset(),
                    settle=self._settle,
                )  # type: ignore[arg-type]  # fmt: skip
                with closing(journal):
                    await collecting.run(Policy(RoundPolicy(20.0)))
                nursery.cancel_scope.cancel()

    async def _settle(self, aggregate: Aggregate) -> None:
        self.aggregate = aggregate

    async def _listen(self, party: PartyId, peer: Peer) -> None:
        """As the hall does it."""
        peer.deframer.limits = {Kind.CONTROL: CONTROL_LIMIT, Kind.MESSAGE: LARGE}
        while (frame := await peer.receive()) is not None:
            if frame.kind is Kind.CONTROL:
                await self.room.report(Said(party, peer, read_control(frame)))
                continue
            number, body = split_session(frame)
            self.up[party].append(body)
            await self.room.report(Sent(party, peer, number, body, uploaded=frame.kind is Kind.UPLOAD))
        await self.room.report(Left(party, peer, DropReason.VANISHED))

    async def _take_part(self, party: PartyId, peer: Peer) -> None:
        """As a party's process does it, without training."""
        peer.deframer.limits = {Kind.CONTROL: CONTROL_LIMIT, Kind.MESSAGE: LARGE}
        await peer.serve(partial(self._contribute, party))

    async def _contribute(self, party: PartyId, peer: Peer) -> None:
        client: Any = self.seats.machine(party)
        identity = SigningKey(bytes([1 + party]) * 32)
        journal = PartyJournal(self.folder / f"{party}.journal", identity, lambda ledger, last: None)
        begun = KeptSession(TASK, bytes(32), 0, party not in self.seats.contributors, ())
        contributing = Contributing(
            Held(b"", bytes(32), 1, False), self.seats.family, client, begun, journal, most_waiting=LARGE,
            before_send=partial(self._vanish, party), on_upload=lambda done, total: None,
        )  # fmt: skip
        await contributing.attach(peer, 0)
        if party in self.seats.contributors:
            await contributing.give_input(self.oracle.input(party))
        await contributing.start()
        with suppress(Killed), closing(journal):
            while (frame := await peer.receive()) is not None:
                if frame.kind is Kind.CONTROL:
                    if isinstance(read_control(frame), Grant):
                        await contributing.granted()
                    continue
                body = split_session(frame)[1]
                self.down[party].append(body)
                await contributing.receive(body)

    def _vanish(self, party: PartyId, fl_round: int, message: Any) -> None:
        if self.vanish.get(party) == message.round.value:
            raise Killed


def simulated(scenario: Scenario) -> tuple[Frames, Frames, Any]:
    up: Frames = defaultdict(list)
    down: Frames = defaultdict(list)

    def tap(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        (down[recipient] if sender == SERVER else up[sender]).append(data)

    (result,) = simulate(scenario, tap=tap).rounds
    return up, down, result


LOSSES = [
    pytest.param(replace(SCENARIO, protocol=family.name, **changes), id=f"{family.name}-{name}")  # type: ignore[arg-type]
    for family in FAMILIES.values()
    if family.collector is not None
    for name, changes in {
        "no loss": {},
        "before the input": {"dropout": Exactly(0.34)},
        **{stage.value: {"faults": (Vanish(2, stage.value),)} for stage in family.stages(Variant.ACTIVE)},
    }.items()
]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", LOSSES)
async def test_net_sends_what_the_simulation_sends_frame_for_frame(scenario: Scenario, tmp_path: Path) -> None:
    up, down, result = simulated(scenario)
    spec = VectorSpec(scenario.dimension, scenario.field_)
    seats = Consortium(scenario, known_family(scenario)).session(1, spec)
    oracle = Oracle(spec.field, spec.length, scenario.parties, scenario.seed)
    input_stage = seats.family.input_stage.value
    vanish = {party: stage or input_stage for party, stage in scenario.plan(1).vanish.items()}
    wire = Wire(seats, oracle, vanish, tmp_path)
    await wire.run()
    assert wire.aggregate is not None
    assert wire.aggregate.included == set(result.included)
    assert sum(map(len, up.values())) > 20
    for party in seats.consortium.members:
        assert wire.up[party] == up[party]
        missing = Counter(down[party]) - Counter(wire.down[party])  # what is relayed comes in the order of arrival
        assert Counter(wire.down[party]) <= Counter(down[party])
        assert party in vanish or set(missing) <= {down[party][-1]}  # the result, when the session is over before it


def test_a_frame_is_as_much_larger_than_its_message_as_net_makes_it() -> None:
    assert FRAME_BYTES == HEADER_BYTES + SESSION_BYTES
