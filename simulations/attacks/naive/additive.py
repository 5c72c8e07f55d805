"""DELIBERATELY INSECURE. Additive sharing between peers: one of them says over whom, and is believed.

Peer i gives each j a seed and broadcasts x_i minus all that the seeds stand for; column j of a set is the sum of what
j's seeds of the set stand for, and all columns are added to the broadcast parts. Channels are private and authentic.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mpc.randomness import Randomness
from protocols.errors import PartyId
from protocols.machine import Envelope
from protocols.wire import Codec, PartySet
from simulations.attacks.naive import arithmetic
from simulations.attacks.naive.arithmetic import SECRET_BYTES, Ring
from simulations.attacks.naive.machine import Stage, Textbook
from simulations.attacks.scripted import Script, said


@dataclass(frozen=True, slots=True)
class SeedFor:
    """peer -> peer."""

    round: ClassVar[Stage] = Stage.SHARES
    seed: bytes


@dataclass(frozen=True, slots=True)
class Explicit:
    """peer -> proposer, which shows it to all."""

    round: ClassVar[Stage] = Stage.MASKED
    vector: bytes


@dataclass(frozen=True, slots=True)
class SumRequest:
    """proposer -> peer."""

    round: ClassVar[Stage] = Stage.UNMASK
    members: PartySet


@dataclass(frozen=True, slots=True)
class Column:
    round: ClassVar[Stage] = Stage.UNMASK
    vector: bytes


CODEC = Codec(SeedFor | Explicit | SumRequest | Column)


class Peer(Textbook):
    def __init__(self, me: PartyId, vector: Ring, parties: tuple[PartyId, ...], rand: Randomness) -> None:
        self._me, self._vector, self._length = me, vector, len(vector)
        self._given = {peer: rand.bytes(SECRET_BYTES) for peer in parties}
        self._held = {me: self._given[me]}
        self._proposer = min(parties)

    def start(self) -> list[Envelope]:
        seeds = [Envelope((peer,), SeedFor(seed)) for peer, seed in self._given.items() if peer != self._me]
        explicit = self._vector - _sum_of(self._given.values(), self._length)
        return [*seeds, Envelope((self._proposer,), Explicit(arithmetic.pack(explicit)))]

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        match message:
            case SeedFor():
                self._held[sender] = message.seed
                return []
            case SumRequest():
                column = _sum_of((self._held[one] for one in sorted(message.members)), self._length)
                return [Envelope((sender,), Column(arithmetic.pack(column)))]
            case _:
                return []


def _sum_of(seeds: Iterable[bytes], length: int) -> Ring:
    return arithmetic.add_up(arithmetic.mask(seed, length) for seed in seeds)


@dataclass
class Proposer:
    """The first peer, by script: what it gives is zero, under seeds of zeros."""

    parties: tuple[PartyId, ...]  # itself among them
    length: int
    explicit: dict[PartyId, Ring] = field(default_factory=dict)
    held: dict[PartyId, bytes] = field(default_factory=dict)

    @property
    def others(self) -> tuple[PartyId, ...]:
        return self.parties[1:]

    def honest(self) -> Script[Ring]:
        """The sum over all others."""
        yield from self.share()
        columns = yield from self.ask(frozenset(self.others))
        return arithmetic.add_up([*self.explicit.values(), *columns.values()])

    def share(self) -> Script[None]:
        heard = yield [Envelope(self.others, SeedFor(bytes(SECRET_BYTES)))]
        self.held = {peer: one.seed for peer, one in said(heard, SeedFor).items()}
        self.explicit = {peer: arithmetic.words(one.vector) for peer, one in said(heard, Explicit).items()}

    def ask(self, members: PartySet) -> Script[dict[PartyId, Ring]]:
        """Everybody's column of this set, our own among them."""
        heard = yield [Envelope(self.others, SumRequest(members))]
        columns = {peer: arithmetic.words(one.vector) for peer, one in said(heard, Column).items()}
        return columns | {self.parties[0]: _sum_of((self.held[one] for one in sorted(members)), self.length)}
