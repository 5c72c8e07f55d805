"""How the gallery is shown: a table, a page for one attack, JSON (docs/json.md)."""

import inspect
import json
import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from simulations.attacks.gallery import catalogue
from simulations.attacks.gallery.attack import Attack, Shown
from simulations.attacks.unstopped.catalogue import DEMONSTRATIONS
from simulations.attacks.unstopped.demonstration import Demonstration, Seen
from simulations.attacks.verdicts import Ending, Guess, Reals, Run
from veilsum import attack_on_tls
from veilsum.errors import WrongUsage

ATTACKS: Final[tuple[Attack, ...]] = (*catalogue.ATTACKS, attack_on_tls.ATTACK)

WIDTH: Final = 100  # where the console is no terminal
_VALUES = 5  # of a vector, on a page
_WHO: Final = re.compile("^(party [0-9]+|the server): ")

N = TypeVar("N", Attack, Demonstration)


def attacks_called(name: str | None) -> Sequence[Attack]:
    """All of them, or the one. Raises WrongUsage."""
    return _called(name, ATTACKS, "attack", "; what nothing here stops is behind --open")


def demonstrations_called(name: str | None) -> Sequence[Demonstration]:
    return _called(name, DEMONSTRATIONS, "demonstration", "; attacks that are stopped are shown without --open")


def _called(name: str | None, known: Sequence[N], kind: str, beside: str) -> Sequence[N]:
    if name is None:
        return known
    found = [one for one in known if one.name == name]
    if not found:
        raise WrongUsage(f"no {kind} is called {name!r}: there are {', '.join(one.name for one in known)}{beside}")
    return found


# For programs


def to_json(shown: Sequence[Shown]) -> str:
    """One line."""
    return json.dumps(
        [
            {
                "attack": one.attack.name,
                "goal": one.attack.goal.value,
                "naive": one.naive.ending.value,
                "veilsum": one.ours.ending.value,
                "check": one.ours.said,
            }
            for one in shown
        ]
    )


def open_to_json(seen: Sequence[tuple[Demonstration, Seen]]) -> str:
    return json.dumps(
        [
            {"demonstration": one.name, "succeeded": what.succeeded, "shows": what.said, "layer": one.layer}
            for one, what in seen
        ]
    )


# For people


def show_table(console: Console, shown: Sequence[Shown]) -> None:
    table = _table("attack", "goal", "textbook", "veilsum", "by")
    for one in shown:
        flag = "" if one.as_claimed else " (!)"
        endings = one.naive.ending.value, f"{one.ours.ending.value}{flag}"
        table.add_row(one.attack.name, one.attack.goal.value, *endings, _in_a_line(without_who(one.ours.said)))
    console.print(table)
    console.print("veilsum attack NAME: what each does, and all that came of it")


def show_open_table(console: Console, seen: Sequence[tuple[Demonstration, Seen]]) -> None:
    table = _table("demonstration", "succeeds", "what comes of it")
    for one, what in seen:
        table.add_row(one.name, "yes" if what.succeeded else "NO", _in_a_line(what.said))
    console.print(table)
    console.print("what would help:")
    for one, _ in seen:
        console.print(f"  {one.name}: {one.layer}")


def without_who(said: str) -> str:
    """A refusal by its check: which of the parties was the first to refuse says little."""
    return _WHO.sub("", said)


def _table(*headings: str) -> Table:
    """All but the last column keep their width."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in headings[:-1]:
        table.add_column(heading, no_wrap=True)
    table.add_column(headings[-1])
    return table


def _in_a_line(text: str) -> Text:
    """What is too long for its line is whole on the page."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def show_page(console: Console, shown: Shown) -> None:
    attack = shown.attack
    _show_head(console, attack.name, attack.title, attack.about, attack.paper)
    for engine, run in (("the textbook", shown.naive), ("veilsum", shown.ours)):
        _show_run(console, engine, run)
    _show_values(console, {"the textbook": shown.naive.guess, "veilsum": shown.ours.guess})


def show_open_page(console: Console, one: Demonstration, what: Seen) -> None:
    _show_head(console, one.name, one.title, one.about, one.paper)
    console.print(f"{'succeeds' if what.succeeded else 'DOES NOT SUCCEED'}: {what.said}")
    _show_lines(console, what.also)
    console.print(f"what would help: {one.layer}")
    _show_values(console, {"veilsum": what.guess})


def _show_head(console: Console, name: str, title: str, about: str, paper: str) -> None:
    console.print(f"{name}: {title}", style="bold")
    console.print(f"after {paper}\n")
    for paragraph in _paragraphs(about):
        console.print(f"{paragraph}\n")


def _paragraphs(docstring: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(docstring).split("\n\n"):
        yield " ".join(paragraph.split())


def _show_run(console: Console, engine: str, run: Run) -> None:
    console.print(f"{engine}: {run.ending.value}: {run.said}")
    _show_lines(console, run.also)
    if run.guess is not None and run.ending is Ending.REFUSED:
        console.print(f"  what the attacker holds, beside the victim's update: {run.guess}")


def _show_lines(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(f"  {line}")


def _show_values(console: Console, guesses: dict[str, Guess | None]) -> None:
    """The first values of the victim's update, and what the attacker has in their place."""
    held = {engine: guess for engine, guess in guesses.items() if guess is not None}
    if not held:
        return
    table = Table("the victim's update", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place in range(_VALUES):
        table.add_column(f"value {place}", justify="right", no_wrap=True)
    table.add_row("as it is", *_first(next(iter(held.values())).true))
    for engine, guess in held.items():
        table.add_row(f"as recovered from {engine}", *_first(guess.recovered))
    console.print()
    console.print(table)


def _first(values: Reals) -> list[str]:
    return [f"{value:+.4f}" if abs(value) < 10 else f"{value:+.1f}" for value in values[:_VALUES]]
