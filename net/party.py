"""The party process: dials out, and takes part in one session a training step until the coordinator says the end.

It believes files and its own computations: its consortium file, the payload that it began with or advanced itself, its
own terms. A payload comes from the coordinator only where it missed a step, and that is said; every party of a session
hashes what it holds.
"""

import logging
import time
from functools import partial

import trio

from net.answered import Answered
from net.catching_up import CatchingUp
from net.config import Address, PartyConfig
from net.contributing import Contributing
from net.control import Finished, Grant, Hello, Over, Reason, Refused, Resumed, Task, Want
from net.dialling import Dialler
from net.errors import ConfigError, FrameError, NetError, PartyRefused
from net.events import BeforeSend, Happened, Hooks, OnEvent, ignore
from net.framing import Frame, Kind
from net.ledger_file import LedgerFile
from net.line import Heard, Line, Signal
from net.membership import Membership
from net.mesh.member import run_member
from net.partaking import Partaking, Trained
from net.party_journal import PartyJournal
from net.peer import Peer, read_control, split_session
from net.policy import STOPPING_PATIENCE
from net.report import OnReport
from net.store import read_payload, write_whole
from net.tasks import cancel_when, open_crew, stop_on_sigterm
from net.witness import Witness
from net.workload import PAYLOAD_GROWTH, Held, Workload, WorkloadRefused
from protocols.errors import AbortReason
from protocols.family import ContributorOf
from protocols.machine import Aborted, Aggregate
from protocols.machine import Finished as Summed
from protocols.session import WIRE

log = logging.getLogger("veilsum.party")


async def run_party(
    config: PartyConfig,
    workload: Workload,
    initial: bytes,
    *,
    before_send: BeforeSend = ignore,
    on_event: OnEvent = ignore,
    on_report: OnReport = ignore,
    stop: trio.Event | None = None,
    at_once: bool = False,
    abandon_training: bool = False,
) -> None:
    """Takes part until the training has finished. Goes on from the stored payload where there is one, else from
    `initial`, which every process computes alike; and in the session that was open when a process of this party ended,
    where its journal lets it.

    before_send: called with the step and each protocol message before it leaves. on_report: told of each
    session of a mesh, which has no coordinator that would be. stop: ends it after the session that
    is running, or at_once; where none is given SIGTERM does. abandon_training: a contribution whose session is over is
    left to its thread, where others are waited for. Raises NetError with a line for people.
    """
    ending = trio.Event() if stop is None else stop
    ledger_file = LedgerFile(config.payload.with_suffix(".ledger"))
    answered = Answered(ledger_file, workload)
    member = Membership.of(config)
    if member.family.peer is None:
        hooks, patience = Hooks(before_send, on_event), 0.0 if at_once else STOPPING_PATIENCE
        party = _Party(config, workload, initial, hooks, ending, patience, abandon_training, answered, member)
        take_part = party.take_part
    else:
        take_part = partial(
            run_member,
            config,
            member,
            workload,
            initial,
            answered=answered,
            before_send=before_send,
            on_event=on_event,
            on_report=on_report,
            stop=ending,
        )
    with ledger_file.held():
        async with open_crew() as crew:
            if stop is None:
                crew.start_soon(stop_on_sigterm, ending)
            if at_once and member.family.peer is not None:
                crew.start_soon(cancel_when, ending, crew.cancel_scope)
            await take_part()


def _coordinated(config: PartyConfig, member: Membership) -> tuple[Address, ContributorOf]:
    """Where the coordinator is, and what makes the machines. Raises ConfigError."""
    if member.family.contributor is None or config.address is None:
        raise ConfigError(
            f"{member.file}: {member.family.name} has a coordinator: write its 'address' in the party's file"
        )
    return config.address, member.family.contributor


Item = Heard | Trained


class _Party:
    """One loop hears what comes on the line, and what is trained."""

    def __init__(
        self,
        config: PartyConfig,
        workload: Workload,
        initial: bytes,
        hooks: Hooks,
        stop: trio.Event,
        stopping_patience: float,
        abandon_training: bool,
        answered: Answered,
        member: Membership,
    ) -> None:
        address, make = _coordinated(config, member)
        self._path = config.payload
        self._workload = workload
        self._initial = initial
        self._hooks = hooks
        self._stop = stop
        self._stopping_patience = stopping_patience
        self._member = member
        self._held: Held
        self._ended = False
        self._disagrees = False  # the coordinator held another payload of a step that we have computed ourselves
        self._wanted: Task | Finished | None = None
        self._send, self._inbox = trio.open_memory_channel[Item](0)
        self._witness = Witness(config.payload, member.consortium, member.me, hooks.on_event)
        self._catching_up = CatchingUp(self._witness)
        self._partaking = Partaking(
            member,
            make,
            workload,
            answered,
            PartyJournal(config.payload.with_suffix(".journal"), member.keys.identity, answered.keep),
            self._witness,
            hooks,
            self._send,
            abandon_training=abandon_training,
        )
        self._line = self._line_to(address, config.patience)

    def _line_to(self, address: Address, patience: float) -> Line:
        member = self._member
        dialler = Dialler(
            address,
            patience,
            member.endpoint([member.consortium.head], server=False),
            member.consortium.name,
            on_refusal=partial(self._hooks.tell, Happened.TURNED_AWAY, None),
            stop=self._stop,
        )
        me = member.keys.identity.verify_key
        return Line(dialler, address, me, self._hello, lambda: self._partaking.limits, self._send, self._stop)

    async def take_part(self) -> None:
        """Raises NetError."""
        await self._witness.read()
        stored = await trio.to_thread.run_sync(read_payload, self._path)
        payload = self._initial if stored is None else stored
        self._held = await trio.to_thread.run_sync(Held.of, self._workload, payload)
        try:
            async with open_crew() as crew:
                await self._partaking.recover(self._held, crew)
                crew.start_soon(self._line.keep_up)
                crew.start_soon(self._wake_to_stop)
                await self._hear()
        except FrameError as exc:
            raise PartyRefused(f"the coordinator broke the protocol: {exc}") from exc
        finally:
            self._partaking.close()

    async def _hear(self) -> None:
        async for item in self._inbox:
            if item is Signal.OVER:
                return
            if not self._ended:
                await self._handle(item)
            if self._ended:
                self._line.hang_up()

    def _hello(self) -> Hello:
        return Hello(WIRE, self._member.consortium.digest, int(time.time()), self._partaking.claim)

    async def _wake_to_stop(self) -> None:
        """A session that is under way may end, but a coordinator that is silent does not keep us."""
        await self._stop.wait()
        await self._send.send(Signal.STOP)
        await trio.sleep(self._stopping_patience)
        await self._send.send(Signal.LATE)

    async def _handle(self, item: Item) -> None:
        match item:
            case Signal.CONNECTED:
                self._catching_up = CatchingUp(self._witness)
                self._hooks.tell(Happened.CONNECTED)
            case Signal.LOST:
                self._lost()
            case Signal.LATE:
                self._ended = True
            case Trained(taken, vector) if taken is self._partaking.now:
                await taken.give_input(vector)
                await self._conclude()
            case Frame():
                await self._heard(item)
        if self._stop.is_set() and self._partaking.now is None:
            self._ended = True

    def _lost(self) -> None:
        self._wanted = None
        if self._partaking.now is not None:
            self._partaking.now.detach()
        self._hooks.tell(Happened.LOST)
        log.info("the connection to the coordinator is lost, dialling again")

    # What the coordinator says

    async def _heard(self, frame: Frame) -> None:
        peer = self._line.peer
        if peer is None:
            return
        match frame.kind:
            case Kind.CONTROL:
                await self._control(read_control(frame), peer)
            case Kind.PAYLOAD:
                await self._payload_came(frame.body, peer)
            case Kind.RECORD:
                await self._control(await self._catching_up.receive(peer, frame.body), peer)
            case _:
                session, body = split_session(frame)
                if (taken := self._in(session)) is not None:
                    await taken.receive(body)
                    await self._conclude()

    def _in(self, session: int) -> Contributing | None:
        taken = self._partaking.now
        return taken if taken is not None and taken.task.session == session else None

    async def _control(self, message: object, peer: Peer) -> None:
        if self._catching_up.takes(peer, message):
            return
        match message:
            case Task():
                await self._task(message, peer)
            case Resumed(session, have) if (taken := self._in(session)) is not None:
                await self._resumed(taken, have, peer)
            case Grant(session) if (taken := self._in(session)) is not None:
                await taken.granted()
                await self._conclude()
            case Over(session) if (taken := self._in(session)) is not None:
                await taken.give_up(AbortReason.TOLD)
                await self._conclude()
            case Finished():
                await self._finished(message, peer)
            case Refused(text=text):
                raise PartyRefused(f"the coordinator ended the connection: {text}")

    async def _resumed(self, taken: Contributing, have: int, peer: Peer) -> None:
        self._hooks.tell(Happened.RESUMED, taken.task.fl_round)
        await taken.attach(peer, have)
        await self._conclude()

    # A task: which payload, then the session

    async def _task(self, task: Task, peer: Peer) -> None:
        if self._partaking.now is not None:
            await self._partaking.now.give_up(AbortReason.TOLD)
            await self._conclude()
        if self._stop.is_set():
            return
        if self._catching_up.apart is not None:
            self._decline(task, peer, Reason.OTHER_RECORDS, self._catching_up.apart)
        elif self._held.digest == task.payload:
            _require_fits(task, self._held)
            await self._partaking.begin(task, self._held, peer)
        elif self._contradicts(task):
            text = f"the coordinator's payload of step {task.fl_round} is not the one that we computed"
            self._decline(task, peer, Reason.OTHER_MODEL, text)
        else:
            self._want(task, peer)

    def _decline(self, task: Task, peer: Peer, reason: Reason, text: str) -> None:
        peer.say(Refused(reason, text))
        self._hooks.tell(Happened.DECLINED, task.fl_round, text)
        log.warning("%s: we do not train on it", text)

    def _contradicts(self, what: Task | Finished) -> bool:
        """Whether the coordinator's payload cannot be the one that ours leads to. After that nothing of it is taken."""
        if self._held.fl_round >= what.fl_round:
            self._disagrees = True
        return self._disagrees

    def _want(self, what: Task | Finished, peer: Peer) -> None:
        self._wanted = what
        peer.deframer.allow_one(Kind.PAYLOAD, len(self._held.payload) + PAYLOAD_GROWTH)
        peer.say(Want(what.payload))

    async def _payload_came(self, payload: bytes, peer: Peer) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            return
        await self._adopt(wanted, payload)
        if isinstance(wanted, Task):
            await self._partaking.begin(wanted, self._held, peer)
        else:
            self._end(wanted)

    async def _adopt(self, wanted: Task | Finished, payload: bytes) -> None:
        """Raises FrameError unless this is what was announced."""
        try:
            held = await trio.to_thread.run_sync(Held.received, self._workload, payload)
        except WorkloadRefused as exc:
            raise FrameError(f"the payload of step {wanted.fl_round} is none of this training: {exc}") from exc
        _require_fits(wanted, held)
        await self._keep(held)
        text = f"took over the coordinator's model of step {held.fl_round}: we were not there when it was computed"
        self._hooks.tell(Happened.ADOPTED, held.fl_round, text)
        log.warning("%s", text)

    async def _keep(self, held: Held) -> None:
        """On disk first, then believed."""
        await trio.to_thread.run_sync(write_whole, self._path, held.payload)
        self._held = held

    # The end of a session, or of all

    async def _conclude(self) -> None:
        """After each step: a session that has ended is put away, its sum turned into the next payload."""
        taken = self._partaking.put_away()
        if taken is None:
            return
        match taken.outcome:
            case Summed(aggregate):
                await self._advance(taken, aggregate)
            case Aborted(reason, cause):
                self._aborted(taken.task, f"{reason.value}: {cause.value}" if cause else reason.value)

    async def _advance(self, taken: Contributing, aggregate: Aggregate) -> None:
        try:
            following = await trio.to_thread.run_sync(taken.held.advanced, self._workload, aggregate)
        except WorkloadRefused as exc:
            self._aborted(taken.task, f"the sum cannot be used: {exc}")
            return
        await self._keep(following)
        text = f"the sum covers {len(aggregate.included)} parties"
        self._hooks.tell(Happened.SUMMED, taken.task.fl_round, text)

    def _aborted(self, task: Task, text: str) -> None:
        self._hooks.tell(Happened.ABORTED, task.fl_round, text)
        log.warning("step %d: aborted here: %s", task.fl_round, text)

    async def _finished(self, message: Finished, peer: Peer) -> None:
        if self._partaking.now is not None:
            await self._partaking.now.give_up(AbortReason.TOLD)
            await self._conclude()
        own = self._held
        if own.digest == message.payload:
            _require_fits(message, own)
            self._end(message)
        elif self._contradicts(message):
            raise NetError("the coordinator's last payload is not the one that we computed: ours is kept")
        else:
            self._want(message, peer)

    def _end(self, message: Finished) -> None:
        self._hooks.tell(Happened.FINISHED, message.fl_round)
        self._ended = True


def _require_fits(what: Task | Finished, held: Held) -> None:
    """Raises FrameError where the coordinator says of a payload what our own workload does not say of it."""
    if held.digest != what.payload:
        raise FrameError("the payload is not the one that was announced")
    if held.fl_round != what.fl_round:
        raise FrameError(f"the payload that it calls that of step {what.fl_round} is of step {held.fl_round}")
    if held.finished is not isinstance(what, Finished):
        text = "no step is left after it" if held.finished else "there are steps left"
        raise FrameError(f"it gave a {type(what).__name__.lower()} for the payload of step {what.fl_round}, and {text}")
