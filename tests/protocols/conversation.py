"""Real machines in one room: everything that the protocol tests need to set up a session."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mpc.field import M31, FieldVector, PrimeField
from mpc.hashing import digest
from mpc.keys import SigningKey
from mpc.randomness import SeededRandomness
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange, Tap
from protocols.machine import Machine, Outcome
from protocols.messages import CODEC, Round
from protocols.secagg import Client, Server
from protocols.session import NO_RECORD, TEST_WIRE, SessionParams, Subject, Terms, Variant, VectorSpec


@dataclass
class Room:
    """Identities, parameters, terms and inputs of one seeded session, and the machines that they make."""

    clients: int = 5
    colluding: int = 0
    threshold: int = 1
    variant: Variant = Variant.ACTIVE
    length: int = 20
    field: PrimeField = M31
    seed: bytes = b"room"
    cohort: int = 3
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
        )
        self.terms = Terms(subject, members, spec, self.colluding, self.cohort, self.variant)
        drawn = self.rand.child("inputs")
        self.inputs = {party: self.field.uniform(self.length, drawn) for party in self.parties}

    @property
    def t(self) -> int:
        return self.params.threshold_for(self.clients)

    def client(self, me: PartyId, **changes: object) -> Client:
        """A client with its input set. `changes` replace fields of its terms."""
        terms = replace(self.terms, **changes) if changes else self.terms
        client = Client(me, identity=self.identities[me], terms=terms, rand=self.rand.child(f"client {me}"))
        client.set_input(self.inputs[me])
        return client

    def server(self, **changes: object) -> Server:
        params = replace(self.params, **changes) if changes else self.params
        return Server(params, identity=self.identities[SERVER], members=self.terms.members)

    def machines(self) -> dict[PartyId, Machine]:
        return {SERVER: self.server()} | {me: self.client(me) for me in self.parties}

    def talk(self, vanish: Mapping[int, Round] | None = None, tap: Tap | None = None) -> "Talk":
        gone = {PartyId(party): round_ for party, round_ in (vanish or {}).items()}
        machines = self.machines()
        exchange = Exchange(machines, CODEC, vanish=gone, tap=tap)
        return Talk(exchange.run(), machines, exchange)

    def plain_sum(self, parties: frozenset[PartyId] | set[PartyId]) -> FieldVector:
        total = np.zeros(self.length, dtype=object)
        for party in parties:
            total += self.inputs[party].astype(object)
        return self.field.vector(total % self.field.modulus)


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
