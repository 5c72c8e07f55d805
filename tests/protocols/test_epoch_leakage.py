"""What the coordinator sees of two rounds of an epoch says nothing of one input, nor of one beside the other."""

from typing import Any

import numpy as np
import pytest
from epoch_room import EpochRoom
from test_leakage import FIVE, require_equally_frequent, run_of_an_input_in
from watch import Watch

from mpc.field import M31, M61, PrimeField
from protocols.epoch.messages import CODEC
from protocols.errors import PartyId
from protocols.messages import MaskedInput, Round

TWO_WAYS = [(0, 0, 1), (4, 3, 4)]  # inputs of three parties; both sum to 1


def masked_vectors(room: EpochRoom, watch: Watch) -> list[Any]:
    spec = room.params.spec
    found = {
        sender: spec.field.unpack(message.masked, spec.masked_length)[: room.length]
        for sender, _, data in watch.frames
        if isinstance(message := CODEC.decode(data), MaskedInput)
    }
    return [found[party] for party in room.parties]


@pytest.mark.slow
@pytest.mark.parametrize("inputs", TWO_WAYS)
def test_masked_inputs_of_two_rounds_are_uniform_together_whatever_the_inputs_and_though_they_are_equal(
    inputs: tuple[int, ...],
) -> None:
    room, rows = EpochRoom(clients=3, rounds=2, length=20_000, field=FIVE, seed=b"epoch leakage"), []
    for _ in range(2):
        room.next_step()
        room.inputs = {me: FIVE.vector([value] * room.length) for me, value in zip(room.parties, inputs, strict=True)}
        watch = Watch()
        room.hold_these(room.machines(), tap=watch).require_exact(0, 1, 2)
        rows += masked_vectors(room, watch)
    columns = np.stack(rows).astype(np.int64)
    require_equally_frequent(columns[:3], 125)
    require_equally_frequent(columns[3:], 125)
    for party in range(3):  # one party's two masked inputs say nothing together
        require_equally_frequent(columns[[party, party + 3]], 25)


def test_the_count_would_see_one_mask_in_two_rounds() -> None:
    mask = FIVE.uniform(20_000, EpochRoom(clients=3).rand.child("one mask")).astype(np.int64)
    with pytest.raises(AssertionError):
        require_equally_frequent(np.stack([mask, (mask + 1) % 5]), 25)


@pytest.mark.parametrize("field", [M31, M61, PrimeField.with_bits(26)], ids=["M31", "M61", "26 bits"])
def test_no_frame_of_any_round_holds_eight_bytes_of_an_update(field: PrimeField) -> None:
    room = EpochRoom(field=field, length=40, rounds=2)
    for losses in ({4: Round.MASKED_INPUT, 3: Round.UNMASK}, {1: Round.MASKED_INPUT}):
        watch = Watch()
        room.hold(losses, tap=watch)
        assert not run_of_an_input_in((data for _, _, data in watch.frames), room)


def test_an_update_in_a_frame_would_be_found() -> None:
    room = EpochRoom(length=40)
    frame = CODEC.encode(MaskedInput(room.field.pack(room.inputs[PartyId(2)])))
    assert run_of_an_input_in([frame], room)
