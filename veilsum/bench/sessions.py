"""Sessions to be measured: keys, parameters and terms for so many parties. Seeded, so that a step can be run again."""

from collections.abc import Mapping
from dataclasses import dataclass

from mpc.field import PrimeField
from mpc.hashing import digest
from mpc.keys import SigningKey, VerifyKey
from mpc.randomness import SeededRandomness
from protocols.errors import SERVER, PartyId
from protocols.session import NO_RECORD, SessionParams, Subject, Terms, Variant, VectorSpec, domain

FIELD = PrimeField.with_bits(26)


@dataclass(frozen=True, slots=True)
class Setting:
    """n parties and a server."""

    identities: Mapping[PartyId, SigningKey]
    params: SessionParams
    terms: Terms

    @property
    def members(self) -> Mapping[PartyId, VerifyKey]:
        return self.terms.members

    @classmethod
    def of(cls, parties: int, elements: int, variant: Variant = Variant.ACTIVE, field: PrimeField = FIELD) -> "Setting":
        """Complete graph, one colluder."""
        rand, nothing = SeededRandomness(b"bench"), digest("bench")
        identities = {PartyId(place): SigningKey.generate(rand) for place in range(SERVER, parties)}
        members = {party: key.verify_key for party, key in identities.items() if party != SERVER}
        spec = VectorSpec(elements, field)
        subject = Subject(nothing, 1, identities[SERVER].verify_key.raw, nothing, nothing, NO_RECORD)
        params = SessionParams(subject, spec, rand.bytes(32), colluding=1, variant=variant, wire=domain(rand))
        return cls(identities, params, Terms(subject, members, spec, max_colluding=1, variant=variant))
