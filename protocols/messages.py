"""Every message, grouped by round, in the order of the protocol. Names: Bonawitz et al. CCS 2017, figure 4.

`round` is the round in which a client sends the message, or which the server opens with it.
Signatures and commitments are empty in the curious variant, which has no Confirm and no UnmaskRequest. Digests,
vouchers and the signatures of what is revealed are those of accountable sessions, and empty in all others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, ClassVar

from protocols.errors import AbortReason, PartyId
from protocols.session import SessionParams
from protocols.wire import Codec, PartySet, Size

Key = Annotated[bytes, Size(32)]
Signature = Annotated[bytes, Size(0, 64)]
Commitment = Annotated[bytes, Size(0, 32)]
Share = Annotated[bytes, Size(35)]  # 9 limbs in GF(2^31 - 1), packed
Ciphertext = Annotated[bytes, Size(86)]  # two shares and a tag
Digests = Annotated[bytes, Size(64)]  # of two shares


class Round(StrEnum):
    """Where a secagg machine stands. The five that a client answers are the stages of the command line."""

    ADVERTISE = "advertise"
    SHARE = "share"
    MASKED_INPUT = "masked-input"
    CONFIRM = "confirm"
    UNMASK = "unmask"
    FALLBACK = "fallback"
    DONE = "done"


# Round 0. server -> all: what is to be summed. client -> server: this session's keys, signed.


@dataclass(frozen=True, slots=True)
class Invitation:
    round: ClassVar[Round] = Round.ADVERTISE
    params: SessionParams


@dataclass(frozen=True, slots=True)
class AdvertiseKeys:
    round: ClassVar[Round] = Round.ADVERTISE
    client: PartyId
    channel_key: Key
    mask_key: Key
    signature: Signature


# Round 1. server -> all: U1 with its keys. client -> server: commitment, and for each peer both shares, sealed.


@dataclass(frozen=True, slots=True)
class Roster:
    round: ClassVar[Round] = Round.SHARE
    entries: tuple[AdvertiseKeys, ...]
    signature: Signature


@dataclass(frozen=True, slots=True)
class ShareKeys:
    round: ClassVar[Round] = Round.SHARE
    commitment: Commitment
    bundles: Mapping[PartyId, Ciphertext]  # by recipient
    signature: Signature
    digests: bytes = b""  # of both shares of each holder, in order of the party


# Round 2. server -> each: U2 and what the others sealed for it. client -> server: y, packed.


@dataclass(frozen=True, slots=True)
class Voucher:
    """What a dealer signed of what it dealt to one holder. place: the holder's among those of the dealer. path: from
    there to the root that the signature is over."""

    commitment: Commitment
    digests: Digests
    place: int
    path: bytes
    signature: Signature


@dataclass(frozen=True, slots=True)
class DeliverShares:
    round: ClassVar[Round] = Round.MASKED_INPUT
    u2: PartySet
    bundles: Mapping[PartyId, Ciphertext]  # by dealer
    signature: Signature
    vouchers: Mapping[PartyId, Voucher] = field(default_factory=dict)  # by dealer


@dataclass(frozen=True, slots=True)
class MaskedInput:
    round: ClassVar[Round] = Round.MASKED_INPUT
    masked: bytes = field(repr=False)


# Round 3. server -> all: U3, once. client -> server: "this is the U3 that I was shown". (Active only.)


@dataclass(frozen=True, slots=True)
class Survivors:
    round: ClassVar[Round] = Round.CONFIRM
    u3: PartySet
    signature: Signature


@dataclass(frozen=True, slots=True)
class Confirm:
    round: ClassVar[Round] = Round.CONFIRM
    signature: Signature


# Round 4. server -> all: the confirmations. client -> server: for each peer one secret, never two.


@dataclass(frozen=True, slots=True)
class UnmaskRequest:
    round: ClassVar[Round] = Round.UNMASK
    confirmations: Mapping[PartyId, Signature]


@dataclass(frozen=True, slots=True)
class SurvivorReveal:
    """Our share of the self seed of a member of U3."""

    share: Share = field(repr=False)


@dataclass(frozen=True, slots=True)
class DroppedReveal:
    """Active: the leaf seed that we and a member of U2 - U3 share, the seed of that one mask and of nothing else."""

    leaf_seed: Key = field(repr=False)


@dataclass(frozen=True, slots=True)
class MaskKeyReveal:
    """Our share of the mask secret of a member of U2 - U3: curious variant, and the active one's fallback."""

    share: Share = field(repr=False)


Reveal = SurvivorReveal | DroppedReveal | MaskKeyReveal


@dataclass(frozen=True, slots=True)
class UnmaskShares:
    round: ClassVar[Round] = Round.UNMASK
    reveals: Mapping[PartyId, Reveal]
    signature: Signature = b""


# Fallback, when a survivor vanished before it revealed, or a canary failed. server -> U5, client -> server, once.


@dataclass(frozen=True, slots=True)
class FallbackRequest:
    round: ClassVar[Round] = Round.FALLBACK
    dropped: PartySet


@dataclass(frozen=True, slots=True)
class FallbackShares:
    round: ClassVar[Round] = Round.FALLBACK
    shares: Mapping[PartyId, MaskKeyReveal]
    signature: Signature = b""


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
    Invitation | AdvertiseKeys | Roster | ShareKeys | DeliverShares | MaskedInput | Survivors | Confirm
    | UnmaskRequest | UnmaskShares | FallbackRequest | FallbackShares | Result | Abort
)  # fmt: skip

CODEC = Codec(Message)
