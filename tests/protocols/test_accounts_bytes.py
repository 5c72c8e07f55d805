"""What accountability costs: bytes by `protocols/costs.py` against sessions that were held, and a client's time.

pytest tests/protocols/test_accounts_bytes.py -s
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from conversation import Room
from plus_room import PlusRoom

from mpc.field import PrimeField
from protocols import costs
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange
from protocols.machine import Finished
from protocols.messages import CODEC, Round
from protocols.secagg_plus import messages as sparse
from protocols.secagg_plus.degrees import graph_for
from protocols.session import TEST_WIRE, WIRE, Variant

TEST_NAME = len(TEST_WIRE) - len(WIRE)  # the invitation of a seeded session is so much longer
LENGTH, BITS = 10_000, 26
CASES = [(5, 1), *(pytest.param(*one, marks=pytest.mark.slow) for one in [(20, 2), (60, 6)])]
SPARSE = [(6, 0, 1), *(pytest.param(*one, marks=pytest.mark.slow) for one in [(40, 2, 2), (100, 5, 5)])]


@dataclass
class Timed:
    """A machine, with the seconds of one core that its calls took."""

    machine: Any
    seconds: float = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.machine, name)

    def receive(self, sender: PartyId, message: Any) -> Any:
        before = time.process_time()
        try:
            return self.machine.receive(sender, message)
        finally:
            self.seconds += time.process_time() - before


@dataclass
class Counted:
    """One session in which `lost` vanish before they mask, and what it took the first party."""

    room: Any
    codec: Any
    lost: int
    sent: Counter[PartyId] = field(default_factory=Counter)
    heard: Counter[PartyId] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        machines: Any = self.room.machines()
        client = machines[PartyId(0)] = Timed(machines[PartyId(0)])
        last = self.room.parties[len(self.room.parties) - self.lost :]
        vanish = dict.fromkeys(last, Round.MASKED_INPUT)
        exchange = Exchange(machines, self.codec, vanish=vanish, tap=self._count)  # type: ignore[arg-type]
        assert isinstance(exchange.run(), Finished)
        self.seconds, self.server = client.seconds, machines[SERVER]

    def _count(self, sender: PartyId, recipient: PartyId, data: bytes) -> None:
        self.sent[sender] += len(data)
        self.heard[recipient] += len(data)

    def average(self, counts: Counter[PartyId]) -> float:
        """Of those that stay."""
        there = self.room.parties[: len(self.room.parties) - self.lost]
        return sum(counts[party] for party in there) / len(there)


def show(name: str, n: int, plain: Counted, accountable: Counted, formula: costs.Traffic) -> None:
    up, down = accountable.average(accountable.sent), accountable.average(accountable.heard)
    print(  # noqa: T201
        f"{name}, n = {n}: {plain.average(plain.sent):,.0f} -> {up:,.0f} B up (formula {formula.up:,}), "
        f"{plain.average(plain.heard):,.0f} -> {down:,.0f} B down ({formula.down:,}), "
        f"a client's time x {accountable.seconds / plain.seconds:.2f}"
    )


@pytest.mark.parametrize(("n", "lost"), CASES)
def test_an_accountable_client_sends_and_hears_what_the_formula_says(n: int, lost: int) -> None:
    _, plain, accountable = (  # the first finds everything cold
        Counted(Room(clients=n, length=LENGTH, field=PrimeField.with_bits(BITS), accountable=one), CODEC, lost)
        for one in (False, False, True)
    )
    spec = accountable.room.params.spec
    formula = costs.secagg(costs.Session(n, lost, spec, Variant.ACTIVE, accountable=True))
    show("secagg", n, plain, accountable, formula)
    assert formula.up == pytest.approx(accountable.average(accountable.sent), abs=1)
    heard = accountable.average(accountable.heard)
    assert formula.down + TEST_NAME == pytest.approx(
        heard, rel=0.01
    )  # those at the end, who are lost, have short paths
    without = costs.secagg(costs.Session(n, lost, spec, Variant.ACTIVE))
    assert without.up == pytest.approx(plain.average(plain.sent), abs=1)


@pytest.mark.parametrize(("n", "colluding", "lost"), SPARSE)
def test_the_same_over_a_sparse_graph(n: int, colluding: int, lost: int) -> None:
    plain, accountable = (
        Counted(
            PlusRoom(
                clients=n, colluding=colluding, losses=lost, length=LENGTH, field=PrimeField.with_bits(BITS),
                accountable=one,
            ),
            sparse.CODEC,
            lost,
        )
        for one in (False, True)
    )  # fmt: skip
    room, degree = accountable.room, graph_for(accountable.room.params, n).degree
    peers = sum(len(accountable.server._graph.peers(one)) for one in room.parties) / n
    session = costs.Session(n, lost, room.params.spec, Variant.ACTIVE, accountable=True)
    formula = costs.secagg_plus(session, degree, peers)
    show(f"secagg+, k = {degree}", n, plain, accountable, formula)
    assert accountable.average(accountable.sent) == pytest.approx(formula.up, rel=0.01)
    assert accountable.average(accountable.heard) == pytest.approx(formula.down, rel=0.01)
