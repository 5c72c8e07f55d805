"""One session at a party: drives its client, holds back what needs the input until it is trained, waits for a grant.

It outlives its connections. What it says is on disk, in order, before it leaves: so the coordinator gets what it lacks
on the next connection, byte for byte, from this process or from the one after it.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol

import trio

from mpc.field import FieldVector
from net.control import Claim, Offer
from net.driven import Driven
from net.errors import JournalError
from net.events import BeforeSend
from net.framing import Kind
from net.party_journal import KeptFrame, KeptSession
from net.peer import Peer, in_session
from net.workload import Held
from protocols.errors import SERVER, AbortReason, DropReason, PeerMisbehaved, WireError
from protocols.evidence import Seen
from protocols.family import Family
from protocols.machine import Contributor, Envelope, Finished, Outcome, Witness
from protocols.record import Witnessed
from protocols.transcript import Line

Progress = Callable[[int, int], None]

log = logging.getLogger("veilsum.party")

_leaving: Final = trio.lowlevel.RunVar[trio.CapacityLimiter]("files that are read because they leave now")
"""A turn to upload does not wait until whatever else this process computes, for other parties too, is done. One a run
of trio: whoever waits for a limiter is woken by the run that lets go of it."""


def _lane() -> trio.CapacityLimiter:
    try:
        return _leaving.get()
    except LookupError:
        _leaving.set(lane := trio.CapacityLimiter(2))
        return lane


class SessionJournal(Protocol):
    """That of `net/party_journal`, as a session uses it."""

    def write(self, session: KeptSession, machine: Contributor, said: Sequence[tuple[Kind, bytes]]) -> KeptSession: ...

    def body(self, frame: KeptFrame) -> bytes: ...

    def finish(self, session: KeptSession, machine: Contributor) -> None: ...


class Contributing:
    """A session that this party is in, with a machine of the family. `held`: what it trains from.

    kept: as the journal has it; of one that begins: nothing taken, nothing said. most_waiting: bytes of messages that
    may come while it trains.
    """

    def __init__(
        self,
        held: Held,
        family: Family,
        client: Contributor,
        kept: KeptSession,
        journal: SessionJournal,
        *,
        most_waiting: int,
        before_send: BeforeSend,
        on_upload: Progress,
    ) -> None:
        self.task: Final = kept.task
        self.held: Final = held
        self._family = family
        self._client = client
        self._kept = kept
        self._journal = journal
        self._before_send = before_send
        self._on_upload = on_upload
        self._driven = Driven(client, kept.task.fl_round, self._write)
        self._trained = kept.trained
        self._taken = kept.taken  # frames that the machine has had
        self._waiting: deque[Any] = deque()  # what needs the input, and what came after it
        self._room = most_waiting
        self._peer: Peer | None = None
        self._ready = len(kept.frames)  # so many of what we said may leave
        self._next = 0  # the first of them that has not, on this connection
        self._offered: int | None = None  # an upload that waits for its grant
        self._line: Line | None = None  # None: not from the beginning
        self._seen: Seen | None = None

    @property
    def machine(self) -> Contributor:
        return self._client

    @property
    def outcome(self) -> Outcome | None:
        return self._client.outcome

    @property
    def trained(self) -> bool:
        """Whether the input is there, or none is due."""
        return self._trained

    @property
    def claim(self) -> Claim:
        """What we say of it where we come back: that what came until now need not come again."""
        return Claim(self.task.run, self.task.session, self._taken + len(self._waiting))

    @property
    def witnessed(self) -> Witnessed | None:
        """What we know of this session ourselves; None where we were never invited to it."""
        outcome = self._client.outcome
        aggregate = outcome.aggregate if isinstance(outcome, Finished) else None
        if self._seen is None:
            return None
        return Witnessed(self._seen, aggregate, None if self._line is None else self._line.digest)

    async def start(self) -> None:
        self._line = Line()
        await self._step(self._client.start)

    async def attach(self, peer: Peer, have: int) -> None:
        """A connection on which the coordinator says how many of our frames it has: the others leave again."""
        self._peer, self._next, self._offered = peer, have, None
        if have > self._ready:
            log.warning("step %d: refused: the coordinator has more of us than we ever said", self.task.fl_round)
            await self._refuse(DropReason.UNEXPECTED)
        else:
            await self._go_on()

    def detach(self) -> None:
        """The connection is over."""
        self._peer = None

    async def receive(self, body: bytes) -> None:
        """An encoded message of the server. What it must not send ends the session here, and it is told."""
        if self._line is not None:
            self._line.told(body)
        try:
            message = self._family.codec.decode(body)
        except WireError:
            await self._refuse(DropReason.MALFORMED)
            return
        needs_input = self._family.held_back is not None and isinstance(message, self._family.held_back)
        if self._trained or not (needs_input or self._waiting):
            await self._deliver(message)
        elif len(body) <= self._room and not (needs_input and self._waiting):
            self._waiting.append(message)
            self._room -= len(body)
        else:
            await self._refuse(DropReason.UNEXPECTED)

    async def give_input(self, vector: FieldVector) -> None:
        """It is trained, and on disk; what was held back goes in. Ignored when the session is over by now."""
        if self._client.outcome is not None:
            return
        await self._driven.set_input(vector)
        self._trained = True
        await trio.to_thread.run_sync(self._write_down, [])
        while self._waiting:
            await self._deliver(self._waiting.popleft())

    async def granted(self) -> None:
        """The coordinator takes the upload now that we offered."""
        if self._offered is not None and self._offered == self._next:
            await self._send(self._kept.frames[self._next])
            await self._go_on()

    async def give_up(self, reason: AbortReason) -> None:
        """Ends it here and erases the secrets; nobody is told."""
        await self._driven.step(lambda: self._client.abort(reason))

    async def _deliver(self, message: Any) -> None:
        self._taken += 1
        try:
            await self._step(partial(self._client.receive, SERVER, message))
        except PeerMisbehaved as exc:
            log.warning("step %d: refused what the coordinator sent: %s", self.task.fl_round, exc.detail)
            await self._refuse(exc.reason)

    async def _refuse(self, reason: DropReason) -> None:
        self._waiting.clear()
        await self._step(partial(self._client.drop, SERVER, reason))

    async def _step(self, call: Callable[[], list[Envelope]]) -> None:
        """All that it says leaves in its order: what follows an upload waits for its grant."""
        self._look()
        envelopes = await self._driven.step(call)
        self._look()
        for envelope in envelopes:
            self._before_send(self.task.fl_round, envelope.message)
            if self._client.outcome is None:
                self._ready += 1
                await self._go_on()
            else:
                self._say_last(envelope.message)

    def _look(self) -> None:
        """What a machine that has ended does not know any more."""
        if self._client.outcome is None and isinstance(self._client, Witness):
            self._seen = self._client.seen

    # What leaves

    async def _go_on(self) -> None:
        """Up to the next upload, which is offered."""
        while self._peer is not None and self._next < self._ready and self._client.outcome is None:
            frame = self._kept.frames[self._next]
            if frame.kind == Kind.UPLOAD:
                self._offer(frame)
                return
            await self._send(frame)

    def _offer(self, frame: KeptFrame) -> None:
        if self._offered != self._next and self._peer is not None:
            self._offered = self._next
            self._peer.say(Offer(self.task.session, frame.size))

    async def _send(self, frame: KeptFrame) -> None:
        self._next += 1
        try:
            body = await trio.to_thread.run_sync(self._journal.body, frame, limiter=_lane())
        except JournalError as exc:
            log.warning("step %d: our part in it is given up: %s", self.task.fl_round, exc)
            await self._step(partial(self._client.abort, AbortReason.STOPPED))
            return
        if self._peer is not None:
            shown = self._on_upload if frame.kind == Kind.UPLOAD else None
            self._peer.post(Kind(frame.kind), *in_session(self.task.session, body), progress=shown)

    def _say_last(self, message: Any) -> None:
        """The session is over, and with it what has not left. This is in no journal."""
        _, body = self._frame(message)
        if self._peer is not None:
            self._peer.post(Kind.MESSAGE, *in_session(self.task.session, body))

    # What is on disk. Called in a thread

    def _write(self, envelopes: list[Envelope]) -> None:
        """A step that says nothing is taken again after a crash, with what the coordinator sends again."""
        if self._client.outcome is not None:
            self._journal.finish(self._kept, self._client)
        elif envelopes:
            self._write_down([self._frame(envelope.message) for envelope in envelopes])

    def _write_down(self, said: list[tuple[Kind, bytes]]) -> None:
        stands = replace(self._kept, taken=self._taken, trained=self._trained)
        self._kept = self._journal.write(stands, self._client, said)

    def _frame(self, message: Any) -> tuple[Kind, bytes]:
        kind = Kind.UPLOAD if isinstance(message, self._family.uploads) else Kind.MESSAGE
        body = self._family.codec.encode(message)
        if self._line is not None:
            self._line.said(body)
        return kind, body
