"""What the evidence of a session amounts to: who signed that it takes part, and who confirmed U3."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from protocols.errors import WireError
from protocols.evidence import Claim, Evidence, EvidenceRefused, Statement, Testimony, require_nested, require_sets
from protocols.messages import AdvertiseKeys
from protocols.secagg import bindings
from protocols.session import SessionParams, Variant
from protocols.wire import Codec, PartySet


@dataclass(frozen=True, slots=True)
class Foundation:
    """The roster as it was shown: with I, D follows from it."""

    entries: tuple[AdvertiseKeys, ...]


_CODEC: Final = Codec(Foundation)


def founded(entries: Iterable[AdvertiseKeys]) -> bytes:
    """entries: of U1, in order of id."""
    return _CODEC.encode(Foundation(tuple(entries)))


def testimony(params: SessionParams, members: PartySet, evidence: Evidence) -> Testimony:
    """members: who may advertise; U1 is who did. Raises EvidenceRefused."""
    require_nested(members, evidence.u1)
    require_sets(evidence, evidence.u3)
    if not evidence.u1:
        return Testimony()
    entries = _entries(evidence)
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


def _entries(evidence: Evidence) -> tuple[AdvertiseKeys, ...]:
    try:
        foundation: Foundation = _CODEC.decode(evidence.foundation)
    except WireError as exc:
        raise EvidenceRefused("no roster of a session") from exc
    if [entry.client for entry in foundation.entries] != sorted(evidence.u1):
        raise EvidenceRefused("its roster is not U1")
    return foundation.entries


def _joined(params: SessionParams, entries: tuple[AdvertiseKeys, ...]) -> tuple[Claim, ...]:
    invite = params.digest
    return tuple(Claim(entry.client, entry.signature, bindings.advertised(invite, entry)) for entry in entries)
