"""A network without manners between peers: frames late, twice, in any order, and crashes amid a broadcast."""

from random import Random
from typing import Any

from disorder import flipped
from mesh_room import Held, MeshRoom

from protocols.errors import AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.exchange import Exchange
from protocols.machine import Envelope
from protocols.mesh.messages import CODEC

Frame = tuple[PartyId, PartyId, bytes]


class MeshDisorder:
    """Every frame that is under way, and every loss that a peer has not noticed yet. A refusal must leave no trace."""

    def __init__(self, room: MeshRoom, chance: Random, *, crashes: int, flips: bool = False) -> None:
        self.room, self._chance, self._flips = room, chance, flips
        self.machines: dict[PartyId, Any] = dict(room.peers())
        self.there = dict(self.machines)
        self.sent: list[Frame] = []
        self.changed = False  # whether a frame with a flipped bit was taken
        self._crashes = crashes
        self._waiting: list[Frame] = []
        self._unnoticed: list[tuple[PartyId, PartyId]] = []  # (who notices, who is gone)
        for party, machine in self.machines.items():
            self._post(party, machine.start())

    def run(self) -> Held:
        """Until nothing moves any more; then whoever has no result gives up, as its driver would at the deadline."""
        while self._step():
            pass
        for machine in self.there.values():
            machine.abort(AbortReason.TOO_FEW)
        return Held(self.room, self.machines, Exchange(self.there, CODEC))

    def _step(self) -> bool:
        if self._crashes and self._chance.randrange(40) == 0:
            self._crash(self._chance.choice(sorted(self.there)))
        kind = self._chance.randrange(12)
        if kind == 0 and self.sent:
            self._deliver(*self._chance.choice(self.sent))  # again
        elif kind == 1 and self._flips and self.sent:
            self._deliver_changed(*self._chance.choice(self.sent))
        elif kind == 2 and self._unnoticed:
            self._notice()
        elif self._waiting:
            self._deliver(*self._waiting.pop(self._chance.randrange(len(self._waiting))))
        elif self._unnoticed:
            self._notice()
        else:
            return self._close_some()
        return True

    def _close_some(self) -> bool:
        able = [party for party, machine in self.there.items() if machine.outcome is None and machine.can_close]
        for party in able:
            self._post(party, self.there[party].close_round())
        return bool(able)

    def _crash(self, party: PartyId) -> None:
        """What it sent and has not arrived is lost, or some of it; the others notice sooner or later."""
        self._crashes -= 1
        del self.there[party]
        self._waiting = [one for one in self._waiting if one[0] != party or self._chance.randrange(2)]
        self._unnoticed += [(other, party) for other in self.there]

    def _notice(self) -> None:
        who, gone = self._unnoticed.pop(self._chance.randrange(len(self._unnoticed)))
        if who in self.there:
            self._post(who, self.there[who].drop(gone, DropReason.VANISHED))

    def _deliver(self, sender: PartyId, recipient: PartyId, data: bytes) -> bool:
        """Whether it was taken."""
        if recipient not in self.there:
            return False
        machine = self.there[recipient]
        before = machine.snapshot()
        try:
            envelopes = machine.receive(sender, CODEC.decode(data))
        except (PeerMisbehaved, LocalProtocolError):
            assert machine.snapshot() == before
            return False
        self._post(recipient, envelopes)
        return True

    def _deliver_changed(self, sender: PartyId, recipient: PartyId, data: bytes) -> None:
        if (changed := flipped(data, CODEC, self._chance)) is not None:
            self.changed |= self._deliver(sender, recipient, changed)

    def _post(self, sender: PartyId, envelopes: list[Envelope]) -> None:
        for envelope in envelopes:
            data = CODEC.encode(envelope.message)
            for recipient in envelope.recipients:
                self.sent.append((sender, recipient, data))
                self._waiting.append((sender, recipient, data))
