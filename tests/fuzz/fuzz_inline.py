"""A process of `net` in one thread of a test: streams in memory, a journal on paper, a clock that waits for nothing.
The same each time.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import trio
from trio.testing import MockClock

from net.control import CONTROL, RUN_BYTES, Grant
from net.errors import JournalError
from net.framing import Deframer, Frame, Kind, pieces
from net.journal import SALT_BYTES, Piece

FOREVER: Final = 3600.0  # seconds of a clock that jumps; whatever waits is long over by then
SECONDS: Final = (1, 4, 6, 15, 25)
NUMBERS: Final = (1, 0, 2, 3, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1)
RUN: Final = bytes(RUN_BYTES)
BLOCK: Final = 8
MOST_BLOCKS: Final = 40


def run(talk: Callable[[], Awaitable[None]]) -> None:
    """With threads that are none, a disk that need not be waited for, and one order of all tasks."""
    core: Any = trio._core._run
    core._r.seed(0)
    with (
        patch.object(core, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        patch.object(trio.to_thread, "run_sync", _inline),
        patch.object(os, "fsync", lambda _: None),
    ):
        trio.run(talk, clock=MockClock(autojump_threshold=0))


async def _inline(call: Callable[..., Any], *given: Any, **_: Any) -> Any:
    await trio.lowlevel.checkpoint()
    return call(*given)


def frame(kind: Kind, *parts: bytes) -> bytes:
    return b"".join(map(bytes, pieces(kind, *parts)))


def control(message: object) -> bytes:
    return frame(Kind.CONTROL, CONTROL.encode(message))


class Far:
    """The input's end of one connection. hear: gets what comes on it, frame by frame. grants: said on it."""

    def __init__(self, stream: trio.StapledStream, hear: Callable[["Far", Frame], Awaitable[None]]) -> None:
        self._stream = stream
        self._hear = hear
        self.grants = 0

    async def listen(self) -> None:
        deframer = Deframer(dict.fromkeys(Kind, 2**24))
        try:
            while data := await self._stream.receive_some():
                deframer.feed(data)
                for one in iter(deframer.next, None):
                    await self._hear(self, one)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def say(self, data: bytes) -> None:
        self.grants += data.count(Grant.__name__.encode())
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def cut(self) -> None:
        await self._stream.aclose()


class Paper:
    """A `Journal` in memory."""

    def __init__(self, path: Path, _: Any, *, head: int = 0) -> None:
        self.path = path
        self._head = bytearray(head)
        self._pieces: list[bytes] = []

    def begin(self) -> None:
        self._pieces, self._head = [], bytearray(len(self._head))

    def put(self, body: bytes) -> Piece:
        self._pieces.append(body)
        return Piece(len(self._pieces) - 1, len(body), bytes(SALT_BYTES))

    def read(self, piece: Piece) -> bytes:
        if piece.at >= len(self._pieces):
            raise JournalError(f"{self.path}: torn")
        return self._pieces[piece.at]

    def resume(self, last: Piece) -> None:
        del self._pieces[last.at + 1 :]

    def erase(self) -> None:
        self._pieces.clear()

    def close(self) -> None:
        return

    def write_head(self, at: int, data: bytes) -> None:
        self._head[at : at + len(data)] = data

    def sync(self) -> None:
        return


def block(*choices: int) -> bytes:
    return bytes(choices).ljust(BLOCK, b"\0")
