"""One session at the coordinator: drives the machine, says who may upload, gives up who is gone."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from net.control import Grant, Offer, Over
from net.framing import Kind
from net.hall import Event, Hall, Joined, Left, Said, Sent, Stalled
from net.peer import Peer, in_frame, in_session
from net.policy import SLOWEST_UPLOAD, STALL, Policy, RoundPolicy, Waiting, gather, stall_in
from net.tasks import open_crew
from net.workload import WorkloadRefused
from protocols.errors import AbortReason, DropReason, PartyId, PeerMisbehaved, WireError
from protocols.family import Family, Limits
from protocols.machine import Aborted, Aggregate, Collector, Envelope, Finished, Outcome
from protocols.wire import PartySet

MOST_UPLOADS: Final = 2

log = logging.getLogger("veilsum.coordinator")


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One upload, of `size` bytes as it was offered."""

    size: int


@dataclass(slots=True)
class Uploads:
    """Which parties may upload a message: `most` at a time, in the order of their offers. [PROTOCOLS rule 11]"""

    most: int = MOST_UPLOADS
    granted: dict[PartyId, Turn] = field(default_factory=dict)
    _offered: dict[PartyId, Turn] = field(default_factory=dict)

    @property
    def somebody_waits(self) -> bool:
        return bool(self._offered)

    def offer(self, party: PartyId, size: int) -> None:
        """One at a time of each party: what it offers before that one is here is ignored."""
        if party not in self._offered and party not in self.granted:
            self._offered[party] = Turn(size)

    def end(self, party: PartyId) -> None:
        """It has uploaded, or it is gone."""
        self.granted.pop(party, None)
        self._offered.pop(party, None)

    def grant(self) -> dict[PartyId, Turn]:
        """Those whose turn has come."""
        come: dict[PartyId, Turn] = {}
        while self._offered and len(self.granted) < self.most:
            party = next(iter(self._offered))
            come[party] = self.granted[party] = self._offered.pop(party)
        return come


class Collecting:
    """One machine of a family, made for all members, with the connections of those who are there.

    absent: the others. settle: called with the aggregate before anybody is told that there is one. When it raises
    WorkloadRefused nobody is, and the session ends as aborted.
    """

    def __init__(
        self,
        family: Family,
        machine: Collector,
        number: int,
        members: Mapping[PartyId, Peer],
        hall: Hall,
        *,
        absent: PartySet,
        limits: Limits,
        settle: Callable[[Aggregate], Awaitable[None]],
    ) -> None:
        self._family = family
        self._machine = machine
        self._number = number
        self._peers = dict(members)
        self._hall = hall
        self._absent = absent
        self._limits = limits
        self._settle = settle
        self._uploads = Uploads()
        self._stall = STALL
        self._settled = False

    async def run(self, policy: Policy) -> Outcome:
        """The whole session."""
        for peer in self._peers.values():
            peer.deframer.limits[Kind.MESSAGE] = in_frame(self._limits.up)
        async with open_crew() as self._crew:
            try:
                outcome = await self._run(policy)
            except WorkloadRefused as exc:
                log.warning("the sum cannot be used: %s", exc)
                outcome = Aborted(AbortReason.STOPPED)
        self._end_uploads()
        for peer in self._peers.values():
            peer.say(Over(self._number))
        return outcome

    async def _run(self, policy: Policy) -> Outcome:
        machine = self._machine
        await self._step(machine.start)
        for party in sorted(self._absent):
            await self._step(partial(machine.drop, party, DropReason.VANISHED))
        while machine.outcome is None:
            await self._gather(policy.of(machine.round))
            if machine.outcome is not None:
                break
            self._end_uploads()
            closing = machine.close_round if machine.can_close else partial(machine.abort, AbortReason.TOO_FEW)
            await self._step(closing)
        return machine.outcome

    async def _gather(self, policy: RoundPolicy) -> None:
        machine, asked, self._stall = self._machine, self._machine.waiting_for, stall_in(policy)
        waiting, opened = Waiting(policy, len(asked)), trio.current_time()

        def settled() -> bool:
            answered = len(asked - machine.waiting_for - machine.dropped.keys())
            waiting.heard(answered, trio.current_time() - opened)
            return not machine.waiting_for or (machine.can_close and policy.enough(answered))

        if not await gather(
            lambda: waiting.limit(can_close=machine.can_close), self._hall.next_event, self._handle, settled
        ):
            late = ", ".join(self._hall.name(party) for party in sorted(machine.waiting_for))
            log.info("round %s: the patience is over, without %s", machine.round.value, late)

    async def _handle(self, event: Event) -> None:
        match event:
            case Joined(party) if party in self._peers:
                await self._give_up(party, DropReason.VANISHED)
            case Left(party, peer, reason) if self._peers.get(party) is peer:
                await self._give_up(party, reason)
            case Said(party, peer, Offer(session=self._number, size=size)) if self._peers.get(party) is peer:
                await self._offered(party, size)
            case Sent(party, peer, self._number) if self._peers.get(party) is peer:
                await self._deliver(party, event)
            case Stalled(party, turn) if self._uploading(party, turn) and self._uploads.somebody_waits:
                log.info("dropping %s: its upload stands still and others wait", self._hall.name(party))
                await self._drop(party, DropReason.TOO_SLOW)

    async def _give_up(self, party: PartyId, reason: DropReason) -> None:
        await self._drop(party, reason)
        del self._peers[party]

    async def _deliver(self, party: PartyId, sent: Sent) -> None:
        try:
            await self._step(partial(self._receive, party, sent))
        except PeerMisbehaved as exc:
            log.warning("dropping %s: %s: %s", self._hall.name(party), exc.reason.value, exc.detail)
            await self._drop(party, exc.reason)
        if sent.uploaded:
            self._uploads.end(party)
            self._grant()

    async def _drop(self, party: PartyId, reason: DropReason) -> None:
        """It stays connected; what it still uploads is not kept."""
        if party in self._uploads.granted:
            self._peers[party].deframer.discard(Kind.UPLOAD)
        self._uploads.end(party)
        self._grant()
        await self._step(partial(self._machine.drop, party, reason))

    def _receive(self, party: PartyId, sent: Sent) -> list[Envelope]:
        try:
            message = self._family.codec.decode(sent.body)
        except WireError as exc:
            raise PeerMisbehaved(party, DropReason.MALFORMED, str(exc)) from exc
        if isinstance(message, self._family.uploads) is not sent.uploaded:
            name = type(message).__name__
            raise PeerMisbehaved(party, DropReason.UNEXPECTED, f"{name} {'as' if sent.uploaded else 'is'} an upload")
        if sent.uploaded and party not in self._uploads.granted and party not in self._machine.dropped:
            raise PeerMisbehaved(party, DropReason.UNEXPECTED, "an upload that nobody granted")
        return self._machine.receive(party, message)

    # Uploads

    async def _offered(self, party: PartyId, size: int) -> None:
        if party not in self._machine.waiting_for:
            return
        if size > self._limits.upload:
            await self._drop(party, DropReason.BAD_LENGTH)
            return
        self._uploads.offer(party, size)
        self._grant()

    def _grant(self) -> None:
        for party, turn in self._uploads.grant().items():
            peer = self._peers[party]
            peer.deframer.allow_one(Kind.UPLOAD, in_frame(turn.size))
            peer.say(Grant(self._number))
            self._crew.start_soon(self._watch, party, peer, turn)

    def _uploading(self, party: PartyId, turn: object) -> bool:
        return self._uploads.granted.get(party) is turn

    async def _watch(self, party: PartyId, peer: Peer, turn: Turn) -> None:
        """Two that stand still, or send a byte now and then, must not keep all others from uploading."""
        stall = self._stall
        finish_by = trio.current_time() + stall + turn.size / SLOWEST_UPLOAD
        while self._uploading(party, turn):
            before = peer.deframer.arrived(Kind.UPLOAD)
            await trio.sleep(stall)
            if peer.deframer.arrived(Kind.UPLOAD) == before or trio.current_time() > finish_by:
                await self._hall.report(Stalled(party, turn))

    def _end_uploads(self) -> None:
        """The round closes, or the session ends: what is still on its way is read past and forgotten."""
        for party in self._uploads.granted:
            self._peers[party].deframer.discard(Kind.UPLOAD)
        self._uploads = Uploads()

    # The machine: one call at a time, in a thread, because some take seconds

    async def _step(self, call: Callable[[], list[Envelope]]) -> None:
        outgoing = await trio.to_thread.run_sync(partial(self._encoded, call))
        if isinstance(outcome := self._machine.outcome, Finished) and not self._settled:
            self._settled = True
            await self._settle(outcome.aggregate)
        for recipients, body in outgoing:
            for party in recipients:
                if (peer := self._peers.get(party)) is not None:
                    peer.post(Kind.MESSAGE, *in_session(self._number, body))

    def _encoded(self, call: Callable[[], list[Envelope]]) -> list[tuple[tuple[PartyId, ...], bytes]]:
        return [(envelope.recipients, self._family.codec.encode(envelope.message)) for envelope in call()]
