"""The mesh, whole: every n, peers lost at every stage, alone and together, exact over exactly the named inputs."""

from itertools import combinations

import numpy as np
import pytest
from mesh_room import MeshRoom

from mpc.field import M31, M61, PrimeField
from mpc.randomness import SeededRandomness
from protocols.errors import AbortReason, DropReason, PartyId
from protocols.machine import Aborted, Aggregate
from protocols.mesh import story
from protocols.mesh.messages import Round

OUT = (Round.HELLO, Round.SHARE, Round.READY, Round.EXPLICIT)
"""Who is lost here is left out: nothing of it is opened."""
IN = (Round.CERTIFY_INPUTS, Round.PARTIAL, Round.CERTIFY_SUMS, Round.RECOVER, Round.OUTPUT)
"""Who is lost here is in the sum."""


def told(room: MeshRoom, lost: PartyId | None = None) -> Aggregate:
    def rand(me: PartyId) -> SeededRandomness:
        return room.rand.child(f"peer {me}")

    return story(
        room.inputs,
        params=room.params,
        terms=room.terms,
        identities=room.identities,
        rand=rand,
        lost_after_voting=lost,
    )


@pytest.mark.parametrize("lost", [pytest.param(None, marks=pytest.mark.slow), PartyId(4)])
def test_the_story_ends_with_the_sum_of_the_exchange(lost: PartyId | None) -> None:
    room = MeshRoom()
    aggregate = told(room, lost)
    held = room.hold({} if lost is None else {lost: Round.PARTIAL})
    held.require_exact(0, 1, 2, 3, 4)
    assert aggregate.included == set(room.parties)
    assert np.array_equal(aggregate.vector, room.plain_sum(aggregate.included))


SIZES = [3, 4, *(pytest.param(n, marks=pytest.mark.slow) for n in (5, 6, 7, 8, 12, 16))]


@pytest.mark.parametrize("n", SIZES)
def test_every_peer_learns_the_sum_of_all(n: int) -> None:
    MeshRoom(clients=n, length=5).hold().require_exact(*range(n))


@pytest.mark.parametrize("field", [M31, M61, PrimeField(5), PrimeField.with_bits(26)], ids=str)
def test_the_sum_is_exact_in_every_field(field: PrimeField) -> None:
    MeshRoom(clients=3, field=field).hold().require_exact(0, 1, 2)


STAGES = [(stage, stage in IN) for stage in (*OUT, *IN)]


@pytest.mark.parametrize(("stage", "included"), STAGES, ids=str)
def test_a_peer_lost_at_any_stage_is_left_out_or_counted_whole(stage: Round, included: bool) -> None:
    held = MeshRoom(clients=4, length=3).hold({2: stage})
    held.require_exact(0, 1, *([2] if included else []), 3)


@pytest.mark.parametrize(("stage", "included"), [one for one in STAGES if one[0] is not Round.READY], ids=str)
def test_where_the_proposer_is_lost_the_next_one_proposes(stage: Round, included: bool) -> None:
    """The proposer sends no report: there is no stage `ready` at which it could be lost."""
    held = MeshRoom(clients=4, length=3).hold({0: stage})
    held.require_exact(*([0] if included else []), 1, 2, 3)


@pytest.mark.slow
def test_proposers_lost_one_after_the_other_at_every_stage_cost_nothing_but_their_own_inputs() -> None:
    lost = dict(enumerate((Round.SHARE, Round.EXPLICIT, Round.CERTIFY_INPUTS, Round.CERTIFY_SUMS)))
    MeshRoom(clients=9, length=3).hold(lost).require_exact(2, 3, 4, 5, 6, 7, 8)


PAIRS = list(combinations((*OUT, *IN), 2))


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), PAIRS, ids=str)
def test_two_lost_at_any_two_stages(first: Round, second: Round) -> None:
    held = MeshRoom(clients=5, length=3).hold({1: first, 3: second})
    held.require_exact(0, *([1] if first in IN else []), 2, *([3] if second in IN else []), 4)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [Round.PARTIAL, Round.RECOVER])
def test_several_lost_at_one_stage_are_rebuilt_from_shares(stage: Round) -> None:
    lost = {1: Round.CERTIFY_INPUTS, 3: stage, 4: stage}
    MeshRoom(clients=7, length=3).hold(lost).require_exact(*range(7))


def test_a_holder_lost_after_its_partial_sum_is_asked_for_by_its_shares() -> None:
    """1 is in L; 2 gave its partial sum and is lost before it shows its seeds for 1."""
    held = MeshRoom(clients=5, length=3).hold({1: Round.PARTIAL, 2: Round.RECOVER})
    held.require_exact(0, 1, 2, 3, 4)


@pytest.mark.parametrize("stage", [*OUT, Round.CERTIFY_INPUTS])
def test_three_peers_stand_no_loss_before_the_inputs_are_certified(stage: Round) -> None:
    held = MeshRoom(clients=3, length=3).hold({1: stage})
    if stage is Round.CERTIFY_INPUTS:  # its explicit share is everywhere, so the two that are left can go on without it
        held.require_exact(0, 1, 2)
    else:
        held.require_no_result()


@pytest.mark.parametrize("stage", [Round.PARTIAL, Round.CERTIFY_SUMS, Round.OUTPUT])
def test_three_peers_stand_one_loss_after_that(stage: Round) -> None:
    MeshRoom(clients=3, length=3).hold({1: stage}).require_exact(0, 1, 2)


@pytest.mark.parametrize("stage", [stage for stage in Round if stage not in (Round.RECOVER, Round.OUTPUT, Round.DONE)])
def test_three_peers_of_which_one_may_collude_stand_no_loss_at_all(stage: Round) -> None:
    MeshRoom(clients=3, colluding=1, length=3).hold({1: stage}).require_no_result()


def test_below_the_threshold_nobody_gets_a_result_and_everybody_knows() -> None:
    held = MeshRoom(clients=5, length=3).hold(dict.fromkeys(range(1, 4), Round.CERTIFY_INPUTS))
    held.require_no_result()
    assert {peer.outcome for peer in held.left.values()} == {Aborted(AbortReason.TOO_FEW)}


def test_who_is_lost_and_where_is_known_to_every_peer() -> None:
    held = MeshRoom(clients=5, length=3).hold({1: Round.SHARE, 3: Round.PARTIAL})
    for peer in held.left.values():
        assert set(peer.dropped) == {1, 3}
        assert {reason for _, reason in peer.dropped.values()} == {DropReason.VANISHED}
        assert not peer.named
        assert not peer.disputes
