"""How long a round waits, as values: the same for a network that has a clock and for a simulation that has none.

Whoever drives a machine reads its own clock, tells `Waiting` how many have answered by when, and hears when to close.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RoundPolicy:
    """When a round is over: nobody is left to wait for, `hoped_for` have answered, or `patience` seconds are gone.

    hoped_for None: all of them. quantile: once this share of those who were asked has answered, after s seconds, the
    round waits until `stretch` times s if it can close by then, and never longer than `patience`; None: it does not
    look at the others. Neither of the two ends a session that more patience would save.
    """

    patience: float
    hoped_for: int | None = None
    quantile: float | None = None
    stretch: float = 2.0

    def __post_init__(self) -> None:
        if not self.patience > 0:
            raise ValueError("patience is a number of seconds above 0")
        if self.hoped_for is not None and self.hoped_for < 1:
            raise ValueError("hoped_for is a number of parties above 0")
        if self.quantile is not None and not 0 < self.quantile <= 1:
            raise ValueError("quantile is a share of the parties above 0, 1 at most")
        if not 1 <= self.stretch < math.inf:
            raise ValueError("stretch is a number of 1 or more")

    def enough(self, answered: int) -> bool:
        return self.hoped_for is not None and answered >= self.hoped_for


@dataclass(slots=True)
class Waiting:
    """One round's waiting. asked: how many were asked; elapsed: seconds since it opened."""

    policy: RoundPolicy
    asked: int
    _hurried: float | None = field(init=False, default=None)

    def limit(self, *, can_close: bool) -> float:
        """Seconds after its opening at which the round is over, for a machine that can close it now or cannot."""
        if self._hurried is None or not can_close:
            return self.policy.patience
        return min(self._hurried, self.policy.patience)

    def heard(self, answered: int, elapsed: float) -> None:
        """So many have answered by now."""
        quantile = self.policy.quantile
        if quantile is None or self._hurried is not None or answered < math.ceil(quantile * self.asked - 1e-9):
            return
        self._hurried = self.policy.stretch * elapsed


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy for all rounds, others for some by their names.

    attempts: how often one training step is tried. grace: seconds in which a party whose connection broke may come back
    before its round goes on without it; 0: it is dropped at once. No round waits longer than its patience for it.
    """

    default: RoundPolicy = field(default_factory=lambda: RoundPolicy(patience=60.0))
    rounds: Mapping[str, RoundPolicy] = field(default_factory=dict)
    attempts: int = 3
    grace: float = 0.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts is a number above 0")
        if not 0 <= self.grace < math.inf:
            raise ValueError("grace is a number of seconds, 0 or more")

    def of(self, name: str) -> RoundPolicy:
        return self.rounds.get(name, self.default)
