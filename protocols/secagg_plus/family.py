"""secagg+, as a driver sees it."""

from collections.abc import Mapping
from typing import Final

from protocols.family import Family
from protocols.messages import DeliverShares
from protocols.secagg_plus.client import Client
from protocols.secagg_plus.degrees import graph_for
from protocols.secagg_plus.messages import CODEC, MaskedInput, Round
from protocols.secagg_plus.server import Server
from protocols.secagg_plus.testimony import testimony
from protocols.session import SessionParams, Variant

NAME: Final = "secagg+"


def _stages(variant: Variant) -> tuple[Round, ...]:
    active_only = (Round.CHOOSE_HOLDERS, Round.CONFIRM)
    answered = tuple(stage for stage in Round if stage is not Round.DONE)
    return answered if variant is Variant.ACTIVE else tuple(one for one in answered if one not in active_only)


def _numbers(params: SessionParams, parties: int) -> Mapping[str, int]:
    graph = graph_for(params, parties)
    everybody_holds = graph.degree == parties - 1
    if graph.threshold > graph.degree or (everybody_holds and graph.threshold > graph.degree - params.losses):
        raise ValueError(
            f"{graph.threshold} of the {graph.degree} others must help each party and {params.losses} may be lost: "
            f"colluding + 2 losses must stay below {parties - 1}, or add members"
        )
    return {"k": graph.degree, "t": graph.threshold}


SECAGG_PLUS: Final = Family(
    name=NAME,
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
    numbers=_numbers,
    testimony=testimony,
)
