"""One session at the coordinator: drives the machine, says who may upload, gives up who is gone and does not return.

What the machine says is on disk before it leaves. A party that comes back, or a coordinator that does, says how many of
the other's frames it has had, and gets the rest, byte for byte.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import trio

from net.control import Claim, Grant, Offer, Over, Resumed, Task
from net.coordinator_journal import CoordinatorJournal, OpenSession, Words
from net.errors import JournalError
from net.framing import Kind
from net.hall import Event, Gone, Hall, Joined, Left, Said, Sent, Stalled
from net.past import Ending, Past
from net.peer import Peer, in_frame, in_session
from net.policy import ASSEMBLE, SLOWEST_UPLOAD, STALL, Policy, RoundPolicy, Waiting, gather, stall_in
from net.tasks import open_crew
from net.uploads import Turn, Uploads
from net.workload import WorkloadRefused
from protocols.errors import AbortReason, DropReason, PartyId, PeerMisbehaved, WireError
from protocols.family import Family, Limits
from protocols.machine import Aborted, Aggregate, Collector, Envelope, Finished, Outcome
from protocols.transcript import Transcript
from protocols.wire import PartySet

log = logging.getLogger("veilsum.coordinator")

_NO_PEER: Final = object()  # for who was here before this process began


class Collecting:
    """One machine of a family, made for all members, with the connections of those who are there.

    absent: the others. settle: called with the aggregate before anybody is told that there is one. When it raises
    WorkloadRefused nobody is, and the session ends as aborted. resumed: a session that another process began, of which
    the machine is.
    """

    def __init__(
        self,
        family: Family,
        machine: Collector,
        task: Task,
        members: Mapping[PartyId, Peer],
        hall: Hall,
        journal: CoordinatorJournal,
        *,
        absent: PartySet,
        limits: Limits,
        settle: Callable[[Aggregate], Awaitable[None]],
        resumed: OpenSession | None = None,
    ) -> None:
        self._family = family
        self._machine = machine
        self._task = task
        self._number = task.session
        self._peers = dict(members)
        self._away: dict[PartyId, object] = {}  # who may come back, in the place of which connection
        self._hall = hall
        self._journal = journal
        self._absent = absent
        self._limits = limits
        self._settle = settle
        self._resumed = resumed
        self._taken = Counter(resumed.taken if resumed else {})  # of each party's frames
        self._uploads = Uploads()
        self._last_words: list[Words] = []  # of a machine that has ended
        self._stall = STALL
        self._settled = False
        self.transcript: Final = Transcript()

    async def run(self, policy: Policy) -> Outcome:
        """The whole session, or the rest of it."""
        for peer in self._peers.values():
            self._let_speak(peer)
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

    @property
    def past(self) -> Past:
        """What whoever comes back now may lack."""
        recipients = {party for recipients, _ in self._last_words for party in recipients}
        endings = {party: self._ending(party) for party in recipients}
        return Past(self._task, self._limits.up, endings)

    def _ending(self, party: PartyId) -> Ending:
        words = tuple(body for recipients, body in self._last_words if party in recipients)
        return Ending(self._taken[party], self._journal.sent_to(party), words)

    async def _run(self, policy: Policy) -> Outcome:
        machine = self._machine
        if self._resumed is None:
            await self._begin()
        else:
            self._wait_for_all(self._resumed.members - machine.dropped.keys(), policy.of(ASSEMBLE).patience)
        while machine.outcome is None:
            await self._gather(policy.of(machine.round))
            if machine.outcome is not None:
                break
            self._end_uploads()
            closing = machine.close_round if machine.can_close else partial(machine.abort, AbortReason.TOO_FEW)
            await self._step(closing)
        return machine.outcome

    async def _begin(self) -> None:
        self._journal.begin(self._task, frozenset(self._peers))
        self.transcript.begin()
        await self._step(self._machine.start)
        for party in sorted(self._absent):
            await self._step(partial(self._machine.drop, party, DropReason.VANISHED))

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
            case Joined(party, peer, claim):
                await self._joined(party, peer, claim)
            case Left(party, peer, reason) if self._peers.get(party) is peer:
                await self._left(party, peer, reason)
            case Gone(party, peer) if self._away.get(party) is peer:
                await self._give_up(party, DropReason.VANISHED)
            case Said(party, peer, Offer(session=self._number, size=size)) if self._peers.get(party) is peer:
                await self._offered(party, size)
            case Sent(party, peer, self._number) if self._peers.get(party) is peer:
                await self._deliver(party, event)
            case Stalled(party, turn) if self._uploading(party, turn) and self._uploads.somebody_waits:
                log.info("dropping %s: its upload stands still and others wait", self._hall.name(party))
                await self._drop(party, DropReason.TOO_SLOW)

    # Who is lost, and who comes back

    async def _left(self, party: PartyId, peer: Peer, reason: DropReason) -> None:
        """Where it may come back its round waits for it, and others take its turn to upload."""
        if self._hall.away.get(party) is not peer or party in self._machine.dropped:
            await self._give_up(party, reason)
            return
        del self._peers[party]
        self._away[party] = peer
        self._uploads.end(party)
        self._grant()

    async def _joined(self, party: PartyId, peer: Peer, claim: Claim | None) -> None:
        """In the session again, if it is in the place where we know it to be. Otherwise it has lost its session, or
        we have: it joins the next one."""
        self._hall.claims.pop(party, None)
        if self._is_known(party) and claim is not None and self._fits(party, claim):
            try:
                bodies = await trio.to_thread.run_sync(self._journal.bodies, party, claim.taken)
            except JournalError as exc:
                log.warning("what was said to %s cannot be said again: %s", self._hall.name(party), exc)
            else:
                self._resume(party, peer, bodies)
                return
        if self._is_known(party):
            await self._give_up(party, DropReason.VANISHED)
        if claim is not None:
            peer.say(Over(claim.session))

    def _is_known(self, party: PartyId) -> bool:
        return party in self._peers or party in self._away

    def _fits(self, party: PartyId, claim: Claim) -> bool:
        same = (claim.run, claim.session) == (self._task.run, self._number)
        return same and claim.taken <= self._journal.sent_to(party)

    def _resume(self, party: PartyId, peer: Peer, bodies: Sequence[bytes]) -> None:
        self._away.pop(party, None)
        self._uploads.end(party)
        self._peers[party] = peer
        self._let_speak(peer)
        peer.say(Resumed(self._number, self._taken[party]))
        for body in bodies:
            peer.post(Kind.MESSAGE, *in_session(self._number, body))
        self._grant()
        log.info("%s is back, and %d messages are sent again", self._hall.name(party), len(bodies))

    def _wait_for_all(self, members: PartySet, patience: float) -> None:
        """After this process began in the middle of the session."""
        self._away = dict.fromkeys(members, _NO_PEER)
        for party in members:
            self._crew.start_soon(self._wait_for, party, patience)

    async def _wait_for(self, party: PartyId, patience: float) -> None:
        await trio.sleep(patience)
        await self._hall.report(Gone(party, _NO_PEER))

    def _let_speak(self, peer: Peer) -> None:
        peer.deframer.limits[Kind.MESSAGE] = in_frame(self._limits.up)

    async def _give_up(self, party: PartyId, reason: DropReason) -> None:
        await self._drop(party, reason)
        self._peers.pop(party, None)
        self._away.pop(party, None)

    # What comes

    async def _deliver(self, party: PartyId, sent: Sent) -> None:
        self._taken[party] += 1
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
        if party in self._uploads.granted and party in self._peers:
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
        envelopes = self._machine.receive(party, message)
        self.transcript.said(party, sent.body)
        return envelopes

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
        outgoing = await trio.to_thread.run_sync(self._journaled, call)
        if (outcome := self._machine.outcome) is not None and not self._settled:
            self._settled = True
            await self._end(outcome)
            self._last_words = outgoing
        for recipients, body in outgoing:
            for party in recipients:
                if (peer := self._peers.get(party)) is not None:
                    peer.post(Kind.MESSAGE, *in_session(self._number, body))

    async def _end(self, outcome: Outcome) -> None:
        """The next payload is on disk before the session is closed in the journal, and that before anybody hears of it.
        Raises WorkloadRefused."""
        try:
            if isinstance(outcome, Finished):
                await self._settle(outcome.aggregate)
        except WorkloadRefused:
            await trio.to_thread.run_sync(self._journal.end)
            raise
        await trio.to_thread.run_sync(self._journal.end)

    def _journaled(self, call: Callable[[], list[Envelope]]) -> list[Words]:
        """What it says may leave now. A step that says nothing is not written: its message comes again."""
        said = [(envelope.recipients, self._family.codec.encode(envelope.message)) for envelope in call()]
        for recipients, body in said:
            self.transcript.told(recipients, body)
        if said and self._machine.outcome is None:
            self._journal.write(said, self._taken, self._machine.snapshot())
        return said
