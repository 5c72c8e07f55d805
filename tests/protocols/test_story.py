"""The protocol told as one function gives what the machines give when they talk over the wire."""

import numpy as np
import pytest
from conversation import Room

from mpc.randomness import SeededRandomness
from protocols.errors import PartyId
from protocols.machine import Aggregate, Finished
from protocols.messages import Round
from protocols.secagg import story


def told(room: Room, lost: PartyId | None = None) -> Aggregate:
    def rand(me: PartyId) -> SeededRandomness:
        return room.rand.child(f"client {me}")

    return story(
        room.inputs,
        params=room.params,
        terms=room.terms,
        identities=room.identities,
        rand=rand,
        lost_before_masking=lost,
    )


@pytest.mark.parametrize("lost", [None, PartyId(0), PartyId(4)])
def test_the_story_ends_with_the_sum_of_the_exchange(lost: PartyId | None) -> None:
    room = Room()
    aggregate = told(room, lost)
    talk = room.talk({} if lost is None else {lost: Round.MASKED_INPUT})
    assert isinstance(talk.outcome, Finished)
    assert aggregate.included == talk.outcome.aggregate.included == set(room.parties) - {lost}
    assert np.array_equal(aggregate.vector, talk.outcome.aggregate.vector)
    assert np.array_equal(aggregate.vector, room.plain_sum(aggregate.included))
