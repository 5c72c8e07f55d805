"""A network without manners: frames arrive late, twice, in any order and with flipped bits. Who sent one is known."""

from random import Random
from typing import Any

from conversation import Room
from watch import Watch

from protocols.errors import SERVER, AbortReason, LocalProtocolError, PartyId, PeerMisbehaved, WireError
from protocols.machine import Envelope
from protocols.messages import CODEC
from protocols.wire import Codec

Frame = tuple[PartyId, PartyId, bytes]


def flipped(data: bytes, codec: Codec, chance: Random) -> bytes | None:
    """With one bit changed; None where that is no message any more."""
    at, bit = chance.randrange(len(data)), chance.randrange(8)
    changed = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
    try:
        codec.decode(changed)
    except WireError:
        return None
    return changed


class Disorder:
    """The room's machines and every frame that they sent. `chance` decides; a refusal must leave no trace."""

    codec: Codec = CODEC

    def __init__(self, room: Room, chance: Random, *, flips: bool) -> None:
        self.machines = room.machines()
        self.server: Any = self.machines[SERVER]
        self.watch = Watch()
        self.changed = False  # whether a frame with a flipped bit was believed
        self._chance = chance
        self._flips = flips
        self._waiting: list[Frame] = []
        for party, machine in self.machines.items():
            self._post(party, machine.start())

    def run(self, steps: int) -> None:
        """So many steps of disorder, then what still waits, in order, until the server is done."""
        for _ in range(steps):
            self._step()
        while self.server.outcome is None:
            while self._waiting:
                self._deliver(*self._waiting.pop(0))
            if self.server.can_close:
                self._post(SERVER, self.server.close_round())
            elif self.server.outcome is None:
                self._post(SERVER, self.server.abort(AbortReason.TOO_FEW))
        while self._waiting:
            self._deliver(*self._waiting.pop(0))

    def _step(self) -> None:
        kind = self._chance.randrange(16)
        if kind == 0 and self.server.can_close:
            self._post(SERVER, self.server.close_round())
        elif kind == 1 and self._flips:
            self._deliver_changed(*self._chance.choice(self.watch.frames))
        elif kind in (2, 3):
            self._deliver(*self._chance.choice(self.watch.frames))  # again, or before its turn
        elif self._waiting:
            self._deliver(*self._waiting.pop(self._chance.randrange(len(self._waiting))))
        elif self.server.can_close:
            self._post(SERVER, self.server.close_round())

    def _deliver(self, sender: PartyId, recipient: PartyId, data: bytes) -> bool:
        """Whether it was taken."""
        machine = self.machines[recipient]
        before = machine.snapshot()
        try:
            envelopes = machine.receive(sender, self.codec.decode(data))
        except PeerMisbehaved as exc:
            assert machine.snapshot() == before
            if self._chance.randrange(16) == 0:
                self._post(recipient, machine.drop(exc.sender, exc.reason))
            return False
        except LocalProtocolError:
            assert machine.snapshot() == before
            return False
        self._post(recipient, envelopes)
        return True

    def _deliver_changed(self, sender: PartyId, recipient: PartyId, data: bytes) -> None:
        if (changed := flipped(data, self.codec, self._chance)) is not None:
            self.changed |= self._deliver(sender, recipient, changed)

    def _post(self, sender: PartyId, envelopes: list[Envelope]) -> None:
        for envelope in envelopes:
            data = self.codec.encode(envelope.message)
            for recipient in envelope.recipients:
                self.watch(sender, recipient, data)
                self._waiting.append((sender, recipient, data))
