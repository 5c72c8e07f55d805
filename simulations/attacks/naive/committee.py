"""DELIBERATELY INSECURE. Packed sharing among a committee that answers any challenge of its coordinator.

A client's share at aggregator j is a row of blocks and, behind them, one element of a mask polynomial. The check that
shares lie on polynomials asks each aggregator for <rho, blocks> + mask. [Franklin and Yung, STOC 1992; the check as
in Ligero, CCS 2017] Channels between parties are private and authentic.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from mpc import shamir
from mpc.field import FieldVector
from mpc.packed import Packing
from mpc.randomness import Randomness
from protocols.errors import SERVER, PartyId
from protocols.machine import Envelope
from protocols.wire import Codec, PartySet
from simulations.attacks.naive.machine import Stage, Textbook
from simulations.attacks.scripted import Script, said


@dataclass(frozen=True, slots=True)
class Dealt:
    """client -> aggregator."""

    round: ClassVar[Stage] = Stage.SHARES
    share: bytes


@dataclass(frozen=True, slots=True)
class Challenge:
    """coordinator -> aggregator: rho, an element for each block."""

    round: ClassVar[Stage] = Stage.MASKED
    rho: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    round: ClassVar[Stage] = Stage.MASKED
    values: Mapping[PartyId, bytes]  # by client


@dataclass(frozen=True, slots=True)
class SumRequest:
    round: ClassVar[Stage] = Stage.UNMASK
    clients: PartySet


@dataclass(frozen=True, slots=True)
class Summed:
    round: ClassVar[Stage] = Stage.UNMASK
    share: bytes


CODEC = Codec(Dealt | Challenge | Answer | SumRequest | Summed)


class Member(Textbook):
    """Client and aggregator."""

    def __init__(
        self, me: PartyId, vector: FieldVector, parties: tuple[PartyId, ...], packing: Packing, rand: Randomness
    ) -> None:
        self._me, self._parties, self._packing = me, parties, packing
        blocks, field = packing.blocks(len(vector)), packing.field
        mask = field.uniform(packing.packed, rand).reshape(-1, 1)
        noise = field.uniform(packing.privacy * (blocks + 1), rand).reshape(packing.privacy, -1)
        self._rows = packing.split(np.concatenate([packing.pack(vector), mask], axis=1), noise)
        self._held = {me: self._rows[parties.index(me)]}

    def start(self) -> list[Envelope]:
        return [
            Envelope((peer,), Dealt(self._packing.field.pack(row)))
            for peer, row in zip(self._parties, self._rows, strict=True)
            if peer != self._me
        ]

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        field = self._packing.field
        length = self._rows.shape[1]
        match message:
            case Dealt():
                self._held[sender] = field.unpack(message.share, length)
                return []
            case Challenge():
                rho = np.append(field.unpack(message.rho, length - 1), field.dtype.type(1)).reshape(-1, 1)
                values = {client: field.pack(field.matmul(row[None, :], rho)[0]) for client, row in self._held.items()}
                return [Envelope((SERVER,), Answer(values))]
            case SumRequest():
                total = field.zeros(length)
                for client in sorted(message.clients):
                    total = field.add(total, self._held[client])
                return [Envelope((SERVER,), Summed(field.pack(total[:-1])))]
            case _:
                return []


@dataclass
class Coordinator:
    parties: tuple[PartyId, ...]
    packing: Packing
    length: int

    @property
    def blocks(self) -> int:
        return self.packing.blocks(self.length)

    def honest(self, rho: FieldVector) -> Script[FieldVector]:
        """The sum over all whose shares pass the check."""
        yield from self.wait()
        values = yield from self.challenge(rho)
        passed = frozenset(client for client, rows in values.items() if self._on_a_polynomial(rows))
        heard = yield [Envelope(self.parties, SumRequest(passed))]
        field = self.packing.field
        sums = {self._point(one): field.unpack(m.share, self.blocks) for one, m in said(heard, Summed).items()}
        return self.packing.reconstruct(sums, self.length)

    def wait(self) -> Script[None]:
        """Until all shares lie with those whom they are for."""
        yield []

    def challenge(self, rho: FieldVector) -> Script[dict[PartyId, dict[int, FieldVector]]]:
        """What the aggregators answer: by client, then by the aggregator's point."""
        field = self.packing.field
        heard = yield [Envelope(self.parties, Challenge(field.pack(rho)))]
        found: dict[PartyId, dict[int, FieldVector]] = {client: {} for client in self.parties}
        for aggregator, answer in said(heard, Answer).items():
            for client, packed in answer.values.items():
                found[client][self._point(aggregator)] = field.unpack(packed, 1)
        return found

    def _on_a_polynomial(self, rows: Mapping[int, FieldVector]) -> bool:
        decoded = shamir.decode(rows, threshold=self.packing.decode, field=self.packing.field)
        return not decoded.failed.any() and not decoded.wrong

    def _point(self, party: PartyId) -> int:
        return 1 + self.parties.index(party)
