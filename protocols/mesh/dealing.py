"""A dealer's seeds and their Shamir shares: made, sealed for each holder, opened, and put together again.

Dealer i draws sigma_ij for every j of U1, itself too. Holder h gets sigma_ih and its share of every sigma_ij, sealed;
the commitments go to everybody. [PROTOCOLS 3C, round 1]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mpc import shamir
from mpc.field import M31, FieldError, FieldVector
from mpc.hashing import kdf
from mpc.keys import ChannelKey
from mpc.prg import SEED_BYTES, Seed
from mpc.randomness import SeededRandomness
from mpc.sealing import SealBroken, open_sealed, seal
from protocols.errors import PartyId
from protocols.mesh import bindings
from protocols.mesh.messages import Share
from protocols.rebuilding import NothingFits, rebuild
from protocols.secagg.shares import SHARE_BYTES, pack_shares, unpack_shares

COMMITMENT_BYTES = 32


class BadBundle(Exception):
    """What a dealer sent does not open, or is not what it committed to."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What one holder has of one dealer. Commitments and shares are in the order of U1."""

    commitments: bytes
    seed: Seed
    shares: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Dealt:
    """All of one dealer's seeds, by holder, and each holder's bundle."""

    seeds: Mapping[PartyId, Seed]
    bundles: Mapping[PartyId, Bundle]


def deal(deal_secret: Seed, session: bytes, dealer: PartyId, u1: Sequence[PartyId], threshold: int) -> Dealt:
    """u1: in order. All of it follows from the deal secret and D: a restored peer deals the same bytes again."""
    rand = SeededRandomness(kdf(deal_secret.raw, "mesh deal", session))
    seeds = {holder: Seed(rand.bytes(SEED_BYTES)) for holder in u1}
    commitments = b"".join(bindings.seed_commitment(session, dealer, holder, seeds[holder]) for holder in u1)
    limbs = np.concatenate([shamir.to_limbs(seed.raw) for seed in seeds.values()])
    rows = shamir.split(limbs, threshold=threshold, points=range(1, len(u1) + 1), field=M31, rand=rand)
    packed = [b"".join(pack_shares(row.reshape(len(u1), shamir.LIMBS))) for row in rows]
    bundles = {holder: Bundle(commitments, seeds[holder], shares) for holder, shares in zip(u1, packed, strict=True)}
    return Dealt(seeds, bundles)


def seal_bundle(key: ChannelKey, session: bytes, dealer: PartyId, holder: PartyId, bundle: Bundle) -> bytes:
    return seal(key, bundle.seed.raw + bundle.shares, session, dealer, holder)


def open_bundle(
    key: ChannelKey, session: bytes, dealer: PartyId, holder: PartyId, u1: Sequence[PartyId], share: Share
) -> Bundle:
    """Raises BadBundle unless it opens, has a share of every seed, and its seed is the one committed to."""
    try:
        plain = open_sealed(key, share.sealed, session, dealer, holder)
    except SealBroken as exc:
        raise BadBundle("the bundle does not open") from exc
    sizes = (len(share.commitments), len(plain))
    if sizes != (COMMITMENT_BYTES * len(u1), SEED_BYTES + SHARE_BYTES * len(u1)):
        raise BadBundle("a bundle of another size than the roster asks for")
    seed, shares = Seed(plain[:SEED_BYTES]), plain[SEED_BYTES:]
    _require_shares(shares)
    expected = slice_of(share.commitments, COMMITMENT_BYTES, u1, [holder])
    if bindings.seed_commitment(session, dealer, holder, seed) != expected:
        raise BadBundle("the seed is not the one that is committed to")
    return Bundle(share.commitments, seed, shares)


def slice_of(packed: bytes, size: int, order: Sequence[PartyId], wanted: Sequence[PartyId]) -> bytes:
    """Of a row with `size` bytes for each party of `order`, those of the wanted."""
    at = {party: place * size for place, party in enumerate(order)}
    return b"".join(packed[at[party] : at[party] + size] for party in wanted)


def shares_fit(packed: bytes, count: int) -> bool:
    """Whether these are `count` shares, each of elements of the field."""
    try:
        _require_shares(packed)
    except BadBundle:
        return False
    return len(packed) == SHARE_BYTES * count


def rebuild_seeds(
    answers: Mapping[int, bytes],
    commitments: bytes,
    *,
    threshold: int,
    session: bytes,
    dealer: PartyId,
    lost: Sequence[PartyId],
) -> tuple[list[Seed], frozenset[int]] | None:
    """The dealer's seeds for the lost, in their order, and the points whose shares were wrong. None: nothing fits yet.

    answers: Shamir point -> its shares of these seeds. commitments: to these seeds.
    """
    if len(answers) < threshold:
        return None

    def fits(limbs: FieldVector) -> bool:
        try:
            return commitments_of(_seeds(limbs), session, dealer, lost) == commitments
        except shamir.CorruptSecret:
            return False

    try:
        rebuilt = rebuild({point: _limbs(packed) for point, packed in answers.items()}, threshold=threshold, fits=fits)
    except NothingFits:
        return None
    return _seeds(rebuilt.secrets), rebuilt.wrong


def commitments_of(seeds: Sequence[Seed], session: bytes, dealer: PartyId, holders: Sequence[PartyId]) -> bytes:
    pairs = zip(holders, seeds, strict=True)
    return b"".join(bindings.seed_commitment(session, dealer, holder, seed) for holder, seed in pairs)


def _seeds(limbs: FieldVector) -> list[Seed]:
    return [Seed(shamir.from_limbs(secret)) for secret in limbs.reshape(-1, shamir.LIMBS)]


def _limbs(packed: bytes) -> FieldVector:
    cut = [packed[at : at + SHARE_BYTES] for at in range(0, len(packed), SHARE_BYTES)]
    return unpack_shares(cut).ravel()


def _require_shares(packed: bytes) -> None:
    try:
        _limbs(packed)
    except FieldError as exc:
        raise BadBundle(f"not shares of seeds: {exc}") from exc
