"""Stochastic rounding: a value in levels goes to one of its two neighbours, so that its mean is the value.

[Suresh, Yu, Kumar, McMahan 2017, section 2]
"""

from dataclasses import dataclass

import numpy as np

from mpc import loops
from mpc.encoding.parts import CHUNK, Floats, Reals
from mpc.field import M31, FieldVector
from mpc.prg import Expansion, Seed


class Rounding:
    """The chances of one vector: seeded, as secret as its values, and used for one vector only."""

    __slots__ = ("_noise",)

    def __init__(self, seed: Seed) -> None:
        self._noise = Expansion(seed, "rounding", M31, longest=CHUNK)

    def rounded(self, scaled: Reals, start: int) -> Reals:
        """Whole levels: `floor`, or one above with the probability of the fraction.

        start: the coordinate of the first value, so that no stretch of a vector is rounded like another. At most CHUNK
        values, which are scratch afterwards. The mean is off by 2^-31 at most, in levels.
        """
        levels: Reals = np.floor(scaled)
        np.subtract(scaled, levels, out=scaled)
        levels += self.noise(start, len(scaled)) / np.float64(M31.modulus) < scaled
        return levels

    def noise(self, start: int, length: int) -> FieldVector:
        """Uniform in 0..M31.modulus-1, until the next call."""
        return self._noise.elements(start, start + length)


@dataclass(frozen=True, slots=True)
class Scale:
    """Values are clipped to low..high; their level is (value - low) / width * top, in float64."""

    low: float
    high: float
    width: float
    top: float

    def put(self, values: Floats | Reals, out: FieldVector, factor: int, rounding: Rounding, start: int) -> int:
        """Write the rounded levels, times `factor`, into `out`; returns how many values were clipped. At most CHUNK."""
        if loops.available and values.dtype == np.float32 and out.dtype == np.uint32:
            return loops.round_values(
                np.require(values, np.float32, ["C", "A"]),
                rounding.noise(start, len(values)),
                out,
                ends=(self.low, self.high),
                width=self.width,
                top=self.top,
                noise_top=M31.modulus,
                factor=factor,
            )
        given = values.astype(np.float64)
        inside = np.clip(given, self.low, self.high)
        clipped = int(np.count_nonzero(inside != given))
        np.subtract(inside, self.low, out=inside)
        np.divide(inside, self.width, out=inside)
        np.multiply(inside, self.top, out=inside)
        np.copyto(out, rounding.rounded(inside, start), casting="unsafe")  # whole, and below 2^bits
        if factor != 1:
            np.multiply(out, out.dtype.type(factor), out=out)
        return clipped
