"""`veilsum simulate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

if TYPE_CHECKING:
    from simulations.scenario import Scenario
    from simulations.sweep import Cell

ENGINES = ("processes", "ray")


def simulate(
    file: Annotated[
        Path | None, typer.Argument(metavar="[SCENARIO.toml]", help="What is simulated.", show_default=False)
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="By its name: secagg, mesh, ..", show_default=False)] = None,
    parties: Annotated[int | None, typer.Option(min=3, help="How many take part.", show_default=False)] = None,
    dimension: Annotated[int | None, typer.Option(min=1, help="Values in a vector.", show_default=False)] = None,
    dropout: Annotated[
        float | None,
        typer.Option(min=0, max=0.99, help="This share vanishes before its input leaves.", show_default=False),
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Sums, one after the other.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything that is drawn.", show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="TABLE.csv", help="A sweep's table; what is finished is kept beside it.")
    ] = None,
    engine: Annotated[str, typer.Option(click_type=click.Choice(ENGINES), help="Where a sweep runs.")] = "processes",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes of a sweep: else all cores.")] = None,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster: auto for the one here.")] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A page with figures, and the figures.", show_default=False)
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Add real processor seconds.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The last line of standard output is JSON.")] = False,
) -> None:
    """Run a protocol's own machines in virtual time, lose parties on the way, and check every sum.

    The same scenario and seed give the same bytes. A scenario's fields give way to the options; a file with [sweep]
    runs all its cells.
    """
    from simulations.plain import ScenarioError
    from veilsum.errors import WrongUsage
    from veilsum.simulation import Sweeping, run_many, run_one

    given = {
        "protocol": protocol,
        "parties": parties,
        "dimension": dimension,
        "rounds": rounds,
        "seed": seed,
    }
    try:
        cells = _cells(file)
        if cells is None:
            scenario = _scenario(file, {name: value for name, value in given.items() if value is not None}, dropout)
            run_one(scenario, measure=measure, report=report, json=json)
            return
        if measure or dropout is not None or any(value is not None for value in given.values()):
            raise WrongUsage(
                "a sweep is as its file says: of the options it takes those after --seed, without --measure"
            )
        run_many(cells, Sweeping(out, engine, workers, address), report=report, json=json)
    except ScenarioError as exc:
        raise WrongUsage(str(exc)) from exc


def _cells(file: Path | None) -> "list[Cell] | None":
    from simulations.sweep import read_sweep
    from veilsum.errors import WrongUsage

    try:
        return read_sweep(file) if file is not None else None
    except OSError as exc:
        raise WrongUsage(f"{file}: {exc.strerror}: name a scenario's file") from exc


def _scenario(file: Path | None, given: dict[str, Any], dropout: float | None) -> "Scenario":
    from dataclasses import replace

    from simulations.faults import Exactly
    from simulations.scenario import Scenario

    base = Scenario.load(file) if file is not None else Scenario()
    if dropout is not None:
        given["dropout"] = Exactly(dropout)
    return replace(base, **given)
