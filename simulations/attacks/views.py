"""What a real client gives away, for every view that a lying server can show it.

A client's answers depend on its own view alone, so each view is played once, on the real machine, and written down as
symbols: `search.py` combines the views of all clients. Sets of parties are bit masks throughout.

A secret is told from another by its bytes. So what is written down is what the machine binds its secrets to: the leaf
of a pair is one symbol under one U2 only because both sides derived the same bytes there and other bytes elsewhere.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mpc.field import FieldVector
from mpc.prg import expand
from protocols.errors import PartyId, PeerMisbehaved
from protocols.masking import PAIRWISE_MASK, SELF_MASK
from protocols.messages import DroppedReveal, MaskedInput, Reveal
from protocols.secagg import Client, bindings
from protocols.secagg.states import AwaitingConfirmations, AwaitingRoster, AwaitingSurvivors
from simulations.attacks.lying import LyingServer, answer, bits, parties

Symbol = tuple[Any, ...]
"""("b", owner, holder), ("s", owner, holder): a share. ("leaf", {pair}, U2): the seed between two parties."""


NOT_MASKED = NOT_CONFIRMED = 0  # no client is a member of the empty set


@dataclass(frozen=True)
class View:
    """One client was shown these sets, masked its input for U2 and confirmed U3. All masks are bits of parties.

    u2 is NOT_MASKED where no input left. u3 is NOT_CONFIRMED where the client takes no U3 at all after this U2: then
    its masked input is all it gives.

    accepts: for each set of parties that signed exactly these sets, whether the client reveals. self_shares, leaves,
    mask_shares: the peers of whom it then gives its self share, the common leaf, and, asked once more, its mask share.
    freely: the peers of whom it gives its mask share before it has revealed, whoever confirmed what.
    """

    u2: int
    u3: int
    accepts: tuple[bool, ...]
    self_shares: int = 0
    leaves: int = 0
    mask_shares: int = 0
    freely: int = 0

    @property
    def given(self) -> int:
        """Everything in one number, so that a part of it is a part of its bits."""
        whole = (self.self_shares, self.leaves, self.mask_shares, self.freely, *self.accepts)
        return sum(int(bits_) << 8 * place for place, bits_ in enumerate(whole))

    def is_part_of(self, other: "View") -> bool:
        """Whether whoever is given the other view is given all of this one."""
        same = self.u2 in (NOT_MASKED, other.u2) and self.u3 in (NOT_CONFIRMED, other.u3)
        return same and self.given & ~other.given == 0


@dataclass(frozen=True)
class Point:
    """A client after a part of its session, and all that it has given by then."""

    client: Any
    view: View


@dataclass
class Playbook:
    """The views of every client of one room, each played by a lying server."""

    server: LyingServer
    shares: dict[tuple[PartyId, bytes], Symbol] = field(default_factory=dict)  # (holder, bytes) -> what they are
    leaves: dict[bytes, Symbol] = field(default_factory=dict)
    masked: dict[tuple[PartyId, int], FieldVector] = field(default_factory=dict)  # (client, U2) -> y

    def __post_init__(self) -> None:
        for me in self.server.clients:
            state = self.server.masked(me, parties(self.everybody))[0]._state
            assert isinstance(state, AwaitingSurvivors)
            _name(self.shares, {("b", owner, me): (me, share) for owner, share in state.self_shares.items()})
            _name(self.shares, {("s", owner, me): (me, share) for owner, share in state.mask_shares.items()})

    @property
    def everybody(self) -> int:
        return bits(self.server.clients)

    @property
    def sets(self) -> range:
        """Every set of parties there is."""
        return range(self.everybody + 1)

    def views(self, me: PartyId) -> list[View]:
        """What this client can be brought to give, by whatever it is told; the largest views alone."""
        return self.views_from(self.beginning(self.server.clients[me]))

    def beginning(self, client: Any) -> Point:
        """A client that has given nothing yet."""
        return Point(client, View(NOT_MASKED, NOT_CONFIRMED, (False,) * len(self.sets)))

    def views_from(self, point: Point) -> list[View]:
        """What there is in the end, whichever way it goes on from here. A part of a view would tell less than it."""
        ends = dict.fromkeys(self._ends(point))
        return [view for view in ends if not any(view != other and view.is_part_of(other) for other in ends)]

    def _ends(self, point: Point) -> Iterator[View]:
        later = list(self.steps(point))
        if not later:
            yield point.view
        for after in later:
            yield from self._ends(after)

    def steps(self, point: Point) -> Iterator[Point]:
        """Where the client is after the next thing that it is told, for every such thing that it takes.

        It may be asked for its fallback at any point, for any set, and again after that.
        """
        match getattr(point.client, "_state", None):  # the client of an epoch stands in none until its round is begun
            case AwaitingRoster():
                yield Point(_told(point.client, self.server.listed)[0], point.view)
            case AwaitingConfirmations():
                yield from self._revealed(point)
            case AwaitingSurvivors():
                yield from self._confirmed(point)
            case _ if point.view.u2 == NOT_MASKED:
                yield from self._masked(point)
        yield from self._asked(point)

    def _masked(self, point: Point) -> Iterator[Point]:
        for u2 in self.sets:
            try:
                client, said = self.server.shown(point.client, parties(u2))
            except PeerMisbehaved:
                continue
            self._keep_masked(client._me, client, u2, said)
            yield Point(client, replace(point.view, u2=u2))

    def _confirmed(self, point: Point) -> Iterator[Point]:
        for u3 in self.sets:
            try:
                fixed, _ = _told(point.client, self.server.survivors(parties(point.view.u2), parties(u3)))
            except PeerMisbehaved:
                continue
            if isinstance(fixed._state, AwaitingConfirmations):
                yield Point(fixed, replace(point.view, u3=u3))

    def _revealed(self, point: Point) -> Iterator[Point]:
        me, u2, u3 = point.client._me, point.view.u2, point.view.u3
        quorums = self._quorums(point.client, u2, self.sets, signed=u3)
        if worthless := self._quorums(point.client, u2, [0, u3], signed=self.everybody & ~u3):
            quorums = {0: next(iter(worthless.values()))}  # signatures of other sets will do: no need for any of these
        told = {symbols for _, symbols in quorums.values()}
        assert len(told) <= 1, "what is revealed depends on who confirmed"
        for symbols in told:
            view = replace(
                point.view,
                accepts=tuple(any(quorum & ~signers == 0 for quorum in quorums) for signers in self.sets),
                self_shares=_owners("b", me, symbols),
                leaves=bits(
                    peer for kind, pair, under in symbols if kind == "leaf" and under == u2 for peer in pair - {me}
                ),
            )
            yield Point(next(iter(quorums.values()))[0], view)

    def _quorums(
        self, fixed: Client, u2: int, among: Iterable[int], *, signed: int
    ) -> dict[int, tuple[Client, frozenset[Symbol]]]:
        """The sets of parties whose signatures over (U2, signed) move a client that was shown U2 to reveal.

        With each: the client that it is then, and what it revealed.
        """
        found = {}
        for signers in among:
            request = self.server.request(parties(signers), parties(u2), parties(signed))
            try:
                after, said = _told(fixed, request)
            except PeerMisbehaved:
                continue
            found[signers] = after, self._symbols(fixed._me, said.reveals)
        return found

    def _asked(self, point: Point) -> Iterator[Point]:
        """Asked for its fallback for every set there is. Where nothing new comes of it nothing has changed."""
        for dropped in self.sets:
            try:
                after, said = _told(point.client, self.server.fallback(parties(dropped)))
            except PeerMisbehaved:
                continue
            shares = _owners("s", after._me, self._symbols(after._me, said.shares))
            view = _with_mask_shares(point.view, shares)
            if view != point.view:
                yield Point(after, view)

    def _symbols(self, holder: PartyId, reveals: Mapping[PartyId, Reveal]) -> frozenset[Symbol]:
        return frozenset(self._symbol(holder, reveal) for reveal in reveals.values())

    def _symbol(self, holder: PartyId, reveal: Reveal) -> Symbol:
        if isinstance(reveal, DroppedReveal):
            return self.leaves[reveal.leaf_seed]
        return self.shares[holder, reveal.share]

    def _keep_masked(self, me: PartyId, client: Client, u2: int, said: MaskedInput) -> None:
        """y, once it is certain that the masks in it are those of the symbols: our self mask and a leaf for a peer."""
        state = client._state
        assert isinstance(state, AwaitingSurvivors)
        _name(self.leaves, {("leaf", frozenset({me, peer}), u2): seed.raw for peer, seed in state.leaf_seeds.items()})
        spec = self.server.room.params.spec
        own = bindings.self_seed(self.server.shared(parties(u2)), me, self.server.self_secret(me))
        expected = expand(own, SELF_MASK, spec.field, 0, spec.masked_length)
        expected[: spec.length] = spec.field.add(expected[: spec.length], self.server.room.inputs[me])
        for peer, seed in state.leaf_seeds.items():
            mask = expand(seed, PAIRWISE_MASK, spec.field, 0, spec.masked_length)
            expected = spec.field.add(expected, mask) if me > peer else spec.field.sub(expected, mask)
        masked = spec.field.unpack(said.masked, spec.masked_length)
        assert np.array_equal(masked, expected)
        assert state.leaf_seeds.keys() == parties(u2) - {me}
        self.masked[me, u2] = masked


def _name(names: dict[Any, Symbol], secrets: dict[Symbol, Any]) -> None:
    for symbol, secret in secrets.items():
        assert names.setdefault(secret, symbol) == symbol, "two secrets of equal bytes"


def _told(client: Any, message: Any) -> tuple[Any, Any]:
    """A client to whom this was said, and its answer. The one given stays: states are replaced, never changed, so a
    copy is free."""
    after = copy.copy(client)
    return after, answer(after, message)


def _with_mask_shares(view: View, shares: int) -> View:
    if any(view.accepts):
        return replace(view, mask_shares=view.mask_shares | shares)
    return replace(view, freely=view.freely | shares)


def _owners(kind: str, holder: PartyId, told: frozenset[Symbol]) -> int:
    return bits(symbol[1] for symbol in told if symbol[0] == kind and symbol[2] == holder)
