"""The committee, whole: roles together and apart, members lost at every stage, exact over exactly the named inputs."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from committee_room import CommitteeRoom

from mpc.field import M31, M61, PrimeField
from mpc.randomness import SeededRandomness
from protocols.committee import NoCommittee, numbers_of, story
from protocols.committee.family import COMMITTEE
from protocols.committee.messages import CODEC, Round
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId
from protocols.exchange import Exchange
from protocols.machine import Aborted, Aggregate, Envelope, Finished
from protocols.session import Variant

STAGES = [stage for stage in Round if stage is not Round.DONE]


def told(room: CommitteeRoom, lost: PartyId | None = None) -> Aggregate:
    def rand(me: PartyId) -> SeededRandomness:
        return room.rand.child(f"member {me}")

    return story(
        room.inputs,
        params=room.params,
        terms=room.terms,
        identities=room.identities,
        rand=rand,
        lost_after_contributing=lost,
    )


@pytest.mark.parametrize("aggregators", [pytest.param(0, marks=pytest.mark.slow), 4])
def test_the_story_ends_with_the_sum_of_the_exchange(aggregators: int) -> None:
    room = CommitteeRoom(aggregators=aggregators)
    aggregate = told(room)
    room.hold().require_exact(0, 1, 2, 3, 4)
    assert aggregate.included == {0, 1, 2, 3, 4}
    assert np.array_equal(aggregate.vector, room.plain_sum(aggregate.included))


def test_a_client_that_is_lost_after_it_spoke_costs_nothing() -> None:
    room = CommitteeRoom(aggregators=4)
    aggregate = told(room, PartyId(2))
    assert aggregate.included == {0, 1, 2, 3, 4}
    assert np.array_equal(aggregate.vector, room.plain_sum(aggregate.included))


def test_the_five_banks_of_the_specification() -> None:
    numbers = CommitteeRoom(clients=5, colluding=2, losses=1).numbers
    assert (numbers.packing.privacy, numbers.packing.packed, numbers.decode, numbers.quorum) == (2, 2, 4, 4)


@pytest.mark.parametrize("field", [M31, M61, PrimeField(11), PrimeField.with_bits(26)], ids=str)
@pytest.mark.parametrize("length", [1, 19])
def test_the_sum_is_exact_in_every_field_with_room_for_the_points(field: PrimeField, length: int) -> None:
    CommitteeRoom(clients=4, field=field, length=length).hold().require_exact(0, 1, 2, 3)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("party", [0, 2, 4, 7])
def test_a_member_lost_at_any_stage_is_left_out_or_counted_whole(stage: Round, party: int) -> None:
    """Roles apart; together they are in the conformance suite."""
    room = CommitteeRoom(length=3, aggregators=5)
    held = room.hold({party: stage})
    expected = room.expected({party: stage})
    assert expected is not None
    held.require(expected)


PAIRS = list(combinations(STAGES, 2))


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), PAIRS, ids=str)
def test_two_lost_at_any_two_stages(first: Round, second: Round) -> None:
    lost = {1: first, 3: second}
    for losses in (1, 2):
        room = CommitteeRoom(length=3, losses=losses)
        room.hold(lost).require(room.expected(lost))


@pytest.mark.parametrize("stage", [Round.CONTRIBUTE, Round.CERTIFY, Round.SUM])
def test_below_the_numbers_nobody_gets_a_result_and_everybody_knows(stage: Round) -> None:
    held = CommitteeRoom(length=3).hold({1: stage, 3: stage})
    held.require_no_result()
    assert held.server.outcome == Aborted(AbortReason.TOO_FEW)


def test_fewer_inputs_than_a_sum_must_cover_are_not_summed() -> None:
    held = CommitteeRoom(clients=4, aggregators=4, cohort=4, length=3).hold({1: Round.CONTRIBUTE})
    held.require_no_result()


def test_who_is_lost_and_where_is_known_and_after_its_last_answer_nobody_is_lost() -> None:
    held = CommitteeRoom(aggregators=5, losses=2, length=3).hold({1: Round.CONTRIBUTE, 6: Round.VOW, 9: Round.SUM})
    gone = DropReason.VANISHED
    assert held.server.dropped == {1: (Round.CONTRIBUTE, gone), 6: (Round.VOW, gone), 9: (Round.SUM, gone)}
    server = CommitteeRoom(aggregators=5, length=3).server()
    server.drop(PartyId(1), gone)
    server.drop(PartyId(6), gone)
    assert server.dropped == {1: (Round.CONTRIBUTE, gone), 6: (Round.ADVERTISE, gone)}


class Mute:
    """A machine that hears and says nothing in this round, and is there."""

    def __init__(self, machine: Any, stage: Round) -> None:
        self._machine, self._stage = machine, stage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._machine, name)

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        return [one for one in self._machine.receive(sender, message) if one.message.round is not self._stage]


@pytest.mark.parametrize(
    ("mute", "stage", "told_", "included"),
    [
        (2, Round.CONTRIBUTE, AbortReason.TOLD, {0, 1, 3, 4}),
        (6, Round.VOW, AbortReason.TOLD, {0, 1, 2, 3, 4}),
    ],
)
def test_a_slow_member_is_left_out_and_told(mute: int, stage: Round, told_: AbortReason, included: set[int]) -> None:
    room = CommitteeRoom(length=3, aggregators=5)
    held = room.hold(machines={PartyId(mute): Mute(room.member(PartyId(mute)), stage)})
    assert held.server.dropped == {mute: (stage, DropReason.TOO_SLOW)}
    assert held.machines[PartyId(mute)].outcome == Aborted(told_)
    assert all(aggregate.included == included for aggregate in held.aggregates().values())
    assert held.aggregates().keys() == held.left.keys() - {mute}


@pytest.mark.parametrize("absent", [2, 7])
def test_who_is_absent_from_the_start_is_dropped_before_it_and_not_asked(absent: int) -> None:
    room = CommitteeRoom(length=3, aggregators=5)
    machines: dict[PartyId, Any] = room.machines()
    del machines[PartyId(absent)]
    machines[SERVER].drop(PartyId(absent), DropReason.VANISHED)
    exchange = Exchange(machines, CODEC)
    outcome = exchange.run()
    assert isinstance(outcome, Finished)
    assert outcome.aggregate.included == frozenset(room.inputs) - {absent}
    assert set(machines[SERVER].dropped) == {absent}


# The numbers


def test_what_a_network_must_admit_follows_from_the_session() -> None:
    room, largest = CommitteeRoom(clients=5, aggregators=5, length=4000), {"up": 0, "upload": 0, "down": 0}

    def measure(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        upload = isinstance(CODEC.decode(data), COMMITTEE.uploads)
        way = "down" if sender == SERVER else "upload" if upload else "up"
        largest[way] = max(largest[way], len(data))

    room.hold(tap=measure)
    limits = COMMITTEE.limits(room.params, 10)
    assert largest["up"] <= limits.up <= largest["up"] + 20_000
    assert largest["upload"] <= limits.upload <= largest["upload"] + 20_000
    assert largest["down"] <= limits.down <= largest["down"] + 40_000


def test_its_numbers_are_named_as_in_the_papers() -> None:
    room = CommitteeRoom(clients=5, colluding=2, losses=1)
    assert COMMITTEE.numbers(room.params, 5) == {"t": 4, "k": 5, "A": 5, "T": 2, "ell": 2, "q": 4}


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"losses": 4}, "take 1 more aggregators, or plan for 1 fewer"),
        ({"colluding": 4, "losses": 2}, "take 2 more aggregators"),
        ({"threshold": 6}, "a certificate takes 6 of 5"),
        ({"variant": Variant.CURIOUS}, "active only"),
        ({"aggregators": frozenset({PartyId(9)})}, "party 9 is to aggregate and is no member"),
    ],
)
def test_a_committee_that_cannot_be_is_refused_with_what_to_change(changes: dict[str, object], remedy: str) -> None:
    room = CommitteeRoom()
    with pytest.raises(LocalProtocolError, match=remedy):
        room.server(**changes)


def test_a_field_without_room_for_the_points_is_refused() -> None:
    room = CommitteeRoom(field=PrimeField(7))
    with pytest.raises(NoCommittee, match="take a larger field"):
        numbers_of(room.params, room.terms.members)
