"""A real vector, a weight, metrics and counters <-> one vector over the field, so that sums decode to weighted means.

The coordinates, in this order: the values, the metrics, then the digits of the counters. A value is clipped, scaled to
levels 0..2^bits-1, rounded stochastically and multiplied by the party's weight; a counter is added as it is. Total
weight and the number of clipped values are counters that are always there. Nothing of a party travels beside the
vector, and no coordinate can wrap: an `Encoding` without headroom cannot be built.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from types import MappingProxyType
from typing import Any, Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mpc.field import M31, M61, FieldVector, PrimeField
from mpc.prg import Seed, expand
from mpc.randomness import Randomness

MAX_BITS: Final = 32
"""Most bits a value; its levels and their sums keep to the 53 bits of a float64 within the error bound."""

_CHUNK: Final = 1 << 16  # coordinates at a time: their float64 temporaries stay in the cache
_Reals: TypeAlias = NDArray[np.float64]
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class EncodingError(ValueError):
    """An input that cannot be encoded, a sum that cannot be decoded, or a description of neither."""


class NotEnoughHeadroom(EncodingError):
    """The sum of all clients could exceed the field. The message names what to give up."""


@dataclass(frozen=True, slots=True)
class Counter:
    """An integer that is summed: 0..bound for each party."""

    name: str
    bound: int

    def __post_init__(self) -> None:
        if self.bound < 0:
            raise EncodingError(f"counter {self.name!r}: the bound is 0 or more, not {self.bound}")


@dataclass(frozen=True, slots=True)
class Metric:
    """A real number in low..high that is averaged with the weights of the parties."""

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.high - self.low < np.inf:
            raise EncodingError(f"metric {self.name!r}: low and high are finite and low < high")


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What a sum of encoded inputs says, and all that it says."""

    mean: NDArray[np.float32]
    """float32[length]: the mean of the clipped updates, weighted."""
    total_weight: int
    clipped: int
    """Values and metrics that lay outside their range, over all parties."""
    metrics: dict[str, float]
    """Weighted means."""
    counters: dict[str, int]
    """Sums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How real inputs become field vectors; the same at every party and at whoever reads the sum.

    length: values in an update. clip: every value is clipped to -clip..clip. bits: 1..32 for each value.
    max_weight: weights are 0..max_weight. clients: most inputs that one sum may hold.
    Raises NotEnoughHeadroom when the field is too small for them, EncodingError when one makes no sense.
    """

    length: int
    clip: float
    clients: int
    field: PrimeField
    bits: int = 16
    max_weight: int = 1
    metrics: tuple[Metric, ...] = ()
    counters: tuple[Counter, ...] = ()

    def __post_init__(self) -> None:
        _require(self.length >= 1 and self.clients >= 1 and self.max_weight >= 1, "lengths and bounds are 1 or more")
        _require(1 <= self.bits <= MAX_BITS, f"bits are 1..{MAX_BITS}, not {self.bits}")
        _require(0 < 2 * self.clip < np.inf, f"the clip is finite and above 0, not {self.clip}")
        _require(_distinct(self.metrics) and _distinct(self.counters), "two metrics or counters of one name")
        self._require_headroom()

    @classmethod
    def fitting(
        cls,
        *,
        length: int,
        clip: float,
        clients: int,
        bits: int = 16,
        max_weight: int = 1,
        metrics: tuple[Metric, ...] = (),
        counters: tuple[Counter, ...] = (),
    ) -> Self:
        """The encoding in the field that sends the fewest bits an element; M61 when 32 do not suffice."""
        return cls(
            length=length,
            clip=clip,
            clients=clients,
            field=_smallest_field(clients * max_weight * _top(bits)),
            bits=bits,
            max_weight=max_weight,
            metrics=metrics,
            counters=counters,
        )

    @property
    def vector_length(self) -> int:
        """Coordinates of an encoded vector: values, metrics, counter digits."""
        return self._reals + sum(self._digits(counter) for counter in self._all_counters)

    @property
    def error_bound(self) -> float:
        """Most that a decoded mean differs from the weighted mean of the clipped updates: one level, and float32."""
        return 2 * self.clip / _top(self.bits) + self.clip * float(np.finfo(np.float32).eps)

    def encode(
        self,
        update: NDArray[np.float32],
        *,
        weight: int = 1,
        metrics: Mapping[str, float] = _NONE,
        counters: Mapping[str, int] = _NONE,
        rand: Randomness,
    ) -> FieldVector:
        """One party's input as a vector of `vector_length`.

        update: float32[length], finite. metrics, counters: exactly the names of this encoding. A metric outside its
        range is clipped and counted like a value; a weight or counter outside its bound is refused, as is NaN or
        infinity: EncodingError. The rounding is unbiased, drawn from 32 bytes of `rand`, and as secret as the update.
        """
        self._require_update(update)
        given = np.array(_in_order(self.metrics, metrics), dtype=np.float64)
        factor = _within("weight", weight, self.max_weight)
        rounding = Seed(rand.bytes(32))
        out = self.field.zeros(self.vector_length)
        clipped = 0
        for start in range(0, self.length, _CHUNK):
            values = update[start : start + _CHUNK].astype(np.float64)
            clipped += self._put(out, start, values, (-self.clip, self.clip), factor, rounding)
        clipped += self._put(out, self.length, given, self._metric_range, factor, rounding)
        counts = (factor, clipped, *_in_order(self.counters, counters))
        out[self._reals :] = self.field.vector(self._split(counts))
        return out

    def decode_sum(self, vector: FieldVector) -> Decoded:
        """The means and sums that a sum of encoded vectors stands for.

        vector: `vector_length` elements, the sum in the field over any of the clients. Raises EncodingError when the
        total weight is 0, and for most vectors that no sum of encoded inputs can be.
        """
        self.field.check(vector)
        _require(vector.shape == (self.vector_length,), f"the sum has {self.vector_length} elements")
        total, clipped, *counts = self._join(vector[self._reals :].tolist())
        _require(total > 0, "the total weight is 0: there is no mean")
        highest = int(vector[: self._reals].max())
        _require(highest <= total * _top(self.bits), "no sum of encoded inputs: a value exceeds its weight")
        means = self._mean(vector[self.length : self._reals], total, self._metric_range)
        return Decoded(
            mean=self._mean_values(vector, total),
            total_weight=total,
            clipped=clipped,
            metrics={metric.name: float(mean) for metric, mean in zip(self.metrics, means, strict=True)},
            counters={counter.name: count for counter, count in zip(self.counters, counts, strict=True)},
        )

    # --- values and metrics ---

    @property
    def _reals(self) -> int:
        return self.length + len(self.metrics)

    @property
    def _metric_range(self) -> tuple[_Reals, _Reals]:
        low, high = ([metric.low for metric in self.metrics], [metric.high for metric in self.metrics])
        return np.array(low, dtype=np.float64), np.array(high, dtype=np.float64)

    def _put(
        self,
        out: FieldVector,
        start: int,
        values: _Reals,
        limits: tuple[float, float] | tuple[_Reals, _Reals],
        factor: int,
        rounding: Seed,
    ) -> int:
        """Write the weighted levels of `values` from coordinate `start` on; returns how many were clipped."""
        low, high = limits
        _require_finite(values, start)
        stop = start + len(values)
        inside = np.clip(values, low, high)
        # divided before it is scaled: the ends of the range are then exactly the lowest and the highest level
        scaled = (inside - low) / (high - low) * _top(self.bits)
        levels = np.floor(scaled)
        levels += self._noise(rounding, start, stop) < scaled - levels
        np.multiply(levels.astype(out.dtype), out.dtype.type(factor), out=out[start:stop])
        return int(np.count_nonzero(inside != values))

    @staticmethod
    def _noise(rounding: Seed, start: int, stop: int) -> _Reals:
        """Uniform in 0..1 in steps of 2^-31, which is the most that the rounding's mean is off, in levels."""
        return expand(rounding, "rounding", M31, start, stop) / np.float64(M31.modulus)

    def _mean_values(self, vector: FieldVector, total: int) -> NDArray[np.float32]:
        mean = np.empty(self.length, dtype=np.float32)
        for start in range(0, self.length, _CHUNK):
            stop = min(start + _CHUNK, self.length)
            mean[start:stop] = self._mean(vector[start:stop], total, (-self.clip, self.clip))
        return mean

    def _mean(self, sums: FieldVector, total: int, limits: tuple[float, float] | tuple[_Reals, _Reals]) -> _Reals:
        low, high = limits
        share: _Reals = sums.astype(np.float64) / (total * _top(self.bits))
        return share * (high - low) + low

    # --- counters: base-2^k digits where a sum would not fit one coordinate ---

    @property
    def _all_counters(self) -> tuple[Counter, ...]:
        return Counter("total weight", self.max_weight), Counter("clipped", self._reals), *self.counters

    @property
    def _digit_bits(self) -> int:
        """k, the largest with clients * (2^k - 1) < p."""
        return ((self.field.modulus - 1) // self.clients + 1).bit_length() - 1

    def _digits(self, counter: Counter) -> int:
        if self.clients * counter.bound < self.field.modulus:
            return 1
        return -(-counter.bound.bit_length() // self._digit_bits)

    def _split(self, counts: Sequence[int]) -> list[int]:
        digits: list[int] = []
        for counter, count in zip(self._all_counters, counts, strict=True):
            plain = _within(f"counter {counter.name!r}", count, counter.bound)
            digits += self._split_one(plain, self._digits(counter))
        return digits

    def _split_one(self, count: int, digits: int) -> list[int]:
        """Lowest digit first; the last digit takes what is left, so a counter of one digit is that digit."""
        k, lower = self._digit_bits, digits - 1
        return [(count >> (k * i)) & ((1 << k) - 1) for i in range(lower)] + [count >> (k * lower)]

    def _join(self, sums: list[int]) -> list[int]:
        totals = []
        for counter in self._all_counters:
            digits, sums = sums[: self._digits(counter)], sums[self._digits(counter) :]
            total = sum(digit << (self._digit_bits * i) for i, digit in enumerate(digits))
            _require(total <= self.clients * counter.bound, f"no sum of encoded inputs: counter {counter.name!r}")
            totals.append(total)
        return totals

    # --- what is refused ---

    def _require_update(self, update: NDArray[np.float32]) -> None:
        right = update.dtype == np.float32 and update.shape == (self.length,)
        _require(right, f"an update is float32[{self.length}], not {update.dtype}{list(update.shape)}")

    def _require_headroom(self) -> None:
        p, most = self.field.modulus, self.clients * self.max_weight
        if most * _top(self.bits) < p:
            return
        room = ((p - 1) // most + 1).bit_length() - 1
        remedy = (
            f"give up {self.bits - room}: use at most {room} bits a value"
            if room
            else "use smaller weights or a larger field"
        )
        raise NotEnoughHeadroom(
            f"{self.clients} clients x weight {self.max_weight} x {self.bits}-bit values need "
            f"{(most * _top(self.bits)).bit_length()} bits, the field has {self.field.bits}: {remedy}"
        )


def _top(bits: int) -> int:
    """The highest level of a value."""
    return (1 << bits) - 1


def _smallest_field(largest_sum: int) -> PrimeField:
    candidates = (PrimeField.with_bits(bits) for bits in range(max(2, largest_sum.bit_length()), MAX_BITS + 1))
    return next((field for field in candidates if largest_sum < field.modulus), M61)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise EncodingError(otherwise)


def _require_finite(values: _Reals, start: int) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        raise EncodingError(f"NaN or infinity at index {start + int(np.argmin(finite))}")


def _within(what: str, count: int, bound: int) -> int:
    """`count` as a plain int; a float is a TypeError, out of bounds an EncodingError."""
    _require(0 <= count <= bound, f"{what} is 0..{bound}, not {count}")
    return index(count)


def _distinct(named: Iterable[Metric | Counter]) -> bool:
    names = [one.name for one in named]
    return len(names) == len(set(names))


def _in_order(named: Sequence[Metric | Counter], given: Mapping[str, Any]) -> list[Any]:
    """The given values in the order of their descriptions; raises EncodingError for a name missing or unknown."""
    names = [one.name for one in named]
    _require(set(names) == given.keys(), f"exactly {names} are wanted, not {list(given)}")
    return [given[name] for name in names]
