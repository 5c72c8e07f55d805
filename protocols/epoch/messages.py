"""What an epoch says that a single session does not: the keys of B rounds at once, and the start of each round.

From the masked input on a round says what `protocols/messages.py` says. `round` is the name that a stage has there too.
[PROTOCOLS 3F]
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from protocols.errors import PartyId
from protocols.messages import (
    Abort,
    Confirm,
    FallbackRequest,
    FallbackShares,
    Invitation,
    MaskedInput,
    Result,
    Round,
    Survivors,
    UnmaskRequest,
    UnmaskShares,
)
from protocols.messages import AdvertiseKeys as SingleKeys
from protocols.session import SessionParams
from protocols.wire import Codec, PartySet, Size

Key = Annotated[bytes, Size(32)]
Digest = Annotated[bytes, Size(32)]
Commitment = Annotated[bytes, Size(32)]
Signature = Annotated[bytes, Size(64)]

# Round 0, after Invitation. client -> server: the keys of all rounds, under one signature.


@dataclass(frozen=True, slots=True)
class AdvertiseKeys:
    round: ClassVar[Round] = Round.ADVERTISE
    client: PartyId
    channel_key: Key
    mask_keys: tuple[Key, ...]  # of round 1 first
    signature: Signature


def single_keys(entry: AdvertiseKeys, place: int) -> SingleKeys:
    """Its keys of one round (the first is at place 0), in the form of a single session's."""
    return SingleKeys(entry.client, entry.channel_key, entry.mask_keys[place], b"")


# Round 1. server -> all: U1 with its keys. client -> server: for each peer the shares of all rounds in one bundle.


@dataclass(frozen=True, slots=True)
class Roster:
    round: ClassVar[Round] = Round.SHARE
    entries: tuple[AdvertiseKeys, ...]
    signature: Signature


@dataclass(frozen=True, slots=True)
class ShareKeys:
    round: ClassVar[Round] = Round.SHARE
    commitments: tuple[Commitment, ...]  # to the self secret of each round
    signature: Signature
    bundles: Mapping[PartyId, bytes]  # by recipient


# The start of a round. server -> U2_r: what is summed, and over whom. With the first one the bundles are delivered.


@dataclass(frozen=True, slots=True)
class RoundStart:
    """epoch: D_E. number: r, from 1. bundles: by dealer in the session that set the epoch up, later empty."""

    round: ClassVar[Round] = Round.MASKED_INPUT
    epoch: Digest
    number: int
    params: SessionParams
    u2: PartySet
    signature: Signature
    bundles: Mapping[PartyId, bytes] = field(repr=False)


Message = (
    Invitation | AdvertiseKeys | Roster | ShareKeys | RoundStart | MaskedInput | Survivors | Confirm | UnmaskRequest
    | UnmaskShares | FallbackRequest | FallbackShares | Result | Abort
)  # fmt: skip

CODEC = Codec(Message)
