"""A TCP proxy between two real processes, which does to their connections what its faults say.

It holds no key: it carries TLS records that it cannot read, and cuts, stalls or changes them as bytes.
"""

import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import trio

from benchmarks.reliability.faults import Action, Fault, Link, Way
from net.config import Address
from net.tasks import plain_errors

PIECE: Final = 64 * 1024
REPLAY_PATIENCE: Final = 3.0  # seconds in which an answer to bytes said again would come
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault struck. at, until: on the monotonic clock that all processes of a machine share."""

    fault: Fault
    at: float
    until: float


OnStrike = Callable[[Struck], None]


class Cut(Exception):
    """Both ends of this connection are to be reset."""


class Proxy:
    """Carries one link. upstream: where the called process listens now; None while it is not there.

    carried: bytes of all connections that way. connections: so many were opened. answered: bytes that came back for
    what was said again.
    """

    def __init__(self, link: Link, faults: Iterable[Fault], on_strike: OnStrike) -> None:
        self.link = link
        self.upstream: Address | None = None
        self.carried: Counter[Way] = Counter()
        self.connections = 0
        self.answered: list[int] = []
        self.pending = [fault for fault in faults if fault.link == link]
        self.records = any(fault.action is Action.REPLAY for fault in self.pending)
        self._on_strike = on_strike

    async def listen(self) -> list[trio.SocketListener]:
        return await trio.open_tcp_listeners(0, host=LOOPBACK)

    async def serve(self, listeners: list[trio.SocketListener]) -> None:
        """Until it is cancelled."""
        async with trio.open_nursery() as self._nursery:
            await trio.serve_listeners(self._carry, listeners)

    def due(self, number: int, way: Way, carried: int) -> tuple[int, Fault | None]:
        """How many bytes of the n-th connection pass before the next fault, and that fault. carried: of this one."""
        waiting = [
            (fault.at - (self.carried[way] if fault.connection is None else carried), place, fault)
            for place, fault in enumerate(self.pending)
            if fault.way is way and fault.connection in (None, number)
        ]
        room, _, fault = min(waiting, default=(PIECE, 0, None))
        return max(room, 0), fault

    def strike(self, fault: Fault) -> bool:
        """Once: False where another connection of this link was faster."""
        if fault not in self.pending:
            return False
        self.pending.remove(fault)
        now = time.monotonic()
        self._on_strike(Struck(fault, now, now + (fault.seconds if fault.action is Action.STALL else 0)))
        return True

    def replay(self, said: bytes) -> None:
        """Beside all that goes on."""
        self._nursery.start_soon(self._replay, said)

    # One task for each connection

    async def _carry(self, caller: trio.SocketStream) -> None:
        self.connections += 1
        number = self.connections
        try:
            answerer = await self._call()
        except OSError:
            await reset(caller)
            return
        await _Connection(self, number, caller, answerer).run()

    async def _call(self) -> trio.SocketStream:
        """Raises OSError."""
        if self.upstream is None:
            raise ConnectionRefusedError
        return await trio.open_tcp_stream(self.upstream.host, self.upstream.port)

    async def _replay(self, said: bytes) -> None:
        """On a second connection. What comes back is counted, for whoever wants to know that it was nothing."""
        answered = 0
        try:
            stream = await self._call()
            async with stream:
                with trio.move_on_after(REPLAY_PATIENCE):
                    await stream.send_all(said)
                    while piece := await stream.receive_some(PIECE):
                        answered += len(piece)
        except (OSError, trio.BrokenResourceError):
            pass  # it is not there, or it closed on us
        self.answered.append(answered)


class _Connection:
    def __init__(self, proxy: Proxy, number: int, caller: trio.SocketStream, answerer: trio.SocketStream) -> None:
        self._proxy = proxy
        self._number = number
        self._ends = caller, answerer
        self._said = bytearray()
        self._delay: dict[Way, float] = {}

    async def run(self) -> None:
        caller, answerer = self._ends
        try:
            with plain_errors():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, Way.UP, caller, answerer)
                    nursery.start_soon(self._pump, Way.DOWN, answerer, caller)
        except (Cut, OSError, trio.BrokenResourceError):
            for end in self._ends:
                await reset(end)
        for end in self._ends:
            await trio.aclose_forcefully(end)

    async def _pump(self, way: Way, source: trio.SocketStream, sink: trio.SocketStream) -> None:
        """Until the source has no more. Raises Cut, or that one of the two ends is broken."""
        carried = 0
        while piece := bytes(await source.receive_some(PIECE)):
            while piece:
                room, fault = self._proxy.due(self._number, way, carried)
                if not room and fault is not None and self._proxy.strike(fault):
                    piece = await self._suffer(fault, piece)
                    if not piece:
                        await sink.send_eof()
                        await _swallow(source)
                        return
                    continue
                head, piece = piece[:room], piece[room:]
                await self._pass_on(way, head, sink)
                carried += len(head)
        await sink.send_eof()

    async def _suffer(self, fault: Fault, piece: bytes) -> bytes:
        """What is to be carried in place of this piece; nothing where that is the end. Raises Cut."""
        match fault.action:
            case Action.CUT:
                raise Cut
            case Action.TRUNCATE:
                return b""
            case Action.CORRUPT:
                return bytes([piece[0] ^ 1]) + piece[1:]
            case Action.STALL:
                await trio.sleep(fault.seconds)
            case Action.DELAY:
                self._delay[fault.way] = fault.seconds
            case Action.REPLAY:
                self._proxy.replay(bytes(self._said))
        return piece

    async def _pass_on(self, way: Way, piece: bytes, sink: trio.SocketStream) -> None:
        if way in self._delay:
            await trio.sleep(self._delay[way])
        await sink.send_all(piece)
        self._proxy.carried[way] += len(piece)
        if way is Way.UP and self._proxy.records:
            self._said += piece


async def reset(stream: trio.SocketStream) -> None:
    """Closes it so that the other side hears of a reset and not of an end."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    await trio.aclose_forcefully(stream)


async def _swallow(source: trio.SocketStream) -> None:
    while await source.receive_some(PIECE):
        pass
