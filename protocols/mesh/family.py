"""mesh, as a driver sees it."""

from typing import Final

from protocols.family import Family
from protocols.mesh.messages import CODEC, ExplicitShare, PartialSum, Round
from protocols.mesh.peer import PROTOCOL, Peer
from protocols.session import Variant


def _stages(_: Variant) -> tuple[Round, ...]:
    return tuple(stage for stage in Round if stage is not Round.DONE)


MESH: Final = Family(
    name=PROTOCOL,
    codec=CODEC,
    rounds=Round,
    stages=_stages,
    input_stage=Round.EXPLICIT,
    uploads=(ExplicitShare, PartialSum),
    held_back=None,
    restore=Peer.restore,
    peer=Peer,
)
