"""`veilsum verify`."""

from pathlib import Path
from typing import Annotated

import typer


def verify(
    records: Annotated[
        Path, typer.Argument(metavar="RECORDS", help="model.records of anybody, or one record that was taken from it.")
    ],
    consortium: Annotated[
        Path, typer.Option(metavar="FILE", help="The consortium's file that they were made under.", show_default=False)
    ],
    record: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="With --out: which record.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write that record to a file of its own.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The last line of standard output is JSON.")] = False,
) -> None:
    """Check the records of sessions, offline, and say in plain words what they prove and what they do not."""
    from veilsum.errors import WrongUsage
    from veilsum.record_words import to_json, told
    from veilsum.verifying import export, verify_file

    if (record is None) is not (out is None):
        raise WrongUsage("--record and --out belong together: which record, and where to")
    verified = verify_file(records, consortium)
    if record is not None and out is not None:
        export(verified, record, out)
    for line in told(verified):
        typer.echo(line, err=json)
    if json:
        typer.echo(to_json(verified))
