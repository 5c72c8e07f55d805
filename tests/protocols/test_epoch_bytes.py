"""The bytes of an epoch and its formulas; `pytest tests/protocols/test_epoch_bytes.py -s` prints the counts."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from epoch_room import EpochRoom

from mpc.field import PrimeField
from protocols import costs
from protocols.errors import SERVER, PartyId
from protocols.messages import Round
from protocols.session import Variant

LENGTH = 10_000
CASES = [(3, 2, 0), (5, 4, 1), pytest.param(16, 10, 2, marks=pytest.mark.slow)]


@dataclass
class Counted:
    sent: Counter[PartyId] = field(default_factory=Counter)
    heard: Counter[PartyId] = field(default_factory=Counter)

    def __call__(self, sender: PartyId, recipient: PartyId, data: bytes) -> None:
        self.sent[sender] += len(data)
        self.heard[recipient] += len(data)


def bytes_up(n: int, rounds: int, vector: int) -> int:
    """What a client sends in an epoch without losses: the formula of docs/protocols/epochs.md."""
    return rounds * (vector + 111 * n + 124) + 20 * n + 242


@pytest.mark.slow
@pytest.mark.parametrize(("n", "rounds", "lost"), CASES)
def test_a_client_sends_and_hears_what_the_formula_of_the_costs_says(n: int, rounds: int, lost: int) -> None:
    room, counted = EpochRoom(clients=n, rounds=rounds, length=LENGTH, field=PrimeField.with_bits(26)), Counted()
    gone = dict.fromkeys(range(n - lost, n), Round.MASKED_INPUT)
    for _ in range(rounds):
        room.hold(gone, tap=counted).require_exact(*range(n - lost))
    expected = costs.epoch(costs.Session(n, lost, room.params.spec, Variant.ACTIVE), rounds)
    sent, heard = counted.sent[PartyId(0)], counted.heard[PartyId(0)]
    print(f"n = {n}, B = {rounds}, lost {lost}: {sent} B up, {heard} B down; {expected}")  # noqa: T201
    assert sent == pytest.approx(expected.up, rel=0.001)
    assert heard == pytest.approx(expected.down, rel=0.001)
    assert expected.server is not None
    assert counted.sent[SERVER] + counted.heard[SERVER] == pytest.approx(expected.server, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "rounds"), [(3, 2), (5, 10), (16, 10), (20, 50)])
def test_a_client_sends_what_the_short_formula_says_within_one_percent(n: int, rounds: int) -> None:
    room = EpochRoom(clients=n, rounds=rounds, length=LENGTH, field=PrimeField.with_bits(26))
    exact = costs.epoch(costs.Session(n, 0, room.params.spec, Variant.ACTIVE), rounds)
    short = bytes_up(n, rounds, room.params.spec.masked_size)
    print(f"n = {n}, B = {rounds}: {exact.up} B, short {short} B")  # noqa: T201
    assert short == pytest.approx(exact.up, rel=0.01)
