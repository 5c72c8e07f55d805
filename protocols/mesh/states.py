"""What a peer holds at each point of a session. There is no way back along this list.

    not started -> greeted -> dealt -> input split -> summed its column -> (recovering ->) result -> ended

The fields are those that PROTOCOLS 3C needs. A state is replaced, never changed: what the next one does not take over
is gone. So the input is gone with the explicit share, a peer's column of seeds with its partial sum, and all shares but
those of lost columns with the second certificate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from mpc.keys import AgreementSecret, ChannelKey
from mpc.prg import Seed
from protocols.errors import PartyId
from protocols.machine import Aborted, Finished
from protocols.mesh.dealing import Bundle
from protocols.mesh.messages import (
    Digest,
    ExplicitShare,
    Hello,
    Holders,
    Inputs,
    Listing,
    Output,
    Ready,
    Report,
    Roster,
    Signatures,
    Sums,
    Vector,
    Vote,
)
from protocols.wire import PartySet


@dataclass(frozen=True, slots=True)
class NotStarted:
    """Nothing is drawn yet. What arrives is kept until `start`."""

    order: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class AwaitingRoster:
    """Greeted: the channel key pair is ours alone so far."""

    order: ClassVar[int] = 1
    own: Hello
    channel_secret: AgreementSecret
    deal_secret: Seed  # all seeds and shares will follow from it
    hellos: Mapping[PartyId, Hello]  # ours too
    lists: tuple[Roster, ...]


@dataclass(frozen=True, slots=True)
class AwaitingHolders:
    """Dealt: our row of seeds lies with our peers. One key a peer is left, for what it sends us."""

    order: ClassVar[int] = 2
    roster: Roster
    threshold: int
    session: Digest  # D
    opening: Mapping[PartyId, ChannelKey]
    row: Mapping[PartyId, Seed]  # our seeds, by holder
    bundles: Mapping[PartyId, Bundle]  # by dealer, ours too
    reports: Mapping[PartyId, Ready]  # ours too, once it has left
    lists: tuple[Holders, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """At least t votes for one list, named by its digest."""

    of: Digest
    signatures: Signatures


@dataclass(frozen=True, slots=True)
class Certifying:
    """Vectors are gathered, reported to the proposer, listed by it, and voted on. Twice, in one way.

    vectors: whole and checked, by party; the memory of the protocol is here (see docs/protocols/mesh.md). reports,
    votes: ours too, once they have left. choice: the list that we voted for, or will when we hold all of it.
    """

    roster: Roster
    threshold: int
    session: Digest  # D
    holders: Holders
    shared: Digest  # D2
    under: Digest  # what the lists are bound to: D2, then the digest of the certified inputs
    vectors: Mapping[PartyId, Vector]
    reports: Mapping[PartyId, Report]
    lists: tuple[Listing, ...]
    choice: Digest | None
    votes: Mapping[PartyId, Vote]
    certificate: Certificate | None


@dataclass(frozen=True, slots=True)
class CertifyingInputs(Certifying):
    """The explicit share has left, the input is gone. Nothing that opens anything leaves from here."""

    order: ClassVar[int] = 3
    row: Mapping[PartyId, Seed]  # for U2
    bundles: Mapping[PartyId, Bundle]  # of U2


@dataclass(frozen=True, slots=True)
class CertifyingSums(Certifying):
    """The partial sum has left, its seeds are gone. What may still be needed are the columns of the lost.

    explicit: kept for peers that lack one, until all have voted or the sums are certified. total: the sum of the
    explicit shares of U3, packed; None while one of them is missing here.
    """

    order: ClassVar[int] = 4
    inputs: Inputs
    row: Mapping[PartyId, Seed]  # empty where we are not in U3
    commitments: Mapping[PartyId, bytes]  # of U3
    shares: Mapping[PartyId, bytes] = field(repr=False)  # of U3
    explicit: Mapping[PartyId, ExplicitShare]
    holding: PartySet  # who is known to hold all explicit shares
    total: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What answers who still lacks seeds: our shares of the seeds between U3 and L, which the certificate lays open."""

    under: Digest  # of the certified sums
    shares: Mapping[PartyId, bytes] = field(repr=False)  # by member of U3


@dataclass(frozen=True, slots=True)
class Recovering:
    """The sums are certified and somebody is in L.

    found: by member of U3, its seeds for L, in order. answers: by member of U3 and holder. total: explicit shares and
    partial sums together; None where we could not gather them.
    """

    order: ClassVar[int] = 5
    roster: Roster
    threshold: int
    session: Digest
    holders: Holders
    shared: Digest
    inputs: Inputs
    sums: Sums
    recovery: Recovery
    commitments: Mapping[PartyId, bytes] = field(repr=False)  # by member of U3, for L
    found: Mapping[PartyId, bytes] = field(repr=False)
    answers: Mapping[PartyId, Mapping[PartyId, bytes]] = field(repr=False)
    asked: bool
    total: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class AwaitingOutputs:
    """The result is known here, or will be fetched once t peers have signed one. No secret is left."""

    order: ClassVar[int] = 6
    roster: Roster
    threshold: int
    holders: Holders
    shared: Digest
    inputs: Inputs
    sums: Sums
    recovery: Recovery
    outputs: Mapping[PartyId, Output]  # ours too
    result: bytes | None = field(repr=False)  # packed, without the canaries


@dataclass(frozen=True, slots=True)
class Ended:
    """Over, and for good. A peer that lacks the sum, or shares of the lost columns, is still answered."""

    order: ClassVar[int] = 7
    outcome: Finished | Aborted
    recovery: Recovery | None = None


Running = (
    NotStarted | AwaitingRoster | AwaitingHolders | CertifyingInputs | CertifyingSums | Recovering | AwaitingOutputs
)
Shared = CertifyingInputs | CertifyingSums | Recovering | AwaitingOutputs  # U2 is known
State = Running | Ended
