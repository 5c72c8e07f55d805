"""The example app of docs/flower.md, run as a user runs it: `flwr run` with Flower's simulation engine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from flower_runtime import end_all, free_port, surroundings, tool

from veilsum.trial import write_trial

ROOT = Path(__file__).parents[2]
PLAN = {
    "rows_per_unit": 10,
    "metrics": {"train_loss": [0.0, 10.0]},
    "evaluation": {"eval_loss": [0.0, 10.0], "eval_acc": [0.0, 1.0]},
}


@pytest.mark.slow
@pytest.mark.xdist_group("runtime")
def test_the_example_trains_in_the_simulation_engine(tmp_path):
    env = surroundings(tmp_path) | {
        "PYTHONPATH": str(ROOT),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(free_port()),
        "FLWR_LOCAL_CONTROL_API_PORT": str(free_port()),
    }
    write_trial(tmp_path / "home" / "veil", nodes=5, losses=1, patience=200.0, training=PLAN)
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
