"""Who cheated, and what proves it to somebody who was not there. [PROTOCOLS rule 6]

Three things can be proven, each by what the cheater itself signed in an accountable session. `protocols/accounts.py`
checks a proof against a consortium's file; the classes here say what makes one. Each has its `verdict`, and `verify`,
which raises NotProven unless that follows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from mpc import merkle, shamir
from mpc.field import M31, FieldError, FieldVector
from mpc.hashing import DIGEST_BYTES
from mpc.keys import AgreementKey, AgreementSecret, BadSignature, KeyRefused, VerifyKey
from protocols.errors import PartyId
from protocols.evidence import Verdict
from protocols.messages import AdvertiseKeys, Commitment, DroppedReveal, Reveal, Round, Share, Signature
from protocols.secagg import bindings
from protocols.secagg.shares import pack_share, unpack_shares
from protocols.secagg.vouching import KINDS, Digest, Secret, dealt_leaf, reveal_leaf, share_digest
from protocols.session import SessionParams
from protocols.wire import PartySet, Size

Accepted = Annotated[bytes, Size(0, DIGEST_BYTES)]  # empty for a leaf seed
Key = Annotated[bytes, Size(32)]


class Offence(StrEnum):
    """What somebody did, as the reason of a verdict."""

    WRONG_SHARE = "it revealed another share than the one that it had accepted"
    WRONG_DEALING = "shares that it vouched for do not give what it committed to"
    WRONG_SEED = "it revealed another leaf seed than the one that follows from the lost party's key"

    @property
    def label(self) -> str:
        """For the name of a file, and for programs."""
        return self.name.lower().replace("_", "-")


class NotProven(Exception):
    """This proof convicts nobody; the text says what does not hold."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where it happened: a session, and all of U1 with its keys, in order."""

    params: SessionParams
    entries: tuple[AdvertiseKeys, ...]


@dataclass(frozen=True, slots=True)
class Court:
    """What follows from a scene, for whoever judges it. members: the identities of the consortium. session: D."""

    members: Mapping[PartyId, VerifyKey]
    session: bytes
    threshold: int
    u1: Mapping[PartyId, AdvertiseKeys]

    def identity(self, party: PartyId) -> VerifyKey:
        if party not in self.members or party not in self.u1:
            raise NotProven(f"party {party} had no part in this session")
        return self.members[party]

    def point(self, holder: PartyId) -> int:
        return 1 + sorted(self.u1).index(holder)


@dataclass(frozen=True, slots=True)
class Said:
    """One reveal of a message that its holder signed. place, count, path: its leaf's, among those of the message."""

    holder: PartyId
    said_in: Round
    owner: PartyId
    reveal: Reveal
    accepted: Accepted
    place: int
    count: int
    path: bytes
    signature: Signature

    def verify(self, court: Court, shared: bytes) -> None:
        """Raises NotProven unless the holder signed this reveal under this D2."""
        identity = court.identity(self.holder)
        leaf = reveal_leaf(self.owner, self.reveal, self.accepted)
        try:
            root = merkle.root_from(leaf, self.place, self.count, self.path)
            bindings.verify_reveals(
                identity, shared, self.said_in, self.holder, self.count, root, self.signature
            )  # fmt: skip
        except (merkle.BadPath, BadSignature) as exc:
            raise NotProven(f"party {self.holder} did not sign this reveal") from exc


@dataclass(frozen=True, slots=True)
class WrongShare:
    """A holder signed a share beside the digest of the one that it had accepted, and the two do not fit."""

    scene: Scene
    u2: PartySet
    said: Said

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.said.holder, Offence.WRONG_SHARE)

    def verify(self, court: Court) -> None:
        said = self.said
        said.verify(court, bindings.shared_digest(court.session, self.u2))
        if isinstance(said.reveal, DroppedReveal):
            raise NotProven("a leaf seed is no share")
        if share_digest(said.owner, said.holder, KINDS[type(said.reveal)], said.reveal.share) == said.accepted:
            raise NotProven(f"the share that party {said.holder} revealed is the one that it had accepted")


@dataclass(frozen=True, slots=True)
class WrongSeed:
    """A survivor signed a leaf seed that is not the one between it and a lost party, whose mask secret is open."""

    scene: Scene
    u2: PartySet
    said: Said
    mask_secret: Key = field(repr=False)

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.said.holder, Offence.WRONG_SEED)

    def verify(self, court: Court) -> None:
        said, shared = self.said, bindings.shared_digest(court.session, self.u2)
        said.verify(court, shared)
        if not isinstance(said.reveal, DroppedReveal):
            raise NotProven("a share is no leaf seed")
        if self._leaf_seed(court, shared) == said.reveal.leaf_seed:
            raise NotProven(f"the leaf seed that party {said.holder} revealed is the right one")

    def _leaf_seed(self, court: Court, shared: bytes) -> bytes:
        lost, holder = self.said.owner, self.said.holder
        court.identity(lost)
        secret, own_key = AgreementSecret.from_bytes(self.mask_secret), court.u1[lost].mask_key
        if secret.public.raw != own_key:
            raise NotProven(f"this is not the mask secret of party {lost}")
        try:
            peer_key = AgreementKey(court.u1[holder].mask_key)
        except KeyRefused as exc:
            raise NotProven(f"party {holder} has no such key") from exc
        return bindings.leaf_seed(shared, lost, secret, own_key, holder, peer_key).raw


@dataclass(frozen=True, slots=True)
class Opening:
    """One share, and the way to the root that its dealer signed. beside: the digest of the other share of this holder.
    bundle: of what was sealed for it."""

    holder: PartyId
    share: Share = field(repr=False)
    beside: Digest
    bundle: Digest
    place: int
    path: bytes

    def root(self, dealer: PartyId, kind: Secret, holders: int) -> bytes:
        """Raises NotProven."""
        own = share_digest(dealer, self.holder, kind, self.share)
        pair = own + self.beside if kind is Secret.SELF else self.beside + own
        try:
            return merkle.root_from(
                dealt_leaf(dealer, self.holder, pair, self.bundle), self.place, holders, self.path
            )  # fmt: skip
        except merkle.BadPath as exc:
            raise NotProven(f"no path from the share of party {self.holder}") from exc


@dataclass(frozen=True, slots=True)
class WrongDealing:
    """t shares that a dealer vouched for rebuild another secret than it committed to, or none.

    holders: how many it dealt to. Where a share is off the dealer's polynomials, some t shares rebuild something else.
    """

    scene: Scene
    dealer: PartyId
    kind: Secret
    commitment: Commitment
    signature: Signature
    holders: int
    openings: tuple[Opening, ...]

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.dealer, Offence.WRONG_DEALING)

    def verify(self, court: Court) -> None:
        rows = self._vouched_for(court)
        try:
            limbs = shamir.reconstruct(rows, threshold=court.threshold, field=M31)
        except shamir.SharingError as exc:
            raise NotProven(str(exc)) from exc
        if commits_to(self.kind, limbs, court.session, self.dealer, self.commitment, court.u1[self.dealer].mask_key):
            raise NotProven(f"these shares rebuild what party {self.dealer} committed to")

    def _vouched_for(self, court: Court) -> dict[int, FieldVector]:
        """The shares by point, once it is certain that the dealer signed for each."""
        identity = court.identity(self.dealer)
        if len(self.openings) != court.threshold:
            raise NotProven(f"{len(self.openings)} shares, a secret is made of {court.threshold}")
        try:
            for opening in self.openings:
                court.identity(opening.holder)
                root = opening.root(self.dealer, self.kind, self.holders)
                bindings.verify_shares(
                    identity, court.session, self.dealer, self.signature, self.commitment, root
                )  # fmt: skip
            shares = unpack_shares([opening.share for opening in self.openings])
        except (BadSignature, FieldError) as exc:
            raise NotProven(f"party {self.dealer} did not vouch for these shares") from exc
        return {court.point(opening.holder): row for opening, row in zip(self.openings, shares, strict=True)}


def commits_to(
    kind: Secret, limbs: FieldVector, session: bytes, dealer: PartyId, commitment: bytes, mask_key: bytes
) -> bool:
    """Whether this is the secret that stands behind the dealer's commitment, or behind its mask key."""
    if kind is Secret.SELF:
        return bindings.self_commitment(session, dealer, pack_share(limbs)) == commitment
    try:
        secret = AgreementSecret.from_bytes(shamir.from_limbs(limbs))
    except shamir.CorruptSecret:
        return False
    return secret.public.raw == mask_key


Proof = WrongShare | WrongSeed | WrongDealing
