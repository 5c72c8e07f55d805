"""`veilsum bench`."""

from typing import Annotated

import typer


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Smaller sizes, within a minute.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The last line of standard output is JSON.")] = False,
) -> None:
    """Measure this machine: masks, sharing, unmasking, a client and a round, each beside its floor; and the protocols.

    Within ten minutes on two cores. What else runs on the machine meanwhile is measured too.
    """
    from json import dumps

    from rich.console import Console

    from veilsum.bench.figures import FIGURES, take
    from veilsum.bench.measuring import Scale
    from veilsum.bench.showing import show

    progress = Console(stderr=True, highlight=False)
    names = list(FIGURES)
    with progress.status("") as status:
        report = take(Scale(quick), lambda name: status.update(f"{1 + names.index(name)} of {len(names)}: {name}"))
    show(Console(stderr=json, highlight=False), report)
    if json:
        typer.echo(dumps({"quick": quick, **report}, allow_nan=False))
