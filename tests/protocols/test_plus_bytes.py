"""The bytes of secagg+ by `protocols/costs.py`, against those of sessions that were held.

pytest tests/protocols/test_plus_bytes.py -s
"""

from collections import Counter

import pytest
from plus_room import PlusRoom

from mpc.field import PrimeField
from protocols import costs
from protocols.errors import SERVER, PartyId
from protocols.secagg_plus.degrees import graph_for
from protocols.secagg_plus.messages import Round
from protocols.session import Variant

LENGTH = 1000
CASES = [(6, 0, 1), *(pytest.param(*one, marks=pytest.mark.slow) for one in [(40, 2, 2), (60, 3, 3), (100, 5, 5)])]


@pytest.mark.parametrize("variant", Variant)
@pytest.mark.parametrize(("n", "colluding", "lost"), CASES)
def test_a_client_and_the_server_send_what_the_formula_says(
    n: int, colluding: int, lost: int, variant: Variant
) -> None:
    room = PlusRoom(
        clients=n, colluding=colluding, losses=lost, length=LENGTH, field=PrimeField.with_bits(26), variant=variant
    )
    sent: Counter[tuple[PartyId, PartyId]] = Counter()

    def count(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        sent[sender, recipient] += len(data)

    there = frozenset(room.parties[: n - lost])
    held = room.hold(dict.fromkeys(room.parties[n - lost :], Round.MASKED_INPUT), tap=count)
    held.require_exact(there)
    degree = graph_for(room.params, n).degree
    peers = sum(len(held.server._graph.peers(one)) for one in room.parties) / n  # as they happened to be drawn
    assert peers == pytest.approx(costs.drawn_peers(n, degree) if variant is Variant.ACTIVE else degree, rel=0.05)
    formula = costs.secagg_plus(costs.Session(n, lost, room.params.spec, variant), degree, peers)
    up = sum(sent[one, SERVER] for one in there) / len(there)
    down = sum(sent[SERVER, one] for one in there) / len(there)
    print(  # noqa: T201
        f"n = {n}, {variant}, k = {degree}: {up:.0f} B up (formula {formula.up}), {down:.0f} B down ({formula.down})"
    )
    assert up == pytest.approx(formula.up, rel=0.01)
    assert down == pytest.approx(formula.down, rel=0.01)
    assert sum(sent.values()) == pytest.approx(formula.server, rel=0.01)
