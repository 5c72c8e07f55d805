"""DELIBERATELY INSECURE. Neighbours in place of everybody, drawn by the server. [Bell et al., CCS 2020, semi-honest]

A client shares its secrets with those that its roster names, and masks with them: a sparse graph takes nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocols.errors import PartyId
from protocols.machine import Envelope
from protocols.wire import PartySet
from simulations.attacks.naive import secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.naive.messages import Roster, ShareKeys
from simulations.attacks.scripted import Script, said


def ring(parties: tuple[PartyId, ...], reach: int) -> dict[PartyId, PartySet]:
    """Each party's neighbours: so many on either side."""
    n, steps = len(parties), [*range(-reach, 0), *range(1, reach + 1)]
    return {party: frozenset(parties[(place + step) % n] for step in steps) for place, party in enumerate(parties)}


@dataclass
class Coordinator(secagg.Coordinator):
    graph: Mapping[PartyId, PartySet] = field(default_factory=dict)

    def honest(self) -> Script[Ring]:
        yield from self.until_masked()
        survivors, dropped = frozenset(self.masked), frozenset(self.shares) - frozenset(self.masked)
        for client in sorted(survivors):
            near = self.graph[client] | {client}
            yield from self.ask((client,), survivors & near, dropped & near)
        return self.total(survivors, dropped)

    def until_masked(self) -> Script[None]:
        yield from self.invite()
        near = {party: self.graph[party] | {party} for party in self.parties}
        heard = yield [
            Envelope((party,), Roster({one: self.keys[one] for one in sorted(peers)})) for party, peers in near.items()
        ]
        self.shares |= said(heard, ShareKeys)
        yield from self.deliver(self.shares)

    def peers(self, client: PartyId) -> PartySet:
        return self.graph[client]
