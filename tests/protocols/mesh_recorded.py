"""One seeded session of the mesh, kept at every point of it, so that any state can be shown any message.

Five peers, t = 3, no sum over fewer than three. LOST gives its explicit share and no partial sum, so that its column is
opened. ME is the peer that the tables are about; it does not propose. PROPOSER, the lowest, does.
"""

from collections import deque
from dataclasses import replace
from functools import cache
from typing import Any

from mesh_room import MeshRoom

from protocols.errors import DropReason, PartyId
from protocols.ledger import Ledger
from protocols.machine import Envelope
from protocols.mesh import Peer, bindings
from protocols.mesh.messages import Message, Round
from protocols.mesh.states import State

PROPOSER, ME, PEER, LOST, STRANGER = PartyId(0), PartyId(2), PartyId(3), PartyId(4), PartyId(9)

Arrival = tuple[PartyId, Any]


def state_of(peer: Peer) -> State:
    return peer._now.state


class Recorded:
    """entered, kept: state class -> ME's first and its last snapshot in it, with its ledger then.

    heard: every message to ME, with its sender. said: what ME answered.
    """

    def __init__(self, **room: Any) -> None:
        self.room = MeshRoom(**({"clients": 5, "length": 3} | room))
        self.entered: dict[type, tuple[bytes, Ledger]] = {}
        self.kept: dict[type, tuple[bytes, Ledger]] = {}
        self.heard: list[Arrival] = []
        self.said: list[Envelope] = []
        self.peers = self.room.peers()
        self._under_way: deque[tuple[PartyId, PartyId, Message]] = deque()
        self._hold()

    def _hold(self) -> None:
        for me, peer in self.peers.items():
            self._keep(me)
            self._post(me, peer.start())
        while self._under_way:
            sender, recipient, message = self._under_way.popleft()
            if recipient in self.peers:
                self._keep(recipient)
                if recipient == ME:
                    self.heard.append((sender, message))
                self._post(recipient, self.peers[recipient].receive(sender, message))
        self._keep(ME)

    def _keep(self, party: PartyId) -> None:
        if party == ME:
            me = self.peers[ME]
            now = me.snapshot(), me.ledger
            self.entered.setdefault(type(state_of(me)), now)
            self.kept[type(state_of(me))] = now

    def _post(self, sender: PartyId, envelopes: list[Envelope]) -> None:
        for envelope in envelopes:
            if sender == LOST and envelope.message.round is Round.PARTIAL:
                del self.peers[LOST]
                for other in list(self.peers):
                    self._post(other, self.peers[other].drop(LOST, DropReason.VANISHED))
                return
            if sender == ME:
                self.said.append(envelope)
            self._under_way.extend((sender, recipient, envelope.message) for recipient in envelope.recipients)

    def peer(self, state: type, *, entered: bool = False) -> Peer:
        """ME as it stood just before it left `state`, or when it entered it."""
        snapshot, ledger = (self.entered if entered else self.kept)[state]
        rand = self.room.rand.child("taken up again")
        return Peer.restore(snapshot, identity=self.room.identities[ME], rand=rand, ledger=ledger)

    def message(self, kind: type, sender: PartyId | None = None) -> Any:
        """The first of this class that ME heard (from the sender), or said."""
        for other, message in self.heard:
            if isinstance(message, kind) and other == (other if sender is None else sender):
                return message
        return next(envelope.message for envelope in self.said if isinstance(envelope.message, kind))

    def signed(self, by: int, message: Any, **changes: Any) -> Any:
        """The message with these changes, signed again by this party."""
        return bindings.sign(self.room.identities[PartyId(by)], self.room.params.digest, replace(message, **changes))


@cache
def recorded() -> Recorded:
    """The session of the tables, held once."""
    return Recorded()
