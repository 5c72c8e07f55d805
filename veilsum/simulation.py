"""What `veilsum simulate` does: a progress bar while it runs, a table for people, JSON for programs."""

import json as jsonlib
import time

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from simulations.scenario import Scenario
from simulations.simulate import Report, RoundResult, simulate


def run_one(scenario: Scenario, *, measure: bool, json: bool) -> Report:
    """One scenario, with the table on standard error where standard output is for JSON."""
    with progress() as bar:
        task = bar.add_task(f"{scenario.protocol}, {scenario.parties} parties", total=scenario.rounds)
        report = simulate(
            scenario,
            clock=time.process_time if measure else None,
            on_round=lambda _: bar.advance(task),
        )
    Console(stderr=json, highlight=False).print(table(report))
    if json:
        typer.echo(jsonlib.dumps(report.to_json()))
    return report


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
