"""A server of secagg+ that lies: what real clients take and give away, for every pair of sets that it can show them.

The graph is the test's own. Sets of parties are bit masks throughout, as in `views.py`.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import pytest
from plus_room import PlusRoom

from mpc.merkle import MerkleTree
from mpc.prg import Seed
from protocols.errors import SERVER, PartyId, PeerMisbehaved
from protocols.graph import GraphParameters
from protocols.messages import (
    DeliverShares,
    DroppedReveal,
    FallbackRequest,
    Invitation,
    MaskKeyReveal,
    SurvivorReveal,
    UnmaskRequest,
)
from protocols.secagg import bindings as shared_bindings
from protocols.secagg.states import AwaitingConfirmations, AwaitingSurvivors, Revealed
from protocols.secagg_plus import Client, bindings, client, degrees
from protocols.secagg_plus.messages import Neighbours, Opened, Roster, SignedInput, Survivors
from simulations.attacks.lying import answer, bits, parties

Told = frozenset[tuple[PartyId, type]]  # of whom, and which kind of secret
Holders = Mapping[int, frozenset[int]]


@dataclass(frozen=True)
class Shown:
    """One client was shown these sets; u3 is 0 where it takes none. All masks are bits of parties.

    masks: the peers whose pairwise mask is in its y. needs: whose signed input, under this U2, it insisted on.
    quorums: the smallest sets of signers for which it reveals. self_shares, leaves, mask_shares: of whom it then does.
    """

    u2: int
    masks: int
    u3: int = 0
    needs: int = 0
    quorums: tuple[int, ...] = ()
    self_shares: int = 0
    leaves: int = 0
    mask_shares: int = 0


def fix_graph(monkeypatch: pytest.MonkeyPatch, holders: Holders, threshold: int) -> None:
    """Every client draws these holders, at this threshold; whether they are safe is for the test to find out."""
    graph = GraphParameters(len(holders[0]), threshold)
    monkeypatch.setattr(degrees, "graph_for", lambda params, clients: graph)
    monkeypatch.setattr(client, "require_graph", lambda params, clients, terms: graph)

    def drawn(_secret: Seed, _session: bytes, others: frozenset[PartyId], _degree: int) -> tuple[PartyId, ...]:
        (me,) = holders.keys() - others
        return tuple(map(PartyId, sorted(holders[me])))

    monkeypatch.setattr(client, "draw_holders", drawn)


class Playbook:
    """The clients of a room, all in one U1, stand where their shares have left them; from here on the server lies."""

    def __init__(self, holders: Holders, colluding: int = 0) -> None:
        self.holders, self.n = holders, len(holders)
        self.room = PlusRoom(clients=self.n, colluding=colluding, length=1)
        self.clients = {me: self.room.client(me) for me in self.room.parties}
        entries = [answer(one, Invitation(self.room.params)) for one in self.clients.values()]
        tree = MerkleTree([bindings.entry_leaf(entry) for entry in entries])
        opened = [Opened(entry, tree.path(place)) for place, entry in enumerate(entries)]
        everybody = frozenset(self.room.parties)
        self.session = bindings.session_digest(self.room.params, everybody, tree.root)
        roster = Roster(everybody, tree.root, bindings.sign_roster(self._identity, self.session))
        self.bundles: dict[PartyId, Mapping[PartyId, bytes]] = {}
        for me, one in self.clients.items():
            answer(one, roster)
            peers = sorted(self.holders[me] | self.owners(me) | {me})
            shown = Neighbours(tuple(map(PartyId, sorted(self.owners(me)))), tuple(opened[peer] for peer in peers))
            self.bundles[me] = answer(one, shown).bundles

    @property
    def _identity(self) -> Any:
        return self.room.identities[SERVER]

    def owners(self, me: int) -> frozenset[int]:
        return frozenset(owner for owner, holders in self.holders.items() if me in holders)

    def shown(self, me: PartyId) -> Iterator[Shown]:
        """Every pair of sets that the client takes, out of all pairs; and each U2 that it takes without any U3."""
        for u2 in range(1 << self.n):
            after = copy.copy(self.clients[me])
            owners = {PartyId(one) for one in self.owners(me)} & parties(u2)
            bundles = {dealer: self.bundles[dealer][me] for dealer in owners}
            message = DeliverShares(parties(u2), bundles, shared_bindings.sign_u2(self._identity, self._shared(u2)))
            try:
                answer(after, message)
            except PeerMisbehaved:
                continue
            state = after._state
            assert isinstance(state, AwaitingSurvivors)
            masks = bits((self.holders[me] | self.owners(me)) & parties(u2) - {me})  # type: ignore[arg-type]
            yield Shown(u2, masks)
            yield from self._with_u3(me, after, u2, masks)

    def _shared(self, u2: int) -> bytes:
        return shared_bindings.shared_digest(self.session, parties(u2))

    def _signed(self, party: PartyId, u2: int) -> SignedInput:
        signature = bindings.sign_input(self.room.identities[party], self._shared(u2), b"y")
        return bindings.signed_input(b"y", signature)

    def _survivors(self, u2: int, u3: int, peers: int, elsewhere: int = 0) -> Survivors:
        """elsewhere: peers whose input was signed under another U2."""
        signature = shared_bindings.sign_survivors(self._identity, self._shared(u2), parties(u3))
        inputs = {peer: self._signed(peer, 0 if elsewhere >> peer & 1 else u2) for peer in parties(peers & u3)}
        return Survivors(parties(u3), signature, inputs)

    def _with_u3(self, me: PartyId, masked: Client, u2: int, masks: int) -> Iterator[Shown]:
        for u3 in (one for one in range(1, 1 << self.n) if one & ~u2 == 0):  # others are refused: test_plus_refusals
            fixed = _moved(masked, self._survivors(u2, u3, masks))
            if fixed is None or not isinstance(fixed._state, AwaitingConfirmations):
                continue
            needs = sum(
                1 << peer
                for peer in parties(masks & u3)
                if _moved(masked, self._survivors(u2, u3, masks, elsewhere=1 << peer)) is None
            )
            said = self._quorums(me, fixed, u2, u3)
            told = next(iter(said.values()), frozenset())
            smallest = tuple(one for one in said if not any(other & ~one == 0 for other in said if other != one))
            yield Shown(
                u2, masks, u3, needs, smallest,
                *(_of_kind(told, kind) for kind in (SurvivorReveal, DroppedReveal, MaskKeyReveal)),
            )  # fmt: skip

    def _quorums(self, me: PartyId, fixed: Client, u2: int, u3: int) -> dict[int, Told]:
        """Sets of signers of (U2, U3) -> what the client then reveals."""
        found: dict[int, Told] = {}
        for signers in _subsets(self.holders[me] & parties(u3)):  # as above
            signed = {
                PartyId(one): shared_bindings.sign_confirmation(
                    self.room.identities[PartyId(one)], self._shared(u2), parties(u3)
                )
                for one in signers
            }
            after = copy.copy(fixed)
            try:
                said = answer(after, UnmaskRequest(signed))
            except PeerMisbehaved:
                continue
            found[bits(map(PartyId, signers))] = _kinds(said.reveals) | _fallback(after)
        assert len(set(found.values())) <= 1, "what is revealed depends on who confirmed"
        return found


def _moved(one: Client, message: Any) -> Client | None:
    after = copy.copy(one)
    try:
        answer(after, message)
    except PeerMisbehaved:
        return None
    return after


def _of_kind(told: Told, kind: type) -> int:
    return bits(peer for peer, given in told if given is kind)


def _kinds(reveals: Mapping[PartyId, Any]) -> Told:
    return frozenset((peer, type(reveal)) for peer, reveal in reveals.items())


def _fallback(revealed: Client) -> Told:
    """What secagg's second question would bring: asked of a client only that a test lets reveal leaf seeds."""
    state = revealed._state
    if not isinstance(state, Revealed) or not state.mask_shares:
        return frozenset()
    _, said = revealed._reveal_mask_shares(state, FallbackRequest(frozenset(state.mask_shares)))
    return _kinds(said.shares)


def _subsets(members: frozenset[int]) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(combinations(sorted(members), size) for size in range(len(members) + 1))
