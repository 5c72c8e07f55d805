"""A peer's whole state as bytes. Secret: whoever reads one can go on in its place.

The same strict codec as on the wire. No generator's state is ever in one (PROTOCOLS rule 16).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mpc.field import FieldError, FieldVector
from protocols.errors import PartyId, WireError
from protocols.evidence import Dispute, Evidence
from protocols.kept import AbortedRecord, FinishedRecord, ascending, end_outcome, end_record
from protocols.mesh import states
from protocols.mesh.fetching import Asked, Early
from protocols.mesh.messages import CODEC, Digest, Equivocation
from protocols.mesh.view import Loss
from protocols.session import SessionParams, Terms
from protocols.wire import Codec


@dataclass(frozen=True, slots=True)
class Now:
    """All of a peer that changes. It is replaced as a whole, so that a refused message leaves the one before.

    early: messages of rounds that we have not reached, one of a kind from each. asked: what we asked whom to send.
    session: its name in the party's ledger, from `start` on. seq: how many calls changed anything since. evidence:
    disputes apart.
    """

    state: states.State
    input: FieldVector | None = field(default=None, repr=False)
    lost: Mapping[PartyId, Loss] = field(default_factory=dict)
    named: Mapping[PartyId, Equivocation] = field(default_factory=dict)
    disputes: frozenset[Dispute] = frozenset()
    early: tuple[Early, ...] = ()
    asked: tuple[Asked, ...] = ()
    session: bytes | None = None
    seq: int = 0
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True, slots=True)
class Ending:
    ending: AbortedRecord | FinishedRecord
    recovery: states.Recovery | None


@dataclass(frozen=True, slots=True)
class EarlyRecord:
    sender: PartyId
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PeerRecord:
    """A peer in types that travel. key: of what it sums, in its party's ledger."""

    me: PartyId
    terms: Terms
    params: SessionParams
    key: Digest
    state: states.Running | Ending
    input: bytes | None = field(repr=False)
    lost: Mapping[PartyId, Loss]
    named: Mapping[PartyId, Equivocation]
    disputes: tuple[Dispute, ...]
    early: tuple[EarlyRecord, ...]
    asked: tuple[Asked, ...]
    session: Digest | None
    seq: int
    evidence: Evidence


_PEER = Codec(PeerRecord, own=True)


def dump(me: PartyId, terms: Terms, params: SessionParams, key: bytes, now: Now) -> bytes:
    spec, state = params.spec, now.state
    kept = Ending(end_record(state.outcome, spec), state.recovery) if isinstance(state, states.Ended) else state
    return _PEER.encode(
        PeerRecord(
            me, terms, params, key, kept,
            None if now.input is None else spec.field.pack(now.input),
            now.lost, now.named,
            tuple(sorted(now.disputes)),
            tuple(EarlyRecord(sender, CODEC.encode(message)) for sender, message in now.early),
            now.asked, now.session, now.seq, now.evidence,
        )
    )  # fmt: skip


def load(snapshot: bytes) -> tuple[PeerRecord, Now]:
    """Raises WireError unless `snapshot` is one that `dump` wrote."""
    record: PeerRecord = _PEER.decode(snapshot)
    kept, spec = record.state, record.params.spec
    state = states.Ended(end_outcome(kept.ending), kept.recovery) if isinstance(kept, Ending) else kept
    try:
        vector = None if record.input is None else spec.field.unpack(record.input, spec.length)
    except FieldError as exc:
        raise WireError("a snapshot with a damaged vector") from exc
    early = tuple((one.sender, CODEC.decode(one.message)) for one in record.early)
    return record, Now(
        state,
        vector,
        record.lost,
        record.named,
        frozenset(ascending(record.disputes)),
        early,
        record.asked,
        record.session,
        record.seq,
        record.evidence,
    )
