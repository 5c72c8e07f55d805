"""Writes `secagg_plus.json` beside this file: `python tests/vectors/regenerate_plus.py`. As `regenerate.py`, whose
scribe holds the session: six parties over a sparse graph, one of them lost before it masks.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1]), str(HERE.parent / "protocols")]

from plus_room import PlusRoom  # noqa: E402
from regenerate import WITNESS, Scribe, Spoiled  # noqa: E402
from writing import but_the_first, text  # noqa: E402

from mpc.field import PrimeField  # noqa: E402
from protocols.errors import PartyId  # noqa: E402
from protocols.messages import (  # noqa: E402
    AdvertiseKeys,
    Confirm,
    DeliverShares,
    Invitation,
    Result,
    ShareKeys,
    UnmaskRequest,
    UnmaskShares,
)
from protocols.secagg_plus import Client  # noqa: E402
from protocols.secagg_plus.messages import (  # noqa: E402
    CODEC,
    ChooseHolders,
    MaskedInput,
    Neighbours,
    Roster,
    Round,
    Survivors,
)


class SparseScribe(Scribe):
    codec = CODEC

    def _client(self, me: PartyId) -> Client:
        client: Client = self._room.client(me, self._streams[me])
        return client

    def write(self) -> dict[str, Any]:
        document = super().write()
        document["session"]["losses"] = self._room.params.losses
        return document

    def _refuse(self, who: PartyId, sender: PartyId, message: Any) -> None:
        """On the wire in one way only: the codec is that of `regenerate.py`, and the messages are larger."""
        self._show(who, sender, "cut", CODEC.encode(message)[:-1])
        self._show(who, sender, "a message of another round", CODEC.encode(self.out_of_place(message)))
        for note, spoiled in self.spoil(message):
            self._show(who, sender, note, CODEC.encode(spoiled))

    def spoil(self, message: Any) -> Iterator[Spoiled]:
        if getattr(message, "signature", b""):
            yield "another signature", replace(message, signature=bytes(64))
            yield "no signature", replace(message, signature=b"")
        yield from spoil(message)

    def out_of_place(self, message: Any) -> Any:
        return ChooseHolders(()) if not isinstance(message, ChooseHolders) else Confirm(b"")


def spoil(message: Any) -> Iterator[Spoiled]:
    """What is wrong -> the message with only that wrong. Nothing is signed again."""
    match message:
        case Invitation(params):
            yield "another vector", Invitation(replace(params, spec=replace(params.spec, length=5)))
        case AdvertiseKeys():
            yield "one key twice", replace(message, mask_key=message.channel_key)
        case Roster(u1=u1):
            yield "another U1", replace(message, u1=u1 - {PartyId(0)})
            yield "another root", replace(message, root=bytes(32))
        case ChooseHolders(holders):
            yield "a holder too few", ChooseHolders(holders[:-1])
            yield "itself", ChooseHolders(tuple(sorted({*holders[:-1], WITNESS})))
        case Neighbours(owners, entries):
            yield "owners out of order", Neighbours(owners[::-1], entries)
            yield "a peer missing", Neighbours(owners, entries[:-1])
            yield "another path", Neighbours(owners, (*entries[:-1], replace(entries[-1], path=entries[0].path)))
        case ShareKeys(bundles=bundles) | DeliverShares(bundles=bundles):
            yield "a bundle missing", replace(message, bundles=but_the_first(bundles))
        case MaskedInput(signature, masked):
            yield "another input than was signed", MaskedInput(signature, bytes(len(masked)))
        case Survivors(u3=u3, inputs=inputs):
            yield "another U3 than was signed", replace(message, u3=u3 - {max(u3)})
            yield "an input missing", replace(message, inputs=but_the_first(inputs))
        case UnmaskRequest(confirmations):
            yield "too few confirmations", UnmaskRequest(dict(list(confirmations.items())[:2]))
            yield "our own", UnmaskRequest({**confirmations, WITNESS: bytes(64)})
        case UnmaskShares(reveals):
            yield "a reveal missing", UnmaskShares(but_the_first(reveals))
        case Result(included=included):
            yield "over fewer", replace(message, included=included - {max(included)})


def generate() -> dict[str, str]:
    """File name -> content."""
    room = PlusRoom(
        clients=6, colluding=1, losses=1, length=2, field=PrimeField.with_bits(26), seed=b"vectors: secagg+"
    )
    return {"secagg_plus.json": text(SparseScribe(room, {PartyId(5): Round.MASKED_INPUT}).write())}


if __name__ == "__main__":
    for name, content in generate().items():
        (HERE / name).write_text(content)
