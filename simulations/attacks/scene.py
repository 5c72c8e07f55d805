"""The parties of an attack and what is at stake: the same updates for the engine that loses and for the one that does
not."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from mpc.field import M31, FieldVector
from mpc.hashing import digest
from mpc.randomness import SeededRandomness
from protocols.errors import PartyId
from simulations.attacks.cast import Cast
from simulations.attacks.naive import arithmetic, secagg
from simulations.attacks.verdicts import Guess, Reals

C = TypeVar("C", bound=secagg.Client)

LENGTH = 1000  # values in an update: enough for a correlation of 0.16 to be no accident
_LEVELS = arithmetic.SCALE


def to_steps(values: Reals) -> Reals:
    """The nearest numbers that both engines have: whole ones of 2^-16."""
    return np.rint(values * _LEVELS) / _LEVELS


def levels(update: Reals) -> FieldVector:
    """Whole numbers of 2^-16 in M31, negative ones counted from its upper end."""
    return (np.rint(update * _LEVELS).astype(np.int64) % M31.modulus).astype(M31.dtype)


def reals(vector: FieldVector) -> Reals:
    signed = vector.astype(np.int64)
    signed -= M31.modulus * (signed > M31.modulus // 2)
    return signed / _LEVELS


@dataclass(frozen=True)
class Scene:
    """`clients` parties. The last one sides with the coordinator where somebody does; `victim` is the one attacked."""

    seed: bytes
    clients: int = 5
    length: int = LENGTH

    victim = PartyId(1)

    @cached_property
    def rand(self) -> SeededRandomness:
        return SeededRandomness(b"attack " + self.seed)

    @property
    def parties(self) -> tuple[PartyId, ...]:
        return tuple(map(PartyId, range(self.clients)))

    @property
    def colluder(self) -> PartyId:
        return self.parties[-1]

    @property
    def honest(self) -> tuple[PartyId, ...]:
        return self.parties[:-1]

    @cached_property
    def updates(self) -> dict[PartyId, Reals]:
        """Uniform in -1..1, in steps that both engines have."""
        return {party: self.drawn(f"update {party}") for party in self.parties}

    def drawn(self, label: str) -> Reals:
        words = M31.uniform(self.length, self.rand.child(label)).astype(np.int64)
        return (words % (2 * _LEVELS + 1) - _LEVELS) / _LEVELS

    def sum_of(self, *parties: PartyId) -> Reals:
        return np.asarray(np.sum([self.updates[party] for party in parties], axis=0))

    # The engine that loses

    def textbook(self, kind: type[C], session: str = "") -> dict[PartyId, C]:
        """Its clients, each with its update. session: another one has other keys."""
        return {party: self.textbook_client(party, kind, session) for party in self.parties}

    def textbook_client(self, party: PartyId, kind: type[C], session: str = "") -> C:
        return kind(party, self.training(party), self.rand.child(f"naive {party} {session}"))

    def training(self, party: PartyId) -> Callable[[bytes], Reals]:
        return lambda model: self.updates[party]

    def guess_from_ring(self, recovered: arithmetic.Ring) -> Guess:
        return Guess(self.updates[self.victim], arithmetic.decode(recovered), arithmetic.RING / arithmetic.SCALE)

    # The real one

    def cast(self, colluding: int = 1, losses: int = 0, session: str = "", protocol: str = "secagg") -> Cast:
        """session: another one of the same step has another nonce, and its clients draw other randomness."""
        room = Cast(self.clients, colluding, length=self.length, seed=self.seed, losses=losses)
        room.params, room.terms = replace(room.params, protocol=protocol), replace(room.terms, protocol=protocol)
        room.inputs = {party: levels(update) for party, update in self.updates.items()}
        if session:
            room.params = replace(room.params, nonce=digest("nonce", self.seed, session))
            room.rand = room.rand.child(session)
        return room

    def guess_if(self, recovered: FieldVector | None) -> Guess | None:
        """None where nothing came."""
        return None if recovered is None else self.guess_from_field(recovered)

    def guess_from_field(self, recovered: FieldVector) -> Guess:
        """From a vector with its canaries or without."""
        return Guess(self.updates[self.victim], reals(recovered[: self.length]), M31.modulus / _LEVELS)
