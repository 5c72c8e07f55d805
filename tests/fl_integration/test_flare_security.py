"""NVIDIA FLARE with a server or a site that does what it must not: what a site shows, logs and keeps."""

import json
import logging
import stat

import numpy as np
import pytest
from flare_house import MODEL, House, Training, fedavg, house, opened_round, through_bytes
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.shareable import ReservedHeaderKey
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.logging.job_log_streamer import JobLogStreamer
from nvflare.app_common.workflows.base_fedavg import BaseFedAvg

from fl_integration.flare.server import one_line
from fl_integration.flare.shareables import RUN, question, step_of, task_of
from fl_integration.plan import Plan
from fl_integration.step import StepError
from mpc.randomness import SeededRandomness
from protocols.messages import Round
from veilsum.flare import SecureExecutor

ROW = "Anna Meier, 4711"


@pytest.fixture
def three(tmp_path):
    return house(tmp_path, nodes=3, losses=0)


def panics(three, site="site-1"):
    return [said for event, said in three.engines[site].events if event == EventType.FATAL_SYSTEM_ERROR]


# What a site logs


def test_a_site_that_sends_its_logs_to_the_server_does_not_start_and_is_told_the_remedy(three):
    three.resources_of("site-1").write_text("{}")  # FLARE's default: they are sent
    three.resources_of("site-2").write_text(json.dumps({"allow_log_streaming": True}))
    three.start_sites()
    for site in ("site-1", "site-2"):
        (reason,) = panics(three, site)
        assert 'set "allow_log_streaming": false in this site\'s resources.json' in reason
        assert "\n" not in reason
    assert panics(three, "site-3") == []


def test_a_site_that_was_not_started_neither_trains_nor_answers(three):
    three.resources_of("site-1").unlink()
    inner = three.run(fedavg())
    assert three.sites["site-1"].asked == []
    assert {reply.get_return_code() for site, reply, _ in three.answered if site == "site-1"} == {
        ReturnCode.EXECUTION_EXCEPTION
    }
    assert inner.saved == []


def test_the_simulator_needs_no_such_word(three):
    three.resources_of("site-1").unlink()
    three.engines["site-1"].contexts.private_stickers[FLContextKey.SIMULATE_MODE] = True
    three.start_sites()
    assert panics(three) == []


@pytest.mark.parametrize("simulated", [False, True])
def test_a_job_that_streams_a_sites_log_is_refused_at_the_site(three, simulated):
    three.engines["site-1"].components["streamer"] = JobLogStreamer(log_file_name="log.txt")
    three.engines["site-1"].contexts.private_stickers[FLContextKey.SIMULATE_MODE] = simulated
    three.start_sites()
    (reason,) = panics(three)
    assert reason == "component 'streamer' of this job sends what a training logs to the server: take it out"


def test_the_text_of_a_trainings_error_is_in_no_error_line(three, caplog):
    def wrong(start, model):
        raise ValueError(f"could not convert string to float: {ROW!r}")

    three.sites["site-3"].answer = wrong
    with caplog.at_level(logging.DEBUG):
        three.run(fedavg())
    at_site = [record for record in caplog.records if "ValueError" in record.getMessage()]
    assert [record.levelname for record in at_site] == ["ERROR", "INFO"] * 3
    assert {record.levelname for record in caplog.records if ROW in record.getMessage()} == {"INFO"}


# What a site said, in the server's log


def test_what_a_failed_site_says_is_one_short_line_in_the_servers_log(three, caplog):
    honest = three.sites["site-3"].execute

    def failing(*said):
        reply = honest(*said)
        reply.set_return_code("BAD\nERROR all is lost \x1b[31m" + 10_000 * "x")
        return reply

    three.sites["site-3"].execute = failing
    three.run(fedavg())
    (line, *_) = [line for line in caplog.messages if line.startswith("site-3 has failed: ")]
    said = line.removeprefix("site-3 has failed: ")
    assert said.startswith("BAD?ERROR all is lost ?[31mxx")
    assert len(said) == 200


def test_what_is_no_text_is_only_named():
    assert one_line(["a", "\n"] * 1000) == "a list"
    assert one_line("fünf") == "fünf"


# One model for all


def task(meta, **headers):
    asked = DXO(DataKind.WEIGHTS, {"w": np.zeros(3, np.float32)}, meta=meta).to_shareable()
    for key, value in headers.items():
        asked.set_header(key, value)
    return asked


def digest(asked):
    return step_of(asked, Plan(), 5).digest


@pytest.mark.parametrize("odd", [np.zeros(5000), {"a": {1, 2}}, b"bytes", np.float32(1), 1j], ids=type)
def test_a_meta_that_is_not_json_is_refused_and_not_shortened(odd):
    with pytest.raises(StepError, match="the task's meta holds more than numbers, texts, lists and dicts of them"):
        step_of(task({"control": odd}), Plan(), 5)


def test_a_server_with_such_a_meta_ends_the_job_and_asks_nobody(three):
    class Telling(BaseFedAvg):
        def run(self):
            told = FLModel(params=MODEL, meta={"control": np.zeros(5000)}, current_round=0, total_rounds=1)
            self.send_model_and_wait(targets=self.sample_clients(), data=told)

    three.run(Telling(persistor_id=""))
    (reason,) = three.panics()
    assert "the task's meta holds more than numbers" in reason
    assert three.sent == []


@pytest.mark.parametrize(
    "key", ["__task_name__", AppConstants.START_ROUND, AppConstants.CURRENT_ROUND, AppConstants.NUM_ROUNDS, RUN]
)
def test_each_header_that_a_training_is_shown_is_in_the_digest(key):
    one, two = task({}, **{key: 1}), task({}, **{key: 2})
    assert len({digest(each) for each in (task({}), one, two)}) == 3
    assert task_of(step_of(one, Plan(), 5), one).get_header(key) == 1


def test_tasks_of_one_digest_show_a_training_the_same():
    """However they were written: keys that are no texts, lists of two kinds, arrays of another order."""
    square = np.arange(4, dtype="<f4").reshape(2, 2)
    written = [
        task({"rates": {1: (1, 2)}}),
        task({"rates": {"1": [1, 2]}}, **{AppConstants.VALIDATE_TYPE: "before", AppConstants.SUBMIT_MODEL_NAME: "x"}),
    ]
    written[0]["DXO"]["data"]["w"] = square
    written[1]["DXO"]["data"]["w"] = np.asfortranarray(square).astype(">f4")
    written[1]["more"] = "for one site alone"
    written[1]["DXO"]["more"] = "for one site alone"
    steps = [step_of(each, Plan(), 5) for each in written]
    assert steps[0].digest == steps[1].digest
    shown = [through_bytes(task_of(step, each))[1] for step, each in zip(steps, written, strict=True)]
    assert shown[0] == shown[1]


@pytest.mark.slow
def test_nothing_reaches_a_training_but_what_all_have_agreed_on(three):
    honest = three.send

    def lying(task, fl_ctx, targets, *said):
        if targets == ["site-1"] and opened_round(task.data) is Round.ADVERTISE:
            task.data, _ = through_bytes(task.data)
            model = task.data["veilsum.model"]
            model["beside"] = model["DXO"]["beside"] = ROW
            for key in (AppConstants.VALIDATE_TYPE, AppConstants.SUBMIT_MODEL_NAME, "any", "__cookie_jar__"):
                model.set_header(key, ROW)
        task.data.set_header(ReservedHeaderKey.TASK_ID, "4711")
        honest(task, fl_ctx, targets, *said)

    three.send = lying
    (saved,) = three.run(fedavg()).saved
    assert saved.params.keys() == MODEL.keys()
    (first,), (second,), (third,) = [training.seen for training in three.sites.values()]
    assert through_bytes(first)[1] == through_bytes(second)[1] == through_bytes(third)[1]
    assert first.keys() == {"DXO", "__headers__"}
    rounds = {AppConstants.START_ROUND, AppConstants.CURRENT_ROUND, AppConstants.NUM_ROUNDS}
    of_flare = {ReservedHeaderKey.CONTENT_TYPE, ReservedHeaderKey.TASK_NAME, ReservedHeaderKey.PEER_PROPS}
    assert first["__headers__"].keys() == {RUN, ReservedHeaderKey.TASK_ID} | rounds | of_flare
    assert first.get_header(ReservedHeaderKey.TASK_ID) == "4711"


@pytest.mark.slow
def test_a_tensor_of_pytorch_stays_one_and_its_kind_is_agreed_on():
    torch = pytest.importorskip("torch")
    array, tensor = task({}), task({})
    tensor["DXO"]["data"]["w"] = torch.zeros(3)
    assert digest(array) != digest(tensor)
    shown = task_of(step_of(tensor, Plan(), 5), tensor)["DXO"]["data"]["w"]
    assert isinstance(shown, torch.Tensor)
    assert shown.dtype == torch.float32


# A sum that is none


@pytest.mark.slow
def test_an_input_that_is_none_of_a_training_fails_the_attempt_and_then_the_job(three, caplog):
    class Lying(SecureExecutor):
        def _prepare(self, *said):
            step, vector = super()._prepare(*said)
            return step, step.spec.field.uniform(len(vector), SeededRandomness(b"none of a training"))

    three.executors["site-3"] = Lying(three.sites["site-3"], str(three.folder))
    inner = three.run(fedavg())
    (reason,) = three.panics()
    assert "SumFailed: no secure sum, the model stays as it was: " in reason
    assert "no sum: no sum of encoded inputs" in caplog.text
    assert inner.saved == []


# What a site keeps


@pytest.mark.slow
def test_a_site_whose_process_ends_after_each_task_goes_on_from_its_files(three):
    answered = three._answer

    def restarted(site, task, asked):
        three.start_again(site)
        answered(site, task, asked)

    three._answer = restarted
    (model,) = three.run(fedavg()).saved
    assert model.params["batches"] != MODEL["batches"]


@pytest.mark.slow
def test_a_sites_state_is_for_its_owner_alone_and_gone_when_the_job_ends(three):
    three.run(fedavg())
    (kept,) = three.run_files("site-1")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    three.end_sites()
    assert three.run_files("site-1") == []


@pytest.mark.slow
def test_a_site_that_hears_of_the_end_of_its_session_keeps_no_state(three):
    three.run(fedavg())
    assert three.run_files("site-1")
    over = question(three.controller._desk.questioner.undelivered["site-1"], None)
    three.executors["site-1"].execute("veilsum", over, three.engines["site-1"].new_context(), Signal())
    assert three.run_files("site-1") == []


@pytest.mark.slow
def test_a_state_that_was_changed_is_not_taken_up(three, caplog):
    honest = three.send

    def meddling(task, fl_ctx, targets, *said):
        if targets == ["site-1"] and opened_round(task.data) is Round.MASKED_INPUT:
            (kept,) = three.run_files("site-1")
            kept.write_bytes(kept.read_bytes()[:-1] + b"\x00")
        honest(task, fl_ctx, targets, *said)

    three.send = meddling
    with caplog.at_level(logging.INFO, "veilsum.flare"):
        assert three.run(fedavg()).saved == []
    assert "is not the one of this session, or was changed" in caplog.text


# One ledger, several jobs


@pytest.mark.slow
def test_the_same_job_run_again_and_again_on_the_same_files_is_not_refused(three):
    for job in ("first", "second", "third"):  # the ledger would let one step be summed twice over the same sites
        again = House(three.folder, {site: Training(place) for place, site in enumerate(three.sites)}, job)
        (model,) = again.run(fedavg()).saved
        assert model.params["batches"] != MODEL["batches"]


@pytest.mark.slow
def test_a_second_job_ends_the_session_of_the_first_which_is_tried_again(three):
    second = House(three.folder, {site: Training(place) for place, site in enumerate(three.sites)}, "second")
    honest, saved = three.send, []

    def interrupted(task, *said, **more):
        if opened_round(task.data) is Round.MASKED_INPUT and not saved:
            saved.extend(second.run(fedavg()).saved)
        honest(task, *said, **more)

    three.send = interrupted
    first = three.run(fedavg())
    assert len(saved) == len(first.saved) == 1
    codes = [reply.get_return_code() for _, reply, _ in three.answered]
    assert codes == 6 * [ReturnCode.OK] + 3 * [ReturnCode.EXECUTION_EXCEPTION] + 15 * [ReturnCode.OK]
