"""The party process: dials out, and takes part in one session a training step until the coordinator says the end.

It believes files and its own computations: its consortium file, the payload that it began with or advanced itself, its
own terms. A payload comes from the coordinator only where it missed a step, and that is said; every party of a session
hashes what it holds.
"""

import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial

import trio

from mpc.field import FieldVector
from net.answered import Answered
from net.config import Address, PartyConfig
from net.contributing import Contributing
from net.control import CONTROL_LIMIT, Finished, Grant, Hello, Over, Ready, Reason, Refused, Task, Want, Welcome
from net.dialling import Dialler, Stream
from net.errors import ConfigError, FrameError, NetError, NotAdmitted, PartyRefused, Truncated
from net.events import BeforeSend, Happened, OnEvent, PartyEvent, ignore
from net.framing import Frame, Kind
from net.ledger_file import LedgerFile
from net.membership import Membership
from net.mesh.member import run_member
from net.peer import Peer, in_frame, read_control, split_session
from net.policy import HANDSHAKE_PATIENCE, STOPPING_PATIENCE
from net.report import OnReport
from net.store import read_payload, write_whole
from net.tasks import cancel_when, open_crew, stop_on_sigterm
from net.workload import PAYLOAD_GROWTH, Held, Workload, WorkloadRefused
from protocols.errors import AbortReason
from protocols.family import ContributorOf
from protocols.machine import Aborted, Aggregate, Contributor
from protocols.machine import Finished as Summed
from protocols.session import WIRE, Subject, VectorSpec

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
    abandon_training: bool = False,
) -> None:
    """Takes part until the training has finished. Goes on from the stored payload where there is one, else from
    `initial`, which every process computes alike.

    before_send: called with the step and each protocol message before it leaves. on_report: told of each
    session of a mesh, which has no coordinator that would be. stop: ends it after the session that
    is running; where none is given SIGTERM does. abandon_training: a contribution whose session is over is left to its
    thread, where others are waited for. Raises NetError with a line for people.
    """
    ending = trio.Event() if stop is None else stop
    ledger_file = LedgerFile(config.payload.with_suffix(".ledger"))
    answered = Answered(ledger_file, workload)
    member = Membership.of(config)
    if member.family.peer is None:
        party = _Party(config, workload, initial, before_send, on_event, ending, abandon_training, answered, member)
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
            await take_part()


def _coordinated(config: PartyConfig, member: Membership) -> tuple[Address, ContributorOf]:
    """Where the coordinator is, and what makes the machines. Raises ConfigError."""
    if member.family.contributor is None or config.address is None:
        raise ConfigError(
            f"{member.file}: {member.family.name} has a coordinator: write its 'address' in the party's file"
        )
    return config.address, member.family.contributor


@dataclass(frozen=True, slots=True)
class _Trained:
    """What the training thread hands back."""

    taken: Contributing
    vector: FieldVector = field(repr=False)


class _Signal(Enum):
    STOP = auto()  # this process was asked to end
    GONE = auto()  # the connection is over


Item = Frame | _Trained | _Signal


class _Party:
    """What lasts longer than one connection."""

    def __init__(
        self,
        config: PartyConfig,
        workload: Workload,
        initial: bytes,
        before_send: BeforeSend,
        on_event: OnEvent,
        stop: trio.Event,
        abandon_training: bool,
        answered: Answered,
        member: Membership,
    ) -> None:
        self.config = config
        self.workload = workload
        self.before_send = before_send
        self.on_event = on_event
        self.stop = stop
        self.abandon_training = abandon_training
        self.answered = answered
        self.member = member
        self.address, self._contributor = _coordinated(config, member)
        self.held: Held
        self.was_welcome = False
        self.disagrees = False  # the coordinator held another payload of a step that we have computed ourselves
        endpoint = member.endpoint([member.consortium.head], server=False)
        self.dialler = Dialler(
            self.address, config.patience, endpoint, member.consortium.name, on_refusal=self._turned_away, stop=stop
        )
        self._initial = initial

    def _turned_away(self, text: str) -> None:
        self.on_event(PartyEvent(Happened.TURNED_AWAY, text=text))

    async def take_part(self) -> None:
        await trio.to_thread.run_sync(self.answered.read)
        stored = await trio.to_thread.run_sync(read_payload, self.config.payload)
        payload = self._initial if stored is None else stored
        self.held = await trio.to_thread.run_sync(Held.of, self.workload, payload)
        ended = False
        while not ended and not self.stop.is_set():
            stream = await self.dialler.dial()
            if stream is None:
                return
            try:
                ended = await self._converse(stream)
            except NotAdmitted as exc:
                self.dialler.turned_away(exc)

    async def keep(self, held: Held) -> None:
        """On disk first, then believed."""
        await trio.to_thread.run_sync(write_whole, self.config.payload, held.payload)
        self.held = held

    def subject(self, held: Held) -> Subject:
        """What is summed, by what we hold ourselves."""
        return self.member.consortium.subject(held.digest)

    def machine(self, held: Held, spec: VectorSpec) -> Contributor:
        """That of one session, with terms from our own files."""
        member = self.member
        terms = member.terms(self.subject(held), spec)
        return self.answered.machine(self._contributor, member.me, member.keys.identity, terms, held.payload)

    async def _converse(self, stream: Stream) -> bool:
        """True when the training has ended, or this process was asked to."""
        conversation = _Conversation(self)
        try:
            await Peer(stream).serve(conversation.run)
        except FrameError as exc:
            raise PartyRefused(f"the coordinator broke the protocol: {exc}") from exc
        finally:
            conversation.give_up()
        if conversation.welcome and not conversation.ended:
            self.on_event(PartyEvent(Happened.LOST))
            log.info("the connection to the coordinator is lost, dialling again")
        return conversation.ended


class _Conversation:
    """One connection, from the hello to its end."""

    def __init__(self, party: _Party) -> None:
        self.welcome = False
        self.ended = False
        self._party = party
        self._taken: Contributing | None = None
        self._wanted: Task | Finished | None = None
        self._training = trio.Lock()
        self._turn = trio.CancelScope()
        self._send, self._inbox = trio.open_memory_channel[Item](0)

    async def run(self, peer: Peer) -> None:
        self._peer = peer
        await self._greet()
        if not self.welcome:
            return
        async with open_crew() as crew:
            self._crew = crew
            crew.start_soon(self._read)
            crew.start_soon(self._wake_to_stop)
            async for item in self._inbox:
                if not await self._handle(item):
                    return

    def give_up(self) -> None:
        if self._taken is not None:
            self._taken.give_up(AbortReason.SERVER_LOST)
            self._put_away(self._taken)

    def _put_away(self, taken: Contributing) -> None:
        self._taken = None
        self._turn.cancel()
        self._party.answered.ended(taken.machine)

    async def _greet(self) -> None:
        """Raises NotAdmitted or PartyRefused."""
        party = self._party
        self._peer.say(Hello(WIRE, party.member.consortium.digest, int(time.time())))
        frame = await self._first_frame()
        if frame is None:
            self._require_was_welcome()
            return
        answer = read_control(frame)
        if isinstance(answer, Refused):
            raise PartyRefused(f"the coordinator refused us: {answer.text}")
        if not isinstance(answer, Welcome):
            raise FrameError("the first message is no welcome")
        self._peer.deframer.limits = {Kind.CONTROL: CONTROL_LIMIT}
        self.welcome = party.was_welcome = True
        party.dialler.welcomed()
        party.on_event(PartyEvent(Happened.CONNECTED))

    async def _first_frame(self) -> Frame | None:
        """None when the connection is over, or this process was asked to end. Raises NotAdmitted."""
        try:
            with trio.fail_after(HANDSHAKE_PATIENCE), suppress(Truncated):
                async with open_crew() as crew:
                    crew.start_soon(cancel_when, self._party.stop, crew.cancel_scope)
                    return await self._peer.receive()
        except trio.TooSlowError as exc:
            raise NotAdmitted(f"the coordinator at {self._party.address} does not answer our hello") from exc
        return None

    def _require_was_welcome(self) -> None:
        """In TLS 1.3 a refused peer sees only an end: say what that usually means."""
        identity = self._party.member.keys.identity.verify_key
        if not self._party.was_welcome and not self._party.stop.is_set():
            raise NotAdmitted(
                f"the coordinator at {self._party.address} closed the connection at once. Either its consortium "
                f"file does not hold our card (our identity: {identity.fingerprint}; compare it "
                f"with the coordinator's file), or the clock of one side is wrong"
            )

    # The three sources of what happens

    async def _read(self) -> None:
        with suppress(Truncated):
            while (frame := await self._peer.receive()) is not None:
                await self._send.send(frame)
        await self._send.send(_Signal.GONE)

    async def _wake_to_stop(self) -> None:
        """A session that is under way may end, but a coordinator that is silent does not keep us."""
        await self._party.stop.wait()
        await self._send.send(_Signal.STOP)
        await trio.sleep(STOPPING_PATIENCE)
        await self._send.send(_Signal.GONE)

    async def _train(self, taken: Contributing, turn: trio.CancelScope) -> None:
        """One training at a time; one that waits for its turn is cancelled when its session is put away."""
        party = self._party
        with turn:
            async with self._training:
                contribute = party.answered.contribution(party.subject(taken.held))
                vector = await trio.to_thread.run_sync(
                    contribute, taken.held.payload, abandon_on_cancel=party.abandon_training
                )
            self._tell(Happened.TRAINED, taken.task)
            await self._send.send(_Trained(taken, vector))

    # One loop handles them

    async def _handle(self, item: Item) -> bool:
        """False at the end."""
        match item:
            case _Signal.GONE:
                return False
            case Frame(kind=Kind.CONTROL):
                await self._control(read_control(item))
            case Frame(kind=Kind.PAYLOAD):
                await self._payload_came(item.body)
            case Frame():
                await self._message(item)
            case _Trained(taken, vector) if taken is self._taken:
                await taken.trained(vector)
                await self._conclude()
        if self._party.stop.is_set() and self._taken is None:
            self.ended = True
        return not self.ended

    async def _control(self, message: object) -> None:
        taken = self._taken
        match message:
            case Task():
                await self._task(message)
            case Grant(session) if taken is not None and taken.task.session == session:
                taken.granted()
            case Over(session) if taken is not None and taken.task.session == session:
                taken.give_up(AbortReason.TOLD)
                await self._conclude()
            case Finished():
                await self._finished(message)
            case Refused(text=text):
                raise PartyRefused(f"the coordinator ended the connection: {text}")

    async def _message(self, frame: Frame) -> None:
        session, body = split_session(frame)
        if self._taken is not None and self._taken.task.session == session:
            await self._taken.receive(body)
            await self._conclude()

    # A task: which payload, then the session

    async def _task(self, task: Task) -> None:
        party = self._party
        if self._taken is not None:
            self._taken.give_up(AbortReason.TOLD)
            await self._conclude()
        if party.stop.is_set():
            return
        if party.held.digest == task.payload:
            _require_fits(task, party.held)
            await self._take(task, party.held)
        elif self._contradicts(task):
            text = f"the coordinator's payload of step {task.fl_round} is not the one that we computed"
            self._peer.say(Refused(Reason.OTHER_MODEL, text))
            self._tell(Happened.DECLINED, task, text)
            log.warning("%s: we do not train on it", text)
        else:
            self._want(task)

    def _contradicts(self, what: Task | Finished) -> bool:
        """Whether the coordinator's payload cannot be the one that ours leads to. After that nothing of it is taken."""
        party = self._party
        if party.held.fl_round >= what.fl_round:
            party.disagrees = True
        return party.disagrees

    def _want(self, what: Task | Finished) -> None:
        self._wanted = what
        self._peer.deframer.allow_one(Kind.PAYLOAD, len(self._party.held.payload) + PAYLOAD_GROWTH)
        self._peer.say(Want(what.payload))

    async def _payload_came(self, payload: bytes) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            return
        await self._adopt(wanted, payload)
        held = self._party.held
        if isinstance(wanted, Task):
            await self._take(wanted, held)
        else:
            self._end(wanted)

    async def _adopt(self, wanted: Task | Finished, payload: bytes) -> None:
        """Raises FrameError unless this is what was announced."""
        party = self._party
        try:
            held = await trio.to_thread.run_sync(Held.received, party.workload, payload)
        except WorkloadRefused as exc:
            raise FrameError(f"the payload of step {wanted.fl_round} is none of this training: {exc}") from exc
        _require_fits(wanted, held)
        await party.keep(held)
        text = f"took over the coordinator's model of step {held.fl_round}: we were not there when it was computed"
        party.on_event(PartyEvent(Happened.ADOPTED, held.fl_round, text))
        log.warning("%s", text)

    async def _take(self, task: Task, held: Held) -> None:
        party = self._party
        spec = await trio.to_thread.run_sync(party.workload.spec, held.payload)
        largest = party.member.limits(party.subject(held), spec).down
        self._peer.deframer.limits[Kind.MESSAGE] = in_frame(largest)
        self._taken = Contributing(
            task,
            held,
            party.member.family,
            party.machine(held, spec),
            self._peer,
            trains=party.member.trains,
            most_waiting=largest * len(party.member.consortium.members),
            before_send=party.before_send,
            on_upload=partial(self._uploading, task),
            keep=party.answered.keep,
        )
        await self._taken.start()
        self._tell(Happened.TASK, task)
        self._peer.say(Ready(task.session))
        self._turn = trio.CancelScope()
        if party.member.trains:
            self._crew.start_soon(self._train, self._taken, self._turn)

    async def _conclude(self) -> None:
        """After each step: a session that has ended is put away, its sum turned into the next payload."""
        taken = self._taken
        if taken is None or taken.outcome is None:
            return
        self._put_away(taken)
        match taken.outcome:
            case Summed(aggregate):
                await self._advance(taken, aggregate)
            case Aborted(reason, cause):
                self._aborted(taken.task, f"{reason.value}: {cause.value}" if cause else reason.value)

    async def _advance(self, taken: Contributing, aggregate: Aggregate) -> None:
        party = self._party
        try:
            following = await trio.to_thread.run_sync(taken.held.advanced, party.workload, aggregate)
        except WorkloadRefused as exc:
            self._aborted(taken.task, f"the sum cannot be used: {exc}")
            return
        await party.keep(following)
        self._tell(Happened.SUMMED, taken.task, f"the sum covers {len(aggregate.included)} parties")

    def _aborted(self, task: Task, text: str) -> None:
        self._tell(Happened.ABORTED, task, text)
        log.warning("step %d: aborted here: %s", task.fl_round, text)

    async def _finished(self, message: Finished) -> None:
        own = self._party.held
        if own.digest == message.payload:
            _require_fits(message, own)
            self._end(message)
        elif self._contradicts(message):
            raise NetError("the coordinator's last payload is not the one that we computed: ours is kept")
        else:
            self._want(message)

    def _end(self, message: Finished) -> None:
        self._party.on_event(PartyEvent(Happened.FINISHED, message.fl_round))
        self.ended = True

    def _uploading(self, task: Task, done: int, total: int) -> None:
        self._party.on_event(PartyEvent(Happened.UPLOADING, task.fl_round, done=done, total=total))

    def _tell(self, what: Happened, task: Task, text: str = "") -> None:
        self._party.on_event(PartyEvent(what, task.fl_round, text))


def _require_fits(what: Task | Finished, held: Held) -> None:
    """Raises FrameError where the coordinator says of a payload what our own workload does not say of it."""
    if held.digest != what.payload:
        raise FrameError("the payload is not the one that was announced")
    if held.fl_round != what.fl_round:
        raise FrameError(f"the payload that it calls that of step {what.fl_round} is of step {held.fl_round}")
    if held.finished is not isinstance(what, Finished):
        text = "no step is left after it" if held.finished else "there are steps left"
        raise FrameError(f"it gave a {type(what).__name__.lower()} for the payload of step {what.fl_round}, and {text}")
