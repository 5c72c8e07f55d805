"""Transforms before an encoding: the sum of what they give is mapped back after it is decoded."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mpc.encoding.parts import (
    CHUNK,
    NONE,
    Counter,
    Decoded,
    Floats,
    Span,
    require,
    require_finite,
    require_update,
)
from mpc.encoding.plain import Encoding
from mpc.encoding.transform import Transform
from mpc.encoding.wrapping import WrappingEncoding
from mpc.field import FieldVector, PrimeField
from mpc.randomness import Randomness

SHORTENED: Final = Counter("updates longer than the norm", 1)
"""Counts the parties whose update was scaled down; an encoding below a `Compressed` with a norm has it."""

_EPS: Final = float(np.finfo(np.float32).eps)
_EXCEEDED: Final = 41 * math.log(2)  # an error bound after a rotation is exceeded with probability 2^-40


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """A codec whose floats go through `transforms`, in this order, and whose whole numbers go beside them.

    spans: those of the update. encoding: of what the last transform gives, followed by the values of the spans of whole
    numbers, which no transform touches. norm: a longer update (L2, of its floats) is first scaled down to it and
    counted in `clipped`, as is each coordinate that the encoding cuts. damped: the decoded mean is divided by 1 + v,
    v the variance without it. That makes it biased, and on average over the seeds nearer to the update than zero is:
    what error feedback needs.
    Raises EncodingError where they do not fit together.
    """

    spans: tuple[Span, ...]
    transforms: tuple[Transform, ...]
    encoding: Encoding | WrappingEncoding
    norm: float | None = None
    damped: bool = False

    def __post_init__(self) -> None:
        require(len(self.transforms) >= 1, "at least one transform is wanted")
        require(self.norm is None or 0 < self.norm < math.inf, f"the norm is finite and above 0, not {self.norm}")
        wholes = sum(span.length for span in self.spans if self._is_whole(span))
        counted = self.norm is None or SHORTENED in self._counters
        require(counted, f"with a norm the encoding needs the counter SHORTENED, {SHORTENED.name!r}")
        first, last = self.transforms[0], self.transforms[-1]
        chained = all(one.out_length == other.length for one, other in pairwise(self.transforms))
        fits = first.length == self.length - wholes and self.encoding.length == last.out_length + wholes
        require(
            chained and fits, "each transform takes what the one before gives, and the encoding what the last gives"
        )

    @property
    def length(self) -> int:
        """Values in an update."""
        return sum(span.length for span in self.spans)

    @property
    def vector_length(self) -> int:
        """Elements of an encoded vector."""
        return self.encoding.vector_length

    @property
    def field(self) -> PrimeField:
        """What the elements are in."""
        return self.encoding.field

    @property
    def clients(self) -> int:
        """Most inputs that one sum may hold."""
        return self.encoding.clients

    @property
    def max_weight(self) -> int:
        """Weights are 0..max_weight."""
        return self.encoding.max_weight

    @property
    def variance(self) -> float:
        """At most E|x' - x|^2 for a mean x of norm 1, before it is rounded; below 1 when it is damped."""
        return 1 - 1 / self._inflation if self.damped else self._inflation - 1

    @property
    def error_bounds(self) -> tuple[float, ...]:
        """For each span; for floats infinite where the transforms lose something.

        After a rotation each error is a signed mean of as many rounding errors as there are coordinates, at most a
        level each: the bound holds for all values together but for a probability of 2^-40 (Hoeffding).
        """
        bounds = self.encoding.error_bounds
        first_whole = len(bounds) - sum(self._is_whole(span) for span in self.spans)
        turned, exact = max(bounds[:first_whole]), iter(bounds[first_whole:])
        spread = math.sqrt((math.log(self.length) + _EXCEEDED) / 2)
        through = 4 * _EPS * math.log2(2 * self.length) * (self.norm or 0.0)  # the transforms' own float32
        floats = turned * spread + through if self.variance == 0 else math.inf
        return tuple(next(exact) if self._is_whole(span) else floats for span in self.spans)

    @property
    def error_bound(self) -> float:
        """The largest of `error_bounds`."""
        return max(self.error_bounds)

    @property
    def wrap_probability(self) -> float:
        """Most likely that a coordinate of the sum wraps: 0 unless the encoding is a `WrappingEncoding`."""
        return self.encoding.wrap_probability if isinstance(self.encoding, WrappingEncoding) else 0.0

    def encode(
        self,
        update: Floats,
        *,
        weight: int = 1,
        metrics: Mapping[str, float] = NONE,
        counters: Mapping[str, int] = NONE,
        rand: Randomness,
    ) -> FieldVector:
        """As `Encoding.encode`."""
        require_update(update, self.length)
        require_finite(update)
        floats, wholes = self._parted(update)
        short, counted = self._shortened(floats)
        turned = reduce(lambda values, transform: transform.forward(values), self.transforms, short)
        given = np.concatenate([turned, wholes]) if len(wholes) else turned
        return self.encoding.encode(given, weight=weight, metrics=metrics, counters={**counters, **counted}, rand=rand)

    def decode_sum(self, vector: FieldVector) -> Decoded:
        """As `Encoding.decode_sum`; `clipped` also counts the parties whose update was scaled down."""
        decoded = self.encoding.decode_sum(vector)
        turned = decoded.mean[: self.transforms[-1].out_length]
        floats = reduce(lambda values, transform: transform.backward(values), reversed(self.transforms), turned)
        if self.damped:
            floats *= np.float32(1 / self._inflation)
        counters = {name: count for name, count in decoded.counters.items() if name != SHORTENED.name}
        clipped = decoded.clipped + decoded.counters.get(SHORTENED.name, 0)
        return replace(
            decoded, mean=self._joined(floats, decoded.mean[len(turned) :]), clipped=clipped, counters=counters
        )

    @property
    def _inflation(self) -> float:
        """At most E|x'|^2 for a mean x of norm 1, not damped: transforms after one another multiply."""
        return math.prod(1 + transform.variance for transform in self.transforms)

    @property
    def _counters(self) -> tuple[Counter, ...]:
        beside = self.encoding.beside if isinstance(self.encoding, WrappingEncoding) else self.encoding
        return beside.counters

    def _is_whole(self, span: Span) -> bool:
        return span.whole(self.encoding.bits)

    def _parted(self, update: Floats) -> tuple[Floats, Floats]:
        """(floats, whole numbers), each in its order."""
        if not any(self._is_whole(span) for span in self.spans):
            return update, update[:0]
        whole = self._mask()
        return update[~whole], update[whole]

    def _joined(self, floats: Floats, wholes: Floats) -> Floats:
        if not len(wholes):
            return floats
        mean, whole = np.empty(self.length, dtype=np.float32), self._mask()
        mean[~whole], mean[whole] = floats, wholes
        return mean

    def _mask(self) -> NDArray[np.bool_]:
        whole = [self._is_whole(span) for span in self.spans]
        return np.repeat(whole, [span.length for span in self.spans])

    def _shortened(self, floats: Floats) -> tuple[Floats, dict[str, int]]:
        if self.norm is None:
            return floats, {}
        length = _l2(floats)
        if length <= self.norm:
            return floats, {SHORTENED.name: 0}
        return (floats * (self.norm / length)).astype(np.float32), {SHORTENED.name: 1}


def _l2(values: Floats) -> float:
    parts = (values[at : at + CHUNK].astype(np.float64) for at in range(0, len(values), CHUNK))
    return math.sqrt(sum(float(part @ part) for part in parts))
