"""The command line as a person meets it: help at once, one line for every error, two commands that find each other."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import veilsum
from fl_integration import synthetic
from net.config import Address
from veilsum import cli
from veilsum.demo.files import open_workplace, write_consortium, write_coordinator, write_party, write_tables
from veilsum.demo.options import Options
from veilsum.demo.plan import plan

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from veilsum.cli import main; main()"]


def complaint(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    """Status and standard error of a command that must not say anything on standard output."""
    monkeypatch.setattr(sys, "argv", ["veilsum", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("veilsum: ")
    assert said.err.count("\n") == 1
    return ended.value.code, said.err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["demo", "--banks", "three"], "--banks"),
        (["demo", "--banks", "2"], "2 is not in the range"),
        (["demo", "--stage", "masked"], "masked-input"),
        (["demo", "--banks", "3"], "before its input left"),
        (["demo", "--variant", "curious", "--stage", "confirm"], "has no stage 'confirm'"),
        (["demonstrate"], "No such command"),
        (["party", "run"], "CONFIG.toml"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(monkeypatch, capsys, arguments, why):
    status, line = complaint(monkeypatch, capsys, *arguments)
    assert (status, why in line) == (2, True), line


@pytest.mark.parametrize("command", ["coordinator", "party"])
def test_a_file_that_is_not_there_is_named(monkeypatch, capsys, tmp_path, command):
    status, line = complaint(monkeypatch, capsys, command, str(tmp_path / "none.toml"))
    assert status == 1
    assert str(tmp_path / "none.toml") in line


def test_a_model_that_needs_torch_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr("veilsum.demo.plan.find_spec", lambda name: None)
    status, line = complaint(monkeypatch, capsys, "demo", "--model", "mlp")
    assert status == 1
    assert "pip install 'veilsum[torch]'" in line


def test_a_fault_of_our_own_is_a_line_too(monkeypatch, capsys):
    monkeypatch.setattr("veilsum.running.coordinate", lambda *_: 1 / 0)
    status, line = complaint(monkeypatch, capsys, "coordinator", "any.toml")
    assert status == 1
    assert "please report it: ZeroDivisionError" in line


def test_an_interrupt_is_a_line_too(monkeypatch, capsys):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("veilsum.running.coordinate", interrupted)
    assert complaint(monkeypatch, capsys, "coordinator", "any.toml") == (130, "veilsum: stopped\n")


@pytest.mark.slow
def test_the_help_loads_nothing_heavy():
    code = (
        "import sys, veilsum.cli\n"
        "try:\n"
        "    sys.argv = ['veilsum', 'demo', '--help']; veilsum.cli.main()\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "heavy = {'numpy', 'pandas', 'sklearn', 'torch', 'trio', 'cryptography', 'msgpack'}\n"
        "sys.stderr.write(' '.join(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "--stage" in done.stdout


def test_the_version_is_the_one_that_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project.get("version", veilsum.__version__) == veilsum.__version__
    assert "local" in dir(veilsum)
    with pytest.raises(AttributeError, match="no attribute 'remote'"):
        _ = veilsum.remote


@pytest.mark.slow
def test_a_coordinator_and_three_parties_train_from_their_files(tmp_path):
    planned = plan(Options(banks=3, lose=0, rounds=2))
    place = open_workplace(tmp_path)
    write_tables(place, planned, synthetic.transactions(3, 0, (200, 250, 300)), synthetic.held_out(0, rows=100))
    write_consortium(place, planned, synthetic.training("linear", rounds=2))
    write_coordinator(place, Address("127.0.0.1", 0))
    coordinator = start("coordinator", place.coordinator)
    host, _, port = coordinator.stdout.readline().split()[-1].rpartition(":")
    for bank in planned.banks:
        write_party(place, planned, bank, Address(host, int(port)), synthetic.LABEL)
    parties = [start("party", place.party(bank)) for bank in planned.banks]
    said = {process: process.communicate() for process in (coordinator, *parties)}
    assert [process.returncode for process in said] == [0, 0, 0, 0], said
    assert "round 2: the sum of bank-1, bank-2, bank-3" in said[coordinator][0]
    assert all("training is finished" in said[party][0] for party in parties)
    models = {path.read_bytes() for path in tmp_path.rglob("model.npz")}
    assert len(models) == 1
    assert len(list(tmp_path.rglob("model.npz"))) == 4


def start(command: str, file: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, command, str(file)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
