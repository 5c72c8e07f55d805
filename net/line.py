"""A party's line to its coordinator: one connection after the other, dialled again whenever one is over."""

import logging
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto

import trio

from mpc.keys import VerifyKey
from net.config import Address
from net.control import Hello, Leave, Refused, Welcome
from net.dialling import Dialler
from net.errors import FrameError, NotAdmitted, PartyRefused, Truncated
from net.framing import Frame, Kind
from net.peer import Peer, read_control
from net.policy import HANDSHAKE_PATIENCE
from net.tasks import cancel_when, open_crew

log = logging.getLogger("veilsum.party")


class Signal(Enum):
    CONNECTED = auto()  # and welcome
    LOST = auto()  # the connection; it is dialled again
    STOP = auto()  # this process was asked to end
    LATE = auto()  # and has been for so long that it does
    OVER = auto()  # nothing more comes


Heard = Frame | Signal


class Line:
    """What comes goes to `send`, one after the other, each when what came before it has been handled.

    address: for people, as `me`, our identity. hello: what we say first, made when the connection stands. limits: of
    the frames that may come once we are welcome.
    """

    def __init__(
        self,
        dialler: Dialler,
        address: Address,
        me: VerifyKey,
        hello: Callable[[], Hello],
        limits: Callable[[], dict[Kind, int]],
        send: trio.MemorySendChannel[Heard],
        stop: trio.Event,
    ) -> None:
        self.peer: Peer | None = None  # once we are welcome
        self._dialler = dialler
        self._address = address
        self._me = me
        self._hello = hello
        self._limits = limits
        self._send = send
        self._stop = stop
        self._hung_up = False
        self._was_welcome = False

    async def keep_up(self) -> None:
        """Until we hang up, or are asked to stop while nobody is there. Raises NetError."""
        while not self._hung_up and (stream := await self._dialler.dial()) is not None:
            try:
                await Peer(stream).serve(self._converse)
            except NotAdmitted as exc:
                self._dialler.turned_away(exc)
            if self.peer is not None:
                self.peer = None
                await self._send.send(Signal.LOST)
        await self._send.send(Signal.OVER)

    def hang_up(self) -> None:
        """For good, and we say so. What is queued leaves first, if it is taken."""
        if self.peer is not None and not self._hung_up:
            self.peer.say(Leave())
            self.peer.close()
        self._hung_up = True

    async def _converse(self, peer: Peer) -> None:
        if not await self._greet(peer):
            return
        self.peer = peer
        await self._send.send(Signal.CONNECTED)
        with suppress(Truncated):
            while (frame := await peer.receive()) is not None:
                await self._send.send(frame)

    async def _greet(self, peer: Peer) -> bool:
        """Whether we are welcome. Raises NotAdmitted or PartyRefused."""
        peer.say(self._hello())
        frame = await self._first_frame(peer)
        if frame is None:
            self._require_was_welcome()
            return False
        answer = read_control(frame)
        if isinstance(answer, Refused):
            raise PartyRefused(f"the coordinator refused us: {answer.text}")
        if not isinstance(answer, Welcome):
            raise FrameError("the first message is no welcome")
        peer.deframer.limits = self._limits()
        self._was_welcome = True
        self._dialler.welcomed()
        return True

    async def _first_frame(self, peer: Peer) -> Frame | None:
        """None when the connection is over, or this process was asked to end. Raises NotAdmitted."""
        try:
            with trio.fail_after(HANDSHAKE_PATIENCE), suppress(Truncated):
                async with open_crew() as crew:
                    crew.start_soon(cancel_when, self._stop, crew.cancel_scope)
                    return await peer.receive()
        except trio.TooSlowError as exc:
            raise NotAdmitted(f"the coordinator at {self._address} does not answer our hello") from exc
        return None

    def _require_was_welcome(self) -> None:
        """In TLS 1.3 a refused peer sees only an end: say what that usually means."""
        if not self._was_welcome and not self._stop.is_set():
            raise NotAdmitted(
                f"the coordinator at {self._address} closed the connection at once. Either its consortium "
                f"file does not hold our card (our identity: {self._me.fingerprint}; compare it "
                f"with the coordinator's file), or the clock of one side is wrong"
            )
