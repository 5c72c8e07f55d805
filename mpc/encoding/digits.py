"""Numbers too large for one coordinate, in base-2^k digits whose sums over all clients fit one."""

from dataclasses import dataclass

import numpy as np

from mpc.encoding.parts import require
from mpc.field import FieldVector, PrimeField


def digit_bits(field: PrimeField, clients: int) -> int:
    """k, the largest with clients * (2^k - 1) < p."""
    return ((field.modulus - 1) // clients + 1).bit_length() - 1


@dataclass(frozen=True, slots=True)
class Digits:
    """Vectors of a larger field in a smaller one. In both, the sum over all clients stays below the modulus.

    large: a client's element is at most (p - 1) / clients of this one. small: more than `clients`.
    """

    large: PrimeField
    small: PrimeField
    clients: int

    @property
    def count(self) -> int:
        """Digits of an element."""
        return -(-self._bound.bit_length() // self._bits)

    def split(self, vector: FieldVector) -> FieldVector:
        """The lowest digit of every element, then the next one of every element."""
        mask = self.large.dtype.type((1 << self._bits) - 1)
        planes = [(vector >> self.large.dtype.type(shift)) & mask for shift in self._shifts]
        return np.concatenate(planes).astype(self.small.dtype)

    def join(self, digits: FieldVector) -> FieldVector:
        """The sums that the sums of digits stand for. Raises EncodingError where they are the sum of no inputs."""
        planes = digits.astype(np.uint64).reshape(self.count, -1)
        total = np.zeros(planes.shape[1], dtype=np.uint64)
        for plane, shift in zip(planes, self._shifts, strict=True):
            most = self.clients * min(self._bound >> shift, (1 << self._bits) - 1)
            require(int(plane.max(initial=0)) <= most, "no sum of encoded inputs: a digit is too large")
            total += plane << np.uint64(shift)
        require(int(total.max(initial=0)) < self.large.modulus, "no sum of encoded inputs: digits exceed their bound")
        return total.astype(self.large.dtype)

    @property
    def _bound(self) -> int:
        return (self.large.modulus - 1) // self.clients

    @property
    def _bits(self) -> int:
        return digit_bits(self.small, self.clients)

    @property
    def _shifts(self) -> range:
        return range(0, self.count * self._bits, self._bits)
