"""Carries out what the search found: from the bytes that real clients gave away to the sum of their inputs."""

from mpc import shamir
from mpc.field import M31, FieldVector
from mpc.keys import AgreementKey, AgreementSecret
from mpc.prg import Seed, expand
from protocols.errors import PartyId
from protocols.masking import PAIRWISE_MASK, SELF_MASK
from protocols.secagg import bindings
from simulations.attacks.lying import parties
from simulations.attacks.search import Finding
from simulations.attacks.views import Playbook, Symbol, View


class Attack:
    """What the coordinator and its colluders hold when every honest client was shown what the finding says."""

    def __init__(self, playbook: Playbook, finding: Finding, threshold: int) -> None:
        self._server, self._threshold = playbook.server, threshold
        self._playbook, self._shown, self._members = playbook, finding.shown, finding.members
        self._colluders = {PartyId(party) for party in playbook.server.clients if party not in finding.shown}
        told = set().union(*(self._told(client, view) for client, view in finding.shown.items()))
        self._shares = {
            symbol: raw
            for (holder, raw), symbol in playbook.shares.items()
            if symbol in told or holder in self._colluders
        }
        self._leaves = {symbol: raw for raw, symbol in playbook.leaves.items() if symbol in told}

    def honest_sum(self) -> FieldVector:
        """With its canaries. Raises where a mask stays."""
        spec = self._server.room.params.spec
        total = spec.field.zeros(spec.masked_length)
        for client, view in self._shown.items():
            if self._members >> client & 1:
                total = spec.field.add(total, self._unmasked(PartyId(client), view))
        return total

    def _unmasked(self, client: PartyId, view: View) -> FieldVector:
        """y without the masks that are not the business of two members of the sum."""
        spec = self._server.room.params.spec
        b = M31.pack(self._rebuild("b", client))
        own = bindings.self_seed(self._server.shared(parties(view.u2)), client, b)
        mask = expand(own, SELF_MASK, spec.field, 0, spec.masked_length)
        vector = spec.field.sub(self._playbook.masked[client, view.u2], mask)
        for peer in self._server.clients:
            if not view.u2 >> peer & 1 or peer == client or self._cancels(view, peer):
                continue
            mask = expand(self._leaf(client, peer, view.u2), PAIRWISE_MASK, spec.field, 0, spec.masked_length)
            vector = spec.field.sub(vector, mask) if client > peer else spec.field.add(vector, mask)
        return vector

    def _cancels(self, view: View, peer: PartyId) -> bool:
        return bool(self._members >> peer & 1) and self._shown[peer].u2 == view.u2

    def _leaf(self, client: PartyId, peer: PartyId, u2: int) -> Seed:
        if raw := self._leaves.get(("leaf", frozenset({client, peer}), u2)):
            return Seed(raw)
        for mine, other in ((client, peer), (peer, client)):
            if secret := self._mask_secret(mine):
                keys = {entry.client: entry.mask_key for entry in self._server.entries}
                shared = self._server.shared(parties(u2))
                return bindings.leaf_seed(shared, mine, secret, keys[mine], other, AgreementKey(keys[other]))
        raise LookupError(f"the mask between {client} and {peer} stays")

    def _mask_secret(self, party: PartyId) -> AgreementSecret | None:
        if party in self._colluders:
            return self._server.mask_secret(party)
        try:
            return AgreementSecret.from_bytes(shamir.from_limbs(self._rebuild("s", party)))
        except shamir.NotEnoughShares:
            return None

    def _rebuild(self, kind: str, owner: PartyId) -> FieldVector:
        rows = {
            1 + symbol[2]: M31.unpack(raw, shamir.LIMBS)
            for symbol, raw in self._shares.items()
            if symbol[:2] == (kind, owner)
        }
        return shamir.reconstruct(rows, threshold=self._threshold, field=M31)

    def _told(self, client: int, view: View) -> set[Symbol]:
        signers = sum(1 << other for other, seen in self._shown.items() if (seen.u2, seen.u3) == (view.u2, view.u3))
        if not view.accepts[signers | sum(1 << colluder for colluder in self._colluders)]:
            return set()
        owners = list(self._server.clients)
        told: set[Symbol] = {("b", owner, client) for owner in owners if view.self_shares >> owner & 1}
        told |= {("s", owner, client) for owner in owners if view.mask_shares >> owner & 1}
        return told | {("leaf", frozenset({client, peer}), view.u2) for peer in owners if view.leaves >> peer & 1}
