"""A randomised Hadamard rotation: afterwards all coordinates are of one size, so that few bits and one range suit all.

[Suresh, Yu, Kumar, McMahan 2017, section 3; Konecny et al. 2016, section 3]
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from mpc.encoding.parts import Floats, require
from mpc.encoding.transform import SIGNS_CHUNK, public_seed, signs

_TILE: Final = 1 << 18  # values transformed at a time: they stay in the cache


@dataclass(frozen=True, slots=True)
class Rotation:
    """Signs and a fast Walsh-Hadamard transform over two blocks, the first and the last `block` values.

    `block` is the largest power of two in the length. The blocks overlap (they are the same one when the length is a
    power of two), so nothing is padded: what comes out is as long as what goes in, and beside the result only tiles of
    a megabyte are held. With blocks this large every coordinate is a signed mean over at least half of the vector:
    for any fixed input of L2 norm L it is sub-Gaussian with scale L / sqrt(block), P(|y| > k scale) <= 2 exp(-k^2 / 2),
    over the draw of the signs (Hoeffding); smaller blocks would leave the scale to how the norm is spread over them.
    """

    length: int
    seed: bytes

    def __post_init__(self) -> None:
        require(self.length >= 1, f"a rotation has one value or more, not {self.length}")
        public_seed(self.seed)

    @property
    def block(self) -> int:
        """Values that are rotated together."""
        return 1 << (self.length.bit_length() - 1)

    @property
    def out_length(self) -> int:
        """The same as `length`."""
        return self.length

    @property
    def variance(self) -> float:
        """0: a rotation loses nothing."""
        return 0.0

    def forward(self, values: Floats) -> Floats:
        """The rotated vector, of the same L2 norm."""
        out = values.copy()
        for place, block in self._blocks(out):
            self._flip(block, place)
            _rotate(block)
        return out

    def backward(self, values: Floats) -> Floats:
        """The vector before the rotation."""
        out = values.copy()
        for place, block in reversed(self._blocks(out)):
            _rotate(block)
            self._flip(block, place)
        return out

    def _blocks(self, values: Floats) -> list[tuple[int, Floats]]:
        head, tail = values[: self.block], values[self.length - self.block :]
        return [(0, head), (1, tail)] if self.block < self.length else [(0, head)]

    def _flip(self, block: Floats, place: int) -> None:
        seed, label = public_seed(self.seed), f"rotation signs {place}"
        for at in range(0, len(block), SIGNS_CHUNK):
            part = block[at : at + SIGNS_CHUNK]
            part *= signs(seed, label, at, at + len(part))


def _rotate(block: Floats) -> None:
    """block <- H block / sqrt(n) in place, H the Hadamard matrix in its natural order, n a power of two.

    A large block is a matrix whose columns, then rows are transformed (H of n = rows x columns is a tensor product).
    """
    matrix = block.reshape(_rows(len(block)), -1)
    rows, columns = matrix.shape
    for at in range(0, columns, max(1, _TILE // rows)):
        tile = matrix[:, at : at + max(1, _TILE // rows)]
        tile[:] = _butterflies(tile.copy())
    if columns > 1:
        for at in range(0, rows, max(1, _TILE // columns)):
            tile = matrix[at : at + max(1, _TILE // columns)]
            tile[:] = _butterflies(tile.T.copy()).T
    block *= np.float32(1 / math.sqrt(len(block)))


def _rows(length: int) -> int:
    return length if length <= _TILE else 1 << (length.bit_length() // 2)


def _butterflies(tile: Floats) -> Floats:
    """H tile for 2^k rows: k times the sums and differences of both halves, put in turns.

    Additions alone and in a fixed order, so every machine finds the same bits.
    """
    half = len(tile) // 2
    other = np.empty_like(tile)
    for _ in range(half.bit_length()):
        pairs = other.reshape(half, 2, -1)
        np.add(tile[:half], tile[half:], out=pairs[:, 0])
        np.subtract(tile[:half], tile[half:], out=pairs[:, 1])
        tile, other = other, tile
    return tile
