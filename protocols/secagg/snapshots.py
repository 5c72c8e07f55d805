"""A client's or a server's whole state as bytes. Secret: whoever reads one can go on in its place.

The same strict codec as on the wire. No generator's state is ever in one (PROTOCOLS rule 16).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from mpc.keys import VerifyKey
from protocols.errors import DropReason, PartyId, WireError
from protocols.evidence import Dispute
from protocols.kept import AbortedRecord, ClientFormat, FinishedRecord, ascending, end_outcome, end_record, unpack
from protocols.messages import AdvertiseKeys, FallbackShares, Round, ShareKeys, UnmaskShares
from protocols.secagg import states
from protocols.secagg.collected import Loss, ServerState
from protocols.secagg.proofs import Proof
from protocols.secagg.vouching import Dealing
from protocols.session import SessionParams, Terms
from protocols.standing import Standing
from protocols.wire import Codec, PartySet

S = TypeVar("S", bound=ServerState)


@dataclass(frozen=True, slots=True)
class ClientRecord:
    me: PartyId
    terms: Terms
    standing: Standing
    state: states.Running | AbortedRecord | FinishedRecord
    input: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class LossRecord:
    round: str
    reason: DropReason


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """`ServerState` in types that travel."""

    params: SessionParams
    members: Mapping[PartyId, VerifyKey]
    round: str
    session: bytes
    shared: bytes
    u1: PartySet
    u2: PartySet
    u3: PartySet
    u4: PartySet
    u5: PartySet
    lost: Mapping[PartyId, LossRecord]
    keys: Mapping[PartyId, AdvertiseKeys]
    shares: Mapping[PartyId, ShareKeys]
    masked: PartySet
    total: bytes | None = field(repr=False)
    confirmations: Mapping[PartyId, bytes]
    reveals: Mapping[PartyId, UnmaskShares]
    fallback: Mapping[PartyId, FallbackShares]
    fallback_for: PartySet
    disputes: tuple[Dispute, ...]
    dealings: Mapping[PartyId, Dealing]
    proofs: tuple[Proof, ...]
    ending: AbortedRecord | FinishedRecord | None


_SERVER = Codec(ServerRecord, own=True)


CLIENT = ClientFormat(ClientRecord, states.Ended)


def dump_server(params: SessionParams, members: Mapping[PartyId, VerifyKey], state: ServerState) -> bytes:
    return _SERVER.encode(server_record(params, members, state))


def server_record(params: SessionParams, members: Mapping[PartyId, VerifyKey], state: ServerState) -> ServerRecord:
    spec = params.spec
    return ServerRecord(
        params,
        members,
        state.round.value,
        state.session,
        state.shared,
        state.u1,
        state.u2,
        state.u3,
        state.u4,
        state.u5,
        {party: LossRecord(loss.round.value, loss.reason) for party, loss in state.lost.items()},
        state.keys,
        state.shares,
        frozenset(state.masked),
        None if state.total is None else spec.field.pack(state.total),
        state.confirmations,
        state.reveals,
        state.fallback,
        state.fallback_for,
        tuple(sorted(state.disputes)),
        state.dealings,
        tuple(state.proofs),
        None if state.outcome is None else end_record(state.outcome, spec),
    )


def load_server(snapshot: bytes) -> tuple[SessionParams, Mapping[PartyId, VerifyKey], ServerState]:
    """Raises WireError unless `snapshot` is one that `dump_server` wrote."""
    record: ServerRecord = _SERVER.decode(snapshot)
    return record.params, record.members, server_state(record, ServerState, Round)


def server_state(record: ServerRecord, kind: type[S], rounds: type[StrEnum]) -> S:
    """Raises WireError on what `server_record` did not make."""
    spec = record.params.spec
    try:
        round_ = rounds(record.round)
        lost = {party: Loss(rounds(loss.round), loss.reason) for party, loss in record.lost.items()}
    except ValueError as exc:
        raise WireError("a snapshot of a round that there is not") from exc
    return kind(
        round_,
        record.session,
        record.shared,
        record.u1,
        record.u2,
        record.u3,
        record.u4,
        record.u5,
        lost=lost,
        keys=dict(record.keys),
        taken={key for entry in record.keys.values() for key in (entry.channel_key, entry.mask_key)},
        shares=dict(record.shares),
        masked=set(record.masked),
        total=None if record.total is None else unpack(record.total, spec, spec.masked_length),
        confirmations=dict(record.confirmations),
        reveals=dict(record.reveals),
        fallback=dict(record.fallback),
        fallback_for=record.fallback_for,
        disputes=set(ascending(record.disputes)),
        dealings=dict(record.dealings),
        proofs=list(record.proofs),
        outcome=None if record.ending is None else end_outcome(record.ending),
    )
