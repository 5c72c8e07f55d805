"""The command line. Each command loads what it needs when it runs: the help is there at once.

Status 0 done, 1 it failed, 2 wrong usage, 130 interrupted; what went wrong is one line on standard error.
"""

import sys
from pathlib import Path
from typing import Annotated

import click
import typer

from veilsum.commands import advise, attack, bench, consortium, identity, processes, scoring, simulate, trial, verify
from veilsum.demo.options import Model, Options, OwnData, Protocol, Variant
from veilsum.errors import Fault, WrongUsage

app = typer.Typer(
    help="Secure aggregation for federated learning: the sum of the updates, and nothing else.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DEFAULT = Options()
INTERRUPTED = 130  # what typer makes of an interrupt from the keyboard, and shells of a program that it ended

app.add_typer(identity.app, name="identity")
app.command()(consortium.schema)
app.add_typer(consortium.app, name="consortium")
app.add_typer(processes.coordinator, name="coordinator")
app.add_typer(processes.party, name="party")
app.command()(processes.check)
app.command()(scoring.predict)
app.command()(verify.verify)
app.command()(advise.advise)
app.command()(trial.trial)
app.command()(simulate.simulate)
app.command()(bench.bench)
app.command()(attack.attack)


@app.command()
def demo(
    banks: Annotated[int, typer.Option(min=3, help="Party processes.")] = DEFAULT.banks,
    rounds: Annotated[int, typer.Option(min=1, help="Training rounds.")] = DEFAULT.rounds,
    lose: Annotated[int, typer.Option(min=0, help="Banks killed in training round 2, for good.")] = DEFAULT.lose,
    protocol: Annotated[Protocol, typer.Option(help="What makes the sums.")] = DEFAULT.protocol,
    stage: Annotated[
        str | None,
        typer.Option(
            metavar="STAGE",
            help="Killed before its message of this round of the protocol leaves (else the one that inputs leave in).",
            show_default=False,
        ),
    ] = None,
    model: Annotated[Model, typer.Option(help="What is trained.")] = DEFAULT.model,
    seed: Annotated[
        int, typer.Option(min=0, help="Of the data, or of how it is cut, and of the training.")
    ] = DEFAULT.seed,
    variant: Annotated[Variant, typer.Option(help="What the coordinator may be.")] = DEFAULT.variant,
    rounds_per_epoch: Annotated[
        int, typer.Option(min=1, help="Sums that follow one exchange of keys.")
    ] = DEFAULT.rounds_per_epoch,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", help="Cut this file into banks, in place of invented data.", show_default=False
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Its column with the answer.", show_default=False)
    ] = None,
    positive: consortium.Positive = None,
    out: Annotated[Path | None, typer.Option(help="A new folder that keeps all files.", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="The last line of standard output is JSON.")] = False,
) -> None:
    """Train a fraud model on this machine: some banks and their coordinator, each its own process, and lose banks."""
    from veilsum.demo.plan import plan

    own = _own_data(data, label, positive)
    asked = Options(
        banks=banks,
        rounds=rounds,
        lose=lose,
        protocol=protocol,
        stage=stage,
        model=model,
        seed=seed,
        variant=variant,
        rounds_per_epoch=rounds_per_epoch,
        own=own,
    )
    planned = plan(asked)
    from veilsum.demo.run import run_demo  # what cannot be run is refused before this is loaded

    run_demo(planned, out=out, json=json)


def _own_data(file: Path | None, label: str | None, positive: str | None) -> OwnData | None:
    if file is not None and label is not None:
        return OwnData(file, label, positive)
    if (file, label, positive) == (None, None, None):
        return None
    raise WrongUsage("--data needs --label, the column with the answer; --label and --positive need --data")


def main() -> None:
    """The `veilsum` command."""
    sys.exit(_status())


def _status() -> int:
    try:
        status = app(standalone_mode=False) or 0
        return _complain("stopped", status) if status == INTERRUPTED else status
    except KeyboardInterrupt:  # before or after typer looks for it
        return _complain("stopped", INTERRUPTED)
    except click.ClickException as exc:
        return _complain(exc.format_message(), exc.exit_code)
    except Fault as exc:
        return _complain(str(exc), exc.status)
    except Exception as exc:  # a person gets a line, whatever happened
        return _complain(in_one_line(exc), 1)


def in_one_line(exc: Exception) -> str:
    """What a person is told of an error."""
    from veilsum.join import FOR_PEOPLE

    if isinstance(exc, FOR_PEOPLE):
        return str(exc)
    return f"a fault of veilsum itself, please report it: {type(exc).__name__}: {exc}"


def _complain(text: str, status: int) -> int:
    if text:  # no command at all: the help was printed instead
        sys.stderr.write(f"veilsum: {' '.join(text.split())}\n")
    return status
