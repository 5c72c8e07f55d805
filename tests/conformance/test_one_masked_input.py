"""No two different masked inputs share a mask: of a session at most one ever leaves, whatever its party comes back to.

Of every protocol. A party lives through a session and is stopped after any of its steps. It is taken up from any of its
snapshots, with the ledger as it is then, is given another input where it has none yet, and is told everything of the
same session or of one in which another party is lost: the keys are the same, the sets are not. All masked inputs that
left in both lives are counted, those of one session together whatever set they are masked for. Equal bytes count once.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from cases import CASES, AnyRoom, Case
from driving import hold
from test_conformance import QUICK

from mpc.field import FieldVector
from protocols.epoch import ClientEpoch
from protocols.errors import SERVER, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.ledger import Ledger
from protocols.machine import Envelope

CALLS = {"start", "receive", "drop", "close_round", "abort"}
SESSION = frozenset[bytes]  # by the names of what is open in the ledger: a party that begins anew opens another one


@dataclass(frozen=True)
class Moment:
    """A party after a step. call: what it was, by name, and with what. said: the masked input that left in it."""

    snapshot: bytes
    ledger: Ledger
    call: tuple[Any, ...]
    said: frozenset[tuple[SESSION, bytes]]


class Diary:
    """A machine and all moments of its life. Its input comes as late as it can: before the step that asks for it."""

    def __init__(self, case: Case, machine: Any, vector: FieldVector | None) -> None:
        self._case, self._machine, self._vector = case, machine, vector
        self.moments: list[Moment] = []
        self._note(("wake",), [])

    def _note(self, call: tuple[Any, ...], envelopes: list[Envelope]) -> None:
        ledger = self._machine.ledger
        session = frozenset(one.session for one in ledger.sessions)
        masked = [one.message for one in envelopes if is_masked_input(self._case, one.message)]
        said = frozenset((session, self._case.family.codec.encode(message)) for message in masked)
        self.moments.append(Moment(self._machine.snapshot(), ledger, call, said))

    def call(self, name: str, *given: Any) -> list[Envelope]:
        try:
            envelopes: list[Envelope] = getattr(self._machine, name)(*given)
        except LocalProtocolError:
            if self._vector is None:
                raise
            self.bring_input()
            envelopes = getattr(self._machine, name)(*given)
        self._note((name, *given), envelopes)
        return envelopes

    def bring_input(self) -> None:
        """Raises LocalProtocolError where there is one already, or it comes too late."""
        assert self._vector is not None
        self._machine.set_input(self._vector)
        self._note(("input",), [])
        self._vector = None

    def __getattr__(self, name: str) -> Any:
        """As the machine that it is; each of its calls is noted."""
        return partial(self.call, name) if name in CALLS else getattr(self._machine, name)


def is_masked_input(case: Case, message: Any) -> bool:
    return isinstance(message, case.family.uploads) and message.round is case.family.input_stage


def without_inputs(room: AnyRoom) -> dict[PartyId, Any]:
    """The room's machines, none of which has its input yet."""
    kind = type(room.machines()[room.parties[0]])
    with patch.object(kind, "set_input", lambda machine, vector: None):
        return dict(room.machines())


def lived(case: Case, party: PartyId, vanish: dict[int, Any]) -> list[Moment]:
    """The moments of this party in a session in which these are lost."""
    room = case.make(clients=4, colluding=0, losses=1, length=3)
    machines = {
        one: machine if one == SERVER else Diary(case, machine, room.inputs.get(one))
        for one, machine in without_inputs(room).items()
    }
    hold(room, case, vanish, machines=machines)
    moments: list[Moment] = machines[party].moments
    return moments


class Lives:
    """The lives of the first party of a session of this protocol, and what may come after each.

    views: the calls of the same session, of one with a loss before the input left, and of one with a loss as it does.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.room = case, case.make(clients=4, colluding=0, losses=1, length=3)
        self.party, lost = self.room.parties[0], self.room.parties[1]
        early = case.stages[: case.stages.index(case.family.input_stage) + 1]
        self.first = lived(case, self.party, {})
        others = [lived(case, self.party, {lost: stage}) for stage in early[-2:]]
        self.views = [[moment.call for moment in life] for life in (self.first, *others)]
        self.taken_up = self.refused = 0

    def masked(self) -> Iterator[frozenset[tuple[SESSION, bytes]]]:
        """What left, of every first life and every second one."""
        for end, stopped in enumerate(self.first):
            left = frozenset[tuple[SESSION, bytes]]().union(*(one.said for one in self.first[: end + 1]))
            for moment in self.first[: end + 1]:
                try:
                    self._woken(moment, stopped.ledger)
                except LocalProtocolError:
                    self.refused += 1
                    continue
                self.taken_up += 1
                for view in self.views:
                    yield left | self._said(self._woken(moment, stopped.ledger), view)

    def _woken(self, moment: Moment, ledger: Ledger) -> Diary:
        machine = self.case.wake(self.room, self.party, moment.snapshot, ledger)
        other = self.room.field.sub(self.room.inputs[self.party], self.room.field.vector([1] * 3))
        return Diary(self.case, machine, other)

    def _said(self, diary: Diary, view: list[tuple[Any, ...]]) -> frozenset[tuple[SESSION, bytes]]:
        """Told everything there is in order, and what it refuses is passed over."""
        with suppress(LocalProtocolError):
            diary.bring_input()
        for name, *given in view:
            if name not in ("wake", "input"):
                with suppress(PeerMisbehaved, LocalProtocolError):
                    diary.call(name, *given)
        return frozenset().union(*(moment.said for moment in diary.moments))


def most_of_one_session(left: frozenset[tuple[SESSION, bytes]]) -> int:
    """How many different masked inputs left of one session, at the most."""
    return max(Counter(session for session, _ in left).values(), default=0)


LONG = {"mesh", "committee"}  # many steps, or long ones
every_case = pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.name, marks=() if case.name in QUICK - LONG else pytest.mark.slow) for case in CASES],
)


def without_count_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any snapshot is taken up, and any epoch, whatever the ledger says."""
    for kind in (Ledger, ClientEpoch):
        monkeypatch.setattr(kind, "require_last", lambda *anything: None)


@every_case
def test_of_a_session_at_most_one_masked_input_leaves(case: Case) -> None:
    lives = Lives(case)
    assert max(most_of_one_session(left) for left in lives.masked()) == 1
    assert lives.taken_up >= len(lives.first)  # the last snapshot of each
    assert lives.refused


@every_case
def test_without_the_ledgers_count_of_steps_a_second_one_leaves(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    without_count_of_steps(monkeypatch)
    assert any(most_of_one_session(left) > 1 for left in Lives(case).masked())
