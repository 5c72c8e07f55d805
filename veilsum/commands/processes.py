"""`veilsum coordinator`, `veilsum party` and `veilsum check`: a process, its file, and whether it would work."""

from pathlib import Path
from typing import Annotated

import typer

from veilsum.commands.parsing import RunByDefault
from veilsum.logs import LogFormat

PORT = 7311

coordinator = typer.Typer(
    cls=RunByDefault,
    subcommand_metavar="CONFIG.toml | init ...",
    help="Run the coordinator of a consortium: it relays, adds up what it cannot read, and ends after the last round.",
)
party = typer.Typer(
    cls=RunByDefault,
    subcommand_metavar="CONFIG.toml | init ...",
    help="Run one bank's party: it trains on its own table, and only masked vectors leave it.",
)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The process's own file.", show_default=False)]
LogOption = Annotated[LogFormat, typer.Option("--log-format", help="Lines for people or JSON lines.")]
ConsortiumFile = Annotated[Path, typer.Option(metavar="FILE", help="The consortium's file.", show_default=False)]
IdentityFolder = Annotated[Path, typer.Option(metavar="DIR", help="Your identity.", show_default=False)]


@coordinator.command()
def run(config: ConfigFile, log_format: LogOption = LogFormat.TEXT) -> None:
    """Run it (the word run may be left out)."""
    from veilsum.running import coordinate

    coordinate(config, log_format)


@coordinator.command("init")
def init_coordinator(
    consortium: ConsortiumFile,
    identity: IdentityFolder,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="The one open port.")] = f"0.0.0.0:{PORT}",
    out: Annotated[Path, typer.Option(metavar="FILE", help="A new file.")] = Path("coordinator.toml"),
) -> None:
    """Write a commented coordinator.toml."""
    from veilsum.ceremony.own_files import parse_address, write_coordinator

    address = parse_address(listen, "--listen")
    write_coordinator(out, consortium=consortium, identity=identity, listen=address)
    typer.echo(f"{out}: read it, then start with: veilsum coordinator {out}")


@party.command("run")
def run_party(config: ConfigFile, log_format: LogOption = LogFormat.TEXT) -> None:
    """Run it (the word run may be left out)."""
    from veilsum.running import participate

    participate(config, log_format)


@party.command("init")
def init_party(
    consortium: ConsortiumFile,
    identity: IdentityFolder,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Your table, .csv or .csv.gz.", show_default=False)
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help=f"The coordinator's (else 127.0.0.1:{PORT}).", show_default=False),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help=f"In a mesh: our own (else 0.0.0.0:{PORT}).", show_default=False),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=HOST:PORT", help="In a mesh: another member's. Given again for each.", show_default=False
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Where your file names it otherwise than the schema.")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(metavar="VALUE", help="The same for its value that counts as 1.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="A new file.")] = Path("party.toml"),
) -> None:
    """Write a commented party.toml, once your identity, your table and the consortium's file agree."""
    from veilsum.ceremony.own_files import Found, parse_address, write_party

    found = Found(
        address=None if address is None else parse_address(address, "--address"),
        listen=None if listen is None else parse_address(listen, "--listen"),
        peers=[(name, parse_address(at, "--peer")) for name, _, at in (one.partition("=") for one in peer or [])],
        port=PORT,
    )
    write_party(
        out,
        consortium=consortium,
        identity=identity,
        data=data,
        found=found,
        label=label,
        positive=positive,
    )
    typer.echo(f"{out}: read it, then: veilsum check {out}")


def check(config: ConfigFile) -> None:
    """Check a process before it runs: identity, data, clock, reachability. Nothing is sent but a handshake."""
    from veilsum.ceremony.checks import check
    from veilsum.errors import Fault

    failed = 0
    for finding in check(config):
        typer.echo(str(finding))
        failed += not finding.passed
    if failed:
        raise Fault(f"{config}: {failed} {'check' if failed == 1 else 'checks'} failed, see above")
