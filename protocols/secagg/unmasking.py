"""How the server takes the masks off the sum, and finds out who lied when one does not come off.

Everything that is rebuilt is checked against what its owner committed to: b against its commitment, s against its
public key (PROTOCOLS rule 6). Where the lowest t shares do not fit, error correction over all of them decides.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from mpc import shamir
from mpc.field import M31, FieldVector
from mpc.keys import AgreementKey, AgreementSecret
from mpc.prg import Seed
from protocols import masking
from protocols.errors import PartyId
from protocols.messages import AdvertiseKeys, Commitment
from protocols.secagg import bindings
from protocols.session import SessionParams
from protocols.wire import PartySet

Shares = Mapping[PartyId, bytes]  # by holder
LeafSeeds = dict[PartyId, dict[PartyId, Seed]]  # dropped -> survivor -> seed


@dataclass(frozen=True, slots=True)
class Dispute:
    """`holder`'s share of a secret of `dealer` is off the others' line. One of the two is at fault; which, is open."""

    dealer: PartyId
    holder: PartyId


class UnmaskFailed(Exception):
    """No set of shares rebuilds what `owner` committed to."""

    def __init__(self, owner: PartyId) -> None:
        super().__init__(f"the shares of party {owner} rebuild nothing that it committed to")
        self.owner = owner


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the server knows once the sets are fixed, and what every check below is made against."""

    params: SessionParams
    threshold: int
    session: bytes  # D
    shared: bytes  # D2
    u1: Mapping[PartyId, AdvertiseKeys]
    commitments: Mapping[PartyId, Commitment]
    u2: PartySet
    u3: PartySet
    disputes: set[Dispute] = field(default_factory=set)

    def self_seeds(self, shares: Mapping[PartyId, Shares]) -> Iterator[Seed]:
        """The self-mask seeds of U3, from shares by owner. Raises UnmaskFailed."""
        for owner, secret in self._rebuild(shares, self._is_self_secret):
            yield bindings.self_seed(self.session, owner, M31.pack(secret))

    def leaves_of_dropped(self, shares: Mapping[PartyId, Shares]) -> LeafSeeds:
        """Every leaf seed of the lost parties, from shares of their mask secrets. Raises UnmaskFailed."""
        return {
            owner: self._leaves(owner, AgreementSecret.from_bytes(shamir.from_limbs(limbs)))
            for owner, limbs in self._rebuild(shares, self._is_mask_secret)
        }

    def unmask(self, masked_sum: FieldVector, self_seeds: Iterator[Seed], leaves: LeafSeeds) -> FieldVector:
        """The sum with every mask off, canaries included. `masked_sum` stays as it is."""
        total, field_ = masked_sum.copy(), self.params.spec.field
        masking.remove_self_masks(total, field_, self_seeds)
        masking.remove_pairwise_masks(total, field_, leaves)
        return total

    def _leaves(self, dropped: PartyId, secret: AgreementSecret) -> dict[PartyId, Seed]:
        own_key = self.u1[dropped].mask_key
        return {
            survivor: bindings.leaf_seed(
                self.shared, dropped, secret, own_key, survivor, AgreementKey(self.u1[survivor].mask_key)
            )
            for survivor in sorted(self.u3)
        }

    def _rebuild(
        self, shares: Mapping[PartyId, Shares], fits: Callable[[PartyId, FieldVector], bool]
    ) -> Iterator[tuple[PartyId, FieldVector]]:
        """All owners' secrets in one product, since the same holders answered for each of them."""
        owners = sorted(shares)
        if not owners:
            return
        holders = sorted(shares[owners[0]])
        rows = {
            self._point(holder): np.concatenate([bindings.unpack_share(shares[owner][holder]) for owner in owners])
            for holder in holders[: self.threshold]
        }
        rebuilt = shamir.reconstruct(rows, threshold=self.threshold, field=M31).reshape(len(owners), shamir.LIMBS)
        for owner, secret in zip(owners, rebuilt, strict=True):
            yield owner, secret if fits(owner, secret) else self._correct(owner, shares[owner], fits)

    def _correct(self, owner: PartyId, shares: Shares, fits: Callable[[PartyId, FieldVector], bool]) -> FieldVector:
        points = {self._point(holder): holder for holder in shares}
        rows = {point: bindings.unpack_share(shares[holder]) for point, holder in points.items()}
        try:
            corrected = shamir.correct(rows, threshold=self.threshold, field=M31)
        except shamir.TooManyErrors as exc:
            raise UnmaskFailed(owner) from exc
        if not fits(owner, corrected.secrets):
            raise UnmaskFailed(owner)
        self.disputes.update(Dispute(owner, points[point]) for point in corrected.wrong)
        return corrected.secrets

    def _is_self_secret(self, owner: PartyId, secret: FieldVector) -> bool:
        expected = self.commitments[owner]
        return not expected or bindings.self_commitment(self.session, owner, M31.pack(secret)) == expected

    def _is_mask_secret(self, owner: PartyId, limbs: FieldVector) -> bool:
        try:
            secret = AgreementSecret.from_bytes(shamir.from_limbs(limbs))
        except shamir.CorruptSecret:
            return False
        return secret.public.raw == self.u1[owner].mask_key

    def _point(self, client: PartyId) -> int:
        return 1 + sorted(self.u1).index(client)
