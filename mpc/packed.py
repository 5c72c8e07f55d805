"""Packed secret sharing: one polynomial holds several secrets, so that a vector's shares are a fraction of its length.

A polynomial of degree privacy + packed - 1 takes `packed` secrets at p-1, p-2, .. and `privacy` uniform values; its
values at 1..A are the shares. Any `privacy` shares are uniform whatever the secrets, privacy + packed of them give the
secrets back, and what lies between shows a part of them. The uniform values are taken at 1..privacy: which points they
stand at does not matter, since every choice gives each polynomial with these secrets equally often.
[Franklin-Yung 92; the ramp: Blakley-Meadows 84]
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mpc import shamir
from mpc.field import FieldVector, PrimeField
from mpc.lagrange import evaluate
from mpc.shamir import NotEnoughShares, SharingError, TooManyErrors


@dataclass(frozen=True, slots=True)
class Packing:
    """How vectors over `field` are cut in `shares` shares of which `privacy` say nothing, `packed` secrets at a time.

    Raises SharingError unless 1 <= privacy, 1 <= packed, privacy + packed <= shares, and shares + packed < p.
    """

    field: PrimeField
    shares: int
    privacy: int
    packed: int

    def __post_init__(self) -> None:
        if min(self.privacy, self.packed) < 1 or self.decode > self.shares:
            raise SharingError(f"{self.privacy} private and {self.packed} packed of {self.shares} shares")
        if self.shares + self.packed >= self.field.modulus:
            raise SharingError(
                f"{self.shares} shares of {self.packed} secrets take a field of more than {self.shares + self.packed} "
                f"elements, this one has {self.field.modulus}"
            )

    @property
    def decode(self) -> int:
        """Shares that give the secrets back."""
        return self.privacy + self.packed

    def blocks(self, length: int) -> int:
        """Polynomials that a vector of so many elements takes: elements of one share."""
        return -(-length // self.packed)

    def pack(self, vector: FieldVector) -> FieldVector:
        """(packed, blocks): a column for each polynomial, filled up with zeros. Row r is for the place p-1-r."""
        blocks = self.blocks(len(vector))
        filled = self.field.zeros(self.packed * blocks)
        filled[: len(vector)] = vector
        return filled.reshape(self.packed, blocks)

    def split(self, secrets: FieldVector, noise: FieldVector) -> FieldVector:
        """(shares, blocks): row j - 1 is the share of point j.

        secrets: (packed, blocks). noise: (privacy, blocks), uniform and used for nothing else.
        """
        if len(secrets) != self.packed or len(noise) != self.privacy:
            raise SharingError(f"{len(secrets)} rows of secrets and {len(noise)} of noise")
        points = range(1, self.shares + 1)
        given = np.concatenate([secrets, noise])
        sources = [*self._places, *points[: self.privacy]]
        rest = evaluate(given, sources=sources, targets=points[self.privacy :], field=self.field)
        return np.concatenate([noise, rest])

    def reconstruct(self, shares: Mapping[int, FieldVector], length: int) -> FieldVector:
        """The vector of `length` elements from the shares of the lowest `decode` points.

        Raises NotEnoughShares. A wrong share gives a wrong vector, undetected.
        """
        if len(shares) < self.decode:
            raise NotEnoughShares(f"{len(shares)} shares, {self.decode} are needed")
        points = sorted(shares)[: self.decode]
        rows = np.stack([shares[point] for point in points])
        return self._unpack(evaluate(rows, sources=points, targets=self._places, field=self.field), length)

    def correct(self, shares: Mapping[int, FieldVector], length: int) -> shamir.Corrected:
        """The vector from all shares, although up to (shares - decode) // 2 of them are wrong in each block.

        Raises NotEnoughShares, and TooManyErrors where a block has no polynomial near enough.
        """
        found = shamir.decode(shares, threshold=self.decode, field=self.field)
        if found.failed.any():
            raise TooManyErrors(f"{int(found.failed.sum())} of {len(found.failed)} blocks fit no polynomial")
        secrets = shamir.evaluate(found.coefficients, self._places, self.field)
        return shamir.Corrected(self._unpack(secrets, length), found.wrong)

    @property
    def _places(self) -> list[int]:
        """Where the secrets stand."""
        return [self.field.modulus - 1 - row for row in range(self.packed)]

    def _unpack(self, secrets: FieldVector, length: int) -> FieldVector:
        return secrets.reshape(-1)[:length].copy()
