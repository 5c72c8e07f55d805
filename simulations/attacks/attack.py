"""Carries out what the search found: from the bytes that real clients gave away to the sum of their inputs."""

from mpc.field import FieldVector
from mpc.prg import Seed
from protocols.errors import PartyId
from simulations.attacks.holdings import Holdings
from simulations.attacks.lying import parties
from simulations.attacks.search import Finding
from simulations.attacks.views import Playbook, Symbol, View


class Attack:
    """What the coordinator and its colluders hold when every honest client was shown what the finding says."""

    def __init__(self, playbook: Playbook, finding: Finding, threshold: int) -> None:
        self._server, self._playbook = playbook.server, playbook
        self._shown, self._members = finding.shown, finding.members
        self._colluders = {PartyId(party) for party in playbook.server.clients if party not in finding.shown}
        self._held = Holdings.of(playbook.server.entries, threshold)
        self._held.mask_secrets |= {party: self._server.mask_secret(party) for party in self._colluders}
        told = set().union(*(self._told(client, view) for client, view in finding.shown.items()))
        for (holder, raw), (kind, owner, _) in playbook.shares.items():
            if (kind, owner, holder) in told or holder in self._colluders:
                of_kind = self._held.self_shares if kind == "b" else self._held.mask_shares
                of_kind.setdefault(owner, {})[holder] = raw
        for raw, (_, pair, u2) in playbook.leaves.items():
            if ("leaf", pair, u2) in told:
                self._held.leaves[pair, self._server.shared(parties(u2))] = Seed(raw)

    def honest_sum(self) -> FieldVector:
        """With its canaries. Raises LookupError where a mask stays."""
        spec = self._server.room.params.spec
        total = spec.field.zeros(spec.masked_length)
        for client, view in self._shown.items():
            if self._members >> client & 1:
                total = spec.field.add(total, self._unmasked(PartyId(client), view))
        return total

    def _unmasked(self, client: PartyId, view: View) -> FieldVector:
        """y without the masks that are not the business of two members of the sum."""
        peers = [peer for peer in parties(view.u2) - {client} if not self._cancels(view, peer)]
        vector, stay = self._held.unmasked(
            client, self._playbook.masked[client, view.u2], self._server.room.params.spec.field,
            peers=peers, shared=self._server.shared(parties(view.u2)),
        )  # fmt: skip
        if stay:
            raise LookupError(f"{stay[0]} stays")
        return vector

    def _cancels(self, view: View, peer: PartyId) -> bool:
        return bool(self._members >> peer & 1) and self._shown[peer].u2 == view.u2

    def _told(self, client: int, view: View) -> set[Symbol]:
        signers = sum(1 << other for other, seen in self._shown.items() if (seen.u2, seen.u3) == (view.u2, view.u3))
        owners = list(self._server.clients)
        told: set[Symbol] = {("s", owner, client) for owner in owners if view.freely >> owner & 1}
        if not view.accepts[signers | sum(1 << colluder for colluder in self._colluders)]:
            return told
        told |= {("b", owner, client) for owner in owners if view.self_shares >> owner & 1}
        told |= {("s", owner, client) for owner in owners if view.mask_shares >> owner & 1}
        return told | {("leaf", frozenset({client, peer}), view.u2) for peer in owners if view.leaves >> peer & 1}
