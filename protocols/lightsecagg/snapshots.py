"""A client's or a server's whole state as bytes. Secret: whoever reads one can go on in its place.

The same strict codec as on the wire. No generator's state is ever in one (PROTOCOLS rule 16).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mpc.keys import VerifyKey
from protocols.errors import PartyId
from protocols.evidence import Dispute
from protocols.kept import AbortedRecord, ClientFormat, FinishedRecord, ascending, end_outcome, end_record, unpack
from protocols.lightsecagg import states
from protocols.lightsecagg.collected import Loss, ServerState
from protocols.lightsecagg.messages import AdvertiseKey, Digest, Round
from protocols.session import SessionParams, Terms
from protocols.standing import Standing
from protocols.wire import Codec, PartySet


@dataclass(frozen=True, slots=True)
class ClientRecord:
    me: PartyId
    terms: Terms
    standing: Standing
    state: states.Running | AbortedRecord | FinishedRecord
    input: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hashes:
    """By recipient."""

    by_recipient: Mapping[PartyId, Digest]


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """`ServerState` in types that travel."""

    params: SessionParams
    members: Mapping[PartyId, VerifyKey]
    round: Round
    session: bytes
    shared: bytes
    u1: PartySet
    u2: PartySet
    u3: PartySet
    u4: PartySet
    u5: PartySet
    lost: Mapping[PartyId, Loss]
    keys: Mapping[PartyId, AdvertiseKey]
    relayed: Mapping[PartyId, Hashes]
    dealt: PartySet
    masked: PartySet
    total: bytes | None = field(repr=False)
    confirmations: Mapping[PartyId, bytes]
    answers: Mapping[PartyId, bytes] = field(repr=False)
    disputes: tuple[Dispute, ...]
    unfitting: PartySet
    ending: AbortedRecord | FinishedRecord | None


CLIENT = ClientFormat(ClientRecord, states.Ended)
_SERVER = Codec(ServerRecord, own=True)


def dump_server(params: SessionParams, members: Mapping[PartyId, VerifyKey], state: ServerState) -> bytes:
    spec = params.spec
    return _SERVER.encode(
        ServerRecord(
            params, members, state.round, state.session, state.shared,
            state.u1, state.u2, state.u3, state.u4, state.u5,
            state.lost, state.keys,
            {dealer: Hashes(hashes) for dealer, hashes in state.relayed.items()},
            frozenset(state.dealt), frozenset(state.masked),
            None if state.total is None else spec.field.pack(state.total),
            state.confirmations, state.answers,
            tuple(sorted(state.disputes)),
            state.unfitting,
            None if state.outcome is None else end_record(state.outcome, spec),
        )
    )  # fmt: skip


def load_server(snapshot: bytes) -> tuple[SessionParams, Mapping[PartyId, VerifyKey], ServerState]:
    """Raises WireError unless `snapshot` is one that `dump_server` wrote."""
    record: ServerRecord = _SERVER.decode(snapshot)
    spec = record.params.spec
    state = ServerState(
        record.round, record.session, record.shared,
        record.u1, record.u2, record.u3, record.u4, record.u5,
        lost=dict(record.lost),
        keys=dict(record.keys),
        relayed={dealer: dict(hashes.by_recipient) for dealer, hashes in record.relayed.items()},
        dealt=set(record.dealt),
        masked=set(record.masked),
        total=None if record.total is None else unpack(record.total, spec, spec.masked_length),
        confirmations=dict(record.confirmations),
        answers=dict(record.answers),
        disputes=set(ascending(record.disputes)),
        unfitting=record.unfitting,
        outcome=None if record.ending is None else end_outcome(record.ending),
    )  # fmt: skip
    return record.params, record.members, state
