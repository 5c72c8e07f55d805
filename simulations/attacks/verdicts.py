"""How an attack ended: decided from what the attacker holds and from what was refused, not from what is expected."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from mpc.field import FieldVector
from protocols.machine import Finished, Outcome
from simulations.attacks.scripted import Refusal

Reals = npt.NDArray[np.float64]

_SIGMAS = 5  # an independent vector is called one, but for once in a million
_SAME_BY_CHANCE = 0.01


class Goal(StrEnum):
    """What an attacker is after."""

    READ = "read"  # one party's vector
    CORRUPT = "corrupt"  # a wrong sum that passes for a right one
    STALL = "stall"  # no sum at all
    FRAME = "frame"  # an honest party that is blamed, or acted for


class Ending(StrEnum):
    WON = "won"  # the attacker has what it was after
    LOST = "lost"  # it has nothing of it, and nothing was there to stop it: of the textbook only
    REFUSED = "refused"  # a check stopped it
    INDEPENDENT = "independent"  # nothing had to stop it: what it holds says nothing of the victim's vector
    EXACT = "exact"  # the sum is the right one all the same, and nobody is blamed who did nothing


@dataclass(frozen=True, slots=True, repr=False)
class Guess:
    """What an attacker takes for its victim's update, beside the update itself.

    span: numbers repeat after so much, since they come from a ring or a field.
    """

    true: Reals
    recovered: Reals
    span: float

    @property
    def exact(self) -> bool:
        return bool(np.array_equal(self.true, self.recovered))

    @property
    def correlation(self) -> float:
        """Pearson's, of the two; 0 where one is constant."""
        if not (self.true.std() and self.recovered.std()):
            return 0.0
        return float(np.corrcoef(self.true, self.recovered)[0, 1])

    @property
    def error(self) -> float:
        """The mean distance, in parts of that between values at unrelated places: 0 is the same vector, 1 is chance."""
        unrelated = self._distance(self.true[:, np.newaxis], self.recovered[np.newaxis, :])
        return self._distance(self.true, self.recovered) / unrelated if unrelated else 0.0

    def _distance(self, one: Reals, other: Reals) -> float:
        apart = np.abs(one - other) % self.span
        return float(np.mean(np.minimum(apart, self.span - apart)))

    @property
    def same(self) -> int:
        """Values that are right, whatever the others are."""
        return int(np.count_nonzero(self.true == self.recovered))

    @property
    def independent(self) -> bool:
        """Neither is further from what two unrelated vectors give than chance explains, and next to none are right."""
        bound = _SIGMAS / np.sqrt(len(self.true))
        unrelated = abs(self.correlation) < bound and abs(self.error - 1) < bound
        return bool(unrelated and self.same < _SAME_BY_CHANCE * len(self.true))

    def __str__(self) -> str:
        if self.exact:
            return f"all {len(self.true)} values, exactly"
        same = f"{self.same} of {len(self.true)} values right"
        return f"correlation {self.correlation:+.3f}, error {self.error:.2f} of what chance gives, {same}"


@dataclass(frozen=True, slots=True)
class Run:
    """One attack on one engine. said: in a line what stopped it, or what it won. also: what else was tried, and what
    came of that."""

    ending: Ending
    said: str
    also: tuple[str, ...] = ()
    guess: Guess | None = None


class NothingHappened(Exception):
    """An attack that neither got anything nor was refused: it shows nothing."""


def tried(what: str, refusals: Sequence[Refusal]) -> str:
    """A line on something else that an attacker tried. Raises NothingHappened where nobody refused it."""
    if not refusals:
        raise NothingHappened(f"{what}: nobody refused it")
    return f"{what}: {refusals[0]}"


def reading(guess: Guess | None, refusals: Sequence[Refusal] = (), also: Sequence[str] = (), *, stays: str = "") -> Run:
    """Of an attack that is after a vector. guess: None where nothing that depends on the vector reached the attacker.
    stays: what keeps the vector where nothing is refused.

    Raises NothingHappened.
    """
    if guess is not None and not guess.independent:
        return Run(Ending.WON, f"the victim's update: {guess}", tuple(also), guess)
    if refusals:
        return Run(Ending.REFUSED, str(refusals[0]), tuple(also), guess)
    if guess is None or not stays:
        raise NothingHappened("nobody refused it, and it got nothing")
    return Run(Ending.INDEPENDENT, f"{stays}: {guess}", tuple(also), guess)


def summing(outcome: Outcome | None, right: Callable[[FieldVector], bool], noticed: str) -> Run:
    """Of an attack that is after a wrong sum, or none. noticed: by what the engine came to the right one."""
    match outcome:
        case Finished(aggregate) if right(aggregate.vector):
            return Run(Ending.EXACT, noticed)
        case Finished():
            return Run(Ending.WON, "a wrong sum, and nobody noticed")
        case _:
            return Run(Ending.WON, "there is no sum")
