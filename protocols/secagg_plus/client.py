"""A client of secagg+: that of secagg, with holders of its own choice. [PROTOCOLS 3B, K; Bell et al., CCS 2020]

What differs: the roster comes as a root; the client draws who holds its shares and counts their confirmations; it signs
its masked input, and reveals shares of mask secrets, never leaf seeds (`docs/decisions/0012`).
"""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from mpc import merkle
from mpc.keys import BadSignature
from mpc.prg import Seed
from protocols.errors import SERVER, DropReason, PartyId, PeerMisbehaved
from protocols.messages import AdvertiseKeys, UnmaskRequest
from protocols.secagg import client
from protocols.secagg.client import Step, servers_signature
from protocols.secagg.dealing import points_of
from protocols.secagg.neighbours import Neighbourhood
from protocols.secagg.states import AwaitingConfirmations, AwaitingRoster, AwaitingSurvivors, State
from protocols.secagg_plus import bindings, snapshots
from protocols.secagg_plus.degrees import require_graph
from protocols.secagg_plus.drawing import draw_holders
from protocols.secagg_plus.messages import ChooseHolders, MaskedInput, Message, Neighbours, Roster, Round, Survivors
from protocols.secagg_plus.states import AwaitingNeighbours
from protocols.session import SessionParams, Variant
from protocols.wire import PartySet

MOST_OWNERS = 3
"""Times the degree: so many parties and no more hold shares with one client, as far as it goes along."""


class Client(client.Client):
    """One contributor in one session, built and driven as that of secagg."""

    _format = snapshots.CLIENT

    @property
    def round(self) -> Round:
        return Round(self._state.round.value)

    def _take(self, state: State, message: Any) -> Step:
        if not isinstance(message, Message):
            raise PeerMisbehaved(SERVER, DropReason.UNEXPECTED, f"{type(message).__name__} is not of this protocol")
        match state, message:
            case AwaitingNeighbours(), Neighbours():
                return self._share_among(state, message)
            case AwaitingRoster(), Roster() if not isinstance(state, AwaitingNeighbours):
                return self._choose_holders(state, message)
        return super()._take(state, message)

    # Round 0b

    def _choose_holders(self, state: AwaitingRoster, roster: Roster) -> Step:
        params, u1 = state.params, roster.u1
        self._terms.require_members(u1)
        if self._me not in u1:
            raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "a roster without us")
        self._terms.require_floor(len(u1), params)
        graph = require_graph(params, len(u1), self._terms)
        session = bindings.session_digest(params, u1, roster.root)
        holders: tuple[PartyId, ...] = ()
        if params.variant is Variant.ACTIVE:
            with servers_signature():
                bindings.verify_roster(self._server_key, session, roster)
            holders = draw_holders(state.deal_secret, session, u1 - {self._me}, graph.degree)
        after = AwaitingNeighbours(
            params, state.own, state.channel_secret, state.mask_secret, state.deal_secret,
            u1, roster.root, session, graph.degree, graph.threshold, holders,
        )  # fmt: skip
        return after, ChooseHolders(holders) if holders else None

    # Round 1

    def _share_among(self, state: AwaitingNeighbours, message: Neighbours) -> Step:
        owners = self._checked_owners(state, message)
        holders = frozenset(state.holders) or owners
        entries = self._checked_entries(state, message, holders | owners)
        points = points_of(state.u1, holders)
        return self._share_with(
            state, state.session, state.threshold, entries, points, Neighbourhood(holders, owners, state.u1)
        )

    def _checked_owners(self, state: AwaitingNeighbours, message: Neighbours) -> PartySet:
        owners = frozenset(message.owners)
        if list(message.owners) != sorted(owners) or not owners <= state.u1 - {self._me}:
            raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "owners from outside U1, or not in order")
        if len(owners) > MOST_OWNERS * state.degree:
            raise PeerMisbehaved(
                SERVER, DropReason.WRONG_SET, f"{len(owners)} owners, {state.degree} is what chance gives"
            )
        if not state.holders and len(owners) < state.threshold:
            raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, f"{len(owners)} holders for a threshold above it")
        return owners

    def _checked_entries(
        self, state: AwaitingNeighbours, message: Neighbours, peers: PartySet
    ) -> dict[PartyId, AdvertiseKeys]:
        """The keys of our peers and our own, each in the roster that D stands for."""
        entries = {opened.entry.client: opened.entry for opened in message.entries}
        ids = [opened.entry.client for opened in message.entries]
        if ids != sorted(peers | {self._me}) or entries[self._me] != state.own:
            raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "keys of others than our peers, or not our own entry")
        order = sorted(state.u1)
        for opened in message.entries:
            leaf, place = bindings.entry_leaf(opened.entry), bisect_left(order, opened.entry.client)
            try:
                root = merkle.root_from(leaf, place, len(order), opened.path)
            except merkle.BadPath as exc:
                raise _not_in_roster(opened.entry.client) from exc
            if root != state.root:
                raise _not_in_roster(opened.entry.client)
        self._check_entries(state.params, entries.values())
        return entries

    # Round 2

    def _leaves_to_keep(self, leaf_seeds: Mapping[PartyId, Seed]) -> Mapping[PartyId, Seed]:
        """None is ever revealed."""
        return {}

    def _masked_input(self, params: SessionParams, shared: bytes, masked: bytes) -> MaskedInput:
        signature = b""
        if params.variant is Variant.ACTIVE:
            signature = bindings.sign_input(self._identity, shared, masked)
        return MaskedInput(signature, masked)

    # Rounds 3 and 4

    def _fix_survivors(self, state: AwaitingSurvivors, message: Survivors) -> Step:  # type: ignore[override]
        if state.params.variant is Variant.ACTIVE and self._me in message.u3:
            self._check_inputs(state, message)
        return super()._fix_survivors(state, message)

    def _check_inputs(self, state: AwaitingSurvivors, message: Survivors) -> None:
        """Each peer in U3 masked under our U2: then what its holders open belongs to the sum that we are in."""
        peers = state.neighbours.peers_in(message.u3 & state.u2) - {self._me}
        if message.inputs.keys() != peers:
            raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "signed inputs of others than our peers in U3")
        for peer, signed in message.inputs.items():
            try:
                bindings.verify_input(self._terms.members[peer], state.shared, signed)
            except BadSignature as exc:
                raise PeerMisbehaved(
                    SERVER, DropReason.SPLIT_VIEW, f"party {peer} did not mask its input under our U2"
                ) from exc

    def _reveal(self, state: AwaitingConfirmations, message: UnmaskRequest) -> Step:
        """For each owner in U2 one share, of one of its two secrets, once t of our holders confirmed our U3."""
        self._check_quorum(state, message)
        return self._reveal_shares(state)


def _not_in_roster(party: PartyId) -> PeerMisbehaved:
    return PeerMisbehaved(SERVER, DropReason.BAD_KEY, f"the keys of party {party} are not in this roster")
