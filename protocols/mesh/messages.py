"""Every message of the mesh, grouped by round, in the order of the protocol. [PROTOCOLS 3C]

`round` is the round in which a peer sends the message. `under` is the digest that it is bound to: D (the roster), D2
(the roster and who holds whose shares), that of the certified inputs, or that of the certified sums. All are signed but
those that carry their own proof. The three reports go to the proposer, everything else to all who are left.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, ClassVar

from protocols.errors import AbortReason, PartyId
from protocols.wire import Codec, PartySet, Size

Key = Annotated[bytes, Size(32)]
Digest = Annotated[bytes, Size(32)]
Signature = Annotated[bytes, Size(64)]
Signatures = Mapping[PartyId, Signature]


class Round(StrEnum):
    """Where a peer stands. The names, in this order, are the stages at which one may be lost."""

    HELLO = "hello"
    SHARE = "share"
    READY = "ready"
    EXPLICIT = "explicit-share"
    CERTIFY_INPUTS = "certify-inputs"
    PARTIAL = "partial-sum"
    CERTIFY_SUMS = "certify-sums"
    RECOVER = "recover"
    OUTPUT = "output"
    DONE = "done"


# Round 0. peer -> all: this session's key, signed over I.


@dataclass(frozen=True, slots=True)
class Hello:
    round: ClassVar[Round] = Round.HELLO
    party: PartyId
    channel_key: Key
    signature: Signature


# Round 1. proposer -> all: U1 with its keys. Then each peer -> each: commitments to its seeds, and, sealed, the seed
# that this one holds and its share of every seed.


@dataclass(frozen=True, slots=True)
class Roster:
    round: ClassVar[Round] = Round.SHARE
    proposer: PartyId
    entries: tuple[Hello, ...]
    signature: Signature


@dataclass(frozen=True, slots=True)
class Share:
    round: ClassVar[Round] = Round.SHARE
    under: Digest
    commitments: bytes  # 32 for each member of U1, in its order; the same bytes to everybody
    sealed: bytes
    signature: Signature


# Round 2. peer -> proposer: of whom it holds shares that open and match, with the hash of that dealer's commitments.


@dataclass(frozen=True, slots=True)
class Ready:
    round: ClassVar[Round] = Round.READY
    under: Digest
    dealers: Mapping[PartyId, Digest]
    signature: Signature


# Round 3. proposer -> all: U2, in which all hold of all. Then each peer -> all: its input less all that its seeds stand
# for.


@dataclass(frozen=True, slots=True)
class Holders:
    round: ClassVar[Round] = Round.EXPLICIT
    under: Digest
    proposer: PartyId
    dealers: Mapping[PartyId, Digest]
    signature: Signature


@dataclass(frozen=True, slots=True)
class ExplicitShare:
    """The signature is over the vector's hash, so that two of one party convict it without the vectors."""

    round: ClassVar[Round] = Round.EXPLICIT
    under: Digest
    party: PartyId
    signature: Signature
    vector: bytes = field(repr=False)  # packed


# Round 4. peer -> proposer: which vectors it holds. proposer -> all: U3. peer -> all: I hold all of these, and sign no
# other list.


@dataclass(frozen=True, slots=True)
class Signed:
    """The hash of a vector with its party's signature."""

    hash: Digest
    signature: Signature


@dataclass(frozen=True, slots=True)
class HeldInputs:
    round: ClassVar[Round] = Round.CERTIFY_INPUTS
    under: Digest
    held: Mapping[PartyId, Signed]
    signature: Signature


@dataclass(frozen=True, slots=True)
class Inputs:
    round: ClassVar[Round] = Round.CERTIFY_INPUTS
    under: Digest
    proposer: PartyId
    hashes: Mapping[PartyId, Digest]  # of U3
    signature: Signature


@dataclass(frozen=True, slots=True)
class InputVote:
    """`under` is the digest of the list that is voted for."""

    round: ClassVar[Round] = Round.CERTIFY_INPUTS
    under: Digest
    signature: Signature


# Round 5. peer -> all: the sum, over U3, of what its column of seeds stands for, with the votes that permit it.


@dataclass(frozen=True, slots=True)
class PartialSum:
    round: ClassVar[Round] = Round.PARTIAL
    under: Digest
    party: PartyId
    certificate: Signatures
    signature: Signature
    vector: bytes = field(repr=False)  # packed


# Round 6. As round 4, about the partial sums. Who is in U2 and not in `hashes` is L, the lost.


@dataclass(frozen=True, slots=True)
class HeldSums:
    round: ClassVar[Round] = Round.CERTIFY_SUMS
    under: Digest
    held: Mapping[PartyId, Signed]
    signature: Signature


@dataclass(frozen=True, slots=True)
class Sums:
    round: ClassVar[Round] = Round.CERTIFY_SUMS
    under: Digest
    proposer: PartyId
    hashes: Mapping[PartyId, Digest]
    signature: Signature


@dataclass(frozen=True, slots=True)
class SumVote:
    round: ClassVar[Round] = Round.CERTIFY_SUMS
    under: Digest
    signature: Signature


# Round 7, only where somebody is in L. peer -> all: its own seeds for L, and its shares of the seeds of U3 and L both.
# A peer that misses somebody's seeds asks all, and each answers it with shares.


@dataclass(frozen=True, slots=True)
class Recover:
    round: ClassVar[Round] = Round.RECOVER
    under: Digest
    certificate: Signatures
    seeds: Mapping[PartyId, Key] = field(repr=False)  # by member of L; empty when the sender is not in U3
    shares: Mapping[PartyId, bytes] = field(repr=False)  # by dealer: 35 bytes for each member of L, in order
    signature: Signature


@dataclass(frozen=True, slots=True)
class Lacking:
    round: ClassVar[Round] = Round.RECOVER
    under: Digest
    dealers: PartySet
    signature: Signature


@dataclass(frozen=True, slots=True)
class HeldShares:
    round: ClassVar[Round] = Round.RECOVER
    under: Digest
    shares: Mapping[PartyId, bytes] = field(repr=False)
    signature: Signature


# Round 8. peer -> all: the hash of the sum that it computed.


@dataclass(frozen=True, slots=True)
class Output:
    round: ClassVar[Round] = Round.OUTPUT
    under: Digest
    included: PartySet
    result: Digest
    signature: Signature


# At any time. peer -> holder: send me what has this digest; the answer is that list, that vector, or the sum itself.
# peer -> all: a proof that a party signed two vectors where one belongs. peer -> all: the session has ended here.


@dataclass(frozen=True, slots=True)
class Fetch:
    round: ClassVar[Round] = Round.DONE
    wanted: Digest


@dataclass(frozen=True, slots=True)
class Result:
    round: ClassVar[Round] = Round.DONE
    included: PartySet
    vector: bytes = field(repr=False)  # packed, without the canaries


@dataclass(frozen=True, slots=True)
class Equivocation:
    """of: EXPLICIT or PARTIAL."""

    round: ClassVar[Round] = Round.DONE
    of: Round
    under: Digest
    party: PartyId
    one: Signed
    other: Signed


@dataclass(frozen=True, slots=True)
class Abort:
    round: ClassVar[Round] = Round.DONE
    reason: AbortReason


Vector = ExplicitShare | PartialSum
Report = HeldInputs | HeldSums
Listing = Inputs | Sums
Vote = InputVote | SumVote

Message = (
    Hello | Roster | Share | Ready | Holders | ExplicitShare | HeldInputs | Inputs | InputVote | PartialSum | HeldSums
    | Sums | SumVote | Recover | Lacking | HeldShares | Output | Fetch | Result | Equivocation | Abort
)  # fmt: skip

CODEC = Codec(Message)
