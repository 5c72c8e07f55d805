"""Inputs whose sum names its contributors, so that a result is checked and not believed.

Party i adds one bit of its own in the first coordinates, as far as they are long enough for all parties; in the others
it adds a multiple of one public vector that only it has. So the sum says whose inputs are in it, each how often, and a
sum over other parties than it says differs nearly everywhere.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

import numpy as np

from mpc.field import FieldVector, PrimeField
from mpc.randomness import SeededRandomness
from protocols.errors import PartyId
from protocols.wire import PartySet


@dataclass(frozen=True, slots=True)
class Oracle:
    """Of `parties` inputs of `length` elements. The same for the same seed."""

    field: PrimeField
    length: int
    parties: int
    seed: int = 0
    _base: FieldVector = dataclasses.field(init=False, repr=False)
    _factors: FieldVector = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        chance = Random(f"{self.seed}/oracle")
        factors = self.field.vector(chance.randrange(1, self.field.modulus) for _ in range(self.parties))
        rand = SeededRandomness(f"oracle {self.seed}".encode())
        object.__setattr__(self, "_base", self.field.uniform(self.length - self.named, rand))
        object.__setattr__(self, "_factors", factors)

    @property
    def _bits(self) -> int:
        """Bits of an element that names may use: any sum of different ones stays below p."""
        return self.field.bits - 1

    @property
    def named(self) -> int:
        """Coordinates that name contributors; 0 where the vector is too short for all."""
        needed = -(-self.parties // self._bits)
        return needed if needed <= self.length else 0

    def input(self, party: PartyId) -> FieldVector:
        """Made when it is asked for: 10,000 of them are never in memory at once."""
        vector = np.empty(self.length, dtype=self.field.dtype)
        vector[: self.named] = 0
        if self.named:
            vector[party // self._bits] = 1 << party % self._bits
        vector[self.named :] = self.field.mul(self._base, np.full_like(self._base, self._factors[party]))
        return vector

    def sum(self, parties: Iterable[PartyId]) -> FieldVector:
        """Of these inputs, over the integers and then mod p: none of the protocols' arithmetic is in it."""
        members = sorted(parties)
        total = np.zeros(self.length, dtype=self.field.dtype)
        for party in members if self.named else ():
            total[party // self._bits] += self.field.dtype.type(1 << party % self._bits)
        factor = sum(int(self._factors[party]) for party in members) % self.field.modulus
        total[self.named :] = (self._base.astype(object) * factor % self.field.modulus).astype(self.field.dtype)
        return total

    def contributors(self, total: FieldVector) -> PartySet | None:
        """Whom the sum names; None where the vector is too short to name anybody."""
        if not self.named:
            return None
        bits = (total[: self.named, None] >> np.arange(self._bits, dtype=self.field.dtype)) & 1
        return frozenset(PartyId(place) for place in np.flatnonzero(bits).tolist())

    def exact(self, total: FieldVector, included: PartySet) -> bool:
        """Whether this is the sum over exactly these."""
        named = self.contributors(total)
        return (named is None or named == included) and bool(np.array_equal(total, self.sum(included)))
