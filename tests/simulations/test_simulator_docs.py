"""The page for researchers: its scenarios are read, its programs run."""

import re
from pathlib import Path

import pytest

from simulations.scenario import Scenario
from simulations.sweep import read_sweep

TEXT = (Path(__file__).parents[2] / "docs/simulator.md").read_text()
SCENARIO, SWEEP = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
TRAINING, DROPOUT, PROTOCOL = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def printed(program: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    exec(compile(program, "docs/simulator.md", "exec"), {"__name__": "docs"})
    return capsys.readouterr().out.splitlines()


def test_the_scenario_of_the_page_is_one() -> None:
    scenario = Scenario.from_toml(SCENARIO)
    assert (scenario.parties, len(scenario.devices), len(scenario.faults)) == (40, 2, 1)


def test_the_sweep_of_the_page_is_one(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(SWEEP)
    assert len(read_sweep(tmp_path / "sweep.toml") or []) == 32


@pytest.mark.slow
def test_the_training_of_the_page_learns_with_losses_and_without(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(TRAINING, capsys)
    assert len(lines) == 6
    assert all(line.endswith(" 8 clients") for line in lines[3:])
    assert not all(line.endswith(" 8 clients") for line in lines[:3])


@pytest.mark.slow
def test_a_dropout_of_ones_own_takes_under_thirty_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(DROPOUT.splitlines()) < 30
    (line,) = printed(DROPOUT, capsys)
    assert re.fullmatch(r"\[\d+, \d+, \d+\]", line)


def test_a_protocol_of_ones_own_takes_under_thirty_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(PROTOCOL.splitlines()) < 30
    (line,) = printed(PROTOCOL, capsys)
    assert line.startswith("True ")


def test_every_dropout_of_a_file_is_in_the_table() -> None:
    from simulations.faults import DROPOUTS
    from simulations.plain import name_of

    assert {name_of(kind) for kind in DROPOUTS} == set(re.findall(r"^\| `([a-z-]+)`", TEXT, re.MULTILINE))
