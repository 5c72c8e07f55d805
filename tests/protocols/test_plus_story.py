"""secagg+ told as one function, held over the wire, and in a cohort where its graph is sparse."""

import sys
import time

import numpy as np
import pytest
from plus_room import PlusRoom, parties

from mpc.field import PrimeField
from mpc.randomness import SeededRandomness
from protocols.errors import PartyId
from protocols.secagg_plus import story
from protocols.secagg_plus.degrees import graph_for
from protocols.secagg_plus.messages import CODEC, Neighbours, Round, Survivors
from protocols.session import Variant


@pytest.mark.parametrize("lost", [None, PartyId(0), PartyId(4)])
def test_the_story_ends_with_the_sum_of_the_exchange(lost: PartyId | None) -> None:
    room = PlusRoom()

    def rand(me: PartyId) -> SeededRandomness:
        return room.rand.child(f"client {me}")

    aggregate = story(
        room.inputs,
        params=room.params,
        terms=room.terms,
        identities=room.identities,
        rand=rand,
        lost_before_masking=lost,
    )
    held = room.hold({} if lost is None else {lost: Round.MASKED_INPUT})
    held.require_exact(frozenset(room.parties) - {lost})
    assert aggregate.included == frozenset(room.parties) - {lost}
    assert np.array_equal(aggregate.vector, room.plain_sum(aggregate.included))


def test_the_story_of_the_curious_variant_is_another() -> None:
    room = PlusRoom(variant=Variant.CURIOUS)
    with pytest.raises(ValueError, match="active"):
        story({}, params=room.params, terms=room.terms, identities=room.identities, rand=lambda _: room.rand)


SPARSE = {"clients": 40, "colluding": 2, "losses": 2, "length": 4}


@pytest.mark.slow
@pytest.mark.parametrize("variant", Variant)
def test_a_sparse_cohort_stands_a_loss_at_every_stage(variant: Variant) -> None:
    room = PlusRoom(**SPARSE, variant=variant)
    assert graph_for(room.params, room.clients).degree < room.clients - 1
    for stage in (one for one in Round if one is not Round.DONE):
        if variant is Variant.CURIOUS and stage in (Round.CHOOSE_HOLDERS, Round.CONFIRM):
            continue
        early = stage in (Round.ADVERTISE, Round.CHOOSE_HOLDERS, Round.SHARE, Round.MASKED_INPUT)
        held = room.hold({3: stage, 17: stage})
        held.require_exact(frozenset(room.parties) - (parties(3, 17) if early else parties()))


@pytest.mark.slow
def test_a_client_hears_of_its_peers_only() -> None:
    room, heard = PlusRoom(**SPARSE), []

    def tap(_sender: PartyId, recipient: PartyId, data: bytes) -> None:
        message = CODEC.decode(data)
        if recipient == 0 and isinstance(message, Neighbours | Survivors):
            heard.append(message)

    room.hold(tap=tap).require_exact(frozenset(room.parties))
    neighbours, survivors = heard
    assert len(neighbours.entries) == 1 + len(survivors.inputs) < room.clients


@pytest.mark.slow
def test_three_hundred_clients_of_which_one_in_twenty_is_lost(capfd: pytest.CaptureFixture[str]) -> None:
    room = PlusRoom(clients=300, colluding=15, losses=15, length=100, field=PrimeField.with_bits(26))
    lost = {party: Round.MASKED_INPUT if party % 40 else Round.UNMASK for party in range(0, 300, 20)}
    start = time.process_time()
    held = room.hold(lost)
    seconds = time.process_time() - start
    with capfd.disabled():
        sys.stderr.write(f"\n300 clients, {graph_for(room.params, 300)}, 15 lost: {seconds:.0f} s of one core\n")
    held.require_exact(frozenset(room.parties) - {one for one, stage in lost.items() if stage is Round.MASKED_INPUT})
