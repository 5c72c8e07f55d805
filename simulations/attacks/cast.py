"""The parties of one seeded secagg session, with all that it takes to make each of them."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mpc.field import M31, FieldVector, PrimeField
from mpc.hashing import digest
from mpc.keys import SigningKey
from mpc.randomness import SeededRandomness
from protocols.errors import SERVER, PartyId
from protocols.ledger import NOTHING_ANSWERED, Ledger
from protocols.secagg import Client
from protocols.session import NO_RECORD, TEST_WIRE, SessionParams, Subject, Terms, Variant, VectorSpec


@dataclass
class Cast:
    """Identities, parameters, terms and inputs, and the clients that they make."""

    clients: int = 5
    colluding: int = 0
    threshold: int = 1
    variant: Variant = Variant.ACTIVE
    length: int = 20
    field: PrimeField = M31
    seed: bytes = b"room"
    cohort: int = 3
    losses: int = 0
    accountable: bool = False
    parties: tuple[PartyId, ...] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.parties = tuple(PartyId(index) for index in range(self.clients))
        self.rand = SeededRandomness(self.seed)
        self.identities = {
            party: SigningKey.generate(self.rand.child(f"identity {party}")) for party in (*self.parties, SERVER)
        }
        members = {party: self.identities[party].verify_key for party in self.parties}
        subject = Subject(
            consortium=digest("consortium", self.seed),
            version=1,
            coordinator=self.identities[SERVER].verify_key.raw,
            model=digest("model", self.seed),
            config=digest("config", self.seed),
            last_record=NO_RECORD,
        )
        spec = VectorSpec(self.length, self.field)
        self.params = SessionParams(
            subject,
            spec,
            digest("nonce", self.seed),
            self.colluding,
            threshold=self.threshold,
            cohort=self.cohort,
            variant=self.variant,
            wire=TEST_WIRE,
            losses=self.losses,
            accountable=self.accountable,
        )
        self.terms = Terms(
            subject, members, spec, self.colluding, self.cohort, self.variant, accountable=self.accountable
        )
        drawn = self.rand.child("inputs")
        self.inputs = {party: self.field.uniform(self.length, drawn) for party in self.parties}

    @property
    def t(self) -> int:
        return self.params.threshold_for(self.clients)

    def client(self, me: PartyId, ledger: Ledger = NOTHING_ANSWERED, **changes: Any) -> Client:
        """A client with its input set. `changes` replace fields of its terms."""
        client = self.without_input(me, ledger, **changes)
        client.set_input(self.inputs[me])
        return client

    def without_input(self, me: PartyId, ledger: Ledger = NOTHING_ANSWERED, **changes: Any) -> Client:
        terms = replace(self.terms, **changes) if changes else self.terms
        rand = self.rand.child(f"client {me}")
        return Client(me, identity=self.identities[me], terms=terms, rand=rand, ledger=ledger)

    def plain_sum(self, parties: Collection[PartyId]) -> FieldVector:
        total = np.zeros(self.length, dtype=object)
        for party in parties:
            total += self.inputs[party].astype(object)
        return self.field.vector(total % self.field.modulus)
