"""Real machines of lightsecagg in one room: what its tests need to set up a session."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from conversation import Room

from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange, Tap
from protocols.lightsecagg import PROTOCOL, Client, Server
from protocols.lightsecagg.messages import CODEC, Round
from protocols.machine import Aborted, Finished, Machine, Outcome
from protocols.session import Variant
from protocols.wire import PartySet


def parties(*numbers: int) -> PartySet:
    return frozenset(map(PartyId, numbers))


@dataclass
class LightRoom(Room):
    """`losses`: d, so many may vanish after they dealt."""

    losses: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.params = replace(self.params, protocol=PROTOCOL, losses=self.losses)
        self.terms = replace(self.terms, protocol=PROTOCOL)

    def client(self, me: PartyId, **changes: Any) -> Any:
        """A client with its input set. `changes` replace fields of its terms."""
        terms = replace(self.terms, **changes) if changes else self.terms
        client = Client(me, identity=self.identities[me], terms=terms, rand=self.rand.child(f"client {me}"))
        client.set_input(self.inputs[me])
        return client

    def server(self, **changes: Any) -> Any:
        params = replace(self.params, **changes) if changes else self.params
        return Server(params, identity=self.identities[SERVER], members=self.terms.members)

    def machines(self) -> dict[PartyId, Machine]:
        return {SERVER: self.server()} | {me: self.client(me) for me in self.parties}

    def hold(
        self,
        vanish: Mapping[int, Round] | None = None,
        *,
        tap: Tap | None = None,
        machines: Mapping[PartyId, Machine] | None = None,
    ) -> "Held":
        gone = {PartyId(party): round_ for party, round_ in (vanish or {}).items()}
        all_ = dict(machines or self.machines())
        exchange = Exchange(all_, CODEC, vanish=gone, tap=tap)
        return Held(self, exchange.run(), all_, exchange)

    def expected(self, vanish: Mapping[int, Round]) -> PartySet | None:
        """Who must be in the sum, None where there is none: PROTOCOLS 3E, written down a second time."""
        left = {stage: parties(*(p for p in range(self.clients) if vanish.get(p) is not stage)) for stage in Round}
        u1 = left[Round.ADVERTISE]
        n, c = len(u1), self.colluding
        floor = max(3, c + 2, self.cohort)
        if n < floor:
            return None  # and with fewer than c + 1 no mask could be cut
        decode = max(max(1, c) + 1, n - self.losses)
        active = self.variant is Variant.ACTIVE
        quorum = next(q for q in range(n + c + 1) if 2 * q > n + c) if active else max(2, c + 1)
        quorum = max(quorum, self.threshold)
        u2 = u1 & left[Round.SHARE]
        u3 = u2 & left[Round.MASKED_INPUT]
        u4 = u3 & left[Round.CONFIRM] if active else u3
        u5 = u4 & left[Round.AGGREGATE]
        enough = min(n, len(u2), len(u3)) >= max(decode, quorum, floor)
        enough = enough and (not active or len(u4) >= max(decode, quorum)) and len(u5) >= decode
        return u3 if enough else None


@dataclass
class Held:
    """A session that has been held. `machines` are all, lost ones too; `left` those that were there to the end."""

    room: LightRoom
    outcome: Outcome | None
    machines: dict[PartyId, Any]
    exchange: Exchange

    @property
    def server(self) -> Any:
        return self.machines[SERVER]

    @property
    def left(self) -> dict[PartyId, Any]:
        return {party: self.machines[party] for party in self.exchange.machines if party != SERVER}

    def require_exact(self, *included: int) -> None:
        """The server, and everybody who is left, has the exact sum over exactly these."""
        assert isinstance(self.outcome, Finished)
        expected = self.room.plain_sum(parties(*included))
        for machine in (self.server, *self.left.values()):
            assert isinstance(machine.outcome, Finished)
            assert machine.outcome.aggregate.included == parties(*included)
            assert np.array_equal(machine.outcome.aggregate.vector, expected)

    def require_no_result(self) -> None:
        assert isinstance(self.outcome, Aborted)
        assert all(isinstance(machine.outcome, Aborted) for machine in self.left.values())
