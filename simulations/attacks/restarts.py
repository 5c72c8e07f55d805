"""A client that is stopped at some moment of its session, taken up from a snapshot of it, and shown something else.

Its first life may stop anywhere; any snapshot of that life may be brought back; in the second life it is told all that
it takes. Whatever left in both is the coordinator's. The ledger is as the first life left it, unless it is brought back
too: that is what the ledger is there to prevent.

The combinations are searched a second time here, in sets of symbols and without numpy, by the rules that `search.py`
states. Where a client gave two masked inputs, differences of two sums may hold fewer inputs still: they are not looked
for, so with two of them a finding may be too large, never too small. Who waits for whose confirmation is not asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

from protocols.errors import LocalProtocolError, PartyId
from protocols.ledger import Ledger
from protocols.messages import Invitation
from protocols.secagg import Client
from simulations.attacks.attack import Symbols, told_in
from simulations.attacks.lying import answer
from simulations.attacks.playing import Played
from simulations.attacks.views import NOT_MASKED, Playbook, Point, View

History = tuple[View, ...]
"""What one client gave in all its lives, no view of it a part of another."""


@dataclass(frozen=True)
class Finding:
    """The smallest honest sum: whose inputs masked for which U2 are in it, and what every honest client gave for it."""

    members: int
    u2: int
    lives: Mapping[int, History]

    @property
    def size(self) -> int:
        return self.members.bit_count()

    @property
    def under(self) -> dict[int, int]:
        """Of each member: the U2 for which it masked what is summed."""
        return {client: self.u2 for client in self.lives if self.members >> client & 1}


@dataclass
class Restarts:
    """Two lives of a client. rolled_back: its ledger comes back with its snapshot.

    taken_up, refused: how many snapshots of a life, against what its end left, were.
    """

    playbook: Playbook
    rolled_back: bool = False
    taken_up: int = field(default=0, init=False)
    refused: int = field(default=0, init=False)
    _seconds: dict[tuple[bytes, View, Ledger], list[View]] = field(default_factory=dict, init=False, repr=False)

    def histories(self, me: PartyId) -> list[History]:
        """Every first life, stopped at every moment, and every second one from every snapshot; the largest alone."""
        first = self.playbook.beginning(self._advertised(me))
        found = dict.fromkeys(history for life in self._lives((first,)) for history in self._both(life))
        return [one for one in found if not any(one != other and _is_part(one, other) for other in found)]

    def _advertised(self, me: PartyId) -> Client:
        """As the server met it: of equal seeds the keys are equal."""
        room = self.playbook.server.room
        client = room.client(me)
        assert answer(client, Invitation(room.params)) == self.playbook.server.entries[me]
        return client

    def _lives(self, life: tuple[Point, ...]) -> Iterator[tuple[Point, ...]]:
        """All moments of a life up to any that it may be stopped at."""
        yield life
        for after in self.playbook.steps(life[-1]):
            yield from self._lives((*life, after))

    def _both(self, life: tuple[Point, ...]) -> Iterator[History]:
        last = life[-1]
        yield (last.view,)
        for moment in life:
            ledger = (moment if self.rolled_back else last).client.ledger
            try:
                second = self._second_life(moment.client._me, moment.client.snapshot(), moment.view, ledger)
            except LocalProtocolError:
                self.refused += 1
                continue
            self.taken_up += 1
            for view in second:
                yield _together(last.view, view)

    def _second_life(self, me: PartyId, snapshot: bytes, given: View, ledger: Ledger) -> list[View]:
        """From the same snapshot and ledger it is the same one. Raises LocalProtocolError where there is none."""
        same = snapshot, given, ledger
        if same not in self._seconds:
            room = self.playbook.server.room
            rand = room.rand.child(f"woken {me}")
            woken = Client.restore(snapshot, identity=room.identities[me], rand=rand, ledger=ledger)
            self._seconds[same] = self.playbook.views_from(Point(woken, given))
        return self._seconds[same]


class Restarted(Played):
    """A session in which every honest client is stopped and taken up, in every way."""

    rolled_back = False

    @cached_property
    def restarts(self) -> Restarts:
        return Restarts(self.playbook, self.rolled_back)

    @cached_property
    def histories(self) -> dict[int, list[History]]:
        """Of every honest client."""
        return {client: self.restarts.histories(PartyId(client)) for client in range(self.n - self.c)}

    def smallest_sum_of_lives(self, enough: int = 0) -> Finding | None:
        """As `smallest_sum`, of all that left in two lives."""
        return smallest_sum(self.histories, parties=self.n, threshold=self.t, enough=enough)


class RolledBack(Restarted):
    """The same where ledgers come back with the snapshots."""

    rolled_back = True


def smallest_sum(
    histories: Mapping[int, Sequence[History]], *, parties: int, threshold: int, enough: int = 0
) -> Finding | None:
    """As `search.smallest_sum`, over every combination of one history for each honest client."""
    best: Finding | None = None
    for chosen in product(*histories.values()):
        found = _smallest_in(dict(zip(histories, chosen, strict=True)), parties, threshold)
        if found is not None and (best is None or found.size < best.size):
            best = found
            if best.size <= enough:
                break
    return best


def _smallest_in(lives: Mapping[int, History], parties: int, threshold: int) -> Finding | None:
    told = told_in(lives, parties)
    needed = threshold - (parties - len(lives))  # shares of honest holders: colluders have one of everything
    opened = {kind: _opened(kind, told, lives, needed) for kind in "bs"}
    best: Finding | None = None
    for u2 in {view.u2 for views in lives.values() for view in views} - {NOT_MASKED}:
        bound = _bound(lives, told, opened["s"], u2)
        for client in bound:
            members = _closure(bound, 1 << client)
            if members & ~opened["b"] == 0 and (best is None or members.bit_count() < best.size):
                best = Finding(members, u2, lives)
    return best


def _opened(kind: str, told: Symbols, lives: Mapping[int, History], needed: int) -> int:
    """The honest owners of whom enough shares of this kind are known."""
    held = [owner for told_kind, owner, _ in told if told_kind == kind]
    return sum(1 << owner for owner in lives if held.count(owner) >= needed)


def _bound(lives: Mapping[int, History], told: Symbols, s_known: int, u2: int) -> dict[int, int]:
    """Of each honest client that masked for this U2: the others whose mask with it stays."""
    masked = [client for client, views in lives.items() if any(view.u2 == u2 for view in views)]
    return {
        client: sum(
            1 << peer
            for peer in lives
            if peer != client
            and u2 >> peer & 1
            and not (s_known >> client | s_known >> peer) & 1
            and ("leaf", frozenset({client, peer}), u2) not in told
        )
        for client in masked
    }


def _closure(bound: Mapping[int, int], members: int) -> int:
    """With everybody whose mask must cancel here; with a party beyond all others where one never masked for this U2."""
    grown = members
    for client, peers in bound.items():
        if members >> client & 1:
            grown |= peers
    if any(members >> client & 1 and client not in bound for client in range(members.bit_length())):
        return -1
    return members if grown == members else _closure(bound, grown)


def _together(one: View, other: View) -> History:
    if one.is_part_of(other):
        return (other,)
    if other.is_part_of(one):
        return (one,)
    return tuple(sorted((one, other), key=lambda view: (view.u2, view.u3, view.given)))


def _is_part(history: History, other: History) -> bool:
    return all(any(view.is_part_of(larger) for larger in other) for view in history)
