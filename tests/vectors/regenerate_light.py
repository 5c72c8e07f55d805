"""Writes `lightsecagg.json` beside this file: `python tests/vectors/regenerate_light.py`. Seeded, as the others.

One session, every call in order; those with `"success": false` must fail with the named error and change nothing.
`test_light_vectors.py` replays them, from the file alone. The form is that of `regenerate.py`, whose scribe it uses.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))  # for `light_room`
sys.path.insert(0, str(Path(__file__).parent))  # for `regenerate`

from light_room import LightRoom
from regenerate import WITNESS, Scribe, Spoiled
from writing import Document, text

from mpc.field import PrimeField
from protocols.errors import PartyId
from protocols.lightsecagg import Client
from protocols.lightsecagg.messages import (
    CODEC,
    AdvertiseKey,
    AggregatedPiece,
    AggregateRequest,
    Confirm,
    Dealers,
    Dealt,
    Invitation,
    MaskedInput,
    Piece,
    Relayed,
    Result,
    Roster,
    Round,
    Survivors,
)


class LightScribe(Scribe):
    codec = CODEC
    client_of = Client

    def spoil(self, message: Any) -> Iterator[Spoiled]:
        if hasattr(message, "signature"):
            yield "another signature", replace(message, signature=bytes(64))
            yield "no signature", replace(message, signature=b"")
        yield from _spoil_of_server(message)
        yield from _spoil_of_client(message)

    def out_of_place(self, message: Any) -> Any:
        """A small message that nobody waits for where `message` fits."""
        return Confirm(b"") if not isinstance(message, Confirm) else AggregateRequest({})


def _spoil_of_server(message: Any) -> Iterator[Spoiled]:
    match message:
        case Invitation(params):
            yield "another vector", Invitation(replace(params, spec=replace(params.spec, length=5)))
            yield "fewer colluders than our terms ask for", Invitation(replace(params, colluding=0))
            yield "another protocol", Invitation(replace(params, protocol="secagg"))
        case Roster(entries):
            yield "without our entry", replace(message, entries=entries[:1] + entries[2:])
            yield "out of order", replace(message, entries=entries[::-1])
        case Relayed():
            yield "of ourselves", replace(message, dealer=WITNESS)
            yield "of a stranger", replace(message, dealer=PartyId(9))
            yield "too short", replace(message, sealed=message.sealed[:-1])
        case Dealers(u2):
            yield "without us", replace(message, u2=u2 - {WITNESS})
            yield "too few", replace(message, u2=frozenset({PartyId(0), WITNESS, PartyId(2)}))
        case Survivors(u3):
            yield "another U3 than was signed", replace(message, u3=u3 | {PartyId(9)})
        case AggregateRequest(confirmations):
            yield "too few confirmations", AggregateRequest(dict(list(confirmations.items())[:3]))
            yield "one of another", AggregateRequest({**confirmations, PartyId(0): confirmations[WITNESS]})
            yield "from outside U3", AggregateRequest({**confirmations, PartyId(4): bytes(64)})
        case Result(included=included, vector=vector):
            yield "another sum", replace(message, vector=vector[:-1])
            yield "over more", replace(message, included=included | {PartyId(4)})


def _spoil_of_client(message: Any) -> Iterator[Spoiled]:
    match message:
        case AdvertiseKey():
            yield "in another party's name", replace(message, client=PartyId(2))
            yield "a key of low order", replace(message, channel_key=bytes(32))
        case Piece():
            yield "for ourselves", replace(message, recipient=WITNESS)
            yield "too long", replace(message, sealed=message.sealed + b"\0")
        case Dealt(hashes=hashes):
            yield "other pieces than came", replace(message, hashes=dict.fromkeys(hashes, bytes(32)))
            yield "one less", replace(message, hashes=dict(list(hashes.items())[1:]))
        case MaskedInput(masked):
            yield "too short", MaskedInput(masked[:-1])
            yield "outside the field", MaskedInput(b"\xff" * len(masked))
        case AggregatedPiece(piece):
            yield "too short", AggregatedPiece(piece[:-1])
            yield "outside the field", AggregatedPiece(b"\xff" * len(piece))


def session() -> Document:
    """T = 1, U = 3: party 4 is lost before it masks, and party 0 before it answers."""
    room = LightRoom(
        clients=5, colluding=1, losses=2, length=4, field=PrimeField.with_bits(26), seed=b"vectors: lightsecagg"
    )
    document = LightScribe(room, {PartyId(4): Round.MASKED_INPUT, PartyId(0): Round.AGGREGATE}).write()
    document["session"]["losses"] = room.losses
    return document


def generate() -> dict[str, str]:
    """File name -> its text."""
    return {"lightsecagg.json": text(session())}


if __name__ == "__main__":
    for name, text in generate().items():
        (Path(__file__).parent / name).write_text(text)
