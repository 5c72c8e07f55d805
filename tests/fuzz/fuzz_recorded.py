"""A real session of each protocol, kept at every point of it: what fuzzed wires, snapshots and machines begin with."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from cases import CASES, AnyRoom, Case
from driving import Frame, hold

from mpc.hashing import digest
from mpc.randomness import SeededRandomness
from protocols.errors import SERVER, DropReason, PartyId
from protocols.ledger import NOTHING_ANSWERED, Ledger
from protocols.machine import Envelope

_LATE = ("confirm", "certify-sums")

NAMES = tuple(case.name for case in CASES)


@dataclass(frozen=True)
class Moment:
    """A machine as it stood before a call. call: the frame that it was shown then, whom it dropped and why, or None
    where it closed its round."""

    party: PartyId
    snapshot: bytes
    ledger: Ledger
    call: Frame | tuple[PartyId, DropReason] | None


@dataclass
class Recorded:
    """frames: in the order in which they were sent. foreign: those of another session of the same parties."""

    case: Case
    room: AnyRoom
    frames: list[Frame] = field(default_factory=list)
    foreign: list[Frame] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    def wake(self, moment: Moment) -> Any:
        return self.case.wake(self.room, moment.party, moment.snapshot, moment.ledger)


class Noted:
    """A machine that notes where it stands whenever it is called."""

    def __init__(self, machine: Any, party: PartyId, into: Recorded) -> None:
        self._machine, self._party, self._into = machine, party, into

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        self._note((sender, self._party, self._into.case.family.codec.encode(message)))
        envelopes: list[Envelope] = self._machine.receive(sender, message)
        return envelopes

    def close_round(self) -> list[Envelope]:
        self._note(None)
        envelopes: list[Envelope] = self._machine.close_round()
        return envelopes

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        self._note((party, reason))
        envelopes: list[Envelope] = self._machine.drop(party, reason)
        return envelopes

    def _note(self, call: Frame | tuple[PartyId, DropReason] | None) -> None:
        ledger = getattr(self._machine, "ledger", NOTHING_ANSWERED)
        self._into.moments.append(Moment(self._party, self._machine.snapshot(), ledger, call))


def case_of(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


@cache
def recorded(name: str) -> Recorded:
    """The case of this name. One party is lost when its input is ready and one later: what is said only then is said,
    too."""
    case = case_of(name)
    room = _room(case)
    into = Recorded(case, room)
    noted = {party: Noted(machine, party, into) for party, machine in room.machines().items()}
    late = next((stage for stage in case.stages if stage.value in _LATE), None)
    vanish = {room.parties[1]: case.family.input_stage} | ({room.parties[2]: late} if late else {})
    hold(room, case, vanish, machines=noted, tap=lambda *frame: into.frames.append(frame))
    into.foreign = _foreign(case)
    return into


def _room(case: Case) -> AnyRoom:
    return case.make(clients=6, colluding=0, losses=2, length=3)


def _foreign(case: Case) -> list[Frame]:
    """The same parties, another nonce and other randomness: nothing of it belongs into the recorded session."""
    room, frames = _room(case), list[Frame]()
    room.params = replace(room.params, nonce=digest("nonce", b"another session"))
    room.rand = SeededRandomness(b"another session")
    hold(room, case, tap=lambda *frame: frames.append(frame))
    return frames


@cache
def messages(*names: str) -> tuple[bytes, ...]:
    """One message of each kind that these cases say."""
    kinds: dict[tuple[str, str], bytes] = {}
    for name in names:
        codec = recorded(name).case.family.codec
        for _, _, data in recorded(name).frames:
            kinds.setdefault((name, type(codec.decode(data)).__name__), data)
    return tuple(kinds.values())


def distinct(moments: Iterable[Moment]) -> list[Moment]:
    """Each snapshot once."""
    return list({moment.snapshot: moment for moment in moments}.values())


def server_first(recording: Recorded) -> list[PartyId]:
    """Whom an input may pick: the server as often as all others, where there is one."""
    parties = list(recording.room.parties)
    return parties if recording.case.family.peer else [SERVER] * len(parties) + parties
