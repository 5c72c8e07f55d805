"""`veilsum attack`."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console


def attack(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One of them, with all that came of it.", show_default=False)
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="What no check here stops, and what would help.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="The last line of standard output is JSON.")] = False,
) -> None:
    """Attack a textbook engine, which gives in, and then the machines that ship, which do not.

    Status 1 where an attack does not come out so.
    """
    from rich.console import Console

    from veilsum.attacks import WIDTH

    console = Console(stderr=json, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDTH
    (_open if open_ else _gallery)(console, name, str(seed).encode(), json)


def _gallery(console: "Console", name: str | None, seed: bytes, json: bool) -> None:
    from simulations.attacks.gallery.attack import show
    from veilsum.attacks import attacks_called, show_page, show_table, to_json
    from veilsum.errors import Fault

    shown = [show(one, seed) for one in attacks_called(name)]
    if name is None:
        show_table(console, shown)
    else:
        show_page(console, shown[0])
    if json:
        typer.echo(to_json(shown))
    if wrong := [one.attack.name for one in shown if not one.as_claimed]:
        raise Fault(f"not as claimed, won against the textbook and lost here: {', '.join(wrong)}; please report it")


def _open(console: "Console", name: str | None, seed: bytes, json: bool) -> None:
    from veilsum.attacks import demonstrations_called, open_to_json, show_open_page, show_open_table
    from veilsum.errors import Fault

    seen = [(one, one.show(seed)) for one in demonstrations_called(name)]
    if name is None:
        show_open_table(console, seen)
    else:
        show_open_page(console, *seen[0])
    if json:
        typer.echo(open_to_json(seen))
    if wrong := [one.name for one, what in seen if not what.succeeded]:
        raise Fault(f"a demonstration that does not succeed: {', '.join(wrong)}; please report it")
