"""A recipe or a job of NVIDIA FLARE becomes a secure one in one call: what is then in the files of the job."""

import json
import logging

import numpy as np
import pytest
from flare_house import Training
from nvflare.app_common.executors.client_api_executor import ClientAPIExecutor
from nvflare.app_common.np.recipes.fedavg import NumpyFedAvgRecipe
from nvflare.app_common.workflows.fedavg import FedAvg
from nvflare.job_config.api import FedJob
from nvflare.job_config.script_runner import ScriptRunner
from nvflare.recipe.utils import add_cross_site_evaluation

from veilsum.flare import FlareError, SecureController, SecureExecutor, secure


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "client.py").write_text("import nvflare.client as flare\n\nflare.init()\n")
    return "client.py"


def recipe(script, **said):
    return NumpyFedAvgRecipe(name="a_job", min_clients=4, model=np.zeros(3), train_script=script, **said)


def exported(job, folder):
    """Both sides' configuration, and the names of all files of the job."""
    job.export(str(folder)) if hasattr(job, "export") else job.export_job(str(folder))
    configs = [json.loads(next(folder.rglob(f"config_fed_{side}.json")).read_text()) for side in ("server", "client")]
    return *configs, {path.name for path in folder.rglob("*.py")}


def test_a_recipe_is_secure_after_one_line(script, tmp_path):
    made = recipe(script)
    secure(made, "veil")
    server, site, files = exported(made, tmp_path / "out")
    (workflow,) = server["workflows"]
    assert workflow["path"] == "veilsum.flare.SecureController"
    assert workflow["args"]["server_file"] == str(tmp_path / "veil")
    assert workflow["args"]["inner"]["path"] == "nvflare.app_common.workflows.fedavg.FedAvg"
    assert workflow["args"]["inner"]["args"]["num_clients"] is None  # min_clients of the recipe would leave one out
    (executor,) = site["executors"]
    assert executor["tasks"] == ["*"]
    assert executor["executor"]["path"] == "veilsum.flare.SecureExecutor"
    assert executor["executor"]["args"]["node_file"] == str(tmp_path / "veil")
    assert executor["executor"]["args"]["inner"]["path"].endswith("ClientAPIExecutor")
    assert files == {"client.py"}  # each side has this package installed: no code of it travels with a job


def test_a_folder_of_each_side_is_named_in_flares_own_words(script, tmp_path):
    made = recipe(script)
    secure(made, "{WORKSPACE}/local/veilsum")
    server, site, _ = exported(made, tmp_path / "out")
    assert server["workflows"][0]["args"]["server_file"] == "{WORKSPACE}/local/veilsum"
    assert site["executors"][0]["executor"]["args"]["node_file"] == "{WORKSPACE}/local/veilsum"


def test_what_a_training_logs_stays_at_its_site(script, tmp_path, caplog):
    made = recipe(script)
    with caplog.at_level(logging.INFO, "veilsum.flare"):
        secure(made, "veil")
    _, site, _ = exported(made, tmp_path / "out")
    assert "ConvertToFedEvent" not in json.dumps(site)
    assert "what a training logs stays at its site" in caplog.text


def test_a_recipes_log_streaming_is_taken_out_of_the_sites(script, tmp_path):
    made = recipe(script)
    made.enable_log_streaming("log.txt")
    secure(made, "veil")
    _, site, _ = exported(made, tmp_path / "out")
    assert "JobLogStreamer" not in json.dumps(site)


def test_without_the_line_the_same_recipe_has_what_is_taken_out(script, tmp_path):
    _, site, _ = exported(recipe(script), tmp_path / "out")
    assert "ConvertToFedEvent" in json.dumps(site)


def test_a_fed_job_is_secure_after_one_line(script, tmp_path):
    job = FedJob(name="a_job", min_clients=4)
    job.to_server(FedAvg(num_clients=5, num_rounds=2, persistor_id=""))
    for place in range(5):
        job.to(ScriptRunner(script=script), f"site-{place + 1}")
    secure(job, "veil")
    server, site, _ = exported(job, tmp_path / "out")
    assert server["workflows"][0]["path"] == "veilsum.flare.SecureController"
    assert site["executors"][0]["executor"]["path"] == "veilsum.flare.SecureExecutor"


def test_a_job_is_made_secure_by_hand_as_well(script, tmp_path):
    job = FedJob(name="a_job", min_clients=4)
    job.to_server(SecureController(FedAvg(num_clients=5, num_rounds=2, persistor_id=""), "/etc/veilsum/server.toml"))
    training = ClientAPIExecutor(execution_mode="in_process", task_script_path=script)
    job.to_clients(SecureExecutor(training, "/etc/veilsum/node.toml", weight_key="images"))
    server, site, files = exported(job, tmp_path / "out")
    assert server["workflows"][0]["args"]["inner"]["args"]["num_clients"] == 5
    said = site["executors"][0]["executor"]["args"]
    assert (said["node_file"], said["weight_key"]) == ("/etc/veilsum/node.toml", "images")
    assert not files


def test_models_that_would_go_out_one_by_one_to_be_compared_are_refused(script):
    made = recipe(script)
    add_cross_site_evaluation(made)
    with pytest.raises(FlareError, match="a secure job has one controller, this one has FedAvg, "):
        secure(made, "veil")


def test_two_executors_are_refused():
    job = FedJob(name="a_job")
    job.to_clients(Training(0), tasks=["train"])
    job.to_clients(Training(1), tasks=["validate"])
    with pytest.raises(FlareError, match="a site of a secure job has one executor, this one has 2"):
        secure(job, "veil")
