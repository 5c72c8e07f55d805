"""Five banks of the demo, one of them lost in the second round: what the federation is worth, in the plain.

The sums are taken without masks but through the encoding: they are the numbers that secure aggregation returns.
"""

from functools import cache

import numpy as np
import pytest

from fl_integration import synthetic
from fl_integration.schema import Schema, Table
from fl_integration.tabular import table_of
from fl_integration.workload import TabularWorkload, evaluate, initial_payload, train_alone, train_pooled
from mpc.randomness import SeededRandomness
from protocols.errors import PartyId
from protocols.machine import Aggregate

BANKS = 5
ABOVE_ALONE = 0.03
BELOW_POOLED = 0.02

pytestmark = pytest.mark.slow


@cache
def tables(seed: int) -> tuple[list[Table], Table]:
    schema = Schema.from_mapping(synthetic.SCHEMA)
    frames = [*synthetic.transactions(BANKS, seed), synthetic.held_out(seed)]
    *banks, test = [table_of(frame, schema, label=synthetic.LABEL, positive="1") for frame in frames]
    return banks, test


@cache
def without_federation(model: str, seed: int) -> tuple[float, float]:
    """(mean AUC of the banks alone, AUC of all rows in one place)"""
    banks, test = tables(seed)
    training = synthetic.training(model, seed=seed)
    alone = [evaluate(train_alone(training, bank), test)["auc"] for bank in banks]
    return float(np.mean(alone)), evaluate(train_pooled(training, banks), test)["auc"]


def federated(model: str, seed: int, lost: int) -> float:
    banks, test = tables(seed)
    training = synthetic.training(model, seed=seed)
    rand = SeededRandomness(b"quality %d" % seed)
    workloads = [TabularWorkload(training, BANKS, 16, bank, rand.child(str(at))) for at, bank in enumerate(banks)]
    coordinator = TabularWorkload(training, BANKS, 16, None, rand.child("coordinator"))
    payload = initial_payload(training)
    while not coordinator.finished(payload):
        here = [at for at in range(BANKS) if coordinator.fl_round(payload) < 2 or at != lost]
        payload = coordinator.advance(payload, plain_sum(workloads, payload, here))
    return evaluate(payload, test)["auc"]


def plain_sum(workloads: list[TabularWorkload], payload: bytes, here: list[int]) -> Aggregate:
    field = workloads[0].spec(payload).field
    total = workloads[here[0]].contribute(payload)
    for at in here[1:]:
        total = field.add(total, workloads[at].contribute(payload))
    return Aggregate(total, frozenset(map(PartyId, here)))


RUNS = [*((0, lost) for lost in range(BANKS)), (1, 4), (2, 0), (3, 4), (4, 0)]  # seed, the bank that is lost
NETWORKS = [pytest.param("mlp", *run, marks=[] if run in RUNS[:2] else [pytest.mark.exhaustive]) for run in RUNS]


@pytest.mark.parametrize(("model", "seed", "lost"), [*(("linear", *run) for run in RUNS), *NETWORKS])
def test_a_federation_that_loses_a_bank_is_better_than_banks_alone_and_near_to_all_rows_in_one_place(model, seed, lost):
    alone, pooled = without_federation(model, seed)
    together = federated(model, seed, lost)
    print(f"{model} seed {seed} lost {lost}: alone {alone:.3f} federated {together:.3f} pooled {pooled:.3f}")  # noqa: T201
    assert together >= alone + ABOVE_ALONE
    assert together >= pooled - BELOW_POOLED
