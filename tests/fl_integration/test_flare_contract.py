"""NVIDIA FLARE's FedAvg over secure sums: real controllers and executors, each Shareable through FLARE's own bytes."""

import logging
import subprocess
import sys

import numpy as np
import pytest
from flare_house import (
    ACCURACY,
    MODEL,
    SECRET,
    WEIGHTS,
    Training,
    fedavg,
    house,
    opened_round,
    through_bytes,
    trained,
    wire_messages,
)
from nvflare.apis.event_type import EventType
from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import FilterKey, ReturnCode
from nvflare.apis.shareable import make_reply
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.aggregators.model_aggregator import ModelAggregator
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.app_common.widgets.convert_to_fed_event import ConvertToFedEvent
from nvflare.app_common.widgets.intime_model_selector import IntimeModelSelector
from nvflare.app_common.workflows.base_fedavg import BaseFedAvg
from nvflare.app_common.workflows.cyclic import Cyclic
from nvflare.app_common.workflows.fedavg import FedAvg
from nvflare.app_common.workflows.scaffold import Scaffold

from fl_integration.flare import server
from fl_integration.flare.shareables import step_of
from protocols.messages import Round
from veilsum.flare import FlareError, OnlySums, SecureController, SecureExecutor
from veilsum.frameworks import open_desk

STAGES = [Round.ADVERTISE, Round.SHARE, Round.MASKED_INPUT, Round.CONFIRM, Round.UNMASK]
HALF_ULP = 2.0**-10  # of a half-precision number between 1 and 2


@pytest.fixture
def three(tmp_path):
    return house(tmp_path, nodes=3, losses=0)


@pytest.fixture
def five(tmp_path):
    return house(tmp_path)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A house of three after one round, with what its controller saved."""
    finished = house(tmp_path_factory.mktemp("ran"), nodes=3, losses=0)
    return finished, finished.run(fedavg())


def plain_mean(start, places):
    """Averaging with the same rounded weights, in float64."""
    total = sum(WEIGHTS[place] for place in places)
    moved = {place: trained({k: v.astype(np.float64) for k, v in start.items()}, place) for place in places}
    moved = {p: {**m, "batches": start["batches"] + 10 * (p + 1)} for p, m in moved.items()}
    return {name: sum(WEIGHTS[p] * moved[p][name] for p in places) / total for name in start}


def require_mean(params, house, places, rounds=1):
    """Within the bound that the codec promises, and what a tensor's own type rounds. FLARE's averaging makes floats of
    whole numbers: these it saves as floats."""
    plan = open_desk(house.folder / "server.toml").plan
    step = step_of(FLModelUtils.to_shareable(FLModel(params=MODEL)), plan, len(house.sites))
    expected = plain_mean(MODEL, places)
    assert list(params) == list(MODEL)
    for name, tensor in params.items():
        assert tensor.shape == MODEL[name].shape
        assert tensor.dtype == (np.float64 if name == "batches" else MODEL[name].dtype)
        bound = step.codec.error_bound + {"batches": 0.5, "half": HALF_ULP}.get(name, 1e-6)
        np.testing.assert_allclose(tensor.astype(np.float64), expected[name], rtol=0, atol=rounds * bound)


def places_of(house, lost=()):
    return [place for place, site in enumerate(house.sites) if site not in lost]


# What comes out


def test_the_controller_gets_the_weighted_mean_of_all_sites(ran):
    house, inner = ran
    (model,) = inner.saved
    require_mean(model.params, house, [0, 1, 2])
    mean = np.average(ACCURACY[:3], weights=WEIGHTS[:3])
    assert model.metrics["accuracy"] == pytest.approx(mean, abs=1e-4)
    assert not house.panics()


def test_the_training_gets_its_own_task_once_a_round(ran):
    house, _ = ran
    assert [training.asked for training in house.sites.values()] == [["train"]] * 3


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_site_lost_at_any_stage_leaves_the_mean_of_the_others_or_its_own_if_its_input_had_left(five, stage):
    five.lose = {("site-4", stage)}
    (model,) = five.run(fedavg()).saved
    masked = stage in (Round.CONFIRM, Round.UNMASK)
    require_mean(model.params, five, places_of(five, () if masked else ["site-4"]))
    asked_after = [each for site, each, *_ in five.sent if site == "site-4"]
    assert asked_after == STAGES[: STAGES.index(stage) + 1]  # it hears no more of this sum


@pytest.mark.slow
def test_a_lost_site_is_back_in_the_next_round(five, caplog):
    five.lose = {("site-4", Round.MASKED_INPUT)}
    with caplog.at_level(logging.INFO, "veilsum.flare"):
        inner = fedavg(rounds=2)
        inner.save_model = lambda model: five.lose.clear()
        five.run(inner)
    said = [line for line in caplog.messages if line.startswith("secure sum over")]
    assert said == ["secure sum over 4 of 5 sites", "secure sum over 5 of 5 sites"]


@pytest.mark.slow
def test_a_site_whose_answer_is_late_is_left_out_when_the_patience_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "_LOOK", 0.01)
    slow = house(tmp_path, patience=0.05)
    slow.late = {("site-2", Round.SHARE)}
    (model,) = slow.run(fedavg()).saved
    require_mean(model.params, slow, places_of(slow, ["site-2"]))
    assert len(slow.cancelled) == 1


@pytest.mark.slow
@pytest.mark.parametrize("stage", [Round.SHARE, Round.MASKED_INPUT, Round.UNMASK])
def test_below_the_threshold_flare_ends_the_job_and_the_model_stays(three, stage):
    three.lose = {("site-2", stage)}
    inner = three.run(fedavg())
    (reason,) = three.panics()
    assert "no secure sum, the model stays as it was: too-few" in reason
    assert inner.saved == []


@pytest.mark.slow
def test_a_sum_is_tried_again_as_often_as_the_policy_says(three):
    three.lose = {("site-2", Round.SHARE)}
    three.run(fedavg())
    asked = [stage for site, stage, *_ in three.sent if site == "site-1"]
    assert asked == [Round.ADVERTISE, Round.SHARE] * 3
    assert three.sites["site-1"].asked == ["train"] * 3  # each time with a new result of the training


@pytest.mark.slow
def test_whole_numbers_are_whole_numbers_again_for_the_sites_of_every_round(three):
    first, second = three.run(fedavg(rounds=2)).saved
    assert {start.params["batches"].dtype for _, stage, start in models(three)} == {np.dtype(np.int64)}
    mean = round(float(plain_mean(MODEL, [0, 1, 2])["batches"]))
    assert first.params["batches"] == mean
    assert second.params["batches"] == 2 * mean - 7


def models(house):
    """The models that went out, with their site and round."""
    sent = [each for each in house.sent if each[1] is Round.ADVERTISE]
    return [(site, stage, FLModelUtils.from_shareable(asked["veilsum.model"])) for site, stage, asked, _ in sent]


def test_a_controller_that_waits_for_results_gets_one(three):
    class Waiting(BaseFedAvg):
        def __init__(self):
            super().__init__(persistor_id="")

        def run(self):
            model = FLModel(params=MODEL, current_round=0, total_rounds=1)
            self.results = self.send_model_and_wait(targets=self.sample_clients(), data=model)
            self.mean = self.aggregate(self.results)

    inner = three.run(Waiting())
    (result,) = inner.results
    assert result.meta["NUM_STEPS_CURRENT_ROUND"] == sum(WEIGHTS[:3])
    require_mean(inner.mean.params, three, [0, 1, 2])


@pytest.mark.slow
def test_flares_own_model_selector_sees_the_mean_of_the_metric(three):
    selector = IntimeModelSelector(key_metric="accuracy")
    context = three.server.new_context
    three.server.fire_event = lambda event, fl_ctx: selector.handle_event(event, fl_ctx)
    selector.handle_event(EventType.START_RUN, context())
    three.run(fedavg(rounds=2))
    assert selector.best_val_metric == pytest.approx(np.average(ACCURACY[:3], weights=WEIGHTS[:3]), abs=1e-4)


def test_an_aborted_job_asks_nobody_any_more(three):
    three.abort_signal.trigger(True)
    inner = three.run(fedavg())
    assert {stage for _, stage, *_ in three.sent} == {Round.ADVERTISE}
    assert len(three.sent) == 3
    assert inner.saved == []


# What leaves a site


def test_nothing_leaves_a_site_but_packets_of_the_protocol(ran):
    house, _ = ran
    for _, reply, _ in house.answered:
        assert set(reply) == {"veilsum.packet", "__headers__"}
        assert set(reply["__headers__"]) <= {"__rc__"}
        assert wire_messages(reply)


def test_no_remark_no_weight_and_no_metric_is_in_the_bytes_of_a_site(ran):
    house, _ = ran
    for _, _, data in house.answered:
        assert SECRET.encode() not in data
        assert b"accuracy" not in data
        assert b"NUM_STEPS" not in data
    for place in range(3):
        update = trained(MODEL, place)["weight"] - MODEL["weight"]
        assert not [site for site, _, data in house.answered if update.tobytes() in data]


def test_a_plain_train_task_gets_nothing(three, caplog):
    three.start_sites()
    plain = FLModelUtils.to_shareable(FLModel(params=MODEL))
    plain.set_header("__task_name__", "train")
    executor, fl_ctx = three.executors["site-1"], three.engines["site-1"].new_context()
    for task in ("train", "validate", "submit_model"):
        reply = executor.execute(task, plain, fl_ctx, Signal())
        assert reply.get_return_code() == ReturnCode.TASK_UNSUPPORTED
        assert set(reply) == {"__headers__"}
    assert three.sites["site-1"].asked == []
    assert "gives its updates to secure sums alone" in caplog.text


def test_a_secure_task_without_a_packet_gets_nothing(three, caplog):
    three.start_sites()
    plain = FLModelUtils.to_shareable(FLModel(params=MODEL))
    with caplog.at_level(logging.INFO, "veilsum.flare"):
        reply = three.executors["site-1"].execute("veilsum", plain, three.engines["site-1"].new_context(), Signal())
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert three.sites["site-1"].asked == []
    assert "both sides need veilsum.flare" in caplog.text


def test_a_site_that_was_sent_another_model_leaves_before_its_input_does(three, caplog):
    honest = three.send

    def lying(task, fl_ctx, targets, *said):
        if targets == ["site-1"] and opened_round(task.data) is Round.ADVERTISE:
            task.data, _ = through_bytes(task.data)
            task.data["veilsum.model"]["DXO"]["data"]["weight"] += 1
        honest(task, fl_ctx, targets, *said)

    three.send = lying
    inner = three.run(fedavg())
    assert inner.saved == []
    assert "this site has left the sum" in caplog.text
    assert {stage for site, stage, *_ in three.sent if site == "site-1"} == {Round.ADVERTISE}


def test_a_job_that_sends_what_a_training_logs_is_refused_at_the_site(three):
    three.engines["site-1"].components["event_to_fed"] = ConvertToFedEvent(events_to_convert=["analytix_log_stats"])
    three.start_sites()
    ((event, reason),) = three.engines["site-1"].events
    assert event == EventType.FATAL_SYSTEM_ERROR
    assert "component 'event_to_fed' of this job sends what a training logs to the server: take it out" in reason


# A site's own training


def test_a_training_that_sends_only_its_change_counts_the_same(three):
    def difference(start, model):
        change = {name: value - start.params[name] for name, value in model.params.items()}
        return FLModel(params_type=ParamsType.DIFF, params=change, metrics=model.metrics, meta=model.meta)

    for training in three.sites.values():
        training.answer = difference
    (model,) = three.run(fedavg()).saved
    require_mean(model.params, three, [0, 1, 2])


def test_a_training_that_changes_the_model_it_was_given_counts_the_same(three):
    def in_place(start, model):
        start.params["weight"][...] = model.params["weight"]
        return FLModel(
            params={**model.params, "weight": start.params["weight"]}, metrics=model.metrics, meta=model.meta
        )

    for training in three.sites.values():
        training.answer = in_place
    (model,) = three.run(fedavg()).saved
    require_mean(model.params, three, [0, 1, 2])


def test_a_training_that_does_not_say_how_much_counts_one(three):
    for training in three.sites.values():
        training.answer = lambda start, model: FLModel(params=model.params, metrics=model.metrics)
    (model,) = three.run(fedavg()).saved
    assert model.params["weight"][0, 0] == pytest.approx(-1 + 0.2, abs=1e-4)  # of 0.1, 0.2 and 0.3


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"metrics": {"auc": 0.5}}, "the plan names the metric 'accuracy', the reply has none"),
        ({"metrics": {"accuracy": "good"}}, "every metric is one number"),
        ({"meta": {"NUM_STEPS_CURRENT_ROUND": "many"}}, "meta['NUM_STEPS_CURRENT_ROUND'] is a number above 0"),
        ({"params": {"weight": MODEL["weight"]}}, "tensor 'batches' is missing"),
        ({"params": {**MODEL, "bias": np.float32("nan").reshape(())}}, "tensor 'bias' holds NaN"),
        ({"params": None}, "the reply holds no tensors"),
    ],
)
def test_what_cannot_be_summed_stays_at_its_site_and_its_log_says_why(three, caplog, change, complaint):
    def wrong(start, model):
        said = {"params": model.params, "metrics": model.metrics, "meta": model.meta, **change}
        return FLModel(**said)

    three.sites["site-3"].answer = wrong
    with caplog.at_level(logging.INFO, "veilsum.flare"):
        inner = three.run(fedavg())
    assert complaint in caplog.text
    assert {site for site, reply, _ in three.answered if reply.get_return_code() != ReturnCode.OK} == {"site-3"}
    assert inner.saved == []


def test_a_training_that_fails_says_so_to_flare_and_no_more(three):
    three.sites["site-3"].answer = lambda start, model: make_reply(ReturnCode.EMPTY_RESULT)
    three.run(fedavg())
    codes = {reply.get_return_code() for site, reply, _ in three.answered if site == "site-3"}
    assert codes == {ReturnCode.EMPTY_RESULT}


def test_a_sites_filters_see_the_update_before_it_is_masked(three):
    class Zeroed(Filter):
        def process(self, shareable, fl_ctx):
            model = FLModelUtils.from_shareable(shareable)
            return FLModelUtils.to_shareable(FLModel(params=MODEL, metrics=model.metrics, meta=model.meta))

    for engine in three.engines.values():
        engine.runner.task_result_filters = {f"train{FilterKey.DELIMITER}{FilterKey.OUT}": [Zeroed()]}
    (model,) = three.run(fedavg()).saved
    for name, tensor in model.params.items():
        np.testing.assert_allclose(tensor, MODEL[name], atol=1e-4)


def test_a_site_that_lets_only_sums_out_holds_back_what_a_plain_job_sends(three):
    fl_ctx = three.engines["site-1"].new_context()
    plain = Training(0).execute("train", FLModelUtils.to_shareable(FLModel(params=MODEL)), fl_ctx, Signal())
    with pytest.raises(FlareError, match="a plain result was held back"):
        OnlySums().process(plain, fl_ctx)
    plain["veilsum.packet"] = [b"looks like one"]
    with pytest.raises(FlareError, match="a plain result was held back"):
        OnlySums().process(plain, fl_ctx)
    plain.set_return_code(ReturnCode.EXECUTION_EXCEPTION)
    with pytest.raises(FlareError, match="a plain result was held back"):
        OnlySums().process(plain, fl_ctx)
    failed = make_reply(ReturnCode.EXECUTION_EXCEPTION)
    assert OnlySums().process(failed, fl_ctx) is failed


@pytest.mark.slow
def test_a_site_that_lets_only_sums_out_takes_part_in_sums(three):
    for engine in three.engines.values():
        engine.scope.add_task_result_filter(OnlySums(), FilterKey.OUT)
    (model,) = three.run(fedavg()).saved
    require_mean(model.params, three, [0, 1, 2])


# What a secure sum cannot do, and files


class Robust(ModelAggregator):
    def accept_model(self, model):
        """Never called."""

    def aggregate_model(self):
        """Never called."""

    def reset_stats(self):
        """Never called."""


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Scaffold(), "Scaffold needs more than the mean of the sites' models"),
        (lambda: Cyclic(), "Cyclic needs more than the mean"),
        (lambda: FedAvg(aggregator=Robust()), "aggregator needs each site's own update: take it out"),
        (lambda: FedAvg(aggregation_weights={"site-1": 2.0}), "aggregation_weights need each site's own update"),
    ],
)
def test_a_controller_that_a_mean_is_not_enough_for_is_refused(make, complaint):
    with pytest.raises(FlareError, match=complaint):
        SecureController(make(), "veil")


def test_a_server_without_its_files_ends_the_job_in_one_line(three):
    (three.folder / "server.key").unlink()
    three.run(fedavg())
    (reason,) = three.panics()
    assert "server.key" in reason
    assert "\n" not in reason


def test_a_site_without_its_files_ends_its_part_in_one_line(three):
    (three.folder / "node-0.toml").unlink()
    three.start_sites()
    ((event, reason),) = three.engines["site-1"].events
    assert event == EventType.FATAL_SYSTEM_ERROR
    assert "node-0.toml" in reason


def test_a_site_of_another_name_needs_a_file_of_its_own(three):
    executor = SecureExecutor(Training(0), str(three.folder))
    with pytest.raises(FlareError, match=r"no node\.toml for hospital: put it there, or name the file"):
        executor.open_seat("hospital")
    seat, _ = SecureExecutor(Training(0), str(three.folder / "node-0.toml")).open_seat("hospital")
    (three.folder / "node-0.toml").rename(three.folder / "node.toml")
    again, _ = executor.open_seat("hospital")
    assert seat.me == again.me


def test_a_missing_flare_is_one_line():
    code = "import sys; sys.modules['nvflare'] = None\nimport veilsum.flare"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: NVIDIA FLARE is missing: pip install 'veilsum[flare]'"
