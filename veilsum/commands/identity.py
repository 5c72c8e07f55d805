"""`veilsum identity`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Who a bank or the coordinator is: a card for everybody, a key for nobody else.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="1 to 64 of a-z, 0-9 and -.")],
    out: Annotated[Path, typer.Option(help="The folder for NAME.card and NAME.key.", show_default=False)],
) -> None:
    """Make an identity: NAME.card is public and goes to the others, NAME.key (mode 0600) never leaves this machine."""
    from veilsum.ceremony.identity import new_identity
    from veilsum.ceremony.words import spoken

    card = new_identity(name, out)
    typer.echo(f"{out / name}.card: public, hand it to the others")
    typer.echo(f"{out / name}.key: secret, keep it here")
    typer.echo(f"{card.name}: {spoken(card.verify_key)}")


@app.command()
def show(
    path: Annotated[Path, typer.Argument(metavar="DIR|CARD", help="Your identity, or somebody's card.")],
) -> None:
    """Show a fingerprint in words. Its owner reads them to you over the phone: the card is theirs if all agree."""
    from veilsum.ceremony.identity import shown_card
    from veilsum.ceremony.words import spoken

    card = shown_card(path)
    typer.echo(f"{card.name}: {spoken(card.verify_key)}")
    typer.echo(f"in hexadecimal: {card.verify_key.fingerprint}")
