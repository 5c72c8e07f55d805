"""One session at a party: drives its client, holds back what needs the input until it is trained, waits for a grant."""

import logging
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
from protocols.ledger import Ledger
from protocols.machine import Contributor, Envelope, Outcome
from protocols.messages import CODEC, DeliverShares, MaskedInput, Message

BeforeSend = Callable[[int, Any], None]
"""Called with the training step and a protocol message that is ready and has not left."""

Progress = Callable[[int, int], None]

Keep = Callable[[Ledger], None]
"""Writes the ledger and returns when it is on disk. Called in a thread, before what changed it leaves."""

log = logging.getLogger("veilsum.party")


class Contributing:
    """A task that this party has taken. `held`: what it trains from."""

    def __init__(
        self,
        task: Task,
        held: Held,
        client: Contributor,
        peer: Peer,
        *,
        before_send: BeforeSend,
        on_upload: Progress,
        keep: Keep,
    ) -> None:
        self.task: Final = task
        self.held: Final = held
        self._client = client
        self._peer = peer
        self._before_send = before_send
        self._on_upload = on_upload
        self._keep = keep
        self._kept = client.ledger
        self._warned = 0
        self._trained = False
        self._delivery: DeliverShares | None = None
        self._upload: bytes | None = None

    @property
    def outcome(self) -> Outcome | None:
        return self._client.outcome

    async def start(self) -> None:
        await self._step(self._client.start)

    async def receive(self, body: bytes) -> None:
        """An encoded message of the server. What it must not send ends the session here, and it is told."""
        try:
            message: Message = CODEC.decode(body)
        except WireError:
            await self._refuse(DropReason.MALFORMED)
            return
        if self._trained or not isinstance(message, DeliverShares):
            await self._deliver(message)
        elif self._delivery is None:
            self._delivery = message
        else:
            await self._refuse(DropReason.UNEXPECTED)

    async def trained(self, vector: FieldVector) -> None:
        """The input is there; what was held back goes in. Ignored when the session is over by now."""
        self._trained = True
        if self._client.outcome is None:
            await trio.to_thread.run_sync(self._set_input, vector)
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            await self._deliver(delivery)

    def granted(self) -> None:
        """The coordinator takes the upload now."""
        if self._upload is not None:
            self._peer.post(Kind.UPLOAD, *in_session(self.task.session, self._upload), progress=self._on_upload)
            self._upload = None

    def give_up(self, reason: AbortReason) -> None:
        """Ends it here and erases the secrets; nobody is told."""
        self._upload = None
        self._client.abort(reason)

    def _set_input(self, vector: FieldVector) -> None:
        try:
            self._client.set_input(vector)
        except LocalProtocolError as exc:
            raise NetError(
                f"step {self.task.fl_round}: our contribution cannot be summed with the others' ({exc}): "
                f"install the same version on all sides"
            ) from exc

    async def _deliver(self, message: Message) -> None:
        try:
            await self._step(partial(self._client.receive, SERVER, message))
        except PeerMisbehaved as exc:
            log.warning("step %d: refused what the coordinator sent: %s", self.task.fl_round, exc.detail)
            await self._refuse(exc.reason)

    async def _refuse(self, reason: DropReason) -> None:
        self._delivery = None
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

    def _post(self, message: Message) -> None:
        self._before_send(self.task.fl_round, message)
        body = CODEC.encode(message)
        if isinstance(message, MaskedInput):
            self._upload = body
            self._peer.say(Offer(self.task.session, len(body)))
        else:
            self._peer.post(Kind.MESSAGE, *in_session(self.task.session, body))
