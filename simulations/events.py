"""Virtual time: what happens next, and when."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

Event = Callable[[], None]


@dataclass(slots=True)
class Agenda:
    """Events by their second; those of one second in the order in which they were made. now: of the last one."""

    now: float = 0.0
    _heap: list[tuple[float, int, Event]] = field(default_factory=list, repr=False)
    _made: int = 0

    def at(self, second: float, event: Event) -> None:
        """Never earlier than now."""
        self._made += 1
        heapq.heappush(self._heap, (max(second, self.now), self._made, event))

    def run(self) -> None:
        """Until nothing is to happen any more."""
        while self._heap:
            self.now, _, event = heapq.heappop(self._heap)
            event()
