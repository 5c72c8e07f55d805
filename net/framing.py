"""Frames on a stream: four bytes of length, one byte of kind, the body. No I/O here.

What a connection may send depends on where it stands: each kind has a limit, set by whoever reads, and a frame above it
ends the connection before its body is read.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from net.errors import FrameTooLarge, Truncated, UnknownKind

HEADER_BYTES: Final = 5
CHUNK_BYTES: Final = 256 * 1024  # written at a time, so that progress shows and memory is not copied whole
LARGEST_BODY: Final = 2**32 - 1

Progress = Callable[[int, int], None]  # bytes done, bytes in all


class Kind(IntEnum):
    CONTROL = 1  # a class of `net.control`
    MESSAGE = 2  # session number, a protocol message
    UPLOAD = 3  # the same, for a masked input: only after a grant
    PAYLOAD = 4  # a payload, whole
    RECORD = 5  # the record of a session that is over


@dataclass(frozen=True, slots=True)
class Frame:
    kind: Kind
    body: bytes = field(repr=False)


def header(kind: Kind, length: int) -> bytes:
    """What stands before a body of so many bytes. Raises FrameTooLarge."""
    if length > LARGEST_BODY:
        raise FrameTooLarge(f"a frame carries at most {LARGEST_BODY} bytes, not {length}")
    return length.to_bytes(4, "big") + bytes([kind])


def pieces(kind: Kind, *parts: bytes) -> Iterator[bytes | memoryview]:
    """The bytes of one frame whose body is the parts joined, in the pieces to be written one by one."""
    yield header(kind, sum(map(len, parts)))
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(part), CHUNK_BYTES):
            yield view[start : start + CHUNK_BYTES]


class Deframer:
    """Bytes in, frames out, however the stream was cut. After an error it is of no further use."""

    def __init__(self, limits: Mapping[Kind, int]) -> None:
        """limits: kind -> the largest body accepted; a kind that is missing is refused."""
        self.limits = dict(limits)
        self.discarded: set[Kind] = set()
        self._once: set[Kind] = set()
        self._buffer = bytearray()
        self._kind: Kind | None = None
        self._length = 0
        self._skipped = 0

    def feed(self, data: bytes | bytearray) -> None:
        self._buffer += data

    def next(self) -> Frame | None:
        """The next frame that is complete, or None. Raises FrameTooLarge or UnknownKind."""
        while self._kind is not None or self._read_header():
            self._skip()
            if len(self._buffer) + self._skipped < self._length:
                return None
            if (frame := self._take()) is not None:
                return frame
        return None

    def end(self) -> None:
        """The stream is over. Raises Truncated when that is inside a frame."""
        if self._buffer or self._kind is not None:
            raise Truncated("the connection ended inside a frame")

    def allow_one(self, kind: Kind, limit: int) -> None:
        """One frame of this kind is accepted, of up to `limit` bytes; after its header the kind is refused again."""
        self.discarded.discard(kind)
        self._once.add(kind)
        self.limits[kind] = limit

    def discard(self, kind: Kind) -> None:
        """Frames of this kind, the one that is arriving too, are read past and forgotten until `allow_one`."""
        self.discarded.add(kind)
        self._skip()

    def arrived(self, kind: Kind) -> int:
        """Bytes that are here of the frame of this kind that is arriving."""
        return len(self._buffer) + self._skipped if self._kind is kind else 0

    def _read_header(self) -> bool:
        if len(self._buffer) < HEADER_BYTES:
            return False
        length, code = int.from_bytes(self._buffer[:4], "big"), self._buffer[4]
        try:
            kind = Kind(code)
        except ValueError as exc:
            raise UnknownKind(f"no frame is of kind {code}") from exc
        if kind not in self.limits or length > self.limits[kind]:
            raise FrameTooLarge(f"a {kind.name} frame of {length} bytes, {self.limits.get(kind, 0)} are allowed now")
        if kind in self._once:
            self._once.remove(kind)
            del self.limits[kind]
        del self._buffer[:HEADER_BYTES]
        self._kind, self._length, self._skipped = kind, length, 0
        return True

    def _skip(self) -> None:
        if self._kind in self.discarded:
            known = min(len(self._buffer), self._length - self._skipped)
            del self._buffer[:known]
            self._skipped += known

    def _take(self) -> Frame | None:
        """The frame that is complete; None for one that was read past, even in part."""
        assert self._kind is not None
        rest = self._length - self._skipped
        kind, whole = self._kind, not self._skipped
        with memoryview(self._buffer) as view:
            body = bytes(view[:rest])
        del self._buffer[:rest]
        self._kind = None
        return Frame(kind, body) if whole and kind not in self.discarded else None
