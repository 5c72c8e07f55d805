"""What aggregators, or the relay, see of the others says nothing of one input: by its distribution or by its bytes.

That T shares are uniform and more are not stands in `tests/mpc/test_packed.py`; here it is what a session carries.
"""

from collections import Counter
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from committee_room import CommitteeRoom
from scipy.stats import chi2
from test_leakage import run_of_an_input_in
from watch import Watch

from mpc.field import M31, M61, FieldVector, PrimeField
from protocols.committee.messages import CODEC, Contribution, Round, SumShare
from protocols.errors import PartyId

ELEVEN = PrimeField(11)
TWO_WAYS = [(0, 0, 1, 0), (10, 8, 5, 0)]  # inputs of four clients; both sum to 1
CORRUPT = (PartyId(4), PartyId(7))  # two of five aggregators, as many as T
LENGTH = 20_000
ODDS = 1e-6  # of calling a fair count unfair; the sessions are seeded, so it is decided once

Matrix = npt.NDArray[np.int64]


class Overhearing:
    """An aggregator that writes down the shares that it opens."""

    def __init__(self, room: CommitteeRoom, me: PartyId) -> None:
        self._member, self._room = room.member(me), room
        self.shares: dict[PartyId, FieldVector] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._member, name)

    def receive(self, sender: PartyId, message: Any) -> Any:
        answers = self._member.receive(sender, message)
        for client, held in getattr(self._member._now.aggregator, "held", {}).items():
            if client not in self.shares:
                self.shares[client] = ELEVEN.unpack(held.share, self._room.numbers.share_length)
        return answers


@cache
def seen(inputs: tuple[int, ...]) -> tuple[dict[tuple[PartyId, PartyId], FieldVector], Matrix]:
    """(aggregator, client) -> the share that a corrupt aggregator has; and all five sums, a row each."""
    room = CommitteeRoom(clients=4, aggregators=5, colluding=2, losses=1, length=LENGTH, field=ELEVEN)
    for party, value in zip(room.inputs, inputs, strict=True):
        room.inputs[party] = ELEVEN.vector([value] * LENGTH)
    corrupt, watch = {one: Overhearing(room, one) for one in CORRUPT}, Watch()
    room.hold(machines=corrupt, tap=watch).require_exact(0, 1, 2, 3)  # type: ignore[arg-type]
    blocks = room.numbers.blocks
    shares = {(one, client): share for one in CORRUPT for client, share in corrupt[one].shares.items()}
    messages = [CODEC.decode(data) for _, _, data in watch.frames]
    sums = [ELEVEN.unpack(one.share, blocks) for one in messages if isinstance(one, SumShare)]
    return shares, np.stack(sums).astype(np.int64)[:, : LENGTH - blocks]


def require_equally_frequent(columns: Matrix, cells: int) -> None:
    """Chi-square: each of so many possible columns occurs equally often."""
    counts = Counter(map(tuple, columns.T.tolist()))
    expected = columns.shape[1] / cells
    assert len(counts) == cells
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < chi2.isf(ODDS, cells - 1)


@pytest.mark.slow
@pytest.mark.parametrize("inputs", TWO_WAYS)
def test_any_two_shares_that_two_corrupt_aggregators_hold_are_uniform_whatever_the_inputs(
    inputs: tuple[int, ...],
) -> None:
    shares, _ = seen(inputs)
    assert len(shares) == 8
    for one, other in combinations(shares, 2):
        require_equally_frequent(np.stack([shares[one], shares[other]]).astype(np.int64), 11**2)


@pytest.mark.slow
@pytest.mark.parametrize("inputs", TWO_WAYS)
def test_the_sums_are_shares_of_the_sum_and_of_nothing_else(inputs: tuple[int, ...]) -> None:
    """As many columns as there are noises, each as often: of inputs with one sum, none is more likely."""
    _, sums = seen(inputs)
    require_equally_frequent(sums[:2], 11**2)
    require_equally_frequent(sums, 11**2)


@pytest.mark.slow
def test_both_ways_to_the_same_sum_give_the_same_columns_of_sums() -> None:
    ways = [set(map(tuple, seen(inputs)[1].T.tolist())) for inputs in TWO_WAYS]
    assert ways[0] == ways[1]


def test_the_count_would_see_a_share_without_noise() -> None:
    values = np.tile(np.arange(11), 100)
    values[:100] = 3
    with pytest.raises(AssertionError):
        require_equally_frequent(values[np.newaxis], 11)


@pytest.mark.slow
@pytest.mark.parametrize("field", [M31, M61, PrimeField.with_bits(26)], ids=["M31", "M61", "26 bits"])
@pytest.mark.parametrize("aggregators", [0, 5])
def test_no_frame_holds_eight_bytes_of_an_update(field: PrimeField, aggregators: int) -> None:
    room, watch = CommitteeRoom(field=field, length=40, aggregators=aggregators), Watch()
    room.hold({4 + aggregators: Round.CHECK}, tap=watch).require_exact(0, 1, 2, 3, 4)
    assert not run_of_an_input_in((data for _, _, data in watch.frames), room)


def test_an_update_in_a_frame_would_be_found() -> None:
    room = CommitteeRoom(length=40)
    frame = CODEC.encode(Contribution(bytes(32), bytes(64), room.field.pack(room.inputs[PartyId(2)])))
    assert run_of_an_input_in([frame], room)
