"""`veilsum verify`."""

from pathlib import Path
from typing import Annotated

import typer


def verify(
    records: Annotated[
        Path,
        typer.Argument(
            metavar="RECORDS",
            help="model.records of anybody, one record of it, or a proof from a coordinator's model.proofs.",
        ),
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
    """Check the records of sessions, or a proof that a member cheated, offline; say in plain words what it proves."""
    from veilsum import proof_words, record_words
    from veilsum.errors import WrongUsage
    from veilsum.verifying import Convicted, export, verify_file

    if (record is None) is not (out is None):
        raise WrongUsage("--record and --out belong together: which record, and where to")
    verified = verify_file(records, consortium)
    if isinstance(verified, Convicted):
        if record is not None:
            raise WrongUsage(f"--record takes one out of a file of records, and {records} is a proof")
        lines, line = proof_words.told(verified), proof_words.to_json(verified)
    else:
        if record is not None and out is not None:
            export(verified, record, out)
        lines, line = record_words.told(verified), record_words.to_json(verified)
    for said in lines:
        typer.echo(said, err=json)
    if json:
        typer.echo(line)
