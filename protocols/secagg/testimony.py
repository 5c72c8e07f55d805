"""What the evidence of a session amounts to: who signed that it takes part, and who confirmed U3."""

from dataclasses import dataclass
from typing import Final

from protocols.evidence import Claim, Evidence, RosterFormat, Statement, Testimony, require_nested, require_sets
from protocols.messages import AdvertiseKeys
from protocols.secagg import bindings
from protocols.session import SessionParams, Variant
from protocols.wire import PartySet


@dataclass(frozen=True, slots=True)
class Foundation:
    entries: tuple[AdvertiseKeys, ...]


ROSTER: Final = RosterFormat(Foundation)


def testimony(params: SessionParams, members: PartySet, evidence: Evidence) -> Testimony:
    """members: who may advertise; U1 is who did. Raises EvidenceRefused."""
    require_nested(members, evidence.u1)
    require_sets(evidence, evidence.u3)
    if not evidence.u1:
        return Testimony()
    entries: tuple[AdvertiseKeys, ...] = ROSTER.load(evidence)
    session = bindings.session_digest(params, entries)
    shared = bindings.shared_digest(session, evidence.u2)
    return confirmed(params, shared, evidence, params.threshold_for(len(entries)), _joined(params, entries))


def confirmed(
    params: SessionParams, shared: bytes, evidence: Evidence, quorum: int, joined: tuple[Claim, ...] = ()
) -> Testimony:
    """shared: D2, or what stands in its place. The curious variant has no confirmations."""
    if params.variant is not Variant.ACTIVE:
        return Testimony()
    statement: Statement | None = bindings.confirmation(shared, evidence.u3) if evidence.u3 else None
    return Testimony(joined, statement, evidence.confirmations, quorum, len(evidence.u1))


def _joined(params: SessionParams, entries: tuple[AdvertiseKeys, ...]) -> tuple[Claim, ...]:
    invite = params.digest
    return tuple(Claim(entry.client, entry.signature, bindings.advertised(invite, entry)) for entry in entries)
