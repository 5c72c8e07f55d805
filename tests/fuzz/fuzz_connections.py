"""Any bytes of one member, on connections that it authenticated, at any time -> the coordinator's session ends, with a
sum of the others at least. No exception, no hang, no wrong sum.

A hall and a session of five; four are honest, what the fifth does an input says. TLS stays outside.
"""

import time
from collections import deque
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import trio
from driving import hold
from fuzz_files import consortium_of, keys_of, means_of
from fuzz_inline import BLOCK, FOREVER, MOST_BLOCKS, NUMBERS, RUN, SECONDS, Far, Paper, block, control, frame, run
from fuzz_mutations import flipped, of_blocks, spliced
from fuzz_recorded import case_of, recorded
from fuzz_remembered import MEMORY
from fuzz_target import Bytes, Target, blocks, require
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from net.collecting import Collecting
from net.control import Claim, Grant, Hello, Leave, Offer, Over, Ready, Reason, Refused, Resumed, Task, Want, Welcome
from net.coordinator_journal import CoordinatorJournal
from net.framing import Deframer, Frame, Kind
from net.hall import Event, Hall, Said, Sent, Visit
from net.peer import Peer, in_session, read_control
from net.policy import GRACE, Policy, RoundPolicy
from protocols.errors import SERVER, PartyId, PeerMisbehaved
from protocols.machine import Aborted, Aggregate, Finished
from protocols.session import WIRE

ODD_ONE: Final = PartyId(0)
OTHERS: Final = frozenset(map(PartyId, range(1, 5)))
ODDITIES: Final = (12, 13, 14, 15)  # of how a message is sent
OTHER_SESSION, OTHER_KIND, OTHER_SIZE, NOT_OFFERED = ODDITIES


class Seat:
    """An honest member, for the coordinator a `Peer`: its machine takes what is posted to it when its turn comes."""

    def __init__(self, party: PartyId, machine: Any, family: Any, queue: Any) -> None:
        self.deframer = Deframer({})
        self.machine = machine
        self._party, self._family, self._queue = party, family, queue
        self._out: deque[tuple[bytes, bool]] = deque()
        self._offered = False
        machine.start()

    def say(self, message: Any) -> None:
        if isinstance(message, Grant):
            self._queue.send_nowait((self, None))

    def post(self, kind: Kind, *parts: bytes, progress: Any = None) -> None:
        self._queue.send_nowait((self, parts[-1]))

    def take(self, body: bytes | None) -> Iterator[Event]:
        """A message, or the grant of what was offered."""
        if body is not None:
            for envelope in self._answers(self._family.codec.decode(body)):
                upload = isinstance(envelope.message, self._family.uploads)
                self._out.append((self._family.codec.encode(envelope.message), upload))
        granted = body is None
        while self._out and (granted or not self._out[0][1]):
            said, upload = self._out.popleft()
            granted = self._offered = False
            yield Sent(self._party, self, 1, said, upload)  # type: ignore[arg-type]
        if self._out and not self._offered:
            self._offered = True
            yield Said(self._party, self, Offer(1, len(self._out[0][0])))  # type: ignore[arg-type]

    def _answers(self, message: Any) -> Any:
        try:
            return self.machine.receive(SERVER, message)
        except PeerMisbehaved as exc:
            return self.machine.drop(SERVER, exc.reason)


class Collected:
    """A session of five that is collected; an input says what one member does. believed: it said what no honest one of
    this session says, and the server took that. aggregates: what was settled. heard: when, by that clock, and what."""

    def __init__(self, name: str, choices: Bytes) -> None:
        self._case, self._choices = case_of(name), choices
        self._room, self._own = _room(name), own(name)
        self._foreign = [body for sender, _, body in recorded(name).foreign if sender == ODD_ONE]
        self._machines = _machines(name)
        self._next = 0  # of what the odd one says in its turn
        self._taken = 0  # of the coordinator's messages
        self._sent: set[bytes] = set()
        self._far: list[Far] = []
        self.believed = False
        self.aggregates: list[Aggregate] = []
        self.outcome: Finished | Aborted | None = None
        self.heard: list[tuple[float, Kind, bytes]] = []

    async def run(self) -> None:
        with trio.fail_after(FOREVER):
            async with trio.open_nursery() as self._nursery:
                await self._collect()
                self._nursery.cancel_scope.cancel()
        self._require()

    async def _collect(self) -> None:
        self._hall = Hall(_consortium(), None, grace=GRACE)  # type: ignore[arg-type]
        await self._come(None)
        await self._hall.next_event()
        send, queue = trio.open_memory_channel[Any](10_000)
        family = self._case.family
        self._seats = {party: Seat(party, self._machines[party], family, send) for party in sorted(OTHERS)}
        members: dict[PartyId, Any] = {ODD_ONE: self._hall.peers[ODD_ONE], **self._seats}
        self._nursery.start_soon(self._seat_all, queue)
        self._nursery.start_soon(self._play)
        collecting = Collecting(
            family, self._server(), Task(1, 1, bytes(32), RUN), members, self._hall, _journal(),
            absent=frozenset(), limits=family.limits(self._room.params, len(members)), settle=self._settle,
        )  # fmt: skip
        self.outcome = await collecting.run(Policy(RoundPolicy(20.0), grace=GRACE))
        await wait_all_tasks_blocked()

    def _server(self) -> Any:
        """It notes what it believes of the odd one, though no honest one would say it. It is shown nothing that was not
        sent to this session, as what it is."""
        server, codec = self._machines[SERVER], self._case.family.codec
        receive = server.receive

        def watched(sender: PartyId, message: Any) -> Any:
            was_in, said = sender not in server.dropped, receive(sender, message)
            if sender == ODD_ONE and was_in:
                require((body := codec.encode(message)) in self._sent, "a message that was not sent to this session")
                self.believed |= body not in self._own
            return said

        server.receive = watched
        return server

    async def _settle(self, aggregate: Aggregate) -> None:
        self.aggregates.append(aggregate)

    async def _seat_all(self, queue: Any) -> None:
        async for seat, body in queue:
            for event in seat.take(body):
                await self._hall.report(event)

    # What the odd one does

    async def _come(self, claim: Claim | None) -> None:
        here, there = memory_stream_pair()
        self._far.append(Far(there, self._hear))
        self._nursery.start_soon(self._visit, here)
        self._nursery.start_soon(self._far[-1].listen)
        await self._say(control(Hello(WIRE, _digest(), int(time.time()), claim)))

    async def _visit(self, stream: trio.StapledStream) -> None:
        """As `Hall.welcome` after the handshake."""
        visit = Visit(self._hall, ODD_ONE, lambda: None)
        await Peer(stream).serve(visit.converse)
        await visit.leave()

    async def _hear(self, far: Far, one: Frame) -> None:
        self.heard.append((trio.current_time(), one.kind, one.body))
        if one.kind is Kind.MESSAGE:
            self._taken += 1
        elif isinstance(message := read_control(one), Resumed):
            self._next = message.taken

    async def _say(self, data: bytes) -> None:
        await self._far[-1].say(data)

    async def _play(self) -> None:
        for pick in blocks(self._choices, BLOCK, MOST_BLOCKS):
            await self._step(pick)
            await wait_all_tasks_blocked()

    async def _step(self, pick: Bytes) -> None:
        match pick.randrange(16):
            case 0 | 1 | 2 | 3 | 4:
                await self._send(self._own[self._next % len(self._own)], pick)
                self._next += 1
            case 5 | 6:
                await self._send(pick.choice(self._own), pick)
            case 7 | 8:
                await self._send(altered(pick.choice(self._own), pick.choice(self._own), pick), pick)
            case 9:
                await self._send(pick.choice(self._foreign), pick)
            case 10 | 11:
                await self._say(control(pick.choice(_member_says(pick))))
            case 12:
                await self._say(pick.rest())
            case 13:
                await self._far[-1].cut()
            case 14:
                await self._come(self._claim(pick))
            case _:
                await trio.sleep(pick.choice(SECONDS))

    def _claim(self, pick: Bytes) -> Claim | None:
        """Mostly the right one."""
        match pick.randrange(4):
            case 3:
                return pick.choice(
                    (None, Claim(pick.take(1).ljust(len(RUN), b"\0"), pick.choice(NUMBERS), pick.choice(NUMBERS)))
                )
            case 2:
                self._taken = min(self._taken, pick.randrange(8))
        return Claim(RUN, 1, self._taken)

    async def _send(self, body: bytes, pick: Bytes) -> None:
        """Mostly as it should be: an upload once it is offered, in this session."""
        upload, odd = any(body.startswith(one) for one in _uploads(self._case.name)), pick.randrange(16)
        if upload and odd != NOT_OFFERED:
            await self._say(control(Offer(1, len(body) if odd != OTHER_SIZE else pick.choice(NUMBERS))))
            await wait_all_tasks_blocked()
        if odd not in (OTHER_SESSION, OTHER_KIND):
            self._sent.add(body)
        kind = Kind.UPLOAD if upload != (odd == OTHER_KIND) else Kind.MESSAGE
        await self._say(frame(kind, *in_session(1 + (odd == OTHER_SESSION), body)))

    # What must hold

    def _require(self) -> None:
        ended = [seat.machine.outcome for seat in self._seats.values()]
        if isinstance(self.outcome, Aborted):
            require(self.believed, f"no sum, though nobody said anything wrong: {self.outcome}")
            require(not any(isinstance(one, Finished) for one in ended), "a sum for a member alone")
            return
        require(isinstance(self.outcome, Finished), "a session without an end")
        (aggregate,) = self.aggregates
        require(aggregate.included >= OTHERS, "an honest member is not in the sum")
        if not self.believed or ODD_ONE not in aggregate.included:
            require(np.array_equal(aggregate.vector, self._room.plain_sum(aggregate.included)), "a wrong sum")


def collected(name: str, data: bytes) -> Collected:
    session = Collected(name, Bytes(data))
    run(session.run)
    return session


def member(name: str, data: bytes) -> None:
    """What one of five members of a session says, and when it comes and goes -> a sum of the others at least."""
    collected(name, data)


def altered(body: bytes, donor: bytes, pick: Bytes) -> bytes:
    if pick.randrange(2):
        return spliced(body, donor, pick)  # type: ignore[arg-type]
    return flipped(body, pick)


def _member_says(pick: Bytes) -> tuple[object, ...]:
    number = pick.choice(NUMBERS)
    return (
        Offer(1, number), Offer(number, 10), Ready(number), Want(bytes(32)), Welcome(), Over(number), Leave(),
        Refused(Reason.OTHER_MODEL, "no"), Hello(WIRE, bytes(32), number), Grant(1), Resumed(1, number),
    )  # fmt: skip


@cache
def _consortium() -> Any:
    return consortium_of(means_of())


@cache
def _digest() -> bytes:
    digest: bytes = _consortium().digest
    return digest


def _journal() -> CoordinatorJournal:
    with patch("net.coordinator_journal.Journal", Paper):
        return CoordinatorJournal(Path("journal"), keys_of("coordinator").identity, _digest())


@cache
def _room(name: str) -> Any:
    return case_of(name).make(clients=5, colluding=1, losses=1, length=3)


def _machines(name: str) -> dict[PartyId, Any]:
    case = case_of(name)

    def make(party: PartyId) -> Any:
        return case.make(clients=5, colluding=1, losses=1, length=3).machines()[party]

    return {
        party: MEMORY.machine(
            (name, party), case.family.codec, partial(make, party), partial(case.wake, _room(name), party)
        )
        for party in (SERVER, ODD_ONE, *sorted(OTHERS))
    }


@cache
def own(name: str) -> list[bytes]:
    """What the odd one says where it is honest, in its order."""
    said: list[bytes] = []
    hold(
        _room(name), case_of(name), machines=_machines(name),
        tap=lambda sender, _, body: said.append(body) if sender == ODD_ONE else None,
    )  # fmt: skip
    return said


@cache
def _uploads(name: str) -> tuple[bytes, ...]:
    """How those messages begin that are uploads."""
    family = case_of(name).family
    return tuple({body[:8] for body in own(name) if isinstance(family.codec.decode(body), family.uploads)})


def _member_seeds(name: str) -> list[bytes]:
    """All that an honest one says; until it goes; with a connection that breaks and comes back; and one thing oddly."""
    whole, cut, back = [block()] * len(own(name)), block(13), block(14)
    places = range(len(whole) + 1)
    kept = [whole[:count] + rest for count in places for rest in ([], [cut])]
    back_again = [[*whole[:count], cut, back, *whole[count:]] for count in places]
    oddly = [[*whole[:at], block(0, odd), *whole[at + 1 :]] for at in places[1:] for odd in ODDITIES]
    return [b"".join(one) for one in [whole, *back_again, *kept, *oddly]]


COLLECTED: Final = ("secagg-active", "secagg+-active", "lightsecagg-active", "committee")

TARGETS = tuple(
    Target(
        f"connection-{name}", partial(member, name), partial(_member_seeds, name), 2, mutate=of_blocks(BLOCK, behind=0)
    )
    for name in COLLECTED
)
