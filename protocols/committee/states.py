"""What a member holds in each of its two roles at each point of a session, and nothing else. There is no way back.

    client       awaiting the card -> contributed
    aggregator   awaiting the committee -> collecting -> receipts -> vows -> checks -> certificate -> answered

A state is replaced, never changed: what the next one does not take over is gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from mpc.keys import AgreementSecret
from mpc.prg import Seed
from protocols.committee.messages import AdvertiseKey, Digest, Nonce, Receipt, Round
from protocols.errors import PartyId
from protocols.wire import PartySet


@dataclass(frozen=True, slots=True)
class AwaitingCard:
    """Invited. The key pair is for one contribution, all noise follows from the deal secret."""

    round: ClassVar[Round] = Round.ADVERTISE
    ephemeral_secret: AgreementSecret
    deal_secret: Seed


@dataclass(frozen=True, slots=True)
class Contributed:
    """All that we have to say is said. Input, noise and key are gone."""

    round: ClassVar[Round] = Round.CONTRIBUTE


@dataclass(frozen=True, slots=True)
class AwaitingCommittee:
    """Advertised: our key for this session, and a nonce that nobody knows."""

    round: ClassVar[Round] = Round.ADVERTISE
    own: AdvertiseKey
    channel_secret: AgreementSecret
    nonce: Nonce = field(repr=False)


@dataclass(frozen=True, slots=True)
class Held:
    """Our share of one client's input, and the digest of all that the client signed. The share is packed."""

    envelope: Digest
    share: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Collecting:
    """Contributions come; those that open are held."""

    round: ClassVar[Round] = Round.CONTRIBUTE
    session: Digest  # D
    entries: tuple[AdvertiseKey, ...]
    channel_secret: AgreementSecret
    nonce: Nonce = field(repr=False)
    held: Mapping[PartyId, Held]


@dataclass(frozen=True, slots=True)
class AwaitingReceipts:
    """What we hold of what is offered is said, our nonce is open. The key is gone: nothing more is opened."""

    round: ClassVar[Round] = Round.RECEIPT
    entries: tuple[AdvertiseKey, ...]
    offered: Digest
    clients: PartySet
    own: Receipt
    shares: Mapping[PartyId, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AwaitingVows:
    """We vowed to answer this challenge and no other. committee: those that hold all of U*, the candidates."""

    round: ClassVar[Round] = Round.VOW
    agreed: Digest
    challenge: Seed
    committee: PartySet
    candidates: PartySet
    shares: Mapping[PartyId, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AwaitingChecks:
    """Our check values are out."""

    round: ClassVar[Round] = Round.CHECK
    agreed: Digest
    committee: PartySet
    candidates: PartySet
    shares: Mapping[PartyId, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AwaitingCertificate:
    """U is fixed for us. Single shares are gone, their sum is left."""

    round: ClassVar[Round] = Round.CERTIFY
    agreed: Digest
    committee: PartySet
    included: PartySet
    share: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """The sum of our shares is out. No secret is left."""

    round: ClassVar[Round] = Round.SUM
    agreed: Digest
    included: PartySet


ClientState = AwaitingCard | Contributed
AggregatorState = (
    AwaitingCommittee | Collecting | AwaitingReceipts | AwaitingVows | AwaitingChecks | AwaitingCertificate | Answered
)
