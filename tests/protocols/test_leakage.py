"""What the coordinator sees says nothing of one input: neither by its distribution nor by its bytes."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest
from conversation import Room
from scipy.stats import chi2
from watch import Watch

from mpc import shamir
from mpc.field import M31, M61, FieldVector, PrimeField
from mpc.prg import expand
from protocols.errors import PartyId
from protocols.machine import Finished
from protocols.masking import SELF_MASK
from protocols.messages import CODEC, MaskedInput, Roster, Round, SurvivorReveal, UnmaskShares
from protocols.secagg import bindings
from protocols.session import Variant

FIVE = PrimeField(5)
TWO_WAYS = [(0, 0, 1), (4, 3, 4)]  # inputs of three parties; both sum to 1
ODDS = 1e-6  # of calling a fair count unfair; the sessions are seeded, so it is decided once

Matrix = npt.NDArray[np.int64]  # a row for each party


def one_session(inputs: tuple[int, ...], length: int, seed: bytes) -> tuple[Room, Watch]:
    """Three parties, each with one value all along its vector."""
    room, watch = Room(clients=3, length=length, field=FIVE, seed=seed), Watch()
    for party, value in zip(room.parties, inputs, strict=True):
        room.inputs[party] = FIVE.vector([value] * length)
    assert isinstance(room.talk(tap=watch).outcome, Finished)
    return room, watch


def masked_vectors(room: Room, watch: Watch) -> list[FieldVector]:
    """The y that the coordinator received, in order of the party."""
    spec = room.params.spec
    said = [next(m for m in watch.said_by(party) if isinstance(m, MaskedInput)) for party in room.parties]
    return [spec.field.unpack(message.masked, spec.masked_length)[: room.length] for message in said]


def self_masks(room: Room, watch: Watch) -> list[FieldVector]:
    """What the coordinator takes off: rebuilt from what the clients revealed, as it rebuilds it."""
    roster = next(m for m in watch.told_to(PartyId(0)) if isinstance(m, Roster))
    shared = bindings.shared_digest(bindings.session_digest(room.params, roster.entries), frozenset(room.parties))
    revealed = {p: next(m for m in watch.said_by(p) if isinstance(m, UnmaskShares)).reveals for p in room.parties}
    masks = []
    for owner in room.parties:
        reveals = {holder: given[owner] for holder, given in revealed.items()}
        rows = {1 + h: M31.unpack(r.share, shamir.LIMBS) for h, r in reveals.items() if isinstance(r, SurvivorReveal)}
        secret = M31.pack(shamir.reconstruct(rows, threshold=room.t, field=M31))
        masks.append(expand(bindings.self_seed(shared, owner, secret), SELF_MASK, FIVE, 0, room.length))
    return masks


def seen(inputs: tuple[int, ...], sessions: int, length: int) -> tuple[Matrix, Matrix]:
    """Masked values before and after the self masks come off: of all coordinates of all sessions."""
    before, after = [], []
    for index in range(sessions):
        room, watch = one_session(inputs, length, b"leakage %d" % index)
        masked = masked_vectors(room, watch)
        before.append(masked)
        after.append([FIVE.sub(y, mask) for y, mask in zip(masked, self_masks(room, watch), strict=True)])
    return np.concatenate(before, axis=1).astype(np.int64), np.concatenate(after, axis=1).astype(np.int64)


def require_equally_frequent(columns: Matrix, cells: int) -> None:
    """Chi-square: each of so many possible columns occurs equally often."""
    counts = Counter(map(tuple, columns.T.tolist()))
    expected = columns.shape[1] / cells
    assert expected >= 5
    assert len(counts) <= cells
    never = (cells - len(counts)) * expected
    statistic = sum((count - expected) ** 2 / expected for count in counts.values()) + never
    assert statistic < chi2.isf(ODDS, cells - 1)


def require_no_leak(inputs: tuple[int, ...], sessions: int, length: int) -> None:
    before, after = seen(inputs, sessions, length)
    for party in range(3):
        require_equally_frequent(before[party : party + 1], 5)
    require_equally_frequent(before, 125)  # and no two or three of them say anything together
    assert set(after.sum(axis=0) % 5) == {1}  # the sum is what is learnt
    require_equally_frequent(after, 25)  # and of all inputs with this sum each is as likely


@pytest.mark.parametrize("inputs", TWO_WAYS)
def test_the_coordinator_sees_the_same_values_as_often_whatever_the_inputs(inputs: tuple[int, ...]) -> None:
    require_no_leak(inputs, sessions=2, length=10_000)


@pytest.mark.slow
@pytest.mark.parametrize("inputs", [TWO_WAYS[0], pytest.param(TWO_WAYS[1], marks=pytest.mark.exhaustive)])
def test_the_same_over_many_sessions_of_one_element(inputs: tuple[int, ...]) -> None:
    require_no_leak(inputs, sessions=700, length=1)


def test_the_count_would_see_an_unmasked_value() -> None:
    values = np.tile(np.arange(5), 100)
    values[:100] = 3
    with pytest.raises(AssertionError):
        require_equally_frequent(values[np.newaxis], 5)


# The bytes themselves


def windows(data: bytes, size: int = 8) -> set[bytes]:
    return {data[at : at + size] for at in range(len(data) - size + 1)}


def run_of_an_input_in(frames: Iterable[bytes], room: Room) -> bool:
    """Whether eight bytes of some party's update, packed or raw, stand in some frame."""
    updates: set[bytes] = set()
    for vector in room.inputs.values():
        updates |= windows(room.field.pack(vector)) | windows(vector.tobytes())
    return any(updates & windows(frame) for frame in frames)


@pytest.mark.parametrize("variant", Variant)
@pytest.mark.parametrize("field", [M31, M61, PrimeField.with_bits(26)], ids=["M31", "M61", "26 bits"])
def test_no_frame_holds_eight_bytes_of_an_update(field: PrimeField, variant: Variant) -> None:
    room, watch = Room(field=field, variant=variant, length=40), Watch()
    talk = room.talk(vanish={4: Round.MASKED_INPUT, 3: Round.UNMASK}, tap=watch)
    assert isinstance(talk.outcome, Finished)
    assert not run_of_an_input_in((data for _, _, data in watch.frames), room)


def test_an_update_in_a_frame_would_be_found() -> None:
    room = Room(length=40)
    frame = CODEC.encode(MaskedInput(room.field.pack(room.inputs[PartyId(2)])))
    assert run_of_an_input_in([frame], room)
