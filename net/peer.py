"""One connection after its TLS handshake: whoever serves it reads frames, one task writes them from a queue.

Nothing is ever sent under a deadline, which would break the TLS stream when it cuts a write in two, and nobody waits
for a send: a peer that stops reading holds up nobody but itself.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import trio

from net.control import CONTROL, HELLO_LIMIT, Refused
from net.errors import FrameError
from net.framing import HEADER_BYTES, Deframer, Frame, Kind, Progress, pieces
from net.policy import CLOSING_PATIENCE
from net.tasks import plain_errors
from protocols.errors import WireError

SESSION_BYTES: Final = 4
LONGEST_TEXT: Final = 500  # characters of what a peer says to people
MOST_QUEUED: Final = 256  # frames; a peer that lets more than this pile up is not reading any more
HELLO_LIMITS: Final[Mapping[Kind, int]] = {Kind.CONTROL: HELLO_LIMIT}

Outgoing = tuple[Kind, tuple[bytes, ...], Progress | None]


class Peer:
    """The other end. `bytes_in` counts what has arrived and `bytes_out` what was queued, without what TLS adds."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.bytes_in = 0
        self.bytes_out = 0
        self.deframer = Deframer(HELLO_LIMITS)
        self._stream = stream
        self._scope = trio.CancelScope()
        self._queue, self._to_write = trio.open_memory_channel[Outgoing](math.inf)

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
        if self._queue.statistics().current_buffer_used >= MOST_QUEUED:
            self.close()
        try:
            self._queue.send_nowait((kind, parts, progress))
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return
        self.bytes_out += HEADER_BYTES + sum(map(len, parts))

    def close(self) -> None:
        """Ends the connection when what is queued has left, or soon."""
        self._queue.close()
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + CLOSING_PATIENCE)

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
                async for kind, parts, progress in self._to_write:
                    await self._write(kind, parts, progress)
            await self._stream.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the reader sees the end
        finally:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._stream)

    async def _write(self, kind: Kind, parts: tuple[bytes, ...], progress: Progress | None) -> None:
        total, done = sum(map(len, parts)), None
        for piece in pieces(kind, *parts):
            await self._stream.send_all(piece)
            done = 0 if done is None else done + len(piece)  # the first piece is the header
            if progress is not None:
                progress(done, total)


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
