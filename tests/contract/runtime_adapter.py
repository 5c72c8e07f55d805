"""Flower's own runtime, a SuperLink and five SuperNodes as processes: one `flwr run` of five training rounds of an odd
model, and in each of them one SuperNode is killed, at another stage."""

import json
import threading
from pathlib import Path

import numpy as np
from flower_runtime import Runtime
from scenes import LOSSES, ODD, PARTIES, STAGES, Outcome

from protocols.messages import Round
from veilsum.trial import node_file, write_trial

PYPROJECT = """
[project]
name = "contract"
version = "1.0.0"
description = ""
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "contract.server_app:app"
clientapp = "contract.client_app:app"
"""

CLIENT_APP = '''
"""A node whose SuperNode dies before it answers, where a file says so."""
import os
import signal
import sys
from pathlib import Path

from flwr.clientapp import ClientApp

sys.path += {paths!r}

from flower_adapter import trained_reply
from protocols.messages import CODEC
from scenes import ODD
from veilsum.flower import secure_mod


def die(message, context, call_next):
    folder, place = Path(context.node_config["folder"]), context.node_config["partition-id"]
    stage = [CODEC.decode(array.data) for array in message.content["veilsum"].values()][-1].round
    order = folder / f"kill-{{place}}-{{stage}}"
    if order.exists():
        order.unlink()
        os.kill(int((folder / f"node-{{place}}.pid").read_text()), signal.SIGKILL)
        os._exit(1)
    return call_next(message, context)


app = ClientApp(mods=[die, secure_mod()])


@app.train()
def train(message, context):
    return trained_reply(ODD, context.node_config["partition-id"], message)
'''

SERVER_APP = '''
"""One sum a training round. Before each one this waits until all five nodes are there, and orders one killed."""
import json
import sys
import time
from pathlib import Path

import numpy as np
from flwr.app import ConfigRecord, RecordDict
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

sys.path += {paths!r}

from flower_adapter import record, tensors_of
from scenes import ODD, STAGES
from veilsum.flower import secure

FOLDER = Path({folder!r})
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
        self.errors = {{reply.metadata.src_node_id: reply.error.reason for reply in replies if reply.has_error()}}
        return super().aggregate_train(server_round, replies)


@app.main()
def main(grid, context):
    for place, stage in enumerate(STAGES):
        strategy = Killing(place)
        secured = secure(strategy, FOLDER / "veil" / f"server-{{stage}}.toml")
        result = secured.start(grid, record(ODD.model), num_rounds=1)
        np.savez(FOLDER / f"model-{{place}}.npz", **tensors_of(result.arrays))
        said = {{
            "loss": result.train_metrics_clientapp.get(1, {{}}).get("loss"),
            "errors": {{strategy.nodes.index(node): reason for node, reason in strategy.errors.items()}},
        }}
        (FOLDER / f"done-{{place}}.part").write_text(json.dumps(said))
        (FOLDER / f"done-{{place}}.part").rename(FOLDER / f"done-{{place}}")
'''


def run(folder):
    """For each stage, in order: (outcome, place -> what Flower was told of it). Node 0 dies at the first stage, .."""
    runtime, stop = Runtime(folder), threading.Event()
    _write_files(folder)
    nodes = threading.Thread(target=_keep_up, args=(runtime, stop))
    try:
        nodes.start()
        said = runtime.run_app(_write_app(folder))
    finally:
        stop.set()
        nodes.join()
        runtime.stop()
    for place in range(len(STAGES)):
        if not (folder / f"done-{place}").exists():
            raise AssertionError(f"training round {place} never ended:\n{said}")
        yield _outcome(folder, place)


def _outcome(folder, place):
    done = json.loads((folder / f"done-{place}").read_text())
    with np.load(folder / f"model-{place}.npz") as kept:
        tensors = dict(kept)
    errors = {int(node): reason for node, reason in done["errors"].items()}
    return Outcome(tensors, {"loss": done["loss"]}, (ODD,)), errors


def _write_app(folder):
    package = folder / "app" / "contract"
    package.mkdir(parents=True)
    here = Path(__file__).parent
    paths = [str(here), str(here.parent / "fl_integration")]
    (folder / "app" / "pyproject.toml").write_text(PYPROJECT)
    (package / "__init__.py").touch()
    (package / "client_app.py").write_text(CLIENT_APP.format(paths=paths))
    (package / "server_app.py").write_text(SERVER_APP.format(paths=paths, folder=str(folder)))
    return folder / "app"


def _write_files(folder):
    """The trial's, and a server.toml for each stage: where a node is to die nobody waits for the fifth answer. At the
    last stage they do, until the patience of this round is over."""
    write_trial(folder / "veil", nodes=PARTIES, losses=LOSSES, patience=60.0, training=ODD.training())
    text = (folder / "veil" / "server.toml").read_text()
    for stage in STAGES:
        said = "patience = 6.0" if stage is Round.UNMASK else "hoped_for = 4"
        (folder / "veil" / f"server-{stage}.toml").write_text(f"{text}\n[policy.{stage}]\n{said}\n")


def _keep_up(runtime, stop):
    """Before each training round: the SuperNode that was killed is started again, as a new node."""
    folder = runtime.folder
    config = [{"folder": folder, "veilsum": node_file(folder / "veil", place)} for place in range(PARTIES)]
    for place in range(PARTIES):
        runtime.start_node(place, config[place])
    ids = [int(runtime.wait_for(f"node-{place}", r"SuperNode ID: (\d+)")) for place in range(PARTIES)]
    for killed in range(len(STAGES)):
        (folder / "ready.part").write_text(json.dumps(ids))
        (folder / "ready.part").rename(folder / f"ready-{killed}")
        while not (folder / f"done-{killed}").exists():
            if stop.wait(0.1):
                return
        assert runtime.processes[f"node-{killed}"].wait() == -9
        runtime.start_node(killed, config[killed])
        ids[killed] = int(runtime.wait_for(f"node-{killed}", r"SuperNode ID: (\d+)", times=2))
