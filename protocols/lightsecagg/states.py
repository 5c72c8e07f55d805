"""What a client holds at each point of a session, and nothing else. There is no way back along this list.

    invited -> advertised -> dealt -> masked -> fixed(U3) -> answered -> ended

The fields are those that PROTOCOLS 3E names. A state is replaced, never changed: what the next one does not take over
is gone. With U3 the single pieces go: from then on a client holds their sum over U3 and could open nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from mpc.keys import AgreementSecret, ChannelKey
from mpc.prg import Seed
from protocols.errors import PartyId
from protocols.lightsecagg.messages import AdvertiseKey, Digest, Round
from protocols.lightsecagg.numbers import Numbers
from protocols.machine import Aborted, Finished
from protocols.session import SessionParams
from protocols.wire import PartySet


@dataclass(frozen=True, slots=True)
class AwaitingInvitation:
    round: ClassVar[Round] = Round.ADVERTISE


@dataclass(frozen=True, slots=True)
class AwaitingRoster:
    """Advertised: the channel key pair is ours alone so far."""

    round: ClassVar[Round] = Round.ADVERTISE
    params: SessionParams
    own: AdvertiseKey
    channel_secret: AgreementSecret
    deal_secret: Seed  # mask and noise will follow from it


@dataclass(frozen=True, slots=True)
class AwaitingDealers:
    """Dealt: our mask lies with our peers, in pieces. One key a peer is left, for what it sends us."""

    round: ClassVar[Round] = Round.SHARE
    params: SessionParams
    numbers: Numbers
    session: Digest  # D
    u1: PartySet
    opening: Mapping[PartyId, ChannelKey]
    mask_seed: Seed
    own_piece: bytes = field(repr=False)
    sealed: Mapping[PartyId, bytes] = field(repr=False)  # by dealer, as they come in


@dataclass(frozen=True, slots=True)
class AwaitingSurvivors:
    """Masked: input, mask and keys are gone; the pieces of the others' masks, and of ours, remain."""

    round: ClassVar[Round] = Round.MASKED_INPUT
    params: SessionParams
    numbers: Numbers
    shared: Digest  # D2
    u2: PartySet
    pieces: Mapping[PartyId, bytes] = field(repr=False)  # of U2, our own with them


@dataclass(frozen=True, slots=True)
class AwaitingConfirmations:
    """Fixed: U3 is known and stays. Of the pieces only their sum over U3 is left."""

    round: ClassVar[Round] = Round.CONFIRM
    params: SessionParams
    quorum: int
    shared: Digest
    u3: PartySet
    piece: bytes = field(repr=False)  # g


@dataclass(frozen=True, slots=True)
class AwaitingResult:
    """We answered for U3. Nothing secret is left."""

    round: ClassVar[Round] = Round.AGGREGATE
    params: SessionParams
    shared: Digest
    u3: PartySet


@dataclass(frozen=True, slots=True)
class Ended:
    """Over, and for good: every later message is ignored."""

    round: ClassVar[Round] = Round.DONE
    outcome: Finished | Aborted


Running = (
    AwaitingInvitation | AwaitingRoster | AwaitingDealers | AwaitingSurvivors | AwaitingConfirmations | AwaitingResult
)  # fmt: skip
State = Running | Ended
