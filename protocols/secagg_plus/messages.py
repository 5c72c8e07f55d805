"""What a sparse graph says in addition, or otherwise, and the whole of secagg+'s messages. [Bell et al., CCS 2020]

The others are those of `protocols/messages.py`. In the curious variant there is no ChooseHolders, no Confirm and no
UnmaskRequest, and signatures are empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, ClassVar

from protocols import messages
from protocols.errors import PartyId
from protocols.messages import (
    Abort,
    AdvertiseKeys,
    Confirm,
    DeliverShares,
    Invitation,
    Result,
    ShareKeys,
    Signature,
    UnmaskRequest,
    UnmaskShares,
)
from protocols.wire import Codec, PartySet, Size

Digest = Annotated[bytes, Size(32)]
Parties = tuple[PartyId, ...]  # in ascending order, each once


class Round(StrEnum):
    """Where a machine stands. Those that secagg has too are equal to its own, by name and value."""

    ADVERTISE = "advertise"
    CHOOSE_HOLDERS = "choose-holders"
    SHARE = "share"
    MASKED_INPUT = "masked-input"
    CONFIRM = "confirm"
    UNMASK = "unmask"
    DONE = "done"


# Round 0b. server -> all: U1, and the root over its keys. client -> server: who is to hold its shares. (Active only.)


@dataclass(frozen=True, slots=True)
class Roster:
    round: ClassVar[Round] = Round.CHOOSE_HOLDERS
    u1: PartySet
    root: Digest
    signature: Signature


@dataclass(frozen=True, slots=True)
class ChooseHolders:
    round: ClassVar[Round] = Round.CHOOSE_HOLDERS
    holders: Parties


# Round 1. server -> each: whose shares it will hold, and the keys of all its peers, its own with them.


@dataclass(frozen=True, slots=True)
class Opened:
    """An entry, and its path to the root in the roster."""

    entry: AdvertiseKeys
    path: bytes


@dataclass(frozen=True, slots=True)
class Neighbours:
    round: ClassVar[Round] = Round.SHARE
    owners: Parties
    entries: tuple[Opened, ...]  # in order of the party


# Round 2. client -> server: y, packed, and that it was made under this D2.


@dataclass(frozen=True, slots=True)
class MaskedInput:
    round: ClassVar[Round] = Round.MASKED_INPUT
    signature: Signature
    masked: bytes = field(repr=False)


# Round 3. server -> each: U3, once, and what its peers in it signed when they masked.


@dataclass(frozen=True, slots=True)
class SignedInput:
    """The hash of a masked input, and its party's signature over D2 and it."""

    hash: Digest
    signature: Signature


@dataclass(frozen=True, slots=True)
class Survivors(messages.Survivors):
    inputs: Mapping[PartyId, SignedInput]


Message = (
    Invitation | AdvertiseKeys | Roster | ChooseHolders | Neighbours | ShareKeys | DeliverShares | MaskedInput
    | Survivors | Confirm | UnmaskRequest | UnmaskShares | Result | Abort
)  # fmt: skip

CODEC = Codec(Message)
