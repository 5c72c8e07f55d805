"""Flower's own runtime: a SuperLink, five SuperNodes, `flwr run`; in each training round one SuperNode is killed."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("flwr")

from flower_runtime import Runtime, end_all, free_port, surroundings, tool

from protocols.messages import Round
from veilsum.trial import node_file, write_trial

ROOT = Path(__file__).parents[2]
STAGES = [Round.ADVERTISE, Round.SHARE, Round.MASKED_INPUT, Round.CONFIRM, Round.UNMASK]
TRAINING = {"clip": 1.0, "bits": 16, "rows_per_unit": 10, "metrics": {"train_loss": [0.0, 10.0]}, "evaluation": {}}

PYPROJECT = """
[project]
name = "killing"
version = "1.0.0"
description = ""
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "killing.server_app:app"
clientapp = "killing.client_app:app"
"""

CLIENT_APP = '''
"""A node whose SuperNode dies before it answers where a file says so."""
import os
import signal
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from protocols.messages import CODEC
from veilsum.flower import secure_mod


def die(message, context, call_next):
    folder, place = Path(context.node_config["folder"]), context.node_config["partition-id"]
    stage = [CODEC.decode(array.data) for array in message.content["veilsum"].values()][-1].round
    order = folder / f"kill-{place}-{stage}"
    if order.exists():
        order.unlink()
        os.kill(int((folder / f"node-{place}.pid").read_text()), signal.SIGKILL)
        os._exit(1)
    return call_next(message, context)


app = ClientApp(mods=[die, secure_mod()])


@app.train()
def train(message, context):
    place = context.node_config["partition-id"]
    model = message.content["arrays"]["weight"].numpy()
    metrics = MetricRecord({"train_loss": 0.25 * place, "num-examples": 10})
    arrays = ArrayRecord({"weight": Array(model + np.float32(0.1 * 2**place / 16))})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)
'''

SERVER_APP = '''
"""Five training rounds of one sum each. Before each one this waits until all five nodes are there."""
import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

from veilsum.flower import secure

FOLDER = Path({folder!r})
STAGES = {stages!r}
app = ServerApp()


class Killing(FedAvg):
    """Asks the nodes that are there, and has one killed."""

    def __init__(self, place):
        super().__init__(fraction_evaluate=0.0)
        self.place = place

    def configure_train(self, server_round, arrays, config, grid):
        ready = FOLDER / f"ready-{{self.place}}"
        while not ready.exists():
            time.sleep(0.1)
        self.nodes = json.loads(ready.read_text())
        (FOLDER / f"kill-{{self.place}}-{{STAGES[self.place]}}").touch()
        content = RecordDict({{"arrays": arrays, "config": ConfigRecord({{"training-round": self.place}})}})
        return self._construct_messages(content, self.nodes, "train")

    def aggregate_train(self, server_round, replies):
        replies = list(replies)
        self.failures = {{reply.metadata.src_node_id: reply.error.reason for reply in replies if reply.has_error()}}
        return super().aggregate_train(server_round, replies)


@app.main()
def main(grid, context):
    for place, stage in enumerate(STAGES):
        strategy = Killing(place)
        started = time.monotonic()
        arrays = ArrayRecord({{"weight": Array(np.zeros(1000, dtype=np.float32))}})
        result = secure(strategy, FOLDER / "veil" / f"server-{{stage}}.toml").start(grid, arrays, num_rounds=1)
        said = {{
            "mean": [float(value) for value in result.arrays["weight"].numpy()] if result.arrays else None,
            "loss": result.train_metrics_clientapp.get(1, {{}}).get("train_loss"),
            "failures": {{str(node): reason for node, reason in strategy.failures.items()}},
            "nodes": strategy.nodes,
            "seconds": time.monotonic() - started,
        }}
        (FOLDER / f"done-{{place}}.part").write_text(json.dumps(said))
        (FOLDER / f"done-{{place}}.part").rename(FOLDER / f"done-{{place}}")
'''


@pytest.fixture
def runtime(tmp_path):
    running = Runtime(tmp_path)
    yield running
    running.stop()


def write_app(folder):
    package = folder / "app" / "killing"
    package.mkdir(parents=True)
    (folder / "app" / "pyproject.toml").write_text(PYPROJECT)
    (package / "__init__.py").touch()
    (package / "client_app.py").write_text(CLIENT_APP)
    (package / "server_app.py").write_text(SERVER_APP.format(folder=str(folder), stages=[str(one) for one in STAGES]))
    return folder / "app"


def write_files(folder):
    """The trial's, and a server.toml for each stage: where a node is to die nobody waits for the fifth answer. At the
    last stage they do, until the patience of this round is over."""
    write_trial(folder / "veil", nodes=5, losses=1, patience=60.0, training=TRAINING)
    text = (folder / "veil" / "server.toml").read_text()
    for stage in STAGES:
        said = "patience = 6.0" if stage is Round.UNMASK else "hoped_for = 4"
        (folder / "veil" / f"server-{stage}.toml").write_text(f"{text}\n[policy.{stage}]\n{said}\n")


def keep_up(runtime, stop):
    """Before each training round: the SuperNode that was killed is started again, as a new node."""
    ids = []
    config = [{"folder": runtime.folder, "veilsum": node_file(runtime.folder / "veil", place)} for place in range(5)]
    for place in range(5):
        runtime.start_node(place, config[place])
    for place in range(5):
        ids.append(int(runtime.wait_for(f"node-{place}", r"SuperNode ID: (\d+)")))
    for killed in range(5):
        (runtime.folder / "ready.part").write_text(json.dumps(ids))
        (runtime.folder / "ready.part").rename(runtime.folder / f"ready-{killed}")
        while not (runtime.folder / f"done-{killed}").exists():
            if stop.wait(0.1):
                return
        assert runtime.processes[f"node-{killed}"].wait() == -9
        runtime.start_node(killed, config[killed])
        ids[killed] = int(runtime.wait_for(f"node-{killed}", r"SuperNode ID: (\d+)", times=2))


@pytest.mark.slow
def test_five_training_rounds_each_lose_a_supernode_at_another_stage(runtime):
    folder, stop = runtime.folder, threading.Event()
    write_files(folder)
    app = write_app(folder)
    nodes = threading.Thread(target=keep_up, args=(runtime, stop))
    nodes.start()
    try:
        said = runtime.run_app(app)
    finally:
        stop.set()
        nodes.join()
    for place, stage in enumerate(STAGES):
        assert (folder / f"done-{place}").exists(), said
        done = json.loads((folder / f"done-{place}").read_text())
        lost = {place} if STAGES.index(stage) < STAGES.index(Round.CONFIRM) else set()
        summed = [0.1 * 2**one / 16 for one in range(5) if one not in lost]
        np.testing.assert_allclose(done["mean"], sum(summed) / len(summed), rtol=0, atol=2 / 2**15)
        assert done["failures"] == {str(done["nodes"][place]): f"lost in the round {stage} of the secure sum"}


@pytest.mark.slow
def test_the_example_trains_in_the_simulation_engine(tmp_path):
    env = surroundings(tmp_path) | {
        "PYTHONPATH": str(ROOT),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(free_port()),
        "FLWR_LOCAL_CONTROL_API_PORT": str(free_port()),
    }
    ranges = {"metrics": {"train_loss": [0.0, 10.0]}, "evaluation": {"eval_loss": [0.0, 10.0], "eval_acc": [0.0, 1.0]}}
    write_trial(tmp_path / "home" / "veil", nodes=5, losses=1, patience=200.0, training=TRAINING | ranges)
    app = shutil.copytree(ROOT / "examples" / "flower_digits", tmp_path / "flower_digits")
    command = [tool("flwr"), "run", str(app), "--stream", "--federation-config", "num-supernodes=5"]
    try:
        done = subprocess.run(
            [*command, "--run-config", "num-server-rounds=1"], env=env, capture_output=True, text=True, timeout=300
        )
    finally:
        end_all(env)
    said = done.stdout + done.stderr
    assert "aggregate_evaluate: Received 1 results and 0 failures" in said, said[-3000:]
    assert re.search(r"accuracy: 0\.\d+", said)
