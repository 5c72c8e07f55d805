"""Writes `committee.json` beside this file: `python tests/vectors/regenerate_committee.py`. Seeded.

One session of a committee of four that also contribute, the server (-1) among the machines; the last is lost before its
sum leaves. In the form of the mesh's, and by the same scribe.
"""

import sys
from collections import deque
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))  # for `committee_room`
sys.path.insert(0, str(Path(__file__).parent))  # for `regenerate_mesh`

from committee_room import CommitteeRoom
from regenerate_mesh import LOST, WITNESS, Operation, Recording, Scribe, text

from protocols.committee.messages import CODEC, SumShare
from protocols.errors import SERVER, DropReason, PartyId


class CommitteeScribe(Scribe):
    codec = CODEC
    what = "one session of a committee: every message, who -> whom, and what is refused on the way"
    loses = SumShare
    witnesses = (WITNESS, SERVER)

    def __init__(self) -> None:
        self._room = room = CommitteeRoom(clients=4, colluding=1, length=3, seed=b"vectors: committee")
        self._streams = {me: Recording(room.rand.child(f"member {me}")) for me in room.parties}
        members = {me: room.member(me, self._streams[me]) for me in room.parties}
        self._peers: dict[PartyId, Any] = {SERVER: room.server()} | members
        self._there = set(self._peers)
        self._messages: list[Operation] = []
        self._operations: list[Operation] = []
        self._under_way = deque()

    def write(self) -> dict[str, Any]:
        server = self._peers[SERVER]
        self._note({"do": "start", "who": SERVER}, SERVER, server.start())
        while server.outcome is None:
            self._deliver_all()
            self._note({"do": "close", "who": SERVER}, SERVER, server.close_round())
        self._deliver_all()
        document = self._document()
        document["session"] |= {
            "losses": self._room.losses,
            "coordinator_identity": self._room.identities[SERVER].raw.hex(),
        }
        return document

    def _deliver_all(self) -> None:
        while self._under_way:
            self._deliver(*self._under_way.popleft())

    def _lose(self) -> None:
        self._there.remove(LOST)
        reason = DropReason.VANISHED
        says = self._peers[SERVER].drop(LOST, reason)
        self._note({"do": "drop", "who": SERVER, "party": LOST, "reason": reason.value}, SERVER, says)


def generate() -> dict[str, str]:
    """File name -> content."""
    return {"committee.json": text(CommitteeScribe().write())}


if __name__ == "__main__":
    for name, written in generate().items():
        (Path(__file__).parent / name).write_text(written)
