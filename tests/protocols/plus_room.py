"""Real machines of secagg+ in one room, and what a session of them must come to, from PROTOCOLS 3B."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from unittest.mock import ANY

import numpy as np
from conversation import Room

from mpc.randomness import Randomness
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange, Tap
from protocols.machine import Aborted, Aggregate, Finished, Machine, Outcome
from protocols.secagg_plus import Client, Server
from protocols.secagg_plus.degrees import graph_for
from protocols.secagg_plus.messages import CODEC, Round
from protocols.session import Variant
from protocols.wire import PartySet


def parties(*numbers: int) -> PartySet:
    return frozenset(map(PartyId, numbers))


@dataclass
class PlusRoom(Room):
    """`clients` parties of which `losses` may be lost."""

    losses: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.params = replace(self.params, protocol="secagg+", losses=self.losses)
        self.terms = replace(self.terms, protocol="secagg+")

    def client(self, me: PartyId, rand: Randomness | None = None, **changes: Any) -> Client:  # type: ignore[override]
        terms = replace(self.terms, **changes) if changes else self.terms
        stream = rand or self.rand.child(f"client {me}")
        client = Client(me, identity=self.identities[me], terms=terms, rand=stream)
        client.set_input(self.inputs[me])
        return client

    def server(self, **changes: Any) -> Server:  # type: ignore[override]
        params = replace(self.params, **changes) if changes else self.params
        return Server(params, identity=self.identities[SERVER], members=self.terms.members)

    def machines(self) -> dict[PartyId, Machine]:
        return {SERVER: self.server()} | {me: self.client(me) for me in self.parties}

    def hold(
        self,
        vanish: Mapping[int, StrEnum] | None = None,
        *,
        tap: Tap | None = None,
        machines: Mapping[PartyId, Machine] | None = None,
    ) -> "Held":
        gone = {PartyId(party): round_ for party, round_ in (vanish or {}).items()}
        all_ = dict(machines or self.machines())
        exchange = Exchange(all_, CODEC, vanish=gone, tap=tap)
        return Held(self, exchange.run(), all_, exchange)

    def expected(self, vanish: Mapping[int, StrEnum]) -> Any:
        """Who must be in the sum, None where there must be none; ANY where it hangs on who holds of whom.

        In a room so small that everybody holds of everybody, k = n - 1, and each whose masks lie in the sum needs t
        others: those that answer to the end are t + 1, or t where one masked that is not among them.
        """
        everybody = frozenset(self.parties)

        def answering(*rounds: Round) -> PartySet:
            return frozenset(one for one in everybody if vanish.get(one) not in rounds)

        active = self.variant is Variant.ACTIVE
        floor = max(3, self.colluding + 2, self.cohort)
        u1 = answering(Round.ADVERTISE)
        t = self.threshold_of(len(u1))
        if len(u1) < floor:
            return None
        u2 = u1 & answering(Round.SHARE, *([Round.CHOOSE_HOLDERS] if active else []))
        u3 = u2 & answering(Round.MASKED_INPUT)
        u4 = u3 & answering(Round.CONFIRM) if active else u3
        u5 = u4 & answering(Round.UNMASK)
        if min(len(u2), len(u3)) < floor:
            return None
        if graph_for(self.params, len(u1)).degree < len(u1) - 1:
            return ANY
        helped = all(len(last - {one}) >= t for last in (u2, u3, u4, u5) for one in u2)
        return u3 if helped else None

    def threshold_of(self, n: int) -> int:
        """2t - (n - 1) > c, or t > c; written down a second time."""
        least = 2 if self.variant is Variant.CURIOUS else 1
        while not (2 * least > n - 1 + self.colluding if self.variant is Variant.ACTIVE else least > self.colluding):
            least += 1
        return max(least, self.threshold)


@dataclass
class Held:
    """A session that has been held. `machines` are all, lost ones too; `left` those that were there to the end."""

    room: PlusRoom
    outcome: Outcome | None
    machines: dict[PartyId, Any]
    exchange: Exchange

    @property
    def server(self) -> Server:
        server: Server = self.machines[SERVER]
        return server

    @property
    def left(self) -> dict[PartyId, Any]:
        return {
            party: one for party, one in self.machines.items() if party in self.exchange.machines and party != SERVER
        }

    def aggregates(self) -> dict[PartyId, Aggregate]:
        return {party: one.outcome.aggregate for party, one in self.left.items() if isinstance(one.outcome, Finished)}

    def require_exact(self, included: PartySet) -> None:
        """The server, and everybody who is left and in the sum, has it, over exactly these."""
        assert isinstance(self.outcome, Finished)
        heard = self.aggregates()
        assert heard.keys() == self.left.keys() & included
        for aggregate in (self.outcome.aggregate, *heard.values()):
            assert aggregate.included == included
            assert np.array_equal(aggregate.vector, self.room.plain_sum(included))

    def require_no_result(self) -> None:
        assert isinstance(self.outcome, Aborted)
        assert all(isinstance(one.outcome, Aborted) for one in self.left.values())
