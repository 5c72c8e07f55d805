"""A training step by step, with plain sums in place of masked ones."""

import json
import logging
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from fl_integration.layout import PayloadError, dump_payload, load_payload
from fl_integration.plan import sample_weight
from fl_integration.schema import Schema, Table
from fl_integration.standardisation import FIELD, Standard, TooManyRows, contribution
from fl_integration.training import TrainingConfig, TrainingError
from fl_integration.workload import (
    State,
    TabularWorkload,
    balanced_loss,
    evaluate,
    initial_payload,
    predict,
    train_alone,
    train_pooled,
)
from mpc.encoding import EncodingError
from mpc.field import M61
from mpc.randomness import SeededRandomness
from protocols.errors import PartyId
from protocols.machine import Aggregate

TRAINING = {
    "model": "linear",
    "rounds": 2,
    "epochs": 3,
    "learning_rate": 0.05,
    "clip": 2.0,
    "label": "fraud",
    "rows_per_unit": 50,
    "schema": {
        "amount": {"range": [0.0, 100.0]},
        "kind": {"categories": ["cash", "shop"]},
        "never": {"range": [-4, 2]},
    },
}
SCHEMA = Schema.from_mapping(TRAINING["schema"])


def bank(seed, rows=120):
    """Large amounts are frauds; the column `never` has no value."""
    rng = np.random.default_rng(seed)
    amount = rng.uniform(0, 100, rows)
    hot = np.eye(3)[rng.integers(0, 3, rows)]
    features = np.column_stack([amount, np.full(rows, np.nan), hot]).astype(np.float32)
    return Table(features, (amount + rng.normal(0, 10, rows) > 70).astype(np.uint8))


BANKS = [bank(seed, 100 * (seed + 1)) for seed in range(3)]
TEST = bank(99, 500)


def workloads(training=TRAINING):
    rand = SeededRandomness(b"rounds")
    return [TabularWorkload(training, 3, 16, table, rand.child(str(at))) for at, table in enumerate(BANKS)]


def coordinator(training=TRAINING):
    return TabularWorkload(training, 3, 16, None, SeededRandomness(b"coordinator"))


def total(parties, payload):
    field = parties[0].spec(payload).field
    vectors = [party.contribute(payload) for party in parties]
    summed = vectors[0]
    for vector in vectors[1:]:
        summed = field.add(summed, vector)
    return Aggregate(summed, frozenset(map(PartyId, range(len(parties)))))


@cache
def trained():
    parties, payload = workloads(), initial_payload(TRAINING)
    payloads = [payload]
    while not parties[0].finished(payload):
        payload = coordinator().advance(payload, total(parties, payload))
        payloads.append(payload)
    return payloads


def test_a_training_begins_with_statistics_and_ends_with_a_model_that_is_worth_what_all_rows_in_one_place_give():
    payloads = trained()
    assert [coordinator().fl_round(payload) for payload in payloads] == [0, 1, 2, 3]
    assert [coordinator().finished(payload) for payload in payloads] == [False, False, False, True]
    pooled = evaluate(train_pooled(TRAINING, BANKS), TEST)
    assert evaluate(payloads[-1], TEST)["auc"] > pooled["auc"] - 0.02
    assert evaluate(payloads[-1], TEST)["average_precision"] > pooled["average_precision"] - 0.05


def test_the_loss_is_that_of_the_model_before_the_round_and_falls():
    history = State.load(trained()[-1]).history
    assert [entry["fl_round"] for entry in history] == [1, 2]
    assert [entry["parties"] for entry in history] == [3, 3]
    assert [entry["weight"] for entry in history] == [2 + 4 + 8] * 2
    assert history[0]["loss"] == pytest.approx(np.log(2), abs=1e-3)
    assert history[1]["loss"] < history[0]["loss"] - 0.1


def test_every_bank_and_the_coordinator_compute_the_same_bytes():
    parties, payload = workloads(), trained()[1]
    summed = total(parties, payload)
    assert len({member.advance(payload, summed) for member in [*parties, coordinator()]}) == 1


def test_statistics_are_those_of_all_rows_joined():
    standard = State.load(trained()[1]).standard
    amounts = np.concatenate([table.features[:, 0] for table in BANKS]).astype(np.float64)
    assert standard.mean[0] == pytest.approx(amounts.mean(), abs=100 * 2**-17)
    assert standard.scale[0] == pytest.approx(amounts.std(), abs=100 * 2**-15)
    assert (standard.mean[1], standard.scale[1]) == (-1.0, 3.0)  # nobody has a value: its range stays


def test_a_column_that_does_not_vary_keeps_a_scale_above_zero():
    table = Table(np.full((10, 5), 50, dtype=np.float32), np.ones(10, dtype=np.uint8))
    standard = Standard.of_sums(SCHEMA, contribution(SCHEMA, table, 1))
    assert standard.mean[0] == pytest.approx(50)
    assert standard.scale[0] == pytest.approx(0.5)


def test_a_missing_value_becomes_the_mean():
    standard = Standard(np.array([10.0]), np.array([2.0]))
    features = np.array([[np.nan, 1], [14, 0]], dtype=np.float32)
    assert standard.applied(features).tolist() == [[0, 1], [2, 0]]


def test_more_rows_than_the_field_can_count_are_refused():
    class Many(Table):
        def __len__(self):
            return 2**29

    with pytest.raises(TooManyRows, match="at most 178956970 rows"):
        contribution(SCHEMA, Many(BANKS[0].features, BANKS[0].labels), 3)


def test_without_statistics_a_training_begins_with_its_first_round():
    training = TRAINING | {"statistics": False}
    payload = initial_payload(training)
    assert coordinator(training).fl_round(payload) == 1
    assert State.load(payload).standard.mean.tolist() == [50.0, -1.0]
    no_numbers = {**TRAINING, "schema": {"kind": TRAINING["schema"]["kind"]}}
    assert coordinator(no_numbers).fl_round(initial_payload(no_numbers)) == 1


def test_the_vector_of_each_step_has_its_spec():
    for payload in trained()[:-1]:
        spec, vector = coordinator().spec(payload), workloads()[0].contribute(payload)
        assert vector.shape == (spec.length,)
        assert vector.dtype == spec.field.dtype
    assert coordinator().spec(initial_payload(TRAINING)).field == FIELD == M61


def test_asked_again_a_bank_trains_anew_and_counts_the_same():
    statistics, first, *_ = trained()
    party = workloads()[0]
    assert np.array_equal(party.contribute(statistics), party.contribute(statistics))
    again = [party.contribute(first) for _ in range(2)]
    means = [coordinator()._encoding.decode_sum(vector).mean for vector in again]
    assert np.abs(means[0] - means[1]).max() > 10 * coordinator()._encoding.error_bound


def test_a_bank_that_was_restarted_trains_anew_when_its_ledger_asks_for_it():
    _, first, *_ = trained()
    means = [coordinator()._encoding.decode_sum(party.contribute(first)).mean for party in (workloads()[0],) * 2]
    party = workloads()[0]
    means.append(coordinator()._encoding.decode_sum(party.contribute_again(first)).mean)
    pairs = ((0, 1), (0, 2), (1, 2))
    assert min(np.abs(means[a] - means[b]).max() for a, b in pairs) > 10 * coordinator()._encoding.error_bound


def test_only_the_statistics_have_no_other_contribution_from_the_same_rows():
    assert [workloads()[0].retrains(payload) for payload in trained()[:2]] == [False, True]


def test_the_local_version_is_that_of_the_rows():
    first, second, _ = workloads()
    flipped = Table(BANKS[0].features, 1 - BANKS[0].labels)
    changed = TabularWorkload(TRAINING, 3, 16, flipped, SeededRandomness(b"changed"))
    versions = {one.local_version for one in (first, second, changed, coordinator())}
    assert len(versions) == 4
    assert {len(version) for version in versions} == {32}
    assert workloads()[0].local_version == first.local_version


def test_who_has_no_rows_or_no_step_left_contributes_nothing():
    first, *_, last = trained()
    with pytest.raises(TrainingError, match="coordinator has no rows"):
        coordinator().contribute(first)
    with pytest.raises(TrainingError, match="finished"):
        workloads()[0].contribute(last)


def test_a_sum_without_weight_moves_nothing():
    payload = trained()[1]
    spec = coordinator().spec(payload)
    with pytest.raises(EncodingError, match="weight is 0"):
        coordinator().advance(payload, Aggregate(spec.field.zeros(spec.length), frozenset()))


@pytest.mark.parametrize(("rows", "weight"), [(1, 1), (100, 1), (141, 1), (142, 2), (400, 4), (1500, 16), (10**9, 16)])
def test_a_weight_is_a_power_of_two_near_the_rows_in_units(rows, weight):
    assert sample_weight(rows, 100) == weight


def test_a_weight_does_not_pass_the_largest_power_of_two_that_is_allowed():
    assert sample_weight(10**6, 100, w_max=10) == 8
    assert sample_weight(10**6, 100, w_max=1) == 1


def test_the_balanced_loss_weighs_both_classes_alike():
    labels = np.array([1, 0, 0, 0], dtype=np.uint8)
    assert balanced_loss(np.zeros(4), labels) == pytest.approx(np.log(2))
    assert balanced_loss(np.array([-1000.0, -1000, -1000, -1000]), labels) == pytest.approx(500)


def test_a_bank_alone_is_scored_as_a_federation_is():
    payload = train_alone(TRAINING, BANKS[0])
    assert State.load(payload).finished
    assert predict(payload, TEST).shape == (len(TEST),)
    assert ((predict(payload, TEST) >= 0) & (predict(payload, TEST) <= 1)).all()


# --- payloads ---


def edited(**changes):
    tensors, meta = load_payload(initial_payload(TRAINING))
    return dump_payload(tensors, {name: value for name, value in {**meta, **changes}.items() if value is not None})


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        dump_payload({}, {}),
        edited(format="veilsum-tabular/2"),
        edited(model="forest"),
        edited(fl_round=None),
        edited(fl_round=1.0),
        edited(fl_round=-1),
        edited(more=1),
        edited(history=3),
        edited(history=[1]),
        edited(fl_round=4),
        edited(rounds=9),
        edited(schema="0" * 64),
        edited(model="mlp"),
    ],
)
def test_a_payload_of_something_else_is_refused(payload):
    with pytest.raises(PayloadError):
        workloads()[0].contribute(payload)


@pytest.mark.parametrize(
    "change",
    [
        {"tensors": {"weights": np.zeros(4, dtype=np.float32), "intercept": np.zeros(1, dtype=np.float32)}},
        {"tensors": {"weights": np.full(5, np.nan, dtype=np.float32), "intercept": np.zeros(1, dtype=np.float32)}},
        {"standard": Standard(np.zeros(2), np.zeros(2))},
        {"standard": Standard(np.zeros(3), np.ones(3))},
        {"standard": Standard(np.zeros(2), np.array([1.0, np.inf]))},
    ],
)
def test_a_payload_whose_tensors_do_not_fit_the_training_is_refused(change):
    payload = replace(State.load(initial_payload(TRAINING)), **change).dump()
    with pytest.raises(PayloadError):
        workloads()[0].contribute(payload)


# --- configuration ---


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epoch": 3}, "training.epoch is not known: did you mean epochs"),
        ({"rounds": 0}, "training.rounds is 1 or more"),
        ({"rounds": 2.0}, "training.rounds is of type int, not float"),
        ({"rounds": True}, "training.rounds is of type int, not bool"),
        ({"clip": 0}, "training.clip is above 0"),
        ({"learning_rate": float("nan")}, "training.learning_rate is above 0"),
        ({"bits": 33}, "training.bits is 32 at most"),
        ({"model": "forest"}, "training.model is one of linear, mlp, not 'forest'"),
        ({"label": "amount"}, "training.schema holds the label column"),
        ({"statistics": 1}, "training.statistics is of type bool"),
        ({"seed": -1}, "training.seed lies in"),
    ],
)
def test_a_training_that_is_wrong_is_refused_by_its_key(change, said):
    with pytest.raises(TrainingError, match=said.replace(".", r"\.")):
        TrainingConfig.from_mapping(TRAINING | change)


def test_a_training_without_a_key_that_it_needs_is_refused():
    with pytest.raises(TrainingError, match=r"training\.clip is missing"):
        TrainingConfig.from_mapping({name: value for name, value in TRAINING.items() if name != "clip"})


def test_the_order_of_the_schema_does_not_change_the_first_payload():
    reordered = TRAINING | {"schema": dict(reversed(TRAINING["schema"].items()))}
    assert initial_payload(reordered) == initial_payload(json.loads(json.dumps(TRAINING)))


def test_a_bank_is_told_when_most_of_a_sum_is_its_own(caplog):
    sizes = {**TRAINING, "rows_per_unit": 20, "statistics": False}
    rand = SeededRandomness(b"own weight")
    large = TabularWorkload(sizes, 3, 16, bank(1, 320), rand.child("large"))
    small = [TabularWorkload(sizes, 3, 16, bank(place, 40), rand.child(f"small {place}")) for place in (2, 3)]
    payload = initial_payload(sizes)
    aggregate = total([large, *small], payload)
    logger = logging.getLogger("veilsum.training")
    logger.addHandler(caplog.handler)
    try:
        large.advance(payload, aggregate)
        assert "our weight was 16 of 20" in caplog.text
        caplog.clear()
        small[0].advance(payload, aggregate)
        assert caplog.text == ""
    finally:
        logger.removeHandler(caplog.handler)
