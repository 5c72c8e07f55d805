"""What the processes of the tests train: contributor i adds 2**i, so a sum names its contributors."""

import json
from collections.abc import Callable

import numpy as np

from mpc.field import FieldVector, PrimeField
from protocols.machine import Aggregate
from protocols.session import VectorSpec

LENGTH = 50
FIELD = PrimeField.with_bits(20)


class PowersOfTwo:
    """Party i contributes 2**i everywhere: a sum names its contributors. The payload lists all sums so far."""

    def __init__(self, place: int | None = None) -> None:
        self.place = place
        self.before_advance: Callable[[int], None] = lambda fl_round: None

    def spec(self, payload: bytes) -> VectorSpec:
        return VectorSpec(LENGTH, FIELD)

    def contribute(self, payload: bytes) -> FieldVector:
        assert self.place is not None, "a coordinator contributes nothing"
        return FIELD.vector([2**self.place] * LENGTH)

    def advance(self, payload: bytes, aggregate: Aggregate) -> bytes:
        self.before_advance(self.fl_round(payload))
        value = np.unique(aggregate.vector)
        assert len(value) == 1
        state = json.loads(payload)
        return json.dumps({**state, "sums": [*state["sums"], int(value[0])]}).encode()

    def fl_round(self, payload: bytes) -> int:
        return len(json.loads(payload)["sums"]) + 1

    def finished(self, payload: bytes) -> bool:
        state = json.loads(payload)
        return len(state["sums"]) == state["steps"]


def initial(steps: int) -> bytes:
    return json.dumps({"steps": steps, "sums": []}).encode()
