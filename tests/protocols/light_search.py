"""What a lying server of lightsecagg and its colluders can learn: every choice of sets for every honest client.

Each honest client is played on the real machine, once for each pair (U2, U3), and what it then says is written down
(`View`). All views are combined in every way. Sets are bit masks.

What is known is linear. The unknowns are the values f_i(beta_k) of each honest i, the data at k < U - T. Known are

    f_i(alpha_j)                         of each honest i, for every colluder j
    sum over i in U3 of f_i(alpha_j)     for each honest j that answered, over the U3 that it was shown

and y_i = x_i + z_i. Something of the inputs of a set S of honest clients is learnt where the space of what is known and
the one spanned by their data meet. The smallest such S is what `smallest_sum` looks for: no combination is left out.
"""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from typing import Any

import numpy as np
from light_room import LightRoom, parties

from mpc import lagrange
from mpc.field import M31, FieldVector
from mpc.prg import Seed
from protocols.errors import SERVER, PartyId, PeerMisbehaved
from protocols.lightsecagg import Client, bindings, coding, numbers
from protocols.lightsecagg.messages import (
    AggregateRequest,
    Dealers,
    Invitation,
    MaskedInput,
    Piece,
    Relayed,
    Roster,
    Survivors,
)
from protocols.lightsecagg.states import AwaitingConfirmations, AwaitingSurvivors
from protocols.wire import PartySet

P = M31.modulus


def members(mask: int) -> PartySet:
    return parties(*(index for index in range(mask.bit_length()) if mask >> index & 1))


@dataclass(frozen=True)
class View:
    """An honest client that took U2 and confirmed U3. accepts: for each set of signers, whether it answers then."""

    u2: int
    u3: int
    accepts: tuple[bool, ...]


Answers = tuple[int, ...]  # for each honest client the set that its answer is over, 0 where it gives none


@dataclass(frozen=True)
class Finding:
    honest: frozenset[int]
    answers: Answers

    @property
    def size(self) -> int:
        return len(self.honest)


class LightPlay:
    """A session of n parties that have all dealt, the last `colluders` of which side with the server."""

    def __init__(self, room: LightRoom, colluders: int) -> None:
        self.room, self.n = room, room.clients
        self.honest = range(self.n - colluders)
        self.colluding = range(self.n - colluders, self.n)
        self.agreed = numbers(room.params, self.n)
        self.clients: dict[PartyId, Client] = {me: room.client(me) for me in room.parties}
        self.masked: dict[int, FieldVector] = {}
        self._deal()

    def _deal(self) -> None:
        entries = tuple(self._say(me, Invitation(self.room.params))[0] for me in self.clients)
        self.session = bindings.session_digest(self.room.params, entries)
        roster = Roster(entries, self.sign(SERVER, bindings.roster(self.session)))
        for me in self.room.parties:
            for said in self._say(me, roster):
                if isinstance(said, Piece):
                    self._pending.append((said.recipient, Relayed(me, said.sealed)))
        for recipient, relayed in self._pending:
            self._say(recipient, relayed)

    @cached_property
    def _pending(self) -> list[tuple[PartyId, Relayed]]:
        return []

    def _say(self, me: PartyId, message: Any) -> list[Any]:
        return [envelope.message for envelope in self.clients[me].receive(SERVER, message)]

    def sign(self, signer: int, statement: bindings.Statement) -> bytes:
        return self.room.identities[PartyId(signer)].sign(*statement)

    def shared(self, u2: int) -> bytes:
        return bindings.shared_digest(self.session, members(u2))

    # Views

    def views(self, me: int) -> list[View]:
        """Every pair of sets that this client takes, out of all pairs."""
        every = range(1 << self.n)
        return [view for u2 in every for u3 in every if (view := self._view(PartyId(me), u2, u3))]

    def _view(self, me: PartyId, u2: int, u3: int) -> View | None:
        client = copy.copy(self.clients[me])
        try:
            (masked,) = told(client, Dealers(members(u2), self.sign(SERVER, bindings.dealers(self.shared(u2)))))
            if not isinstance(masked, MaskedInput):
                return None
            pieces = client._state.pieces if isinstance(client._state, AwaitingSurvivors) else {}
            statement = bindings.survivors(self.shared(u2), members(u3))
            told(client, Survivors(members(u3), self.sign(SERVER, statement)))
        except PeerMisbehaved:
            return None
        if not isinstance(client._state, AwaitingConfirmations):
            return None
        spec = self.room.params.spec
        self.masked[me] = spec.field.unpack(masked.masked, spec.masked_length)
        expected = coding.add_pieces((pieces[party] for party in members(u3)), self.agreed, spec)
        return View(u2, u3, tuple(self._accepts(client, u2, u3, expected)))

    def _accepts(self, client: Client, u2: int, u3: int, expected: bytes) -> Iterator[bool]:
        """For each set of signers. Where signatures over other sets will do, none of these is needed."""
        others = bindings.confirmation(self.shared(u2), members(~u3 & (1 << self.n) - 1))
        worthless = self._answers(client, u3, others, expected)
        statement = bindings.confirmation(self.shared(u2), members(u3))
        for signers in range(1 << self.n):
            yield worthless or self._answers(client, signers, statement, expected)

    def _answers(self, client: Client, signers: int, statement: bindings.Statement, expected: bytes) -> bool:
        request = AggregateRequest({party: self.sign(party, statement) for party in sorted(members(signers))})
        try:
            (answer,) = told(copy.copy(client), request)
        except PeerMisbehaved:
            return False
        assert answer.piece == expected, "an answer over another set than was shown"
        return True

    # All of them together

    def every_answer(self) -> set[Answers]:
        """What the honest clients answer, for every combination of one view each."""
        views = {me: self.views(me) for me in self.honest}
        colluders = sum(1 << party for party in self.colluding)
        found = set()
        for chosen in product(*(views[me] for me in self.honest)):
            signers: dict[tuple[int, int], int] = {}
            for me, view in zip(self.honest, chosen, strict=True):
                signers[view.u2, view.u3] = signers.get((view.u2, view.u3), colluders) | 1 << me
            found.add(tuple(view.u3 if view.accepts[signers[view.u2, view.u3]] else 0 for view in chosen))
        return found

    def smallest_sum(self) -> Finding | None:
        """Over every combination of views. None where nothing at all is learnt."""
        best: Finding | None = None
        for answers in sorted(self.every_answer()):
            most = len(self.honest) if best is None else best.size - 1
            best = self._smallest_in(answers, most) or best
            if best is not None and best.size == 1:
                break  # none is smaller
        return best

    def _smallest_in(self, answers: Answers, most: int) -> Finding | None:
        known = self._known(answers)
        for size in range(1, most + 1):
            for chosen in combinations(self.honest, size):
                data = [self._unit(i, k) for i in chosen for k in range(self.agreed.pieces)]
                if rank(known) + len(data) > rank([*known, *data]):
                    return Finding(frozenset(chosen), answers)
        return None

    def _known(self, answers: Answers) -> list[list[int]]:
        of_colluders = [self._at(self.agreed.share_points[j], 1 << i) for j in self.colluding for i in self.honest]
        said = [self._at(self.agreed.share_points[j], u3) for j, u3 in zip(self.honest, answers, strict=True) if u3]
        return of_colluders + said

    def _at(self, point: int, of: int) -> list[int]:
        """sum over the honest i in `of` of f_i at this share point, in the values at the mask points."""
        row = lagrange.weights(self.agreed.mask_points, [point], M31)[0].tolist()
        return [value if of >> i & 1 else 0 for i in self.honest for value in row]

    def _unit(self, i: int, k: int) -> list[int]:
        """f_i(beta_k)."""
        width = self.agreed.decode
        return [int(at == i * width + k) for at in range(len(self.honest) * width)]

    def carry_out(self, finding: Finding) -> bool:
        """Whether the inputs of a set that U holders answered for, colluders among them, come out of the real bytes."""
        spec = self.room.params.spec
        for u3 in set(finding.answers) - {0}:
            holders = [j for j, over in zip(self.honest, finding.answers, strict=True) if over == u3]
            holders += self.colluding
            if len(holders) < self.agreed.decode or members(u3) & parties(*self.honest) != finding.honest:
                continue
            rows = {self.agreed.share_points[j]: self._answer_of(j, u3) for j in holders}
            masks = coding.decode(rows, self.agreed, spec, Seed(bytes(32))).masks
            total = spec.field.zeros(spec.masked_length)
            for i in sorted(members(u3)):
                total = spec.field.add(total, self._y(i))
            found = spec.field.sub(total, masks)
            return np.array_equal(found[: spec.length], self.room.plain_sum(members(u3))) and not found[-1]
        return False

    def _y(self, party: int) -> FieldVector:
        if party not in self.masked:
            self.views(party)
        return self.masked[party]

    def _answer_of(self, holder: int, u3: int) -> FieldVector:
        """From the pieces that the holder opened, as it would add them."""
        client, spec = copy.copy(self.clients[PartyId(holder)]), self.room.params.spec
        everybody = (1 << self.n) - 1
        told(client, Dealers(members(everybody), self.sign(SERVER, bindings.dealers(self.shared(everybody)))))
        assert isinstance(client._state, AwaitingSurvivors)
        pieces = (client._state.pieces[party] for party in members(u3))
        return spec.field.unpack(coding.add_pieces(pieces, self.agreed, spec), self.agreed.piece_length(spec))


def told(client: Client, message: Any) -> list[Any]:
    return [envelope.message for envelope in client.receive(SERVER, message)]


def rank(rows: Iterable[list[int]]) -> int:
    """Modulo p, by elimination."""
    left, found = [row for row in rows if any(row)], 0
    while left:
        pivot = left.pop()
        at = next(place for place, value in enumerate(pivot) if value)
        inverse = pow(pivot[at], -1, P)
        reduced = []
        for row in left:
            factor = row[at] * inverse % P
            changed = [(a - factor * b) % P for a, b in zip(row, pivot, strict=True)]
            if any(changed):
                reduced.append(changed)
        left, found = reduced, found + 1
    return found
