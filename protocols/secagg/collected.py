"""What a server has collected at each point of a session."""

from dataclasses import dataclass, field
from enum import StrEnum

from mpc.field import FieldVector
from protocols.errors import DropReason, PartyId
from protocols.evidence import Dispute
from protocols.machine import Outcome
from protocols.messages import AdvertiseKeys, FallbackShares, Round, ShareKeys, UnmaskShares
from protocols.secagg.proofs import Proof
from protocols.secagg.vouching import Dealing
from protocols.wire import PartySet

NOBODY: PartySet = frozenset()


@dataclass(frozen=True, slots=True)
class Loss:
    """A party is out: `round` is the one whose answer of it never came."""

    round: StrEnum
    reason: DropReason


@dataclass(slots=True)
class ServerState:
    """All that a server knows. The sets are written once, when their round closes.

    Answers are kept by client while something still depends on them; a masked vector goes straight into `total`.
    """

    round: StrEnum = Round.ADVERTISE
    session: bytes = b""  # D, once U1 is fixed
    shared: bytes = b""  # D2, once U2 is
    u1: PartySet = NOBODY
    u2: PartySet = NOBODY
    u3: PartySet = NOBODY
    u4: PartySet = NOBODY
    u5: PartySet = NOBODY
    lost: dict[PartyId, Loss] = field(default_factory=dict)
    keys: dict[PartyId, AdvertiseKeys] = field(default_factory=dict)
    taken: set[bytes] = field(default_factory=set)  # every public key in `keys`
    shares: dict[PartyId, ShareKeys] = field(default_factory=dict)
    masked: set[PartyId] = field(default_factory=set)
    total: FieldVector | None = field(default=None, repr=False)
    confirmations: dict[PartyId, bytes] = field(default_factory=dict)
    reveals: dict[PartyId, UnmaskShares] = field(default_factory=dict)
    fallback: dict[PartyId, FallbackShares] = field(default_factory=dict)
    fallback_for: PartySet = NOBODY
    disputes: set[Dispute] = field(default_factory=set)
    dealings: dict[PartyId, Dealing] = field(default_factory=dict)  # of an accountable session
    proofs: list[Proof] = field(default_factory=list)  # the same
    outcome: Outcome | None = None
