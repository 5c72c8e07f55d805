"""Any order of messages and calls -> progress or a named error; an error leaves no trace; a sum is exact.

Two kinds of target. `alone`: one machine, taken up from some point of a recorded session, is shown whatever an input
says: frames of this session and of another, in any order, from anybody, changed, and calls at odd times. `session`: all
machines of a session, with a network and drivers that an input decides for.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from random import Random
from typing import Any

import numpy as np
from cases import Case
from driving import Frame, Muddle
from fuzz_mutations import of_blocks, spliced
from fuzz_recorded import NAMES, Moment, Recorded, case_of, distinct, recorded, server_first
from fuzz_target import Bytes, Target, blocks, require

from protocols.errors import (
    SERVER,
    AbortReason,
    DropReason,
    LocalProtocolError,
    PartyId,
    PeerMisbehaved,
    WireError,
)
from protocols.ledger import NOTHING_ANSWERED
from protocols.machine import Envelope, Finished
from protocols.session import Variant

MOST_CALLS = 48
BLOCK = 6  # bytes that decide one call or one step: what an input says of the next does not hang on this one
STRANGER = PartyId(77)

_DROPS, _ABORTS = tuple(DropReason), tuple(AbortReason)


def traces(machine: Any) -> tuple[Any, ...]:
    """All of a machine that its driver can see."""
    seen = [
        getattr(machine, name, None) for name in ("round", "waiting_for", "can_close", "outcome", "ledger", "dropped")
    ]
    return machine.snapshot(), *seen


# One machine


@dataclass
class Alone:
    """One machine and what it is shown. honest: nothing that it took was changed on the way or from another session."""

    recording: Recorded
    moment: Moment
    choices: Bytes
    honest: bool = True
    pick: Bytes = field(init=False)  # what decides the call at hand
    machine: Any = field(init=False)

    def __post_init__(self) -> None:
        self.machine = self.recording.wake(self.moment)

    def run(self) -> None:
        for block in blocks(self.choices, BLOCK, MOST_CALLS):
            self.pick = block
            self._call(*self._next_call())
        require(self.machine.snapshot() == self._woken_again().snapshot(), "a snapshot that is another machine's")
        if self.honest:
            require_exact(self.recording, self.machine)

    def _woken_again(self) -> Any:
        ledger = getattr(self.machine, "ledger", NOTHING_ANSWERED)
        kept = Moment(self.moment.party, self.machine.snapshot(), ledger, None)
        return self.recording.wake(kept)

    def _next_call(self) -> tuple[Callable[[], list[Envelope]], bool]:
        """What is done next, and whether an honest sender could be the cause of it."""
        machine, room, pick = self.machine, self.recording.room, self.pick
        match pick.randrange(24):
            case 20:
                party = pick.choice((SERVER, STRANGER, *room.parties))
                return partial(machine.drop, party, pick.choice(_DROPS)), True
            case 21:
                return machine.close_round, True
            case 22 if pick.randrange(4) == 0:
                return partial(machine.abort, pick.choice(_ABORTS)), True
            case 23 if hasattr(machine, "set_input"):
                return partial(machine.set_input, room.field.zeros(pick.randrange(5))), False
            case _:
                return self._next_message()

    def _next_message(self) -> tuple[Callable[[], list[Envelope]], bool]:
        pick, me = self.pick, self.moment.party
        match pick.randrange(8):
            case 4:
                sender, _, data = pick.choice(self.recording.foreign)
                return self._receive(sender, data), self._signs
            case 5:
                _, _, data = pick.choice(self.recording.frames)
                return self._receive(pick.choice((SERVER, STRANGER, *self.recording.room.parties)), data), False
            case 6:
                sender, _, data = pick.choice(self._for_us(me))
                _, _, donor = pick.choice(self.recording.frames)
                return self._receive(sender, spliced(data, donor, pick)), False  # type: ignore[arg-type]
            case 7:
                sender, _, data = pick.choice(self._for_us(me))
                return self._receive(sender, _flipped(data, pick)), False
            case _:
                sender, _, data = pick.choice(self._for_us(me))
                return self._receive(sender, data), True

    @property
    def _signs(self) -> bool:
        """Whether a message of another session can be told from one of this."""
        return self.recording.case.variant is Variant.ACTIVE

    def _for_us(self, me: PartyId) -> list[Frame]:
        return _frames_to(self.recording.case.name, me)

    def _receive(self, sender: PartyId, data: bytes) -> Callable[[], list[Envelope]]:
        return lambda: self.machine.receive(sender, self.recording.case.family.codec.decode(data))

    def _call(self, call: Callable[[], list[Envelope]], honest: bool) -> None:
        before = traces(self.machine)
        try:
            envelopes = call() or []
        except WireError:
            return
        except (PeerMisbehaved, LocalProtocolError) as exc:
            require(traces(self.machine) == before, f"a call that failed changed the machine: {exc}")
            if isinstance(exc, PeerMisbehaved) and self.pick.randrange(2):
                self._call(partial(self.machine.drop, exc.sender, exc.reason), True)
            return
        self.honest &= honest or traces(self.machine) == before
        require_sendable(self.recording.case, envelopes)


def require_sendable(case: Case, envelopes: list[Envelope]) -> None:
    codec = case.family.codec
    for envelope in envelopes:
        data = codec.encode(envelope.message)
        require(codec.encode(codec.decode(data)) == data, "a message that does not come back from the wire")


def require_exact(recording: Recorded, machine: Any) -> None:
    outcome = machine.outcome
    if isinstance(outcome, Finished):
        expected = recording.room.plain_sum(outcome.aggregate.included)
        require(np.array_equal(outcome.aggregate.vector, expected), "a wrong sum")


def _flipped(data: bytes, pick: Bytes) -> bytes:
    at = pick.randrange(len(data)) if len(data) < 2**16 else 0
    return data[:at] + bytes([data[at] ^ 1 << pick.randrange(8)]) + data[at + 1 :]


def alone(name: str, data: bytes) -> None:
    """One machine of this case. The first bytes say whose, and where in the session."""
    recording, choices = recorded(name), Bytes(data)
    party = choices.choice(server_first(recording))
    Alone(recording, choices.choice(_moments_of(name, party)), choices).run()


@cache
def _frames_to(name: str, party: PartyId) -> list[Frame]:
    """All that one party was sent, each once; where it was sent nothing, all that was said."""
    frames = recorded(name).frames
    return list(dict.fromkeys(frame for frame in frames if frame[1] == party)) or frames


@cache
def _moments_of(name: str, party: PartyId) -> list[Moment]:
    return distinct(moment for moment in recorded(name).moments if moment.party == party)


def _alone_seeds(name: str) -> list[bytes]:
    """Each machine, from each point on, called as it was in the recorded session."""
    recording, seeds = recorded(name), []
    whom = server_first(recording)
    for party in dict.fromkeys(whom):
        moments = [moment for moment in recording.moments if moment.party == party]
        calls = [_call_again(recording, moment) for moment in moments]
        points = [moment.snapshot for moment in _moments_of(name, party)]
        first = {moment.snapshot: at for at, moment in reversed(list(enumerate(moments)))}
        for place, snapshot in enumerate(points[:256]):
            following = calls[first[snapshot] :][:MOST_CALLS]
            seeds.append(bytes([whom.index(party), place]) + b"".join(following))
    return seeds


def _call_again(recording: Recorded, moment: Moment) -> bytes:
    """The block that `Alone` reads as this call."""
    match moment.call:
        case None:
            return _block(21)
        case (party, reason):
            whom = (SERVER, STRANGER, *recording.room.parties)
            return _block(20, whom.index(party), _DROPS.index(reason))
        case frame:
            to_us = _frames_to(recording.case.name, moment.party)
            return _block(0, 0, *to_us.index(frame).to_bytes(1 if len(to_us) <= 256 else 2, "little"))


def _block(*choices: int) -> bytes:
    return bytes(choices).ljust(BLOCK, b"\0")


# All machines


class Schedule(Muddle):
    """A muddle that an input decides for. Beside what a muddle does, machines are dropped, close rounds and give up at
    odd times, and frames of another session arrive."""

    def __init__(self, recording_of: str, room: Any, case: Case, choices: Bytes, *, flips: bool) -> None:
        self._foreign = recorded(recording_of).foreign
        self._choices = choices
        super().__init__(room, case, choices, flips=flips)  # type: ignore[arg-type]

    def run(self, disorder: int = 0) -> "Muddle":
        for block in blocks(self._choices, BLOCK, disorder):
            self._decider = block  # type: ignore[assignment]  # as much of a Random as a muddle needs
            self._step()
        return super().run()

    def _step(self) -> None:
        pick = self._chance
        match pick.randrange(20):
            case 19:
                self._call_oddly(pick.choice(list(self.machines)))
            case 18:
                self._deliver_foreign(*pick.choice(self._foreign))
            case 16 | 17:
                super()._step()
            case _ if self._waiting:
                self._deliver(*self._waiting.pop(pick.randrange(min(4, len(self._waiting)))))
            case _:
                self._close_some()

    def _call_oddly(self, party: PartyId) -> None:
        machine, pick = self.machines[party], self._chance
        match pick.randrange(8):
            case 0:
                call = partial(machine.abort, pick.choice(_ABORTS))
            case 1 | 2:
                call = machine.close_round
            case _:
                call = partial(machine.drop, pick.choice(list(self.machines)), pick.choice(_DROPS))
        before = traces(machine)
        try:
            envelopes = call()
        except LocalProtocolError:
            require(traces(machine) == before, "a call that failed changed the machine")
            return
        self._post(party, envelopes)

    def _deliver_foreign(self, sender: PartyId, recipient: PartyId, data: bytes) -> None:
        if sender in self.machines and recipient in self.machines and self._flips:
            self._deliver(sender, recipient, data)


def session(name: str, data: bytes) -> None:
    """A whole session of this case. The first byte says whether frames may be changed on their way."""
    case, choices = case_of(name), Bytes(data)
    active = case.variant is Variant.ACTIVE
    room = case.make(clients=4, colluding=0, losses=1, length=3)
    schedule = Schedule(name, room, case, choices, flips=bool(choices.randrange(2)) and active)
    schedule.run(disorder=16 * len(room.parties))
    if not schedule.believed_a_flip:
        schedule.held.require_exact(None)
    case.require_discretion(schedule.sent, room)


def _session_seeds() -> list[bytes]:
    """In good order, and with ever more disorder."""
    chance, steps = Random("sessions"), 80
    return [
        bytes([rough % 2])
        + b"".join(chance.randbytes(BLOCK) if chance.randrange(8) < rough else _block(0) for _ in range(steps))
        for rough in range(8)
    ]


_schedules = of_blocks(BLOCK, behind=1)

TARGETS = (
    *(
        Target(
            f"alone-{name}", partial(alone, name), partial(_alone_seeds, name), 25, mutate=of_blocks(BLOCK, behind=2)
        )
        for name in NAMES
    ),
    *(Target(f"session-{name}", partial(session, name), _session_seeds, 2, mutate=_schedules) for name in NAMES),
)
