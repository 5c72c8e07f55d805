"""What a client holds at each point of a session, and nothing else. There is no way back along this list.

    invited -> advertised -> shared -> masked -> fixed(U3) -> revealed -> answered -> ended

The fields are those that PROTOCOLS 3A names. A state is replaced, never changed: what the next one does not take over
is gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from mpc.keys import AgreementSecret, ChannelKey
from mpc.prg import Seed
from protocols.errors import PartyId
from protocols.machine import Aborted, Finished
from protocols.messages import AdvertiseKeys, Round
from protocols.secagg.neighbours import EVERYBODY, Neighbourhood
from protocols.session import SessionParams
from protocols.wire import PartySet, Size

Share = Annotated[bytes, Size(35)]
OwnShare = Annotated[bytes, Size(0, 35)]  # empty in a sparse graph: nobody is a holder of its own
Digest = Annotated[bytes, Size(32)]


@dataclass(frozen=True, slots=True)
class AwaitingInvitation:
    round: ClassVar[Round] = Round.ADVERTISE


@dataclass(frozen=True, slots=True)
class AwaitingRoster:
    """Advertised: both key pairs are ours alone so far."""

    round: ClassVar[Round] = Round.ADVERTISE
    params: SessionParams
    own: AdvertiseKeys
    channel_secret: AgreementSecret
    mask_secret: AgreementSecret
    deal_secret: Seed  # b and all shares will follow from it


@dataclass(frozen=True, slots=True)
class AwaitingShares:
    """Shared: our secrets lie with our peers, sealed. One key a peer is left, for what it sends us."""

    round: ClassVar[Round] = Round.SHARE
    params: SessionParams
    threshold: int
    session: Digest  # D
    u1: Mapping[PartyId, AdvertiseKeys]
    opening: Mapping[PartyId, ChannelKey]
    mask_secret: AgreementSecret
    self_secret: Share = field(repr=False)  # b
    own_self_share: OwnShare = field(repr=False)
    neighbours: Neighbourhood = EVERYBODY


@dataclass(frozen=True, slots=True)
class AwaitingSurvivors:
    """Masked: keys, self secret and input are gone; what peers may need of us remains."""

    round: ClassVar[Round] = Round.MASKED_INPUT
    params: SessionParams
    threshold: int
    shared: Digest  # D2
    u2: PartySet
    leaf_seeds: Mapping[PartyId, Seed]
    self_shares: Mapping[PartyId, Share] = field(repr=False)  # of U2, our own with them
    mask_shares: Mapping[PartyId, Share] = field(repr=False)  # of U2 without us
    neighbours: Neighbourhood = EVERYBODY


@dataclass(frozen=True, slots=True)
class AwaitingConfirmations:
    """Fixed: U3 is known and stays. For a survivor only its self share is left, for a dropped peer only the rest."""

    round: ClassVar[Round] = Round.CONFIRM
    params: SessionParams
    threshold: int
    shared: Digest
    u2: PartySet
    u3: PartySet
    survivor_shares: Mapping[PartyId, Share] = field(repr=False)  # self shares of U3
    leaf_seeds: Mapping[PartyId, Seed]  # of U2 - U3
    mask_shares: Mapping[PartyId, Share] = field(repr=False)  # of U2 - U3
    neighbours: Neighbourhood = EVERYBODY


@dataclass(frozen=True, slots=True)
class Revealed:
    """We answered for U3. Mask shares of U2 - U3 stay, once, for the fallback."""

    round: ClassVar[Round] = Round.UNMASK
    params: SessionParams
    shared: Digest
    u3: PartySet
    mask_shares: Mapping[PartyId, Share] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AwaitingResult:
    """The fallback is answered too. Nothing secret is left."""

    round: ClassVar[Round] = Round.UNMASK
    params: SessionParams
    shared: Digest
    u3: PartySet


@dataclass(frozen=True, slots=True)
class Ended:
    """Over, and for good: every later message is ignored."""

    round: ClassVar[Round] = Round.DONE
    outcome: Finished | Aborted


Running = (
    AwaitingInvitation | AwaitingRoster | AwaitingShares | AwaitingSurvivors | AwaitingConfirmations | Revealed
    | AwaitingResult
)  # fmt: skip
State = Running | Ended
