"""lightsecagg, as a driver sees it."""

from collections.abc import Mapping
from typing import Final

from protocols.family import Family
from protocols.lightsecagg.client import Client
from protocols.lightsecagg.messages import CODEC, AggregatedPiece, Dealers, MaskedInput, Piece, Round
from protocols.lightsecagg.numbers import PROTOCOL, numbers
from protocols.lightsecagg.server import Server
from protocols.lightsecagg.testimony import testimony
from protocols.session import SessionParams, Variant


def _stages(variant: Variant) -> tuple[Round, ...]:
    skipped = (Round.DONE,) if variant is Variant.ACTIVE else (Round.CONFIRM, Round.DONE)
    return tuple(stage for stage in Round if stage not in skipped)


def _numbers(params: SessionParams, parties: int) -> Mapping[str, int]:
    agreed = numbers(params, parties)
    return {"T": agreed.privacy, "U": agreed.decode, "q": agreed.quorum}


LIGHTSECAGG: Final = Family(
    name=PROTOCOL,
    codec=CODEC,
    rounds=Round,
    stages=_stages,
    input_stage=Round.MASKED_INPUT,
    uploads=(Piece, MaskedInput, AggregatedPiece),
    held_back=Dealers,  # the pieces of a mask go out while the input is still trained
    contributor=Client,
    restore=Client.restore,
    collector=Server,
    restore_collector=Server.restore,
    numbers=_numbers,
    testimony=testimony,
)
