"""A set-up and the rounds after it: every sum exact, who was lost is back in the next, and when an epoch ends."""

import pytest
from epoch_room import EpochRoom, parties

from protocols.messages import Round


def test_four_rounds_after_one_set_up_each_with_other_losses_give_four_exact_sums() -> None:
    room = EpochRoom(clients=5, rounds=4)
    room.hold({4: Round.MASKED_INPUT}).require_exact(0, 1, 2, 3)
    room.hold({1: Round.UNMASK}).require_exact(0, 1, 2, 3, 4)
    room.hold({2: Round.MASKED_INPUT, 0: Round.UNMASK}).require_exact(0, 1, 3, 4)
    room.hold().require_exact(0, 1, 2, 3, 4)
