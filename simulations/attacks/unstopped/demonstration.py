"""What every demonstration is."""

from collections.abc import Callable
from dataclasses import dataclass

from simulations.attacks.verdicts import Guess


@dataclass(frozen=True, slots=True)
class Seen:
    """succeeded: decided from what came out. said: that, in a line."""

    succeeded: bool
    said: str
    also: tuple[str, ...] = ()
    guess: Guess | None = None


@dataclass(frozen=True, slots=True)
class Demonstration:
    """about: its module's docstring. title: what is done, in a line. layer: what would help, and is not here."""

    name: str
    title: str
    paper: str
    layer: str
    about: str
    show: Callable[[bytes], Seen]
