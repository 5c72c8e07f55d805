"""The numbers of a session's committee: they follow from its parameters and members by one function for both sides.

A aggregators, of which c may be corrupt and d may be lost:  T = max(1, c),  ell = A - T - d
T + ell = A - d shares decode; s lost and e wrong ones are borne where s + 2e <= d
q, the certificate, is the smallest with 2q > A + c                                        [PROTOCOLS 3D]
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from mpc.packed import Packing
from mpc.sealing import SEAL_OVERHEAD
from mpc.shamir import SharingError
from protocols.errors import PartyId
from protocols.session import SessionParams, Variant, VectorSpec
from protocols.wire import PartySet

PROTOCOL: Final = "committee"


class NoCommittee(ValueError):
    """No committee has these numbers; the text says what to change."""


@dataclass(frozen=True)
class Numbers:
    """aggregators: in order, place j has the share point j + 1. contributors: who has an input. quorum: q."""

    aggregators: tuple[PartyId, ...]
    contributors: PartySet
    quorum: int
    packing: Packing
    spec: VectorSpec

    @property
    def decode(self) -> int:
        """T + ell: sums that give the total."""
        return self.packing.decode

    @property
    def enough(self) -> int:
        """Aggregators without which no round before the sum goes on: they must both certify and decode."""
        return max(self.quorum, self.decode)

    @property
    def blocks(self) -> int:
        """Polynomials that a vector and its canaries take."""
        return self.packing.blocks(self.spec.masked_length)

    @property
    def repetitions(self) -> int:
        """kappa, of the degree check: a wrong share goes unnoticed with p^-kappa, about 2^-64."""
        return self.spec.canaries

    @property
    def share_length(self) -> int:
        """Elements of a share: the blocks, and the mask polynomials of the degree check."""
        return self.blocks + self.repetitions

    @property
    def piece_size(self) -> int:
        """Bytes of a share, packed and sealed."""
        return self.spec.field.packed_size(self.share_length) + SEAL_OVERHEAD

    @cached_property
    def points(self) -> dict[PartyId, int]:
        return {party: place for place, party in enumerate(self.aggregators, start=1)}


def numbers_of(params: SessionParams, members: Collection[PartyId]) -> Numbers:
    """The committee of a session among these members. Raises NoCommittee."""
    if params.variant is not Variant.ACTIVE:
        raise NoCommittee("a committee is active only: take the active variant")
    everybody = frozenset(members)
    if not params.aggregators <= everybody:
        raise NoCommittee(f"party {min(params.aggregators - everybody)} is to aggregate and is no member")
    aggregators = tuple(sorted(params.aggregators or everybody))
    size, privacy = len(aggregators), max(1, params.colluding)
    packed = size - privacy - params.losses
    if packed < 1:
        raise NoCommittee(
            f"{size} aggregators of which {params.colluding} may be corrupt and {params.losses} lost leave no room for "
            f"the secret: take {1 - packed} more aggregators, or plan for {1 - packed} fewer lost or corrupt"
        )
    quorum = params.threshold_for(size)
    if quorum > size:
        raise NoCommittee(
            f"a certificate takes {quorum} of {size} aggregators: take more of them, or a lower threshold"
        )
    try:
        packing = Packing(params.spec.field, size, privacy, packed)
    except SharingError as exc:
        raise NoCommittee(f"{exc}: take a larger field") from exc
    return Numbers(aggregators, everybody - params.aggregators, quorum, packing, params.spec)
