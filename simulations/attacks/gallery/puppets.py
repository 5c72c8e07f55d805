"""Clients of the coordinator's own making: real machines with identities that no consortium knows."""

from collections.abc import Iterable
from dataclasses import replace

from mpc.keys import SigningKey, VerifyKey
from mpc.randomness import SeededRandomness
from protocols.errors import PartyId
from protocols.secagg import Client
from simulations.attacks.cast import Cast


class Puppets:
    """They go by these names, know each other and the victim, and give zero for their inputs."""

    def __init__(self, room: Cast, names: Iterable[PartyId], victim: PartyId) -> None:
        self._room, self._rand = room, SeededRandomness(b"puppets of " + room.seed)
        self._identities = {name: SigningKey.generate(self._rand.child(f"identity {name}")) for name in names}
        self.members: dict[PartyId, VerifyKey] = {victim: room.terms.members[victim]}
        self.members |= {name: identity.verify_key for name, identity in self._identities.items()}

    def clients(self) -> dict[PartyId, Client]:
        return {name: self._client(name) for name in self._identities}

    def _client(self, name: PartyId) -> Client:
        room = self._room
        terms = replace(room.terms, members=self.members)
        rand = self._rand.child(f"client {name}")
        client = Client(name, identity=self._identities[name], terms=terms, rand=rand)
        client.set_input(room.params.spec.field.zeros(room.length))
        return client
