"""What every attack of the gallery is."""

from collections.abc import Callable
from dataclasses import dataclass

from simulations.attacks.verdicts import Ending, Goal, NothingHappened, Run


@dataclass(frozen=True, slots=True)
class Attack:
    """about: its module's docstring. title: what the attacker does, in a line. paper: who described it.

    naive, ours: it is played with this seed. Equal seeds, equal runs.
    """

    name: str
    goal: Goal
    title: str
    paper: str
    about: str
    naive: Callable[[bytes], Run]
    ours: Callable[[bytes], Run]


@dataclass(frozen=True, slots=True)
class Shown:
    attack: Attack
    naive: Run
    ours: Run

    @property
    def as_claimed(self) -> bool:
        return self.naive.ending is Ending.WON and self.ours.ending not in (Ending.WON, Ending.LOST)


def show(attack: Attack, seed: bytes) -> Shown:
    """Where nothing happened an attack has not won against the textbook, and was not stopped by the real machines."""
    return Shown(attack, _played(attack.naive, seed, Ending.LOST), _played(attack.ours, seed, Ending.WON))


def _played(play: Callable[[bytes], Run], seed: bytes, otherwise: Ending) -> Run:
    try:
        return play(seed)
    except NothingHappened as exc:
        return Run(otherwise, str(exc))
