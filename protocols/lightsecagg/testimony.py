"""What the evidence of a session amounts to: who signed that it takes part, and who confirmed U3."""

from dataclasses import dataclass
from typing import Final

from protocols.evidence import Claim, Evidence, EvidenceRefused, RosterFormat, Testimony, require_nested, require_sets
from protocols.lightsecagg import bindings
from protocols.lightsecagg.messages import AdvertiseKey
from protocols.lightsecagg.numbers import Unworkable, numbers
from protocols.session import SessionParams, Variant
from protocols.wire import PartySet


@dataclass(frozen=True, slots=True)
class Foundation:
    entries: tuple[AdvertiseKey, ...]


ROSTER: Final = RosterFormat(Foundation)


def testimony(params: SessionParams, members: PartySet, evidence: Evidence) -> Testimony:
    """members: who may advertise; U1 is who did. Raises EvidenceRefused."""
    require_nested(members, evidence.u1)
    require_sets(evidence, evidence.u3)
    if not evidence.u1:
        return Testimony()
    entries: tuple[AdvertiseKey, ...] = ROSTER.load(evidence)
    if params.variant is not Variant.ACTIVE:
        return Testimony()
    shared = bindings.shared_digest(bindings.session_digest(params, entries), evidence.u2)
    statement = bindings.confirmation(shared, evidence.u3) if evidence.u3 else None
    return Testimony(
        _joined(params, entries), statement, evidence.confirmations, _quorum(params, len(entries)), len(entries)
    )


def _joined(params: SessionParams, entries: tuple[AdvertiseKey, ...]) -> tuple[Claim, ...]:
    invite = params.digest
    return tuple(
        Claim(entry.client, entry.signature, bindings.key_of(invite, entry.client, entry.channel_key))
        for entry in entries
    )


def _quorum(params: SessionParams, parties: int) -> int:
    try:
        return numbers(params, parties).quorum
    except Unworkable as exc:
        raise EvidenceRefused(str(exc)) from exc
