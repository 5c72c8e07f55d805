"""What the textbook's parties say. No signature anywhere, and no word about which session it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from protocols.errors import PartyId
from protocols.wire import Codec, PartySet
from simulations.attacks.naive.machine import Stage


@dataclass(frozen=True, slots=True)
class Invitation:
    """server -> client: all numbers are the server's."""

    round: ClassVar[Stage] = Stage.KEYS
    threshold: int
    scale: int  # whole numbers for 1.0
    model: bytes


@dataclass(frozen=True, slots=True)
class AdvertiseKeys:
    """point: where the client wants its shares to lie."""

    round: ClassVar[Stage] = Stage.KEYS
    point: int
    channel_key: bytes
    mask_key: bytes


@dataclass(frozen=True, slots=True)
class Roster:
    round: ClassVar[Stage] = Stage.SHARES
    entries: Mapping[PartyId, AdvertiseKeys]


@dataclass(frozen=True, slots=True)
class ShareKeys:
    round: ClassVar[Stage] = Stage.SHARES
    bundles: Mapping[PartyId, bytes]  # by recipient


@dataclass(frozen=True, slots=True)
class DeliverShares:
    """By dealer: these are U2."""

    round: ClassVar[Stage] = Stage.MASKED
    bundles: Mapping[PartyId, bytes]


@dataclass(frozen=True, slots=True)
class MaskedInput:
    round: ClassVar[Stage] = Stage.MASKED
    masked: bytes


@dataclass(frozen=True, slots=True)
class UnmaskRequest:
    round: ClassVar[Stage] = Stage.UNMASK
    survivors: PartySet
    dropped: PartySet


@dataclass(frozen=True, slots=True)
class UnmaskShares:
    """Of each survivor the share of its b, of each dropped the share of its mask secret."""

    round: ClassVar[Stage] = Stage.UNMASK
    self_shares: Mapping[PartyId, bytes]
    mask_shares: Mapping[PartyId, bytes]


@dataclass(frozen=True, slots=True)
class RoundStart:
    """Of the engine that keeps its keys: mask your update on this model under the masks of round `number`."""

    round: ClassVar[Stage] = Stage.MASKED
    number: int
    model: bytes


CODEC = Codec(
    Invitation | AdvertiseKeys | Roster | ShareKeys | DeliverShares | MaskedInput | UnmaskRequest | UnmaskShares
    | RoundStart
)  # fmt: skip
