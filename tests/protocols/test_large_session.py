"""A session of a size that a consortium of banks may reach; the figure is printed, for it is not a pass or a fail."""

import sys
import time

import numpy as np
import pytest
from conversation import Room

from mpc.field import PrimeField
from protocols.machine import Finished
from protocols.messages import Round


@pytest.mark.slow
def test_fifty_clients_with_a_million_parameters_of_which_one_in_ten_is_lost(capfd):
    room = Room(clients=50, colluding=5, length=1_000_000, field=PrimeField.with_bits(26))
    start = time.perf_counter()
    talk = room.talk(dict.fromkeys(range(0, 50, 10), Round.MASKED_INPUT))
    seconds = time.perf_counter() - start
    with capfd.disabled():
        sys.stderr.write(f"\n50 clients, 1,000,000 elements of 26 bits, 5 lost: {seconds:.1f} s\n")
    assert isinstance(talk.outcome, Finished)
    assert talk.outcome.aggregate.included == set(room.parties) - {0, 10, 20, 30, 40}
    assert np.array_equal(talk.outcome.aggregate.vector, room.plain_sum(talk.outcome.aggregate.included))
