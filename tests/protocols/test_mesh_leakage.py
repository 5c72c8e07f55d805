"""What a peer sees of the others says nothing of one input: neither by its distribution nor by its bytes."""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mesh_room import MeshRoom
from scipy.stats import chi2
from test_leakage import run_of_an_input_in
from watch import Watch

from mpc.field import M31, M61, PrimeField
from protocols.errors import PartyId
from protocols.mesh.messages import CODEC, ExplicitShare, PartialSum, Recover, Round

FIVE = PrimeField(5)
TWO_WAYS = [(0, 0, 1), (4, 3, 4)]  # inputs of three parties; both sum to 1
ODDS = 1e-6  # of calling a fair count unfair; the sessions are seeded, so it is decided once

Matrix = npt.NDArray[np.int64]


def vectors(watch: Watch, room: MeshRoom, kind: type) -> list[Any]:
    spec, found = room.params.spec, {}
    for _, _, data in watch.frames:
        message = CODEC.decode(data)
        if isinstance(message, kind):
            found[message.party] = spec.field.unpack(message.vector, spec.masked_length)[: room.length]
    return [found[party] for party in sorted(found)]


def seen(inputs: tuple[int, ...], length: int) -> Matrix:
    """The explicit shares of three peers, then their partial sums: a row each, of all coordinates."""
    room, watch = MeshRoom(clients=3, length=length, field=FIVE, seed=b"leakage"), Watch()
    for party, value in zip(room.parties, inputs, strict=True):
        room.inputs[party] = FIVE.vector([value] * length)
    room.hold(tap=watch).require_exact(0, 1, 2)
    rows = vectors(watch, room, ExplicitShare) + vectors(watch, room, PartialSum)
    return np.stack(rows).astype(np.int64)


def require_equally_frequent(columns: Matrix, cells: int) -> None:
    """Chi-square: each of so many possible columns occurs equally often."""
    counts = Counter(map(tuple, columns.T.tolist()))
    expected = columns.shape[1] / cells
    assert len(counts) == cells
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < chi2.isf(ODDS, cells - 1)


@pytest.mark.slow
@pytest.mark.parametrize("inputs", TWO_WAYS)
def test_explicit_shares_and_partial_sums_are_uniform_but_for_their_sum_whatever_the_inputs(
    inputs: tuple[int, ...],
) -> None:
    rows = seen(inputs, 60_000)
    for row in range(6):
        require_equally_frequent(rows[row : row + 1], 5)
    require_equally_frequent(rows[:3], 125)  # the explicit shares together
    assert set(rows.sum(axis=0) % 5) == {1}  # with the partial sums, the sum is what is learnt
    require_equally_frequent(rows[:5], 3125)  # and of all that is seen, nothing but that


def test_the_count_would_see_an_explicit_share_whose_seeds_are_known() -> None:
    values = np.tile(np.arange(5), 100)
    values[:100] = 3
    with pytest.raises(AssertionError):
        require_equally_frequent(values[np.newaxis], 5)


@pytest.mark.parametrize("field", [M31, M61, PrimeField.with_bits(26)], ids=["M31", "M61", "26 bits"])
def test_no_frame_holds_eight_bytes_of_an_update(field: PrimeField) -> None:
    room, watch = MeshRoom(field=field, length=40), Watch()
    room.hold({4: Round.PARTIAL, 3: Round.RECOVER}, tap=watch).require_exact(0, 1, 2, 3, 4)
    assert not run_of_an_input_in((data for _, _, data in watch.frames), room)
    assert any(isinstance(CODEC.decode(data), Recover) for _, _, data in watch.frames)


def test_an_update_in_a_frame_would_be_found() -> None:
    room = MeshRoom(length=40)
    packed = room.field.pack(room.inputs[PartyId(2)])
    frame = CODEC.encode(ExplicitShare(bytes(32), PartyId(2), bytes(64), packed))
    assert run_of_an_input_in([frame], room)
