"""What the evidence of a round amounts to: who confirmed U3.

The epoch is named by D_E, and its roster is not here: most rounds begin long after it. What they signed is bound to
this round's own parameters and to U2.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from protocols.epoch import bindings
from protocols.errors import WireError
from protocols.evidence import Evidence, EvidenceRefused, Testimony, require_nested, require_sets
from protocols.secagg.testimony import confirmed
from protocols.session import SessionParams
from protocols.wire import Codec, PartySet, Size


@dataclass(frozen=True, slots=True)
class Foundation:
    """epoch: D_E. number: r."""

    epoch: Annotated[bytes, Size(32)]
    number: int


_CODEC: Final = Codec(Foundation)


def founded(epoch: bytes, number: int) -> bytes:
    return _CODEC.encode(Foundation(epoch, number))


def testimony(params: SessionParams, members: PartySet, evidence: Evidence) -> Testimony:
    """members: who may share keys; U1 is who did. Raises EvidenceRefused."""
    require_nested(members, evidence.u1)
    require_sets(evidence, evidence.u3)
    if not evidence.u1:
        return Testimony()
    try:
        foundation: Foundation = _CODEC.decode(evidence.foundation)
    except WireError as exc:
        raise EvidenceRefused("no round of an epoch") from exc
    shared = bindings.round_digest(foundation.epoch, foundation.number, params, evidence.u2)
    return confirmed(params, shared, evidence, params.threshold_for(len(evidence.u1)))
