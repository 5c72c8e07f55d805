"""mesh, as a driver sees it."""

from typing import Final

from protocols.family import Family, Limits, vector_limits
from protocols.mesh.messages import CODEC, ExplicitShare, PartialSum, Round
from protocols.mesh.peer import PROTOCOL, Peer
from protocols.mesh.testimony import testimony
from protocols.session import SessionParams, Variant


def _stages(_: Variant) -> tuple[Round, ...]:
    """The recovery is no stage of its own: it is held only where somebody was lost before."""
    return tuple(stage for stage in Round if stage not in (Round.RECOVER, Round.DONE))


def _limits(params: SessionParams, parties: int) -> Limits:
    """One vector, or the shares of all seeds of all lost columns, whoever sends it."""
    largest = vector_limits(params, parties).down + 64 * parties**2
    return Limits(largest, largest, largest)


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
    variants=(Variant.ACTIVE,),
    limits=_limits,
    testimony=testimony,
)
