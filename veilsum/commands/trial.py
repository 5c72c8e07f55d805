"""`veilsum trial`."""

from pathlib import Path
from typing import Annotated

import typer

from veilsum.errors import WrongUsage

Ranges = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=LOW:HIGH", help="A metric and its range. May be given again.", show_default=False),
]


def trial(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder.")],
    nodes: Annotated[int, typer.Option(min=3, help="Nodes of the framework.")] = 5,
    losses: Annotated[int, typer.Option(min=0, help="Nodes that a sum may do without.")] = 1,
    clip: Annotated[float, typer.Option(help="Each value of an update is clipped to -clip..clip.")] = 1.0,
    bits: Annotated[int, typer.Option(min=1, max=32, help="Of a value.")] = 16,
    rows_per_unit: Annotated[int, typer.Option(min=1, help="Rows that make one unit of a node's weight.")] = 400,
    metric: Ranges = None,
    evaluation: Ranges = None,
    patience: Annotated[float, typer.Option(min=1.0, help="Seconds for the answers of one protocol round.")] = 60.0,
) -> None:
    """Make the files for trying a framework's adapter on one machine: server.toml, node-0.toml, node-1.toml, ...

    Whoever runs this holds every key. Between organisations each makes its own: veilsum identity, veilsum consortium.
    """
    from veilsum.ceremony.agreement import described
    from veilsum.trial import write_trial

    training = {
        "clip": clip,
        "bits": bits,
        "rows_per_unit": rows_per_unit,
        "metrics": _ranges("--metric", metric or []),
        "evaluation": _ranges("--evaluation", evaluation or []),
    }
    consortium = write_trial(folder, nodes=nodes, losses=losses, patience=patience, training=training)
    typer.echo(next(described(consortium)))
    typer.echo(f"{folder}: server.toml for the server, node-0.toml to node-{nodes - 1}.toml for the nodes")


def _ranges(option: str, given: list[str]) -> dict[str, list[float]]:
    """name=low:high, each. Raises WrongUsage."""
    ranges = {}
    for text in given:
        name, _, bounds = text.rpartition("=")
        low, _, high = bounds.partition(":")
        try:
            ranges[_named(name)] = [float(low), float(high)]
        except ValueError as exc:
            raise WrongUsage(f"{option} {text}: write it as name=low:high, such as loss=0:10") from exc
    return ranges


def _named(name: str) -> str:
    if not name:
        raise ValueError("no name")
    return name
