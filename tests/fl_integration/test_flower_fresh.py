"""What the README says to a Flower user, to the letter and in a new environment: three commands, four lines."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flower_runtime import end_all, free_port, surroundings

ROOT = Path(__file__).parents[2]

PYPROJECT = """
[project]
name = "quickstart"
version = "1.0.0"
description = ""
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "quickstart.server_app:app"
clientapp = "quickstart.client_app:app"
[tool.flwr.app.config]
num-server-rounds = 2
fraction-evaluate = 1.0
"""

CLIENT_APP = """
import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(msg: Message, context: Context):
    place = context.node_config["partition-id"]
    moved = msg.content["arrays"]["weight"].numpy() + np.float32(0.1 * place)
    metrics = MetricRecord({"train_loss": 1.0 + place, "num-examples": 400})
    content = RecordDict({"arrays": ArrayRecord({"weight": Array(moved)}), "metrics": metrics})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context):
    metrics = MetricRecord({"eval_loss": 1.0, "eval_acc": 0.5, "num-examples": 400})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)
"""

SERVER_APP = """
import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    fraction_evaluate: float = context.run_config["fraction-evaluate"]
    num_rounds: int = context.run_config["num-server-rounds"]
    strategy = FedAvg(fraction_evaluate=fraction_evaluate)
    arrays = ArrayRecord({"weight": Array(np.zeros(10, dtype=np.float32))})
    result = strategy.start(grid=grid, initial_arrays=arrays, num_rounds=num_rounds)
    print("weight:", result.arrays["weight"].numpy()[0], "accuracy:", result.evaluate_metrics_clientapp[2]["eval_acc"])
"""


def section():
    """(commands, {file: [(old line or None, new line)]}) of the README's part on Flower."""
    text = (ROOT / "README.md").read_text()
    text = text[text.index("## Inside Flower") :]
    commands = re.search(r"```sh\n(.*?)```", text, re.DOTALL)[1].splitlines()
    changes, file, gone = {}, None, None
    for line in re.search(r"```diff\n(.*?)```", text, re.DOTALL)[1].splitlines():
        if line.startswith(" # "):
            file = line.removeprefix(" # ")
        elif line.startswith("-"):
            gone = line[1:]
        else:
            changes.setdefault(file, []).append((gone, line.removeprefix("+")))
            gone = None
    return commands, changes


def changed(source, changes):
    for old, new in changes:
        assert old is None or source.count(f"{old}\n") == 1, old
        source = f"{new}\n{source}" if old is None else source.replace(f"{old}\n", f"{new}\n")
    return source


def write_app(folder, changes):
    package = folder / "app" / "quickstart"
    package.mkdir(parents=True)
    (folder / "app" / "pyproject.toml").write_text(PYPROJECT)
    (package / "__init__.py").touch()
    for name, source in (("client_app.py", CLIENT_APP), ("server_app.py", SERVER_APP)):
        (package / name).write_text(changed(source, changes.pop(name)))
    assert not changes


def test_the_readme_changes_no_more_than_about_ten_lines():
    commands, changes = section()
    assert [command.split()[0] for command in commands] == ["pip", "veilsum", "flwr"]
    assert sum(map(len, changes.values())) == 4


@pytest.fixture
def env(tmp_path):
    env = surroundings(tmp_path) | {
        "PATH": os.pathsep.join([str(tmp_path / "fresh" / "bin"), os.environ["PATH"]]),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(free_port()),
        "FLWR_LOCAL_CONTROL_API_PORT": str(free_port()),
    }
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        env.pop(name, None)
    yield env
    end_all(env)


@pytest.mark.slow
@pytest.mark.xdist_group("runtime")
def test_the_readmes_lines_are_all_that_a_flower_user_needs(tmp_path, env):
    def run(*words, shell=False, cwd=tmp_path):
        done = subprocess.run(
            words[0] if shell else words, shell=shell, cwd=cwd, env=env, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=400,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    pip = ("-m", "pip", "--disable-pip-version-check")
    run(sys.executable, *pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", str(ROOT))
    [wheel] = (tmp_path / "dist").glob("veilsum-*.whl")
    run(sys.executable, "-m", "venv", "fresh")
    (install, trial, start), changes = section()
    assert install == "pip install 'veilsum[flower]'"
    python = str(tmp_path / "fresh" / "bin" / "python")
    run(python, *pip, "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), f"{wheel}[flower]")
    assert run(python, *pip, "check").strip() == "No broken requirements found."
    write_app(tmp_path, changes)
    run(trial, shell=True)
    said = run(start, shell=True, cwd=tmp_path / "app")
    assert "5 simulated SuperNodes" in said
    [weight, accuracy] = re.search(r"weight: (\S+) accuracy: (\S+)", said).groups()
    assert float(weight) == pytest.approx(2 * 0.1 * sum(range(5)) / 5, abs=1e-3)
    assert float(accuracy) == pytest.approx(0.5, abs=1e-3)
