"""One seeded session of a committee, kept at every point of it, so that any state can be shown any message.

Five members that both contribute and aggregate: T = 1, ell = 3, four decode, four certify. ME is the one that the
tables are about. A point is named for the message that comes next there.
"""

from collections import deque
from dataclasses import replace
from functools import cache
from typing import Any

from committee_room import CommitteeRoom

from protocols.committee import Member, Server, bindings
from protocols.committee.messages import (
    Card,
    Certificate,
    Checks,
    CheckValues,
    Committee,
    Delivery,
    Invitation,
    Message,
    Offer,
    Receipt,
    Receipts,
    Result,
    Round,
    Vows,
)
from protocols.errors import SERVER, PartyId
from protocols.ledger import Ledger
from protocols.machine import Envelope
from protocols.wire import PartySet

ME, PEER, STRANGER = PartyId(2), PartyId(3), PartyId(9)

POINTS = (Invitation, Committee, Card, Delivery, Offer, Receipts, Vows, Checks, Certificate, Result)
"""What ME hears, in this order; between the first delivery and the offer are the others'."""


class Recorded:
    """at: message class -> ME's snapshot and ledger just before the first of it. after: when all is over.

    heard, said: what ME heard and every member said, the first of each class. opened: round -> the server then.
    """

    def __init__(self, **room: Any) -> None:
        self.room = CommitteeRoom(**({"clients": 5, "colluding": 1, "length": 3} | room))
        self.at: dict[type, tuple[bytes, Ledger]] = {}
        self.heard: dict[type, Any] = {}
        self.said: dict[tuple[PartyId, type], Any] = {}
        self.opened: dict[Round, bytes] = {}
        self.members = {me: self.room.member(me) for me in self.room.parties}
        self._hold()

    def _hold(self) -> None:
        server = self.room.server()
        envelopes = server.start()
        while server.outcome is None:
            self.opened[server.round] = server.snapshot()
            self._carry(server, envelopes)
            envelopes = server.close_round()
        self.opened[Round.DONE] = server.snapshot()
        self._carry(server, envelopes)
        self.after = self.members[ME].snapshot(), self.members[ME].ledger

    def _carry(self, server: Server, envelopes: list[Envelope]) -> None:
        under_way = deque(envelopes)
        while under_way:
            envelope = under_way.popleft()
            for party in envelope.recipients:
                if party == ME:
                    self._note(envelope.message)
                for answer in self.members[party].receive(SERVER, envelope.message):
                    self.said[party, type(answer.message)] = answer.message
                    under_way.extend(server.receive(party, answer.message))

    def _note(self, message: Message) -> None:
        if type(message) not in self.heard:
            self.heard[type(message)] = message
            self.at[type(message)] = self.members[ME].snapshot(), self.members[ME].ledger

    def member(self, point: type) -> Member:
        """ME as it stood just before it heard this."""
        return self._woken(*self.at[point])

    def ended(self) -> Member:
        return self._woken(*self.after)

    def _woken(self, snapshot: bytes, ledger: Ledger) -> Member:
        rand = self.room.rand.child("taken up again")
        return Member.restore(snapshot, identity=self.room.identities[ME], rand=rand, ledger=ledger)

    def server(self, opened: Round) -> Server:
        """The server as the round opened."""
        return Server.restore(self.opened[opened], identity=self.room.identities[SERVER])

    # What a coordinator, or a member, that signs anything could say

    @property
    def invite(self) -> bytes:
        return self.room.params.digest

    @property
    def session(self) -> bytes:
        """D."""
        return bindings.session_digest(self.invite, self.heard[Card].entries)

    def card(self, *entries: Any, kind: type = Card) -> Any:
        session = bindings.session_digest(self.invite, entries)
        return kind(entries, bindings.sign_card(self.room.identities[SERVER], session))

    def entry(self, party: int, **changes: Any) -> Any:
        """The party's entry with these changes, signed by the party."""
        entry = replace(next(one for one in self.heard[Card].entries if one.aggregator == party), **changes)
        identity = self.room.identities[PartyId(party)]
        body = (self.invite, entry.aggregator, entry.channel_key, entry.commitment)
        return replace(entry, signature=bindings.sign_key(identity, *body))

    def card_with(self, entry: Any) -> Any:
        """The true card but for one entry."""
        entries = (entry if one.aggregator == entry.aggregator else one for one in self.heard[Card].entries)
        return self.card(*entries)

    def offer(self, clients: PartySet, envelopes: bytes | None = None) -> Offer:
        true: Offer = self.heard[Offer]
        rows = dict(zip(sorted(true.clients), (true.envelopes[at : at + 32] for at in range(0, 160, 32)), strict=True))
        packed = b"".join(rows.get(one, bytes(32)) for one in sorted(clients)) if envelopes is None else envelopes
        offered = bindings.offer_digest(self.session, clients, packed)
        return Offer(clients, bindings.sign_offer(self.room.identities[SERVER], offered), packed)

    @property
    def offered(self) -> bytes:
        true: Offer = self.heard[Offer]
        return bindings.offer_digest(self.session, true.clients, true.envelopes)

    @property
    def agreed(self) -> bytes:
        return bindings.agreed_digest(self.offered, self.heard[Receipts].receipts)

    def receipt(self, party: int, **changes: Any) -> Receipt:
        one: Receipt = replace(self.said[PartyId(party), Receipt], **changes)
        identity = self.room.identities[PartyId(party)]
        return replace(one, signature=bindings.sign_receipt(identity, self.offered, one.held, one.nonce))

    def receipts(self, **changes: Any) -> Receipts:
        """The true ones, `p3=` another of party 3, None for none."""
        receipts = dict(self.heard[Receipts].receipts)
        for name, one in changes.items():
            receipts[PartyId(int(name[1:]))] = one
        return Receipts({party: one for party, one in receipts.items() if one is not None})

    def vows(self, *by: int, agreed: bytes | None = None) -> Vows:
        under = self.agreed if agreed is None else agreed
        return Vows({PartyId(one): bindings.sign_vow(self.room.identities[PartyId(one)], under) for one in by})

    def checks(self, **changes: bytes | None) -> Checks:
        """The true values; `p3=` others of party 3, signed by it, None for none."""
        values = {party: self.said[party, CheckValues].values for party in self.room.parties}
        values |= {PartyId(int(name[1:])): one for name, one in changes.items()}
        kept = {party: values[party] for party in sorted(values) if values[party] is not None}
        signatures = {
            party: bindings.sign_values(self.room.identities[party], self.agreed, one) for party, one in kept.items()
        }
        return Checks(signatures, b"".join(kept.values()))

    def certificate(self, included: PartySet, *by: int, agreed: bytes | None = None) -> Certificate:
        body = (self.invite, self.agreed if agreed is None else agreed, included)
        return Certificate(
            {PartyId(one): bindings.sign_certificate(self.room.identities[PartyId(one)], *body) for one in by}
        )

    def result(self, **changes: Any) -> Result:
        """The true one with these changes, signed by the coordinator."""
        one: Result = replace(self.heard[Result], **changes)
        signature = bindings.sign_result(self.room.identities[SERVER], one.agreed, one.included, one.vector)
        return replace(one, signature=signature)

    @property
    def everybody(self) -> PartySet:
        return frozenset(self.room.parties)


@cache
def recorded() -> Recorded:
    """The session of the tables, held once."""
    return Recorded()
