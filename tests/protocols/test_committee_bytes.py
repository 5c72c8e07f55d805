"""The costs of docs/protocols/committee.md, counted; `pytest tests/protocols/test_committee_bytes.py -s`."""

from collections import Counter

import pytest
from committee_room import CommitteeRoom

from mpc.field import PrimeField
from protocols import costs
from protocols.committee.messages import Round
from protocols.errors import SERVER, PartyId
from protocols.session import TEST_WIRE, WIRE, Variant

LENGTH = 10_000
TEST_NAME = len(TEST_WIRE) - len(WIRE)  # a seeded session's invitation is longer by the name of its wire
SHAPES = [
    (4, 4, 1, 1, 0),
    (5, 5, 2, 1, 1),
    (10, 10, 1, 3, 1),
    (40, 10, 1, 3, 4),
]


@pytest.mark.slow
@pytest.mark.parametrize(("n", "aggregators", "colluding", "losses", "lost"), SHAPES)
def test_a_session_sends_what_the_formula_says_within_one_percent(
    n: int, aggregators: int, colluding: int, losses: int, lost: int
) -> None:
    room = CommitteeRoom(
        clients=n, aggregators=aggregators, colluding=colluding, losses=losses, length=LENGTH,
        field=PrimeField.with_bits(26), cohort=3,
    )  # fmt: skip
    sent: Counter[PartyId] = Counter()
    heard: Counter[PartyId] = Counter()

    def count(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        sent[sender] += len(data)
        heard[recipient] += len(data)

    room.hold(dict.fromkeys(range(lost), Round.CONTRIBUTE), tap=count).require_exact(*range(lost, n))
    packed = room.numbers.packing.packed
    formula = costs.committee(costs.Session(n, lost, room.params.spec, Variant.ACTIVE), aggregators, packed)
    stayed, vector = PartyId(n - 1), room.params.spec.masked_size
    total = sent[SERVER] + heard[SERVER]
    print(  # noqa: T201
        f"n = {n}, A = {aggregators}, ell = {packed}, {lost} lost: up {sent[stayed]} B, of it A m / ell "
        f"{aggregators * vector // packed}; down {heard[stayed]} B; server {total} B; formula {formula}"
    )
    assert formula.up == pytest.approx(sent[stayed], rel=0.01)
    assert formula.down + TEST_NAME == pytest.approx(heard[stayed], rel=0.01)
    assert formula.server == pytest.approx(total, rel=0.01)
    assert sent[stayed] == pytest.approx(formula.up, abs=2)
    assert heard[stayed] == pytest.approx(formula.down + TEST_NAME, abs=2 * aggregators)
