"""The record of a session: signed, without a secret, and checked offline by whoever has the consortium's file.

It says who was there, which sets followed from whom, who confirmed the last of them, who was dropped and why, and what
the session was about. Each record names the one before it, so that none can be taken out or slipped in later. What it
proves is that so many members confirmed one set, in this session and in no other; that the published sum is the sum
over that set, it does not. [PROTOCOLS rule 17]
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Final

from mpc.hashing import digest
from mpc.keys import BadSignature, KeyRefused, SigningKey, VerifyKey
from protocols.errors import DropReason, PartyId, WireError
from protocols.evidence import Evidence, EvidenceRefused, Seen, Testimony
from protocols.families import family_of
from protocols.family import Family
from protocols.machine import Aborted, Aggregate
from protocols.roster import Consortium
from protocols.session import NO_COORDINATOR, NO_RECORD, WIRE, SessionParams, VectorSpec
from protocols.wire import LARGEST_TREE, Codec, Size

LARGEST_RECORD: Final = LARGEST_TREE
LONGEST_REASON: Final = 200
UNSIGNED: Final = bytes(64)

Digest = Annotated[bytes, Size(32)]
Key = Annotated[bytes, Size(32)]
Signature = Annotated[bytes, Size(64)]


class RecordError(ValueError):
    """This is no record, or not what it says. The text says what does not fit."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A party is out: `round` is the one whose answer of it never came."""

    round: str
    reason: DropReason


@dataclass(frozen=True, slots=True)
class Summed:
    """aggregate: SHA-256 of the sum, packed; what `Result` is signed over. next_model: of the payload that followed."""

    aggregate: Digest
    next_model: Digest


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain of records ends. number: 0 where there is none yet."""

    number: int
    digest: Digest


START: Final = Head(0, NO_RECORD)


@dataclass(frozen=True, slots=True)
class Record:
    """One session, by whoever kept its record: the coordinator, or in a mesh each peer for itself.

    number, previous: its place in the keeper's chain, and the digest of the record before. recorder: the keeper's
    identity. params: all that the session was proposed with; subject names the consortium's file, the model and the
    configuration. parties: who was invited, or has keys in its epoch, with the identities of that file. evidence:
    the sets u1 to u5, confirmations, disputes, verdicts. dropped: where and why. transcripts: by party, the line of
    `protocols/transcript.py`; empty where they were not kept from the beginning, and in a mesh.
    """

    number: int
    previous: Digest
    recorder: Key
    fl_round: int
    params: SessionParams
    parties: Mapping[PartyId, Key]
    evidence: Evidence
    dropped: Mapping[PartyId, Lost]
    ending: Summed | Aborted
    transcripts: Mapping[PartyId, Digest] = field(default_factory=dict)
    signature: Signature = UNSIGNED

    @property
    def digest(self) -> bytes:
        """Of everything but the signature."""
        return digest("record", _CODEC.encode(replace(self, signature=UNSIGNED)))

    @property
    def head(self) -> Head:
        """Of a chain that ends with it."""
        return Head(self.number, self.digest)

    def signed(self, identity: SigningKey) -> "Record":
        """By its recorder."""
        unsigned = replace(self, recorder=identity.verify_key.raw)
        return replace(unsigned, signature=identity.sign("record", unsigned.digest))

    def to_bytes(self) -> bytes:
        """Raises RecordError where it is larger than any that would be read."""
        data = _CODEC.encode(self)
        if len(data) > LARGEST_RECORD:
            raise RecordError(f"a record of {len(data)} bytes, the largest has {LARGEST_RECORD}")
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> "Record":
        """Raises RecordError on anything but the one encoding of a record. Nothing is verified yet."""
        if len(data) > LARGEST_RECORD:
            raise RecordError(f"a record of {len(data)} bytes, the largest has {LARGEST_RECORD}")
        try:
            record: Record = _CODEC.decode(data)
        except WireError as exc:
            raise RecordError("these bytes are no record") from exc
        return record


_CODEC: Final = Codec(Record)


def hash_sum(aggregate: Aggregate, spec: VectorSpec) -> bytes:
    return sha256(spec.field.pack(aggregate.vector)).digest()


def dropped(lost: Mapping[PartyId, tuple[StrEnum, DropReason]]) -> Mapping[PartyId, Lost]:
    """In the words of a record."""
    return {party: Lost(round_.value, reason) for party, (round_, reason) in lost.items()}


# Verifying: every function raises RecordError


def verify(record: Record, consortium: Consortium, *, wire: str = WIRE) -> Testimony:
    """By itself, against the consortium's file alone. Returns what it proves.

    wire: TEST_WIRE for the records of seeded sessions, which prove nothing to anybody else. The place in the chain is
    another matter: `require_follows`.
    """
    _require_agreed(record, consortium, wire)
    _require_recorder(record, consortium)
    family = _family(record.params)
    members = consortium.members_by_id
    _require_named(record, members, family)
    try:
        testimony = family.testimony(record.params, frozenset(members), record.evidence)
        for claim in testimony.claims:
            claim.verify(members)
    except EvidenceRefused as exc:
        raise RecordError(str(exc)) from exc
    _require_supported(record, testimony)
    return testimony


def require_follows(record: Record, head: Head) -> None:
    """Whether it is the next one after `head`."""
    if record.number != head.number + 1:
        raise RecordError(f"record {record.number} where record {head.number + 1} belongs")
    if record.previous != head.digest:
        raise RecordError(f"record {record.number} does not follow record {head.number}: it names another one")


def _require_agreed(record: Record, consortium: Consortium, wire: str) -> None:
    params = record.params
    subject = replace(consortium.subject(params.subject.model), last_record=params.subject.last_record)
    if params.subject != subject:
        raise RecordError(
            f"made under another consortium file (version {params.subject.version}, "
            f"{params.subject.consortium.hex()[:8]}; this one is version {consortium.version}, "
            f"{consortium.digest.hex()[:8]})"
        )
    if params.wire != wire:
        raise RecordError(f"a session of another wire version than {wire}")
    agreed = consortium.params(subject, params.spec, params.nonce)
    if replace(agreed, threshold=params.threshold, cohort=params.cohort, wire=wire) != params:
        raise RecordError("a session on other terms than those of the consortium file")


def _require_recorder(record: Record, consortium: Consortium) -> None:
    has_coordinator = record.params.subject.coordinator != NO_COORDINATOR
    keepers = [consortium.head] if has_coordinator else consortium.members
    if record.recorder not in [card.verify_key.raw for card in keepers]:
        raise RecordError(f"not by {'the coordinator' if has_coordinator else 'a member'} of the consortium file")
    try:
        VerifyKey(record.recorder).verify(record.signature, "record", record.digest)
    except (BadSignature, KeyRefused) as exc:
        raise RecordError("its signature is wrong: something in it was changed") from exc
    if has_coordinator and record.previous != record.params.subject.last_record:
        raise RecordError("the session was held on another last record than the one it follows")
    if record.number < 1 or (record.number == 1) is not (record.previous == NO_RECORD):
        raise RecordError("its number is not that of its place")


def _family(params: SessionParams) -> Family:
    try:
        return family_of(params.protocol, params.rounds_per_epoch)
    except KeyError as exc:
        raise RecordError(f"a session of {params.protocol!r}, which this version does not run") from exc


def _require_named(record: Record, members: Mapping[PartyId, VerifyKey], family: Family) -> None:
    for party, key in record.parties.items():
        if party not in members or members[party].raw != key:
            raise RecordError(f"party {party} has another identity in the consortium file")
    if not record.evidence.parties | record.dropped.keys() | record.transcripts.keys() <= record.parties.keys():
        raise RecordError("it names somebody whose identity it does not give")
    rounds = {one.value for one in family.rounds}
    if any(lost.round not in rounds for lost in record.dropped.values()):
        raise RecordError(f"somebody was lost in a round that {record.params.protocol} does not have")
    reasons = [one.reason for one in record.evidence.verdicts]
    if any(len(reason) > LONGEST_REASON or not reason.isprintable() for reason in reasons):
        raise RecordError("a verdict whose reason is not one short line")


def _require_supported(record: Record, testimony: Testimony) -> None:
    """A sum needs as many inputs and as many confirmations as the session's own numbers say."""
    if isinstance(record.ending, Aborted):
        return
    covered, confirmed = len(record.evidence.u3), len(testimony.confirmations)
    if covered < record.params.floor:
        raise RecordError(f"a sum over {covered} parties, {record.params.floor} are the fewest")
    if confirmed < testimony.quorum:
        raise RecordError(f"{confirmed} confirmations of its set, {testimony.quorum} are needed")


# A party's own view


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a party knows itself of a session that is over. aggregate: what it was given. line: of the transcript,
    where it was kept from the beginning."""

    seen: Seen
    aggregate: Aggregate | None
    line: bytes | None

    def contradiction(self, record: Record, testimony: Testimony, me: PartyId) -> str | None:
        """What this verified record of the same session says otherwise; None where nothing does."""
        confirmed, proven = self.seen.confirmed, testimony.statement
        if confirmed is not None and proven is not None and confirmed != proven:
            return "it names another set, or another session behind it, than the one that we confirmed"
        if confirmed is not None and proven is None and testimony.quorum:
            return "it names no set, and we were shown one and confirmed it"
        return None if self.aggregate is None else self._other_sum(record, me, self.aggregate)

    def _other_sum(self, record: Record, me: PartyId, aggregate: Aggregate) -> str | None:
        if isinstance(record.ending, Aborted):
            return "it says that there was no sum, and we were given one"
        same_set = record.evidence.u3 == aggregate.included
        if not same_set or record.ending.aggregate != hash_sum(aggregate, self.seen.params.spec):
            return "its sum is not the one that we were given"
        if self.line is not None and record.transcripts.get(me, self.line) != self.line:
            return "what it says that we and the coordinator said to each other is not what we did"
        return None
