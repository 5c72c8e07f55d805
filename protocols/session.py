"""What a session is (`SessionParams`, hashed into every key) and what a party puts up with (`Terms`, its own policy).

PROTOCOLS: a coordinator proposes the first, each party holds the second, and a party never takes a number of the first
that its own second does not admit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Annotated

from mpc.field import PrimeField
from mpc.hashing import digest
from mpc.keys import KeyRefused, VerifyKey
from mpc.randomness import Randomness
from protocols.errors import SERVER, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.wire import PartySet, Size, bitmap

WIRE = "veilsum/2"
TEST_WIRE = "veilsum-test/2"  # seeded sessions: their secrets are known, so they cannot talk to real ones

CANARY_BITS = 64
SMALLEST_COHORT = 3
SMALLEST_CHANGE = 2  # members: one alone is what a difference of two sums would be about
RETRIES_AFTER_REVEAL = 1
MAX_LENGTH = 2**28
MOST_ROUNDS_PER_EPOCH = 1000

PROTOCOLS = ("secagg", "secagg+", "mesh", "committee", "lightsecagg")
"""The names under which a consortium agrees on a protocol."""

ACCOUNTABLE = ("secagg", "secagg+")
"""Of these, those whose dealers can sign for the shares that they deal."""

EVERYBODY: PartySet = frozenset()
"""`aggregators` of a session in which each member aggregates."""

Digest = Annotated[bytes, Size(32)]


class Variant(StrEnum):
    """ACTIVE withstands a server that lies. CURIOUS only one that follows the protocol and looks."""

    ACTIVE = "active"
    CURIOUS = "curious"


@dataclass(frozen=True, slots=True)
class VectorSpec:
    """The shape of every input: `length` elements of `field`. On the wire the canaries follow them."""

    length: int
    field: PrimeField

    def __post_init__(self) -> None:
        if not 1 <= self.length <= MAX_LENGTH:
            raise ValueError(f"a vector has 1 to {MAX_LENGTH} elements, not {self.length}")

    @property
    def canaries(self) -> int:
        """Coordinates that are zero in every contribution: a sum that is not zero there has a wrong mask in it."""
        return -(-CANARY_BITS // self.field.bits)

    @property
    def masked_length(self) -> int:
        return self.length + self.canaries

    @property
    def masked_size(self) -> int:
        """Bytes of one packed masked vector."""
        return -(-self.masked_length * self.field.bits // 8)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is being summed, over what, for whom. Every party fills this in from what it holds itself."""

    consortium: Digest
    version: int
    coordinator: Digest  # its Ed25519 verify key
    model: Digest
    config: Digest
    last_record: Digest


NO_RECORD = bytes(32)
NO_COORDINATOR = bytes(32)
"""`Subject.coordinator` of a session between peers."""

_AGREED_NONCE = "agreed nonce"


def agreed_nonce(consortium: bytes, model: bytes, attempt: int) -> bytes:
    """Of a session that nobody proposes: each peer works it out alike. attempt: at this step, from 1."""
    return digest(_AGREED_NONCE, consortium, model, attempt)


def model_digest(payload: bytes) -> bytes:
    """The hash of the model bytes that a party loaded itself (they carry name, dtype, shape and order)."""
    return digest("model", sha256(payload).digest())


@dataclass(frozen=True, slots=True)
class SessionParams:
    """One session as its coordinator proposes it.

    colluding: how many parties may side with the coordinator (c). threshold: the least t, whatever the rule gives.
    cohort: the fewest inputs that a sum may cover. nonce: 32 bytes, fresh for each session. losses: how many parties
    may vanish after they gave away shares, and the sum still comes (d); the protocols that choose degrees or packings
    by it say how. aggregators: of a committee, those members that aggregate and contribute nothing; EVERYBODY where
    each member does both. rounds_per_epoch: so many sums follow one exchange of keys. accountable: dealers sign for
    the shares that they deal and holders for those that they reveal, so that who sent a wrong one is proven.
    """

    subject: Subject
    spec: VectorSpec
    nonce: Digest
    colluding: int
    threshold: int = 1
    cohort: int = SMALLEST_COHORT
    variant: Variant = Variant.ACTIVE
    protocol: str = "secagg"
    wire: str = WIRE
    losses: int = 0
    aggregators: PartySet = EVERYBODY
    rounds_per_epoch: int = 1
    accountable: bool = False

    def __post_init__(self) -> None:
        if min(self.colluding, self.threshold, self.cohort, self.losses) < 0:
            raise ValueError("colluding, threshold, cohort and losses are counts")
        if not 1 <= self.rounds_per_epoch <= MOST_ROUNDS_PER_EPOCH:
            raise ValueError(f"an epoch has 1 to {MOST_ROUNDS_PER_EPOCH} rounds, not {self.rounds_per_epoch}")
        if self.accountable:
            require_accountable(self.protocol, self.variant, self.rounds_per_epoch)

    @property
    def digest(self) -> bytes:
        """I: binds every signature and key of the session to all of this."""
        subject, spec = self.subject, self.spec
        return digest(
            "invite", self.wire, self.protocol, self.variant.value,
            subject.consortium, subject.version, subject.coordinator, self.nonce,
            spec.length, spec.field.modulus, self.colluding, self.threshold, self.cohort,
            subject.model, subject.config, subject.last_record,
            self.losses, bitmap(self.aggregators), self.rounds_per_epoch, int(self.accountable),
        )  # fmt: skip

    @property
    def floor(self) -> int:
        """The fewest inputs that a sum may cover: two honest ones at the least, and never a pair."""
        return smallest_cohort(self.colluding, self.cohort)

    def threshold_for(self, clients: int) -> int:
        """t when `clients` advertised: the smallest that the variant allows, or the agreed least if that is more."""
        return max(self.threshold, smallest_threshold(self.variant, clients, self.colluding))


def require_accountable(protocol: str, variant: Variant, rounds_per_epoch: int) -> None:
    """Raises ValueError where no dealer of such a session can sign for its shares."""
    if protocol not in ACCOUNTABLE or variant is not Variant.ACTIVE or rounds_per_epoch > 1:
        raise ValueError(
            f"accountable sessions are of {' or '.join(ACCOUNTABLE)}, active and without epochs: "
            f"agree on one of these, or leave accountable out"
        )


def smallest_cohort(colluding: int, cohort: int = SMALLEST_COHORT) -> int:
    return max(SMALLEST_COHORT, colluding + 2, cohort)


def smallest_threshold(variant: Variant, clients: int, colluding: int) -> int:
    """Active: 2t > n + c, so that no two sets of t helpers differ in honest parties only. Curious: t > c."""
    if variant is Variant.ACTIVE:
        return (clients + colluding) // 2 + 1
    return max(2, colluding + 1)


def most_colluders(parties: int, losses: int) -> int | None:
    """The largest c with c + 2d < n whose floor the survivors still meet; None where there is none."""
    most = min(parties - 2 * losses - 1, parties - losses - 2)
    return most if most >= 0 and parties - losses >= SMALLEST_COHORT else None


def domain(rand: Randomness) -> str:
    return TEST_WIRE if rand.seeded else WIRE


@dataclass(frozen=True, slots=True)
class Terms:
    """A party's own policy. It is built from the party's files and from nothing that a server sent.

    subject: what this party believes is being summed. members: the identities that it accepts, itself among them.
    spec: the exact vector. max_colluding: the most colluders that its input must survive. cohort: the fewest inputs
    that it agrees to be summed with. variant, protocol, aggregators, rounds_per_epoch, accountable: the only ones that
    it takes part in.

    Against differencing (PROTOCOLS rule 13). smallest_change: fewer members that joined or left since a sum before are
    warned of. strict: such a sum is refused instead. retries_after_reveal: how often it contributes a
    re-trained input to a step after a session in which its UnmaskShares had left; 0 where the input cannot be trained
    anew, as with statistics.
    """

    subject: Subject
    members: Mapping[PartyId, VerifyKey]
    spec: VectorSpec
    max_colluding: int
    cohort: int = SMALLEST_COHORT
    variant: Variant = Variant.ACTIVE
    protocol: str = "secagg"
    smallest_change: int = SMALLEST_CHANGE
    strict: bool = False
    retries_after_reveal: int = RETRIES_AFTER_REVEAL
    aggregators: PartySet = EVERYBODY
    rounds_per_epoch: int = 1
    accountable: bool = False

    @property
    def floor(self) -> int:
        return smallest_cohort(self.max_colluding, self.cohort)

    @property
    def coordinator_key(self) -> VerifyKey:
        """Raises LocalProtocolError where the subject names no coordinator."""
        try:
            return VerifyKey(self.subject.coordinator)
        except KeyRefused as exc:
            raise LocalProtocolError(f"the terms name no coordinator: {exc}") from exc

    def check_invitation(self, params: SessionParams, wire: str) -> None:
        """Raises PeerMisbehaved: the session is not one that this party takes part in."""
        expected = (
            ("protocol", params.protocol, self.protocol),
            ("wire version", params.wire, wire),
            ("variant", params.variant, self.variant),
            ("vector", params.spec, self.spec),
            ("consortium", params.subject.consortium, self.subject.consortium),
            ("consortium version", params.subject.version, self.subject.version),
            ("coordinator", params.subject.coordinator, self.subject.coordinator),
            ("model", params.subject.model, self.subject.model),
            ("configuration", params.subject.config, self.subject.config),
            ("last record", params.subject.last_record, self.subject.last_record),
            ("committee", params.aggregators, self.aggregators),
            ("number of rounds an epoch", params.rounds_per_epoch, self.rounds_per_epoch),
            ("accountability", params.accountable, self.accountable),
        )
        for name, offered, own in expected:
            if offered != own:
                raise PeerMisbehaved(SERVER, DropReason.OUTSIDE_TERMS, f"its {name} is not the one that we hold")
        if params.colluding < self.max_colluding:
            raise PeerMisbehaved(
                SERVER,
                DropReason.OUTSIDE_TERMS,
                f"it plans for {params.colluding} colluding parties, our terms ask for {self.max_colluding}",
            )

    def check_cohort(self, params: SessionParams, clients: Iterable[PartyId]) -> int:
        """The threshold once the real n is known. Raises PeerMisbehaved where it protects less than our terms ask."""
        ids = list(clients)
        self.require_members(ids)
        threshold = params.threshold_for(len(ids))
        least = smallest_threshold(params.variant, len(ids), self.max_colluding)
        if not least <= threshold <= len(ids):
            raise PeerMisbehaved(
                SERVER,
                DropReason.OUTSIDE_TERMS,
                f"threshold {threshold} of {len(ids)} parties, our terms ask for {least} to {len(ids)}",
            )
        self.require_floor(len(ids), params)
        return threshold

    def require_members(self, parties: Iterable[PartyId]) -> None:
        """Raises PeerMisbehaved when one of them is nobody that we know."""
        if unknown := sorted(set(parties) - self.members.keys()):
            raise PeerMisbehaved(SERVER, DropReason.OUTSIDE_TERMS, f"party {unknown[0]} is not in our consortium")

    def require_floor(self, size: int, params: SessionParams) -> None:
        """Raises PeerMisbehaved when a sum would cover fewer inputs than both sides agreed on."""
        floor = max(self.floor, params.floor)
        if size < floor:
            raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, f"{size} parties, a sum must cover at least {floor}")
