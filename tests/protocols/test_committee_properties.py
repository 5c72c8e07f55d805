"""What holds for every session of a committee: lost and lying aggregators within s + 2e <= d cost nothing, and beyond
that there is no wrong sum. Losses alone, crashes and disorder are in the conformance suite.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from committee_room import CommitteeRoom
from hypothesis import given
from hypothesis import strategies as st
from restored import NoMore, Restored
from sessions import bounded
from test_committee_liars import summing_wrongly

from mpc.randomness import Randomness
from protocols.committee import Member
from protocols.committee.checking import plan
from protocols.committee.messages import Round
from protocols.committee.numbers import numbers_of
from protocols.errors import PartyId
from protocols.ledger import Ledger
from protocols.machine import Aborted, Finished


@dataclass(frozen=True)
class Session:
    """Three clients; A aggregators of which s are lost where they would sum, and e sum wrongly."""

    aggregators: int
    losses: int
    lost: tuple[int, ...]
    wrong: tuple[int, ...]

    @property
    def borne(self) -> bool:
        return len(self.lost) + 2 * len(self.wrong) <= self.losses

    def room(self) -> CommitteeRoom:
        return CommitteeRoom(clients=3, aggregators=self.aggregators, losses=self.losses, length=3)


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    size = draw(st.integers(3, 8))
    losses = draw(st.integers(0, size - 2))
    order = draw(st.permutations(range(3, 3 + size)))
    lost = draw(st.integers(0, losses))
    wrong = draw(st.integers(0, 2))
    return Session(size, losses, tuple(order[:lost]), tuple(order[lost : lost + wrong]))


def require_exact_where_borne(drawn: Session) -> None:
    room = drawn.room()
    liars: dict[PartyId, Any] = {PartyId(one): summing_wrongly(room, one) for one in drawn.wrong}
    held = room.hold(dict.fromkeys(drawn.lost, Round.SUM), machines=liars)
    outcome = held.server.outcome
    if drawn.borne:
        assert isinstance(outcome, Finished)
        assert held.server.named == set(drawn.wrong)
    if isinstance(outcome, Finished):
        assert np.array_equal(outcome.aggregate.vector, room.plain_sum({PartyId(0), PartyId(1), PartyId(2)}))
    else:
        assert isinstance(outcome, Aborted)


@bounded(2)
@given(sessions())
def test_lost_and_wrong_sums_are_borne_up_to_the_planned_losses_and_never_give_a_wrong_total(drawn: Session) -> None:
    require_exact_where_borne(drawn)


@pytest.mark.slow
@bounded(25)
@given(sessions())
def test_the_same_for_many_sessions(drawn: Session) -> None:
    require_exact_where_borne(drawn)


@cache
def room_of(clients: int) -> CommitteeRoom:
    return CommitteeRoom(clients=clients, aggregators=6, colluding=1, losses=2)


@st.composite
def holdings(draw: st.DrawFn) -> tuple[CommitteeRoom, dict[PartyId, frozenset[PartyId]]]:
    room = room_of(draw(st.integers(3, 6)))
    numbers = room.numbers
    clients = sorted(room.inputs)
    reporting = draw(st.sets(st.sampled_from(numbers.aggregators), min_size=numbers.enough))
    return room, {one: draw(st.frozensets(st.sampled_from(clients))) for one in sorted(reporting)}


@bounded(25)
@given(holdings())
def test_whoever_is_planned_with_holds_all_of_the_candidates_and_they_are_enough(
    drawn: tuple[CommitteeRoom, dict[PartyId, frozenset[PartyId]]],
) -> None:
    room, held = drawn
    found = plan(room.numbers, held)
    assert all(found.candidates <= held[one] for one in found.committee)
    assert len(found.committee) >= room.numbers.enough or not found.candidates
    everywhere = frozenset.intersection(*held.values())
    assert found.candidates >= everywhere


@pytest.mark.slow
def test_a_restored_member_draws_when_it_is_invited_and_never_again() -> None:
    room = CommitteeRoom(clients=4, length=3)

    def restored(me: PartyId) -> Restored:
        stream = room.rand.child(f"member {me}")

        def wake(kept: bytes, ledger: Ledger) -> Member:
            identity = room.identities[me]
            member = Member.restore(kept, identity=identity, rand=stream, ledger=ledger)
            rand: Randomness = stream if member._now.params is None else NoMore()
            return Member.restore(kept, identity=identity, rand=rand, ledger=ledger)

        return Restored(room.member(me), wake)

    machines: dict[PartyId, Any] = {me: restored(me) for me in room.parties}
    room.hold({1: Round.CHECK}, machines=machines).require_exact(0, 1, 2, 3)


@given(st.integers(2, 40), st.integers(0, 20), st.integers(0, 20))
@bounded(100)
def test_where_there_is_a_committee_its_numbers_keep_the_rules(size: int, colluding: int, losses: int) -> None:
    members = list(map(PartyId, range(3 + size)))
    params = replace(room_of(3).params, aggregators=frozenset(members[3:]), colluding=colluding, losses=losses)
    try:
        numbers = numbers_of(params, members)
    except ValueError:
        assert size - max(1, colluding) - losses < 1 or (size + colluding) // 2 + 1 > size
        return
    packing = numbers.packing
    assert packing.privacy >= max(1, colluding)
    assert packing.packed >= 1
    assert numbers.decode == size - losses
    assert 2 * numbers.quorum > size + colluding >= 2 * (numbers.quorum - 1)
