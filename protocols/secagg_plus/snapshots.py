"""A client's or a server's whole state as bytes, as in `protocols/secagg/snapshots.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mpc.keys import VerifyKey
from protocols.errors import PartyId
from protocols.kept import AbortedRecord, ClientFormat, FinishedRecord, ascending
from protocols.secagg.collected import ServerState
from protocols.secagg.snapshots import ServerRecord, server_record, server_state
from protocols.secagg.states import Ended
from protocols.secagg_plus.messages import Parties, Round, SignedInput
from protocols.secagg_plus.states import Running
from protocols.session import SessionParams, Terms
from protocols.standing import Standing
from protocols.wire import Codec, PartySet


@dataclass(slots=True)
class SparseState(ServerState):
    """drawn: client -> its holders. inputs: what survivors signed with their masked inputs."""

    drawn: dict[PartyId, PartySet] = field(default_factory=dict)
    inputs: dict[PartyId, SignedInput] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SparseClientRecord:
    me: PartyId
    terms: Terms
    standing: Standing
    state: Running | AbortedRecord | FinishedRecord
    input: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class SparseServerRecord:
    shared_with_secagg: ServerRecord
    drawn: Mapping[PartyId, Parties]
    inputs: Mapping[PartyId, SignedInput]


CLIENT: Final = ClientFormat(SparseClientRecord, Ended)
_SERVER: Final = Codec(SparseServerRecord, own=True)


def dump_server(params: SessionParams, members: Mapping[PartyId, VerifyKey], state: SparseState) -> bytes:
    drawn = {client: tuple(sorted(holders)) for client, holders in state.drawn.items()}
    return _SERVER.encode(SparseServerRecord(server_record(params, members, state), drawn, state.inputs))


def load_server(snapshot: bytes) -> tuple[SessionParams, Mapping[PartyId, VerifyKey], SparseState]:
    """Raises WireError unless `snapshot` is one that `dump_server` wrote."""
    record: SparseServerRecord = _SERVER.decode(snapshot)
    state = server_state(record.shared_with_secagg, SparseState, Round)
    state.drawn = {client: frozenset(ascending(holders)) for client, holders in record.drawn.items()}
    state.inputs = dict(record.inputs)
    return record.shared_with_secagg.params, record.shared_with_secagg.members, state
