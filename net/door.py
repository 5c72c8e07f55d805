"""Who may come in: so many at a time, and of each address so often, that strangers cost a process little."""

import logging
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

import trio

from net.policy import ACCEPTED_A_SECOND, CALLS_A_SECOND, VISITS_A_SECOND
from net.sockets import host_of

SPARE_PLACES: Final = 64  # connections at once that have not said hello yet, beside one of each member
MOST_HOSTS: Final = 1024  # whose calls are counted
MOST_VISITS: Final = 64  # of one member, before they are counted as calls of its host

log = logging.getLogger("veilsum.coordinator")


class Budget:
    """So many calls at once, then so many a second."""

    def __init__(self, most: int, a_second: float) -> None:
        self.refused = 0
        self._most = most
        self._a_second = a_second
        self._left = float(most)
        self._since: float | None = None

    @property
    def is_untouched(self) -> bool:
        self._earn()
        return self._left >= self._most

    def take(self) -> bool:
        self._earn()
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        self._left += 1

    def _earn(self) -> None:
        now = trio.current_time()
        if self._since is not None:
            self._left = min(self._most, self._left + (now - self._since) * self._a_second)
        self._since = now


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A connection that has not said hello. Whoever serves it does so in this scope."""

    host: str
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class Door:
    """places: connections at once that have not said hello; as many calls of one host are taken before they are
    counted. Where no place is left the oldest stranger goes, of the host that has the most: one that shakes hands at
    the usual pace is never that one, as long as so many others do not come meanwhile.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._accepted = Budget(places, ACCEPTED_A_SECOND)
        self._taken: dict[Place, None] = {}  # in the order of their arrival
        self._budgets: dict[str, Budget] = {}
        self._visits: dict[Hashable, Budget] = {}
        self._evicted = 0

    async def pause(self) -> None:
        """Before each call is accepted: a flood is not to take more than its share of this process."""
        while not self._accepted.take():
            await trio.sleep(1 / ACCEPTED_A_SECOND)

    def admits(self, transport: trio.SocketStream) -> bool:
        """Whether it may shake hands; calls that come to nothing count against its host."""
        host = host_of(transport)
        budget = self._budget(host)
        if budget.take():
            return True
        if _is_worth_a_line(budget.refused):
            log.warning("closed %d connections from %s so far: it calls too often", budget.refused, host)
        return False

    def enter(self, transport: trio.SocketStream) -> Place:
        if len(self._taken) >= self._places:
            self._evict()
        place = Place(host_of(transport))
        self._taken[place] = None
        return place

    def leave(self, place: Place) -> None:
        """It is no stranger any more, or it is gone."""
        self._taken.pop(place, None)

    def greet(self, place: Place, member: Hashable) -> None:
        """It is a member, which knows its own: what it calls does not count, unless this member comes all the time."""
        self.leave(place)
        if self._visits.setdefault(member, Budget(MOST_VISITS, VISITS_A_SECOND)).take():
            self._budget(place.host).give_back()

    def _evict(self) -> None:
        ((heaviest, _),) = Counter(place.host for place in self._taken).most_common(1)
        oldest = next(place for place in self._taken if place.host == heaviest)
        oldest.scope.cancel()
        self.leave(oldest)
        self._evicted += 1
        if _is_worth_a_line(self._evicted):
            log.warning("closed %d connections so far that took too long to say hello while others came", self._evicted)

    def _budget(self, host: str) -> Budget:
        if host not in self._budgets and len(self._budgets) >= MOST_HOSTS:
            self._budgets = {one: budget for one, budget in self._budgets.items() if not budget.is_untouched}
            if len(self._budgets) >= MOST_HOSTS:
                self._budgets.clear()
        return self._budgets.setdefault(host, Budget(self._places, CALLS_A_SECOND))


def _is_worth_a_line(count: int) -> bool:
    """The first, and then ever fewer: a flood must not fill the disk with lines about it."""
    return count & (count - 1) == 0


class Doorway(trio.abc.Listener[trio.SocketStream]):
    """A listener that closes whoever calls too often before anything is done for it."""

    def __init__(self, listener: trio.SocketListener, door: Door) -> None:
        self.socket = listener.socket
        self._listener = listener
        self._door = door

    async def accept(self) -> trio.SocketStream:
        while True:
            await self._door.pause()
            stream = await self._listener.accept()
            if self._door.admits(stream):
                return stream
            stream.socket.close()  # there is nothing to say, and nobody to wait for

    async def aclose(self) -> None:
        await self._listener.aclose()
