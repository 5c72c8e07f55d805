"""What an encoded vector is made of, and what it is called when something is wrong with it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Reals: TypeAlias = NDArray[np.float64]

MAX_BITS: Final = 32
"""Most bits a value; its levels and their sums keep to the 53 bits of a float64 within the error bound."""

CHUNK: Final = 1 << 16
"""Coordinates at a time: their float64 temporaries stay in the cache."""

NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class EncodingError(ValueError):
    """An input that cannot be encoded, a sum that cannot be decoded, or a description of neither."""


class NotEnoughHeadroom(EncodingError):
    """The sum of all clients could exceed the field. The message names what to give up."""


@dataclass(frozen=True, slots=True)
class Span:
    """`length` consecutive values of an update, each in low..high."""

    length: int
    low: float
    high: float

    def __post_init__(self) -> None:
        require(self.length >= 1, f"a span has one value or more, not {self.length}")
        require(0 < self.high - self.low < np.inf, f"a span is finite and low < high, not {self.low}..{self.high}")

    def whole(self, bits: int) -> bool:
        """Whether it has one level a unit: then the whole numbers in its range are exact."""
        return (self.low, self.high) == _whole_range(bits)


def uniform(length: int, clip: float) -> tuple[Span, ...]:
    """`length` values in -clip..clip."""
    return (Span(length, -clip, clip),)


def whole_numbers(length: int, bits: int) -> Span:
    """`length` whole numbers in -2^(bits-1)..2^(bits-1)-1: `bits` bits give each of them its own level."""
    require_bits(bits)
    return Span(length, *_whole_range(bits))


def _whole_range(bits: int) -> tuple[float, float]:
    return -float(1 << (bits - 1)), float((1 << (bits - 1)) - 1)


@dataclass(frozen=True, slots=True)
class Counter:
    """An integer that is summed: 0..bound for each party."""

    name: str
    bound: int

    def __post_init__(self) -> None:
        require(self.bound >= 0, f"counter {self.name!r}: the bound is 0 or more, not {self.bound}")


@dataclass(frozen=True, slots=True)
class Metric:
    """A real number in low..high that is averaged with the weights of the parties."""

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        require(0 < self.high - self.low < np.inf, f"metric {self.name!r}: low and high are finite and low < high")


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What a sum of encoded inputs says, and all that it says."""

    mean: Floats
    """float32[length]: the mean of the clipped updates, weighted."""
    total_weight: int
    clipped: int
    """Values and metrics that lay outside their range, over all parties."""
    metrics: dict[str, float]
    """Weighted means."""
    counters: dict[str, int]
    """Sums."""


# --- what is refused ---


def require(holds: bool, otherwise: str) -> None:
    """Raises EncodingError unless it holds."""
    if not holds:
        raise EncodingError(otherwise)


def require_bits(bits: int) -> None:
    """Raises EncodingError unless a value can have so many."""
    require(1 <= bits <= MAX_BITS, f"bits are 1..{MAX_BITS}, not {bits}")


def require_update(update: Floats, length: int) -> None:
    """Raises EncodingError unless it is float32[length]."""
    right = update.dtype == np.float32 and update.shape == (length,)
    require(right, f"an update is float32[{length}], not {update.dtype}{list(update.shape)}")


def require_finite(values: Reals | Floats, start: int = 0) -> None:
    """Raises EncodingError for NaN or infinity, naming its index; that of the first value is `start`."""
    finite = np.isfinite(values)
    if not finite.all():
        raise EncodingError(f"NaN or infinity at index {start + int(np.argmin(finite))}")


def within(what: str, count: int, bound: int) -> int:
    """`count` as a plain int; a float is a TypeError, out of bounds an EncodingError."""
    require(0 <= count <= bound, f"{what} is 0..{bound}, not {count}")
    return index(count)


def distinct(named: Iterable[Metric | Counter]) -> bool:
    """Whether no two have one name."""
    names = [one.name for one in named]
    return len(names) == len(set(names))


def in_order(named: Sequence[Metric | Counter], given: Mapping[str, Any]) -> list[Any]:
    """The given values in the order of their descriptions; raises EncodingError for a name missing or unknown."""
    names = [one.name for one in named]
    require(set(names) == given.keys(), f"exactly {names} are wanted, not {list(given)}")
    return [given[name] for name in names]
