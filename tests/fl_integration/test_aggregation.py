import threading

import anyio
import numpy as np
import pytest

import veilsum
from fl_integration.aggregation import AggregationError
from fl_integration.layout import LayoutError
from fl_integration.plan import PlanError
from mpc.encoding import EncodingError

STEP = 2 * 1.0 / (2**16 - 1)
STAGES = ("advertise", "share", "masked-input", "confirm", "unmask")


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
            tensors = {"w": np.full((2, 2), party / 10), "n": np.array(party)}
            session.contribute(party, tensors, metrics={"loss": party / 2})
        result = session.result()
    assert list(result.update) == ["w", "n"]
    assert result.update["w"] == pytest.approx(np.full((2, 2), 0.1), abs=2 * STEP)
    assert (result.update["n"].shape, int(result.update["n"])) == ((), 1)
    assert result.metrics["loss"] == pytest.approx(0.5, abs=2 * STEP)


def test_a_list_of_arrays_comes_back_as_a_list():
    with veilsum.local(parties=3) as session:
        for party in range(3):
            session.contribute(party, [np.full(12, place / 100 + party / 1000) for place in range(11)])
        mean = session.mean()
    assert isinstance(mean, list)
    assert [tensor[0] for tensor in mean] == pytest.approx([place / 100 + 0.001 for place in range(11)], abs=STEP)


def test_odd_tensors_keep_their_shapes_and_types():
    given = {
        "scalar": np.float32(0.25),
        "empty": np.zeros((0, 4), dtype=np.float32),
        "counter": np.array(30_000, dtype=np.int64),
        "flags": np.array([True, False]),
        "half": np.array([0.5, -0.25], dtype=np.float16),
        "double": np.array([[0.125]]),
    }
    with veilsum.local(parties=3) as session:
        for party in range(3):
            session.contribute(party, {**given, "counter": given["counter"] + party}, weight=party + 1)
        result = session.result()
    assert result.clipped == 0
    for name, tensor in given.items():
        mean = result.update[name]
        assert (mean.shape, mean.dtype) == (tensor.shape, tensor.dtype)
        if name != "counter":
            assert mean.astype(float) == pytest.approx(tensor.astype(float), abs=2 * STEP + 1e-3 * (name == "half"))
    assert result.update["counter"] == round((30_000 * 6 + 0 * 1 + 1 * 2 + 2 * 3) / 6)


def test_who_does_not_contribute_is_left_out():
    given = updates(5)
    with veilsum.local(parties=5, losses=1) as session:
        for party in (0, 1, 3, 4):
            session.contribute(party, given[party])
        result = session.result()
    assert result.included == {0, 1, 3, 4}
    assert np.abs(result.update - np.mean([given[i] for i in (0, 1, 3, 4)], axis=0)).max() <= STEP


@pytest.mark.parametrize("stage", STAGES)
def test_a_party_lost_at_a_stage_is_in_the_mean_exactly_when_its_input_had_left(stage):
    given, weights = updates(5), [1, 2, 4, 8, 16]
    with veilsum.local(parties=5, losses=1, lose={2: stage}) as session:
        for party, (update, weight) in enumerate(zip(given, weights, strict=True)):
            session.contribute(party, update, weight=weight)
        result = session.result()
    left = stage in ("confirm", "unmask")
    included = [0, 1, 2, 3, 4] if left else [0, 1, 3, 4]
    plain = np.average([given[i] for i in included], axis=0, weights=[weights[i] for i in included])
    assert result.included == set(included)
    assert result.total_weight == sum(weights[i] for i in included)
    assert np.abs(result.update - plain).max() <= STEP


def test_compressed_updates_average_to_the_plain_mean_within_a_few_levels_and_take_fewer_bits():
    given = [update / 10 for update in updates(5)]  # 60 values: L2 norm below 0.7
    with veilsum.local(parties=5, losses=1, compress={"rotate": True, "norm": 1.0, "bits": 10}) as session:
        for party, update in enumerate(given):
            session.contribute(party, update)
        result = session.result()
    assert result.clipped == 0
    assert 0 < np.abs(result.update - np.mean(given, axis=0)).max() < 0.005


def test_an_unknown_compression_is_refused_by_name():
    with pytest.raises(PlanError, match="rotat"):
        veilsum.local(parties=5, compress={"rotat": True})


@pytest.mark.parametrize("stage", STAGES)
def test_below_the_threshold_there_is_an_aggregation_error_and_nothing_else(stage):
    with veilsum.local(parties=5, losses=1, lose={0: stage, 3: stage}) as session:
        for party, update in enumerate(updates(5)):
            session.contribute(party, update)
        with pytest.raises(AggregationError, match=r"no sum \(too-few\)"):
            session.mean()


@pytest.mark.parametrize("stage", STAGES)
def test_a_party_without_an_input_is_never_in_the_mean(stage):
    with veilsum.local(parties=5, losses=1, lose={4: stage}) as session:
        for party, update in enumerate(updates(4)):
            session.contribute(party, update)
        assert session.result().included == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("lose", "message"), [({0: "lunch"}, "'lunch' is no stage: parties are lost at advertise, "), ({5: "share"}, "5")]
)
def test_a_loss_that_cannot_be_is_refused(lose, message):
    with pytest.raises(AggregationError, match=message):
        veilsum.local(parties=5, losses=1, lose=lose)


def test_too_few_contributions_give_no_mean_and_end_the_session():
    with veilsum.local(parties=5, losses=1) as session:
        with pytest.raises(AggregationError, match="nobody has contributed"):
            session.mean()
        for party, update in enumerate(updates(3)):
            session.contribute(party, update)
        for _ in range(2):
            with pytest.raises(AggregationError, match="3 of 5 parties"):
                session.mean()
        with pytest.raises(AggregationError, match="party 3"):
            session.contribute(3, updates(4)[3])


def test_a_mean_of_weight_zero_is_an_aggregation_error():
    with veilsum.local(parties=3) as session:
        for party, update in enumerate(updates(3)):
            session.contribute(party, update, weight=0)
        with pytest.raises(AggregationError, match="the total weight is 0"):
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


@pytest.mark.parametrize("update", ["text", 3.0, None, {"w": np.array(["text"])}, {"w": np.array([1j])}])
def test_what_is_no_array_of_numbers_is_refused(update):
    with veilsum.local(parties=3) as session, pytest.raises(LayoutError):
        session.contribute(0, update)


def test_a_contribution_that_was_refused_can_be_made_again():
    given = updates(3)
    with veilsum.local(parties=3) as session:
        with pytest.raises(EncodingError, match="weight"):
            session.contribute(0, np.zeros(4), weight=17)
        for party, update in enumerate(given):
            session.contribute(party, update)
        assert np.abs(session.mean() - np.mean(given, axis=0)).max() <= STEP


def test_a_closed_session_takes_and_gives_nothing():
    with veilsum.local(parties=3) as session:
        session.contribute(0, np.zeros(2))
    with pytest.raises(AggregationError, match="the session is closed"):
        session.mean()
    with pytest.raises(AggregationError, match="party 1"):
        session.contribute(1, np.zeros(2))


@pytest.mark.parametrize(("parties", "colluding", "losses"), [(2, 0, 0), (3, 0, 1), (5, 3, 1), (5, -1, 0)])
def test_a_session_that_no_threshold_fits_is_refused(parties, colluding, losses):
    with pytest.raises(AggregationError, match="change one of the three"):
        veilsum.local(parties=parties, colluding=colluding, losses=losses)


def test_threads_may_contribute_at_once_and_each_gets_the_same_mean():
    given, means, start = updates(8), [], threading.Barrier(8)

    def take_part(session, party):
        start.wait(10)
        session.contribute(party, given[party])
        start.wait(10)
        means.append(session.mean())

    with veilsum.local(parties=8, losses=1) as session:
        threads = [threading.Thread(target=take_part, args=[session, party]) for party in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(means) == 8
    assert all(mean is means[0] for mean in means)
    assert np.abs(means[0] - np.mean(given, axis=0)).max() <= STEP


def test_two_threads_cannot_contribute_for_one_party():
    refused, start = [], threading.Barrier(2)

    def take_part(session):
        start.wait(10)
        try:
            session.contribute(0, np.zeros(1000))
        except AggregationError as exc:
            refused.append(exc)

    with veilsum.local(parties=3) as session:
        threads = [threading.Thread(target=take_part, args=[session]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(refused) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_same_calls_are_awaited_under_asyncio_and_under_trio(backend):
    given = updates(5)

    async def main():
        async with veilsum.local(parties=5, losses=1, metrics={"loss": (0.0, 1.0)}) as session:
            async with anyio.create_task_group() as group:
                for party, update in enumerate(given):
                    group.start_soon(contribute, session, party, update)
            with pytest.raises(AggregationError, match="party 0"):
                await session.contribute(0, given[0])
            return await session.mean(), await session.result()

    async def contribute(session, party, update):
        await session.contribute(party, update, weight=party + 1, metrics={"loss": 0.5})

    mean, result = anyio.run(main, backend=backend)
    assert np.abs(mean - np.average(given, axis=0, weights=[1, 2, 3, 4, 5])).max() <= STEP
    assert result.metrics["loss"] == pytest.approx(0.5, abs=STEP)


@pytest.mark.slow  # torch takes seconds to load
def test_a_torch_state_dict_comes_back_ready_to_be_loaded():
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    models = [torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)) for _ in range(3)]
    with veilsum.local(parties=3, clip=2.0) as session:
        for party, model in enumerate(models):
            model[1].num_batches_tracked += 10 + party
            session.contribute(party, model.state_dict())
        mean = session.mean()
    plain = torch.stack([model[0].weight for model in models]).mean(0)
    models[0].load_state_dict(mean)
    assert models[0][1].num_batches_tracked == 11
    assert (models[0][0].weight - plain).abs().max() <= 2 * STEP


@pytest.mark.slow  # torch takes seconds to load
def test_the_mean_of_torch_tensors_is_the_mean():
    torch = pytest.importorskip("torch")
    given = [torch.tensor(update, requires_grad=True) for update in updates(3)]
    with veilsum.local(parties=3) as session:
        for party, update in enumerate(given):
            session.contribute(party, update)
        mean = session.mean()
    assert isinstance(mean, torch.Tensor)
    assert not mean.requires_grad
    assert (mean - torch.stack(given).mean(0)).abs().max() <= STEP


@pytest.mark.slow  # torch takes seconds to load
def test_narrow_and_tied_torch_tensors_come_back_as_they_were():
    torch = pytest.importorskip("torch")
    tied = torch.full((4, 2), 0.5)
    given = {
        "bfloat16": torch.full((3,), 0.25, dtype=torch.bfloat16),
        "half": torch.tensor(0.125, dtype=torch.float16),
        "empty": torch.zeros(0, 2),
        "bool": torch.tensor([True, False]),
        "transposed": torch.arange(6, dtype=torch.float32).reshape(2, 3).T / 10,
        "in": tied,
        "out": tied,
    }
    with veilsum.local(parties=3) as session:
        for party in range(3):
            session.contribute(party, given)
        result = session.result()
    assert result.clipped == 0
    for name, tensor in given.items():
        mean = result.update[name]
        assert (mean.dtype, mean.shape) == (tensor.dtype, tensor.shape)
        assert (mean.double() - tensor.double()).abs().max().item() <= 0.004 if tensor.numel() else True
    with veilsum.local(parties=3) as session, pytest.raises(LayoutError, match="'sparse'"):
        session.contribute(0, {"sparse": torch.eye(2).to_sparse()})
