"""The workload of a mean: what is agreed on, what a payload says, and that all parties compute the same one."""

import numpy as np
import pytest

from fl_integration.layout import PayloadError, dump_payload, load_payload
from fl_integration.means import Means, MeanWorkload
from fl_integration.plan import PlanError
from mpc.encoding import EncodingError
from mpc.randomness import SeededRandomness
from protocols.machine import Aggregate
from protocols.session import VectorSpec

TABLE = {
    "kind": "mean",
    "rounds": 2,
    "clip": 1.0,
    "bits": 16,
    "metrics": {"loss": [0.0, 4.0]},
    "tensors": {"w": {"shape": [2, 2], "dtype": "f4"}, "b": {"shape": [], "dtype": "i8"}},
}
STEP = 2 / (2**16 - 1)


@pytest.fixture
def means():
    return Means.from_mapping(TABLE, max_weight=4)


def contribution(place):
    """Asked for a step: w = place / 10 everywhere, b = place, weight place + 1, loss place."""

    def ask(asked):
        flat = np.array([place, *[place / 10] * 4], dtype=np.float32)  # b before w: in the order of the names
        rand = SeededRandomness(bytes([place]))
        return asked.codec.encode(flat, weight=place + 1, metrics={"loss": float(place)}, rand=rand)

    return ask


def step(means, payload, parties=3):
    workloads = [MeanWorkload(means, parties, contribution(place)) for place in range(parties)]
    spec = workloads[0].spec(payload)
    total = spec.field.zeros(spec.length)
    for workload in workloads:
        spec.field.add(total, workload.contribute(payload), out=total)
    aggregate = Aggregate(total, frozenset(range(parties)))
    advanced = {workload.advance(payload, aggregate) for workload in (*workloads, MeanWorkload(means, parties))}
    assert len(advanced) == 1
    return advanced.pop()


def test_all_parties_and_the_coordinator_compute_the_same_payload_and_it_holds_the_mean(means):
    payload = means.initial()
    following = step(means, payload)
    state = means.load(following)
    assert state.fl_round == 2
    assert np.abs(state.tensors["w"] - (0 * 1 + 0.1 * 2 + 0.2 * 3) / 6).max() <= STEP
    assert state.tensors["b"] == round((1 * 2 + 2 * 3) / 6)
    assert (state.facts.included, state.facts.total_weight, state.facts.clipped) == ((0, 1, 2), 6, 0)
    assert state.facts.metrics["loss"] == pytest.approx(8 / 6, abs=4 * STEP)


def test_the_training_ends_after_its_rounds(means):
    workload = MeanWorkload(means, 3)
    payload, seen = means.initial(), []
    for _ in range(2):
        seen.append((workload.fl_round(payload), workload.finished(payload)))
        payload = step(means, payload)
    assert seen == [(1, False), (2, False)]
    assert (workload.fl_round(payload), workload.finished(payload)) == (3, True)


def test_a_payload_is_as_large_before_the_first_mean_as_after_it(means):
    first = means.initial()
    assert abs(len(step(means, first)) - len(first)) < 200


def test_the_order_of_the_table_changes_nothing(means):
    turned = Means.from_mapping({**TABLE, "tensors": dict(reversed(TABLE["tensors"].items()))}, max_weight=4)
    assert turned == means


@pytest.mark.parametrize(
    "compression",
    [{"rotate": True, "norm": 4.0}, {"keep": 0.5}, {"rotate": True, "norm": 4.0, "keep": 0.5, "bits": 8}],
    ids=str,
)
def test_a_compressed_mean_is_the_same_at_all_parties_and_whole_numbers_stay_exact(compression):
    means = Means.from_mapping({**TABLE, **compression}, max_weight=4)
    state = means.load(step(means, means.initial()))
    assert state.tensors["b"] == round((1 * 2 + 2 * 3) / 6)
    assert (state.facts.total_weight, state.tensors["w"].shape) == (6, (2, 2))
    assert np.isfinite(state.tensors["w"]).all()
    assert state.tensors["w"].any()


def test_an_aggregate_that_is_no_sum_is_refused(means):
    workload, payload = MeanWorkload(means, 3), means.initial()
    spec = workload.spec(payload)
    assert isinstance(spec, VectorSpec)
    with pytest.raises(EncodingError, match="the total weight is 0"):
        workload.advance(payload, Aggregate(spec.field.zeros(spec.length), frozenset({0, 1, 2})))


def test_a_coordinator_contributes_nothing(means):
    with pytest.raises(PlanError, match="contributes nothing"):
        MeanWorkload(means, 3).contribute(means.initial())


def forged(payload, tensors=None, **changes):
    given, meta = load_payload(payload)
    return dump_payload(tensors or given, {**meta, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"fl_round": 0},
        {"fl_round": 4},
        {"fl_round": 2},
        {"fl_round": "1"},
        {"format": "veilsum-mean/2"},
        {"extra": 1},
        {"last": 3},
        {"last": {"included": [0], "total_weight": -1, "clipped": 0, "metrics": {}}},
        {"last": {"included": [0], "total_weight": 1, "clipped": 0, "metrics": {"loss": 1}}},
        {"last": {"included": [0], "total_weight": 1, "clipped": 0, "metrics": 3}},
        {"last": {"included": [0], "total_weight": 1, "clipped": 0, "metrics": {"loss": 10**400}}},
        {"tensors": {"w": np.zeros((2, 2), np.float32), "mean.b": np.array(0)}},
        {"tensors": {"mean.w": np.zeros((2, 2), np.float32), "mean.b": np.array(0)}},
        {"tensors": {"mean.b": np.array(0)}},
    ],
    ids=str,
)
def test_a_payload_that_is_not_ours_is_refused(means, changes):
    with pytest.raises(PayloadError):
        means.load(forged(means.initial(), **changes))


@pytest.mark.parametrize("payload", [b"", b"PK\3\4", dump_payload({}, {})])
def test_bytes_that_are_no_payload_are_refused(means, payload):
    with pytest.raises(PayloadError):
        means.load(payload)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": None}, "'kind' is None"),
        ({"run": "twice"}, "'run' is a whole number, not 'twice'"),
        ({"rounds": True}, "'rounds' is a number of 1 or more, not True"),
        ({"tensors": {}}, "write it with mean_table"),
        ({"tensors": {"w": {"shape": [True], "dtype": "f4"}}}, "the shape of 'w'"),
        ({"tensors": {"w": {"shape": [1], "dtype": "f4", "x": 1}}}, "'w' is {shape"),
        ({"tensors": {"w": {"shape": [1], "dtype": "O"}}}, "the dtype of 'w' is one of b1, "),
        ({"keep": 0.5, "norm": 2.0}, "norm is for rotate and sketch"),
        ({"clip": "1"}, "'clip' is of type float"),
        ({"max_weight": 3}, "unknown key 'max_weight'"),
    ],
)
def test_a_table_that_nobody_can_follow_is_refused_in_words(changes, message):
    with pytest.raises(PlanError, match=message):
        Means.from_mapping({**TABLE, **changes}, max_weight=4)
