"""One session at a party: drives its client, holds back what needs the input until it is trained, waits for a grant."""

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import trio

from mpc.field import FieldVector
from net.control import Offer, Task
from net.errors import NetError
from net.framing import Kind
from net.peer import Peer, in_session
from net.workload import Held
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PeerMisbehaved, WireError
from protocols.family import Family
from protocols.ledger import Ledger
from protocols.machine import Contributor, Envelope, Outcome

BeforeSend = Callable[[int, Any], None]
"""Called with the training step and a protocol message that is ready and has not left."""

Progress = Callable[[int, int], None]

Keep = Callable[[Ledger], None]
"""Writes the ledger and returns when it is on disk. Called in a thread, before what changed it leaves."""

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
        self._keep = keep
        self._kept = client.ledger
        self._warned = 0
        self._ready = not trains
        self._waiting: deque[Any] = deque()  # what needs the input, and what came after it
        self._room = most_waiting
        self._unsent: deque[tuple[Kind, bytes]] = deque()  # the first is an upload that is offered, or there is none

    @property
    def outcome(self) -> Outcome | None:
        return self._client.outcome

    async def start(self) -> None:
        await self._step(self._client.start)

    async def receive(self, body: bytes) -> None:
        """An encoded message of the server. What it must not send ends the session here, and it is told."""
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
            await trio.to_thread.run_sync(self._set_input, vector)
        while self._waiting:
            await self._deliver(self._waiting.popleft())

    def granted(self) -> None:
        """The coordinator takes the upload now that we offered."""
        if self._unsent:
            _, body = self._unsent.popleft()
            self._peer.post(Kind.UPLOAD, *in_session(self.task.session, body), progress=self._on_upload)
            self._go_on()

    def give_up(self, reason: AbortReason) -> None:
        """Ends it here and erases the secrets; nobody is told."""
        self._unsent.clear()
        self._client.abort(reason)

    def _set_input(self, vector: FieldVector) -> None:
        try:
            self._client.set_input(vector)
        except LocalProtocolError as exc:
            raise NetError(
                f"step {self.task.fl_round}: our contribution cannot be summed with the others' ({exc}): "
                f"install the same version on all sides"
            ) from exc

    async def _deliver(self, message: Any) -> None:
        try:
            await self._step(partial(self._client.receive, SERVER, message))
        except PeerMisbehaved as exc:
            log.warning("step %d: refused what the coordinator sent: %s", self.task.fl_round, exc.detail)
            await self._refuse(exc.reason)

    async def _refuse(self, reason: DropReason) -> None:
        self._waiting.clear()
        self._unsent.clear()
        await self._step(partial(self._client.drop, SERVER, reason))

    async def _step(self, call: Callable[[], list[Envelope]]) -> None:
        envelopes = await trio.to_thread.run_sync(self._journaled, call)
        for caution in self._client.warnings[self._warned :]:
            log.warning("step %d: %s", self.task.fl_round, caution)
        self._warned = len(self._client.warnings)
        for envelope in envelopes:
            self._post(envelope.message)

    def _journaled(self, call: Callable[[], list[Envelope]]) -> list[Envelope]:
        """For a thread: the ledger is on disk before any of these leaves."""
        envelopes = call()
        if self._client.ledger is not self._kept:
            self._keep(self._client.ledger)
            self._kept = self._client.ledger
        return envelopes

    def _post(self, message: Any) -> None:
        self._before_send(self.task.fl_round, message)
        body = self._family.codec.encode(message)
        kind = Kind.UPLOAD if isinstance(message, self._family.uploads) else Kind.MESSAGE
        self._unsent.append((kind, body))
        if len(self._unsent) == 1:
            self._go_on()

    def _go_on(self) -> None:
        """Messages leave in the order in which the machine made them: one behind an upload waits for its grant too."""
        while self._unsent and self._unsent[0][0] is Kind.MESSAGE:
            _, body = self._unsent.popleft()
            self._peer.post(Kind.MESSAGE, *in_session(self.task.session, body))
        if self._unsent:
            self._peer.say(Offer(self.task.session, len(self._unsent[0][1])))
