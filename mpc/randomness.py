"""The one place where randomness enters.

Everything that needs randomness takes a `Randomness` as an argument. A session that runs for real gets
`SystemRandomness`; test vectors and simulations get `SeededRandomness`, which says so in `seeded`, so that a protocol
can keep seeded sessions in a wire domain of their own.
"""

import builtins
import hashlib
import hmac
import os
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR


class Randomness(Protocol):
    """A source of uniform bytes."""

    @property
    def seeded(self) -> bool:
        """True when the bytes can be computed again from a seed: never for a session with real inputs."""

    def bytes(self, count: int) -> builtins.bytes:
        """The next `count` uniform bytes."""


class SystemRandomness:
    """The operating system's generator."""

    __slots__ = ()
    seeded = False

    def bytes(self, count: int) -> builtins.bytes:
        """`count` bytes that nobody can compute again."""
        return os.urandom(count)

    def __repr__(self) -> str:
        return "SystemRandomness()"


class SeededRandomness:
    """A deterministic stream (AES-256-CTR under a hash of the seed).

    For test vectors and simulations; and under a secret seed of 32 bytes where a session must be able to draw again
    what it drew.

    The stream does not depend on how it is cut into calls. Not for concurrent use: give each thread its own `child`.
    """

    __slots__ = ("_key", "_stream")
    seeded = True

    def __init__(self, seed: builtins.bytes) -> None:
        self._key = hashlib.sha256(b"veilsum seeded randomness\0" + seed).digest()
        self._stream = Cipher(AES256(self._key), CTR(builtins.bytes(16))).encryptor()

    def bytes(self, count: int) -> builtins.bytes:
        """The next `count` bytes of the stream."""
        return self._stream.update(builtins.bytes(count))

    def child(self, label: str) -> "SeededRandomness":
        """An independent stream named `label`: the same one however much of this stream was read before."""
        return SeededRandomness(hmac.digest(self._key, b"child\0" + label.encode(), "sha256"))

    def __repr__(self) -> str:
        return "SeededRandomness(<secret seed>)"
