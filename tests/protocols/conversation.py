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
from protocols.wire import PartySet


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
    losses: int = 0
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

    def expected(self, vanish: Mapping[int, Round]) -> PartySet | None:
        """Who is in the sum when parties vanish at these rounds; None where there is no sum. From PROTOCOLS 3A."""
        u1 = self._without(vanish, Round.ADVERTISE)
        t = max(least_threshold(self.variant, len(u1), self.colluding), self.threshold)
        floor = max(3, self.colluding + 2, self.cohort)
        if len(u1) < max(floor, t):
            return None
        u2 = u1 & self._without(vanish, Round.SHARE)
        u3 = u2 & self._without(vanish, Round.MASKED_INPUT)
        u4 = u3 & self._without(vanish, Round.CONFIRM) if self.variant is Variant.ACTIVE else u3
        u5 = u4 & self._without(vanish, Round.UNMASK)
        helpers = u5
        if self.variant is Variant.ACTIVE and u2 - u3 and u3 - u5:
            helpers = u5 & self._without(vanish, Round.FALLBACK)
        return u3 if len(u3) >= max(t, floor) and len(helpers) >= t else None

    def _without(self, vanish: Mapping[int, Round], *rounds: Round) -> PartySet:
        return frozenset(party for party in self.parties if vanish.get(party) not in rounds)

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


def least_threshold(variant: Variant, clients: int, colluding: int) -> int:
    """2t > n + c, or t > c; written down a second time, from PROTOCOLS."""
    least = 2 if variant is Variant.CURIOUS else 1
    while not (2 * least > clients + colluding if variant is Variant.ACTIVE else least > colluding):
        least += 1
    return least


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
