"""The server of secagg+: that of secagg, which routes along a graph that it did not draw. [PROTOCOLS 3B, K]"""

from collections.abc import Callable, Mapping, Set
from enum import StrEnum
from functools import cached_property
from typing import Any

from mpc.merkle import MerkleTree
from protocols import messages
from protocols.errors import AbortReason, DropReason, PartyId, PeerMisbehaved
from protocols.machine import Envelope
from protocols.messages import Abort, UnmaskRequest
from protocols.secagg.collected import Loss
from protocols.secagg.neighbours import SparseGraph
from protocols.secagg.server import Aggregator
from protocols.secagg_plus import bindings, snapshots
from protocols.secagg_plus.degrees import graph_for
from protocols.secagg_plus.drawing import ring
from protocols.secagg_plus.messages import (
    ChooseHolders,
    MaskedInput,
    Neighbours,
    Opened,
    Roster,
    Round,
    Survivors,
)
from protocols.wire import PartySet


class Server(Aggregator[Round]):
    """The server of one session over a sparse graph, built and driven as that of secagg."""

    rounds = Round
    _collects = snapshots.SparseState
    _load = staticmethod(snapshots.load_server)
    _dump = staticmethod(snapshots.dump_server)
    _state: snapshots.SparseState

    @property
    def _order(self) -> list[StrEnum]:
        return [one for one in Round if self._active or one not in (Round.CHOOSE_HOLDERS, Round.CONFIRM)]

    @property
    def _asked(self) -> PartySet:
        return self._state.u1 if self._state.round == Round.CHOOSE_HOLDERS else super()._asked

    @property
    def _answered(self) -> Set[PartyId]:
        return self._state.drawn.keys() if self._state.round == Round.CHOOSE_HOLDERS else super()._answered

    @cached_property
    def _graph(self) -> SparseGraph:  # read from the end of choose-holders on
        return SparseGraph(self._state.drawn)

    @cached_property
    def _tree(self) -> MerkleTree:  # read once U1 is fixed
        return MerkleTree([bindings.entry_leaf(self._state.keys[client]) for client in sorted(self._state.u1)])

    @property
    def _foundation(self) -> bytes:
        return self._tree.root

    # What is enough

    @property
    def _threshold(self) -> int:
        return graph_for(self._params, len(self._state.u1)).threshold

    @property
    def _enough(self) -> int:
        if self._state.round in (Round.CONFIRM, Round.UNMASK):
            return self._threshold
        return self._params.floor

    @property
    def _carried(self) -> bool:
        """Whether every client whose masks lie in the sum keeps t holders among those who answered."""
        answered = frozenset(self._answered)
        match self._state.round:
            case Round.ADVERTISE:
                planned = graph_for(self._params, len(answered))
                return planned.threshold <= planned.degree
            case Round.CHOOSE_HOLDERS | Round.SHARE:
                return len(self._held(answered)) >= self._params.floor
            case _:
                t, graph = self._threshold, self._graph
                return all(len(graph.holders(client) & answered) >= t for client in self._state.u2)

    def _held(self, clients: PartySet) -> PartySet:
        """The largest part of these in which each has t holders within the part."""
        t, drawn = self._threshold, self._state.drawn
        while lonely := {client for client in clients if len(drawn[client] & clients) < t}:
            clients -= lonely
        return clients

    # What clients send, checked

    def _take(self, sender: PartyId, message: Any) -> None:
        match self._state.round, message:
            case Round.CHOOSE_HOLDERS, ChooseHolders():
                self._take_choice(sender, message)
            case Round.MASKED_INPUT, MaskedInput():
                self._take_signed(sender, message)
            case _, messages.MaskedInput():
                raise PeerMisbehaved(sender, DropReason.UNEXPECTED, "a masked input that is not of this protocol")
            case _:
                super()._take(sender, message)

    def _take_choice(self, sender: PartyId, message: ChooseHolders) -> None:
        holders, degree = frozenset(message.holders), graph_for(self._params, len(self._state.u1)).degree
        if (
            list(message.holders) != sorted(holders)
            or len(holders) != degree
            or not holders <= self._state.u1 - {sender}
        ):
            raise PeerMisbehaved(sender, DropReason.WRONG_SET, f"not {degree} other parties of U1, in order")
        self._state.drawn[sender] = holders

    def _take_signed(self, sender: PartyId, message: MaskedInput) -> None:
        signed = bindings.signed_input(message.masked, message.signature)
        if self._active:
            self._check(sender, lambda key: bindings.verify_input(key, self._state.shared, signed))
        self._take_masked(sender, messages.MaskedInput(message.masked))
        if self._active:
            self._state.inputs[sender] = signed

    @property
    def _leaves_are_revealed(self) -> bool:
        return False

    # Closing a round

    @property
    def _closings(self) -> Mapping[StrEnum, Callable[[], list[Envelope]]]:
        return {**super()._closings, Round.CHOOSE_HOLDERS: self._close_choices}

    def _close_advertise(self) -> list[Envelope]:
        state = self._state
        state.u1 = frozenset(state.keys)
        root = self._tree.root
        state.session = bindings.session_digest(self._params, state.u1, root)
        signature = bindings.sign_roster(self._identity, state.session) if self._active else b""
        state.round = self._round_after
        shown = self._tell(state.u1, Roster(state.u1, root, signature))
        if self._active:
            return shown
        state.drawn = ring(state.session, state.u1, graph_for(self._params, len(state.u1)).degree)
        return shown + self._show_neighbours(state.u1)

    def _close_choices(self) -> list[Envelope]:
        self._state.round = self._round_after
        return self._show_neighbours(frozenset(self._state.drawn))

    def _show_neighbours(self, clients: PartySet) -> list[Envelope]:
        opened = {
            client: Opened(self._state.keys[client], self._tree.path(place))
            for place, client in enumerate(sorted(self._state.u1))
        }
        return self._tell_each(
            clients,
            lambda client: Neighbours(
                tuple(sorted(self._graph.owners(client))),
                tuple(opened[peer] for peer in sorted(self._graph.peers(client) | {client})),
            ),
        )

    def _close_share(self) -> list[Envelope]:
        """Who has lost too many holders is left out while that costs no more than its own input."""
        state = self._state
        lonely = frozenset(state.shares) - self._held(frozenset(state.shares))
        for client in lonely:
            del state.shares[client]
        told = self._tell(lonely, Abort(AbortReason.NOT_INCLUDED, None))
        state.lost |= dict.fromkeys(lonely - state.lost.keys(), Loss(Round.MASKED_INPUT, DropReason.NO_QUORUM))
        return told + super()._close_share()

    def _show_survivors(self, u3: PartySet, signature: bytes) -> list[Envelope]:
        if not self._active:
            return self._tell(u3, Survivors(u3, signature, {}))
        inputs = self._state.inputs
        return self._tell_each(
            u3,
            lambda client: Survivors(
                u3, signature, {peer: inputs[peer] for peer in sorted(self._graph.peers(client) & u3 - {client})}
            ),
        )

    def _show_confirmations(self, u4: PartySet) -> list[Envelope]:
        confirmations = self._state.confirmations
        return self._tell_each(
            u4,
            lambda client: UnmaskRequest({one: confirmations[one] for one in sorted(self._graph.holders(client) & u4)}),
        )
