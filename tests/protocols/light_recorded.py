"""One seeded session of lightsecagg, kept at every point of it, so that any state can be shown any message.

Six parties, c = 1, d = 2: T = 1, U = 4, q = 4, no sum over fewer than five. LOST deals its pieces and sends no input;
SILENT confirms U3 and does not answer. ME is the client that the tables are about.
"""

from dataclasses import replace
from functools import cache
from typing import Any

from light_room import LightRoom

from mpc.randomness import Randomness, SeededRandomness
from protocols.errors import SERVER, PartyId
from protocols.ledger import Ledger
from protocols.lightsecagg import Client, Server, bindings
from protocols.lightsecagg.messages import (
    AdvertiseKey,
    AggregateRequest,
    Dealers,
    Relayed,
    Result,
    Roster,
    Round,
    Survivors,
)
from protocols.lightsecagg.snapshots import CLIENT
from protocols.lightsecagg.states import AwaitingDealers, AwaitingInvitation, State
from protocols.machine import Envelope
from protocols.wire import PartySet

ME, SILENT, LOST, STRANGER = PartyId(1), PartyId(4), PartyId(5), PartyId(9)
DRAWN = 64  # bytes of randomness that a client takes, all of them when it is invited


def state_of(client: Client) -> State:
    return CLIENT.load(client.snapshot()).state


class Recorded:
    """kept: state class -> ME's last snapshot and ledger in it, when all pieces have come. bare: the first one in
    AwaitingDealers, before any has. server_at: round -> the server's snapshot when it opened.

    heard: message class -> what the server told ME. relayed: dealer -> its piece for ME. said: (party, message class)
    -> what it answered. after: state class of ME -> (its answer to what fits there, its next snapshot).
    """

    def __init__(self, **room: Any) -> None:
        given = {"clients": 6, "colluding": 1, "losses": 2, "cohort": 5, "length": 3}
        self.room = LightRoom(**(given | room))
        self.kept: dict[type, tuple[bytes, Ledger]] = {}
        self.bare: tuple[bytes, Ledger]
        self.server_at: dict[Round, bytes] = {}
        self.closed: dict[Round, list[Envelope]] = {}
        self.heard: dict[type, Any] = {}
        self.relayed: dict[PartyId, Relayed] = {}
        self.said: dict[tuple[PartyId, type], Any] = {}
        self.pieces: dict[PartyId, list[Any]] = {party: [] for party in self.room.parties}  # and what was dealt
        self.after: dict[type, tuple[list[Envelope], bytes]] = {}
        self.clients = {party: self.room.client(party) for party in self.room.parties}
        self._hold()

    def _hold(self) -> None:
        server = self.room.server()
        envelopes = server.start()
        while server.outcome is None:
            opened = server.round
            self.server_at[opened] = server.snapshot()
            relayed: list[Envelope] = []
            for sender, message in self._answers(envelopes):
                relayed += server.receive(sender, message)
            self._answers(relayed)
            envelopes = self.closed[opened] = server.close_round()
        self._answers(envelopes)
        self.server_at[Round.DONE] = server.snapshot()
        self._note(self.clients[ME])
        self.outcome = server.outcome

    def _note(self, client: Client) -> None:
        self.kept[type(state_of(client))] = client.snapshot(), client.ledger

    def _answers(self, envelopes: list[Envelope]) -> list[tuple[PartyId, Any]]:
        answers = []
        for envelope in envelopes:
            for party in envelope.recipients:
                for answer in self._show(party, envelope.message):
                    self.said[party, type(answer.message)] = answer.message
                    if answer.message.round is Round.SHARE:
                        self.pieces[party].append(answer.message)
                    if (party, answer.message.round) not in ((LOST, Round.MASKED_INPUT), (SILENT, Round.AGGREGATE)):
                        answers.append((party, answer.message))
        return answers

    def _show(self, party: PartyId, message: Any) -> list[Envelope]:
        client = self.clients[party]
        if party != ME:
            return list(client.receive(SERVER, message))
        before = type(state_of(client))
        self._note(client)
        self.heard[type(message)] = message
        if isinstance(message, Relayed):
            self.relayed[message.dealer] = message
        answer = list(client.receive(SERVER, message))
        self.after[before] = answer, client.snapshot()
        if isinstance(message, Roster):
            self.bare = client.snapshot(), client.ledger
        return answer

    def client(self, state: type) -> Client:
        """ME in `state`, its generator where it stood then."""
        rand: SeededRandomness = self.room.rand.child(f"client {ME}")
        if state is not AwaitingInvitation:
            rand.bytes(DRAWN)
        return self.restored(self.kept[state], rand)

    def restored(self, kept: tuple[bytes, Ledger], rand: Randomness) -> Client:
        return Client.restore(kept[0], identity=self.room.identities[ME], rand=rand, ledger=kept[1])

    def without_pieces(self) -> Client:
        """ME when it has dealt and nothing has come yet."""
        return self.restored(self.bare, self.room.rand.child("taken up again"))

    def server(self, opened: Round) -> Server:
        """The server as the round opened."""
        return Server.restore(self.server_at[opened], identity=self.room.identities[SERVER])

    def dealing(self) -> AwaitingDealers:
        state = CLIENT.load(self.kept[AwaitingDealers][0]).state
        assert isinstance(state, AwaitingDealers)
        return state

    # What a coordinator, or a party, that signs anything could say

    def sign(self, signer: int, statement: bindings.Statement) -> bytes:
        signature: bytes = self.room.identities[PartyId(signer)].sign(*statement)
        return signature

    def signed_entry(self, entry: AdvertiseKey, signer: int, invite: bytes | None = None) -> AdvertiseKey:
        statement = bindings.key_of(invite or self.room.params.digest, entry.client, entry.channel_key)
        return replace(entry, signature=self.sign(signer, statement))

    def entry(self, party: int, key: bytes) -> AdvertiseKey:
        """The party's entry with another key, signed by the party."""
        return self.signed_entry(replace(self.said[PartyId(party), AdvertiseKey], channel_key=key), party)

    def roster(self, *entries: AdvertiseKey) -> Roster:
        """A roster of these entries, signed by the coordinator."""
        session = bindings.session_digest(self.room.params, entries)
        return Roster(entries, self.sign(SERVER, bindings.roster(session)))

    def roster_with(self, entry: AdvertiseKey) -> Roster:
        """The true roster but for one entry."""
        true: Roster = self.heard[Roster]
        return self.roster(*(entry if one.client == entry.client else one for one in true.entries))

    @property
    def everybody(self) -> PartySet:
        return frozenset(self.room.parties)

    def shared(self, u2: PartySet) -> bytes:
        """D2 for another U2."""
        roster: Roster = self.heard[Roster]
        return bindings.shared_digest(bindings.session_digest(self.room.params, roster.entries), u2)

    def dealers(self, u2: PartySet) -> Dealers:
        return Dealers(u2, self.sign(SERVER, bindings.dealers(self.shared(u2))))

    def survivors(self, u3: PartySet, u2: PartySet | None = None) -> Survivors:
        shared = self.shared(self.everybody if u2 is None else u2)
        return Survivors(u3, self.sign(SERVER, bindings.survivors(shared, u3)))

    def confirmed(self, by: PartySet, u3: PartySet, u2: PartySet | None = None) -> AggregateRequest:
        """The confirmations of `by`, who sign what they are asked to."""
        statement = bindings.confirmation(self.shared(self.everybody if u2 is None else u2), u3)
        return AggregateRequest({party: self.sign(party, statement) for party in sorted(by)})

    def result(self, included: PartySet, vector: bytes) -> Result:
        statement = bindings.result(self.shared(self.everybody), included, vector)
        return Result(included, self.sign(SERVER, statement), vector)


@cache
def recorded() -> Recorded:
    """The session of the tables, held once."""
    return Recorded()
