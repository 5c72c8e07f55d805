"""Textbook arithmetic: fixed point modulo 2^32 that wraps without a word, and Shamir at points that parties name."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mpc import shamir
from mpc.field import M31, FieldVector
from mpc.randomness import Randomness, SeededRandomness

Ring = npt.NDArray[np.uint32]
Reals = npt.NDArray[np.float64]

RING = 2**32
SCALE = 2**16
SECRET_BYTES = 32
_WORD_BYTES = 4


def encode(update: Reals, scale: int = SCALE) -> Ring:
    """Whole numbers of 1/scale, modulo 2^32."""
    return (np.rint(update * scale).astype(np.int64) % RING).astype(np.uint32)


def decode(vector: Ring, scale: int = SCALE) -> Reals:
    """Read as signed numbers."""
    return vector.astype(np.int32) / scale


def mask(seed: bytes, length: int) -> Ring:
    return words(SeededRandomness(seed).bytes(_WORD_BYTES * length))


def words(data: bytes) -> Ring:
    return np.frombuffer(data, dtype="<u4").astype(np.uint32)


def pack(vector: Ring) -> bytes:
    return bytes(vector.astype("<u4").data)


def add_up(vectors: Iterable[Ring]) -> Ring:
    """Their sum, which wraps."""
    return np.asarray(np.sum(list(vectors), axis=0, dtype=np.uint32))


def split(secret: bytes, threshold: int, points: Sequence[int], rand: Randomness) -> list[bytes]:
    """A share for each point, whatever the points are: they are reduced modulo p, as the arithmetic does anyway."""
    limbs = shamir.to_limbs(secret)
    noise = M31.uniform((threshold - 1) * len(limbs), rand).reshape(threshold - 1, len(limbs))
    rows = shamir.evaluate(np.concatenate([limbs[np.newaxis], noise]), [one % M31.modulus for one in points], M31)
    return [M31.pack(row) for row in rows]


def rebuild(shares: Mapping[Any, tuple[int, bytes]], threshold: int) -> bytes:
    """The secret from the first `threshold` shares, each with its point. Wrong shares give another secret.

    Raises ValueError where there are fewer.
    """
    if len(shares) < threshold:
        raise ValueError(f"{len(shares)} shares, the threshold is {threshold}")
    first = list(shares.values())[:threshold]
    points = [point for point, _ in first]
    rows = np.stack([M31.unpack(share, shamir.LIMBS) for _, share in first])
    return from_limbs(M31.matmul(M31.vector(_weights(points)), rows))


def from_limbs(limbs: FieldVector) -> bytes:
    """32 bytes of whatever the limbs are."""
    value = sum(int(limb) << (shamir.LIMB_BITS * place) for place, limb in enumerate(limbs))
    return int(value % 2 ** (8 * SECRET_BYTES)).to_bytes(SECRET_BYTES, "little")


def _weights(points: Sequence[int]) -> list[int]:
    """Lagrange's at 0. Raises ValueError where two points are one."""
    p = M31.modulus
    weights = []
    for place, x in enumerate(points):
        weight = 1
        for other in (*points[:place], *points[place + 1 :]):
            weight = weight * other * pow(other - x, -1, p) % p
        weights.append(weight)
    return weights
