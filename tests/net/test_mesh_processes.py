"""Members of a mesh as real processes, real TLS between each two, and SIGKILL at every stage."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mesh_loopback import MeshLoopback

from net.config import dump_party
from protocols.mesh.family import MESH
from protocols.session import Variant

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("process.py")
ROOT = Path(__file__).parents[2]
STAGES = [stage.value for stage in MESH.stages(Variant.ACTIVE)]
DEADLINE = 20.0  # seconds: the patience of a round, which no session of these may need


@pytest.fixture
def mesh_of(tmp_path):
    """Starts the members' processes; place -> stage of the second step at which one kills itself."""
    started = []

    def make(banks, *, colluding, kill, steps):
        talk = MeshLoopback(tmp_path, banks, colluding=colluding)
        for member in talk.members:
            file = tmp_path / f"bank-{member.place}.toml"
            file.write_text(dump_party(member.config, tmp_path))
            stage = kill.get(member.place, "nothing")
            started.append(
                subprocess.Popen(
                    [sys.executable, str(SCRIPT), "party", str(file), str(member.place), str(steps), stage],
                    env={"PYTHONPATH": str(ROOT)},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        return started

    yield make
    for process in started:
        process.kill()
        process.communicate()


def told(process):
    """Its events, its reports, and what it said to people."""
    out, err = process.communicate(timeout=90)
    lines = [json.loads(line) for line in out.splitlines()]
    reports = [line["report"] for line in lines if "report" in line]
    return [line for line in lines if "event" in line], reports, err


@pytest.mark.parametrize(
    "stage", [pytest.param(stage, marks=[] if at % 2 else [pytest.mark.exhaustive]) for at, stage in enumerate(STAGES)]
)
def test_a_member_killed_at_any_stage_is_in_the_sum_exactly_if_its_input_had_left(mesh_of, tmp_path, stage):
    had_left = STAGES.index(stage) > STAGES.index(MESH.input_stage.value)
    processes = mesh_of(4, colluding=1, kill={3: stage}, steps=3)
    said = [told(process) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, -9], said
    included = [0, 1, 2, 3] if had_left else [0, 1, 2]
    for _, (first, second, third), _ in said[:3]:
        assert (first["included"], first["dropped"]) == ([0, 1, 2, 3], {})
        assert second["included"] == included
        assert second["dropped"].keys() <= {"3"}
        assert (third["included"], third["absent"]) == ([0, 1, 2], [3])
        assert all(report["seconds"] < DEADLINE for report in (first, second, third))
    models = {(tmp_path / f"bank-{place}.model").read_bytes() for place in range(3)}
    (model,) = models
    assert json.loads(model)["sums"] == [15, sum(2**place for place in included), 7]


def test_below_the_threshold_every_member_is_told_keeps_no_secret_and_holds_the_last_model(mesh_of, tmp_path):
    stage = "certify-sums"  # test_mesh_session.py has others
    processes = mesh_of(5, colluding=1, kill={3: stage, 4: stage}, steps=3)
    for place, (events, reports, err) in enumerate(map(told, processes[:3])):
        assert "NoResult" in err
        assert [report["finished"] for report in reports] == [True, False]
        assert reports[1]["seconds"] < DEADLINE
        (aborted,) = [event for event in events if event["event"] == "aborted"]
        assert (aborted["fl_round"], aborted["secrets"]) == (2, 0)
        assert json.loads((tmp_path / f"bank-{place}.model").read_bytes())["sums"] == [31]
