"""One session in virtual time: machines, links, faults and deadlines on one agenda."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mpc.field import FieldVector
from mpc.keys import good_signatures_remembered
from mpc.work import Work, counted
from protocols.errors import SERVER, AbortReason, DropReason, PartyId, PeerMisbehaved
from protocols.machine import Envelope, Finished, Machine, Outcome
from protocols.wire import PartySet
from simulations.events import Agenda
from simulations.faults import Delay, Lose, Plan, Repeat, Watching
from simulations.network import DUPLICATE_AFTER, FRAME_BYTES, Device, Pipe, varied
from simulations.rates import Rates, default_rates
from simulations.rounds import Gathering, Phase
from simulations.scenario import Scenario
from simulations.seats import Seats

Judge = Callable[[FieldVector, PartySet], bool]
"""Whether this is exactly the sum over these."""

Tap = Callable[[PartyId, PartyId, bytes], None]
"""Sees sender, recipient and bytes of each message as it leaves."""

Clock = Callable[[], float]


@dataclass(slots=True)
class Parcel:
    """A message on its way: encoded once, decoded once for all whom it is for (messages are frozen)."""

    sender: PartyId
    stage: str
    data: bytes = field(repr=False)
    _decode: Callable[[bytes], Any]
    _message: Any = field(default=None, repr=False)

    def message(self) -> Any:
        if self._message is None:
            self._message = self._decode(self.data)
        return self._message

    @property
    def size(self) -> int:
        return len(self.data) + FRAME_BYTES


@dataclass(slots=True)
class Seat:
    """A participant. ready: when its input is there; free: when it has handled what came; early: what came before its
    time; machine None: it is gone.
    """

    machine: Machine | None
    device: Device
    up: Pipe
    down: Pipe
    ready: float
    free: float = 0.0
    started: bool = False
    has_input: bool = False
    early: list[Parcel] = field(default_factory=list)
    gathering: Gathering | None = None
    outcome: Outcome | None = None


@dataclass(slots=True)
class Tally:
    """What was counted. touched: the parties to whom a fault happened. left_behind: those for whom somebody no longer
    waited although there was patience left.
    """

    up: Counter[PartyId] = field(default_factory=Counter)
    down: Counter[PartyId] = field(default_factory=Counter)
    by_stage: Counter[tuple[str, bool]] = field(default_factory=Counter)  # stage, whether a party sent it
    server: Work = field(default_factory=Work)
    parties: Work = field(default_factory=Work)
    server_seconds: float = 0.0
    party_seconds: float = 0.0
    touched: set[PartyId] = field(default_factory=set)
    left_behind: set[PartyId] = field(default_factory=set)
    phases: list[Phase] = field(default_factory=list)
    wire: Any = field(default_factory=hashlib.sha256, repr=False)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Who was out, in which round its answer never came, and why."""

    party: PartyId
    stage: str
    reason: str


class VirtualSession:
    """inputs: makes a party's vector when it is needed. judge: says whether a sum is right. clock: of real seconds."""

    def __init__(
        self,
        seats: Seats,
        scenario: Scenario,
        plan: Plan,
        fl_round: int,
        *,
        inputs: Callable[[PartyId], FieldVector],
        judge: Judge,
        rates: Rates | None = None,
        tap: Tap | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.tally = Tally()
        self.ended: float | None = None
        self.wrong: set[PartyId] = set()
        self.dropped: tuple[Dropped, ...] = ()
        self._seats, self._family, self._scenario, self._plan = seats, seats.family, scenario, plan
        self._contributors = seats.contributors  # each of many parties asks whether it is one
        self._vanish = dict(plan.vanish)
        self._inputs, self._judge, self._tap = inputs, judge, tap
        self._clock = clock or (lambda: 0.0)
        self._rates = rates or default_rates()
        self._agenda = Agenda()
        self._chance = scenario.chance("network", fl_round)
        self._pairs: dict[tuple[PartyId, PartyId], float] = {}
        self._judged: tuple[PartySet, FieldVector] | None = None
        training = scenario.chance("training", fl_round)
        self.seats = {seat: self._sit(seat, training) for seat in seats.seats}
        self.watched = next((seat for seat in seats.seats if seat not in plan.vanish), seats.seats[0])

    def _sit(self, seat: PartyId, training: Any) -> Seat:
        network = self._scenario.network
        if seat == SERVER:
            device = Device(name="server", latency=0.0, compute=network.server_compute)
            return Seat(None, device, Pipe(network.server_mbps), Pipe(network.server_mbps), 0.0)
        device = self._scenario.population.devices[seat]
        ready = varied(device.training, device.training_spread, training) if seat in self._contributors else 0.0
        return Seat(None, device, Pipe(device.up_mbps), Pipe(device.down_mbps), ready)

    @property
    def total(self) -> FieldVector | None:
        """The sum, once there is one that was judged right."""
        return self._judged[1] if self._judged else None

    @property
    def input_stage(self) -> str:
        return self._family.input_stage.value

    # The whole of it

    def run(self) -> None:
        for place in self.seats:
            self._agenda.at(self._first_call(place), partial(self._start, place))
        with good_signatures_remembered():
            self._agenda.run()
        self.dropped = self._seen_dropped()
        for place, seat in self.seats.items():
            if seat.machine is not None:
                if seat.machine.outcome is None:
                    seat.machine.abort(AbortReason.TOLD)  # the network says that the session is over
                self._leave(place, seat)

    def _seen_dropped(self) -> tuple[Dropped, ...]:
        """By the server; without one, by the peer that is watched."""
        seen = getattr(self.seats[self.watched].machine, "dropped", {})
        return tuple(Dropped(party, stage.value, reason.value) for party, (stage, reason) in sorted(seen.items()))

    def _first_call(self, place: PartyId) -> float:
        """An input that no message is held back for is set before the start."""
        return self.seats[place].ready if self._family.held_back is None else 0.0

    def _start(self, place: PartyId) -> None:
        seat = self.seats[place]
        seat.machine, seat.started = self._seats.machine(place), True
        if self._family.held_back is None:
            self._set_input(place, seat)
        self._call(place, seat.machine.start)
        self._release(place)

    def _set_input(self, place: PartyId, seat: Seat) -> None:
        if place in self._contributors and not seat.has_input and seat.machine and seat.machine.outcome is None:
            seat.machine.set_input(self._inputs(place))  # type: ignore[attr-defined]
            seat.has_input = True

    # A call of a machine: it takes the time that its work costs, and what it says leaves then

    def _call(self, place: PartyId, call: Callable[[], list[Envelope]], *, heard: int = 0, size: int = 0) -> None:
        seat, work = self.seats[place], Work()
        assert seat.machine is not None
        started = self._clock()
        with counted(work):
            try:
                envelopes = call()
            except PeerMisbehaved as exc:
                envelopes = seat.machine.drop(exc.sender, exc.reason)
        parcels = [(self._parcel(place, envelope.message), envelope) for envelope in envelopes]
        self._account(place, self._clock() - started, work)
        messages, size = heard + len(parcels), size + sum(parcel.size for parcel, _ in parcels)
        seconds = self._rates.seconds(work, messages, size) / seat.device.compute
        seat.free = max(self._agenda.now, seat.free) + seconds
        self._post(place, seat, parcels)
        self._look(place, seat)

    def _account(self, place: PartyId, seconds: float, work: Work) -> None:
        total = self.tally.server if place == SERVER else self.tally.parties
        for name in Work.__dataclass_fields__:
            setattr(total, name, getattr(total, name) + getattr(work, name))
        if place == SERVER:
            self.tally.server_seconds += seconds
        else:
            self.tally.party_seconds += seconds

    def _parcel(self, sender: PartyId, message: Any) -> Parcel:
        codec = self._family.codec
        return Parcel(sender, message.round.value, codec.encode(message), codec.decode)

    def _post(self, place: PartyId, seat: Seat, parcels: list[tuple[Parcel, Envelope]]) -> None:
        for parcel, envelope in parcels:
            self._watch_for_losses(place, envelope.message)
            if self._due_to_vanish(place, parcel.stage):
                self._vanish_now(place, seat)
            if seat.machine is None:
                return
            for recipient in envelope.recipients:
                self._send(place, recipient, parcel, seat)

    # Who vanishes

    def _watch_for_losses(self, place: PartyId, message: Any) -> None:
        dropout = self._scenario.dropout
        if isinstance(dropout, Watching):
            self._vanish.update(dropout.seen(self._scenario.population, place, message))

    def _due_to_vanish(self, place: PartyId, stage: str) -> bool:
        return place in self._vanish and (self._vanish[place] or self.input_stage) == stage

    def _vanish_now(self, place: PartyId, seat: Seat) -> None:
        assert seat.machine is not None
        self.tally.touched.add(place)
        self._seats.keep(place, seat.machine)
        seat.machine = seat.gathering = None
        if self._scenario.network.noticed:
            coordinated = SERVER in self.seats
            others = [SERVER] if coordinated else [other for other in self.seats if other != place]
            grace = self._scenario.policy.grace if coordinated else 0.0
            for other in others:
                at = seat.free + self._latency(place, other) + grace  # and behind what it sent before
                self._agenda.at(
                    max(at, self._pairs.get((place, other), 0.0)),
                    partial(self._notice, other, place, DropReason.VANISHED),
                )

    def _notice(self, place: PartyId, lost: PartyId, reason: DropReason) -> None:
        """Who comes later finds the lost one gone."""
        seat = self.seats[place]
        if not seat.started:
            self._agenda.at(self._first_call(place), partial(self._notice, place, lost, reason))
        elif seat.machine is not None:
            self._call(place, partial(seat.machine.drop, lost, reason))

    # The way of a message

    def _send(self, sender: PartyId, recipient: PartyId, parcel: Parcel, seat: Seat) -> None:
        self._note_sent(sender, recipient, parcel)
        left = seat.up.through(seat.free, parcel.size)
        link = recipient if sender == SERVER else sender
        lost, copies, late = self._misfortunes(link, parcel.stage, down=sender == SERVER)
        if lost or copies > 1 or late:
            self.tally.touched |= {sender, recipient} - {SERVER}
        if lost:
            return
        reach = left + self._latency(sender, recipient) + late
        if not late:  # what is late may be overtaken
            reach = self._pairs[sender, recipient] = max(reach, self._pairs.get((sender, recipient), 0.0))
        for copy in range(copies):
            self._agenda.at(reach + copy * DUPLICATE_AFTER, partial(self._reach, recipient, parcel))

    def _note_sent(self, sender: PartyId, recipient: PartyId, parcel: Parcel) -> None:
        self.tally.up[sender] += parcel.size
        self.tally.by_stage[parcel.stage, sender != SERVER] += parcel.size
        self.tally.wire.update(f"{sender} {recipient} {len(parcel.data)} ".encode())
        self.tally.wire.update(parcel.data)
        if self._tap is not None:
            self._tap(sender, recipient, parcel.data)

    def _misfortunes(self, link: PartyId, stage: str, *, down: bool) -> tuple[bool, int, float]:
        """Whether it is lost, in how many copies it comes, and how late."""
        network, chance = self._scenario.network, self._chance
        lost, copies, late = False, 1, 0.0
        if network.loss or network.duplicate or network.reorder:
            lost = chance.random() < network.loss
            copies += chance.random() < network.duplicate
            late = chance.expovariate(1 / network.reorder_by) if chance.random() < network.reorder else 0.0
        for fault in self._plan.on(link, stage, down=down):
            match fault:
                case Lose():
                    lost = True
                case Repeat():
                    copies += 1
                case Delay():
                    late += fault.seconds
        return lost, copies, late

    def _latency(self, one: PartyId, other: PartyId) -> float:
        devices = (self.seats[one].device, self.seats[other].device)
        return sum(varied(device.latency, device.jitter, self._chance) for device in devices)

    def _reach(self, recipient: PartyId, parcel: Parcel) -> None:
        """At the recipient's end of the link."""
        seat = self.seats[recipient]
        self.tally.down[recipient] += parcel.size
        if seat.down.mbps == math.inf:
            self._arrive(recipient, parcel)
        else:
            passed = seat.down.through(self._agenda.now, parcel.size)
            self._agenda.at(passed, partial(self._arrive, recipient, parcel))

    def _arrive(self, recipient: PartyId, parcel: Parcel) -> None:
        """What needs the input waits for it, and what came after it waits behind it."""
        seat = self.seats[recipient]
        if not seat.started or seat.early:
            seat.early.append(parcel)
        elif self._needs_input(parcel) and self._agenda.now < seat.ready:
            seat.early.append(parcel)
            self._agenda.at(seat.ready, partial(self._release, recipient))
        else:
            self._handle(recipient, parcel)

    def _needs_input(self, parcel: Parcel) -> bool:
        held_back = self._family.held_back
        return held_back is not None and isinstance(parcel.message(), held_back)

    def _release(self, recipient: PartyId) -> None:
        seat = self.seats[recipient]
        early, seat.early = seat.early, []
        for parcel in early:
            self._arrive(recipient, parcel)

    def _handle(self, recipient: PartyId, parcel: Parcel) -> None:
        seat = self.seats[recipient]
        if seat.machine is None:
            return
        message = parcel.message()
        if self._needs_input(parcel):
            self._set_input(recipient, seat)
        if seat.gathering is not None:
            seat.gathering.arrivals.append(max(self._agenda.now, seat.free))
        self._call(recipient, partial(seat.machine.receive, parcel.sender, message), heard=1, size=parcel.size)

    # Rounds: whoever can close one waits as the policy says

    def _look(self, place: PartyId, seat: Seat) -> None:
        """After a call: the session may be over for this one, a round, or the waiting for it."""
        machine = seat.machine
        if machine is None:
            return
        if (outcome := machine.outcome) is not None:
            self._finish(place, seat, outcome)
        elif place == SERVER or self._family.peer is not None:
            self._wait(place, seat, machine)

    def _wait(self, place: PartyId, seat: Seat, machine: Machine) -> None:
        gathering = seat.gathering
        if gathering is None or gathering.name != machine.round.value:
            self._note_phase(place, gathering, seat.free)
            gathering = seat.gathering = Gathering(machine, self._scenario.policy, seat.free)
        if gathering.settled(seat.free) and (machine.can_close or place == SERVER):
            self._close(place, seat, machine)
        else:
            self._expect_end(place, gathering)

    def _expect_end(self, place: PartyId, gathering: Gathering) -> None:
        """One event for each end that the waiting may have: an earlier one makes the later ones void."""
        if gathering.over != gathering.expected:
            gathering.expected = gathering.over
            self._agenda.at(gathering.over, partial(self._patience_is_over, place, gathering, gathering.over))

    def _patience_is_over(self, place: PartyId, gathering: Gathering, end: float) -> None:
        seat = self.seats[place]
        if seat.machine is None or seat.gathering is not gathering or gathering.expected != end:
            return
        gathering.times_over += 1
        if seat.machine.can_close or place == SERVER or not seat.machine.waiting_for:
            self._close(place, seat, seat.machine)
            return
        # a peer that cannot close gives those time who can; then it goes on without whom it waits for, and the next
        # proposer has as much time again
        self._agenda.at(self._agenda.now + gathering.patience, partial(self._patience_is_over, place, gathering, end))
        if gathering.times_over < 2:
            return
        gathering.times_over = 0
        for silent in sorted(seat.machine.waiting_for):
            self._notice(place, silent, DropReason.TOO_SLOW)

    def _close(self, place: PartyId, seat: Seat, machine: Machine) -> None:
        self._note_phase(place, seat.gathering, max(self._agenda.now, seat.free))
        if seat.gathering is not None and self._agenda.now < seat.gathering.opened + seat.gathering.patience:
            self.tally.left_behind |= machine.waiting_for
        seat.gathering = None
        closing = machine.close_round if machine.can_close else partial(machine.abort, AbortReason.TOO_FEW)
        self._call(place, closing)

    def _note_phase(self, place: PartyId, gathering: Gathering | None, now: float) -> None:
        if gathering is not None and place == self.watched:
            self.tally.phases.append(gathering.phase(now))

    # The end, for one

    def _finish(self, place: PartyId, seat: Seat, outcome: Outcome) -> None:
        if seat.outcome is not None:
            return
        seat.outcome = outcome
        self._note_phase(place, seat.gathering, seat.free)
        seat.gathering = None
        self._judge_outcome(place, outcome)
        if place == SERVER or (SERVER not in self.seats):
            self.ended = max(self.ended or 0.0, seat.free)
        if place != SERVER and self._family.peer is None:
            self._leave(place, seat)

    def _judge_outcome(self, place: PartyId, outcome: Outcome) -> None:
        if not isinstance(outcome, Finished):
            return
        vector, included = outcome.aggregate.vector, outcome.aggregate.included
        if self._judged is None and self._judge(vector, included):
            self._judged = (included, vector)
        known = self._judged
        if known is None or known[0] != included or known[1].tobytes() != vector.tobytes():
            self.wrong.add(place)

    def _leave(self, place: PartyId, seat: Seat) -> None:
        """What a later session needs stays, the machine goes."""
        assert seat.machine is not None
        seat.outcome = seat.outcome or seat.machine.outcome
        self._seats.keep(place, seat.machine)
        seat.machine = None
