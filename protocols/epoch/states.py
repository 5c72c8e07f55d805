"""What a client holds until its input has left. From there on it is a client of `protocols/secagg`.

invited -> advertised -> shared -> masked ..            in the session that sets the epoch up
holding an epoch -> masked ..                           in the others
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from mpc.keys import AgreementSecret, ChannelKey
from mpc.prg import Seed
from protocols.epoch.epochs import ClientEpoch
from protocols.epoch.messages import AdvertiseKeys
from protocols.errors import PartyId
from protocols.messages import Round
from protocols.session import SessionParams
from protocols.wire import Size

Digest = Annotated[bytes, Size(32)]


@dataclass(frozen=True, slots=True)
class AwaitingInvitation:
    """We hold no epoch."""

    round: ClassVar[Round] = Round.ADVERTISE


@dataclass(frozen=True, slots=True)
class AwaitingStart:
    """We hold an epoch, from the session before."""

    round: ClassVar[Round] = Round.SHARE
    epoch: ClientEpoch


@dataclass(frozen=True, slots=True)
class AwaitingRoster:
    """Advertised: all key pairs are ours alone so far."""

    round: ClassVar[Round] = Round.ADVERTISE
    params: SessionParams
    own: AdvertiseKeys
    channel_secret: AgreementSecret
    root: Seed  # a^1: the secrets of every round follow from it
    deal_secret: Seed  # and from it their shares


@dataclass(frozen=True, slots=True)
class AwaitingShares:
    """Shared: our secrets of all rounds lie with our peers, sealed. Of ours we keep the first root alone."""

    round: ClassVar[Round] = Round.SHARE
    params: SessionParams
    threshold: int
    epoch: Digest  # D_E
    u1: Mapping[PartyId, AdvertiseKeys]
    opening: Mapping[PartyId, ChannelKey]
    root: Seed
    own_shares: bytes = field(repr=False)  # ours of our own self secrets, in the order of the rounds


State = AwaitingInvitation | AwaitingStart | AwaitingRoster | AwaitingShares
