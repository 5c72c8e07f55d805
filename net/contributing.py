"""One session at a party: drives its client, holds back what needs the input until it is trained, waits for a grant."""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from mpc.field import FieldVector
from net.control import Offer, Task
from net.driven import Driven, Keep
from net.events import BeforeSend
from net.framing import Kind
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


class Contributing:
    """A task that this party has taken, with a machine of the family. `held`: what it trains from.

    trains: False for a party that has no input and only aggregates. most_waiting: bytes of messages that may come while
    it trains.
    """

    def __init__(
        self,
        task: Task,
        held: Held,
        family: Family,
        client: Contributor,
        peer: Peer,
        *,
        trains: bool,
        most_waiting: int,
        before_send: BeforeSend,
        on_upload: Progress,
        keep: Keep,
    ) -> None:
        self.task: Final = task
        self.held: Final = held
        self._family = family
        self._client = client
        self._peer = peer
        self._before_send = before_send
        self._on_upload = on_upload
        self._driven = Driven(client, task.fl_round, keep)
        self._ready = not trains
        self._waiting: deque[Any] = deque()  # what needs the input, and what came after it
        self._room = most_waiting
        self._outgoing: deque[tuple[Kind, bytes]] = deque()  # an upload that is offered, and what follows it
        self._line: Line | None = None  # None: not from the beginning
        self._seen: Seen | None = None

    @property
    def machine(self) -> Contributor:
        return self._client

    @property
    def outcome(self) -> Outcome | None:
        return self._client.outcome

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
        if self._ready or not (needs_input or self._waiting):
            await self._deliver(message)
        elif len(body) <= self._room and not (needs_input and self._waiting):
            self._waiting.append(message)
            self._room -= len(body)
        else:
            await self._refuse(DropReason.UNEXPECTED)

    async def trained(self, vector: FieldVector) -> None:
        """The input is there; what was held back goes in. Ignored when the session is over by now."""
        self._ready = True
        if self._client.outcome is None:
            await self._driven.set_input(vector)
        while self._waiting:
            await self._deliver(self._waiting.popleft())

    def granted(self) -> None:
        """The coordinator takes the upload now that we offered."""
        if self._outgoing:
            kind, body = self._outgoing.popleft()
            self._peer.post(kind, *in_session(self.task.session, body), progress=self._on_upload)
            self._go_on()

    def give_up(self, reason: AbortReason) -> None:
        """Ends it here and erases the secrets; nobody is told."""
        self._outgoing.clear()
        self._client.abort(reason)

    async def _deliver(self, message: Any) -> None:
        try:
            await self._step(partial(self._client.receive, SERVER, message))
        except PeerMisbehaved as exc:
            log.warning("step %d: refused what the coordinator sent: %s", self.task.fl_round, exc.detail)
            await self._refuse(exc.reason)

    async def _refuse(self, reason: DropReason) -> None:
        self._waiting.clear()
        await self._step(partial(self._client.drop, SERVER, reason))

    async def _step(self, call: Callable[[], list[Envelope]]) -> None:
        envelopes = await self._driven.step(call)
        if self._client.outcome is None and isinstance(self._client, Witness):
            self._seen = self._client.seen
        for envelope in envelopes:
            self._post(envelope.message)

    def _post(self, message: Any) -> None:
        """All leave in their order: what follows an upload waits for its grant."""
        self._before_send(self.task.fl_round, message)
        kind = Kind.UPLOAD if isinstance(message, self._family.uploads) else Kind.MESSAGE
        body = self._family.codec.encode(message)
        if self._line is not None:
            self._line.said(body)
        self._outgoing.append((kind, body))
        if len(self._outgoing) == 1:
            self._go_on()

    def _go_on(self) -> None:
        """Up to the next upload, which is offered."""
        while self._outgoing and self._outgoing[0][0] is Kind.MESSAGE:
            _, body = self._outgoing.popleft()
            self._peer.post(Kind.MESSAGE, *in_session(self.task.session, body))
        if self._outgoing:
            self._peer.say(Offer(self.task.session, len(self._outgoing[0][1])))
