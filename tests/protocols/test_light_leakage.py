"""What the coordinator and T recipients see of a mask says nothing of it; what U of them see says all."""

from collections import Counter
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from light_room import LightRoom
from scipy.stats import chi2
from test_leakage import run_of_an_input_in

from mpc import lagrange, prg
from mpc.field import M31, M61, FieldVector, PrimeField
from mpc.prg import Seed
from protocols.errors import PartyId
from protocols.lightsecagg import Numbers, coding
from protocols.lightsecagg.bindings import MASK_LABEL
from protocols.lightsecagg.messages import CODEC, AggregatedPiece, MaskedInput, Round
from protocols.session import VectorSpec

ELEVEN = PrimeField(11)
FIVE_PARTIES = Numbers(parties=5, privacy=2, decode=4, quorum=4)  # points 1..5 and 6..9
SPEC = VectorSpec(20_000 - 16, ELEVEN)  # with its canaries two pieces of 10,000
ODDS = 1e-6  # of calling a fair count unfair; all is seeded, so it is decided once

Matrix = npt.NDArray[np.int64]


def require_equally_frequent(columns: Matrix, cells: int) -> None:
    """Chi-square: each of so many possible columns occurs equally often."""
    counts = Counter(map(tuple, columns.T.tolist()))
    expected = columns.shape[1] / cells
    assert expected >= 5
    absent = (cells - len(counts)) * expected
    assert absent + sum((count - expected) ** 2 / expected for count in counts.values()) < chi2.isf(ODDS, cells - 1)


def pieces_of_a_mask(monkeypatch: pytest.MonkeyPatch, masked: FieldVector | None) -> FieldVector:
    """The five pieces of a mask of 20,000 elements: of a pseudorandom one, or of the one given."""
    real = prg.expand

    def expand(seed: Seed, label: str, *given: object) -> FieldVector:
        return masked if label == MASK_LABEL and masked is not None else real(seed, label, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(prg, "expand", expand)
    return coding.cut(Seed(b"m" * 32), Seed(b"n" * 32), FIVE_PARTIES, SPEC)


def constant(value: int) -> FieldVector:
    return ELEVEN.vector([value]).repeat(SPEC.masked_length)


@pytest.mark.slow
@pytest.mark.parametrize("value", [0, 7])
def test_any_t_pieces_are_uniform_whatever_the_mask_is(value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pieces_of_a_mask(monkeypatch, constant(value)).astype(np.int64)
    for chosen in combinations(range(5), 2):
        require_equally_frequent(rows[list(chosen)], 121)


@pytest.mark.slow
def test_more_than_t_pieces_are_not_uniform_where_the_mask_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pieces_of_a_mask(monkeypatch, constant(7)).astype(np.int64)
    for chosen in combinations(range(5), 3):
        with pytest.raises(AssertionError):
            require_equally_frequent(rows[list(chosen)], 1331)


def test_any_u_pieces_are_the_whole_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = ELEVEN.uniform(len(constant(0)), LightRoom().rand)
    rows = pieces_of_a_mask(monkeypatch, mask)
    for chosen in combinations(range(5), 4):
        sources = [FIVE_PARTIES.share_points[place] for place in chosen]
        found = lagrange.evaluate(
            rows[list(chosen)], sources=sources, targets=FIVE_PARTIES.mask_points[:2], field=ELEVEN
        )
        assert np.array_equal(found.reshape(-1), mask)


# A session as the coordinator sees it

TWO_WAYS = [(0, 0, 1), (10, 3, 10)]  # inputs of three parties; both sum to 1


def seen(inputs: tuple[int, ...], length: int) -> tuple[Matrix, Matrix]:
    """The masked inputs of three parties, and the aggregated pieces: a row each."""
    room = LightRoom(clients=3, colluding=1, losses=0, length=length, field=ELEVEN, seed=b"leakage")
    spec, masked, answers = room.params.spec, dict[PartyId, FieldVector](), dict[PartyId, FieldVector]()
    for party, value in zip(room.parties, inputs, strict=True):
        room.inputs[party] = ELEVEN.vector([value] * length)

    def read(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        message = CODEC.decode(data)
        if isinstance(message, MaskedInput):
            masked[sender] = spec.field.unpack(message.masked, spec.masked_length)[:length]
        if isinstance(message, AggregatedPiece):
            answers[sender] = spec.field.unpack(message.piece, -(-spec.masked_length // 2))

    room.hold(tap=read).require_exact(0, 1, 2)
    return tuple(np.stack([given[p] for p in room.parties]).astype(np.int64) for given in (masked, answers))  # type: ignore[return-value]


@pytest.mark.slow
@pytest.mark.parametrize("inputs", TWO_WAYS)
def test_masked_inputs_and_answers_are_uniform_but_for_their_sum_whatever_the_inputs(inputs: tuple[int, ...]) -> None:
    masked, answers = seen(inputs, 16_000)
    for row in range(3):
        require_equally_frequent(masked[row : row + 1], 11)
        require_equally_frequent(answers[row : row + 1], 11)
    require_equally_frequent(masked, 1331)
    half = answers.shape[1]
    require_equally_frequent(np.concatenate([masked[:2, :half], answers[:1]]), 1331)


@pytest.mark.parametrize("field", [M31, M61, PrimeField.with_bits(26)], ids=["M31", "M61", "26 bits"])
def test_no_frame_holds_eight_bytes_of_an_update(field: PrimeField) -> None:
    room, frames = LightRoom(colluding=1, losses=2, field=field, length=40), list[bytes]()
    held = room.hold({4: Round.MASKED_INPUT, 3: Round.AGGREGATE}, tap=lambda _, __, data: frames.append(data))
    held.require_exact(0, 1, 2, 3)
    assert not run_of_an_input_in(frames, room)


def test_an_update_in_a_frame_would_be_found() -> None:
    room = LightRoom(length=40)
    frame = CODEC.encode(MaskedInput(room.field.pack(room.inputs[PartyId(2)])))
    assert run_of_an_input_in([frame], room)


def test_no_recipients_point_is_one_of_the_data() -> None:
    """Or it would be sent a piece of the mask in clear: no value of the data is a piece by itself."""
    weights = lagrange.weights(FIVE_PARTIES.mask_points, FIVE_PARTIES.share_points, ELEVEN)
    assert weights.all()
