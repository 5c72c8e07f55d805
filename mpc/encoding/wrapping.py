"""Levels around zero modulo a prime that their sum wraps only with a stated probability: fewer bits for many parties.

[Kairouz, Liu, Steinke 2021: sums of rotated updates modulo a small number]
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from mpc.encoding.digits import Digits
from mpc.encoding.parts import (
    CHUNK,
    NONE,
    Decoded,
    Floats,
    NotEnoughHeadroom,
    require,
    require_finite,
    require_update,
    within,
)
from mpc.encoding.plain import Encoding
from mpc.encoding.rounding import Rounding
from mpc.field import FieldVector, PrimeField
from mpc.prg import Seed
from mpc.randomness import Randomness

_BITS: Final = range(3, 33)  # of the fields that are tried
_REFUSED: Final = 20 * math.log(2)  # a sum within its declaration is refused with probability 2^-20 or so


def clip_for(norm: float, coordinates: int, bits: int) -> float:
    """The range -clip..clip of a coordinate that is sub-Gaussian with scale norm / sqrt(coordinates).

    For vectors of L2 norm `norm` spread over so many coordinates, by a rotation or into buckets. It cuts a coordinate
    with probability at most 4^-bits, the order of the rounding's own squared error: fewer bits, a narrower range.
    """
    return math.sqrt(2 * math.log(2 * 4.0**bits)) * norm / math.sqrt(coordinates)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappingEncoding:
    """How rotated vectors, and beside them what must be exact, become field vectors.

    rotated: the first values of an update, which were rotated. scale: each of them is sub-Gaussian with this scale
    (`Rotation` says when). A value is rounded to whole levels around zero, times the weight, modulo p; nothing is cut.
    correlation: 0..1, declared: for the updates x of any two parties x.y <= correlation |x||y| holds on average, so
    that the sum of n has at most n (1 + (n-1) correlation) times the squared norm of one. 1 assumes nothing.
    beside: the other values (whole numbers), metrics and counters; clients, weights and bits of all. It goes in digits,
    none of which can wrap.

    The sum of a vector whose updates are within `scale` and `correlation` wraps with `wrap_probability` at most. One
    that is longer than both allow is refused when it is decoded: its square mean shows it, also when it has wrapped.
    """

    rotated: int
    scale: float
    beside: Encoding
    field: PrimeField
    correlation: float = 0.0

    def __post_init__(self) -> None:
        require(self.rotated >= 1, "one rotated value or more is wanted")
        require(0 < self.scale < math.inf, f"the scale is finite and above 0, not {self.scale}")
        require(0 <= self.correlation <= 1, f"the correlation is 0..1, not {self.correlation}")
        require(self.field.modulus > self.clients, f"{self.clients} clients need a field above {self.clients}")

    @classmethod
    def fitting(cls, *, rotated: int, scale: float, beside: Encoding, wrap: float, correlation: float = 0.0) -> Self:
        """That with the smallest field whose `wrap_probability` is at most `wrap`. Raises EncodingError if none is."""
        fields = map(PrimeField.with_bits, _BITS)
        for field in (field for field in fields if field.modulus > beside.clients):
            made = cls(rotated=rotated, scale=scale, beside=beside, field=field, correlation=correlation)
            if made.wrap_probability <= wrap:
                return made
        raise NotEnoughHeadroom(
            f"{beside.clients} clients x weight {beside.max_weight} x {beside.bits}-bit values wrap every field of 32 "
            f"bits with a probability above {wrap}: use fewer bits, smaller weights, or no wrap"
        )

    @property
    def wrap_probability(self) -> float:
        """Most likely that any coordinate of a sum of all clients wraps, over the rotation's signs and the rounding.

        2 m exp(-(p/2)^2 / 2V): a union bound over m coordinates, each of which is sub-Gaussian with variance V, the sum
        of the rotated updates' (see `correlation`) and of the rounding's, 1/4 of a level squared for each party.
        """
        reach = (self.field.modulus + 1) / 2
        return min(1.0, 2 * self.rotated * math.exp(-(reach**2) / (2 * self._variance_of_sum)))

    @property
    def length(self) -> int:
        """Values in an update: the rotated ones, then those of `beside`."""
        return self.rotated + self.beside.length

    @property
    def vector_length(self) -> int:
        """Coordinates of an encoded vector: rotated values, then digits."""
        return self.rotated + self.beside.vector_length * self._digits.count

    @property
    def clients(self) -> int:
        """Most inputs that one sum may hold."""
        return self.beside.clients

    @property
    def max_weight(self) -> int:
        """Weights are 0..max_weight."""
        return self.beside.max_weight

    @property
    def bits(self) -> int:
        """2^bits - 1 levels span the range that an `Encoding` of these bits would clip to (`clip_for`)."""
        return self.beside.bits

    @property
    def level(self) -> float:
        """The size of a level."""
        return 2 * clip_for(self.scale, 1, self.bits) / ((1 << self.bits) - 1)

    @property
    def error_bounds(self) -> tuple[float, ...]:
        """One level and float32 for the rotated values, where nothing wrapped; then those of `beside`."""
        reach = self.level * self.field.modulus / 2
        return self.level + reach * float(np.finfo(np.float32).eps), *self.beside.error_bounds

    @property
    def error_bound(self) -> float:
        """The largest of `error_bounds`."""
        return max(self.error_bounds)

    @property
    def variance(self) -> float:
        """0: no transform stands before the rounding (see `Codec`)."""
        return 0.0

    def encode(
        self,
        update: Floats,
        *,
        weight: int = 1,
        metrics: Mapping[str, float] = NONE,
        counters: Mapping[str, int] = NONE,
        rand: Randomness,
    ) -> FieldVector:
        """As `Encoding.encode`, but the rotated values are not clipped."""
        require_update(update, self.length)
        factor = within("weight", weight, self.max_weight)
        exact = self.beside.encode(update[self.rotated :], weight=weight, metrics=metrics, counters=counters, rand=rand)
        out = self.field.zeros(self.vector_length)
        out[self.rotated :] = self._digits.split(exact)
        rounding = Rounding(Seed(rand.bytes(32)))
        for start in range(0, self.rotated, CHUNK):
            stop = min(start + CHUNK, self.rotated)
            out[start:stop] = self._residues(update[start:stop].astype(np.float64), start, factor, rounding)
        return out

    def decode_sum(self, vector: FieldVector) -> Decoded:
        """As `Encoding.decode_sum`; raises EncodingError also for a sum that is longer than was declared."""
        self.field.check(vector)
        require(vector.shape == (self.vector_length,), f"the sum has {self.vector_length} elements")
        exact = self.beside.decode_sum(self._digits.join(vector[self.rotated :]))
        mean, squares = np.empty(self.length, dtype=np.float32), 0.0
        for start in range(0, self.rotated, CHUNK):
            stop = min(start + CHUNK, self.rotated)
            sums = self._centred(vector[start:stop])
            squares += float(np.square(sums, dtype=np.float64).sum())
            mean[start:stop] = sums * (self.level / exact.total_weight)
        self._require_declared(squares)
        mean[self.rotated :] = exact.mean
        return replace(exact, mean=mean)

    def _residues(self, values: NDArray[np.float64], start: int, factor: int, rounding: Rounding) -> FieldVector:
        require_finite(values, start)
        scaled = values / self.level
        longest = float(np.abs(scaled).max()) * self.max_weight
        require(longest < 2.0**52, f"a value of {longest:g} levels is beyond any scale that was declared")
        weighted = rounding.rounded(scaled, start).astype(np.int64) * factor
        weighted -= weighted // self.field.modulus * self.field.modulus
        return weighted.astype(self.field.dtype)

    def _centred(self, residues: FieldVector) -> NDArray[np.int64]:
        """The integers nearest to zero: -(p-1)/2..(p-1)/2."""
        signed = residues.astype(np.int64)
        signed -= self.field.modulus * (signed > self.field.modulus // 2)
        return signed

    @property
    def _digits(self) -> Digits:
        return Digits(self.beside.field, self.field, self.clients)

    @property
    def _variance_of_sum(self) -> float:
        """V: of one coordinate of the sum, in levels squared."""
        together = 1 + (self.clients - 1) * self.correlation
        return self.max_weight**2 * self.clients * (together * (self.scale / self.level) ** 2 + 0.25)

    def _require_declared(self, squares: float) -> None:
        """A longer sum has a larger square mean, wrapped or not: at most, all residues alike, p^2/12."""
        loose = 1 + 2 * math.sqrt(_REFUSED / self.rotated) + 2 * _REFUSED / self.rotated
        require(
            squares <= self.rotated * self._variance_of_sum * loose,
            "the sum is longer than the declared norm and correlation allow and may have wrapped: "
            "there is no mean; declare larger ones, or use no wrap",
        )
