"""The primitives alone, each through the library that the engine itself uses."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from veilsum.bench.measuring import by_turns

CHUNKS: Final = (1 << 16, 1 << 18, 1 << 20)  # bytes
_PROBE: Final = 1 << 26


def aes(size: int) -> None:
    """AES-128-CTR, `size` bytes in chunks of the fastest size."""
    _aes(best_chunk(), size)


def aes_on(pool: ThreadPoolExecutor, size: int, count: int) -> None:
    """The same, shared among so many threads, which are there already."""
    list(pool.map(partial(_aes, best_chunk()), [size // count] * count))


@cache
def best_chunk() -> int:
    taken = by_turns([partial(_aes, chunk, _PROBE) for chunk in CHUNKS], times=3)
    return CHUNKS[min(range(len(CHUNKS)), key=lambda place: min(taken[place]))]


def aes_gbps() -> float:
    """GB/s of one thread, the best of a few runs."""
    return _PROBE / min(by_turns([partial(aes, _PROBE)], times=9)[0]) / 1e9


def _aes(chunk: int, size: int) -> None:
    encryptor = Cipher(AES128(bytes(16)), CTR(bytes(16))).encryptor()
    zeros, out = bytes(chunk), np.empty(chunk, dtype=np.uint8)
    for _ in range(size // chunk):
        encryptor.update_into(zeros, out.data)
    rest = size % chunk
    encryptor.update_into(zeros[:rest], out[:rest].data)


def agreements(count: int) -> Callable[[], None]:
    """X25519."""
    mine, theirs = X25519PrivateKey.generate(), X25519PrivateKey.generate().public_key()

    def work() -> None:
        for _ in range(count):
            mine.exchange(theirs)

    return work


def derivations(count: int) -> Callable[[], None]:
    """HKDF-SHA256 of one block."""
    secret, info, sha = bytes(32), bytes(100), SHA256()

    def work() -> None:
        for _ in range(count):
            HKDF(sha, 32, None, info).derive(secret)

    return work


def checks(count: int) -> Callable[[], None]:
    """Ed25519, of messages of 32 bytes."""
    key, message = Ed25519PrivateKey.generate(), bytes(32)
    signature, public = key.sign(message), key.public_key()

    def work() -> None:
        for _ in range(count):
            public.verify(signature, message)

    return work


def copying(size: int) -> Callable[[], None]:
    """memcpy."""
    source, target = np.ones(size, dtype=np.uint8), np.empty(size, dtype=np.uint8)
    return lambda: np.copyto(target, source)
