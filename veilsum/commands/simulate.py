"""`veilsum simulate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from simulations.scenario import Scenario


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
    measure: Annotated[bool, typer.Option("--measure", help="Add real processor seconds.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The last line of standard output is JSON.")] = False,
) -> None:
    """Run a protocol's own machines in virtual time, lose parties on the way, and check every sum.

    The same scenario and seed give the same bytes. A scenario's fields give way to the options.
    """
    from simulations.plain import ScenarioError
    from veilsum.errors import WrongUsage
    from veilsum.simulation import run_one

    given = {
        "protocol": protocol,
        "parties": parties,
        "dimension": dimension,
        "rounds": rounds,
        "seed": seed,
    }
    try:
        scenario = _scenario(file, {name: value for name, value in given.items() if value is not None}, dropout)
        run_one(scenario, measure=measure, json=json)
    except ScenarioError as exc:
        raise WrongUsage(str(exc)) from exc


def _scenario(file: Path | None, given: dict[str, Any], dropout: float | None) -> "Scenario":
    from dataclasses import replace

    from simulations.faults import Exactly
    from simulations.scenario import Scenario

    base = Scenario.load(file) if file is not None else Scenario()
    if dropout is not None:
        given["dropout"] = Exactly(dropout)
    return replace(base, **given)
