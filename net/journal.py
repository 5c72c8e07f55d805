"""A file of sealed pieces that is written at its end only: what a process needs to go on in a session after a crash.

Each piece has a key of its own, from the owner's identity and a salt that is drawn for it. The file names neither the
pieces nor their salts: a `Piece` does, and lies in another piece, or in a file that is replaced whole. So whoever holds
the identity opens what the newest of these leads to. What it does not lead to is closed for good, to the owner too.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Final

from mpc.hashing import Part, kdf
from mpc.keys import ChannelKey, SigningKey, StorageKey
from mpc.randomness import SystemRandomness
from mpc.sealing import SEAL_OVERHEAD, SealBroken, open_sealed, seal
from net.errors import JournalError, NetError
from net.store import OWNER_ONLY, sync_folder, write_all
from protocols.wire import Size

SALT_BYTES: Final = 32
PART_BYTES: Final = 64 * 2**20  # sealed at a time: a piece may be larger than one call takes

_ANEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)

Salt = Annotated[bytes, Size(SALT_BYTES)]


@dataclass(frozen=True, slots=True)
class Piece:
    """Where a piece lies, how many bytes it has before it is sealed, and what its keys come from."""

    at: int
    length: int
    salt: Salt = field(repr=False)

    @property
    def parts(self) -> int:
        return max(1, -(-self.length // PART_BYTES))

    @property
    def sealed_length(self) -> int:
        return self.length + self.parts * SEAL_OVERHEAD


def storage_key(identity: SigningKey, *purpose: Part) -> StorageKey:
    """The identity itself seals nothing."""
    return StorageKey(kdf(identity.raw, "journal storage", *purpose))


class Journal:
    """Mode 0600. What was put is on disk when `sync` returns. head: bytes at the beginning that are no piece.

    Raises NetError where it cannot be written, JournalError where it cannot be read.
    """

    def __init__(self, path: Path, storage: StorageKey, *, head: int = 0) -> None:
        self.path = path
        self._storage = storage
        self._head = head
        self._file: IO[bytes] | None = None
        self._end = 0

    def begin(self) -> None:
        """An empty one takes the place of what was there."""
        self.erase()
        with self._writing():
            self._file = os.fdopen(os.open(self.path, _ANEW, OWNER_ONLY), "w+b", buffering=0)
            write_all(self._file, bytes(self._head))
            sync_folder(self.path.parent)
        self._end = self._head

    def resume(self, last: Piece) -> None:
        """What stands behind this piece was begun when a process ended: it is cut off."""
        with self._writing():
            self._opened().truncate(last.at + last.sealed_length)
        self._end = last.at + last.sealed_length

    def put(self, body: bytes) -> Piece:
        """At the end."""
        piece = Piece(self._end, len(body), SystemRandomness().bytes(SALT_BYTES))
        with self._writing():
            self._opened().seek(piece.at)
            for key, part in zip(self._keys(piece), _cut(body), strict=True):
                write_all(self._opened(), seal(key, part))
        self._end += piece.sealed_length
        return piece

    def read(self, piece: Piece) -> bytes:
        with self._reading():
            if piece.at + piece.sealed_length > os.fstat(self._opened().fileno()).st_size:
                raise SealBroken("a piece that ends behind the file")
            self._opened().seek(piece.at)
            return b"".join(
                open_sealed(key, self._read_part(piece, part)) for part, key in enumerate(self._keys(piece))
            )

    def write_head(self, at: int, data: bytes) -> None:
        with self._writing():
            self._opened().seek(at)
            write_all(self._opened(), data)

    def read_head(self) -> bytes:
        with self._reading():
            self._opened().seek(0)
            return self._opened().read(self._head)

    def sync(self) -> None:
        with self._writing():
            os.fsync(self._opened().fileno())

    def erase(self) -> None:
        """The file goes. It is no error that there is none."""
        self.close()
        with self._writing():
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """The file stays."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._file = self.path.open("r+b", buffering=0)
        return self._file

    def _keys(self, piece: Piece) -> Iterator[ChannelKey]:
        """One message a key: of each part, that knows which it is of how many."""
        for part in range(piece.parts):
            yield ChannelKey(kdf(self._storage.raw, "journal piece", piece.salt, part, piece.parts))

    def _read_part(self, piece: Piece, part: int) -> bytes:
        length = min(PART_BYTES, piece.length - part * PART_BYTES) + SEAL_OVERHEAD
        return self._opened().read(length)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise NetError(f"{self.path}: cannot be written: {exc.strerror}") from exc

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise JournalError(f"{self.path}: cannot be read: {exc.strerror}") from exc
        except SealBroken as exc:
            raise JournalError(f"{self.path}: torn, damaged, or of another identity or time") from exc


def _cut(body: bytes) -> Iterator[bytes]:
    with memoryview(body) as view:
        for at in range(0, max(1, len(body)), PART_BYTES):
            yield bytes(view[at : at + PART_BYTES])
