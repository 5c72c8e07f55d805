"""Real peers in one room, without a server: what the tests of the mesh need to set up a session."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import ANY

import numpy as np
from conversation import Room

from mpc.randomness import Randomness
from protocols.errors import PartyId
from protocols.exchange import Exchange, Tap
from protocols.machine import Aborted, Aggregate, Finished, Machine
from protocols.mesh import NO_COORDINATOR, PROTOCOL, Peer
from protocols.mesh.messages import CODEC, Round
from protocols.wire import PartySet


def parties(*numbers: int) -> PartySet:
    return frozenset(map(PartyId, numbers))


@dataclass
class MeshRoom(Room):
    """`clients` peers, all built with the same parameters."""

    def __post_init__(self) -> None:
        super().__post_init__()
        subject = replace(self.params.subject, coordinator=NO_COORDINATOR)
        self.params = replace(self.params, subject=subject, protocol=PROTOCOL)
        self.terms = replace(self.terms, subject=subject, protocol=PROTOCOL)

    def peer(self, me: PartyId, rand: Randomness | None = None, **given: Any) -> Peer:
        stream = rand or self.rand.child(f"peer {me}")
        built = {"terms": self.terms, "params": self.params} | given
        peer = Peer(me, identity=self.identities[me], rand=stream, **built)
        peer.set_input(self.inputs[me])
        return peer

    def peers(self) -> dict[PartyId, Peer]:
        return {me: self.peer(me) for me in self.parties}

    def machines(self) -> dict[PartyId, Machine]:
        return dict(self.peers())

    def expected(self, vanish: Mapping[int, Round]) -> Any:
        """Who is in the sum when peers vanish at these rounds. ANY where too few stay to be sure of one, or where one
        goes while its vector is on the way: who the list names depends on what was heard before."""
        reporting = [party for party in self.parties if vanish.get(party) not in (Round.HELLO, Round.SHARE)]
        proposer = min(reporting, default=None)  # it reports to nobody: there it cannot be lost
        vanish = {party: stage for party, stage in vanish.items() if (party, stage) != (proposer, Round.READY)}
        stay = frozenset(party for party in self.parties if party not in vanish)
        if len(stay) < max(self.t, self.params.floor) or Round.CERTIFY_INPUTS in vanish.values():
            return ANY
        early = (Round.HELLO, Round.SHARE, Round.READY, Round.EXPLICIT)
        return frozenset(party for party in self.parties if vanish.get(party) not in early)

    def hold(
        self,
        vanish: Mapping[int, Round] | None = None,
        *,
        tap: Tap | None = None,
        machines: Mapping[PartyId, Machine] | None = None,
    ) -> "Held":
        gone = {PartyId(party): round_ for party, round_ in (vanish or {}).items()}
        all_ = dict(machines or self.peers())
        exchange = Exchange(all_, CODEC, vanish=gone, tap=tap)
        exchange.run()
        return Held(self, all_, exchange)


@dataclass
class Held:
    """A session that has been held. `machines` are all, lost ones too; `left` those that were there to the end."""

    room: MeshRoom
    machines: dict[PartyId, Any]
    exchange: Exchange

    @property
    def left(self) -> dict[PartyId, Any]:
        return {party: self.machines[party] for party in self.exchange.machines}

    def aggregates(self) -> dict[PartyId, Aggregate]:
        return {
            party: peer.outcome.aggregate for party, peer in self.left.items() if isinstance(peer.outcome, Finished)
        }

    def require_exact(self, *included: int) -> None:
        """Everybody who is left has the exact sum over exactly these."""
        aggregates = self.aggregates()
        assert aggregates.keys() == self.left.keys()
        for aggregate in aggregates.values():
            assert aggregate.included == set(included)
            assert np.array_equal(aggregate.vector, self.room.plain_sum(aggregate.included))

    def require_no_result(self) -> None:
        assert all(isinstance(peer.outcome, Aborted) for peer in self.left.values())

    def require_exact_or_none(self) -> None:
        """Those who have a sum have the same one, exact; the others know that they have none."""
        aggregates = self.aggregates()
        for party, peer in self.left.items():
            assert party in aggregates or isinstance(peer.outcome, Aborted)
        for aggregate in aggregates.values():
            assert np.array_equal(aggregate.vector, self.room.plain_sum(aggregate.included))
        assert len({aggregate.included for aggregate in aggregates.values()}) <= 1
