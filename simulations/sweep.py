"""Many scenarios: a grid or a list of any of their fields, one row a round in one table.

What is finished is kept beside the table, so a sweep that was interrupted goes on where it stood, and one that was
widened runs its new cells alone.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from simulations.plain import ScenarioError
from simulations.rates import default_rates
from simulations.scenario import Scenario, tables_of
from simulations.simulate import RoundResult, simulate

SWEEP = "sweep"
"""The table of a scenario's file that makes it a sweep."""

Row = dict[str, Any]
Engine = Callable[[list[Scenario]], Iterator[tuple[int, list[Row]]]]
"""Runs cells and yields place and rows of each as it is finished, in any order."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What is varied, by dotted names, and the scenario that it makes."""

    varied: tuple[tuple[str, Any], ...]
    scenario: Scenario

    @property
    def name(self) -> str:
        """The same for the same scenario at the same rates, in any process."""
        return hashlib.sha256(repr((self.varied, self.scenario, default_rates())).encode()).hexdigest()[:16]


def read_sweep(file: Path) -> list[Cell] | None:
    """The cells of a file with `[sweep]`; None for a plain scenario. Raises ScenarioError.

    grid: dotted name of a field -> its values; cells: tables of such names, each a cell of its own. With both, each of
    `cells` is run for each point of the grid.
    """
    table = tables_of(file.read_bytes(), file.name)
    if SWEEP not in table:
        return None
    values, cells = _parts(table.pop(SWEEP), file.name)
    return grid(table, values, cells, where=file.name, folder=file.parent)


def _parts(sweep: Any, where: str) -> tuple[dict[str, list[Any]], list[dict[str, Any]]]:
    """What `grid` takes. Raises ScenarioError."""
    if not isinstance(sweep, dict):
        raise ScenarioError(f"{where}: sweep is a table: write [sweep] above its keys")
    if odd := sorted(sweep.keys() - {"grid", "cells"}):
        raise ScenarioError(f"{where}: sweep.{odd[0]} is not known: a sweep has grid and cells")
    values, cells = sweep.get("grid", {}), sweep.get("cells", [{}])
    if not isinstance(values, dict) or not all(isinstance(value, list) for value in values.values()):
        raise ScenarioError(f"{where}: sweep.grid is a table of lists: a field's name, and its values")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise ScenarioError(f"{where}: sweep.cells are tables: write [[sweep.cells]] above each")
    return values, cells


def grid(
    base: Mapping[str, Any],
    values: Mapping[str, Iterable[Any]],
    cells: Iterable[Mapping[str, Any]] = ({},),
    *,
    where: str = "sweep",
    folder: Path | None = None,
) -> list[Cell]:
    """Every cell with every point. base: a scenario as a table. Raises ScenarioError."""
    made = []
    for cell, point in product(cells, product(*(values[name] for name in values))):
        varied = {**cell, **dict(zip(values, point, strict=True))}
        table = deepcopy(dict(base))
        for name, value in varied.items():
            _put(table, name, value)
        made.append(Cell(tuple(varied.items()), Scenario.from_table(table, where=where, folder=folder)))
    return made


def _put(table: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    for step in path:
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            raise ScenarioError(f"{name} cannot be varied: {step} is no table")
    table[last] = value


def run_sweep(
    cells: list[Cell], out: Path, *, engine: Engine, on_cell: Callable[[int], None] = lambda finished: None
) -> pd.DataFrame:
    """The table, one row a round, in the order of the cells; written to `out` (.csv, or .parquet with pyarrow).

    on_cell: told how many are finished. Raises ScenarioError for a table of another kind.
    """
    if out.suffix not in (".csv", ".parquet"):
        raise ScenarioError(f"{out.name}: a table is .csv or .parquet")
    kept = _Kept(out.with_name(f"{out.name}.cells"))
    todo = [cell for cell in cells if cell.name not in kept.rows]
    on_cell(len(cells) - len(todo))
    for place, rows in engine([cell.scenario for cell in todo]):
        kept.add(todo[place].name, rows)
        on_cell(sum(cell.name in kept.rows for cell in cells))
    table = pd.DataFrame([{**dict(cell.varied), **row} for cell in cells for row in kept.rows[cell.name]])
    _write(table, out)
    return table


class _Kept:
    """Finished cells, a line of JSON each; a last line that was cut is as if it were not there."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.rows: dict[str, list[Row]] = {}
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):
            file.write_text("".join(whole), encoding="utf-8")
        for line in whole:
            entry = json.loads(line)
            self.rows[entry["cell"]] = entry["rows"]

    def add(self, name: str, rows: list[Row]) -> None:
        self.rows[name] = rows
        with self._file.open("a", encoding="utf-8") as kept:
            kept.write(json.dumps({"cell": name, "rows": rows}) + "\n")


def _write(table: pd.DataFrame, out: Path) -> None:
    if out.suffix == ".csv":
        table.to_csv(out, index=False)
        return
    try:
        table.to_parquet(out, index=False)
    except ImportError as exc:
        raise ScenarioError(f"{out.name}: Parquet needs pyarrow: install it, or write .csv") from exc


# One cell, in whatever process


def run_cell(scenario: Scenario) -> list[Row]:
    """A row for each round."""
    report = simulate(scenario)
    own = {"degree": report.degree, "threshold": report.threshold}
    shape = {name: getattr(scenario, name) for name in ("protocol", "parties", "dimension", "seed")}
    return [{**shape, **own, **_row(one)} for one in report.rounds]


def _row(one: RoundResult) -> Row:
    stages = {f"up:{stage}": up for stage, (up, _) in one.bytes_by_stage.items()}
    stages |= {f"down:{stage}": down for stage, (_, down) in one.bytes_by_stage.items()}
    return {
        "round": one.fl_round,
        "included": len(one.included),
        "dropped": len({lost.party for lost in one.dropped}),
        "touched": len(one.touched),
        "exact": one.exact,
        "aborted": one.aborted,
        "virtual_seconds": one.virtual_seconds,
        "recovery_seconds": one.recovery_seconds,
        "bytes_up_per_client": one.bytes_up_per_client,
        "bytes_down_per_client": one.bytes_down_per_client,
        "server_masks_expanded": one.server_masks_expanded,
        "server_keystream_bytes": one.server_work.stream_bytes,
        "wire": one.wire,
        **stages,
    }


def in_processes(workers: int | None = None) -> Engine:
    """All cores of this machine, or so many. One worker: in this process."""
    count = workers or len(os.sched_getaffinity(0))

    def run(scenarios: list[Scenario]) -> Iterator[tuple[int, list[Row]]]:
        if count == 1 or len(scenarios) <= 1:
            yield from ((place, run_cell(scenario)) for place, scenario in enumerate(scenarios))
            return
        with ProcessPoolExecutor(min(count, len(scenarios)), mp_context=get_context("spawn")) as pool:
            places = {pool.submit(run_cell, scenario): place for place, scenario in enumerate(scenarios)}
            for done in as_completed(places):
                yield places[done], done.result()

    return run
