"""Writes the vector of an accountable session: `python tests/vectors/regenerate_accountable.py`. As `regenerate.py`."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "protocols"))  # for `conversation`

from conversation import Room
from regenerate import Scribe, Spoiled
from writing import but_the_first, text

from mpc.field import PrimeField
from protocols.errors import PartyId
from protocols.messages import DeliverShares, FallbackShares, MaskedInput, Round, ShareKeys, UnmaskShares, Voucher

HERE = Path(__file__).parent


def generate() -> dict[str, str]:
    """File name -> its text. As the active session, with vouchers and signed reveals; only what concerns these is
    shown spoiled.
    """
    room = Room(length=2, field=PrimeField.with_bits(26), seed=b"vectors: accountable", accountable=True)
    vanish = {room.parties[-1]: Round.MASKED_INPUT, room.parties[0]: Round.UNMASK}
    return {"secagg_accountable.json": text(AccountableScribe(room, vanish).write())}


class AccountableScribe(Scribe):
    def _refuse(self, who: PartyId, sender: PartyId, message: Any) -> None:
        for note, spoiled in self.spoil(message):
            self._show(who, sender, note, self.codec.encode(spoiled))

    def spoil(self, message: Any) -> Iterator[Spoiled]:
        match message:
            case MaskedInput():
                yield "cut", replace(message, masked=message.masked[:-1])
            case ShareKeys(digests=digests):
                yield "digests missing", replace(message, digests=digests[:-64])
                yield "digests of others", replace(message, digests=digests[64:] + digests[:64])
            case DeliverShares(vouchers=vouchers):
                (first, voucher), *_ = vouchers.items()
                yield "a voucher missing", replace(message, vouchers=but_the_first(vouchers))
                for note, spoiled in _spoil_voucher(voucher):
                    yield note, replace(message, vouchers={**vouchers, first: spoiled})
            case UnmaskShares() | FallbackShares():
                yield "no signature", replace(message, signature=b"")
                yield "another signature", replace(message, signature=bytes(64))


def _spoil_voucher(voucher: Voucher) -> Iterator[tuple[str, Voucher]]:
    yield "vouched for by nobody", replace(voucher, signature=bytes(64))
    yield "for other shares", replace(voucher, digests=bytes(64))
    yield "at another place", replace(voucher, place=voucher.place + 1)
    yield "a path too short", replace(voucher, path=voucher.path[:-32])


if __name__ == "__main__":
    for name, document in generate().items():
        (HERE / name).write_text(document)
