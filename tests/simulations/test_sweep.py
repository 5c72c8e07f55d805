"""Sweeps: every cell once, whatever the engine, and what was finished is kept."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from simulations.plain import ScenarioError
from simulations.scenario import Scenario
from simulations.sweep import Row, grid, in_processes, read_sweep, run_cell, run_sweep

BASE = {"parties": 5, "dimension": 4, "dropout": {"kind": "exactly", "share": 0.2}}
CELLS = grid(BASE, {"dropout.share": [0.0, 0.2], "seed": [1, 2]}, [{"rounds": 2}, {"variant": "curious"}])


class Counting:
    """An engine that says what it ran, and stops after so many."""

    def __init__(self, most: int = 100) -> None:
        self.ran: list[Scenario] = []
        self._most = most

    def __call__(self, scenarios: list[Scenario]) -> Iterator[tuple[int, list[Row]]]:
        for place, scenario in reversed(list(enumerate(scenarios))):
            if len(self.ran) == self._most:
                raise KeyboardInterrupt
            self.ran.append(scenario)
            yield place, run_cell(scenario)


def test_a_grid_is_every_cell_with_every_point() -> None:
    assert len(CELLS) == 8
    assert len({cell.name for cell in CELLS}) == 8
    assert [cell.scenario.rounds for cell in CELLS] == [2] * 4 + [1] * 4
    assert dict(CELLS[-1].varied) == {"variant": "curious", "dropout.share": 0.2, "seed": 2}
    assert CELLS[-1].scenario.dropout.planned(5) == 1  # type: ignore[attr-defined]
    assert BASE["dropout"] == {"kind": "exactly", "share": 0.2}


@pytest.mark.slow
def test_a_table_has_a_row_for_each_round_in_the_order_of_the_cells(tmp_path: Path) -> None:
    table = run_sweep(CELLS, tmp_path / "table.csv", engine=Counting())
    assert list(table["rounds"].dropna()) == [2] * 8
    assert list(table["round"]) == [1, 2] * 4 + [1] * 4
    assert set(table["exact"]) == {True}
    assert list(table.loc[table["dropout.share"] == 0.2, "included"]) == [4] * 6
    written = pd.read_csv(tmp_path / "table.csv")
    assert list(written.columns) == list(table.columns)
    assert len(written) == 12


@pytest.mark.slow
def test_a_sweep_that_was_interrupted_goes_on_where_it_stood(tmp_path: Path) -> None:
    out, whole = tmp_path / "table.csv", tmp_path / "whole.csv"
    first = Counting(most=3)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(CELLS, out, engine=first)
    kept = out.with_name("table.csv.cells")
    kept.write_bytes(kept.read_bytes()[:-9])  # the last line was cut
    second, progress = Counting(), []
    run_sweep(CELLS, out, engine=second, on_cell=progress.append)
    assert (len(first.ran), len(second.ran)) == (3, 6)
    assert progress == list(range(2, 9))
    run_sweep(CELLS, whole, engine=Counting())
    assert out.read_bytes() == whole.read_bytes()
    third = Counting()
    run_sweep(CELLS, out, engine=third)
    assert third.ran == []


@pytest.mark.slow
def test_several_processes_write_the_same_table_as_one(tmp_path: Path) -> None:
    for name, engine in (("one.csv", in_processes(1)), ("two.csv", in_processes(2))):
        run_sweep(CELLS, tmp_path / name, engine=engine)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # of Ray's own processes
def test_a_ray_of_this_machine_writes_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    from simulations.ray_engine import on_ray

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    for name, engine in (("ray.csv", on_ray()), ("one.csv", in_processes(1))):
        run_sweep(CELLS[:4], tmp_path / name, engine=engine)
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_a_file_with_a_sweep_is_read_and_one_without_is_none(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text('parties = 5\n[sweep.grid]\nseed = [1, 2]\n[[sweep.cells]]\nprotocol = "mesh"\n')
    cells = read_sweep(file)
    assert cells is not None
    assert [(cell.scenario.protocol, cell.scenario.seed) for cell in cells] == [("mesh", 1), ("mesh", 2)]
    file.write_text("parties = 5\n")
    assert read_sweep(file) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sweep.gird]\nseed = [1]", "sweep.gird is not known"),
        ("[sweep.grid]\nsede = [1]", "sede is not known: did you mean seed"),
        ("[sweep", "is no TOML"),
        ("parties = '\udcff'", "is no TOML"),
        ("sweep = 3", "sweep is a table"),
        ("sweep.grid = 3", "sweep.grid is a table of lists"),
        ("sweep.grid.seed = 3", "sweep.grid is a table of lists"),
        ("sweep.cells = [3]", "sweep.cells are tables"),
        ('parties = 5\n[sweep.grid]\n"parties.seed" = [1]', "parties.seed cannot be varied: parties is no table"),
    ],
)
def test_what_is_wrong_with_a_sweep_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "sweep.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ScenarioError, match=message):
        read_sweep(file)


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"\.csv or \.parquet"):
        run_sweep(CELLS, tmp_path / "table.xlsx", engine=Counting())
