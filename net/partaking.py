"""The session that a party is in, if it is in one: from its task, or the journal, to its end."""

import logging
from dataclasses import dataclass, field, replace
from functools import partial

import trio

from mpc.field import FieldVector
from mpc.hashing import digest
from net.answered import Answered
from net.contributing import Contributing
from net.control import CONTROL_LIMIT, Claim, Ready, Task
from net.errors import JournalError
from net.events import Happened, Hooks, PartyEvent
from net.framing import Kind
from net.journal import Piece
from net.membership import Membership
from net.party_journal import KeptSession, PartyJournal
from net.peer import Peer, in_frame
from net.witness import Witness
from net.workload import Held, Workload
from protocols.errors import ProtocolError
from protocols.family import ContributorOf
from protocols.machine import Contributor
from protocols.record import LARGEST_RECORD
from protocols.session import Subject, VectorSpec

log = logging.getLogger("veilsum.party")


@dataclass(frozen=True, slots=True)
class Trained:
    """What the training thread hands back."""

    taken: Contributing
    vector: FieldVector = field(repr=False)


class Partaking:
    """make: makes the machines. trained: where what training gives goes to. abandon_training: a contribution whose
    session is over is left to its thread, where others are waited for.
    """

    def __init__(
        self,
        member: Membership,
        make: ContributorOf,
        workload: Workload,
        answered: Answered,
        journal: PartyJournal,
        witness: Witness,
        hooks: Hooks,
        trained: trio.MemorySendChannel[Trained],
        *,
        abandon_training: bool,
    ) -> None:
        self.now: Contributing | None = None
        self._member = member
        self._make = make
        self._workload = workload
        self._answered = answered
        self._journal = journal
        self._witness = witness
        self._hooks = hooks
        self._trained = trained
        self._abandon_training = abandon_training
        self._crew: trio.Nursery
        self._training = trio.Lock()
        self._turn = trio.CancelScope()
        self._largest = 0  # bytes of a message of the session

    @property
    def claim(self) -> Claim | None:
        return self.now.claim if self.now else None

    @property
    def limits(self) -> dict[Kind, int]:
        """Of what a connection may bring, once we are welcome: messages too where we claim a session."""
        always = {Kind.CONTROL: CONTROL_LIMIT, Kind.RECORD: LARGEST_RECORD}
        return always | ({Kind.MESSAGE: in_frame(self._largest)} if self.now else {})

    # How it begins

    async def begin(self, task: Task, held: Held, peer: Peer) -> None:
        """A new one, on this connection. The one before it is over."""
        spec = await trio.to_thread.run_sync(self._workload.spec, held.payload)
        machine = self._machine(held, spec)
        self._journal.begin()
        kept = KeptSession(task, self._context, 0, not self._member.trains, ())
        self.now = self._entered(held, spec, machine, kept)
        peer.deframer.limits |= self.limits
        await self.now.attach(peer, 0)
        await self.now.start()
        self._tell(Happened.TASK, task)
        peer.say(Ready(task.session))

    async def recover(self, held: Held, crew: trio.Nursery) -> None:
        """What the process before this one left: a session that is open, or the epoch that its last one hands on. What
        cannot be taken up is given up for good, with one line. crew: where training runs, from now on."""
        self._crew = crew
        try:
            last = await trio.to_thread.run_sync(self._answered.read)
            if last is not None:
                await self._take_up(held, last)
                return
        except (JournalError, ProtocolError) as exc:
            log.warning("the session that was open when this party ended is given up: %s", exc)
        await trio.to_thread.run_sync(self._journal.burn, self._answered.burnt)

    async def _take_up(self, held: Held, last: Piece) -> None:
        kept = await trio.to_thread.run_sync(self._journal.read, last)
        if kept.context != self._context:
            raise JournalError("the consortium's file, or our rows, are not what they were")
        restore = partial(self._answered.restored, self._member.family.restore, kept.snapshot)
        machine = await trio.to_thread.run_sync(restore, self._member.keys.identity)
        if machine.outcome is not None:
            self._answered.ended(machine)
            return
        if kept.task.payload != held.digest:
            raise JournalError("the model is another one by now")
        spec = await trio.to_thread.run_sync(self._workload.spec, held.payload)
        self.now = self._entered(held, spec, machine, replace(kept, snapshot=b""))

    def _entered(self, held: Held, spec: VectorSpec, machine: Contributor, kept: KeptSession) -> Contributing:
        member = self._member
        self._largest = member.limits(self._subject(held), spec).down
        entered = Contributing(
            held,
            member.family,
            machine,
            kept,
            self._journal,
            most_waiting=self._largest * len(member.consortium.members),
            before_send=self._hooks.before_send,
            on_upload=partial(self._uploading, kept.task),
        )
        if not entered.trained:
            self._turn = trio.CancelScope()
            self._crew.start_soon(self._train, entered, self._turn)
        return entered

    def _machine(self, held: Held, spec: VectorSpec) -> Contributor:
        """That of a new session, with terms from our own files."""
        member = self._member
        terms = member.terms(self._subject(held), spec)
        return self._answered.machine(self._make, member.me, member.keys.identity, terms, held.payload)

    @property
    def _context(self) -> bytes:
        """What must be as it was for a session to be taken up again."""
        return digest("party session", self._member.consortium.digest, self._answered.local_version)

    def _subject(self, held: Held) -> Subject:
        """What is summed, by what we hold ourselves."""
        return self._member.consortium.subject(held.digest, self._witness.head.digest)

    async def _train(self, taken: Contributing, turn: trio.CancelScope) -> None:
        """One training at a time; one that waits for its turn is cancelled when its session is put away."""
        with turn:
            async with self._training:
                contribute = self._answered.contribution(self._subject(taken.held))
                vector = await trio.to_thread.run_sync(
                    contribute, taken.held.payload, abandon_on_cancel=self._abandon_training
                )
            self._tell(Happened.TRAINED, taken.task)
            await self._trained.send(Trained(taken, vector))

    # How it ends

    def put_away(self) -> Contributing | None:
        """The one that has ended, if it has: from here on this party is in none."""
        taken = self.now
        if taken is None or taken.outcome is None:
            return None
        self.now = None
        self._turn.cancel()
        self._answered.ended(taken.machine)
        self._witness.took_part(taken.witnessed)
        return taken

    def close(self) -> None:
        """This process ends; a session that is open stays so, on disk."""
        self._journal.close()

    def _uploading(self, task: Task, done: int, total: int) -> None:
        self._hooks.on_event(PartyEvent(Happened.UPLOADING, task.fl_round, done=done, total=total))

    def _tell(self, what: Happened, task: Task) -> None:
        self._hooks.tell(what, task.fl_round)
