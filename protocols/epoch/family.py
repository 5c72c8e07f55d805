"""Sessions of an epoch, as a driver sees them: those of secagg with `rounds_per_epoch` above one."""

from collections.abc import Mapping
from typing import Final

from protocols.epoch.client import Client
from protocols.epoch.messages import CODEC, RoundStart
from protocols.epoch.server import Server, most_rounds
from protocols.epoch.testimony import testimony
from protocols.family import Family, threshold_alone
from protocols.messages import MaskedInput, Round
from protocols.secagg.family import SECAGG
from protocols.session import SessionParams, Variant


def _numbers(params: SessionParams, parties: int) -> Mapping[str, int]:
    if params.rounds_per_epoch > (most := most_rounds(parties)):
        raise ValueError(f"so many share the keys of at most {most} rounds at once: agree on fewer rounds an epoch")
    return threshold_alone(params, parties)


EPOCHS: Final = Family(
    name=SECAGG.name,
    codec=CODEC,
    rounds=Round,
    stages=SECAGG.stages,
    input_stage=Round.MASKED_INPUT,
    uploads=(MaskedInput,),
    held_back=RoundStart,
    contributor=Client,
    restore=Client.restore,
    collector=Server,
    epoch_collector=Server,
    restore_collector=Server.restore,
    variants=(Variant.ACTIVE,),
    numbers=_numbers,
    testimony=testimony,
)
