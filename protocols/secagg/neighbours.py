"""Who deals with whom: all that a complete and a sparse graph differ in.

Out(v) are the holders of v: they hold the shares of its secrets, and of their confirmations v needs t. In(v) are its
owners: those that it holds shares of. v masks with both. In the complete graph all of U1 are both, v itself too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from protocols.errors import PartyId
from protocols.wire import PartySet


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """What one client needs of the graph. None: everybody, as in the complete one.

    cohort: U1, where the client knows the keys of its own peers only.
    """

    holders: PartySet | None = None
    owners: PartySet | None = None
    cohort: PartySet | None = None

    def holders_in(self, parties: PartySet) -> PartySet:
        return parties if self.holders is None else parties & self.holders

    def owners_in(self, parties: PartySet) -> PartySet:
        return parties if self.owners is None else parties & self.owners

    def peers_in(self, parties: PartySet) -> PartySet:
        """Of these, whom we mask with; in the complete graph we ourselves are among them."""
        return self.holders_in(parties) | self.owners_in(parties)


EVERYBODY = Neighbourhood()


class Graph(Protocol):
    """What a server needs of it: for each client of U1 its holders, its owners, and both together."""

    def holders(self, client: PartyId) -> PartySet: ...

    def owners(self, client: PartyId) -> PartySet: ...

    def peers(self, client: PartyId) -> PartySet: ...


@dataclass(frozen=True, slots=True)
class CompleteGraph:
    u1: PartySet

    def holders(self, client: PartyId) -> PartySet:
        return self.u1

    owners = peers = holders


@dataclass(frozen=True, slots=True)
class SparseGraph:
    """`drawn`: client -> its holders, it itself not among them."""

    drawn: Mapping[PartyId, PartySet]
    _owners: dict[PartyId, set[PartyId]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        owners: dict[PartyId, set[PartyId]] = {}
        for owner, holders in self.drawn.items():
            for holder in holders:
                owners.setdefault(holder, set()).add(owner)
        object.__setattr__(self, "_owners", owners)

    def holders(self, client: PartyId) -> PartySet:
        return self.drawn.get(client, frozenset())

    def owners(self, client: PartyId) -> PartySet:
        return frozenset(self._owners.get(client, ()))

    def peers(self, client: PartyId) -> PartySet:
        return self.holders(client) | self.owners(client)
