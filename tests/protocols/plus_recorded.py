"""One seeded session of secagg+ whose graph is sparse, kept at every point of it, as `recorded.py` keeps secagg's.

Nine parties, one may collude and one be lost: k = 6, t = 4. LOST sends no input. ME is the client of the tables; every
other message is what a coordinator, or a party, that signs anything could say.
"""

from dataclasses import replace
from functools import cache
from typing import Any

from plus_room import PlusRoom

from mpc.merkle import MerkleTree
from mpc.randomness import SeededRandomness
from protocols.errors import SERVER, PartyId
from protocols.ledger import Ledger
from protocols.machine import Envelope
from protocols.messages import AdvertiseKeys, DeliverShares, Result, UnmaskRequest
from protocols.secagg import bindings as shared_bindings
from protocols.secagg_plus import Client, Server, bindings
from protocols.secagg_plus.degrees import graph_for
from protocols.secagg_plus.messages import Neighbours, Opened, Roster, Round, SignedInput, Survivors
from protocols.secagg_plus.snapshots import CLIENT
from protocols.wire import PartySet

ME, LOST, STRANGER = PartyId(1), PartyId(8), PartyId(20)


class Recorded:
    """client_at, ledger_at: state class -> ME's snapshot and ledger. server_at: round -> the server's when it opened.

    heard: message class -> what the server told ME. said: (party, message class) -> what it answered.
    """

    def __init__(self) -> None:
        self.room = PlusRoom(clients=9, colluding=1, losses=1, length=3)
        self.client_at: dict[type, bytes] = {}
        self.ledger_at: dict[type, Ledger] = {}
        self.server_at: dict[Round, bytes] = {}
        self.heard: dict[type, Any] = {}
        self.said: dict[tuple[PartyId, type], Any] = {}
        self.clients = {party: self.room.client(party) for party in self.room.parties}
        server = self.room.server()
        envelopes = server.start()
        while server.outcome is None:
            self.server_at[server.round] = server.snapshot()
            for sender, message in self._answers(envelopes):
                server.receive(sender, message)
            envelopes = server.close_round()
        self._answers(envelopes)
        self.server_at[Round.DONE] = server.snapshot()
        self._note()
        self.outcome, self.graph = (
            server.outcome,
            Server.restore(self.server_at[Round.SHARE], identity=self.room.identities[SERVER])._graph,
        )

    def _note(self) -> None:
        client = self.clients[ME]
        kind = type(CLIENT.load(client.snapshot()).state)
        self.client_at[kind], self.ledger_at[kind] = client.snapshot(), client.ledger

    def _answers(self, envelopes: list[Envelope]) -> list[tuple[PartyId, Any]]:
        answers = []
        for envelope in envelopes:
            for party in envelope.recipients:
                if party == ME:
                    self._note()
                    self.heard[type(envelope.message)] = envelope.message
                for answer in self.clients[party].receive(SERVER, envelope.message):
                    self.said[party, type(answer.message)] = answer.message
                    if (party, answer.message.round) != (LOST, Round.MASKED_INPUT):
                        answers.append((party, answer.message))
        return answers

    def client(self, state: type) -> Client:
        """ME in `state`."""
        rand = SeededRandomness(b"another process")
        kept, ledger = self.client_at[state], self.ledger_at[state]
        return Client.restore(kept, identity=self.room.identities[ME], rand=rand, ledger=ledger)

    def server(self, opened: Round) -> Server:
        return Server.restore(self.server_at[opened], identity=self.room.identities[SERVER])

    @property
    def everybody(self) -> PartySet:
        return frozenset(self.room.parties)

    @property
    def u3(self) -> PartySet:
        return self.everybody - {LOST}

    @property
    def t(self) -> int:
        return graph_for(self.room.params, self.room.clients).threshold

    @property
    def holders(self) -> PartySet:
        return self.graph.holders(ME)

    @property
    def owners(self) -> PartySet:
        return self.graph.owners(ME)

    @property
    def peers(self) -> PartySet:
        return self.graph.peers(ME)

    @property
    def _identity(self) -> Any:
        return self.room.identities[SERVER]

    @property
    def entries(self) -> dict[PartyId, AdvertiseKeys]:
        return {one: self.said[one, AdvertiseKeys] for one in self.room.parties}

    def roster(self, u1: PartySet | None = None, root: bytes | None = None) -> Roster:
        true: Roster = self.heard[Roster]
        shown = true.u1 if u1 is None else u1, true.root if root is None else root
        session = bindings.session_digest(self.room.params, *shown)
        return Roster(*shown, bindings.sign_roster(self._identity, session))

    def another(self, party: PartyId, **changes: Any) -> tuple[Roster, Neighbours]:
        """A roster in which the party's entry is another, signed by it; and what is then shown of ME's peers."""
        entry = replace(self.entries[party], **changes)
        if "signature" not in changes:
            signature = shared_bindings.sign_keys(
                self.room.identities[party], self.room.params.digest, entry.client, entry.channel_key, entry.mask_key
            )
            entry = replace(entry, signature=signature)
        entries = self.entries | {party: entry}
        tree = MerkleTree([bindings.entry_leaf(entries[one]) for one in sorted(entries)])
        return self.roster(root=tree.root), self._shown(entries, tree)

    def _shown(self, entries: dict[PartyId, AdvertiseKeys], tree: MerkleTree) -> Neighbours:
        opened = tuple(Opened(entries[one], tree.path(one)) for one in sorted(self.everybody - {ME} | {ME}))
        return Neighbours(tuple(sorted(self.everybody - {ME})), opened)

    @property
    def session(self) -> bytes:
        return bindings.session_digest(self.room.params, self.heard[Roster].u1, self.heard[Roster].root)

    def shared(self, u2: PartySet) -> bytes:
        return shared_bindings.shared_digest(self.session, u2)

    def deliver(self, u2: PartySet, **changes: Any) -> DeliverShares:
        true: DeliverShares = self.heard[DeliverShares]
        bundles = {dealer: bundle for dealer, bundle in true.bundles.items() if dealer in u2}
        signature = shared_bindings.sign_u2(self._identity, self.shared(u2))
        return replace(DeliverShares(u2, bundles, signature), **changes)

    def signed_input(self, party: PartyId, u2: PartySet) -> SignedInput:
        masked = b"any y"
        signature = bindings.sign_input(self.room.identities[party], self.shared(u2), masked)
        return bindings.signed_input(masked, signature)

    def survivors(self, u3: PartySet, inputs: dict[PartyId, SignedInput] | None = None) -> Survivors:
        """This U3, signed; with inputs of all peers in it, signed by them under the true U2."""
        signature = shared_bindings.sign_survivors(self._identity, self.shared(self.everybody), u3)
        signed = {one: self.signed_input(one, self.everybody) for one in sorted(self.peers & u3)}
        return Survivors(u3, signature, signed if inputs is None else inputs)

    def confirmed(self, by: PartySet, u3: PartySet, u2: PartySet | None = None) -> UnmaskRequest:
        shared = self.shared(self.everybody if u2 is None else u2)
        return UnmaskRequest(
            {one: shared_bindings.sign_confirmation(self.room.identities[one], shared, u3) for one in sorted(by)}
        )

    def result(self, included: PartySet) -> Result:
        vector = self.heard[Result].vector
        signature = shared_bindings.sign_result(self._identity, self.shared(self.everybody), included, vector)
        return Result(included, signature, vector)


@cache
def recorded() -> Recorded:
    """The session of the tables, held once."""
    return Recorded()
