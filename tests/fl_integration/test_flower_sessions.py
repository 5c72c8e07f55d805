"""Flower's strategies over secure sums: real ClientApps and strategies, each message through Flower's own bytes."""

import struct
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("flwr")

from flower_grid import RECORD, FakeGrid, wire_messages
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import strategy as strategies
from flwr.serverapp.strategy import FedAvg

from fl_integration.flower import server
from fl_integration.flower.records import FlowerError, in_own_types
from protocols.messages import Round
from veilsum.flower import secure, secure_mod
from veilsum.trial import write_trial

STAGES = [Round.ADVERTISE, Round.SHARE, Round.MASKED_INPUT, Round.CONFIRM, Round.UNMASK]
TRAINING = {
    "clip": 1.0,
    "bits": 16,
    "rows_per_unit": 10,
    "metrics": {"train_loss": [0.0, 10.0]},
    "evaluation": {"eval_loss": [0.0, 10.0], "eval_acc": [0.0, 1.0]},
}
ROWS = [10, 25, 47, 83, 7]  # one unit is 10 rows, and weights are powers of two
WEIGHTS = [1, 2, 4, 8, 1]
LOSSES = [0.5, 1.25, 2.0, 3.0, 4.0]
MODEL = {
    "weight": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "bias": np.float32(0.25).reshape(()),
    "nothing": np.zeros((0, 3), dtype=np.float32),
    "half": np.ones(2, dtype=np.float16),
    "batches": np.int64(7).reshape(()),
}
STEP = 1.0 / 2**15  # a value of -1..1 in 16 bits; each input is rounded to one of its two neighbours


def record(tensors):
    return ArrayRecord({name: Array(np.asarray(tensor)) for name, tensor in tensors.items()})


def tensors(arrays):
    return {name: array.numpy() for name, array in arrays.items()}


def trained(start, place):
    """What the node of this place makes of a model."""
    moved = {name: tensor + np.asarray(0.1 * (place + 1)).astype(tensor.dtype) for name, tensor in start.items()}
    return {**moved, "batches": start["batches"] + 10 * (place + 1)}


def make_app(mod, place, calls):
    app = ClientApp(mods=[mod])

    @app.train()
    def train(message, context):
        calls.append((place, "train", sorted(message.content)))
        new = trained(tensors(message.content["arrays"]), place)
        metrics = MetricRecord({"train_loss": LOSSES[place], "num-examples": ROWS[place]})
        return Message(RecordDict({"arrays": record(new), "metrics": metrics}), reply_to=message)

    @app.evaluate()
    def evaluate(message, context):
        calls.append((place, "evaluate", sorted(message.content)))
        metrics = MetricRecord({"eval_loss": LOSSES[place], "eval_acc": 0.125 * place, "num-examples": ROWS[place]})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    @app.query()
    def query(message, context):
        return Message(RecordDict({"answer": ConfigRecord({"place": place})}), reply_to=message)

    return app


class Trial:
    """A folder of `veilsum trial` with its grid. Node 100 has node-0.toml, and so on."""

    def __init__(self, folder, nodes=5, losses=1, patience=60.0):
        self.folder = folder / "veil"
        write_trial(self.folder, nodes=nodes, losses=losses, patience=patience, training=TRAINING)
        self.calls = []
        self.grid = FakeGrid(
            {100 + place: make_app(secure_mod(self.folder), place, self.calls) for place in range(nodes)}
        )

    def start(self, strategy=None, rounds=1, **said):
        strategy = strategy or FedAvg(fraction_evaluate=0.0)
        return secure(strategy, self.folder).start(self.grid, record(MODEL), num_rounds=rounds, timeout=5, **said)

    def replace_train(self, node, train):
        app = ClientApp(mods=[secure_mod(self.folder)])
        app.train()(train)
        self.grid.apps[node] = app

    def errors(self):
        return [reply.error.reason for _, reply, _ in self.grid.answers if reply.has_error()]


@pytest.fixture
def three(tmp_path):
    return Trial(tmp_path, nodes=3, losses=0)


@pytest.fixture
def five(tmp_path):
    return Trial(tmp_path)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One round of three nodes, and its result: for looking at."""
    trial = Trial(tmp_path_factory.mktemp("ran"), nodes=3, losses=0)
    return trial, trial.start()


def plain_mean(start, places):
    """Averaging with the same rounded weights, in float64."""
    total = sum(WEIGHTS[place] for place in places)
    moved = {place: trained({k: v.astype(np.float64) for k, v in start.items()}, place) for place in places}
    return {name: sum(WEIGHTS[p] * moved[p][name] for p in places) / total for name in start}


def require_mean(arrays, start, places, rounds=1):
    found, expected = tensors(arrays), plain_mean(start, places)
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert (tensor.dtype, tensor.shape) == (start[name].dtype, start[name].shape)
        bound = 0.5 if name == "batches" else 2e-3 if name == "half" else 2 * STEP * rounds
        np.testing.assert_allclose(tensor.astype(np.float64), expected[name], rtol=0, atol=bound)


# What comes out


def test_a_strategy_gets_the_weighted_mean_of_all_nodes(ran):
    _, result = ran
    require_mean(result.arrays, MODEL, [0, 1, 2])
    mean = (0.5 * 1 + 1.25 * 2 + 2.0 * 4) / 7
    assert result.train_metrics_clientapp[1]["train_loss"] == pytest.approx(mean, abs=1e-3)


@pytest.mark.slow
def test_whole_numbers_keep_their_type_from_round_to_round(three):
    result = three.start(rounds=2)
    once = {name: tensor.astype(MODEL[name].dtype) for name, tensor in plain_mean(MODEL, [0, 1, 2]).items()}
    once["batches"] = np.rint(plain_mean(MODEL, [0, 1, 2])["batches"]).astype(np.int64)
    require_mean(result.arrays, once, [0, 1, 2], rounds=2)


def test_whole_numbers_that_a_strategy_made_floats_are_rounded_into_their_type():
    types = {"batches": np.dtype(np.int64), "flag": np.dtype(bool), "half": np.dtype(np.float16)}
    floats = {
        "batches": np.float64([2.6, -2.6]),
        "flag": np.float64([0.4, 0.6]),
        "half": np.float64([0.5]),
        "new": np.ones(1),
    }
    own = tensors(in_own_types(record(floats), types))
    assert {name: tensor.tolist() for name, tensor in own.items()} == {
        "batches": [3, -3],
        "flag": [False, True],
        "half": [0.5],
        "new": [1.0],
    }
    assert {name: own[name].dtype for name in types} == types


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_node_lost_at_any_stage_leaves_the_mean_of_the_others_or_its_own_if_its_input_had_left(five, stage):
    five.grid.lose = {(103, stage)}
    masked = stage in (Round.CONFIRM, Round.UNMASK)
    require_mean(five.start().arrays, MODEL, [0, 1, 2, 3, 4] if masked else [0, 1, 2, 4])


@pytest.mark.slow
def test_the_next_round_has_the_node_again(five):
    seen = []

    class Watching(FedAvg):
        def aggregate_train(self, server_round, replies):
            seen.append([reply.error.reason for reply in replies if reply.has_error()])
            if server_round == 1:
                five.grid.lose.clear()
            return super().aggregate_train(server_round, replies)

    five.grid.lose = {(103, Round.MASKED_INPUT)}
    five.start(Watching(fraction_evaluate=0.0), rounds=2)
    assert seen == [["lost in the round masked-input of the secure sum"], []]


@pytest.mark.parametrize("stage", [Round.SHARE, Round.MASKED_INPUT, Round.UNMASK])
def test_below_the_threshold_flower_sees_failures_and_the_model_stays(three, stage):
    seen = []

    class Watching(FedAvg):
        def aggregate_train(self, server_round, replies):
            seen.extend(replies)
            return super().aggregate_train(server_round, replies)

    three.grid.lose = {(101, stage)}
    result = three.start(Watching(fraction_evaluate=0.0))
    assert len(seen) == 3
    assert all(reply.has_error() for reply in seen)
    assert not result.arrays
    assert not result.train_metrics_clientapp


@pytest.mark.slow
def test_after_a_round_without_a_sum_the_next_starts_from_the_same_model(three):
    class Mending(FedAvg):
        def aggregate_train(self, server_round, replies):
            three.grid.lose.clear()
            return super().aggregate_train(server_round, replies)

    three.grid.lose = {(101, Round.MASKED_INPUT)}
    require_mean(three.start(Mending(fraction_evaluate=0.0), rounds=2).arrays, MODEL, [0, 1, 2])


@pytest.mark.slow
def test_a_node_that_answers_too_late_hears_no_more_of_this_session(tmp_path):
    trial = Trial(tmp_path, patience=0.2)
    trial.grid.late = {(103, Round.SHARE)}
    require_mean(trial.start().arrays, MODEL, [0, 1, 2, 4])
    assert [stage for node, stage, _ in trial.grid.sent if node == 103 and stage] == STAGES[:2]


@pytest.mark.slow
def test_an_exchange_ends_when_as_many_have_answered_as_were_hoped_for(tmp_path):
    trial = Trial(tmp_path)
    server_toml = trial.folder / "server.toml"
    server_toml.write_text(server_toml.read_text() + "\n[policy.masked-input]\nhoped_for = 4\n")
    trial.grid.late = {(103, Round.MASKED_INPUT)}  # which the patience of a minute would wait for
    started = time.monotonic()
    require_mean(trial.start().arrays, MODEL, [0, 1, 2, 4])
    assert time.monotonic() - started < 60.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [strategies.FedAdam, strategies.FedYogi, strategies.FedAdagrad, strategies.FedAvgM, strategies.FedProx],
    ids=lambda make: make.__name__,
)
def test_a_strategy_on_the_average_works_as_it_does_on_plain_updates(tmp_path, make):
    plain = {
        name: np.mean([trained(MODEL, p)[name] for p in range(3)], axis=0).astype(np.float32) for name in ("weight",)
    }

    def only_weight(place):
        def train(message, context):
            new = {
                "weight": trained(tensors(message.content["arrays"]) | {"batches": MODEL["batches"]}, place)["weight"]
            }
            metrics = MetricRecord({"train_loss": 1.0, "num-examples": 10})
            return Message(RecordDict({"arrays": record(new), "metrics": metrics}), reply_to=message)

        return train

    said = {"proximal_mu": 0.1} if make is strategies.FedProx else {}
    start = record({"weight": MODEL["weight"]})
    trial = Trial(tmp_path, nodes=3, losses=0)
    for place in range(3):
        trial.replace_train(100 + place, only_weight(place))
    ours = secure(make(fraction_evaluate=0.0, **said), trial.folder).start(trial.grid, start, num_rounds=2, timeout=5)
    unmasked = {}
    for place in range(3):
        unmasked[100 + place] = ClientApp()
        unmasked[100 + place].train()(only_weight(place))
    theirs = make(fraction_evaluate=0.0, **said).start(FakeGrid(unmasked), start, num_rounds=2, timeout=5)
    assert np.abs(plain["weight"] - MODEL["weight"]).max() > 0.1
    np.testing.assert_allclose(tensors(ours.arrays)["weight"], tensors(theirs.arrays)["weight"], rtol=0, atol=3e-3)


def test_a_users_own_hooks_are_called_and_what_they_add_reaches_every_node(three):
    class Own(FedAvg):
        def configure_train(self, server_round, arrays, config, grid):
            config["lr"] = 0.5
            return super().configure_train(server_round, arrays, config, grid)

    three.start(Own(fraction_evaluate=0.0))
    invitations = [message for _, stage, message in three.grid.sent if stage is Round.ADVERTISE]
    assert [message.content["config"]["lr"] for message in invitations] == [0.5] * 3


# Evaluation


@pytest.mark.slow
def test_metrics_of_an_evaluation_are_summed_behind_masks_and_the_model_stays(five):
    five.grid.lose = {(104, Round.SHARE)}
    result = five.start(FedAvg(fraction_train=0.0))
    weighted = sum(w * loss for w, loss in zip(WEIGHTS[:4], LOSSES[:4], strict=True)) / sum(WEIGHTS[:4])
    assert result.evaluate_metrics_clientapp[1]["eval_loss"] == pytest.approx(weighted, abs=1e-3)
    assert not result.arrays


def test_without_evaluation_no_message_asks_for_one(ran):
    trial, _ = ran
    assert {message.metadata.message_type for _, _, message in trial.grid.sent} == {"train"}


# What leaves a node


def clear_forms(number):
    """How a number may stand in a message: as text, or as a float or an integer of 8 bytes."""
    forms = [repr(number).encode(), struct.pack("<d", number), struct.pack(">d", number)]
    return forms + ([struct.pack("<q", number)] if isinstance(number, int) else [])


@pytest.mark.slow
def test_an_answer_holds_one_record_and_nothing_of_the_node_in_clear(five):
    def unusual(message, context):
        new = trained(tensors(message.content["arrays"]), 2)
        new["weight"] = np.full((2, 3), 0.123456789, dtype=np.float32)
        metrics = MetricRecord({"train_loss": 3.1415926535, "num-examples": 123456789})
        own = ConfigRecord({"note": "of this bank alone"})
        return Message(RecordDict({"arrays": record(new), "metrics": metrics, "own": own}), reply_to=message)

    five.replace_train(102, unusual)
    five.start()
    assert len(five.grid.answers) == 5 * 5 + 5  # five rounds, and the farewell
    assert all(set(reply.content) == {RECORD} for _, reply, _ in five.grid.answers)
    said = b"".join(data for node, _, data in five.grid.answers if node == 102)
    secrets = [np.full(2, 0.123456789, dtype=np.float32).tobytes(), b"bank alone", b"note", b"train_loss"]
    for form in [*secrets, *clear_forms(3.1415926535), *clear_forms(123456789)]:
        assert form not in said


def test_only_the_invitation_carries_the_model_and_only_it_is_trained_on(ran):
    three, _ = ran
    assert sorted(three.calls) == [(place, "train", ["arrays", "config"]) for place in range(3)]
    beside = {stage: set(message.content) - {RECORD} for _, stage, message in three.grid.sent}
    assert beside.pop(Round.ADVERTISE) == {"arrays", "config"}
    assert set(map(frozenset, beside.values())) == {frozenset()}


def test_an_error_of_the_training_stays_at_the_node(three, caplog):
    def failing(message, context):
        raise ValueError("row 17: account 4711 has no amount")

    three.replace_train(101, failing)
    three.start()
    said = "this node takes no part in the sum: its own log says why"
    assert three.errors() == [f"<class 'fl_integration.flower.client.NodeRefused'>:<'{said}'>"]
    assert "ValueError: row 17: account 4711 has no amount" in caplog.text


def test_an_error_that_the_training_answers_with_stays_at_the_node(three, caplog):
    def failing(message, context):
        return Message(Error(0, "account 4711"), reply_to=message)

    three.replace_train(101, failing)
    three.start()
    assert ["4711" in error for error in three.errors()] == [False]
    assert "account 4711" in caplog.text


def test_a_metric_outside_its_range_is_not_told(three):
    def beyond(message, context):
        metrics = MetricRecord({"train_loss": 47.11, "num-examples": 10})
        return Message(RecordDict({"arrays": record(MODEL), "metrics": metrics}), reply_to=message)

    three.replace_train(101, beyond)
    three.start()
    assert not any("47.11" in error for error in three.errors())


# What a node refuses


def test_a_plain_request_gets_nothing(three):
    plain = FedAvg(fraction_evaluate=0.0).start(three.grid, record(MODEL), num_rounds=1, timeout=5)
    assert three.calls == []
    assert not plain.arrays
    assert all("answers secure sums alone" in error for error in three.errors())
    assert len(three.errors()) == 3


def test_a_query_is_the_apps_own_and_passes(three):
    message = Message(RecordDict({"ask": ConfigRecord({})}), 101, "query")
    [reply] = three.grid.send_and_receive([message])
    assert reply.content["answer"]["place"] == 1


def test_a_query_with_a_packet_is_refused(three):
    message = Message(RecordDict({RECORD: ArrayRecord({})}), 101, "query")
    [reply] = three.grid.send_and_receive([message])
    assert "answers secure sums alone" in reply.error.reason


@pytest.mark.parametrize("junk", [ConfigRecord({"packet": b"x"}), record({"0": np.zeros(3)})])
def test_a_record_that_is_no_packet_is_refused(three, junk):
    message = Message(RecordDict({RECORD: junk, "arrays": record(MODEL)}), 101, "train")
    [reply] = three.grid.send_and_receive([message])
    assert "takes no part" in reply.error.reason
    assert three.calls == []


def only_in_its_own_log(three, caplog, said):
    """The text may be made of rows, so the server hears of a refusal and no more."""
    errors = three.errors()
    return len(errors) == 1 and "its own log says why" in errors[0] and said not in errors[0] and said in caplog.text


def test_a_metric_that_is_not_in_the_plan_is_named_in_the_nodes_own_log(three, caplog):
    def more(message, context):
        metrics = MetricRecord({"train_loss": 1.0, "accuracy": 0.5, "num-examples": 10})
        return Message(RecordDict({"arrays": record(MODEL), "metrics": metrics}), reply_to=message)

    three.replace_train(101, more)
    three.start()
    assert only_in_its_own_log(three, caplog, "'accuracy' is not in the plan")


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"train_loss": 1.0}, "have no 'num-examples'"),
        ({"train_loss": [1.0, 2.0], "num-examples": 10}, "'train_loss' is a list"),
        ({"train_loss": 1.0, "num-examples": -3}, "'num-examples' is no number of examples"),
        ({"train_loss": 1.0, "num-examples": float("nan")}, "'num-examples' is no number of examples"),
    ],
)
def test_metrics_that_cannot_be_summed_are_named_in_the_nodes_own_log(three, caplog, metrics, said):
    def odd(message, context):
        return Message(RecordDict({"arrays": record(MODEL), "metrics": MetricRecord(metrics)}), reply_to=message)

    three.replace_train(101, odd)
    three.start()
    assert only_in_its_own_log(three, caplog, said)


def test_two_models_in_one_reply_are_refused(three, caplog):
    def two(message, context):
        metrics = MetricRecord({"train_loss": 1.0, "num-examples": 10})
        content = RecordDict({"arrays": record(MODEL), "more": record(MODEL), "metrics": metrics})
        return Message(content, reply_to=message)

    three.replace_train(101, two)
    three.start()
    assert only_in_its_own_log(three, caplog, "2 records of type ArrayRecord")


def test_a_node_whose_file_is_missing_says_where_only_to_itself(three, caplog):
    (three.folder / "node-1.toml").unlink()
    three.start()
    assert ["takes no part" in error and "node-1" not in error for error in three.errors()] == [True]
    assert f"{three.folder / 'node-1.toml'}: cannot be read" in caplog.text


def test_a_nodes_own_config_names_its_file_whatever_the_app_says(three):
    (three.folder / "node-1.toml").rename(three.folder / "own.toml")
    context = three.grid.contexts[101]
    context.node_config["veilsum"].string = str(three.folder / "own.toml")
    require_mean(three.start().arrays, MODEL, [0, 1, 2])


def test_two_nodes_of_one_identity_are_one(three):
    (three.folder / "node-1.toml").write_bytes((three.folder / "node-2.toml").read_bytes())
    assert not three.start().arrays


# State between messages


def test_a_session_that_has_ended_leaves_nothing_in_the_state(ran):
    three, _ = ran
    assert all(RECORD not in three.grid.state_of(node) for node in three.grid.apps)


def test_between_two_messages_the_state_holds_the_snapshot_and_the_users_own_records(three):
    def train(message, context):
        context.state["mine"] = ConfigRecord({"seen": len(context.state.config_records)})
        metrics = MetricRecord({"train_loss": 1.0, "num-examples": 10})
        return Message(RecordDict({"arrays": record(MODEL), "metrics": metrics}), reply_to=message)

    three.replace_train(101, train)
    three.start()
    assert three.grid.kept[101] == [{RECORD, "mine"}] * len(STAGES) + [{"mine"}]


class RollingBack(FakeGrid):
    """Before a round of one node its state is the one of two rounds before."""

    def _run(self, node, message):
        older = self.__dict__.setdefault("older", {}).setdefault(node, [])
        older.append(self.contexts[node])
        if node == 103 and wire_messages(message.content)[-1].round is Round.CONFIRM:
            self.contexts[node] = older[-2]
        return super()._run(node, message)


@pytest.mark.slow
def test_a_node_that_is_given_an_older_snapshot_answers_nothing(five, caplog):
    five.grid = RollingBack(five.grid.apps)
    require_mean(five.start().arrays, MODEL, [0, 1, 2, 3, 4])
    assert ["takes no part" in error for error in five.errors()] == [True, True]  # in this round, and at the farewell
    assert "it is not the last one" in caplog.text


@pytest.mark.slow
def test_after_a_lost_state_the_next_session_starts_anew(five):
    class Forgetting(FedAvg):
        def aggregate_train(self, server_round, replies):
            for node in five.grid.apps:
                five.grid.contexts[node].state.Clear()
            return super().aggregate_train(server_round, replies)

    five.start(Forgetting(fraction_evaluate=0.0), rounds=2)
    assert five.errors() == []
    assert len(five.calls) == 10


# The server's side


@pytest.mark.parametrize(
    "make",
    [
        strategies.FedMedian,
        strategies.FedTrimmedAvg,
        strategies.Krum,
        strategies.MultiKrum,
        strategies.Bulyan,
        lambda: strategies.QFedAvg(0.1),
        strategies.FedXgbBagging,
        strategies.FedXgbCyclic,
        lambda: strategies.DifferentialPrivacyServerSideFixedClipping(FedAvg(), 1.0, 1.0, 3),
        lambda: strategies.DifferentialPrivacyClientSideFixedClipping(FedAvg(), 1.0, 1.0, 3),
        lambda: strategies.DifferentialPrivacyServerSideAdaptiveClipping(FedAvg(), 0.1, 3),
        lambda: strategies.DifferentialPrivacyClientSideAdaptiveClipping(FedAvg(), 0.1, 3),
    ],
)
def test_a_strategy_that_needs_each_nodes_update_is_refused(three, make):
    with pytest.raises(FlowerError, match="looks at each node's update"):
        secure(make(), three.folder)


def test_what_is_no_strategy_is_refused(three):
    with pytest.raises(FlowerError, match=r"str is no strategy of flwr\.serverapp\.strategy"):
        secure("FedAvg", three.folder)


def test_a_server_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(FlowerError, match=r"server\.toml: cannot be read"):
        secure(FedAvg(), tmp_path / "server.toml")


def test_a_strategy_that_tells_its_nodes_different_things_is_refused(three):
    class Different(FedAvg):
        def configure_train(self, server_round, arrays, config, grid):
            return [
                Message(RecordDict({"arrays": arrays, "config": ConfigRecord({"node": node})}), node, "train")
                for node in grid.get_node_ids()
            ]

    with pytest.raises(FlowerError, match="messages that differ"):
        three.start(Different(fraction_evaluate=0.0))


def test_a_message_without_a_model_is_refused(three):
    class Bare(FedAvg):
        def configure_train(self, server_round, arrays, config, grid):
            return [Message(RecordDict({"config": config}), node, "train") for node in grid.get_node_ids()]

    with pytest.raises(FlowerError, match="0 ArrayRecords in one message"):
        three.start(Bare(fraction_evaluate=0.0))


def test_a_config_value_that_is_not_finite_is_refused(three):
    with pytest.raises(FlowerError, match="record 'config': a value is NaN or infinite"):
        three.start(train_config=ConfigRecord({"lr": float("inf")}))


def test_large_answers_are_fetched_one_by_one(three, monkeypatch):
    monkeypatch.setattr(server, "_IN_MEMORY", 1)
    three.start()
    assert max(three.grid.pulled_at_once) == 1


@pytest.mark.parametrize(
    "other",
    [{"arrays": record({**MODEL, "weight": MODEL["weight"] + 1})}, {"config": ConfigRecord({"server-round": 2})}],
    ids=["model", "config"],
)
def test_a_server_that_tells_one_node_something_else_gets_no_sum(three, other):
    push = three.grid._push

    def lie(message):
        if message.metadata.dst_node_id == 101 and "arrays" in message.content:
            message.content = RecordDict({**message.content, **other})
        return push(message)

    three.grid._push = lie
    assert not three.start().arrays
    assert len(three.calls) == 3


@pytest.mark.slow
def test_without_flower_one_line_says_what_to_install():
    code = (
        "import sys\n"
        "class NoFlower:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'flwr': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, NoFlower())\n"
        "import veilsum.flower\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: Flower is missing: pip install 'veilsum[flower]'"
