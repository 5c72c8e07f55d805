"""The side of all connections where others come to: who is connected, and one stream of what they say.

Each connection is read by its own task; what it says is parsed there and goes into one channel without a buffer, so
that whoever is busy leaves the rest where it is, in the network.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from net.control import CONTROL_LIMIT, Claim, Hello, Leave, Reason, Refused, Welcome, check_hello
from net.door import SPARE_PLACES, Door, Doorway, Place
from net.errors import FrameError, FrameTooLarge, NetError, TlsError, Truncated
from net.framing import Frame, Kind
from net.peer import Peer, read_control, split_session
from net.policy import CLOSING_PATIENCE, HANDSHAKE_PATIENCE, gather
from net.sockets import address_of, keep_alive
from net.tls import CLAIMED, Endpoint
from protocols.errors import DropReason, PartyId
from protocols.roster import Consortium

log = logging.getLogger("veilsum.coordinator")


@dataclass(frozen=True, slots=True)
class Joined:
    """claim: the session that it was in, where it says that it was in one."""

    party: PartyId
    peer: Peer
    claim: Claim | None = None


@dataclass(frozen=True, slots=True)
class Left:
    party: PartyId
    peer: Peer
    reason: DropReason


@dataclass(frozen=True, slots=True)
class Gone:
    """The grace of a party that is not here is over. peer: what it was to come back in the place of."""

    party: PartyId
    peer: object


@dataclass(frozen=True, slots=True)
class Said:
    """A control message."""

    party: PartyId
    peer: Peer
    message: Any


@dataclass(frozen=True, slots=True)
class Sent:
    """An encoded protocol message of a session."""

    party: PartyId
    peer: Peer
    session: int
    body: bytes = field(repr=False)
    uploaded: bool


@dataclass(frozen=True, slots=True)
class Gave:
    """A payload that it was asked for."""

    party: PartyId
    peer: Peer
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stalled:
    """A granted upload made no progress for a while, or takes too long. turn: which one."""

    party: PartyId
    turn: object


@dataclass(frozen=True, slots=True)
class StopAsked:
    """This process was asked to end."""


@dataclass(frozen=True, slots=True)
class Done:
    """Something that this process did beside is done. result: what it gives."""

    result: Any = field(repr=False)


Event = Joined | Left | Gone | Said | Sent | Gave | Stalled | StopAsked | Done


async def nothing(_: Event) -> None:
    """For `gather`, where coming and going is all that matters: the hall has taken note of it."""


class Hall:
    """Members connect here.

    peers: who is connected now. claims: the session that each said it was in when it came, until somebody answers that.
    away: whose connection broke, and who may come back yet. lost: who was here, or was waited for in vain.
    late: who let a task go by, until it answers one.

    me: this party's own place, where it is a member itself: then those above it come here, and it goes to those below.
    role: what this process is, for people. limits: of the frames on a connection that begins. grace: seconds in which
    one whose connection broke may come back.
    """

    def __init__(
        self,
        consortium: Consortium,
        endpoint: Endpoint,
        *,
        role: str = "coordinator",
        me: PartyId | None = None,
        grace: float = 0.0,
    ) -> None:
        self.peers: dict[PartyId, Peer] = {}
        self.claims: dict[PartyId, Claim | None] = {}
        self.away: dict[PartyId, Peer] = {}
        self.lost: set[PartyId] = set()
        self.late: set[PartyId] = set()
        self.limits: dict[Kind, int] = {Kind.CONTROL: CONTROL_LIMIT}
        self.stopping = False
        self.role = role
        self.me = me
        self.grace = grace
        self.consortium = consortium
        self._endpoint = endpoint
        self._bytes: defaultdict[PartyId, tuple[int, int]] = defaultdict(lambda: (0, 0))  # of connections that are over
        self.door = Door(SPARE_PLACES + len(consortium.members))
        self._places = {card.name: PartyId(place) for place, card in enumerate(consortium.members)}
        self._send, self._inbox = trio.open_memory_channel[Event](0)

    @property
    def expected(self) -> frozenset[PartyId]:
        """The members that are not lost."""
        return self.everybody - self.lost

    @property
    def everybody(self) -> frozenset[PartyId]:
        """The members but ourselves."""
        return frozenset(self._places.values()) - {self.me}

    async def next_event(self) -> Event:
        return self._note(await self._inbox.receive())

    def catch_up(self) -> None:
        """Takes note of who came and went while nobody listened."""
        while True:
            try:
                self._note(self._inbox.receive_nowait())
            except trio.WouldBlock:
                return

    async def dismiss(self) -> None:
        """Ends all connections; what is queued for them leaves first, if they take it."""

        async def close(event: Event) -> None:
            if isinstance(event, Joined):
                event.peer.close()

        for peer in self.peers.values():
            peer.close()
        await gather(2 * CLOSING_PATIENCE, self.next_event, close, lambda: not self.peers)

    async def stop_when(self, stop: trio.Event) -> None:
        await stop.wait()
        await self.report(StopAsked())

    async def report(self, event: Event) -> None:
        """Puts something that is no message into the one stream of events."""
        await self._send.send(event)

    def name(self, party: PartyId) -> str:
        return self.consortium.members[party].name

    def traffic(self, party: PartyId) -> tuple[int, int]:
        """Bytes from it and to it, on all its connections so far."""
        came, went = self._bytes[party]
        peer = self.peers.get(party)
        return (came, went) if peer is None else (came + peer.bytes_in, went + peer.bytes_out)

    def _note(self, event: Event) -> Event:
        match event:
            case Joined(party, peer):
                if (older := self.peers.get(party)) is not None:
                    self._count(party, older)
                    older.say(Refused(Reason.REPLACED, "a newer connection of this party took its place"))
                    older.close()
                self.peers[party], self.claims[party] = peer, event.claim
                self.away.pop(party, None)
                self.lost.discard(party)
            case Left(party, peer, reason) if self.peers.get(party) is peer:
                self._note_left(party, peer, reason)
            case Gone(party, peer) if self.away.get(party) is peer:
                del self.away[party]
                self.lost.add(party)
            case StopAsked():
                self.stopping = True
        return event

    def _note_left(self, party: PartyId, peer: Peer, reason: DropReason) -> None:
        self._count(party, peer)
        del self.peers[party]
        if self.grace and reason is DropReason.VANISHED:
            self.away[party] = peer
        else:
            self.lost.add(party)
        log.info("%s is gone: %s", self.name(party), reason.value)

    def _count(self, party: PartyId, over: Peer) -> None:
        came, went = self._bytes[party]
        self._bytes[party] = came + over.bytes_in, went + over.bytes_out

    # One task for each connection

    async def welcome(self, transport: trio.SocketStream) -> None:
        """From an accepted connection to its end. Whatever the other side does ends this connection and no other."""
        place = self.door.enter(transport)
        try:
            with place.scope:
                await self._receive_visit(transport, place)
        finally:
            self.door.leave(place)
        if place.scope.cancelled_caught:
            await trio.aclose_forcefully(transport)

    async def _receive_visit(self, transport: trio.SocketStream, place: Place) -> None:
        address = address_of(transport)
        try:
            stream, party = await self._handshake(transport)
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, TlsError) as exc:
            log.warning("refused a connection from %s (%s): %s", address, CLAIMED.get(), exc.__cause__ or exc)
            await trio.aclose_forcefully(transport)
            return
        if self.me is not None and party <= self.me:
            log.warning("closed a connection from %s (%s): we call it ourselves", address, self.name(party))
            await trio.aclose_forcefully(transport)
            return
        visit = Visit(self, party, partial(self.door.greet, place, party))
        await Peer(stream).serve(visit.converse)
        await visit.leave()

    async def _handshake(self, transport: trio.SocketStream) -> tuple[trio.SSLStream[trio.SocketStream], PartyId]:
        keep_alive(transport)
        stream = self._endpoint.stream(transport)
        with trio.fail_after(HANDSHAKE_PATIENCE):
            await stream.do_handshake()
        return stream, self._places[self._endpoint.who_signed(stream.getpeercert(binary_form=True))]


class Visit:
    """One connection of one party. greeted: called once it is welcome."""

    def __init__(self, hall: Hall, party: PartyId, greeted: Callable[[], None]) -> None:
        self._hall = hall
        self._party = party
        self._greeted = greeted
        self._joined: Peer | None = None
        self._reason = DropReason.VANISHED

    @property
    def was_welcome(self) -> bool:
        return self._joined is not None

    async def converse(self, peer: Peer) -> None:
        try:
            if await self._greet(peer):
                await self._listen(peer)
        except Truncated:
            return  # gone in the middle of a frame
        except (FrameError, trio.TooSlowError) as exc:
            self._reason = DropReason.UNEXPECTED if isinstance(exc, FrameTooLarge) else DropReason.MALFORMED
            log.warning("closing the connection of %s: %s", self._hall.name(self._party), exc)

    async def leave(self) -> None:
        """Returns when nobody waits for it to come back any more."""
        if self._joined is None:
            return
        await self._hall.report(Left(self._party, self._joined, self._reason))
        if self._hall.grace and self._reason is DropReason.VANISHED:
            await trio.sleep(self._hall.grace)
            await self._hall.report(Gone(self._party, self._joined))

    async def _greet(self, peer: Peer) -> bool:
        with trio.fail_after(HANDSHAKE_PATIENCE):
            frame = await peer.receive()
        if frame is None:
            return False
        hello = read_control(frame)
        if not isinstance(hello, Hello):
            raise FrameError("the first message is not a hello")
        hall = self._hall
        if refusal := check_hello(hello, hall.consortium, hall.role, now=int(time.time())):
            identity = hall.consortium.members[self._party].verify_key
            log.warning("refused %s (%s): %s", hall.name(self._party), identity.fingerprint, refusal.text)
            peer.say(refusal)
            return False
        peer.say(Welcome())
        await self._join(peer, hello.claim)
        return True

    async def _join(self, peer: Peer, claim: Claim | None = None) -> None:
        self._greeted()
        peer.deframer.limits = dict(self._hall.limits)
        self._joined = peer
        await self._hall.report(Joined(self._party, peer, claim))

    async def _listen(self, peer: Peer) -> None:
        while (frame := await peer.receive()) is not None:
            event = self._event(peer, frame)
            if isinstance(event, Said) and isinstance(event.message, Leave):
                self._reason = DropReason.ABORTED
            await self._hall.report(event)

    def _event(self, peer: Peer, frame: Frame) -> Event:
        if frame.kind in (Kind.MESSAGE, Kind.UPLOAD):
            session, body = split_session(frame)
            return Sent(self._party, peer, session, body, uploaded=frame.kind is Kind.UPLOAD)
        if frame.kind is Kind.PAYLOAD:
            return Gave(self._party, peer, frame.body)
        return Said(self._party, peer, read_control(frame))


async def listen(hall: Hall, host: str, port: int) -> list[Doorway]:
    """Raises NetError when the address cannot be listened on."""
    try:
        return [Doorway(listener, hall.door) for listener in await trio.open_tcp_listeners(port, host=host)]
    except OSError as exc:
        raise NetError(f"cannot listen on {host}:{port}: {exc.strerror or exc}: use another address") from exc
