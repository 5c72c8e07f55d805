"""A client's or a server's whole state as bytes, its epoch in it. Secret, as those of `protocols/secagg`.

A round that has started is a snapshot of `protocols/secagg` within this one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mpc.field import FieldVector
from mpc.keys import VerifyKey
from protocols.epoch import states
from protocols.epoch.epochs import ClientEpoch, ServerEpoch
from protocols.epoch.messages import AdvertiseKeys, ShareKeys
from protocols.errors import DropReason, PartyId
from protocols.kept import unpack
from protocols.messages import Round
from protocols.session import SessionParams, Terms
from protocols.standing import Standing
from protocols.wire import Codec, PartySet


@dataclass(frozen=True, slots=True)
class RoundRecord:
    snapshot: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientRecord:
    me: PartyId
    terms: Terms
    standing: Standing
    state: (
        states.AwaitingInvitation | states.AwaitingStart | states.AwaitingRoster | states.AwaitingShares | RoundRecord
    )
    left: ClientEpoch | None
    input: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeptClient:
    """What `Client.restore` is made of. state: bytes once the round has started."""

    me: PartyId
    terms: Terms
    standing: Standing
    state: states.State | bytes = field(repr=False)
    left: ClientEpoch | None
    input: FieldVector | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class LossRecord:
    """`Loss`, whose round travels by the name of its own enum."""

    round: Round
    reason: DropReason


@dataclass(frozen=True, slots=True)
class SetUpRecord:
    """What a server has gathered of a set-up."""

    round: Round
    epoch: bytes
    lost: Mapping[PartyId, LossRecord]
    keys: Mapping[PartyId, AdvertiseKeys]
    u1: PartySet
    shares: Mapping[PartyId, ShareKeys]


@dataclass(frozen=True, slots=True)
class ServerRecord:
    params: SessionParams
    members: Mapping[PartyId, VerifyKey]
    now: SetUpRecord | RoundRecord
    epoch: ServerEpoch | None
    lacking: bool


_CLIENT = Codec(ClientRecord, own=True)
_SERVER = Codec(ServerRecord, own=True)


def dump_client(
    me: PartyId,
    terms: Terms,
    standing: Standing,
    now: states.State | bytes,
    left: ClientEpoch | None,
    vector: FieldVector | None,
) -> bytes:
    state = RoundRecord(now) if isinstance(now, bytes) else now
    packed = None if vector is None else terms.spec.field.pack(vector)
    return _CLIENT.encode(ClientRecord(me, terms, standing, state, left, packed))


def load_client(snapshot: bytes) -> KeptClient:
    """Raises WireError unless `snapshot` is one that `dump_client` wrote."""
    record: ClientRecord = _CLIENT.decode(snapshot)
    state = record.state.snapshot if isinstance(record.state, RoundRecord) else record.state
    spec = record.terms.spec
    vector = None if record.input is None else unpack(record.input, spec, spec.length)
    return KeptClient(record.me, record.terms, record.standing, state, record.left, vector)


def dump_server(record: ServerRecord) -> bytes:
    return _SERVER.encode(record)


def load_server(snapshot: bytes) -> ServerRecord:
    """Raises WireError unless `snapshot` is one that `dump_server` wrote."""
    record: ServerRecord = _SERVER.decode(snapshot)
    return record
