"""What dealers and holders sign for in an accountable session: who dealt which share, and who revealed which one.

A dealer signs a Merkle root. Under it stands, for each of its holders, a leaf over the digests of the two shares and of
the sealed bundle; the server has the digests and shows each holder its own with the path. A holder that takes its
bundle has checked it against them. What it reveals later it signs, each share beside the digest that it had accepted.

The digest of a share tells nothing of it to whoever cannot guess it, and of 279 bits, of which below the threshold 251
at the least are unknown, nobody can (as with the commitment to b). So a share is its own salt.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Final, TypeVar

from mpc import merkle
from mpc.hashing import DIGEST_BYTES, quick_digest
from mpc.keys import BadSignature, SigningKey, VerifyKey
from mpc.merkle import MerkleTree
from protocols.errors import SERVER, DropReason, PartyId, PeerMisbehaved
from protocols.messages import (
    Commitment,
    DeliverShares,
    DroppedReveal,
    FallbackShares,
    MaskKeyReveal,
    Reveal,
    ShareKeys,
    Signature,
    SurvivorReveal,
    UnmaskShares,
    Voucher,
)
from protocols.secagg import bindings
from protocols.secagg.shares import SHARE_BYTES
from protocols.wire import Size

PAIR_BYTES: Final = 2 * DIGEST_BYTES
NO_BUNDLE: Final = bytes(DIGEST_BYTES)
"""Where a dealer is a holder of its own it seals nothing."""

Digest = Annotated[bytes, Size(DIGEST_BYTES)]
Revealing = TypeVar("Revealing", UnmaskShares, FallbackShares)


class Secret(StrEnum):
    """Which of a dealer's two secrets a share is of."""

    SELF = "self"
    MASK = "mask"


KINDS: Final[Mapping[type, Secret]] = {SurvivorReveal: Secret.SELF, MaskKeyReveal: Secret.MASK}


# What is dealt


def share_digest(dealer: PartyId, holder: PartyId, kind: Secret, share: bytes) -> bytes:
    return quick_digest("share", dealer, holder, kind.value, share)


def digests_of(dealer: PartyId, holder: PartyId, both: bytes) -> bytes:
    """both: its share of b and its share of s."""
    of_b, of_s = both[:SHARE_BYTES], both[SHARE_BYTES:]
    return share_digest(dealer, holder, Secret.SELF, of_b) + share_digest(dealer, holder, Secret.MASK, of_s)


def dealt_leaf(dealer: PartyId, holder: PartyId, digests: bytes, bundle: bytes) -> bytes:
    """bundle: the digest of what is sealed."""
    return merkle.leaf("dealt", dealer, holder, digests, bundle)


def bundle_digest(bundle: bytes) -> bytes:
    return sha256(bundle).digest()


@dataclass(frozen=True, slots=True)
class Dealing:
    """What a dealer vouched for in ShareKeys. holders: in order. digests: two for each of them, of the shares.
    bundles: one for each, of what was sealed."""

    commitment: Commitment
    holders: tuple[PartyId, ...]
    digests: bytes
    bundles: bytes
    signature: Signature

    @classmethod
    def of(cls, message: ShareKeys, holders: Iterable[PartyId]) -> "Dealing":
        order, sealed = tuple(sorted(holders)), message.bundles
        bundles = [bundle_digest(sealed[holder]) if holder in sealed else NO_BUNDLE for holder in order]
        return cls(message.commitment, order, message.digests, b"".join(bundles), message.signature)

    def place(self, holder: PartyId) -> int:
        return bisect_left(self.holders, holder)

    def pair(self, place: int) -> bytes:
        return self.digests[PAIR_BYTES * place : PAIR_BYTES * (place + 1)]

    def bundle(self, place: int) -> bytes:
        return self.bundles[DIGEST_BYTES * place : DIGEST_BYTES * (place + 1)]

    def digest(self, place: int, kind: Secret) -> bytes:
        """Of the share that the holder at this place was dealt."""
        pair = self.pair(place)
        return pair[:DIGEST_BYTES] if kind is Secret.SELF else pair[DIGEST_BYTES:]

    def tree(self, dealer: PartyId) -> MerkleTree:
        return MerkleTree(
            [dealt_leaf(dealer, holder, self.pair(at), self.bundle(at)) for at, holder in enumerate(self.holders)]
        )

    def vouchers(self, dealer: PartyId) -> dict[PartyId, Voucher]:
        """By holder."""
        tree = self.tree(dealer)
        return {
            holder: Voucher(self.commitment, self.pair(at), at, tree.path(at), self.signature)
            for at, holder in enumerate(self.holders)
        }


def vouched(
    identity: SigningKey, session: bytes, dealer: PartyId, unsigned: ShareKeys, dealt: Mapping[PartyId, bytes]
) -> ShareKeys:
    """The message with the digests of both shares of each holder, signed for with its bundles."""
    message = replace(unsigned, digests=b"".join(digests_of(dealer, holder, dealt[holder]) for holder in sorted(dealt)))
    root = Dealing.of(message, dealt).tree(dealer).root
    return replace(message, signature=bindings.sign_shares(identity, session, dealer, message.commitment, root))


def unvouched(
    me: PartyId,
    session: bytes,
    holders: int,
    members: Mapping[PartyId, VerifyKey],
    message: DeliverShares,
    opened: Mapping[PartyId, tuple[bytes, bytes]],
) -> set[PartyId]:
    """The dealers of whose bundle we know for certain that it is not what they vouched for.

    holders: how many each dealer has. Raises PeerMisbehaved where the server shows a bundle or digests that no dealer
    signed: then the dealer is not to blame.
    """
    if message.vouchers.keys() != message.bundles.keys():
        raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "vouchers of others than U2")
    for dealer, voucher in message.vouchers.items():
        leaf = dealt_leaf(dealer, me, voucher.digests, bundle_digest(message.bundles[dealer]))
        _require_signed(members[dealer], session, dealer, voucher, leaf, holders)
    return {
        dealer
        for dealer, voucher in message.vouchers.items()
        if dealer not in opened or voucher.digests != digests_of(dealer, me, b"".join(opened[dealer]))
    }


def _require_signed(
    identity: VerifyKey, session: bytes, dealer: PartyId, voucher: Voucher, leaf: bytes, holders: int
) -> None:
    try:
        root = merkle.root_from(leaf, voucher.place, holders, voucher.path)
        bindings.verify_shares(identity, session, dealer, voucher.signature, voucher.commitment, root)
    except (merkle.BadPath, BadSignature) as exc:
        raise PeerMisbehaved(
            SERVER, DropReason.BAD_SIGNATURE, f"party {dealer} did not sign for the bundle that we were shown"
        ) from exc


# What is revealed


def reveals_in(message: UnmaskShares | FallbackShares) -> Mapping[PartyId, Reveal]:
    return message.reveals if isinstance(message, UnmaskShares) else message.shares


def reveal_leaf(owner: PartyId, reveal: Reveal, accepted: bytes) -> bytes:
    """accepted: the digest of the share that its holder took from this owner; empty for a leaf seed."""
    if isinstance(reveal, DroppedReveal):
        return merkle.leaf("reveal", owner, "leaf seed", reveal.leaf_seed, accepted)
    return merkle.leaf("reveal", owner, KINDS[type(reveal)].value, reveal.share, accepted)


def reveal_tree(message: UnmaskShares | FallbackShares, accepted: Mapping[PartyId, bytes]) -> MerkleTree:
    """Over all reveals of one message, in order of their owners; there is one at the least."""
    reveals = reveals_in(message)
    return MerkleTree([reveal_leaf(owner, reveals[owner], accepted[owner]) for owner in sorted(reveals)])


def answered_for(identity: SigningKey, shared: bytes, holder: PartyId, unsigned: Revealing) -> Revealing:
    """The message of an honest holder, signed: the shares are those that it accepted, so their digests are too."""
    reveals = reveals_in(unsigned)
    accepted = {owner: _own_digest(owner, holder, reveal) for owner, reveal in reveals.items()}
    root = reveal_tree(unsigned, accepted).root
    signature = bindings.sign_reveals(identity, shared, unsigned.round, holder, len(reveals), root)
    return replace(unsigned, signature=signature)


def _own_digest(owner: PartyId, holder: PartyId, reveal: Reveal) -> bytes:
    if isinstance(reveal, DroppedReveal):
        return b""
    return share_digest(owner, holder, KINDS[type(reveal)], reveal.share)
