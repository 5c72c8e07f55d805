"""A member's process: meets the others, agrees with them on the next step, holds its session, again and again.

Nobody is in charge. Each says where it stands: the payload that it holds, and the attempt at this step that it is ready
for; the highest attempt counts. All work out the same session from that. A payload that was computed without us is
taken over only where one more than may collude stands on it.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from mpc.field import FieldVector
from net.answered import Answered
from net.config import Address, MeshConfig, PartyConfig
from net.control import Refused, Standing, Want
from net.driven import Driven
from net.errors import ConfigError, NetError, NoResult, TooFewParties
from net.events import BeforeSend, Happened, OnEvent, PartyEvent, ignore
from net.framing import Kind
from net.hall import Done, Event, Gave, Hall, Joined, Left, Said, Sent, listen
from net.membership import Membership
from net.mesh.calling import Calling
from net.mesh.session import MeshSession
from net.peer import Peer, in_frame
from net.policy import ASSEMBLE, HANDSHAKE_PATIENCE, SETTLING, gather
from net.recorder import Concluded, Recorder
from net.report import Meter, OnReport
from net.store import read_payload, write_whole
from net.tasks import open_crew
from net.workload import PAYLOAD_GROWTH, Held, Workload, WorkloadRefused
from protocols.errors import AbortReason, LocalProtocolError, PartyId
from protocols.family import PeerOf
from protocols.machine import Aborted, Outcome
from protocols.machine import Finished as Summed
from protocols.session import SessionParams, Subject, agreed_nonce, smallest_cohort
from protocols.transcript import Transcript
from protocols.wire import PartySet

MOST_ATTEMPTS: Final = 2**31
MOST_EARLY: Final = 64  # messages of one peer for sessions that have not begun here
MOST_EARLY_BYTES: Final = 4 * 2**20  # of these; a vector that does not fit is fetched later from whoever has it
NOBODY: PartySet = frozenset()

log = logging.getLogger("veilsum.party")


async def run_member(
    config: PartyConfig,
    member: Membership,
    workload: Workload,
    initial: bytes,
    *,
    answered: Answered,
    before_send: BeforeSend,
    on_event: OnEvent,
    on_report: OnReport,
    stop: trio.Event,
) -> None:
    """`net.party.run_party` where there is no coordinator."""
    place = _place(config, member)
    hooks = _Hooks(before_send, on_event, on_report)
    process = _Member(member, place, config, workload, answered, hooks)
    hall = process.hall
    await process.load(initial)
    calling = Calling(
        hall,
        member.endpoint(process.others, server=False),
        process.addresses,
        on_refusal=lambda text: on_event(PartyEvent(Happened.TURNED_AWAY, text=text)),
    )
    async with open_crew() as crew:
        listeners = await listen(hall, place.listen.host, place.listen.port)
        crew.start_soon(partial(trio.serve_listeners, hall.welcome, listeners))
        crew.start_soon(hall.stop_when, stop)
        for party in process.addresses:
            crew.start_soon(calling.keep_calling, party)
        try:
            await process.take_part(crew)
        finally:
            calling.over = True
            await hall.dismiss()


def _place(config: PartyConfig, member: Membership) -> MeshConfig:
    """Raises ConfigError."""
    if config.mesh is None:
        raise ConfigError(f"{member.file}: a mesh has no coordinator: write 'listen' and [peers] in the party's file")
    members = member.consortium.members
    names = [card.name for card in members]
    if unknown := [name for name in config.mesh.peers if name not in names]:
        raise ConfigError(f"[peers] {unknown[0]!r} is no member of {member.consortium.name}: {', '.join(names)}")
    if missing := [name for name in names[: member.me] if name not in config.mesh.peers]:
        raise ConfigError(f"[peers] {missing[0]!r} is missing: add its address, this member dials it")
    return config.mesh


def _dialled(member: Membership) -> Iterable[PartyId]:
    """Those before us in the consortium's file; the others dial us."""
    return map(PartyId, range(member.me))


@dataclass(frozen=True, slots=True)
class _Hooks:
    before_send: BeforeSend
    on_event: OnEvent
    on_report: OnReport


@dataclass(frozen=True, slots=True)
class _Trained:
    """What the training thread hands back, and what it trained from."""

    held: Held
    vector: FieldVector = field(repr=False)


class _Member:
    """What a member knows of itself and of the others."""

    def __init__(
        self,
        member: Membership,
        place: MeshConfig,
        config: PartyConfig,
        workload: Workload,
        answered: Answered,
        hooks: _Hooks,
    ) -> None:
        assert member.family.peer is not None
        self._make: PeerOf = member.family.peer
        self._member = member
        self._policy = place.policy
        self._patience = config.patience
        self._path = config.payload
        self._workload = workload
        self._answered = answered
        self._hooks = hooks
        self._floor = smallest_cohort(member.consortium.colluding)
        self.others = [card for at, card in enumerate(member.consortium.members) if at != member.me]
        cards = member.consortium.members
        self._recorder = Recorder(config.payload, member.consortium, member.keys.identity)
        self.addresses: Mapping[PartyId, Address] = {at: place.peers[cards[at].name] for at in _dialled(member)}
        endpoint = member.endpoint(self.others, server=True)
        self.hall = Hall(member.consortium, endpoint, role="member", me=member.me)
        self._held: Held
        self._attempt = 1  # at the step of what we hold
        self._failures = 0
        self._standing: Standing
        self._stand: dict[PartyId, Standing] = {}  # of those who are connected
        self._given: set[tuple[Peer, bytes]] = set()
        self._came: Gave | None = None
        self._vector: FieldVector | None = None
        self._early: list[Sent] = []
        self._past: MeshSession | None = None
        self._declined: bytes | None = None
        self._training = trio.Lock()

    async def load(self, initial: bytes) -> None:
        await trio.to_thread.run_sync(self._answered.read)
        await self._recorder.read()
        stored = await trio.to_thread.run_sync(read_payload, self._path)
        payload = initial if stored is None else stored
        await self._hold(await trio.to_thread.run_sync(Held.of, self._workload, payload))

    async def take_part(self, crew: trio.Nursery) -> None:
        self._crew = crew
        while not self._held.finished and not self.hall.stopping:
            if later := self._later():
                await self._adopt(later)
            else:
                await self._step()
        if self._held.finished:
            await self._farewell()

    # Where we stand, and the others

    async def _hold(self, held: Held) -> None:
        """From here on this is our payload; it is on disk, or the first."""
        self._held, self._attempt, self._failures, self._vector = held, 1, 0, None
        if not held.finished:
            spec = await trio.to_thread.run_sync(self._workload.spec, held.payload)
            self._allow(in_frame(self._member.limits(self._subject, spec).down))
        self._announce()

    def _allow(self, largest: int) -> None:
        """Bytes of a frame with a message, on all connections. What was allowed before stays: somebody may be late."""
        largest = max(largest, self.hall.limits.get(Kind.MESSAGE, 0))
        self.hall.limits[Kind.MESSAGE] = largest
        for peer in self.hall.peers.values():
            peer.deframer.limits[Kind.MESSAGE] = largest

    def _announce(self, attempt: int = 0, begun_with: PartySet = NOBODY) -> None:
        self._standing = Standing(self._held.fl_round, self._held.digest, attempt, begun_with)
        for peer in self.hall.peers.values():
            peer.say(self._standing)

    @property
    def _subject(self) -> Subject:
        return self._member.consortium.subject(self._held.digest)

    def _stands_here(self, standing: Standing) -> bool:
        """On our payload."""
        return (standing.fl_round, standing.payload) == (self._held.fl_round, self._held.digest)

    def _ready(self) -> dict[PartyId, Peer]:
        """Who is ready for our attempt, and has not begun it without us."""
        return {
            party: peer
            for party, peer in self.hall.peers.items()
            if (standing := self._stand.get(party)) is not None
            and self._stands_here(standing)
            and standing.attempt == self._attempt
            and (not standing.begun_with or self._member.me in standing.begun_with)
        }

    def _agreed(self) -> dict[tuple[int, bytes], int]:
        """What more than may collude stand on, so that one of them at least is honest: payload -> how many."""
        counted = Counter((one.fl_round, one.payload) for one in self._stand.values())
        return {what: many for what, many in counted.items() if many > self._member.own_terms.max_colluding}

    def _later(self) -> tuple[int, bytes] | None:
        """The latest payload that others computed without us."""
        later = [what for what in self._agreed() if what[0] > self._held.fl_round]
        return max(later, default=None)

    def _is_overtaken(self) -> bool:
        return self.hall.stopping or self._later() is not None

    # Events

    async def _note(self, event: Event) -> None:
        match event:
            case Joined(party, peer):
                self._hooks.on_event(PartyEvent(Happened.MET, text=self.hall.name(party)))
                self._stand.pop(party, None)
                peer.say(self._standing)
            case Left(party, gone) if party not in self.hall.peers:
                self._stand.pop(party, None)
                self._early = [one for one in self._early if one.party != party]
                self._given = {(known, payload) for known, payload in self._given if known is not gone}
                self._hooks.on_event(PartyEvent(Happened.PARTED, text=self.hall.name(party)))
            case Said(party, peer, Standing() as standing) if self.hall.peers.get(party) is peer:
                self._stand[party] = standing
                self._look_around()
            case Said(_, peer, Want(payload)) if payload == self._held.digest and (peer, payload) not in self._given:
                self._given.add((peer, payload))
                peer.post(Kind.PAYLOAD, self._held.payload)
            case Said(party, _, Refused(text=text)):
                log.warning("%s ended the connection: %s", self.hall.name(party), text)
            case Gave():
                self._came = event
            case Done(result=_Trained(held, vector)) if held is self._held:
                self._vector = vector
            case Sent(party, peer) if self.hall.peers.get(party) is peer:
                await self._message(event)

    async def _message(self, sent: Sent) -> None:
        """Of no session that is under way here: of the one before, or of one to come."""
        if self._past is not None and sent.session == self._past.number:
            await self._past.serve(sent)
            return
        sizes = [len(one.body) for one in self._early if one.party == sent.party]
        if len(sizes) < MOST_EARLY and sum(sizes) + len(sent.body) <= MOST_EARLY_BYTES:
            self._early.append(sent)

    def _look_around(self) -> None:
        """After what a peer said of itself: the highest attempt counts; and ours may be a payload of our own."""
        own = self._standing
        if own.attempt and not own.begun_with and (highest := self._highest_attempt()) > own.attempt:
            self._attempt = highest
            self._announce(highest)
        others = [what for what in self._agreed() if what[0] == own.fl_round and what[1] != own.payload]
        if others and self._declined != own.payload:
            self._declined = own.payload
            text = f"the others' payload of step {own.fl_round} is not the one that we computed"
            self._tell(Happened.DECLINED, text)
            log.warning("%s: we do not train on it", text)

    def _highest_attempt(self) -> int:
        heard = [one.attempt for one in self._stand.values() if self._stands_here(one) and one.attempt < MOST_ATTEMPTS]
        return max(heard, default=0)

    async def _wait(self, patience: float, settled: Callable[[], bool]) -> bool:
        return await gather(patience, self.hall.next_event, self._note, settled)

    def _tell(self, what: Happened, text: str = "") -> None:
        self._hooks.on_event(PartyEvent(what, self._held.fl_round, text))

    # A payload that we missed

    async def _adopt(self, later: tuple[int, bytes]) -> None:
        """From anybody who stands on it. Who gives something else is not believed again on this connection."""
        fl_round, wanted = later
        for party, peer in list(self.hall.peers.items()):
            standing = self._stand.get(party)
            if standing is None or (standing.fl_round, standing.payload) != later:
                continue
            gave = await self._ask(party, peer, wanted)
            if gave is not None and await self._took_over(gave, fl_round, wanted):
                return
            peer.close()
        await self._wait(SETTLING, lambda: self.hall.stopping)

    async def _ask(self, party: PartyId, peer: Peer, wanted: bytes) -> Gave | None:
        """What it gives; None where it does not, or is gone."""
        self._came = None
        peer.deframer.allow_one(Kind.PAYLOAD, len(self._held.payload) + PAYLOAD_GROWTH)
        peer.say(Want(wanted))
        await self._wait(HANDSHAKE_PATIENCE, lambda: self._came is not None or self.hall.peers.get(party) is not peer)
        return self._came

    async def _took_over(self, gave: Gave, fl_round: int, wanted: bytes) -> bool:
        try:
            held = await trio.to_thread.run_sync(Held.received, self._workload, gave.payload)
        except WorkloadRefused as exc:
            log.warning("%s gave a payload that is none of this training: %s", self.hall.name(gave.party), exc)
            return False
        if (held.fl_round, held.digest) != (fl_round, wanted):
            log.warning("%s gave another payload than it had said", self.hall.name(gave.party))
            return False
        await self._keep(held)
        text = f"took over the model of step {fl_round} from the others: we were not there when it was computed"
        self._tell(Happened.ADOPTED, text)
        log.warning("%s", text)
        return True

    async def _keep(self, held: Held) -> None:
        """On disk first, then believed."""
        await trio.to_thread.run_sync(write_whole, self._path, held.payload)
        await self._hold(held)

    # A step

    async def _step(self) -> None:
        """One attempt, or as much of it as nobody overtakes."""
        if self._failures >= self._policy.attempts and not await self._wait(2 * SETTLING, self._is_overtaken):
            raise NoResult(f"step {self._held.fl_round} was aborted {self._failures} times: see the log above")
        if not self._is_overtaken() and await self._train() and (peers := await self._assemble()) is not None:
            await self._hold_session(peers)

    async def _train(self) -> bool:
        """Whether our contribution is there, and nobody overtook us."""
        self._tell(Happened.TASK)
        self._announce()
        self._vector = None
        self._crew.start_soon(self._contribute, self._held)
        await self._wait(math.inf, lambda: self._vector is not None or self._is_overtaken())
        if self._is_overtaken():
            return False
        self._tell(Happened.TRAINED)
        return True

    async def _contribute(self, held: Held) -> None:
        """One training at a time; one that waits when its step is over is left out."""
        async with self._training:
            if held is not self._held:
                return
            contribute = self._answered.contribution(self._member.consortium.subject(held.digest))
            vector = await trio.to_thread.run_sync(contribute, held.payload, abandon_on_cancel=True)
        await self.hall.report(Done(_Trained(held, vector)))

    async def _assemble(self) -> dict[PartyId, Peer] | None:
        """Waits for all who are not known to be lost, and for enough of them; None where we were overtaken."""
        self._attempt = max(self._attempt, self._highest_attempt())
        self._announce(self._attempt)
        patience, start = self._policy.of(ASSEMBLE).patience, trio.current_time()

        def all_ready() -> bool:
            ready = self._ready()
            return self._is_overtaken() or (len(ready) + 1 >= self._floor and self.hall.expected <= ready.keys())

        while True:
            if not await self._wait(patience, all_ready):
                self.hall.lost |= self.hall.expected - self.hall.peers.keys()
            if self._is_overtaken():
                return None
            if len(ready := self._ready()) + 1 >= self._floor:
                return ready
            if trio.current_time() - start >= self._patience:
                raise TooFewParties(self._missing(ready))

    def _missing(self, ready: Mapping[PartyId, Peer]) -> str:
        absent = [self.hall.name(party) for party in sorted(self.hall.everybody - ready.keys())]
        needed = self._floor - 1 - len(ready)
        return (
            f"{len(ready)} other members are ready and a session needs {self._floor - 1}: {needed} more of "
            f"{', '.join(absent)} must be started"
        )

    # A session

    async def _hold_session(self, peers: dict[PartyId, Peer]) -> None:
        vector, self._vector = self._vector, None
        assert vector is not None
        held = self._held
        params = await trio.to_thread.run_sync(self._params)
        session = self._session(peers, params)
        self._announce(self._attempt, frozenset(peers) | {self._member.me})
        early = [one for one in self._early if one.session == session.number]
        self._early = [one for one in self._early if one.session != session.number]
        meter = Meter(frozenset(peers), self.hall.traffic)
        try:
            outcome = await session.run(vector, early, self._policy)
        except LocalProtocolError as exc:
            await self._sit_out(str(exc))
            return
        self._past = session if isinstance(outcome, Summed) else None
        concluded = await self._conclude(outcome)
        following = self._held if isinstance(concluded, Summed) else None
        kept = Concluded(
            params, self.hall.everybody | {self._member.me}, session.machine, concluded, Transcript(), held, following
        )
        await self._recorder.write(kept)
        self._hooks.on_report(meter.report(held.fl_round, session.machine, concluded, self.hall.everybody))

    def _params(self) -> SessionParams:
        consortium, held = self._member.consortium, self._held
        nonce = agreed_nonce(consortium.digest, held.digest, self._attempt)
        return consortium.params(self._subject, self._workload.spec(held.payload), nonce)

    def _session(self, peers: Mapping[PartyId, Peer], params: SessionParams) -> MeshSession:
        member, held = self._member, self._held
        terms = member.terms(params.subject, params.spec)
        machine = self._answered.machine(
            partial(self._make, params=params), member.me, member.keys.identity, terms, held.payload
        )
        return MeshSession(
            member.family,
            Driven(machine, held.fl_round, lambda _: self._answered.keep(machine.ledger)),
            machine,
            held.fl_round,
            int.from_bytes(params.nonce[:4], "big"),
            peers,
            self.hall,
            self._floor,
            before_send=None if self._hooks.before_send is ignore else self._hooks.before_send,
            note=self._note,
            has_left=self._has_left,
        )

    def _has_left(self, party: PartyId) -> bool:
        """It stands on another payload, or at another attempt, than the session that is under way here."""
        standing = self._stand.get(party)
        return standing is None or not self._stands_here(standing) or standing.attempt != self._attempt

    async def _sit_out(self, why: str) -> None:
        """Our ledger forbids another answer for this step: the others may go on without us."""
        self._tell(Happened.ABORTED, why)
        log.warning("step %d: not again: %s", self._held.fl_round, why)
        self._announce()
        if not await self._wait(self._patience, self._is_overtaken):
            raise NetError(f"step {self._held.fl_round}: {why}")

    async def _conclude(self, outcome: Outcome) -> Outcome:
        """The sum turned into the next payload. Returns how the session ended for us."""
        held = self._held
        if isinstance(outcome, Aborted):
            reason, cause = outcome.reason.value, outcome.cause
            self._failed(f"{reason}: {cause.value}" if cause else reason)
            return outcome
        try:
            following = await trio.to_thread.run_sync(held.advanced, self._workload, outcome.aggregate)
        except WorkloadRefused as exc:
            self._failed(f"the sum cannot be used: {exc}")
            return Aborted(AbortReason.STOPPED)
        await self._keep(following)
        text = f"the sum covers {len(outcome.aggregate.included)} parties"
        self._hooks.on_event(PartyEvent(Happened.SUMMED, held.fl_round, text))
        return outcome

    def _failed(self, text: str) -> None:
        self._attempt += 1
        self._failures += 1
        self._tell(Happened.ABORTED, text)
        log.warning("step %d: aborted here: %s", self._held.fl_round, text)

    # The end

    async def _farewell(self) -> None:
        """Whoever is behind may still ask us, and who never came is waited for once."""

        def all_are_done() -> bool:
            done = {party for party, standing in self._stand.items() if self._stands_here(standing)}
            return self.hall.stopping or self.hall.expected <= done

        await self._wait(self._policy.of(ASSEMBLE).patience, all_are_done)
        self._tell(Happened.FINISHED)
