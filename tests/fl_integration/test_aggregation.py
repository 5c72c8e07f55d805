import numpy as np
import pytest

import veilsum
from fl_integration.aggregation import AggregationError
from fl_integration.layout import LayoutError

STEP = 2 * 1.0 / (2**16 - 1)


def updates(parties, shape=(20, 3)):
    rng = np.random.default_rng(5)
    return [rng.uniform(-0.9, 0.9, shape).astype(np.float32) for _ in range(parties)]


def test_the_mean_of_arrays_is_the_weighted_mean_within_one_level():
    given, weights = updates(5), [1, 2, 4, 8, 16]
    with veilsum.local(parties=5, losses=1) as session:
        for party, (update, weight) in enumerate(zip(given, weights, strict=True)):
            session.contribute(party, update, weight=weight)
        result = session.result()
    plain = np.average(given, axis=0, weights=weights)
    assert np.abs(result.update - plain).max() <= STEP
    assert result.included == {0, 1, 2, 3, 4}
    assert (result.total_weight, result.clipped) == (31, 0)


def test_named_tensors_come_back_named_and_shaped_and_metrics_are_averaged():
    with veilsum.local(parties=3, metrics={"loss": (0.0, 2.0)}) as session:
        for party in range(3):
            tensors = {"w": np.full((2, 2), party / 10), "n": np.array(3)}
            session.contribute(party, {**tensors, "n": tensors["n"] * 0}, metrics={"loss": party / 2})
        result = session.result()
    assert result.update["w"] == pytest.approx(np.full((2, 2), 0.1), abs=2 * STEP)
    assert result.update["n"].shape == ()
    assert result.metrics["loss"] == pytest.approx(0.5, abs=2 * STEP)


def test_who_does_not_contribute_is_left_out():
    given = updates(5)
    with veilsum.local(parties=5, losses=1) as session:
        for party in (0, 1, 3, 4):
            session.contribute(party, given[party])
        result = session.result()
    assert result.included == {0, 1, 3, 4}
    assert np.abs(result.update - np.mean([given[i] for i in (0, 1, 3, 4)], axis=0)).max() <= STEP


def test_too_few_contributions_give_no_mean_and_say_so():
    with veilsum.local(parties=5, losses=1) as session:
        for party, update in enumerate(updates(3)):
            session.contribute(party, update)
        with pytest.raises(AggregationError, match="3 of 5 parties"):
            session.mean()


def test_a_party_contributes_once_and_in_the_layout_of_the_first():
    with veilsum.local(parties=3) as session:
        session.contribute(0, {"w": np.zeros(2)})
        with pytest.raises(AggregationError, match="party 0"):
            session.contribute(0, {"w": np.zeros(2)})
        with pytest.raises(AggregationError, match="party 3"):
            session.contribute(3, {"w": np.zeros(2)})
        with pytest.raises(LayoutError, match="w"):
            session.contribute(1, {"w": np.zeros(3)})


@pytest.mark.parametrize(("parties", "colluding", "losses"), [(2, 0, 0), (3, 0, 1), (5, 3, 1), (5, -1, 0)])
def test_a_session_that_no_threshold_fits_is_refused(parties, colluding, losses):
    with pytest.raises(AggregationError, match="change one of the three"):
        veilsum.local(parties=parties, colluding=colluding, losses=losses)


@pytest.mark.slow  # torch takes seconds to load
def test_a_torch_state_dict_is_averaged_with_its_integer_buffers():
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    with veilsum.local(parties=3, clip=2.0) as session:
        for party in range(3):
            session.contribute(party, model.state_dict())
        mean = session.mean()
    assert mean["1.num_batches_tracked"].dtype == np.int64
    for name, tensor in model.state_dict().items():
        assert mean[name] == pytest.approx(tensor.numpy(), abs=2 * STEP)
