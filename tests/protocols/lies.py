"""What a server that lies says to whom, drawn by hypothesis and played to real clients."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from conversation import Room
from hypothesis import strategies as st
from watch import require_discretion

from protocols.errors import PartyId, PeerMisbehaved
from protocols.messages import Confirm, FallbackShares, MaskedInput, UnmaskRequest, UnmaskShares
from simulations.attacks.lying import LyingServer, Parties, answer, parties


class Kind(Enum):
    DELIVER = "deliver"
    SURVIVORS = "survivors"
    REQUEST = "request"
    REQUEST_WITH_OTHERS = "request with what others were confirming"
    FALLBACK = "fallback"


@dataclass(frozen=True)
class Lie:
    kind: Kind
    to: int
    members: int  # the set that it names, as bits; of a request, whose confirmations are in it


@dataclass(frozen=True)
class Plot:
    """n parties, the last c of which sign whatever the coordinator asks for."""

    n: int
    c: int
    lies: tuple[Lie, ...]


@st.composite
def plots(draw: st.DrawFn) -> Plot:
    """One or two stories, each client told one of them; in between and after it whatever else can be said."""
    n = draw(st.integers(4, 6))
    everybody = (1 << n) - 1
    one_missing = st.sampled_from([everybody & ~(1 << party) for party in range(n)])
    u3 = draw(one_missing)
    stories = [(everybody, u3), draw(st.sampled_from([(everybody, u3), (u3, u3), (everybody, draw(one_missing))]))]
    told = [draw(st.sampled_from([*stories, stories[0]])) for _ in range(n)]
    pool = st.sampled_from([everybody, u3, everybody & ~u3, stories[1][1]])
    anything = st.lists(st.builds(Lie, st.sampled_from(Kind), st.integers(0, n - 1), pool), max_size=8)
    lies: list[Lie] = []
    for kind, sets in (
        (Kind.DELIVER, [u2 for u2, _ in told]),
        (Kind.SURVIVORS, [u3 for _, u3 in told]),
        (Kind.REQUEST, [everybody] * n),
        (Kind.FALLBACK, [u2 & ~u3 for u2, u3 in told]),
    ):
        lies += [Lie(kind, party, members) for party, members in enumerate(sets)] + draw(anything)
    return Plot(n, draw(st.integers(0, n - 3)), tuple(lies))


@dataclass
class Played:
    """What every honest client took and said. Refusals must leave no trace."""

    plot: Plot
    said: dict[PartyId, list[Any]] = field(default_factory=dict)
    u2: dict[PartyId, Parties] = field(default_factory=dict)
    u3: dict[PartyId, Parties] = field(default_factory=dict)

    def __post_init__(self) -> None:
        room = Room(clients=self.plot.n, colluding=self.plot.c, length=2)
        self._server = LyingServer(room)
        self._honest = room.parties[: self.plot.n - self.plot.c]
        self.said = {me: [] for me in self._honest}
        for lie in self.plot.lies:
            if lie.to in self.said:
                self._tell(PartyId(lie.to), lie)

    @property
    def answered_for(self) -> set[tuple[Parties, Parties]]:
        """The pairs of sets for which somebody revealed anything."""
        return {(self.u2[me], self.u3[me]) for me in self._honest if self._revealed(me)}

    def require_discretion(self) -> None:
        for me in self._honest:
            require_discretion(me, self.said[me], self.u2.get(me, frozenset()), self.u3.get(me, frozenset()))

    def _revealed(self, me: PartyId) -> bool:
        return any(isinstance(message, UnmaskShares | FallbackShares) for message in self.said[me])

    def _tell(self, me: PartyId, lie: Lie) -> None:
        client = self._server.clients[me]
        before = client.snapshot()
        try:
            said = answer(client, self._message(me, lie))
        except PeerMisbehaved:
            assert client.snapshot() == before
            return
        if said is not None:
            self.said[me].append(said)
        if isinstance(said, MaskedInput):
            self.u2[me] = parties(lie.members)
        if isinstance(said, Confirm):
            self.u3[me] = parties(lie.members)

    def _message(self, me: PartyId, lie: Lie) -> Any:
        named, u2 = parties(lie.members), self.u2.get(me, frozenset())
        match lie.kind:
            case Kind.DELIVER:
                return self._server.deliver(me, named)
            case Kind.SURVIVORS:
                return self._server.survivors(u2, named)
            case Kind.FALLBACK:
                return self._server.fallback(named)
            case Kind.REQUEST:
                return self._request(named, u2, self.u3.get(me, frozenset()), of_others=False)
            case Kind.REQUEST_WITH_OTHERS:
                return self._request(named, u2, self.u3.get(me, frozenset()), of_others=True)

    def _request(self, signers: Parties, u2: Parties, u3: Parties, *, of_others: bool) -> UnmaskRequest:
        """Colluders confirm what is wanted. Of the honest there is only what they said, be it for these sets or not."""
        confirmations = {}
        for signer in signers & u3:
            if signer not in self.said:
                confirmations[signer] = self._server.confirmation(signer, u2, u3)
            elif signer in self.u3 and (of_others or (self.u2[signer], self.u3[signer]) == (u2, u3)):
                confirmations[signer] = self._server.confirmation(signer, self.u2[signer], self.u3[signer])
        return UnmaskRequest(confirmations)
