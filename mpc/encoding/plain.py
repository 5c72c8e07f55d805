"""Values with so many bits each, metrics and counters <-> one vector over the field in which no coordinate can wrap.

The coordinates, in this order: the values, the metrics, then the digits of the counters. A value is clipped to the
range of its span, scaled to levels 0..2^bits-1, rounded stochastically and multiplied by the party's weight; a counter
is added as it is. Total weight and the number of clipped values are counters that are always there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from mpc.encoding.digits import digit_bits
from mpc.encoding.parts import (
    CHUNK,
    MAX_BITS,
    NONE,
    Counter,
    Decoded,
    Floats,
    Metric,
    NotEnoughHeadroom,
    Reals,
    Span,
    distinct,
    in_order,
    require,
    require_bits,
    require_finite,
    require_update,
    within,
)
from mpc.encoding.rounding import Rounding, Scale
from mpc.field import M61, FieldVector, PrimeField
from mpc.prg import Seed
from mpc.randomness import Randomness


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How real inputs become field vectors; the same at every party and at whoever reads the sum.

    spans: the values of an update and their ranges, to which they are clipped. bits: 1..32 for each value.
    max_weight: weights are 0..max_weight. clients: most inputs that one sum may hold.
    Raises NotEnoughHeadroom when the field is too small for them, EncodingError when one makes no sense.
    """

    spans: tuple[Span, ...]
    clients: int
    field: PrimeField
    bits: int = 16
    max_weight: int = 1
    metrics: tuple[Metric, ...] = ()
    counters: tuple[Counter, ...] = ()

    def __post_init__(self) -> None:
        require(self.clients >= 1 and self.max_weight >= 1, "the bounds of clients and weights are 1 or more")
        require_bits(self.bits)
        require(distinct(self.metrics) and distinct(self.counters), "two metrics or counters of one name")
        self._require_headroom()

    @classmethod
    def fitting(
        cls,
        *,
        spans: tuple[Span, ...],
        clients: int,
        bits: int = 16,
        max_weight: int = 1,
        metrics: tuple[Metric, ...] = (),
        counters: tuple[Counter, ...] = (),
    ) -> Self:
        """The encoding in the field that sends the fewest bits an element; M61 when 32 do not suffice."""
        return cls(
            spans=spans,
            clients=clients,
            field=_smallest_field(clients * max_weight * _top(bits)),
            bits=bits,
            max_weight=max_weight,
            metrics=metrics,
            counters=counters,
        )

    @property
    def length(self) -> int:
        """Values in an update."""
        return sum(span.length for span in self.spans)

    @property
    def vector_length(self) -> int:
        """Coordinates of an encoded vector: values, metrics, counter digits."""
        return self._reals + sum(self._digits(counter) for counter in self._all_counters)

    @property
    def error_bounds(self) -> tuple[float, ...]:
        """For each span, most that a value of a decoded mean differs from the weighted mean of the clipped updates.

        That is one level, and float32. Of a span of whole numbers it is float32 alone, which holds for whole numbers.
        """
        return tuple(self._level_of(span) + _float32_error(span) for span in self.spans)

    @property
    def error_bound(self) -> float:
        """The largest of `error_bounds`."""
        return max(self.error_bounds, default=0.0)

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
        """One party's input as a vector of `vector_length`.

        update: float32[length], finite. metrics, counters: exactly the names of this encoding. A metric outside its
        range is clipped and counted like a value; a weight or counter outside its bound is refused, as is NaN or
        infinity: EncodingError. The rounding is unbiased, drawn from 32 bytes of `rand`, and as secret as the update.
        """
        require_update(update, self.length)
        given = np.array(in_order(self.metrics, metrics), dtype=np.float64)
        factor = within("weight", weight, self.max_weight)
        rounding = Rounding(Seed(rand.bytes(32)))
        out, clipped = self.field.zeros(self.vector_length), 0
        stretches: list[tuple[int, Floats | Reals, Span]] = [
            (start, update[start:stop], span) for start, stop, span in self._stretches()
        ]
        stretches += [(self.length + at, given[at : at + 1], span) for at, span in enumerate(self._metric_spans)]
        for start, values, span in stretches:
            require_finite(values, start)
            part = out[start : start + len(values)]
            clipped += self._scale(span).put(values, part, factor, rounding, start)
        counts = (factor, clipped, *in_order(self.counters, counters))
        out[self._reals :] = self.field.vector(self._split(counts))
        return out

    def decode_sum(self, vector: FieldVector) -> Decoded:
        """The means and sums that a sum of encoded vectors stands for.

        vector: `vector_length` elements, the sum in the field over any of the clients. Raises EncodingError when the
        total weight is 0, and for most vectors that no sum of encoded inputs can be.
        """
        self.field.check(vector)
        require(vector.shape == (self.vector_length,), f"the sum has {self.vector_length} elements")
        total, clipped, *counts = self._join(vector[self._reals :].tolist())
        require(total > 0, "the total weight is 0: there is no mean")
        highest = int(vector[: self._reals].max(initial=0))
        require(highest <= total * _top(self.bits), "no sum of encoded inputs: a value exceeds its weight")
        means = [
            float(self._mean(vector[at : at + 1], total, span)[0])
            for at, span in enumerate(self._metric_spans, start=self.length)
        ]
        return Decoded(
            mean=self._mean_values(vector, total),
            total_weight=total,
            clipped=clipped,
            metrics={metric.name: mean for metric, mean in zip(self.metrics, means, strict=True)},
            counters={counter.name: count for counter, count in zip(self.counters, counts, strict=True)},
        )

    # --- values and metrics ---

    @property
    def _reals(self) -> int:
        return self.length + len(self.metrics)

    @property
    def _metric_spans(self) -> list[Span]:
        return [Span(1, metric.low, metric.high) for metric in self.metrics]

    def _stretches(self) -> Iterator[tuple[int, int, Span]]:
        """(start, stop, span): the values of one span, a chunk at a time."""
        start = 0
        for span in self.spans:
            end = start + span.length
            for at in range(start, end, CHUNK):
                yield at, min(at + CHUNK, end), span
            start = end

    def _scale(self, span: Span) -> Scale:
        """Divided before it is multiplied, so that the range ends at the lowest and the highest level."""
        if span.whole(self.bits):
            return Scale(span.low, span.high, 1.0, 1.0)
        return Scale(span.low, span.high, span.high - span.low, float(_top(self.bits)))

    def _mean_values(self, vector: FieldVector, total: int) -> Floats:
        mean = np.empty(self.length, dtype=np.float32)
        for start, stop, span in self._stretches():
            mean[start:stop] = self._mean(vector[start:stop], total, span)
        return mean

    def _mean(self, sums: FieldVector, total: int, span: Span) -> Reals:
        levels = sums.astype(np.float64)
        if span.whole(self.bits):
            return levels / total + span.low
        return levels / (total * _top(self.bits)) * (span.high - span.low) + span.low

    def _level_of(self, span: Span) -> float:
        return 0.0 if span.whole(self.bits) else (span.high - span.low) / _top(self.bits)

    # --- counters: base-2^k digits where a sum would not fit one coordinate ---

    @property
    def _all_counters(self) -> tuple[Counter, ...]:
        return Counter("total weight", self.max_weight), Counter("clipped", self._reals), *self.counters

    @property
    def _digit_bits(self) -> int:
        return digit_bits(self.field, self.clients)

    def _digits(self, counter: Counter) -> int:
        if self.clients * counter.bound < self.field.modulus:
            return 1
        return -(-counter.bound.bit_length() // self._digit_bits)

    def _split(self, counts: Sequence[int]) -> list[int]:
        digits: list[int] = []
        for counter, count in zip(self._all_counters, counts, strict=True):
            plain = within(f"counter {counter.name!r}", count, counter.bound)
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
            require(total <= self.clients * counter.bound, f"no sum of encoded inputs: counter {counter.name!r}")
            totals.append(total)
        return totals

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


def _float32_error(span: Span) -> float:
    return max(abs(span.low), abs(span.high)) * float(np.finfo(np.float32).eps)


def _smallest_field(largest_sum: int) -> PrimeField:
    candidates = (PrimeField.with_bits(bits) for bits in range(max(2, largest_sum.bit_length()), MAX_BITS + 1))
    return next((field for field in candidates if largest_sum < field.modulus), M61)
