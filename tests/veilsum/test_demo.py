"""The demo for real: processes on loopback, a bank killed at every stage, and nothing left whatever ends it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from protocols.families import FAMILIES

ROOT = Path(__file__).parents[2]
# a test run in the background of a shell ignores SIGINT, and what it starts would too
HEARS_SIGINT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{HEARS_SIGINT}; from veilsum.cli import main; main()", "demo"]

pytestmark = pytest.mark.slow


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """A demo whose working folder and temporary folder are empty ones in `folder`."""
    for name in ("cwd", "tmp"):
        (folder / name).mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder / "cwd",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str) -> dict:
    """The JSON of a demo that goes well and leaves nothing."""
    demo = start(folder, "--json", *arguments)
    out, err = demo.communicate()
    assert demo.returncode == 0, err
    assert_nothing_left(folder)
    return json.loads(out.splitlines()[-1])


def assert_nothing_left(folder: Path) -> None:
    assert list((folder / "cwd").iterdir()) == []
    assert list((folder / "tmp").iterdir()) == []
    assert processes_of(folder) == []


def processes_of(folder: Path) -> list[str]:
    """Those that were started with this temporary folder. (Where there is no /proc the pipes have shown it already.)"""
    mine = f"\0TMPDIR={folder / 'tmp'}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mine in b"\0" + (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found


EVERYBODY = ["bank-1", "bank-2", "bank-3", "bank-4", "bank-5"]


def test_a_bank_that_is_killed_before_its_input_left_is_not_in_the_sum_and_the_rest_learn_well(tmp_path):
    results = run(tmp_path)
    assert [one["included"] for one in results["rounds"]] == [EVERYBODY, *[EVERYBODY[:4]] * 4]
    assert results["rounds"][1]["dropped"] == [{"bank": "bank-5", "stage": "masked-input"}]
    assert results["rounds"][4]["absent"] == ["bank-5"]
    assert results["exact"]
    assert all(one["exact"] and one["seconds"] > 0 and one["bytes_up_per_bank"] > 0 for one in results["rounds"])
    auc = results["auc"]
    assert auc["federated"] >= sum(auc["alone"].values()) / len(auc["alone"]) + 0.02
    assert auc["federated"] >= auc["pooled"] - 0.02


def more(*case):
    """CI runs others like it; at each stage of each protocol, `tests/net/test_net_processes.py`."""
    return pytest.param(*case, marks=pytest.mark.exhaustive)


@pytest.mark.parametrize("stage", [more("advertise"), "share", more("confirm"), "unmask"])
def test_a_bank_that_is_killed_is_in_the_sum_exactly_when_its_input_had_left(tmp_path, stage):
    results = run(tmp_path, "--banks", "4", "--rounds", "3", "--stage", stage)
    without = EVERYBODY[:3]
    first, second, third = results["rounds"]
    assert (first["included"], first["dropped"], first["absent"]) == (EVERYBODY[:4], [], [])
    assert second["included"] == (EVERYBODY[:4] if stage in ("confirm", "unmask") else without)
    assert second["dropped"] == [{"bank": "bank-4", "stage": stage}]
    assert (third["included"], third["dropped"], third["absent"]) == (without, [], ["bank-4"])
    assert results["exact"]


@pytest.mark.parametrize(
    "name", [more(name) if name in ("committee", "lightsecagg") else name for name in FAMILIES if name != "secagg"]
)
def test_every_protocol_runs_and_loses_a_bank_where_inputs_leave(tmp_path, name):
    results = run(tmp_path, "--banks", "4", "--rounds", "2", "--protocol", name)
    first, second = results["rounds"]
    assert results["protocol"] == name
    assert (first["included"], first["dropped"]) == (EVERYBODY[:4], [])
    assert second["included"] == EVERYBODY[:3]
    assert second["dropped"] == [{"bank": "bank-4", "stage": FAMILIES[name].input_stage.value}]
    assert results["exact"]
    assert all(one["bytes_up_per_bank"] > 0 for one in results["rounds"])


def test_rounds_that_exchange_no_keys_send_less_and_a_lost_bank_costs_one_exchange_more(tmp_path):
    results = run(tmp_path, "--rounds", "4", "--rounds-per-epoch", "4", "--stage", "unmask")
    first, second, third, fourth = results["rounds"]  # the statistics were the first sum of the first epoch
    assert second["dropped"] == [{"bank": "bank-5", "stage": "unmask"}]
    assert [one["included"] for one in results["rounds"]] == [EVERYBODY, EVERYBODY, EVERYBODY[:4], EVERYBODY[:4]]
    assert results["exact"]
    assert all(one["bytes_up_per_bank"] < third["bytes_up_per_bank"] / 2 for one in (first, second, fourth))


def test_a_network_is_trained_the_same_way(tmp_path):
    pytest.importorskip("torch")
    results = run(tmp_path, "--model", "mlp", "--rounds", "2", "--banks", "4")
    assert results["exact"]
    assert results["rounds"][1]["included"] == ["bank-1", "bank-2", "bank-3"]


def test_the_curious_variant_runs_without_confirm_and_files_stay_only_where_they_were_asked_for(tmp_path):
    out = tmp_path / "kept"
    asked = ("--variant", "curious", "--rounds", "2", "--stage", "unmask", "--banks", "3", "--out", str(out))
    results = run(tmp_path, *asked)
    assert results["exact"]
    assert results["rounds"][1]["included"] == EVERYBODY[:3]
    assert results["rounds"][1]["dropped"] == [{"bank": "bank-3", "stage": "unmask"}]
    kept = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    own = ("party.toml", "identity.key", "data.csv", "model.npz")
    assert {"consortium.toml", "coordinator.toml", "model.npz", *(f"bank-1/{name}" for name in own)} <= kept
    assert not [name for name in kept if name.endswith(".npy")]
    assert {path.stat().st_mode & 0o077 for path in out.rglob("*.key")} == {0}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_demo_that_is_stopped_leaves_no_process_and_no_file(tmp_path, number):
    demo = start(tmp_path, "--rounds", "500", "--banks", "3", "--lose", "0")
    with demo.stdout:
        assert any("round 1:" in line for line in demo.stdout)
        assert len(processes_of(tmp_path)) in (0, 6)  # the demo, the keeper, the coordinator, the banks
        demo.send_signal(number)
        # the keeper of the folder holds our standard error and ends last
        err = demo.stderr.read()
    demo.stderr.close()
    status = demo.wait()
    assert_nothing_left(tmp_path)
    assert "Traceback" not in err
    assert (status, err) == (130, "veilsum: stopped\n") if number is signal.SIGINT else status == -number
