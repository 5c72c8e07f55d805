"""The coordinator process: waits for the members, runs one session a training step, keeps the payload."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import trio

from mpc.randomness import SystemRandomness
from net.collecting import Collecting
from net.config import CoordinatorConfig, load_consortium, load_family
from net.control import Finished as TrainingFinished
from net.control import Ready, Refused, Task, Want
from net.errors import ConfigError, NoResult, TlsError, TooFewParties
from net.events import ignore
from net.framing import Kind
from net.hall import Event, Hall, Joined, Left, Said, listen, nothing
from net.peer import Peer
from net.policy import ASSEMBLE, SETTLING, RoundPolicy, gather
from net.report import Meter, OnReport
from net.store import read_keys, read_payload, write_whole
from net.tasks import open_crew, stop_on_sigterm
from net.tls import Endpoint, Pins
from net.workload import Held, Workload
from protocols.errors import PartyId
from protocols.machine import Aggregate, Collector, Finished, HandsOn
from protocols.session import SessionParams, smallest_cohort
from protocols.wire import PartySet

log = logging.getLogger("veilsum.coordinator")


OnListening = Callable[[str, int], None]


async def run_coordinator(
    config: CoordinatorConfig,
    workload: Workload,
    initial: bytes,
    *,
    on_report: OnReport = ignore,
    on_listening: OnListening = ignore,
    stop: trio.Event | None = None,
) -> None:
    """Trains until the workload has finished. Goes on from the stored payload where there is one, else from `initial`.

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
        self._sessions = 0
        self._epoch: Any = None  # what the last session left to the next one
        keys = read_keys(config.identity)
        self._identity = keys.identity
        if keys.identity.verify_key != self._consortium.head.verify_key:
            raise ConfigError(f"{config.identity}: not the identity of the coordinator in {config.consortium}")
        try:
            pins = Pins.of(self._consortium.members)
            endpoint = Endpoint(self._consortium.head, keys.tls_root, pins, server=True)
        except TlsError as exc:
            raise ConfigError(f"{config.consortium}: {exc}") from exc
        self.hall = Hall(self._consortium, endpoint)

    async def train(self, initial: bytes) -> None:
        stored = await trio.to_thread.run_sync(read_payload, self._path)
        held = await trio.to_thread.run_sync(Held.of, self._workload, initial if stored is None else stored)
        while not held.finished:
            advanced = await self._train_step(held)
            if advanced is None:
                log.info("stopping before step %d, as asked", held.fl_round)
                return
            held = advanced
        await self._farewell(held)

    async def _train_step(self, held: Held) -> Held | None:
        """With the next payload; None when this process was asked to stop. Raises NoResult or TooFewParties."""
        gathered = 0
        for attempt in range(1, self._policy.attempts + 1):
            members = await self._assemble(held)
            if self.hall.stopping:
                return None
            gathered = self._contributing(members)
            if gathered < self._floor:
                log.warning("%s (attempt %d of %d)", self._missing(members), attempt, self._policy.attempts)
                continue
            if (advanced := await self._session(held, members)) is not None:
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

    async def _assemble(self, held: Held) -> dict[PartyId, Peer]:
        """Waits for the members that are not known to be lost, and for enough of them; then until those who came say
        that they hold the payload."""
        policy, hall = self._policy.of(ASSEMBLE), self.hall
        hall.catch_up()

        def all_here() -> bool:
            here = hall.peers.keys()
            enough = hall.expected <= here or policy.enough(len(here))
            return hall.stopping or (enough and self._contributing(here) >= self._floor)

        if not await gather(policy.patience, hall.next_event, nothing, all_here):
            hall.lost |= hall.expected - hall.peers.keys()
        if hall.stopping or self._contributing(hall.peers) < self._floor:
            return dict(hall.peers)
        self._sessions += 1
        return await _Asking(hall, self._sessions, held, self._are_enough).run(policy)

    # One session

    async def _session(self, held: Held, members: dict[PartyId, Peer]) -> Held | None:
        """With the next payload, on disk before anybody hears of the sum; None after an abort."""
        advanced: list[Held] = []

        async def settle(aggregate: Aggregate) -> None:
            following = await trio.to_thread.run_sync(held.advanced, self._workload, aggregate)
            await trio.to_thread.run_sync(write_whole, self._path, following.payload)
            advanced.append(following)

        params = await trio.to_thread.run_sync(self._params, held)
        everybody = frozenset(self._consortium.members_by_id)
        invited = everybody if self._family.epoch_collector is None else frozenset(members)
        server = self._server(params, invited)
        meter = Meter(members)
        collecting = Collecting(
            self._family,
            server,
            self._sessions,
            members,
            self.hall,
            absent=invited - members.keys(),
            limits=self._family.limits(params, len(everybody)),
            settle=settle,
        )
        outcome = await collecting.run(self._policy)
        self._epoch = server.epoch if isinstance(server, HandsOn) else None
        report = meter.report(held.fl_round, server, outcome, everybody)
        self._on_report(report)
        if not isinstance(outcome, Finished):
            log.warning("step %d: aborted: %s", report.fl_round, outcome.reason.value)
            return None
        log.debug("step %d: the sum covers %d parties", report.fl_round, len(report.included))
        return advanced[0]

    def _server(self, params: SessionParams, invited: PartySet) -> Collector:
        """A round of an epoch is held by those who are connected; other sessions begin with all members."""
        members = {party: key for party, key in self._consortium.members_by_id.items() if party in invited}
        if self._family.epoch_collector is None:
            return self._collector(params, identity=self._identity, members=members)
        return self._family.epoch_collector(params, identity=self._identity, members=members, epoch=self._epoch)

    def _params(self, held: Held) -> SessionParams:
        consortium, spec = self._consortium, self._workload.spec(held.payload)
        return consortium.params(consortium.subject(held.digest), spec, SystemRandomness().bytes(32))

    # The end

    async def _farewell(self, held: Held) -> None:
        """Tells everybody that no step is left, gives the last payload to those who lack it, and waits until they
        have gone. A coordinator that is started when all is done waits for them to come, too."""
        hall, finished = self.hall, TrainingFinished(held.fl_round, held.digest)
        hall.catch_up()
        for peer in hall.peers.values():
            peer.say(finished)

        async def answer(event: Event) -> None:
            match event:
                case Joined(_, peer):
                    peer.say(finished)
                case Said(_, peer, Want(payload=held.digest)):
                    peer.post(Kind.PAYLOAD, held.payload)

        await gather(
            self._policy.of(ASSEMBLE).patience, hall.next_event, answer, lambda: hall.stopping or not hall.expected
        )


class _Asking:
    """Gives the task to all who are connected, the payload to those who lack it, and counts who is ready.

    Who let the patience of an earlier task go by, or left before it answered one, is asked too, and the others wait for
    it a moment and no longer.
    """

    def __init__(self, hall: Hall, session: int, held: Held, are_enough: Callable[[Iterable[PartyId]], bool]) -> None:
        self._hall = hall
        self._are_enough = are_enough
        self._task = Task(session, held.fl_round, held.digest)
        self._payload = held.payload
        self._ready: dict[PartyId, Peer] = {}
        self._asked: dict[PartyId, Peer] = {}
        self._given: set[Peer] = set()

    async def run(self, policy: RoundPolicy) -> dict[PartyId, Peer]:
        for party, peer in self._hall.peers.items():
            self._ask(party, peer)
        await self._gather(policy.patience, self._all_but_late)
        if self._are_enough(self._ready):
            await self._gather(SETTLING, lambda: not self._asked)
        self._hall.late |= self._asked.keys()
        return self._ready

    def _all_but_late(self) -> bool:
        waiting = self._asked.keys() - self._hall.late if self._are_enough(self._ready) else self._asked.keys()
        return not waiting

    async def _gather(self, patience: float, settled: Callable[[], bool]) -> None:
        await gather(patience, self._hall.next_event, self._handle, lambda: self._hall.stopping or settled())

    def _ask(self, party: PartyId, peer: Peer) -> None:
        self._ready.pop(party, None)
        self._asked[party] = peer
        peer.say(self._task)

    async def _handle(self, event: Event) -> None:
        match event:
            case Joined(party, peer):
                self._ask(party, peer)
            case Left(party, peer) if peer in (self._asked.get(party), self._ready.get(party)):
                if self._asked.pop(party, None) is peer:
                    self._hall.late.add(party)
                self._ready.pop(party, None)
            case Said(party, peer, message) if self._asked.get(party) is peer:
                self._answered(party, peer, message)

    def _answered(self, party: PartyId, peer: Peer, message: object) -> None:
        match message:
            case Ready(session=self._task.session):
                self._ready[party] = self._asked.pop(party)
                self._hall.late.discard(party)
            case Want(payload=self._task.payload) if peer not in self._given:  # an older task may have made it ask too
                self._given.add(peer)
                peer.post(Kind.PAYLOAD, self._payload)
            case Refused(text=text):
                del self._asked[party]
                log.warning("%s does not take part in step %d: %s", self._hall.name(party), self._task.fl_round, text)
