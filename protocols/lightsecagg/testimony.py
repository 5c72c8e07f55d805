"""What the evidence of a session amounts to: who signed that it takes part, and who confirmed U3."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from protocols.errors import WireError
from protocols.evidence import Claim, Evidence, EvidenceRefused, Testimony, require_nested, require_sets
from protocols.lightsecagg import bindings
from protocols.lightsecagg.messages import AdvertiseKey
from protocols.lightsecagg.numbers import Unworkable, numbers
from protocols.session import SessionParams, Variant
from protocols.wire import Codec, PartySet


@dataclass(frozen=True, slots=True)
class Foundation:
    """The roster as it was shown: with I, D follows from it."""

    entries: tuple[AdvertiseKey, ...]


_CODEC: Final = Codec(Foundation)


def founded(entries: Iterable[AdvertiseKey]) -> bytes:
    """entries: of U1, in order of id."""
    return _CODEC.encode(Foundation(tuple(entries)))


def testimony(params: SessionParams, members: PartySet, evidence: Evidence) -> Testimony:
    """members: who may advertise; U1 is who did. Raises EvidenceRefused."""
    require_nested(members, evidence.u1)
    require_sets(evidence, evidence.u3)
    if not evidence.u1:
        return Testimony()
    entries = _entries(evidence)
    if params.variant is not Variant.ACTIVE:
        return Testimony()
    shared = bindings.shared_digest(bindings.session_digest(params, entries), evidence.u2)
    statement = bindings.confirmation(shared, evidence.u3) if evidence.u3 else None
    return Testimony(
        _joined(params, entries), statement, evidence.confirmations, _quorum(params, len(entries)), len(entries)
    )


def _entries(evidence: Evidence) -> tuple[AdvertiseKey, ...]:
    try:
        foundation: Foundation = _CODEC.decode(evidence.foundation)
    except WireError as exc:
        raise EvidenceRefused("no roster of a session") from exc
    if [entry.client for entry in foundation.entries] != sorted(evidence.u1):
        raise EvidenceRefused("its roster is not U1")
    return foundation.entries


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
