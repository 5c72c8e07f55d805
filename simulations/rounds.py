"""One machine's waiting in virtual time: which round it is in, who was asked, when the round is over.

The rules are those of `net.collecting`: a round closes when nobody is left to wait for, when enough have answered, or
when its patience is gone; and then with what is there, or not at all.
"""

from dataclasses import dataclass, field

from protocols.deadlines import Policy, Waiting
from protocols.errors import PartyId
from protocols.machine import Machine


@dataclass(frozen=True, slots=True)
class Phase:
    """One round as its machine saw it. arrivals: seconds at which an answer was handled, in order."""

    name: str
    opened: float
    closed: float
    asked: int
    answered: int
    late: int
    arrivals: tuple[float, ...] = field(repr=False)


@dataclass(slots=True)
class Gathering:
    """The waiting of one round. `settled` is cheap: a call of the machine settles one party at the most."""

    machine: Machine
    policy: Policy
    opened: float
    name: str = field(init=False)
    times_over: int = 0  # that its patience was
    expected: float | None = None  # the end that an event waits for
    arrivals: list[float] = field(default_factory=list, repr=False)
    _asked: frozenset[PartyId] = field(init=False, repr=False)
    _waiting: Waiting = field(init=False)
    _calls_to_skip: int = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.machine.round.value
        self._asked = self.machine.waiting_for
        self._waiting = Waiting(self.policy.of(self.name), len(self._asked))
        self._calls_to_skip = self._needed(0, len(self._asked))

    @property
    def patience(self) -> float:
        return self._waiting.policy.patience

    @property
    def over(self) -> float:
        """The second at which patience ends, as far as is known now."""
        hurries = self._waiting.policy.quantile is not None
        return self.opened + self._waiting.limit(can_close=hurries and self.machine.can_close)

    def settled(self, now: float) -> bool:
        """After a call: whether there is nothing more to wait for."""
        if self._calls_to_skip > 0:
            self._calls_to_skip -= 1
            return False
        left = self.machine.waiting_for
        answered = len(self._asked - left - self._lost)
        self._waiting.heard(answered, now - self.opened)
        self._calls_to_skip = self._needed(answered, len(left))
        return not left or (self.machine.can_close and self._waiting.policy.enough(answered))

    def phase(self, now: float) -> Phase:
        gone_on = self.machine.round.value != self.name  # by itself, when nobody was left to wait for
        left = self.machine.waiting_for if not gone_on else frozenset()
        answered = len(self._asked - left - self._lost)
        return Phase(self.name, self.opened, now, len(self._asked), answered, len(left), tuple(self.arrivals))

    @property
    def _lost(self) -> frozenset[PartyId]:
        return frozenset(getattr(self.machine, "dropped", {}))

    def _needed(self, answered: int, left: int) -> int:
        """So many calls cannot settle it, nor bring its end nearer."""
        policy = self._waiting.policy
        nearest = [left]
        if policy.hoped_for is not None:
            nearest.append(policy.hoped_for - answered if policy.hoped_for > answered else 1)
        if policy.quantile is not None:
            nearest.append(1)
        return max(min(nearest) - 1, 0)
