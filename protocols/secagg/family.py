"""secagg, as a driver sees it."""

from typing import Final

from protocols.family import Family
from protocols.messages import CODEC, DeliverShares, MaskedInput, Round
from protocols.secagg.client import Client
from protocols.secagg.server import Server
from protocols.secagg.testimony import testimony
from protocols.session import Variant


def _stages(variant: Variant) -> tuple[Round, ...]:
    """The fallback is no stage of its own: it is held only where somebody was lost before."""
    five = (Round.ADVERTISE, Round.SHARE, Round.MASKED_INPUT, Round.CONFIRM, Round.UNMASK)
    return five if variant is Variant.ACTIVE else tuple(stage for stage in five if stage is not Round.CONFIRM)


SECAGG: Final = Family(
    name="secagg",
    codec=CODEC,
    rounds=Round,
    stages=_stages,
    input_stage=Round.MASKED_INPUT,
    uploads=(MaskedInput,),
    held_back=DeliverShares,
    contributor=Client,
    restore=Client.restore,
    collector=Server,
    restore_collector=Server.restore,
    testimony=testimony,
)
