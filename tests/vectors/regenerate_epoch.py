"""Writes `epoch.json` beside this file: `python tests/vectors/regenerate_epoch.py`. Seeded, as the others.

An epoch of two rounds, held in two sessions; each has the form of a single session's vector, and the second goes on
from the first. `test_epoch_vectors.py` replays them, from the file alone.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))  # for `epoch_room`

from epoch_room import EpochRoom
from regenerate import WITNESS, Scribe, Spoiled
from writing import Document, text

from protocols.epoch.messages import CODEC, AdvertiseKeys, Roster, RoundStart, ShareKeys
from protocols.errors import SERVER, PartyId
from protocols.messages import Round

OWN = (AdvertiseKeys, Roster, ShareKeys, RoundStart)


class EpochScribe(Scribe):
    """Holds the room's next session."""

    codec = CODEC

    def _make_server(self) -> Any:
        return self._room.epoch_server()

    def _client(self, me: PartyId) -> Any:
        return self._room.epoch_client(me, rand=self._streams[me])

    def _refuse(self, who: PartyId, sender: PartyId, message: Any) -> None:
        """What an epoch alone says; how the rest is refused stands in the vectors of single sessions."""
        if isinstance(message, OWN):
            super()._refuse(who, sender, message)

    def spoil(self, message: Any) -> Iterator[Spoiled]:
        match message:
            case AdvertiseKeys():
                yield "not signed so", replace(message, mask_keys=message.mask_keys[::-1])
                yield "one round less", replace(message, mask_keys=message.mask_keys[:1])
            case Roster(entries):
                yield "another signature", replace(message, signature=bytes(64))
                yield "without our entry", replace(message, entries=entries[:1] + entries[2:])
            case ShareKeys():
                yield "one commitment less", replace(message, commitments=message.commitments[:1])
                yield "another signature", replace(message, signature=bytes(64))
            case RoundStart():
                yield "another signature", replace(message, signature=bytes(64))
                yield "of another round", replace(message, number=message.number + 1)
                yield "of a round before", replace(message, number=message.number - 1)
                yield "over others than were signed", replace(message, u2=message.u2 - {PartyId(0)})
                yield "without us", replace(message, u2=message.u2 - {WITNESS})

    def write(self) -> Document:
        written = super().write()
        written["session"]["rounds_per_epoch"] = self._room.rounds
        machines = {SERVER: self._server, **self._clients}
        self._room.server_epoch = self._server.epoch
        for me in self._room.parties:
            self._room.epochs[me], self._room.ledgers[me] = machines[me].epoch, machines[me].ledger
        return written


def generate() -> dict[str, str]:
    """File name -> its text."""
    room = EpochRoom(clients=5, length=2, rounds=2, seed=b"vectors: epoch")
    sessions = []
    for vanish in ({}, {room.parties[-1]: Round.MASKED_INPUT, room.parties[0]: Round.UNMASK}):
        room.next_step()
        sessions.append(EpochScribe(room, vanish).write())
    rows = ",\n".join(text(session) for session in sessions)
    what = "an epoch of two rounds in two sessions; the second goes on from the first"
    return {"epoch.json": f'{{"what": {json.dumps(what)}, "sessions": [\n{rows}]}}\n'}


if __name__ == "__main__":
    for name, text in generate().items():
        (Path(__file__).parent / name).write_text(text)
