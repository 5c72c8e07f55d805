"""`veilsum predict`."""

from pathlib import Path
from typing import Annotated

import typer


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model.npz, with its model.json beside it.")],
    data: Annotated[Path, typer.Option(metavar="FILE", help="The rows, .csv or .csv.gz.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="scores.csv", help="One score a row.", show_default=False)],
) -> None:
    """Score rows with a model that was trained: no label is needed, and nobody is asked."""
    from veilsum.result import score

    scored = score(model, data, out)
    typer.echo(f"{out}: {scored.rows} scores by the model after round {scored.rounds}")
