"""A server of lightsecagg that says whatever it likes, to real clients: no client says too much."""

from typing import Any

import pytest
from hypothesis import given
from lies import Kind, Lie, Plot, plots
from light_room import LightRoom
from light_search import LightPlay, members
from sessions import bounded

from protocols.errors import SERVER, PartyId, PeerMisbehaved
from protocols.lightsecagg import bindings, coding
from protocols.lightsecagg.messages import (
    AggregatedPiece,
    AggregateRequest,
    Confirm,
    Dealers,
    MaskedInput,
    Relayed,
    Survivors,
)
from protocols.lightsecagg.states import AwaitingSurvivors
from protocols.wire import PartySet

NOTHING: PartySet = frozenset()


class Played:
    """What every honest client took and said. Refusals must leave no trace. The last c collude."""

    def __init__(self, plot: Plot) -> None:
        self._play = LightPlay(LightRoom(clients=plot.n, colluding=plot.c, losses=plot.n, length=2), plot.c)
        self.said: dict[PartyId, list[Any]] = {PartyId(me): [] for me in self._play.honest}
        self.u2: dict[PartyId, PartySet] = {}
        self.u3: dict[PartyId, PartySet] = {}
        self.pieces: dict[PartyId, Any] = {}
        for lie in plot.lies:
            if lie.to in self.said:
                self._tell(PartyId(lie.to), lie)

    def require_discretion(self) -> None:
        """One input, one confirmation, one answer: over the set that was confirmed, the same for all that answered."""
        answered = set()
        for me, said in self.said.items():
            for kind in (MaskedInput, Confirm, AggregatedPiece):
                assert sum(isinstance(message, kind) for message in said) <= 1, f"{kind.__name__} twice"
            for answer in (message for message in said if isinstance(message, AggregatedPiece)):
                pieces = (self.pieces[me][party] for party in self.u3[me])
                spec = self._play.room.params.spec
                assert answer.piece == coding.add_pieces(pieces, self._play.agreed, spec)
                assert me in self.u3[me] <= self.u2[me]
                answered.add((self.u2[me], self.u3[me]))
        assert len(answered) <= 1

    @property
    def answers(self) -> int:
        return sum(isinstance(message, AggregatedPiece) for said in self.said.values() for message in said)

    def _tell(self, me: PartyId, lie: Lie) -> None:
        client = self._play.clients[me]
        before = client.snapshot()
        try:
            envelopes = client.receive(SERVER, self._message(me, lie))
        except PeerMisbehaved:
            assert client.snapshot() == before
            return
        for envelope in envelopes:
            self.said[me].append(envelope.message)
            if isinstance(envelope.message, MaskedInput):
                self.u2[me] = members(lie.members)
                assert isinstance(client._state, AwaitingSurvivors)
                self.pieces[me] = client._state.pieces
            if isinstance(envelope.message, Confirm):
                self.u3[me] = members(lie.members)

    def _message(self, me: PartyId, lie: Lie) -> Any:
        named, u2, u3 = members(lie.members), self.u2.get(me, NOTHING), self.u3.get(me, NOTHING)
        match lie.kind:
            case Kind.DELIVER:
                return Dealers(named, self._play.sign(SERVER, bindings.dealers(self._shared(named))))
            case Kind.SURVIVORS:
                return Survivors(named, self._play.sign(SERVER, bindings.survivors(self._shared(u2), named)))
            case Kind.FALLBACK:
                return Relayed(min(named, default=PartyId(0)), bytes(40))
            case _:
                return self._request(named & u3, u2, u3, of_others=lie.kind is Kind.REQUEST_WITH_OTHERS)

    def _request(self, signers: PartySet, u2: PartySet, u3: PartySet, *, of_others: bool) -> AggregateRequest:
        """Colluders confirm what is wanted. Of the honest there is only what they said, be it for these sets or not."""
        confirmations = {}
        for signer in signers:
            if signer not in self.said:
                statement = bindings.confirmation(self._shared(u2), u3)
                confirmations[signer] = self._play.sign(signer, statement)
            elif signer in self.u3 and (of_others or (self.u2[signer], self.u3[signer]) == (u2, u3)):
                (said,) = (message for message in self.said[signer] if isinstance(message, Confirm))
                confirmations[signer] = said.signature
        return AggregateRequest(confirmations)

    def _shared(self, u2: PartySet) -> bytes:
        return bindings.shared_digest(self._play.session, u2)


@bounded(4)
@given(plots())
def test_whatever_a_lying_server_says_no_client_says_too_much(plot: Plot) -> None:
    Played(plot).require_discretion()


@pytest.mark.slow
@bounded(80)
@given(plots())
def test_the_same_for_many_lies(plot: Plot) -> None:
    Played(plot).require_discretion()


def test_one_story_told_to_all_is_answered_by_all() -> None:
    """So that the lies above are not all refused for some other reason."""
    everybody = 0b11111
    kinds = (Kind.DELIVER, Kind.SURVIVORS, Kind.REQUEST)
    told = tuple(Lie(kind, me, everybody) for kind in kinds for me in range(5))
    played = Played(Plot(5, 1, told))
    played.require_discretion()
    assert played.answers == 4
