"""Who sits at the table of an exchange beside honest machines: a script, or a machine whose words are changed.

A coordinator that lies is written as a script: a generator that says what it likes, and is told what was answered once
all others rest. A party that lies is mostly honest: its own machine, whose envelopes are bent on their way out.
"""

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.exchange import Exchange, Tap
from protocols.machine import Aborted, Envelope, Machine, Outcome
from protocols.wire import Codec, PartySet

T = TypeVar("T")
Heard = Mapping[PartyId, Sequence[Any]]  # by sender, in order
Script = Generator[list[Envelope], Heard, T]

NOBODY: PartySet = frozenset()


class _Stage(StrEnum):
    """A script has no rounds of its own."""

    SCRIPT = "script"


class Scripted(Generic[T]):
    """The seat of a script. `got`: what it came to; None before its end."""

    round: StrEnum = _Stage.SCRIPT
    waiting_for = NOBODY

    def __init__(self, script: Script[T]) -> None:
        self._script = script
        self._heard: dict[PartyId, list[Any]] = {}
        self.got: T | None = None
        self.outcome: Outcome | None = None

    @property
    def can_close(self) -> bool:
        return self.outcome is None

    def start(self) -> list[Envelope]:
        return self._say(lambda: next(self._script))

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        self._heard.setdefault(sender, []).append(message)
        return []

    def close_round(self) -> list[Envelope]:
        heard, self._heard = self._heard, {}
        return self._say(lambda: self._script.send(heard))

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        return []

    def abort(self, reason: AbortReason) -> list[Envelope]:
        self.outcome = Aborted(reason)
        return []

    def snapshot(self) -> bytes:
        raise LocalProtocolError("a script is not taken up again")

    def _say(self, step: Callable[[], list[Envelope]]) -> list[Envelope]:
        try:
            return step()
        except StopIteration as end:
            self.got = end.value
            return self.abort(AbortReason.STOPPED)


class Bent:
    """A real machine in the hands of a party that changes what it says: `bend` turns each envelope into others."""

    def __init__(self, machine: Machine, bend: Callable[[Envelope], list[Envelope]]) -> None:
        self._machine, self._bend = machine, bend

    @property
    def round(self) -> StrEnum:
        return self._machine.round

    @property
    def waiting_for(self) -> PartySet:
        return self._machine.waiting_for

    @property
    def can_close(self) -> bool:
        return self._machine.can_close

    @property
    def outcome(self) -> Outcome | None:
        return self._machine.outcome

    def start(self) -> list[Envelope]:
        return self._bent(self._machine.start())

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        return self._bent(self._machine.receive(sender, message))

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        return self._bent(self._machine.drop(party, reason))

    def close_round(self) -> list[Envelope]:
        return self._bent(self._machine.close_round())

    def abort(self, reason: AbortReason) -> list[Envelope]:
        return self._bent(self._machine.abort(reason))

    def snapshot(self) -> bytes:
        return self._machine.snapshot()

    def _bent(self, envelopes: list[Envelope]) -> list[Envelope]:
        return [other for envelope in envelopes for other in self._bend(envelope)]


def bending(kind: type, change: Callable[[Any], Any]) -> Callable[[Envelope], list[Envelope]]:
    """Only messages of this class are changed, each for all who get it."""

    def bend(envelope: Envelope) -> list[Envelope]:
        if not isinstance(envelope.message, kind):
            return [envelope]
        return [Envelope(envelope.recipients, change(envelope.message))]

    return bend


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an honest participant said no to. reason: of `DropReason`, or of whatever else refused it."""

    who: str
    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.who}: {self.reason}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Held:
    """An exchange that is over. machines: all that began it. refusals: of the honest ones, in order."""

    machines: Mapping[PartyId, Any]
    refusals: tuple[Refusal, ...]

    @property
    def got(self) -> Any:
        """What the script came to, where the coordinator is one."""
        return self.machines[SERVER].got


def hold(
    machines: Mapping[PartyId, Any],
    codec: Codec,
    *,
    dishonest: Collection[PartyId] = (),
    vanish: Mapping[PartyId, StrEnum] | None = None,
    tap: Tap | None = None,
) -> Held:
    """Lets them talk until they rest."""
    refusals: list[Refusal] = []
    refused: set[PartyId] = set(dishonest)

    def note(party: PartyId, exc: PeerMisbehaved) -> None:
        if party not in dishonest:
            refusals.append(Refusal(_name(party), exc.reason.value, exc.detail))
            refused.add(party)

    Exchange(machines, codec, vanish=vanish, tap=tap, on_refusal=note).run()
    for party, machine in machines.items():
        match machine.outcome:
            case Aborted(AbortReason.REFUSED, DropReason() as cause, int() as accused) if party not in refused:
                refusals.append(Refusal(_name(party), cause.value, f"what party {accused} dealt does not open"))
    return Held(machines, tuple(refusals))


def _name(party: PartyId) -> str:
    return "the server" if party == SERVER else f"party {party}"


def said(heard: Heard, kind: type[T]) -> dict[PartyId, T]:
    """The last message of this class from each sender."""
    return {sender: one for sender, messages in heard.items() for one in messages if isinstance(one, kind)}
