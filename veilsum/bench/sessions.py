"""Sessions to be measured: keys, parameters and terms for so many parties, and their machines.

Seeded, so that a step can be run again.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mpc.field import PrimeField
from mpc.hashing import digest
from mpc.keys import SigningKey, VerifyKey
from mpc.randomness import SeededRandomness
from protocols.errors import SERVER, PartyId
from protocols.families import FAMILIES
from protocols.family import Family
from protocols.machine import Collector, Contributor, Machine
from protocols.session import (
    EVERYBODY,
    NO_COORDINATOR,
    NO_RECORD,
    SessionParams,
    Subject,
    Terms,
    Variant,
    VectorSpec,
    domain,
)
from protocols.wire import PartySet

FIELD = PrimeField.with_bits(26)


@dataclass(frozen=True, slots=True)
class Setting:
    """n parties and, where the protocol has one, a server."""

    identities: Mapping[PartyId, SigningKey]
    params: SessionParams
    terms: Terms

    @property
    def members(self) -> Mapping[PartyId, VerifyKey]:
        return self.terms.members

    @property
    def family(self) -> Family:
        return FAMILIES[self.params.protocol]

    @classmethod
    def of(
        cls,
        parties: int,
        elements: int,
        variant: Variant = Variant.ACTIVE,
        field: PrimeField = FIELD,
        *,
        protocol: str = "secagg",
        colluding: int = 1,
        losses: int = 0,
        aggregators: PartySet = EVERYBODY,
    ) -> "Setting":
        rand, nothing = SeededRandomness(b"bench"), digest("bench")
        identities = {PartyId(place): SigningKey.generate(rand) for place in range(SERVER, parties)}
        members = {party: key.verify_key for party, key in identities.items() if party != SERVER}
        spec = VectorSpec(elements, field)
        coordinator = NO_COORDINATOR if FAMILIES[protocol].peer else identities[SERVER].verify_key.raw
        subject = Subject(nothing, 1, coordinator, nothing, nothing, NO_RECORD)
        params = SessionParams(
            subject, spec, rand.bytes(32), colluding, variant=variant, protocol=protocol, wire=domain(rand),
            losses=losses, aggregators=aggregators,
        )  # fmt: skip
        terms = Terms(subject, members, spec, colluding, variant=variant, protocol=protocol, aggregators=aggregators)
        return cls(identities, params, terms)

    def machines(self) -> dict[PartyId, Machine]:
        """Of everybody, with inputs of zeros."""
        machines: dict[PartyId, Machine] = {party: self.contributor(party) for party in self.members}
        if self.family.collector:
            machines[SERVER] = self.collector()
        return machines

    def collector(self) -> Collector:
        assert self.family.collector
        return self.family.collector(self.params, identity=self.identities[SERVER], members=dict(self.members))

    def contributor(self, me: PartyId) -> Contributor:
        """The machine of one party, with its input set unless it only aggregates."""
        own, rand = self.identities[me], SeededRandomness(f"party {me}".encode())
        machine: Contributor
        if self.family.peer:
            machine = self.family.peer(me, identity=own, terms=self.terms, params=self.params, rand=rand)
        else:
            assert self.family.contributor
            machine = self.family.contributor(me, identity=own, terms=self.terms, rand=rand)
        if me not in self.params.aggregators:
            machine.set_input(self.params.spec.field.zeros(self.params.spec.length))
        return machine
