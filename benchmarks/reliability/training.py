"""What the processes train here: nothing, with inputs whose sum names its contributors."""

import json
from collections.abc import Callable
from typing import Final

from benchmarks.reliability.faults import Setting
from mpc.field import FieldVector, PrimeField
from protocols.errors import PartyId
from protocols.machine import Aggregate
from protocols.session import VectorSpec
from simulations.oracle import Oracle

FIELD: Final = PrimeField.with_bits(20)

OnSum = Callable[[int, frozenset[PartyId], bool], None]
"""Called with the step, whom the sum says that it covers, and whether it is exactly theirs."""


def initial(steps: int) -> bytes:
    return json.dumps({"steps": steps, "sums": []}).encode()


def sums_in(payload: bytes) -> list[list[int]]:
    """Who was in each sum so far."""
    found: list[list[int]] = json.loads(payload)["sums"]
    return found


class Naming:
    """A workload without a model: the payload lists who was in each sum. on_sum: told of each, whether right or not.

    A wrong sum does not end the training: it is to be seen, and counted.
    """

    def __init__(self, setting: Setting, on_sum: OnSum, place: int | None = None) -> None:
        self._oracle = Oracle(FIELD, setting.length, setting.banks)
        self._length = setting.length
        self._on_sum = on_sum
        self._place = place

    def spec(self, payload: bytes) -> VectorSpec:
        return VectorSpec(self._length, FIELD)

    def contribute(self, payload: bytes) -> FieldVector:
        assert self._place is not None, "a coordinator contributes nothing"
        return self._oracle.input(PartyId(self._place))

    def advance(self, payload: bytes, aggregate: Aggregate) -> bytes:
        exact = self._oracle.exact(aggregate.vector, aggregate.included)
        self._on_sum(self.fl_round(payload), aggregate.included, exact)
        state = json.loads(payload)
        return json.dumps({**state, "sums": [*state["sums"], sorted(aggregate.included)]}).encode()

    def fl_round(self, payload: bytes) -> int:
        return len(sums_in(payload)) + 1

    def finished(self, payload: bytes) -> bool:
        state = json.loads(payload)
        return len(state["sums"]) == int(state["steps"])
