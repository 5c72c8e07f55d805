"""A random subset of the coordinates, the same at all parties. [Konecny et al. 2016, section 3, subsampling]"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mpc.encoding.parts import Floats, require
from mpc.encoding.transform import public_seed
from mpc.field import M31, M61
from mpc.prg import expand

Indices: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RandK:
    """`count` of `length` values; the others come back as zeros, and those kept are scaled by length / count.

    One value is drawn from each of `count` stretches of the vector, and all are shifted together by one more draw. So
    they are distinct, each coordinate is kept with probability count / length exactly (the mean is unbiased, and its
    variance is that of a uniform subset), and nothing of the vector's length is made to draw them.
    """

    length: int
    count: int
    seed: bytes

    def __post_init__(self) -> None:
        require(1 <= self.count <= self.length, f"1..{self.length} values are kept, not {self.count}")
        public_seed(self.seed)

    @property
    def out_length(self) -> int:
        """Values kept."""
        return self.count

    @property
    def variance(self) -> float:
        """length / count - 1, for every vector."""
        return self.length / self.count - 1

    def indices(self) -> Indices:
        """int64[count]: which coordinates are kept, in the order in which they are sent."""
        seed = public_seed(self.seed)
        edges: Indices = np.arange(self.count + 1, dtype=np.int64) * self.length // self.count
        drawn = expand(seed, "subset", M31, 0, self.count).astype(np.int64)
        within = drawn * np.diff(edges) >> 31
        shift = int(expand(seed, "subset shift", M61, 0, 1)[0]) % self.length
        kept: Indices = (edges[:-1] + within + shift) % self.length
        return kept

    def forward(self, values: Floats) -> Floats:
        """The values kept."""
        return values[self.indices()]

    def backward(self, values: Floats) -> Floats:
        """Those values in their places, scaled; zeros elsewhere."""
        out = np.zeros(self.length, dtype=np.float32)
        out[self.indices()] = values * np.float32(self.length / self.count)
        return out
