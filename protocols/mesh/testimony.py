"""What a session shows of itself at one of its peers, and what that amounts to: the certificate of the inputs.

Each peer has its own: which t votes it saw is not the same everywhere, what they are for is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final

from protocols.errors import PartyId, WireError
from protocols.evidence import Evidence, EvidenceRefused, Testimony, require_confirmed, require_nested
from protocols.mesh import bindings
from protocols.mesh.messages import Inputs, InputVote, PartialSum
from protocols.mesh.opening import members as roster_of
from protocols.mesh.states import (
    AwaitingHolders,
    AwaitingOutputs,
    CertifyingInputs,
    CertifyingSums,
    Recovering,
    State,
)
from protocols.session import SessionParams
from protocols.wire import Codec, PartySet, Size

Digest = Annotated[bytes, Size(32)]


@dataclass(frozen=True, slots=True)
class Foundation:
    """shared: D2. hashes: of the explicit shares of U3, as the certified list has them."""

    shared: Digest
    hashes: Mapping[PartyId, Digest]


_CODEC: Final = Codec(Foundation)


def gathered(before: Evidence, state: State, me: PartyId) -> Evidence:
    """With what is fixed where this state is entered."""
    match state:
        case AwaitingHolders():
            return replace(before, u1=frozenset(roster_of(state.roster)))
        case CertifyingInputs():
            return replace(before, u2=frozenset(state.holders.dealers))
        case CertifyingSums():
            return _certified(before, state, state.vectors[me])
        case Recovering() | AwaitingOutputs():
            return replace(before, u5=frozenset(state.sums.hashes))
        case _:
            return before


def _certified(before: Evidence, state: CertifyingSums, own: object) -> Evidence:
    """By the certificate that our partial sum left with."""
    assert isinstance(own, PartialSum)
    return replace(
        before,
        u3=frozenset(state.inputs.hashes),
        u4=frozenset(own.certificate),
        foundation=_CODEC.encode(Foundation(state.shared, state.inputs.hashes)),
        confirmations=own.certificate,
    )


def testimony(params: SessionParams, members: PartySet, evidence: Evidence) -> Testimony:
    """members: who may greet; U1 is who did. Raises EvidenceRefused."""
    require_nested(members, evidence.u1, evidence.u2, evidence.u3)
    require_nested(evidence.u2, evidence.u5)
    require_confirmed(evidence, evidence.u2)
    if not evidence.u3:
        return Testimony(quorum=params.threshold_for(len(members)), electorate=len(evidence.u1))
    try:
        foundation: Foundation = _CODEC.decode(evidence.foundation)
    except WireError as exc:
        raise EvidenceRefused("no certified list") from exc
    if foundation.hashes.keys() != evidence.u3:
        raise EvidenceRefused("its certified list is not U3")
    listed = bindings.list_digest(Inputs(foundation.shared, PartyId(0), foundation.hashes, b""))
    return Testimony(
        statement=bindings.statement(params.digest, InputVote(listed, b"")),
        confirmations=evidence.confirmations,
        quorum=params.threshold_for(len(members)),
        electorate=len(evidence.u1),
    )
