"""What every digest and signature of the mesh is bound to. Domain separation in one place. [PROTOCOLS rule 1]

I names the session, D adds the roster, D2 adds U2 and the commitments of its members; the certified lists chain on:

    I <- D <- D2 <- certified inputs <- certified sums
"""

from dataclasses import replace
from hashlib import sha256
from typing import Any, TypeVar

from mpc.hashing import Part, digest
from mpc.keys import AgreementSecret, Channel, SigningKey, VerifyKey
from mpc.prg import Seed
from protocols import channels
from protocols.errors import PartyId
from protocols.evidence import Statement
from protocols.mesh.messages import (
    CODEC,
    ExplicitShare,
    Hello,
    Holders,
    Inputs,
    Listing,
    Message,
    PartialSum,
    Roster,
    Round,
    Share,
    Signed,
    Vector,
)

M = TypeVar("M", bound=Message)

SEED_LABEL = "mesh share"


def session_digest(invite: bytes, roster: Roster) -> bytes:
    """D: the invitation and the whole roster, in order of id. Who proposed it does not matter."""
    rows = b"".join(_number(entry.party) + entry.channel_key + entry.signature for entry in roster.entries)
    return digest("mesh session", invite, rows)


def list_digest(listing: Holders | Listing) -> bytes:
    """D2, or that of a list which is to be certified. Who proposed it does not matter."""
    match listing:
        case Holders():
            label, hashes = "mesh holders", listing.dealers
        case Inputs():
            label, hashes = "mesh inputs", listing.hashes
        case _:
            label, hashes = "mesh sums", listing.hashes
    return digest(label, listing.under, b"".join(_number(party) + hashes[party] for party in sorted(hashes)))


def _number(party: PartyId) -> bytes:
    """Eight bytes: all rows of a list have one width, so that their concatenation is injective."""
    return party.to_bytes(8, "little")


def seed_commitment(session: bytes, dealer: PartyId, holder: PartyId, seed: Seed) -> bytes:
    """com_ij. The seed is uniform, so the commitment hides it."""
    return digest("mesh", session, dealer, holder, seed.raw)


def channel(session: bytes, me: PartyId, mine: AgreementSecret, peer: Hello) -> Channel:
    """The keys of the two bundles between a pair of peers."""
    return channels.channel("mesh channel", session, me, mine, peer.party, peer.channel_key)


def hash_bytes(raw: bytes) -> bytes:
    """Of a packed vector, or of a dealer's commitments. What it is the hash of, the signature's label says."""
    return sha256(raw).digest()


def signed_hash(vector: Vector) -> Signed:
    return Signed(hash_bytes(vector.vector), vector.signature)


# Signatures. The label is the name of the message class, which no other protocol has, behind "mesh"; I is in each.


def sign(identity: SigningKey, invite: bytes, message: M) -> M:
    """The message, signed; whatever stood in its `signature` is replaced."""
    signed: Any = message  # every class of the union but Fetch, Result, Equivocation and Abort has the field
    made: M = replace(signed, signature=identity.sign(*statement(invite, message)))
    return made


def verify(identity: VerifyKey, invite: bytes, message: Message) -> None:
    """Raises BadSignature. For a class that has a signature."""
    signature: bytes = message.signature  # type: ignore[union-attr]
    identity.verify(signature, *statement(invite, message))


def statement(invite: bytes, message: Message) -> Statement:
    """What its signature is over. For a class that has one."""
    parts: tuple[Part, ...] = invite, *_body(message)
    return _label(type(message)), *parts


def verify_hash(identity: VerifyKey, invite: bytes, of: Round, under: bytes, party: PartyId, signed: Signed) -> None:
    """Whether the party signed a vector of this hash: the same signature as that of the vector. Raises BadSignature."""
    kind = PartialSum if of is Round.PARTIAL else ExplicitShare
    identity.verify(signed.signature, _label(kind), invite, under, party, signed.hash)


def _label(kind: type) -> str:
    return f"mesh {kind.__name__}"


def _body(message: Message) -> tuple[Part, ...]:
    match message:
        case ExplicitShare() | PartialSum():
            return message.under, message.party, hash_bytes(message.vector)
        case Share():
            return message.under, message.commitments  # what is sealed authenticates itself, for one reader only
        case _:
            unsigned: Any = message
            return (CODEC.encode(replace(unsigned, signature=b"")),)
