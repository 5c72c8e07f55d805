"""What a real client gives away, for every view that a lying server can show it.

A client's answers depend on its own view alone, so each view is played once, on the real machine, and written down as
symbols: `search.py` combines the views of all clients. Sets of parties are bit masks throughout.

A secret is told from another by its bytes. So what is written down is what the machine binds its secrets to: the leaf
of a pair is one symbol under one U2 only because both sides derived the same bytes there and other bytes elsewhere.
"""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpc.field import FieldVector
from mpc.prg import expand
from protocols.errors import PartyId, PeerMisbehaved
from protocols.masking import PAIRWISE_MASK, SELF_MASK
from protocols.messages import DroppedReveal, FallbackShares, MaskedInput, Reveal, UnmaskShares
from protocols.secagg import Client, bindings
from protocols.secagg.states import AwaitingConfirmations, AwaitingSurvivors
from simulations.attacks.lying import LyingServer, answer, bits, parties

Symbol = tuple[Any, ...]
"""("b", owner, holder), ("s", owner, holder): a share. ("leaf", {pair}, U2): the seed between two parties."""


NOT_CONFIRMED = 0  # no client is a member of the empty set


@dataclass(frozen=True)
class Said:
    """What a client revealed, and the client that it is then."""

    client: Client
    symbols: frozenset[Symbol]


@dataclass(frozen=True)
class View:
    """One client was shown these sets, masked its input for U2 and confirmed U3. All masks are bits of parties.

    u3 is NOT_CONFIRMED where the client takes no U3 at all after this U2: then its masked input is all it gives.

    accepts: for each set of parties that signed exactly these sets, whether the client reveals. self_shares, leaves,
    mask_shares: the peers of whom it then gives its self share, the common leaf, and, asked once more, its mask share.
    """

    u2: int
    u3: int
    accepts: tuple[bool, ...]
    self_shares: int
    leaves: int
    mask_shares: int


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
        """Every pair of sets that this client takes, out of all pairs. A U2 alone would tell less than it with a U3."""
        return [view for u2 in self.sets for view in self._views_with(me, u2)]

    def _views_with(self, me: PartyId, u2: int) -> Iterator[View]:
        try:
            client, said = self.server.masked(me, parties(u2))
        except PeerMisbehaved:
            return
        self._keep_masked(me, client, u2, said)
        confirmed = list(self._confirmed(me, client, u2))
        yield from confirmed or [View(u2, NOT_CONFIRMED, (False,) * len(self.sets), 0, 0, 0)]

    def _confirmed(self, me: PartyId, client: Client, u2: int) -> Iterator[View]:
        for u3 in self.sets:
            try:
                fixed = _moved(client, self.server.survivors(parties(u2), parties(u3)))
            except PeerMisbehaved:
                continue
            if isinstance(fixed._state, AwaitingConfirmations):
                yield self._view(me, fixed, u2, u3)

    def _view(self, me: PartyId, fixed: Client, u2: int, u3: int) -> View:
        quorums = self._quorums(fixed, u2, self.sets, signed=u3)
        if worthless := self._quorums(fixed, u2, [0, u3], signed=self.everybody & ~u3):
            quorums = {0: next(iter(worthless.values()))}  # signatures of other sets will do: no need for any of these
        symbols = {said.symbols for said in quorums.values()}
        assert len(symbols) <= 1, "what is revealed depends on who confirmed"
        told = next(iter(symbols), frozenset[Symbol]())
        again = self._most_of_fallback(next(iter(quorums.values())).client) if quorums else frozenset[Symbol]()
        return View(
            u2,
            u3,
            tuple(any(quorum & ~signers == 0 for quorum in quorums) for signers in self.sets),
            _owners("b", me, told),
            bits(peer for kind, pair, under in told if kind == "leaf" and under == u2 for peer in pair - {me}),
            _owners("s", me, again),
        )

    def _quorums(self, fixed: Client, u2: int, among: Iterable[int], *, signed: int) -> dict[int, Said]:
        """The sets of parties whose signatures over (U2, signed) move a client that was shown U2 to reveal."""
        found = {}
        for signers in among:
            request = self.server.request(parties(signers), parties(u2), parties(signed))
            try:
                found[signers] = self._say(fixed, request)
            except PeerMisbehaved:
                continue
        return found

    def _most_of_fallback(self, revealed: Client) -> frozenset[Symbol]:
        """What the largest fallback that the client accepts adds: every other one adds a part of it."""
        said = []
        for dropped in self.sets:
            try:
                said.append(self._say(revealed, self.server.fallback(parties(dropped))).symbols)
            except PeerMisbehaved:
                continue
        most = max(said, key=len, default=frozenset[Symbol]())
        assert all(some <= most for some in said)
        return most

    def _say(self, client: Client, message: Any) -> Said:
        after = copy.copy(client)
        said: UnmaskShares | FallbackShares = answer(after, message)
        reveals = said.reveals if isinstance(said, UnmaskShares) else said.shares
        return Said(after, frozenset(self._symbol(client._me, reveal) for reveal in reveals.values()))

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


def _moved(client: Client, message: Any) -> Client:
    """A client to whom this was said. The one given stays: states are replaced, never changed, so a copy is free."""
    after = copy.copy(client)
    answer(after, message)
    return after


def _owners(kind: str, holder: PartyId, told: frozenset[Symbol]) -> int:
    return bits(symbol[1] for symbol in told if symbol[0] == kind and symbol[2] == holder)
