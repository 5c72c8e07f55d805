"""Real machines in one room: everything that the protocol tests need to set up a session."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange, Tap
from protocols.machine import Machine, Outcome
from protocols.messages import CODEC, Round
from protocols.secagg import Server
from protocols.session import Variant
from protocols.wire import PartySet
from simulations.attacks.cast import Cast


@dataclass
class Room(Cast):
    """The cast of one seeded session, its server, and who is to be in its sum."""

    def server(self, **changes: object) -> Server:
        params = replace(self.params, **changes) if changes else self.params
        return Server(params, identity=self.identities[SERVER], members=self.terms.members)

    def machines(self) -> dict[PartyId, Machine]:
        return {SERVER: self.server()} | {me: self.client(me) for me in self.parties}

    def expected(self, vanish: Mapping[int, Round]) -> PartySet | None:
        """Who is in the sum when parties vanish at these rounds; None where there is no sum. From PROTOCOLS 3A."""
        u1 = self._without(vanish, Round.ADVERTISE)
        t = max(least_threshold(self.variant, len(u1), self.colluding), self.threshold)
        floor = max(3, self.colluding + 2, self.cohort)
        if len(u1) < max(floor, t):
            return None
        u2 = u1 & self._without(vanish, Round.SHARE)
        u3 = u2 & self._without(vanish, Round.MASKED_INPUT)
        u4 = u3 & self._without(vanish, Round.CONFIRM) if self.variant is Variant.ACTIVE else u3
        u5 = u4 & self._without(vanish, Round.UNMASK)
        helpers = u5
        if self.variant is Variant.ACTIVE and u2 - u3 and u3 - u5:
            helpers = u5 & self._without(vanish, Round.FALLBACK)
        return u3 if len(u3) >= max(t, floor) and len(helpers) >= t else None

    def _without(self, vanish: Mapping[int, Round], *rounds: Round) -> PartySet:
        return frozenset(party for party in self.parties if vanish.get(party) not in rounds)

    def talk(self, vanish: Mapping[int, Round] | None = None, tap: Tap | None = None) -> "Talk":
        gone = {PartyId(party): round_ for party, round_ in (vanish or {}).items()}
        machines = self.machines()
        exchange = Exchange(machines, CODEC, vanish=gone, tap=tap)
        return Talk(exchange.run(), machines, exchange)


def least_threshold(variant: Variant, clients: int, colluding: int) -> int:
    """2t > n + c, or t > c; written down a second time, from PROTOCOLS."""
    least = 2 if variant is Variant.CURIOUS else 1
    while not (2 * least > clients + colluding if variant is Variant.ACTIVE else least > colluding):
        least += 1
    return least


@dataclass
class Talk:
    """A session that has been held."""

    outcome: Outcome | None
    machines: dict[PartyId, Machine]
    exchange: Exchange

    @property
    def server(self) -> Server:
        server = self.machines[SERVER]
        assert isinstance(server, Server)
        return server
