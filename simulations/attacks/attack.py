"""Carries out what the search found: from the bytes that real clients gave away to the sum of their inputs."""

from collections.abc import Mapping, Sequence, Set
from typing import Protocol

from mpc.field import FieldVector
from mpc.prg import Seed
from protocols.errors import PartyId
from simulations.attacks.holdings import Holdings
from simulations.attacks.lying import parties
from simulations.attacks.views import Playbook, Symbol, View

Symbols = Set[Symbol]


class Learnt(Protocol):
    """What a search found. members: whose inputs are in the sum. lives: what each honest client gave in all its views.

    under: of each member, the U2 that it masked for.
    """

    @property
    def members(self) -> int: ...
    @property
    def lives(self) -> Mapping[int, Sequence[View]]: ...
    @property
    def under(self) -> Mapping[int, int]: ...


class Attack:
    """What the coordinator and its colluders hold when every honest client was shown what the finding says."""

    def __init__(self, playbook: Playbook, finding: Learnt, threshold: int) -> None:
        self._server, self._playbook = playbook.server, playbook
        self._under, self._members = finding.under, finding.members
        colluders = {PartyId(party) for party in playbook.server.clients if party not in finding.lives}
        self._held = Holdings.of(playbook.server.entries, threshold)
        self._held.mask_secrets |= {party: self._server.mask_secret(party) for party in colluders}
        told = told_in(finding.lives, len(playbook.server.clients))
        for (holder, raw), (kind, owner, _) in playbook.shares.items():
            if (kind, owner, holder) in told or holder in colluders:
                of_kind = self._held.self_shares if kind == "b" else self._held.mask_shares
                of_kind.setdefault(owner, {})[holder] = raw
        for raw, (_, pair, u2) in playbook.leaves.items():
            if ("leaf", pair, u2) in told:
                self._held.leaves[pair, self._server.shared(parties(u2))] = Seed(raw)

    def honest_sum(self) -> FieldVector:
        """With its canaries. Raises LookupError where a mask stays."""
        spec = self._server.room.params.spec
        total = spec.field.zeros(spec.masked_length)
        for client in parties(self._members):
            total = spec.field.add(total, self._unmasked(client))
        return total

    def _unmasked(self, client: PartyId) -> FieldVector:
        """y without the masks that are not the business of two members of the sum."""
        u2 = self._under[client]
        peers = [peer for peer in parties(u2) - {client} if self._under.get(peer) != u2]
        vector, stay = self._held.unmasked(
            client, self._playbook.masked[client, u2], self._server.room.params.spec.field,
            peers=peers, shared=self._server.shared(parties(u2)),
        )  # fmt: skip
        if stay:
            raise LookupError(f"{stay[0]} stays")
        return vector


def told_in(lives: Mapping[int, Sequence[View]], everybody: int) -> Symbols:
    """All that honest clients reveal, each for what enough others confirmed; who is not among them confirms anything.

    everybody: how many parties there are.
    """
    colluders = sum(1 << party for party in range(everybody) if party not in lives)
    signers: dict[tuple[int, int], int] = {}
    for client, views in lives.items():
        for view in views:
            signers[view.u2, view.u3] = signers.get((view.u2, view.u3), colluders) | 1 << client
    told: set[Symbol] = set()
    for client, views in lives.items():
        for view in views:
            told |= _told(client, view, revealed=view.accepts[signers[view.u2, view.u3]])
    return told


def _told(client: int, view: View, *, revealed: bool) -> set[Symbol]:
    freely: set[Symbol] = {("s", owner, client) for owner in parties(view.freely)}
    if not revealed:
        return freely
    shares: set[Symbol] = {("b", owner, client) for owner in parties(view.self_shares)}
    shares |= {("s", owner, client) for owner in parties(view.mask_shares)}
    return freely | shares | {("leaf", frozenset({client, peer}), view.u2) for peer in parties(view.leaves)}
