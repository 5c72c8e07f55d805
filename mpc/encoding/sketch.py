"""Count-sketch: every value is added, with a random sign, to one bucket of each row.

[Charikar, Chen, Farach-Colton 2002; Rothchild et al. 2020, FetchSGD]
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mpc.encoding.parts import Floats, Reals, require
from mpc.encoding.transform import SIGNS_CHUNK, public_seed, signs
from mpc.field import M31
from mpc.prg import expand

_Buckets: TypeAlias = NDArray[np.int64]
_MOST_COLUMNS: Final = 1 << 26  # so that no bucket is likelier than another by more than 2^-5 of 1 / columns


@dataclass(frozen=True, slots=True)
class CountSketch:
    """A table of `rows` x `columns` buckets. A value is read back as the mean of its signed buckets.

    That mean is linear in the table and unbiased. The median of the literature is not linear; it is there to find the
    few heavy coordinates of a vector, and the others are then dropped, which is a bias. So with the mean this is no
    more exact than a `RandK` of the same size; it spreads the error over all coordinates alike.
    """

    length: int
    rows: int
    columns: int
    seed: bytes

    def __post_init__(self) -> None:
        require(self.length >= 1 and self.rows >= 1, "a sketch has one value and one row or more")
        require(1 <= self.columns <= _MOST_COLUMNS, f"a sketch has 1..2^26 columns, not {self.columns}")
        public_seed(self.seed)

    @property
    def out_length(self) -> int:
        """Buckets in all."""
        return self.rows * self.columns

    @property
    def variance(self) -> float:
        """(length - 1) / (rows x columns): what the other values of its buckets add to each value, over all of them."""
        return (self.length - 1) / self.out_length

    def forward(self, values: Floats) -> Floats:
        """The table, row after row."""
        table = np.zeros((self.rows, self.columns), dtype=np.float64)
        for row in range(self.rows):
            for start, stop in self._stretches():
                bucket, sign = self._drawn(row, start, stop)
                signed = np.multiply(values[start:stop], sign, dtype=np.float64)
                table[row] += np.bincount(bucket, weights=signed, minlength=self.columns)
        return table.reshape(-1).astype(np.float32)

    def backward(self, values: Floats) -> Floats:
        """Each value's mean over the rows."""
        table = values.reshape(self.rows, self.columns)
        out = np.empty(self.length, dtype=np.float32)
        for start, stop in self._stretches():
            total: Reals = np.zeros(stop - start, dtype=np.float64)
            for row in range(self.rows):
                bucket, sign = self._drawn(row, start, stop)
                total += table[row, bucket] * sign
            out[start:stop] = total / self.rows
        return out

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """A stretch is not much shorter than a row, which is added to once for each."""
        step = SIGNS_CHUNK * (1 + self.columns // SIGNS_CHUNK)
        return ((start, min(start + step, self.length)) for start in range(0, self.length, step))

    def _drawn(self, row: int, start: int, stop: int) -> tuple[_Buckets, Floats]:
        seed = public_seed(self.seed)
        drawn = expand(seed, f"sketch buckets {row}", M31, start, stop).astype(np.int64)
        return drawn * self.columns >> 31, signs(seed, f"sketch signs {row}", start, stop)
