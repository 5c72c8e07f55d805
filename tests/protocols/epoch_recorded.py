"""Two seeded sessions of one epoch, kept at every point of them, so that any state can be shown any message.

Six parties, t = 4, no sum over fewer than five. In both sessions LOST sends no input and SILENT reveals nothing, so
that the fallback is needed. ME is the client that the tables are about.
"""

from dataclasses import replace
from functools import cache
from typing import Any

from epoch_room import EpochRoom, parties

from mpc.randomness import SeededRandomness
from protocols.epoch import Client, Server, bindings
from protocols.epoch.messages import CODEC, AdvertiseKeys, Roster, RoundStart
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange
from protocols.ledger import Ledger
from protocols.machine import Envelope
from protocols.messages import Round
from protocols.secagg.client import Client as SingleClient
from protocols.wire import PartySet

ME, SILENT, LOST, STRANGER = PartyId(1), PartyId(4), PartyId(5), PartyId(9)
U3 = parties(0, 1, 2, 3, 4)
Kept = tuple[bytes, Ledger]


def state_of(client: Client) -> type:
    """The class of the state in which the client is, in the round or before it."""
    now = client._now
    return type(now._state) if isinstance(now, SingleClient) else type(now)


class Spied(Client):
    """A client that notes what it is told, and how it stood before and after."""

    recorded: "Recorded"
    session: int

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        before: Kept = self.snapshot(), self.ledger
        state = state_of(self)
        answer = super().receive(sender, message)
        self.recorded.note(self.session, state, before, message, answer, (self.snapshot(), self.ledger))
        return answer


class Recorded:
    """kept: (session, state class) -> ME's snapshot and ledger in it. heard: (session, message class) -> what ME was
    told. said: what it answered. after: (session, state class) -> answer and snapshot of what fits there."""

    def __init__(self, **room: Any) -> None:
        self.room = EpochRoom(**({"clients": 6, "cohort": 5, "length": 3, "rounds": 3} | room))
        self.kept: dict[tuple[int, type], Kept] = {}
        self.heard: dict[tuple[int, type], Any] = {}
        self.said: dict[tuple[int, type], Any] = {}
        self.after: dict[tuple[int, type], tuple[list[Envelope], bytes]] = {}
        self.servers: dict[tuple[int, Round], bytes] = {}
        for session in (1, 2):
            self._hold(session)

    def _hold(self, session: int) -> None:
        room = self.room
        room.next_step()
        me = room.epoch_client(ME)
        spied = Spied.restore(
            me.snapshot(), identity=room.identities[ME], rand=room.rand.child(f"me {session}"), ledger=me.ledger
        )
        assert isinstance(spied, Spied)
        spied.recorded, spied.session = self, session
        server = room.epoch_server()
        machines = {SERVER: server} | {party: room.epoch_client(party) for party in room.parties} | {ME: spied}

        def tap(sender: PartyId, _recipient: PartyId, _data: bytes) -> None:
            self.servers.setdefault((session, server.round), server.snapshot())

        vanish = {LOST: Round.MASKED_INPUT, SILENT: Round.UNMASK}
        exchange = Exchange(machines, CODEC, vanish=vanish, tap=tap)
        exchange.run()
        self.kept[session, state_of(spied)] = spied.snapshot(), spied.ledger
        room.server_epoch = server.epoch
        for party in room.parties:
            client = machines[party]
            assert isinstance(client, Client)
            room.epochs[party], room.ledgers[party] = client.epoch, client.ledger

    def note(self, session: int, state: type, before: Kept, message: Any, answer: list[Envelope], after: Kept) -> None:
        self.kept[session, state] = before
        self.heard[session, type(message)] = message
        self.said |= {(session, type(envelope.message)): envelope.message for envelope in answer}
        self.after[session, state] = answer, after[0]

    def client(self, session: int, state: type) -> Client:
        """ME as it stood before it left `state`; what it may still draw it drew in the recording too."""
        snapshot, ledger = self.kept[session, state]
        rand: SeededRandomness = self.room.rand.child(f"me {session}")
        return Client.restore(snapshot, identity=self.room.identities[ME], rand=rand, ledger=ledger)

    def server(self, session: int, opened: Round) -> Server:
        return Server.restore(self.servers[session, opened], identity=self.room.identities[SERVER])

    # What a coordinator that signs anything could say

    def start(self, session: int, **changes: Any) -> RoundStart:
        """The start of the session's round with these changes, signed for what it then says."""
        changed = replace(self.heard[session, RoundStart], **changes)
        shared = bindings.round_digest(changed.epoch, changed.number, changed.params, changed.u2)
        return replace(changed, signature=bindings.sign_start(self.room.identities[SERVER], shared))

    def roster(self, *entries: AdvertiseKeys) -> Roster:
        epoch = bindings.epoch_digest(self.heard[1, RoundStart].params, entries)
        return Roster(entries, bindings.sign_roster(self.room.identities[SERVER], epoch))

    def entry(self, party: int, **changes: Any) -> AdvertiseKeys:
        """The party's entry with these changes, signed by the party."""
        true = next(one for one in self.heard[1, Roster].entries if one.client == party)
        changed: AdvertiseKeys = replace(true, **changes)
        invite = self.heard[1, RoundStart].params.digest
        signature = bindings.sign_keys(
            self.room.identities[PartyId(party)], invite, changed.client, changed.channel_key, changed.mask_keys
        )
        return replace(changed, signature=signature)

    def roster_with(self, entry: AdvertiseKeys) -> Roster:
        true = self.heard[1, Roster].entries
        return self.roster(*(entry if one.client == entry.client else one for one in true))

    @property
    def everybody(self) -> PartySet:
        return frozenset(self.room.parties)


@cache
def recorded() -> Recorded:
    return Recorded()
