"""A consortium that sums through a committee: what its tests need to set up a session."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from conversation import Room

from mpc.randomness import Randomness
from protocols.committee import Member, Server, numbers_of
from protocols.committee.messages import CODEC, Certify, CheckValues, Receipt, Round, SumShare, Vow
from protocols.committee.numbers import Numbers
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange, Tap
from protocols.machine import Aborted, Aggregate, Finished, Machine
from protocols.wire import PartySet


def parties(*numbers: int) -> PartySet:
    return frozenset(map(PartyId, numbers))


@dataclass
class CommitteeRoom(Room):
    """`clients` members. aggregators: how many more that only aggregate, behind them; none: each member does both."""

    losses: int = 1
    aggregators: int = 0

    def __post_init__(self) -> None:
        clients, self.clients = self.clients, self.clients + self.aggregators
        super().__post_init__()
        self.clients = clients
        apart = frozenset(self.parties[clients:])
        self.params = replace(self.params, protocol="committee", aggregators=apart)
        self.terms = replace(self.terms, protocol="committee", aggregators=apart)
        self.inputs = {party: self.inputs[party] for party in self.parties[:clients]}

    @property
    def numbers(self) -> Numbers:
        return numbers_of(self.params, self.terms.members)

    def member(self, me: PartyId, rand: Randomness | None = None, **given: Any) -> Member:
        """With its input set, where it has one. `given`: its terms, its ledger."""
        stream = rand or self.rand.child(f"member {me}")
        member = Member(me, identity=self.identities[me], rand=stream, **({"terms": self.terms} | given))
        if me in self.inputs:
            member.set_input(self.inputs[me])
        return member

    def server(self, **changes: Any) -> Any:
        params = replace(self.params, **changes)
        return Server(params, identity=self.identities[SERVER], members=self.terms.members)

    def machines(self) -> dict[PartyId, Machine]:
        return {SERVER: self.server()} | {me: self.member(me) for me in self.parties}

    def hold(
        self,
        vanish: Mapping[int, Round] | None = None,
        *,
        tap: Tap | None = None,
        machines: Mapping[PartyId, Machine] | None = None,
    ) -> "Held":
        gone = {PartyId(party): round_ for party, round_ in (vanish or {}).items()}
        all_: dict[PartyId, Any] = self.machines() | dict(machines or {})
        exchange = Exchange(all_, CODEC, vanish=gone, tap=tap)
        exchange.run()
        return Held(self, all_, exchange)

    def expected(self, vanish: Mapping[int, Any]) -> PartySet | None:
        """Who is in the sum when parties vanish at these rounds; None where there is no sum. From PROTOCOLS 3D.

        Who has no message of a round cannot vanish in it: who only contributes is lost at `contribute` or never.
        """
        apart = range(self.clients, self.clients + self.aggregators)
        committee = set(apart or range(self.clients))
        size, colluding, losses = len(committee), self.colluding, self.losses
        decode, quorum = size - losses, max(self.threshold, (size + colluding) // 2 + 1)
        inputs = set(range(self.clients))
        for stage in ("advertise", "contribute", "receipt", "vow", "check", "certify", "sum"):
            gone = {party for party, where in vanish.items() if where == stage}
            if stage != "contribute" or not apart:
                committee -= gone
            if stage == "contribute" or (stage == "advertise" and not apart):
                inputs -= gone
            if len(committee) < (decode if stage == "sum" else max(decode, quorum)):
                return None
        return frozenset(map(PartyId, inputs)) if len(inputs) >= max(3, colluding + 2, self.cohort) else None


@dataclass
class Held:
    """A session that has been held. `machines` are all, lost ones too; `left` those that were there to the end."""

    room: CommitteeRoom
    machines: dict[PartyId, Any]
    exchange: Exchange

    @property
    def server(self) -> Server:
        server = self.machines[SERVER]
        assert isinstance(server, Server)
        return server

    @property
    def left(self) -> dict[PartyId, Any]:
        return {party: self.machines[party] for party in self.exchange.machines}

    def aggregates(self) -> dict[PartyId, Aggregate]:
        outcomes = {party: machine.outcome for party, machine in self.left.items()}
        return {party: outcome.aggregate for party, outcome in outcomes.items() if isinstance(outcome, Finished)}

    def require_exact(self, *included: int) -> None:
        """Everybody who is left has the exact sum over exactly these."""
        aggregates = self.aggregates()
        assert aggregates.keys() == self.left.keys()
        for aggregate in aggregates.values():
            assert aggregate.included == set(included)
            assert np.array_equal(aggregate.vector, self.room.plain_sum(aggregate.included))

    def require_no_result(self) -> None:
        assert all(isinstance(machine.outcome, Aborted) for machine in self.left.values())

    def require(self, expected: PartySet | None) -> None:
        if expected is None:
            self.require_no_result()
        else:
            self.require_exact(*expected)


Frames = list[tuple[PartyId, PartyId, bytes]]


def require_discretion(frames: Frames, parties: tuple[PartyId, ...]) -> None:
    """Of each member one message of each kind, whatever it heard: one contribution, one vow, one set, one sum."""
    said: dict[PartyId, dict[type, set[bytes]]] = {party: {} for party in parties}
    for sender, _, data in frames:
        if sender != SERVER:
            said[sender].setdefault(type(CODEC.decode(data)), set()).add(data)
    for kinds in said.values():
        assert all(len(messages) == 1 for messages in kinds.values())
        order = [kind for kind in (Receipt, Vow, CheckValues, Certify, SumShare) if kind in kinds]
        assert order == [Receipt, Vow, CheckValues, Certify, SumShare][: len(order)]
