"""Writes `mesh.json` beside this file: `python tests/vectors/regenerate_mesh.py`. Seeded: nothing changes unless we do.

One session of the mesh, every call in order; those with `"success": false` must fail with the named error and change
nothing. `test_mesh_vectors.py` replays them, from the file alone. The form is that of the other sessions.
"""

import json
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))  # for `mesh_room`

from mesh_room import MeshRoom

from protocols.errors import DropReason, PartyId, PeerMisbehaved, ProtocolError
from protocols.machine import Envelope, Finished
from protocols.mesh.messages import CODEC, PartialSum

WITNESS = PartyId(1)  # whose arriving messages are also shown spoiled
LOST = PartyId(2)  # before its partial sum leaves

Operation = dict[str, Any]


class Recording:
    """A seeded stream that notes what was drawn from it."""

    seeded = True

    def __init__(self, stream: Any) -> None:
        self._stream, self.drawn = stream, b""

    def bytes(self, count: int) -> bytes:
        fresh: bytes = self._stream.bytes(count)
        self.drawn += fresh
        return fresh


class Scribe:
    """Holds the session and writes down every call, with what came of it.

    codec, what, loses: the protocol's own, here the mesh's. witnesses: to whom what arrives is also shown spoiled.
    """

    codec = CODEC
    what = "one session of the mesh: every message, who -> whom, and what is refused on the way"
    loses: type[Any] = PartialSum  # LOST is gone when it would say this
    witnesses: tuple[PartyId, ...] = (WITNESS,)

    def __init__(self) -> None:
        self._room = MeshRoom(clients=4, length=3, seed=b"vectors: mesh")
        self._streams = {me: Recording(self._room.rand.child(f"peer {me}")) for me in self._room.parties}
        self._peers = {me: self._room.peer(me, self._streams[me]) for me in self._room.parties}
        self._there = set(self._peers)
        self._messages: list[Operation] = []
        self._operations: list[Operation] = []
        self._under_way: deque[tuple[PartyId, PartyId, int]] = deque()

    def write(self) -> dict[str, Any]:
        for me, peer in self._peers.items():
            self._note({"do": "start", "who": me}, me, peer.start())
        while self._under_way:
            self._deliver(*self._under_way.popleft())
        return self._document()

    def _document(self) -> dict[str, Any]:
        room, subject = self._room, self._room.params.subject
        return {
            "what": self.what,
            "session": {
                "protocol": room.params.protocol, "wire": room.params.wire, "variant": room.params.variant.value,
                "length": room.length, "modulus": room.field.modulus, "nonce": room.params.nonce.hex(),
                "colluding": room.params.colluding, "threshold": room.params.threshold, "cohort": room.params.cohort,
                "consortium": subject.consortium.hex(), "version": subject.version, "model": subject.model.hex(),
                "config": subject.config.hex(), "last_record": subject.last_record.hex(),
                "coordinator": subject.coordinator.hex(), "digest": room.params.digest.hex(),
            },
            "parties": [
                {
                    "party": me, "identity": room.identities[me].raw.hex(), "input": room.inputs[me].tolist(),
                    "randomness": self._streams[me].drawn.hex(),
                }
                for me in room.parties
            ],
            "messages": self._messages,
            "operations": self._operations,
            "outcomes": [self._outcome(me) for me in room.parties],
        }  # fmt: skip

    def _outcome(self, me: PartyId) -> Operation:
        outcome = self._peers[me].outcome
        if not isinstance(outcome, Finished):
            return {"who": me, "running": True}
        aggregate = outcome.aggregate
        return {"who": me, "included": sorted(aggregate.included), "sum": aggregate.vector.tolist()}

    def _deliver(self, sender: PartyId, recipient: PartyId, place: int) -> None:
        if recipient not in self._there:
            return
        message = self.codec.decode(bytes.fromhex(self._messages[place]["bytes"]))
        if recipient in self.witnesses:
            self._refuse(recipient, sender, message)
        operation = {"do": "receive", "who": recipient, "from": sender, "message": place}
        self._note(operation, recipient, self._peers[recipient].receive(sender, message))

    def _note(self, operation: Operation, who: PartyId, says: list[Envelope]) -> None:
        if who == LOST and any(isinstance(envelope.message, self.loses) for envelope in says):
            self._operations.append(operation | {"says": "lost"})
            self._lose()
            return
        first = len(self._messages)
        for place, envelope in enumerate(says, start=first):
            name, data = type(envelope.message).__name__, self.codec.encode(envelope.message).hex()
            self._messages.append({"from": who, "to": list(envelope.recipients), "class": name, "bytes": data})
            self._under_way.extend((who, recipient, place) for recipient in envelope.recipients)
        self._operations.append(operation | {"says": list(range(first, len(self._messages)))})

    def _lose(self) -> None:
        self._there.remove(LOST)
        for me in sorted(self._there):
            says = self._peers[me].drop(LOST, DropReason.VANISHED)
            self._note({"do": "drop", "who": me, "party": LOST, "reason": DropReason.VANISHED.value}, me, says)

    def _refuse(self, who: PartyId, sender: PartyId, message: Any) -> None:
        good = self.codec.encode(message)
        self._show(who, sender, "a byte left over", good + b"\0")
        self._show(who, sender, "of another version", good[:1] + b"\2" + good[2:])
        if hasattr(message, "signature"):
            self._show(who, sender, "another signature", self.codec.encode(replace(message, signature=bytes(64))))
        if hasattr(message, "under"):
            self._show(who, sender, "bound to something else", self.codec.encode(replace(message, under=bytes(32))))

    def _show(self, who: PartyId, sender: PartyId, note: str, data: bytes) -> None:
        """Written down where it is refused; a message that comes too late to be read is not."""
        peer = self._peers[who]
        before = peer.snapshot()
        try:
            peer.receive(sender, self.codec.decode(data))
        except ProtocolError as exc:
            reason = exc.reason.value if isinstance(exc, PeerMisbehaved) else None
            said = {"do": "receive", "who": who, "from": sender, "note": note, "bytes": data.hex()}
            self._operations.append(said | {"success": False, "error": type(exc).__name__, "reason": reason})
        assert peer.snapshot() == before


def text(document: dict[str, Any]) -> str:
    """JSON with one operation, message or party a line."""
    parts = []
    for key, value in document.items():
        if isinstance(value, list):
            rows = ",\n".join(f"  {json.dumps(row)}" for row in value)
            parts.append(f" {json.dumps(key)}: [\n{rows}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def generate() -> dict[str, str]:
    """File name -> content."""
    return {"mesh.json": text(Scribe().write())}


if __name__ == "__main__":
    for name, written in generate().items():
        (Path(__file__).parent / name).write_text(written)
