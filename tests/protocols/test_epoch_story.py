"""The whole epoch as its story tells it."""

import numpy as np
from epoch_room import EpochRoom

from mpc.randomness import SeededRandomness
from protocols.epoch import Step, story
from protocols.errors import PartyId


def test_the_story_gives_the_sum_of_every_step_of_two_epochs() -> None:
    room = EpochRoom(clients=4, rounds=2)
    steps, expected = [], []
    for _ in range(3):
        room.next_step()
        steps.append(Step(dict(room.inputs), room.params, room.terms))
        expected.append(room.plain_sum(frozenset(room.parties)))
    streams: dict[PartyId, SeededRandomness] = {me: room.rand.child(f"story {me}") for me in room.parties}
    sums = list(story(steps, identities=room.identities, rand=streams.__getitem__))
    assert all(one.included == set(room.parties) for one in sums)
    assert all(np.array_equal(one.vector, total) for one, total in zip(sums, expected, strict=True))


def test_equal_inputs_in_two_rounds_leave_no_equal_masked_inputs() -> None:
    room, sent = EpochRoom(clients=3, rounds=2), []
    room.hold(tap=lambda sender, _, data: sent.append(data) if b"MaskedInput" in data else None)
    inputs = dict(room.inputs)
    room.next_step()
    room.inputs = inputs
    room.hold_these(room.machines(), tap=lambda *frame: sent.append(frame[2]) if b"MaskedInput" in frame[2] else None)
    assert len(sent) == len(set(sent)) == 6
