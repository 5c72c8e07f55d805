"""Where a program and the network's thread meet: one asks for a contribution, the other gives it and gets the mean.

Knows no network. Whatever ends the network's side wakes everybody who waits here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition

from fl_integration.aggregation import AggregationError
from fl_integration.means import Asked, State
from mpc.field import FieldVector


class Withdrawn(Exception):
    """The session that asked is over: nobody waits for this contribution any more."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """finished: no step is left. text: what a caller is told who wants one."""

    finished: bool
    text: str


@dataclass(slots=True)
class Handover:
    """At most one step is open at a time, and at most one contribution waits for its outcome."""

    _asked: Asked | None = None  # open: the network waits for the vector
    _given: FieldVector | None = field(default=None, repr=False)  # ours, until the network takes it
    _pending: int | None = None  # the step of our last contribution
    _outcome: State | str | None = None  # of that contribution; text: why there is no mean
    _computed: State | None = None  # the mean, until it is on disk
    _expected: int | None = None  # the step that the program believes is next
    _ended: _Ended | None = None
    _changed: Condition = field(default_factory=Condition, repr=False)

    # The network's side

    def ask(self, asked: Asked) -> FieldVector:
        """Waits for the program's vector. Raises Withdrawn when another step is asked for, or all is over."""
        with self._changed:
            self._asked, self._given = asked, None
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._given is not None or self._asked is not asked or self._ended)
            vector = self._given
            if self._asked is not asked or vector is None:
                raise Withdrawn
            self._asked = self._given = None
            return vector

    def computed(self, state: State) -> None:
        """A sum led to this state; it is not yet on disk."""
        with self._changed:
            self._computed = state

    def summed(self) -> None:
        """The state is on disk, and our contribution in it."""
        with self._changed:
            self._outcome, self._computed = self._computed, None
            self._changed.notify_all()

    def aborted(self, why: str) -> None:
        """The session is over without a sum for us."""
        with self._changed:
            self._asked = self._given = self._computed = None
            if self._pending is not None and self._outcome is None:
                self._outcome = f"round {self._pending}: no sum ({why}): train again and contribute again"
            self._changed.notify_all()

    def end(self, text: str, *, finished: bool = False) -> None:
        """Nothing more comes. The first one counts."""
        with self._changed:
            self._ended = self._ended or _Ended(finished, text)
            self._changed.notify_all()

    # The program's side

    def wait_for_task(self) -> Asked | None:
        """The step that is open, once one is; None when the training has finished. Raises AggregationError."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._is_open())
            if self._ended and self._ended.finished:
                return None
            self._expected = self._open_step().state.fl_round
            return self._asked

    def wait_to_contribute(self) -> Asked:
        """The step that is open, if it is the one that the program expects. Raises AggregationError."""
        with self._changed:
            if self._pending is not None and self._outcome is None:
                raise AggregationError(f"round {self._pending}: contributed already: take the mean first")
            self._changed.wait_for(lambda: self._ended or self._is_open())
            asked = self._open_step()
            now = asked.state.fl_round
            if self._expected is not None and self._expected != now:
                raise AggregationError(
                    f"round {self._expected} went on without us, the next one is {now}: call task() for the last mean"
                )
            return asked

    def give(self, asked: Asked, encode: Callable[[Asked], FieldVector]) -> None:
        """Hands the vector over. Raises AggregationError when the step is over by now, or has our contribution."""
        vector = encode(asked)
        with self._changed:
            if self._asked is not asked or not self._is_open():
                raise AggregationError(f"round {asked.state.fl_round} went on without us: call task() for what is next")
            self._given, self._pending, self._outcome = vector, asked.state.fl_round, None
            self._expected = self._pending
            self._changed.notify_all()

    def wait_for_outcome(self) -> State:
        """What our last contribution's sum led to. Raises AggregationError where there is none."""
        with self._changed:
            if self._pending is None:
                raise AggregationError("nothing was contributed: call contribute() first")
            self._changed.wait_for(lambda: self._ended or self._outcome is not None)
            outcome = self._outcome
            if isinstance(outcome, State):
                self._expected = outcome.fl_round
                return outcome
            raise self._over() if outcome is None else AggregationError(outcome)

    def _is_open(self) -> bool:
        return self._asked is not None and self._given is None

    def _open_step(self) -> Asked:
        """After the wait for one. Raises AggregationError when all has ended."""
        if self._asked is None or self._ended:
            raise self._over()
        return self._asked

    def _over(self) -> AggregationError:
        assert self._ended is not None
        return AggregationError(self._ended.text)
