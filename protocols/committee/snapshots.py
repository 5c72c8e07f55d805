"""A member's or the server's whole state as bytes. Secret: whoever reads one of a member can go on in its place.

The same strict codec as on the wire. No generator's state is ever in one (PROTOCOLS rule 16).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mpc.field import FieldError, FieldVector
from mpc.keys import VerifyKey
from protocols.committee.collected import ServerState
from protocols.committee.states import AggregatorState, ClientState
from protocols.errors import PartyId, WireError
from protocols.kept import AbortedRecord, FinishedRecord, end_outcome, end_record
from protocols.machine import Outcome
from protocols.session import SessionParams, Terms
from protocols.standing import Standing
from protocols.wire import Codec


@dataclass(frozen=True, slots=True)
class Now:
    """All of a member that changes, replaced as a whole. A role that it does not have, or that has ended, is None."""

    standing: Standing
    params: SessionParams | None = None
    client: ClientState | None = None
    aggregator: AggregatorState | None = None
    input: FieldVector | None = field(default=None, repr=False)
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class MemberRecord:
    me: PartyId
    terms: Terms
    standing: Standing
    params: SessionParams | None
    client: ClientState | None
    aggregator: AggregatorState | None
    input: bytes | None = field(repr=False)
    ending: AbortedRecord | FinishedRecord | None


@dataclass(frozen=True, slots=True)
class ServerRecord:
    params: SessionParams
    members: Mapping[PartyId, VerifyKey]
    state: ServerState
    ending: AbortedRecord | FinishedRecord | None


_MEMBER = Codec(MemberRecord, own=True)
_SERVER = Codec(ServerRecord, own=True)


def dump_member(me: PartyId, terms: Terms, now: Now) -> bytes:
    spec = terms.spec
    packed = None if now.input is None else spec.field.pack(now.input)
    ending = None if now.outcome is None else end_record(now.outcome, spec)
    return _MEMBER.encode(MemberRecord(me, terms, now.standing, now.params, now.client, now.aggregator, packed, ending))


def load_member(snapshot: bytes) -> tuple[PartyId, Terms, Now]:
    """Raises WireError unless `snapshot` is one that `dump_member` wrote."""
    record: MemberRecord = _MEMBER.decode(snapshot)
    spec = record.terms.spec
    try:
        vector = None if record.input is None else spec.field.unpack(record.input, spec.length)
    except FieldError as exc:
        raise WireError("a snapshot with a damaged vector") from exc
    outcome = None if record.ending is None else end_outcome(record.ending)
    now = Now(record.standing, record.params, record.client, record.aggregator, vector, outcome)
    return record.me, record.terms, now


def dump_server(
    params: SessionParams, members: Mapping[PartyId, VerifyKey], state: ServerState, outcome: Outcome | None
) -> bytes:
    ending = None if outcome is None else end_record(outcome, params.spec)
    return _SERVER.encode(ServerRecord(params, members, state, ending))


def load_server(snapshot: bytes) -> tuple[ServerRecord, ServerState, Outcome | None]:
    """Raises WireError unless `snapshot` is one that `dump_server` wrote."""
    record: ServerRecord = _SERVER.decode(snapshot)
    kept = record.state
    changing: dict[str, Any] = {
        one.name: dict(value) for one in fields(kept) if isinstance(value := getattr(kept, one.name), Mapping)
    }
    state = dataclasses.replace(kept, **changing)
    return record, state, None if record.ending is None else end_outcome(record.ending)
