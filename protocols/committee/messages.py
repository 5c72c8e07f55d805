"""Every message of the committee, grouped by round, in the order of the protocol. [PROTOCOLS 3D, decision 13]

`round` is the round in which a party sends the message, or which the server opens with it. A member is a client, an
aggregator, or both; all of them speak to the server, which relays what aggregators sign. Parties are told apart by
their numbers; an aggregator's share point is 1 + its place among the aggregators of the session.
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
Nonce = Annotated[bytes, Size(32)]
Signature = Annotated[bytes, Size(64)]
Signatures = Mapping[PartyId, Signature]


class Round(StrEnum):
    """Where a machine stands. A client answers in `contribute`, an aggregator in all the others."""

    ADVERTISE = "advertise"
    CONTRIBUTE = "contribute"
    RECEIPT = "receipt"
    VOW = "vow"
    CHECK = "check"
    CERTIFY = "certify"
    SUM = "sum"
    DONE = "done"


# Round 0. server -> all: what is to be summed. aggregator -> server: its key for this session, and what binds it to a
# nonce that nobody knows yet.


@dataclass(frozen=True, slots=True)
class Invitation:
    round: ClassVar[Round] = Round.ADVERTISE
    params: SessionParams


@dataclass(frozen=True, slots=True)
class AdvertiseKey:
    round: ClassVar[Round] = Round.ADVERTISE
    aggregator: PartyId
    channel_key: Key
    commitment: Digest  # to the nonce
    signature: Signature


# Round 1. server -> aggregators, and -> clients: the committee's keys. client -> server: all that it ever says.
# server -> each aggregator: its piece of it, as it comes.


@dataclass(frozen=True, slots=True)
class Committee:
    round: ClassVar[Round] = Round.CONTRIBUTE
    entries: tuple[AdvertiseKey, ...]
    signature: Signature


@dataclass(frozen=True, slots=True)
class Card:
    """The same for a client, by itself: a member that is both learns of the committee before its input is ready."""

    round: ClassVar[Round] = Round.CONTRIBUTE
    entries: tuple[AdvertiseKey, ...]
    signature: Signature


@dataclass(frozen=True, slots=True)
class Contribution:
    """The signature is over the hashes of the pieces, so that each can be sent on alone."""

    round: ClassVar[Round] = Round.CONTRIBUTE
    ephemeral_key: Key
    signature: Signature
    sealed: bytes = field(repr=False)  # one piece for each aggregator of the card, in its order, all of one size


@dataclass(frozen=True, slots=True)
class Delivery:
    round: ClassVar[Round] = Round.CONTRIBUTE
    client: PartyId
    ephemeral_key: Key
    signature: Signature
    hashes: bytes  # 32 for each piece, in the order of the card
    sealed: bytes = field(repr=False)  # the one that is for this aggregator


# Round 2. server -> aggregators: whose contributions there are. aggregator -> server: which of these it holds, and its
# nonce.


@dataclass(frozen=True, slots=True)
class Offer:
    round: ClassVar[Round] = Round.RECEIPT
    clients: PartySet
    signature: Signature
    envelopes: bytes  # 32 for each client, in order: the digest of what it signed


@dataclass(frozen=True, slots=True)
class Receipt:
    round: ClassVar[Round] = Round.RECEIPT
    held: PartySet
    nonce: Nonce = field(repr=False)
    signature: Signature


# Round 3. server -> those that hold all of U*: the receipts, from which U* and the challenge follow. aggregator ->
# server: these are the receipts that I was shown.


@dataclass(frozen=True, slots=True)
class Receipts:
    round: ClassVar[Round] = Round.VOW
    receipts: Mapping[PartyId, Receipt]


@dataclass(frozen=True, slots=True)
class Vow:
    round: ClassVar[Round] = Round.VOW
    signature: Signature


# Round 4. server -> aggregators: the vows. aggregator -> server: for each client of U* its share's random combinations.


@dataclass(frozen=True, slots=True)
class Vows:
    round: ClassVar[Round] = Round.CHECK
    vows: Signatures


@dataclass(frozen=True, slots=True)
class CheckValues:
    round: ClassVar[Round] = Round.CHECK
    signature: Signature
    values: bytes = field(repr=False)  # packed: client by client in order, one element for each repetition


# Round 5. server -> aggregators: all of these values, from which U follows. aggregator -> server: this is the U that I
# found, and I sum no other.


@dataclass(frozen=True, slots=True)
class Checks:
    round: ClassVar[Round] = Round.CERTIFY
    signatures: Signatures
    values: bytes = field(repr=False)  # those of the signers, one after the other in their order


@dataclass(frozen=True, slots=True)
class Certify:
    round: ClassVar[Round] = Round.CERTIFY
    signature: Signature


# Round 6. server -> aggregators: the certificate. aggregator -> server: the sum over U of what it holds, once.


@dataclass(frozen=True, slots=True)
class Certificate:
    round: ClassVar[Round] = Round.SUM
    signatures: Signatures


@dataclass(frozen=True, slots=True)
class SumShare:
    round: ClassVar[Round] = Round.SUM
    signature: Signature
    share: bytes = field(repr=False)  # packed


# The end. server -> all: the sum over U, with the certificate, which a client can check. Abort goes both ways.


@dataclass(frozen=True, slots=True)
class Result:
    """agreed: what the certificate's signatures are bound to beside I and U."""

    round: ClassVar[Round] = Round.DONE
    included: PartySet
    agreed: Digest
    certificate: Signatures
    signature: Signature
    vector: bytes = field(repr=False)  # packed, without the canaries


@dataclass(frozen=True, slots=True)
class Abort:
    round: ClassVar[Round] = Round.DONE
    reason: AbortReason


Message = (
    Invitation | AdvertiseKey | Committee | Card | Contribution | Delivery | Offer | Receipt | Receipts | Vow | Vows
    | CheckValues | Checks | Certify | Certificate | SumShare | Result | Abort
)  # fmt: skip

CODEC = Codec(Message)
