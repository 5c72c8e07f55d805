"""How the server takes the masks off the sum, and what it notes when a share does not fit.

Everything that is rebuilt is checked against what its owner committed to: b against its commitment, s against its
public key (PROTOCOLS rule 6). So a wrong share costs time, never a wrong sum; and as long as t right ones are among
those that came, it does not cost the round either. In an accountable session the shares that come here are those that
their dealers vouched for, so that what is wrong with them is the dealer's doing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mpc import shamir
from mpc.field import M31, FieldVector
from mpc.keys import AgreementKey, AgreementSecret
from mpc.prg import Seed
from protocols import masking
from protocols.errors import PartyId
from protocols.evidence import Dispute
from protocols.messages import AdvertiseKeys, Commitment
from protocols.rebuilding import NothingFits, Rebuilt, rebuild
from protocols.secagg import bindings
from protocols.secagg.neighbours import CompleteGraph, Graph
from protocols.secagg.proofs import commits_to
from protocols.secagg.shares import pack_share, unpack_shares
from protocols.secagg.vouching import Secret
from protocols.session import SessionParams
from protocols.wire import PartySet

Shares = Mapping[PartyId, bytes]  # by holder
LeafSeeds = dict[PartyId, dict[PartyId, Seed]]  # dropped -> survivor -> seed
Blame = Callable[[PartyId, Secret, Mapping[PartyId, bytes]], None]
"""Called with a dealer, the kind of its secret, and t shares of it that it vouched for, which give something else."""


class UnmaskFailed(Exception):
    """No t of the shares that came rebuild what `owner` committed to."""

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
    graph: Graph | None = None  # None: the complete one
    blame: Blame | None = None  # in an accountable session; there are no disputes over shares then

    def self_seeds(self, shares: Mapping[PartyId, Shares]) -> Iterator[Seed]:
        """The self-mask seeds of U3, from shares by owner. Raises UnmaskFailed."""
        for owner, secret in self._rebuild(shares, Secret.SELF):
            yield bindings.self_seed(self.shared, owner, pack_share(secret))

    def mask_secrets(self, shares: Mapping[PartyId, Shares]) -> dict[PartyId, AgreementSecret]:
        """Those of the lost parties, from shares by owner. Raises UnmaskFailed."""
        rebuilt = self._rebuild(shares, Secret.MASK)
        return {owner: AgreementSecret.from_bytes(shamir.from_limbs(limbs)) for owner, limbs in rebuilt}

    def leaves_of_dropped(self, secrets: Mapping[PartyId, AgreementSecret]) -> LeafSeeds:
        """Every leaf seed of the lost parties, from their mask secrets."""
        return {owner: self._leaves(owner, secret) for owner, secret in secrets.items()}

    def unmask(self, masked_sum: FieldVector, self_seeds: Iterable[Seed], leaves: LeafSeeds) -> FieldVector:
        """The sum with every mask off, canaries included. `masked_sum` stays as it is."""
        total, field_ = masked_sum.copy(), self.params.spec.field
        masking.remove_self_masks(total, field_, self_seeds)
        masking.remove_pairwise_masks(total, field_, leaves)
        return total

    def _leaves(self, dropped: PartyId, secret: AgreementSecret) -> dict[PartyId, Seed]:
        own_key = self.u1[dropped].mask_key
        graph = self.graph or CompleteGraph(self.u3)
        return {
            survivor: bindings.leaf_seed(
                self.shared, dropped, secret, own_key, survivor, AgreementKey(self.u1[survivor].mask_key)
            )
            for survivor in sorted(graph.peers(dropped) & self.u3)
        }

    def _rebuild(self, shares: Mapping[PartyId, Shares], kind: Secret) -> Iterator[tuple[PartyId, FieldVector]]:
        """The secrets of all owners for whom the same holders answered in one product: of all, in the complete graph.

        Holders whose shares of one owner were not used are avoided for those that are left, as far as t others remain.
        """
        points = {client: 1 + place for place, client in enumerate(sorted(self.u1))}
        alike: dict[frozenset[PartyId], list[PartyId]] = {}
        for owner in sorted(shares):
            alike.setdefault(frozenset(shares[owner]), []).append(owner)
        suspects: set[PartyId] = set()
        for owners in alike.values():
            if self.blame is None:
                yield from self._rebuild_alike(points, shares, owners, kind, suspects)
            else:
                yield from self._rebuild_vouched(points, shares, owners, kind, self.blame)

    def _rebuild_alike(
        self,
        points: Mapping[PartyId, int],
        shares: Mapping[PartyId, Shares],
        pending: list[PartyId],
        kind: Secret,
        suspects: set[PartyId],
    ) -> Iterator[tuple[PartyId, FieldVector]]:
        while pending:
            holders = sorted(shares[pending[0]], key=lambda holder: (holder in suspects, holder))[: self.threshold]
            rebuilt = _product(points, shares, pending, holders, self.threshold)
            failed: list[PartyId] = []
            for owner, secret in zip(pending, rebuilt, strict=True):
                if failed or not self._fits(kind, owner, secret):
                    failed.append(owner)
                else:
                    yield owner, secret
            if failed:
                found = self._correct(points, failed[0], shares[failed[0]], kind)
                self.disputes.update(Dispute(failed[0], holder) for holder in points if points[holder] in found.wrong)
                suspects |= {holder for holder in shares[failed[0]] if points[holder] not in found.used}
                yield failed[0], found.secrets
            pending = failed[1:]

    def _rebuild_vouched(
        self,
        points: Mapping[PartyId, int],
        shares: Mapping[PartyId, Shares],
        owners: list[PartyId],
        kind: Secret,
        blame: Blame,
    ) -> Iterator[tuple[PartyId, FieldVector]]:
        """The same, but every share is looked at: one that its dealer vouched for and that is off is the dealer's."""
        holders = sorted(shares[owners[0]])
        found = shamir.decode(_rows(points, shares, owners, holders), threshold=self.threshold, field=M31)
        off = np.reshape(found.failed | found.differs.any(axis=0), (len(owners), shamir.LIMBS))
        secrets = found.coefficients[0].reshape(len(owners), shamir.LIMBS)
        for owner, secret, is_off in zip(owners, secrets, off, strict=True):
            if is_off.any() or not self._fits(kind, owner, secret):
                yield owner, self._in_spite_of(points, owner, shares[owner], kind, blame)
            else:
                yield owner, secret

    def _in_spite_of(
        self, points: Mapping[PartyId, int], dealer: PartyId, shares: Shares, kind: Secret, blame: Blame
    ) -> FieldVector:
        """The secret of a dealer that vouched for shares which do not fit. Raises UnmaskFailed."""
        blame(dealer, kind, self._misfits(points, dealer, shares, kind))
        return self._correct(points, dealer, shares, kind).secrets

    def _misfits(self, points: Mapping[PartyId, int], dealer: PartyId, shares: Shares, kind: Secret) -> Shares:
        """t shares that give something else than the dealer committed to.

        Some t in a row do: two rows that overlap in t - 1 points and give the same secret lie on the same polynomials,
        so if all rows gave it, all shares would.
        """
        holders = sorted(shares)
        rows = [holders[first : first + self.threshold] for first in range(len(holders) - self.threshold + 1)]
        row = next(
            row
            for row in rows
            if not self._fits(kind, dealer, _product(points, {dealer: shares}, [dealer], row, self.threshold)[0])
        )
        return {holder: shares[holder] for holder in row}

    def _correct(self, points: Mapping[PartyId, int], owner: PartyId, shares: Shares, kind: Secret) -> Rebuilt:
        """Raises UnmaskFailed."""
        rows = {points[holder]: row for holder, row in zip(shares, unpack_shares(list(shares.values())), strict=True)}
        try:
            return rebuild(rows, threshold=self.threshold, fits=lambda limbs: self._fits(kind, owner, limbs))
        except NothingFits as exc:
            raise UnmaskFailed(owner) from exc

    def _fits(self, kind: Secret, owner: PartyId, limbs: FieldVector) -> bool:
        """Whether it is what the owner committed to. In the curious variant there is no commitment to b."""
        if kind is Secret.SELF and not self.commitments[owner]:
            return True
        mask_key = self.u1[owner].mask_key if kind is Secret.MASK else b""
        return commits_to(kind, limbs, self.session, owner, self.commitments[owner], mask_key)


def _product(
    points: Mapping[PartyId, int],
    shares: Mapping[PartyId, Shares],
    owners: Sequence[PartyId],
    holders: Sequence[PartyId],
    threshold: int,
) -> FieldVector:
    """(owners, 9): every owner's secret from the same holders."""
    rows = _rows(points, shares, owners, holders)
    return shamir.reconstruct(rows, threshold=threshold, field=M31).reshape(len(owners), shamir.LIMBS)


def _rows(
    points: Mapping[PartyId, int],
    shares: Mapping[PartyId, Shares],
    owners: Sequence[PartyId],
    holders: Sequence[PartyId],
) -> dict[int, FieldVector]:
    """By point: a holder's shares of all these owners, one behind the other."""
    return {points[holder]: unpack_shares([shares[owner][holder] for owner in owners]).ravel() for holder in holders}
