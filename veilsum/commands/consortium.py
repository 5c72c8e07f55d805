"""`veilsum schema` and `veilsum consortium`: what the banks agree on."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import click
import typer

from veilsum.commands.parsing import ManyMembers
from veilsum.demo.options import Model, Protocol

AUTO = "auto"

app = typer.Typer(help="The public file that all banks hold alike: who takes part, on which terms, training what.")

Label = Annotated[str, typer.Option(metavar="COLUMN", help="The column with the answer.", show_default=False)]
Positive = Annotated[
    str | None,
    typer.Option(metavar="VALUE", help="Its value that counts as 1 (else 1, true or yes, else the rarer one)."),
]


def schema(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="One bank's table, .csv or .csv.gz.")],
    label: Label,
    positive: Positive = None,
) -> None:
    """Draft model.toml from one bank's table, on standard output: for people to read, correct and agree on.

    No row is in it, and no category of fewer than 10 rows.
    """
    from veilsum.ceremony.model_section import draft, dump_model_section

    typer.echo(dump_model_section(draft(file, label, positive)), nl=False)


@app.command(cls=ManyMembers)
def create(
    members: Annotated[list[Path], typer.Option(metavar="CARD...", help="The banks' cards.", show_default=False)],
    colluding: Annotated[int, typer.Option(min=0, help="Banks that may side with the coordinator.")],
    losses: Annotated[int, typer.Option(min=0, help="Banks that may be lost in a round.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The new consortium.toml.", show_default=False)],
    coordinator: Annotated[
        Path | None,
        typer.Option(metavar="CARD", help="The coordinator's card; none in a mesh.", show_default=False),
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="What was agreed on.", show_default=False)
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="plan.toml", help="The same for nodes of another framework.", show_default=False),
    ] = None,
    name: Annotated[str, typer.Option(help="1 to 64 of a-z, 0-9 and -.")] = "consortium",
    rounds: Annotated[int, typer.Option(min=1, help="Training rounds.")] = 10,
    model: Annotated[Model, typer.Option(help="What is trained.")] = Model.LINEAR,
    protocol: Annotated[
        str,
        typer.Option(
            click_type=click.Choice((AUTO, *(one.value for one in Protocol))),
            help=f"What makes the sums; {AUTO}: what advise recommends.",
        ),
    ] = Protocol.SECAGG.value,
    aggregators: Annotated[
        str, typer.Option(metavar="NAME,...", help="Of a committee: members that aggregate and contribute nothing.")
    ] = "",
    rounds_per_epoch: Annotated[int, typer.Option(min=1, help="Sums that follow one exchange of keys.")] = 1,
    accountable: Annotated[
        bool, typer.Option("--accountable", help="Banks sign for their shares: who sends a wrong one is proven.")
    ] = False,
) -> None:
    """Write the consortium's file. Refused unless colluding + 2 losses is below the number of banks."""
    from veilsum.ceremony.agreement import choose, create, described

    if protocol == AUTO:
        protocol, reason = choose(members, coordinator, colluding, losses)
        typer.echo(f"{protocol}: {reason}", err=True)
    consortium = create(
        out,
        members=members,
        coordinator=coordinator,
        schema=schema,
        plan=plan,
        colluding=colluding,
        losses=losses,
        name=name,
        rounds=rounds,
        model=model.value,
        protocol=protocol,
        aggregators=[name for name in aggregators.split(",") if name],
        rounds_per_epoch=rounds_per_epoch,
        accountable=accountable,
    )
    _show(described(consortium))


@app.command()
def sign(
    file: Annotated[Path, typer.Argument(metavar="consortium.toml")],
    identity: Annotated[Path, typer.Option(metavar="DIR", help="Your identity.", show_default=False)],
) -> None:
    """Sign what you have read: adds this bank's signature to the file. The words are there to compare by phone."""
    from veilsum.ceremony.agreement import described, sign

    consortium, name = sign(file, identity)
    _show(described(consortium))
    typer.echo(f"signed as {name}")


def _show(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)
