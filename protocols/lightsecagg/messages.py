"""Every message, grouped by round, in the order of the protocol. [So et al., LightSecAgg, MLSys 2022; PROTOCOLS 3E]

`round` is the round in which a client sends the message, or which the server opens with it.
Signatures are empty in the curious variant, which has no Confirm and no AggregateRequest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, ClassVar

from protocols.errors import AbortReason, PartyId
from protocols.session import SessionParams
from protocols.wire import Codec, PartySet, Size

Key = Annotated[bytes, Size(32)]
Digest = Annotated[bytes, Size(32)]
Signature = Annotated[bytes, Size(0, 64)]


class Round(StrEnum):
    """Where a machine stands. All that a client answers are stages of the command line."""

    ADVERTISE = "advertise"
    SHARE = "share-pieces"
    MASKED_INPUT = "masked-input"
    CONFIRM = "confirm"
    AGGREGATE = "aggregate"
    DONE = "done"


# Round 0. server -> all: what is to be summed. client -> server: this session's key, signed.


@dataclass(frozen=True, slots=True)
class Invitation:
    round: ClassVar[Round] = Round.ADVERTISE
    params: SessionParams


@dataclass(frozen=True, slots=True)
class AdvertiseKey:
    round: ClassVar[Round] = Round.ADVERTISE
    client: PartyId
    channel_key: Key
    signature: Signature


# Round 1. server -> all: U1 with its keys. client -> server -> recipient, one by one: f_i(alpha_j), sealed.
# client -> server, at the end: what it sealed for whom, by its hashes, signed.


@dataclass(frozen=True, slots=True)
class Roster:
    round: ClassVar[Round] = Round.SHARE
    entries: tuple[AdvertiseKey, ...]
    signature: Signature


@dataclass(frozen=True, slots=True)
class Piece:
    round: ClassVar[Round] = Round.SHARE
    recipient: PartyId
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Relayed:
    """A piece on the second half of its way."""

    round: ClassVar[Round] = Round.SHARE
    dealer: PartyId
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Dealt:
    round: ClassVar[Round] = Round.SHARE
    hashes: Mapping[PartyId, Digest]  # by recipient
    signature: Signature


# Round 2. server -> U2: whose pieces have all gone out. client -> server: y, packed.


@dataclass(frozen=True, slots=True)
class Dealers:
    round: ClassVar[Round] = Round.MASKED_INPUT
    u2: PartySet
    signature: Signature


@dataclass(frozen=True, slots=True)
class MaskedInput:
    round: ClassVar[Round] = Round.MASKED_INPUT
    masked: bytes = field(repr=False)


# Round 3. server -> U3: the set, once. client -> server: "this is the U3 that I was shown". (Active only.)


@dataclass(frozen=True, slots=True)
class Survivors:
    round: ClassVar[Round] = Round.CONFIRM
    u3: PartySet
    signature: Signature


@dataclass(frozen=True, slots=True)
class Confirm:
    round: ClassVar[Round] = Round.CONFIRM
    signature: Signature


# Round 4. server -> U4: the confirmations (active only). client -> server: the sum,
# over U3, of the pieces that it holds.


@dataclass(frozen=True, slots=True)
class AggregateRequest:
    round: ClassVar[Round] = Round.AGGREGATE
    confirmations: Mapping[PartyId, Signature]


@dataclass(frozen=True, slots=True)
class AggregatedPiece:
    round: ClassVar[Round] = Round.AGGREGATE
    piece: bytes = field(repr=False)


# The end. server -> all: the sum over U3. Abort goes both ways.


@dataclass(frozen=True, slots=True)
class Result:
    round: ClassVar[Round] = Round.DONE
    included: PartySet
    signature: Signature
    vector: bytes = field(repr=False)  # packed, without the canaries


@dataclass(frozen=True, slots=True)
class Abort:
    round: ClassVar[Round] = Round.DONE
    reason: AbortReason
    accused: PartyId | None


Message = (
    Invitation | AdvertiseKey | Roster | Piece | Relayed | Dealt | Dealers | MaskedInput | Survivors | Confirm
    | AggregateRequest | AggregatedPiece | Result | Abort
)  # fmt: skip

CODEC = Codec(Message)
