"""What `veilsum simulate` does: a progress bar while it runs, a table for people, JSON for programs."""

import json as jsonlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from simulations.scenario import Scenario
from simulations.simulate import Report, RoundResult, simulate
from simulations.sweep import Cell, Engine, in_processes, run_sweep
from veilsum.errors import Fault, WrongUsage

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Sweeping:
    """The options of a sweep."""

    out: Path | None
    engine: str
    workers: int | None
    address: str | None

    def runs_on(self) -> Engine:
        if self.engine != "ray":
            return in_processes(self.workers)
        try:
            from simulations.ray_engine import on_ray
        except ModuleNotFoundError as exc:
            raise Fault("--engine ray needs Ray: install veilsum[ray]") from exc
        return on_ray(self.address)


def run_one(scenario: Scenario, *, measure: bool, report: Path | None, json: bool) -> None:
    """One scenario, with the table on standard error where standard output is for JSON."""
    with progress() as bar:
        task = bar.add_task(f"{scenario.protocol}, {scenario.parties} parties", total=scenario.rounds)
        done = simulate(
            scenario,
            clock=time.process_time if measure else None,
            on_round=lambda _: bar.advance(task),
        )
    Console(stderr=json, highlight=False).print(table(done))
    if report is not None:
        _drawing().report_of_run(done, report, command=_command())
    if json:
        typer.echo(jsonlib.dumps(done.to_json()))


def run_many(cells: list[Cell], sweeping: Sweeping, *, report: Path | None, json: bool) -> None:
    """A sweep: its table goes to a file, what it comes to is shown."""
    if sweeping.out is None:
        raise WrongUsage("a sweep writes a table: say where with --out TABLE.csv")
    engine = sweeping.runs_on()
    with progress() as bar:
        task = bar.add_task(f"{len(cells)} cells", total=len(cells))
        rows = run_sweep(
            cells, sweeping.out, engine=engine, on_cell=lambda finished: bar.update(task, completed=finished)
        )
    told = _counts(rows) | {"cells": len(cells), "table": str(sweeping.out)}
    Console(stderr=json, highlight=False).print(
        f"{told['cells']} cells, {told['sessions']} sessions: {told['exact']} with the exact sum, "
        f"{told['aborted']} without a sum, {told['wrong']} with a wrong one; {told['table']}"
    )
    if report is not None:
        _drawing().report_of_sweep(rows, _examples(cells), report, command=_command())
    if json:
        typer.echo(jsonlib.dumps(told))


def _examples(cells: list[Cell]) -> dict[str, Scenario]:
    """Of each protocol a scenario from among its cells: not the first, in which a grid mostly has no losses."""
    of: dict[str, list[Scenario]] = {}
    for cell in cells:
        of.setdefault(cell.scenario.protocol, []).append(cell.scenario)
    return {name: scenarios[len(scenarios) // 3] for name, scenarios in of.items()}


def _counts(rows: "pd.DataFrame") -> dict[str, Any]:
    return {
        "sessions": len(rows),
        "exact": int(rows["exact"].eq(True).sum()),
        "aborted": int(rows["aborted"].notna().sum()),
        "wrong": int(rows["exact"].eq(False).sum()),
    }


def _drawing() -> Any:
    try:
        from simulations import report
    except ModuleNotFoundError as exc:
        raise Fault("--report needs matplotlib: install veilsum[report]") from exc
    return report


def _command() -> str:
    """As it was typed."""
    return " ".join(["veilsum", *sys.argv[1:]])


def progress() -> Progress:
    """On standard error; nothing where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def table(report: Report) -> Table:
    scenario = report.scenario
    parameters = f"degree {report.degree}, threshold {report.threshold}" if report.degree else "no such session planned"
    title = f"{scenario.protocol}: {scenario.parties} parties, {scenario.dimension} values, {parameters}"
    shown = Table(title=title, title_justify="left")
    for name in ("round", "in the sum", "lost", "exact", "virtual s", "bytes up", "bytes down", "masks at the server"):
        shown.add_column(name, justify="right")
    for one in report.rounds:
        shown.add_row(*_row(one))
    return shown


def _row(one: RoundResult) -> tuple[str, ...]:
    exact = one.aborted or ("yes" if one.exact else "NO")
    masks = "-" if one.server_masks_expanded is None else f"{one.server_masks_expanded:,}"
    sizes = (f"{one.bytes_up_per_client:,}", f"{one.bytes_down_per_client:,}")
    lost = str(len({lost.party for lost in one.dropped}))
    return (str(one.fl_round), str(len(one.included)), lost, exact, f"{one.virtual_seconds:.3f}", *sizes, masks)
