"""One connection after its TLS handshake: whoever serves it reads frames, one task writes them from a queue.

Nothing is ever sent under a deadline, which would break the TLS stream when it cuts a write in two, and nobody waits
for a send: a peer that stops reading holds up nobody but itself. What waits for it lies on disk where it is large.
"""

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from net.control import CONTROL, HELLO_LIMIT, Refused
from net.errors import FrameError
from net.framing import HEADER_BYTES, Deframer, Frame, Kind, Progress, header, pieces
from net.policy import CLOSING_PATIENCE
from net.spool import Spool, Spooled
from net.tasks import plain_errors
from protocols.errors import WireError

SESSION_BYTES: Final = 4
LONGEST_TEXT: Final = 500  # characters of what a peer says to people
MOST_QUEUED: Final = 2**14  # frames; a peer that lets more than this pile up is not reading any more
SPOOLED_ABOVE: Final = 256 * 1024  # bytes of a body that waits in a file while others are written
MOST_IN_MEMORY: Final = 2**20  # bytes of smaller bodies that wait; what comes on top waits in a file too
HELLO_LIMITS: Final[Mapping[Kind, int]] = {Kind.CONTROL: HELLO_LIMIT}


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """A frame that waits: its body in parts, or where it lies in the file."""

    kind: Kind
    body: tuple[bytes, ...] | Spooled = field(repr=False)
    progress: Progress | None

    @property
    def length(self) -> int:
        return self.body.length if isinstance(self.body, Spooled) else sum(map(len, self.body))


class Peer:
    """The other end. `bytes_in` counts what has arrived and `bytes_out` what was queued, without what TLS adds."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.deframer = Deframer(HELLO_LIMITS)
        self._stream = stream
        self._scope = trio.CancelScope()
        self._queue, self._to_write = trio.open_memory_channel[_Outgoing](math.inf)
        self._waiting = 0  # frames that are not written whole
        self._in_memory = 0  # bytes of them that are not in the file
        self._spool = Spool()
        self._watchers = trio.lowlevel.ParkingLot()

    async def serve(self, converse: Callable[["Peer"], Awaitable[None]]) -> None:
        """Runs the conversation and the writer beside it; at the end the connection is closed.

        Raises what the conversation raises; returns early when `close` has waited long enough.
        """
        with self._scope, plain_errors():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write_all)
                await converse(self)
                self.close()

    def say(self, message: Any) -> None:
        """Queues a control message."""
        self.post(Kind.CONTROL, CONTROL.encode(message))

    def post(self, kind: Kind, *parts: bytes, progress: Progress | None = None) -> None:
        """Queues one frame, never waits. What is posted to a connection that is gone is forgotten."""
        if self._waiting >= MOST_QUEUED:
            self.close()
        try:
            frame = self._waiting_frame(kind, parts, progress)
            self._queue.send_nowait(frame)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return
        self._waiting += 1
        self.bytes_out += HEADER_BYTES + frame.length

    def _waiting_frame(self, kind: Kind, parts: tuple[bytes, ...], progress: Progress | None) -> _Outgoing:
        """What waits behind others goes to the file where it, or all that waits, is large."""
        length = sum(map(len, parts))
        if not self._waiting or (length <= SPOOLED_ABOVE and self._in_memory + length <= MOST_IN_MEMORY):
            self._in_memory += length
            return _Outgoing(kind, parts, progress)
        try:
            return _Outgoing(kind, self._spool.put(*parts), progress)
        except OSError as exc:  # no room: this reader is too slow for us
            self.close()
            raise trio.ClosedResourceError from exc

    def close(self) -> None:
        """Ends the connection when what is queued has left, or soon."""
        self._queue.close()
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + CLOSING_PATIENCE)

    async def written(self) -> None:
        """Returns when nothing waits any more."""
        while self._waiting:
            await self._watchers.park()

    async def receive(self) -> Frame | None:
        """The next frame; None when the connection is over. Raises FrameError: nothing more may be read then."""
        while (frame := self.deframer.next()) is None:
            data = await self._receive_some()
            if not data:
                self.deframer.end()
                return None
            self.bytes_in += len(data)
            self.deframer.feed(data)
        return frame

    async def _receive_some(self) -> bytes | bytearray:
        try:
            return await self._stream.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    async def _write_all(self) -> None:
        try:
            async with self._to_write:
                async for frame in self._to_write:
                    await self._write(frame)
                    self._note_written(frame)
            await self._stream.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # the reader sees the end
        finally:
            self._waiting = 0
            self._watchers.unpark_all()
            self._spool.close()
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._stream)

    async def _write(self, frame: _Outgoing) -> None:
        done = None
        for piece in self._pieces(frame):
            await self._stream.send_all(piece)
            done = 0 if done is None else done + len(piece)  # the first piece is the header
            if frame.progress is not None:
                frame.progress(done, frame.length)

    def _pieces(self, frame: _Outgoing) -> Iterator[bytes | memoryview]:
        if isinstance(frame.body, Spooled):
            yield header(frame.kind, frame.length)
            yield from self._spool.pieces(frame.body)
        else:
            yield from pieces(frame.kind, *frame.body)

    def _note_written(self, frame: _Outgoing) -> None:
        self._waiting -= 1
        if not isinstance(frame.body, Spooled):
            self._in_memory -= frame.length
        if not self._waiting:
            self._watchers.unpark_all()


def in_session(session: int, body: bytes) -> tuple[bytes, bytes]:
    """The parts of a MESSAGE or UPLOAD frame: late frames of an older session are told apart by the number."""
    return session.to_bytes(SESSION_BYTES, "big"), body


def split_session(frame: Frame) -> tuple[int, bytes]:
    """Raises FrameError."""
    if len(frame.body) < SESSION_BYTES:
        raise FrameError("a message frame without a session number")
    return int.from_bytes(frame.body[:SESSION_BYTES], "big"), frame.body[SESSION_BYTES:]


def read_control(frame: Frame) -> Any:
    """Raises FrameError unless this is one control message whose text can stand in a log: one printable line."""
    if frame.kind is not Kind.CONTROL:
        raise FrameError(f"a {frame.kind.name} frame where a control message belongs")
    try:
        message = CONTROL.decode(frame.body)
    except WireError as exc:
        raise FrameError(f"not a control message: {exc}") from exc
    if isinstance(message, Refused) and (len(message.text) > LONGEST_TEXT or not message.text.isprintable()):
        raise FrameError("a refusal whose text is not one short line")
    return message


def in_frame(message: int) -> int:
    """The largest body of a MESSAGE or UPLOAD frame, by the bytes of the largest message."""
    return SESSION_BYTES + message
