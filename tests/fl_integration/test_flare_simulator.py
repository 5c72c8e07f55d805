"""The secure sum in NVIDIA FLARE's own simulator: a server and sites as processes, and one of them killed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from veilsum.trial import write_trial

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "flare_digits"
SITES = 4

# what a user writes: a training script for FLARE's Client API, and a job
CLIENT = """
import numpy as np
import nvflare.client as flare

flare.init()
site = int(flare.get_site_name().removeprefix("site-"))
while flare.is_running():
    model = flare.receive()
    params = {name: value + np.float32(site / 100) for name, value in model.params.items()}
    flare.send(flare.FLModel(params=params, meta={"NUM_STEPS_CURRENT_ROUND": 10 * site}))
"""
EXTERNAL = """
import sys

from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
from nvflare.recipe import SimEnv

from veilsum.flare import secure

recipe = NumpyFedAvgRecipe(
    name="a_job", min_clients=3, num_rounds=1, model=[1.0, 2.0, 3.0], train_script="client.py",
    launch_external_process=True, command=f"{sys.executable} -u",
)
secure(recipe, "veil")
recipe.execute(SimEnv(num_clients=3, workspace_root="workspace"))
"""
# site-4's process ends at its 8th task: in the second round, when its masked input is due
JOB = """
from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
from nvflare.recipe import SimEnv

from fl_integration.flare.jobs import secure_job
from leaving import Leaving
from veilsum.flare import SecureController

recipe = NumpyFedAvgRecipe(name="a_job", min_clients=3, num_rounds=2, model=[1.0, 2.0, 3.0], train_script="client.py")
secure_job(recipe, lambda inner: SecureController(inner, {veil!r}), lambda inner: Leaving(inner, {veil!r}))
recipe.execute(SimEnv(num_clients=4, workspace_root="workspace"))
"""
LEAVING = """
import os

from veilsum.flare import SecureExecutor


class Leaving(SecureExecutor):
    def __init__(self, inner, node_file):
        super().__init__(inner, node_file)
        self._tasks = 0

    def execute(self, task_name, shareable, fl_ctx, abort_signal):
        self._tasks += 1
        if (fl_ctx.get_identity_name(), self._tasks) == ("site-4", 8):
            os._exit(1)
        return super().execute(task_name, shareable, fl_ctx, abort_signal)
"""


def simulate(folder, *words):
    """Runs job.py there; returns all that it logged."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "job.py", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.xdist_group("runtime")
def test_the_simulator_averages_two_rounds_and_loses_a_site_in_the_second(tmp_path):
    veil = tmp_path / "veil"
    training = {"bits": 16, "rows_per_unit": 10, "metrics": {}, "evaluation": {}}
    write_trial(veil, nodes=SITES, losses=1, patience=15.0, training=training)
    for name, text in (("client.py", CLIENT), ("leaving.py", LEAVING), ("job.py", JOB.format(veil=str(veil)))):
        (tmp_path / name).write_text(text)
    said = simulate(tmp_path)
    assert "secure sum over 4 of 4 sites" in said
    assert "site-4 is out of this sum: its answer to masked-input never came" in said
    assert "secure sum over 3 of 4 sites" in said
    (model,) = (tmp_path / "workspace").rglob("server.npy")
    weights = np.array([1, 2, 4, 4])  # of 10, 20, 30 and 40 rows, in units of 10
    moves = np.arange(1, 5) / 100
    moved = np.average(moves, weights=weights) + np.average(moves[:3], weights=weights[:3])
    # two rounds, in each one level of -1..1 in 16 bits, and float32
    np.testing.assert_allclose(np.load(model), np.array([1.0, 2.0, 3.0]) + moved, rtol=0, atol=2 * (2.0**-15 + 1e-6))


@pytest.mark.slow
@pytest.mark.xdist_group("runtime")
def test_a_training_in_a_process_of_its_own_is_summed_as_well(tmp_path):
    training = {"bits": 16, "rows_per_unit": 10, "metrics": {}, "evaluation": {}}
    write_trial(tmp_path / "veil", nodes=3, losses=0, patience=60.0, training=training)
    (tmp_path / "client.py").write_text(CLIENT)
    (tmp_path / "job.py").write_text(EXTERNAL)
    assert "secure sum over 3 of 3 sites" in simulate(tmp_path)
    (model,) = (tmp_path / "workspace").rglob("server.npy")
    moved = np.average([0.01, 0.02, 0.03], weights=[1, 2, 4])
    np.testing.assert_allclose(np.load(model), np.array([1.0, 2.0, 3.0]) + moved, rtol=0, atol=2.0**-15 + 1e-6)


@pytest.mark.slow
@pytest.mark.xdist_group("runtime")
def test_the_example_trains_in_the_simulator(tmp_path):
    for file in EXAMPLE.glob("*.py"):
        shutil.copy(file, tmp_path)
    training = {"bits": 16, "rows_per_unit": 10, "metrics": {"accuracy": [0.0, 1.0]}, "evaluation": {}}
    write_trial(tmp_path / "veil", nodes=3, losses=0, patience=60.0, training=training)
    said = simulate(tmp_path, "--sites", "3", "--rounds", "2")
    assert said.count("secure sum over 3 of 3 sites") == 2
    accuracy = float(said.split("new best validation metric at round 1: ")[1].split()[0])
    assert 0.8 < accuracy <= 1
    assert list((tmp_path / "workspace").rglob("FL_global_model.pt"))
