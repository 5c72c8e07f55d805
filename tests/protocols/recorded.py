"""One seeded session, kept at every point of it, so that any state can be taken up again and shown any message.

Six parties, t = 4, no sum over fewer than five. LOST shares its keys and sends no input; SILENT confirms U3 and reveals
nothing, so that the fallback is needed. ME is the client that the tables are about.
"""

from dataclasses import replace
from functools import cache
from typing import Any

from conversation import Room

from mpc.randomness import Randomness, SeededRandomness
from protocols.errors import SERVER, PartyId
from protocols.ledger import Ledger
from protocols.machine import Envelope
from protocols.messages import AdvertiseKeys, DeliverShares, Result, Roster, Round, Survivors, UnmaskRequest
from protocols.secagg import Client, Server, bindings
from protocols.secagg.snapshots import CLIENT
from protocols.secagg.states import AwaitingInvitation, State
from protocols.wire import PartySet

ME, SILENT, LOST, STRANGER = PartyId(1), PartyId(4), PartyId(5), PartyId(9)
DRAWN = 96  # bytes of randomness that a client takes, all of them when it is invited


def state_of(client: Client) -> State:
    return CLIENT.load(client.snapshot()).state


def parties(*numbers: int) -> PartySet:
    return frozenset(map(PartyId, numbers))


class Recorded:
    """client_at, ledger_at: state class -> ME's snapshot and ledger. server_at: round -> the server's when it opened.

    heard: message class -> what the server told ME. said: (party, message class) -> what it answered.
    after: state class of ME -> (its answer to what fits there, its next snapshot).
    """

    def __init__(self, **room: Any) -> None:
        self.room = Room(**({"clients": 6, "cohort": 5, "length": 3} | room))
        self.client_at: dict[type, bytes] = {}
        self.ledger_at: dict[type, Ledger] = {}
        self.server_at: dict[Round, bytes] = {}
        self.closed: dict[Round, list[Envelope]] = {}
        self.heard: dict[type, Any] = {}
        self.said: dict[tuple[PartyId, type], Any] = {}
        self.after: dict[type, tuple[list[Envelope], bytes]] = {}
        self.clients = {party: self.room.client(party) for party in self.room.parties}
        self._hold()

    def _hold(self) -> None:
        server = self.room.server()
        envelopes = server.start()
        while server.outcome is None:
            opened = server.round
            self.server_at[opened] = server.snapshot()
            for sender, message in self._answers(envelopes):
                server.receive(sender, message)
            envelopes = self.closed[opened] = server.close_round()
        self._answers(envelopes)
        self.server_at[Round.DONE] = server.snapshot()
        self._note(self.clients[ME])
        self.outcome = server.outcome

    def _note(self, client: Client) -> None:
        state = type(state_of(client))
        self.client_at[state], self.ledger_at[state] = client.snapshot(), client.ledger

    def _answers(self, envelopes: list[Envelope]) -> list[tuple[PartyId, Any]]:
        answers = []
        for envelope in envelopes:
            for party in envelope.recipients:
                for answer in self._show(party, envelope.message):
                    self.said[party, type(answer.message)] = answer.message
                    if (party, answer.message.round) not in ((LOST, Round.MASKED_INPUT), (SILENT, Round.UNMASK)):
                        answers.append((party, answer.message))
        return answers

    def _show(self, party: PartyId, message: Any) -> list[Envelope]:
        client = self.clients[party]
        if party != ME:
            return client.receive(SERVER, message)
        before = type(state_of(client))
        self._note(client)
        self.heard[type(message)] = message
        answer = client.receive(SERVER, message)
        self.after[before] = answer, client.snapshot()
        return answer

    def client(self, state: type) -> Client:
        """ME in `state`, its generator where it stood then."""
        rand: SeededRandomness = self.room.rand.child(f"client {ME}")
        if state is not AwaitingInvitation:
            rand.bytes(DRAWN)
        return self.restored(state, rand)

    def restored(self, state: type, rand: Randomness) -> Client:
        return Client.restore(
            self.client_at[state], identity=self.room.identities[ME], rand=rand, ledger=self.ledger_at[state]
        )

    def server(self, opened: Round) -> Server:
        """The server as the round opened."""
        return Server.restore(self.server_at[opened], identity=self.room.identities[SERVER])

    def state(self, kind: type) -> Any:
        return CLIENT.load(self.client_at[kind]).state

    # What a coordinator, or a party, that signs anything could say

    def entry(self, party: int, **keys: bytes) -> AdvertiseKeys:
        """The party's entry with other keys, signed by the party."""
        entry = replace(self.said[PartyId(party), AdvertiseKeys], **keys)
        return self.signed_entry(entry, PartyId(party))

    def signed_entry(self, entry: AdvertiseKeys, signer: PartyId) -> AdvertiseKeys:
        identity = self.room.identities[signer]
        signature = bindings.sign_keys(
            identity, self.room.params.digest, entry.client, entry.channel_key, entry.mask_key
        )
        return replace(entry, signature=signature)

    def roster(self, *entries: AdvertiseKeys) -> Roster:
        """A roster of these entries, signed by the coordinator."""
        session = bindings.session_digest(self.room.params, entries)
        return Roster(entries, bindings.sign_roster(self.room.identities[SERVER], session))

    def roster_with(self, entry: AdvertiseKeys) -> Roster:
        """The true roster but for one entry."""
        true: Roster = self.heard[Roster]
        return self.roster(*(entry if one.client == entry.client else one for one in true.entries))

    def deliver(self, u2: PartySet, *, without: PartySet = frozenset(), **bundles: bytes) -> DeliverShares:
        """U2 of the coordinator's choice, signed, with those true bundles that belong to it. `p3=...` replaces one."""
        true: DeliverShares = self.heard[DeliverShares]
        changed = dict(true.bundles) | {PartyId(int(name[1:])): bundle for name, bundle in bundles.items()}
        sealed = {dealer: bundle for dealer, bundle in changed.items() if dealer in u2 - without}
        return DeliverShares(u2, sealed, bindings.sign_u2(self.room.identities[SERVER], self.shared(u2)))

    def shared(self, u2: PartySet) -> bytes:
        """D2 for another U2."""
        roster: Roster = self.heard[Roster]
        return bindings.shared_digest(bindings.session_digest(self.room.params, roster.entries), u2)

    @property
    def everybody(self) -> PartySet:
        return frozenset(self.room.parties)

    def survivors(self, u3: PartySet, u2: PartySet | None = None) -> Survivors:
        shared = self.shared(self.everybody if u2 is None else u2)
        return Survivors(u3, bindings.sign_survivors(self.room.identities[SERVER], shared, u3))

    def confirmed(self, by: PartySet, u3: PartySet, u2: PartySet | None = None) -> UnmaskRequest:
        """The confirmations of `by`, who sign what they are asked to."""
        shared = self.shared(self.everybody if u2 is None else u2)
        signed = {v: bindings.sign_confirmation(self.room.identities[v], shared, u3) for v in sorted(by)}
        return UnmaskRequest(signed)

    def result(self, included: PartySet, vector: bytes) -> Result:
        identity = self.room.identities[SERVER]
        signature = bindings.sign_result(identity, self.shared(self.everybody), included, vector)
        return Result(included, signature, vector)


@cache
def recorded() -> Recorded:
    """The session of the tables, held once."""
    return Recorded()
