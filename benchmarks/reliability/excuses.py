"""Who may be missing, at any moment of a story: the faults that struck, and who was in a sum since."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from benchmarks.reliability.faults import Setting
from benchmarks.reliability.proxy import Struck
from benchmarks.reliability.story import Places, victims


@dataclass(frozen=True, slots=True)
class Held:
    """A session that ended with a sum."""

    begin: float
    end: float
    included: Places


class Excuses:
    """A fault excuses whoever it struck until a session that began after its end has that one in its sum."""

    def __init__(self, setting: Setting, strikes: Iterable[Struck], held: Iterable[Held]) -> None:
        self._setting = setting
        self._strikes = list(strikes)
        self._held = list(held)

    def at(self, moment: float) -> Places:
        """Who is excused in a session that ends now, or for what happens to it now."""
        return frozenset().union(*self._current(moment))

    def fewest(self, moment: float) -> int:
        """How many members of a mesh must be away at the least so that all that struck is explained: a connection has
        two ends, and either may be the one that counts as lost."""
        current = self._current(moment)
        candidates = sorted(frozenset().union(*current))
        sizes = range(len(candidates) + 1)
        return next(
            size
            for size in sizes
            if any(all(who & {*away} for who in current) for away in combinations(candidates, size))
        )

    def _current(self, moment: float) -> list[Places]:
        """Of each fault whom it still excuses."""
        since = {party: self._since(party, moment) for party in range(self._setting.banks)}
        still = (
            frozenset(party for party in victims(struck, self._setting) if struck.until > since[party])
            for struck in self._strikes
            if struck.at <= moment
        )
        return [who for who in still if who]

    def _since(self, party: int, moment: float) -> float:
        """When the last session before began that this party was in."""
        return max((one.begin for one in self._held if one.end < moment and party in one.included), default=0.0)
