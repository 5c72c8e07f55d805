"""Any loss pattern, in a set-up and in the rounds after it: the exact sum over whom the rules name, or none."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from epoch_room import EpochRoom, Held
from hypothesis import given
from hypothesis import strategies as st
from sessions import ANSWERED, FIELDS, bounded
from watch import require_discretion

from protocols.epoch import Client, Server
from protocols.epoch.messages import CODEC, RoundStart
from protocols.errors import SERVER, PartyId
from protocols.ledger import Ledger
from protocols.machine import Finished, Machine
from protocols.messages import Round, Survivors
from protocols.wire import PartySet

Losses = dict[int, Round]
IN_ROUND = (Round.MASKED_INPUT, Round.CONFIRM, Round.UNMASK, Round.FALLBACK)


@dataclass(frozen=True)
class Epoch:
    """n parties, c colluders, and who is lost where in each of the sessions."""

    n: int
    c: int
    field: str
    sessions: tuple[Losses, ...]

    def room(self) -> EpochRoom:
        return EpochRoom(
            clients=self.n, colluding=self.c, length=3, field=FIELDS[self.field], rounds=len(self.sessions)
        )


@st.composite
def epochs(draw: st.DrawFn, sessions: int) -> Epoch:
    n = draw(st.integers(3, 6))
    c = draw(st.integers(0, n - 2))
    lost = []
    for session in range(sessions):
        where = ANSWERED if session == 0 else IN_ROUND
        gone = draw(st.sets(st.integers(0, n - 1), max_size=draw(st.sampled_from([0, 1, 2, n]))))
        lost.append({party: draw(st.sampled_from(where)) for party in sorted(gone)})
    return Epoch(n, c, draw(st.sampled_from(sorted(FIELDS))), tuple(lost))


def require(held: Held, expected: PartySet | None) -> None:
    if expected is None:
        held.require_no_result()
    else:
        held.require_exact(*expected)


@pytest.mark.slow
@bounded(40)
@given(epochs(sessions=1))
def test_whoever_is_lost_in_the_session_that_sets_up_the_sum_is_exact_or_there_is_none(drawn: Epoch) -> None:
    room = drawn.room()
    require(room.hold(drawn.sessions[0]), room.expected(drawn.sessions[0]))


@pytest.mark.slow
@bounded(20)
@given(epochs(sessions=4))
def test_whoever_is_lost_in_a_later_round_its_sum_is_exact_or_there_is_none_and_all_are_back_in_the_next(
    drawn: Epoch,
) -> None:
    room = drawn.room()
    require(room.hold(), room.expected({}))
    for losses in drawn.sessions[1:]:
        require(room.hold(losses), room.expected(losses))


@dataclass
class Sleeper:
    """A machine of which between two calls there is nothing but a snapshot, and a client's ledger."""

    room: EpochRoom
    machine: Any
    wakes: int = field(default=0)

    def __getattr__(self, name: str) -> Any:
        if name in ("start", "receive", "drop", "close_round"):
            self._wake()
        return getattr(self.machine, name)

    def _wake(self) -> None:
        kept = self.machine.snapshot()
        self.wakes += 1
        if isinstance(self.machine, Server):
            self.machine = Server.restore(kept, identity=self.room.identities[SERVER])
        else:
            identity, ledger = self.room.identities[self.machine._me], self.machine.ledger
            rand = self.room.rand.child(f"{self.machine._me} woken {self.wakes}")
            copied = Ledger.from_bytes(ledger.to_bytes())
            self.machine = Client.restore(kept, identity=identity, rand=rand, ledger=copied)
        assert self.machine.snapshot() == kept


@pytest.mark.slow
@bounded(10)
@given(epochs(sessions=2))
def test_machines_that_are_restored_for_every_call_come_to_the_same_sums(drawn: Epoch) -> None:
    room = drawn.room()
    for losses in drawn.sessions:
        room.next_step()
        machines: dict[PartyId, Machine] = {}
        for party, machine in room.machines().items():
            machines[party] = Sleeper(room, machine)  # type: ignore[assignment]
        held = room.hold_these(machines, losses)
        expected = room.expected(losses)
        assert isinstance(held.server.outcome, Finished) == (expected is not None)
        if expected is not None:
            held.require_exact(*expected)


@pytest.mark.slow
@bounded(20)
@given(epochs(sessions=3))
def test_whatever_is_lost_a_client_says_one_secret_of_each_peer_at_most_in_each_round(drawn: Epoch) -> None:
    room = drawn.room()
    room.hold()
    for losses in drawn.sessions[1:]:
        frames: list[tuple[PartyId, PartyId, Any]] = []
        room.hold(losses, tap=lambda s, r, data, kept=frames: kept.append((s, r, CODEC.decode(data))))
        for me in room.parties:
            told = [message for _, recipient, message in frames if recipient == me]
            said = [message for sender, _, message in frames if sender == me]
            u2: PartySet = next((one.u2 for one in told if isinstance(one, RoundStart)), frozenset())
            u3: PartySet = next((one.u3 for one in told if isinstance(one, Survivors)), frozenset())
            require_discretion(me, said, u2, u3)
