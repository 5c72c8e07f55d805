"""Sessions of an epoch, as a driver sees them: those of secagg with `rounds_per_epoch` above one."""

from typing import Final

from protocols.epoch.client import Client
from protocols.epoch.messages import CODEC, RoundStart
from protocols.epoch.server import Server
from protocols.family import Family
from protocols.messages import MaskedInput, Round
from protocols.secagg.family import SECAGG
from protocols.session import Variant

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
)
