"""What waits for a slow reader, in one temporary file without a name instead of in memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO

from net.framing import CHUNK_BYTES
from net.store import write_all


@dataclass(frozen=True, slots=True)
class Spooled:
    """Where a body lies in its file."""

    start: int
    length: int


@dataclass(slots=True)
class Spool:
    """Bodies go in at the end and are read once, in any pieces; when none is left the file is empty again."""

    _file: IO[bytes] | None = None
    _end: int = 0
    _left: set[Spooled] = field(default_factory=set)

    def put(self, *parts: bytes) -> Spooled:
        """The body is the parts joined. Raises OSError when it cannot be written."""
        if self._file is None:
            self._file = TemporaryFile(buffering=0)  # noqa: SIM115  # as long-lived as its connection
        self._file.seek(self._end)
        for part in parts:
            write_all(self._file, part)
        body = Spooled(self._end, sum(map(len, parts)))
        self._end += body.length
        self._left.add(body)
        return body

    def pieces(self, body: Spooled) -> Iterator[bytes]:
        """The body in pieces of at most CHUNK_BYTES; it is gone afterwards. Raises OSError."""
        assert self._file is not None
        for at in range(0, body.length, CHUNK_BYTES):
            self._file.seek(body.start + at)
            yield self._file.read(min(CHUNK_BYTES, body.length - at))
        self._left.discard(body)
        if not self._left:
            self._file.truncate(0)
            self._end = 0

    def close(self) -> None:
        """Nothing is left of it."""
        if self._file is not None:
            self._file.close()
