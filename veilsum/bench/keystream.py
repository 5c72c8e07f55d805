"""How fast this machine makes masks."""

import time
from typing import Final

from mpc.field import M31
from mpc.prg import Seed, expand

_CHUNKS: Final = (1 << 16, 1 << 18, 1 << 20)  # bytes
_SEED = Seed(bytes(32))  # it masks nothing


def keystream_gbps(seconds: float = 0.2) -> float:
    """GB/s of one core: AES-128-CTR as elements of a 31-bit field, the best of many calls within so many seconds."""
    end = time.perf_counter() + seconds
    best = 0.0
    while not best or time.perf_counter() < end:
        best = max(best, *(_rate(size) for size in _CHUNKS))
    return best


def _rate(size: int) -> float:
    started = time.perf_counter()
    expand(_SEED, "bench", M31, 0, size // M31.itemsize)
    return size / (time.perf_counter() - started) / 1e9
