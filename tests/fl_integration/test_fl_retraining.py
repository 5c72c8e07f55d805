"""Why the ledger asks for the same set, and not only for another training. [docs/decisions/0008-ledger.md]"""

import numpy as np
import pytest

from fl_integration import synthetic
from fl_integration.schema import Schema
from fl_integration.tabular import table_of
from fl_integration.workload import TabularWorkload, initial_payload
from mpc.randomness import SeededRandomness
from protocols.errors import PartyId
from protocols.machine import Aggregate

BANKS = 5


@pytest.mark.slow
def test_two_sums_of_one_step_that_differ_in_a_bank_point_at_its_update_though_all_others_trained_anew():
    training = synthetic.training("linear")
    schema = Schema.from_mapping(training["schema"])
    tables = [table_of(frame, schema, label="fraud", positive="1") for frame in synthetic.transactions(BANKS, 0)]
    banks = [
        TabularWorkload(training, BANKS, 16, table, SeededRandomness(b"%d" % at)) for at, table in enumerate(tables)
    ]
    payload = initial_payload(training)
    field = banks[0].spec(payload).field
    statistics = banks[0].contribute(payload)
    for bank in banks[1:]:
        statistics = field.add(statistics, bank.contribute(payload))
    payload = banks[0].advance(payload, Aggregate(statistics, frozenset(map(PartyId, range(BANKS)))))

    def weighted(vector):
        decoded = banks[0]._encoding.decode_sum(vector)
        return decoded.mean * decoded.total_weight

    updates = [weighted(bank.contribute(payload)) for bank in banks]
    anew = [weighted(bank.contribute_again(payload)) for bank in banks]
    for victim, own in enumerate(updates):
        difference = sum(updates) - (sum(anew) - anew[victim])
        cosine = difference @ own / np.linalg.norm(difference) / np.linalg.norm(own)
        assert cosine > 0.8
