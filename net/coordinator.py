"""The coordinator process: waits for the members, runs one session a training step, keeps the payload."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from mpc.randomness import SystemRandomness
from net.assembling import Asking
from net.collecting import Collecting
from net.config import CoordinatorConfig, load_consortium, load_family
from net.control import RUN_BYTES, Task, Want, WantRecords
from net.control import Finished as TrainingFinished
from net.coordinator_journal import CoordinatorJournal, OpenSession
from net.errors import ConfigError, JournalError, NoResult, TlsError, TooFewParties
from net.events import ignore
from net.framing import Kind
from net.hall import Event, Hall, Joined, Said, listen, nothing
from net.past import Past
from net.peer import Peer
from net.policy import ASSEMBLE, gather
from net.recorder import Concluded, Recorder
from net.report import Meter, OnReport, SessionReport
from net.store import read_keys, read_payload, write_whole
from net.tasks import open_crew, stop_on_sigterm
from net.tls import Endpoint, Pins
from net.workload import Held, Workload
from protocols.errors import PartyId, ProtocolError
from protocols.machine import Aggregate, Collector, Finished, HandsOn, Outcome
from protocols.session import SessionParams, smallest_cohort
from protocols.wire import PartySet

log = logging.getLogger("veilsum.coordinator")


OnListening = Callable[[str, int], None]
OnEnd = Callable[[Outcome, Held | None], Awaitable[None]]


async def run_coordinator(
    config: CoordinatorConfig,
    workload: Workload,
    initial: bytes,
    *,
    on_report: OnReport = ignore,
    on_listening: OnListening = ignore,
    stop: trio.Event | None = None,
) -> None:
    """Trains until the workload has finished. Goes on from the stored payload where there is one, else from `initial`;
    and with the session that was open when a process of this coordinator ended, where its journal lets it.

    on_listening gets the address that the system chose. stop ends it after the session that is running; where none is
    given SIGTERM does. Raises NetError with a line for people.
    """
    coordinator = _Coordinator(config, workload, on_report)
    ending = trio.Event() if stop is None else stop
    async with open_crew() as crew:
        if stop is None:
            crew.start_soon(stop_on_sigterm, ending)
        listeners = await listen(coordinator.hall, config.listen.host, config.listen.port)
        crew.start_soon(partial(trio.serve_listeners, coordinator.hall.welcome, listeners))
        crew.start_soon(coordinator.hall.stop_when, ending)
        on_listening(*listeners[0].socket.getsockname()[:2])
        try:
            await coordinator.train(initial)
        finally:
            await coordinator.hall.dismiss()
            coordinator.journal.close()


class _Coordinator:
    def __init__(self, config: CoordinatorConfig, workload: Workload, on_report: OnReport) -> None:
        self._policy = config.policy
        self._path = config.payload
        self._workload = workload
        self._on_report = on_report
        self._consortium = load_consortium(config.consortium)
        self._family = load_family(self._consortium, config.consortium)
        if self._family.collector is None:
            raise ConfigError(
                f"{config.consortium}: {self._family.name} has no coordinator: each member runs its party"
            )
        self._collector = self._family.collector
        self._floor = smallest_cohort(self._consortium.colluding)
        self._run = SystemRandomness().bytes(RUN_BYTES)
        self._sessions = 0
        self._epoch: Any = None  # what the last session left to the next one
        self._past: Past | None = None
        keys = read_keys(config.identity)
        self._identity = keys.identity
        self._recorder = Recorder(config.payload, self._consortium, keys.identity)
        if keys.identity.verify_key != self._consortium.head.verify_key:
            raise ConfigError(f"{config.identity}: not the identity of the coordinator in {config.consortium}")
        try:
            pins = Pins.of(self._consortium.members)
            endpoint = Endpoint(self._consortium.head, keys.tls_root, pins, server=True)
        except TlsError as exc:
            raise ConfigError(f"{config.consortium}: {exc}") from exc
        self.hall = Hall(self._consortium, endpoint, grace=config.policy.grace)
        self.journal = CoordinatorJournal(
            config.payload.with_suffix(".journal"), keys.identity, self._consortium.digest
        )

    async def train(self, initial: bytes) -> None:
        stored = await trio.to_thread.run_sync(read_payload, self._path)
        held = await trio.to_thread.run_sync(Held.of, self._workload, initial if stored is None else stored)
        await self._recorder.read()
        opened = await trio.to_thread.run_sync(self._recovered, held)
        while not held.finished:
            advanced = await self._train_step(held, opened)
            opened = None
            if advanced is None:
                log.info("stopping before step %d, as asked", held.fl_round)
                return
            held = advanced
        await self._farewell(held)

    def _recovered(self, held: Held) -> "_Open | None":
        """The session of this step that was open when a process of this coordinator ended, if it can be taken up. Of
        one that had ended: what it hands on."""
        try:
            opened = self._taken_up(held)
        except (JournalError, ProtocolError) as exc:
            log.warning("the session that was open when this coordinator ended is given up: %s", exc)
            opened = None
        if opened is None and self._epoch is None:
            self.journal.erase()
        return opened

    def _taken_up(self, held: Held) -> "_Open | None":
        """Raises JournalError, ProtocolError."""
        if (session := self.journal.read()) is None or self._family.restore_collector is None:
            return None
        server = self._family.restore_collector(session.snapshot, identity=self._identity)
        if server.outcome is not None:
            self._epoch = server.epoch if isinstance(server, HandsOn) else None
            return None
        if session.task.payload != held.digest:  # its sum is in the payload
            return None
        self._sessions = session.task.session
        log.info("going on with the session of step %d that was open", held.fl_round)
        return _Open(session, server)

    async def _train_step(self, held: Held, opened: "_Open | None") -> Held | None:
        """With the next payload; None when this process was asked to stop. Raises NoResult or TooFewParties."""
        first, gathered, members = 1, self._floor, dict[PartyId, Peer]()
        if opened is not None:
            if (advanced := await self._go_on(held, opened)) is not None:
                return advanced
            first = 2
        for attempt in range(first, self._policy.attempts + 1):
            task, members = await self._assemble(held)
            if self.hall.stopping:
                return None
            gathered = self._contributing(members)
            if gathered < self._floor:
                log.warning("%s (attempt %d of %d)", self._missing(members), attempt, self._policy.attempts)
                continue
            if (advanced := await self._session(held, task, members)) is not None:
                return advanced
        if gathered < self._floor:
            raise TooFewParties(self._missing(members))
        raise NoResult(f"step {held.fl_round} was aborted {self._policy.attempts} times: see the log above")

    def _missing(self, members: Mapping[PartyId, Peer]) -> str:
        ready, committee = self._contributing(members), self._consortium.committee
        absent = [
            card.name
            for place, card in enumerate(self._consortium.members)
            if place not in members and place not in committee
        ]
        return (
            f"{ready} parties are ready and a session needs {self._floor}: {self._floor - ready} more of "
            f"{', '.join(absent)} must be started"
        )

    def _contributing(self, parties: Iterable[PartyId]) -> int:
        """How many of these have an input."""
        return len(frozenset(parties) - self._consortium.committee)

    def _are_enough(self, parties: Iterable[PartyId]) -> bool:
        return self._contributing(parties) >= self._floor

    # Who takes part

    async def _assemble(self, held: Held) -> tuple[Task, dict[PartyId, Peer]]:
        """Waits for the members that are not known to be lost, and for enough of them; then until those who came say
        that they hold the payload."""
        policy, hall = self._policy.of(ASSEMBLE), self.hall
        task = Task(self._sessions + 1, held.fl_round, held.digest, self._run)
        hall.catch_up()

        def all_here() -> bool:
            here = hall.peers.keys()
            enough = hall.expected <= here or policy.enough(len(here))
            return hall.stopping or (enough and self._are_enough(here))

        if not await gather(policy.patience, hall.next_event, nothing, all_here):
            hall.lost |= hall.expected - hall.peers.keys()
        if hall.stopping or not self._are_enough(hall.peers):
            return task, dict(hall.peers)
        self._sessions += 1
        return task, await Asking(
            hall, policy, task, held.payload,
            past=self._past, recorder=self._recorder, are_enough=self._are_enough,
        ).run()  # fmt: skip

    # One session

    async def _session(self, held: Held, task: Task, members: dict[PartyId, Peer]) -> Held | None:
        """With the next payload, on disk before anybody hears of the sum; None after an abort."""
        params = await trio.to_thread.run_sync(self._params, held)
        invited = self._invited(members)
        server = self._server(params, invited)
        return await self._collect(held, task, server, members, invited, absent=invited - members.keys())

    async def _go_on(self, held: Held, opened: "_Open") -> Held | None:
        """The same, for a session whose members are on their way back to it."""
        invited = self._invited(opened.session.members)
        return await self._collect(held, opened.session.task, opened.server, {}, invited, resumed=opened.session)

    async def _collect(
        self,
        held: Held,
        task: Task,
        server: Collector,
        members: dict[PartyId, Peer],
        invited: PartySet,
        *,
        absent: PartySet = frozenset(),
        resumed: OpenSession | None = None,
    ) -> Held | None:
        async def record(outcome: Outcome, following: Held | None) -> None:
            concluded = Concluded(server.params, invited, server, outcome, collecting.transcript, held, following)
            await self._recorder.write(concluded)

        settle = _Settling(held, self._workload, self._path, record)
        meter = Meter(resumed.members if resumed else frozenset(members), self.hall.traffic)
        collecting = Collecting(
            self._family,
            server,
            task,
            members,
            self.hall,
            self.journal,
            absent=absent,
            limits=self._family.limits(server.params, len(self._everybody)),
            settle=settle,
            resumed=resumed,
        )
        outcome = await collecting.run(self._policy)
        if not isinstance(outcome, Finished):
            await record(outcome, None)
        self._recorder.give_out(self.hall.peers.values())
        self._past = collecting.past
        await trio.to_thread.run_sync(self._hand_on, server)
        self._tell(meter.report(held.fl_round, server, outcome, self._everybody))
        return settle.following

    def _tell(self, report: SessionReport) -> None:
        self._on_report(report)
        if isinstance(report.outcome, Finished):
            log.debug("step %d: the sum covers %d parties", report.fl_round, len(report.included))
        else:
            log.warning("step %d: aborted: %s", report.fl_round, report.outcome.reason.value)

    def _hand_on(self, server: Collector) -> None:
        """An epoch goes to the next session, of this process or of the one after it."""
        self._epoch = server.epoch if isinstance(server, HandsOn) else None
        if self._epoch is None:
            self.journal.erase()
        else:
            self.journal.leave(server.snapshot())

    @property
    def _everybody(self) -> PartySet:
        return frozenset(self._consortium.members_by_id)

    def _invited(self, connected: Iterable[PartyId]) -> PartySet:
        """A round of an epoch is held by those who are connected; other sessions begin with all members."""
        return self._everybody if self._family.epoch_collector is None else frozenset(connected)

    def _server(self, params: SessionParams, invited: PartySet) -> Collector:
        members = {party: key for party, key in self._consortium.members_by_id.items() if party in invited}
        if self._family.epoch_collector is None:
            return self._collector(params, identity=self._identity, members=members)
        return self._family.epoch_collector(params, identity=self._identity, members=members, epoch=self._epoch)

    def _params(self, held: Held) -> SessionParams:
        consortium, spec = self._consortium, self._workload.spec(held.payload)
        subject = consortium.subject(held.digest, self._recorder.head.digest)
        return consortium.params(subject, spec, SystemRandomness().bytes(32))

    # The end

    async def _farewell(self, held: Held) -> None:
        """Tells everybody that no step is left, gives the last payload to those who lack it, and waits until they
        have gone. A coordinator that is started when all is done waits for them to come, too."""
        hall, finished = self.hall, TrainingFinished(held.fl_round, held.digest)
        hall.catch_up()

        def tell(party: PartyId, peer: Peer) -> None:
            if self._past is not None:
                self._past.tell(party, peer, hall.claims.pop(party, None))
            self._recorder.announce(peer)
            peer.say(finished)

        for party, peer in hall.peers.items():
            tell(party, peer)

        async def answer(event: Event) -> None:
            match event:
                case Joined(party, peer):
                    tell(party, peer)
                case Said(_, peer, Want(payload=held.digest)):
                    peer.post(Kind.PAYLOAD, held.payload)
                case Said(_, peer, WantRecords(after)):
                    await self._recorder.give(peer, after)

        await gather(
            self._policy.of(ASSEMBLE).patience, hall.next_event, answer, lambda: hall.stopping or not hall.expected
        )


@dataclass(frozen=True, slots=True)
class _Open:
    """A session that another process of this coordinator began, and its machine."""

    session: OpenSession
    server: Collector


class _Settling:
    """Turns the sum into the payload that follows, on disk, and then has it recorded. following: None until then."""

    def __init__(self, held: Held, workload: Workload, path: Path, record: OnEnd) -> None:
        self.following: Held | None = None
        self._held = held
        self._workload = workload
        self._path = path
        self._record = record

    async def __call__(self, aggregate: Aggregate) -> None:
        """Raises WorkloadRefused."""
        following = await trio.to_thread.run_sync(self._held.advanced, self._workload, aggregate)
        await trio.to_thread.run_sync(write_whole, self._path, following.payload)
        self.following = following
        await self._record(Finished(aggregate), following)
