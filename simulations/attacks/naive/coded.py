"""DELIBERATELY INSECURE. LightSecAgg as it is drawn (MLSys 2022, algorithm 1): whoever asks is given a sum of pieces.

Channels between parties are taken to be private and authentic, as in the paper: pieces go straight from one to
another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mpc.field import FieldVector
from mpc.prg import SEED_BYTES, Seed
from mpc.randomness import Randomness
from protocols.errors import SERVER, PartyId
from protocols.lightsecagg import coding
from protocols.lightsecagg.numbers import Numbers
from protocols.machine import Envelope
from protocols.session import VectorSpec
from protocols.wire import Codec, PartySet
from simulations.attacks.naive.machine import Stage, Textbook
from simulations.attacks.scripted import Script, said

_NOT_CHECKED = Seed(bytes(SEED_BYTES))


@dataclass(frozen=True, slots=True)
class Piece:
    """party -> party: what it holds of our mask."""

    round: ClassVar[Stage] = Stage.SHARES
    piece: bytes


@dataclass(frozen=True, slots=True)
class Collect:
    round: ClassVar[Stage] = Stage.MASKED


@dataclass(frozen=True, slots=True)
class Masked:
    round: ClassVar[Stage] = Stage.MASKED
    masked: bytes


@dataclass(frozen=True, slots=True)
class SumRequest:
    round: ClassVar[Stage] = Stage.UNMASK
    survivors: PartySet


@dataclass(frozen=True, slots=True)
class Summed:
    round: ClassVar[Stage] = Stage.UNMASK
    piece: bytes


CODEC = Codec(Piece | Collect | Masked | SumRequest | Summed)


class Client(Textbook):
    """It gives its pieces away at once."""

    def __init__(
        self, me: PartyId, vector: FieldVector, parties: PartySet, spec: VectorSpec, numbers: Numbers, rand: Randomness
    ) -> None:
        self._me, self._parties, self._spec, self._numbers = me, sorted(parties), spec, numbers
        self._vector = vector
        self._mask_seed, self._noise_seed = Seed(rand.bytes(SEED_BYTES)), Seed(rand.bytes(SEED_BYTES))
        self._pieces: dict[PartyId, bytes] = {}

    def start(self) -> list[Envelope]:
        rows = coding.cut(self._mask_seed, self._noise_seed, self._numbers, self._spec)
        pieces = {peer: self._spec.field.pack(row) for peer, row in zip(self._parties, rows, strict=True)}
        self._pieces[self._me] = pieces.pop(self._me)
        return [Envelope((peer,), Piece(piece)) for peer, piece in pieces.items()]

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        match message:
            case Piece():
                self._pieces[sender] = message.piece
                return []
            case Collect():
                vector = self._spec.field.zeros(self._spec.masked_length)
                vector[: self._spec.length] = self._vector
                coding.add_mask(vector, self._mask_seed, self._spec)
                return [Envelope((SERVER,), Masked(self._spec.field.pack(vector)))]
            case SumRequest():
                pieces = (self._pieces[owner] for owner in sorted(message.survivors))
                return [Envelope((SERVER,), Summed(coding.add_pieces(pieces, self._numbers, self._spec)))]
            case _:
                return []


@dataclass
class Coordinator:
    parties: tuple[PartyId, ...]
    spec: VectorSpec
    numbers: Numbers
    masked: dict[PartyId, FieldVector] = field(default_factory=dict)

    def honest(self) -> Script[FieldVector]:
        yield from self.collect()
        survivors = frozenset(self.masked)
        masks = yield from self.masks_of(survivors)
        total = self.spec.field.zeros(self.spec.masked_length)
        for vector in self.masked.values():
            total = self.spec.field.add(total, vector)
        return self.spec.field.sub(total, masks)[: self.spec.length]

    def collect(self) -> Script[None]:
        heard = yield [Envelope(self.parties, Collect())]
        for client, message in said(heard, Masked).items():
            self.masked[client] = self.spec.field.unpack(message.masked, self.spec.masked_length)

    def masks_of(self, survivors: PartySet) -> Script[FieldVector]:
        """The sum of their masks."""
        heard = yield [Envelope(self.parties, SumRequest(survivors))]
        return self.decoded(said(heard, Summed))

    def decoded(self, answers: Mapping[PartyId, Summed]) -> FieldVector:
        length = self.numbers.piece_length(self.spec)
        rows = {
            self.numbers.share_points[place]: self.spec.field.unpack(answers[party].piece, length)
            for place, party in enumerate(self.parties)
            if party in answers
        }
        return coding.decode(rows, self.numbers, self.spec, _NOT_CHECKED).masks
