"""What a driver knows of a protocol before it has a machine of it.

A network, a simulator or a framework that is handed a `Family` runs its sessions without knowing which one it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from mpc.keys import SigningKey, VerifyKey
from mpc.randomness import Randomness
from protocols.errors import PartyId
from protocols.evidence import Evidence, Testimony
from protocols.ledger import NOTHING_ANSWERED, ONE_VERSION, Ledger
from protocols.machine import Collector, Contributor, EpochCollector, Peering
from protocols.session import SessionParams, Terms, Variant
from protocols.wire import Codec, PartySet


class ContributorOf(Protocol):
    """Makes a party's machine, from nothing that a server said. Raises LocalProtocolError."""

    def __call__(
        self,
        me: PartyId,
        *,
        identity: SigningKey,
        terms: Terms,
        rand: Randomness,
        ledger: Ledger = NOTHING_ANSWERED,
        local_version: bytes = ONE_VERSION,
    ) -> Contributor: ...


class PeerOf(Protocol):
    """Makes a peer's machine: there is no server to propose a session, so it is built with the parameters too."""

    def __call__(
        self,
        me: PartyId,
        *,
        identity: SigningKey,
        terms: Terms,
        params: SessionParams,
        rand: Randomness,
        ledger: Ledger = NOTHING_ANSWERED,
        local_version: bytes = ONE_VERSION,
    ) -> Peering: ...


class CollectorOf(Protocol):
    """Makes a coordinator's machine. Raises LocalProtocolError."""

    def __call__(
        self, params: SessionParams, *, identity: SigningKey, members: dict[PartyId, VerifyKey]
    ) -> Collector: ...


class EpochCollectorOf(Protocol):
    """Makes a coordinator's machine for the members that are connected now. epoch: what the session before left behind.
    Raises LocalProtocolError.
    """

    def __call__(
        self, params: SessionParams, *, identity: SigningKey, members: dict[PartyId, VerifyKey], epoch: Any = None
    ) -> EpochCollector: ...


class TestimonyOf(Protocol):
    """Works out what the evidence of a session amounts to. members: of the whole consortium. Raises EvidenceRefused."""

    def __call__(self, params: SessionParams, members: PartySet, evidence: Evidence) -> Testimony: ...


class Restore(Protocol):
    """Goes on from a party's last snapshot, as its ledger says that it is. Raises LocalProtocolError."""

    def __call__(self, snapshot: bytes, *, identity: SigningKey, rand: Randomness, ledger: Ledger) -> Contributor: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of the largest encoded message of a session. up: of one that is no upload. upload: of one that is. down: of
    one that a server, or a peer, sends.
    """

    up: int
    upload: int
    down: int


def vector_limits(params: SessionParams, parties: int) -> Limits:
    """Of most protocols: some hundred bytes a party and round of the epoch, more with vouchers; in uploads, and down,
    one vector.
    """
    small = 16 * 1024 + (768 if params.accountable else 256) * parties * params.rounds_per_epoch
    large = small + params.spec.masked_size
    return Limits(small, large, large)


def threshold_alone(params: SessionParams, parties: int) -> Mapping[str, int]:
    """The numbers of a protocol that has no others than its threshold."""
    return {"t": params.threshold_for(parties)}


def no_testimony(params: SessionParams, members: PartySet, evidence: Evidence) -> Testimony:
    """Of a protocol whose machines show nothing."""
    return Testimony()


@dataclass(frozen=True, slots=True)
class Family:
    """One protocol, as its drivers see it.

    rounds: all of them; the one called done is the end. stages: those in which a party sends something, in their order:
    where it can be lost, by the names of the command line. input_stage: the one of them in which the input leaves.
    uploads: the messages to the server that are about as large as a vector; a network takes few of them at a time.
    held_back: a message that is delivered only when the input is set (None: the input is set before `start`).
    contributor, collector: of a protocol with a server. peer: of one without. restore: from a party's last snapshot.
    epoch_collector: the same as collector, where sessions hand on an epoch; the contributor takes `epoch` as well.
    testimony: for whoever checks the record of a session; of a protocol whose machines show nothing, nothing.
    variants: those that it has. limits: what a network accepts at most, by the session and its number of parties.
    numbers: what follows from these two, for people, by the names of the papers; k: with how many others each party
    shares its secrets. Raises ValueError, with the remedy, where no numbers fit.
    """

    name: str
    codec: Codec
    rounds: type[StrEnum]
    stages: Callable[[Variant], tuple[StrEnum, ...]]
    input_stage: StrEnum
    uploads: tuple[type[Any], ...]
    held_back: type[Any] | None
    restore: Restore
    contributor: ContributorOf | None = None
    collector: CollectorOf | None = None
    epoch_collector: EpochCollectorOf | None = None
    restore_collector: Callable[..., Collector] | None = None
    peer: PeerOf | None = None
    variants: tuple[Variant, ...] = tuple(Variant)
    limits: Callable[[SessionParams, int], Limits] = vector_limits
    numbers: Callable[[SessionParams, int], Mapping[str, int]] = threshold_alone
    testimony: TestimonyOf = no_testimony
