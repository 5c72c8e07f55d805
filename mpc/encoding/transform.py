"""Linear maps that all parties share: they commute with the sum, so that the sum can be mapped back.

Everything is expanded from a seed that is public: a transform hides nothing. It must be fresh for each sum, or the same
coordinates would be left out again and again.
"""

from typing import Final, Protocol

import numpy as np

from mpc.encoding.parts import Floats, require
from mpc.field import M31
from mpc.prg import SEED_BYTES, Seed, expand

SIGNS_CHUNK: Final = 24 << 12  # signs made at a time; 24 a word
_SIGNS_A_WORD: Final = 24


class Transform(Protocol):
    """Linear, and `backward(forward(x))` has the mean x over random seeds."""

    @property
    def length(self) -> int:
        """Values that go in."""

    @property
    def out_length(self) -> int:
        """Values that come out."""

    @property
    def variance(self) -> float:
        """At most E|backward(forward(x)) - x|^2 / |x|^2: 0 for a rotation."""

    def forward(self, values: Floats) -> Floats:
        """float32[length] -> float32[out_length], a new array."""

    def backward(self, values: Floats) -> Floats:
        """float32[out_length] -> float32[length], a new array, the same bits on every machine."""


def public_seed(seed: bytes) -> Seed:
    """Raises EncodingError unless it is 32 bytes. Nothing secret is ever expanded from it."""
    require(type(seed) is bytes and len(seed) == SEED_BYTES, f"the public seed is {SEED_BYTES} bytes")
    return Seed(seed)


def signs(seed: Seed, label: str, start: int, stop: int) -> Floats:
    """Elements start..stop-1 of a sequence of +1 and -1, each as likely as the other to 2^-32. start: 24 divides it."""
    words = expand(seed, label, M31, start // _SIGNS_A_WORD, -(-stop // _SIGNS_A_WORD))
    whole_bytes = words.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3]
    drawn = np.unpackbits(whole_bytes)[: stop - start].astype(np.float32)
    drawn *= -2
    drawn += 1
    return drawn
