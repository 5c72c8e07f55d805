"""What a coordinator and its colluders hold of one secagg session, and every mask that follows from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mpc import shamir
from mpc.field import M31, FieldVector, PrimeField
from mpc.keys import AgreementKey, AgreementSecret
from mpc.prg import Seed, expand
from protocols.errors import PartyId
from protocols.masking import PAIRWISE_MASK, SELF_MASK
from protocols.messages import AdvertiseKeys, DroppedReveal, Reveal, SurvivorReveal
from protocols.secagg import bindings
from protocols.secagg.shares import pack_share, unpack_shares

Shares = dict[PartyId, dict[PartyId, bytes]]  # owner -> holder -> share


@dataclass
class Holdings:
    """keys: the roster's mask keys. points: of the holders. shared: D2 of the leaves that are put in.

    self_shares, mask_shares: what was revealed, or dealt to a colluder. mask_secrets: those that the coordinator has
    without rebuilding them, its colluders' own and what it invented. leaves: by pair.
    """

    threshold: int
    keys: Mapping[PartyId, bytes]
    points: Mapping[PartyId, int]
    self_shares: Shares = field(default_factory=dict)
    mask_shares: Shares = field(default_factory=dict)
    mask_secrets: dict[PartyId, AgreementSecret] = field(default_factory=dict)
    leaves: dict[tuple[frozenset[PartyId], bytes], Seed] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: Iterable[AdvertiseKeys], threshold: int) -> "Holdings":
        """Nothing yet, of a session with this roster."""
        keys = {entry.client: entry.mask_key for entry in entries}
        return cls(threshold, keys, {party: 1 + place for place, party in enumerate(sorted(keys))})

    def hear(self, holder: PartyId, reveals: Mapping[PartyId, Reveal], shared: bytes) -> None:
        """What a client revealed."""
        for owner, reveal in reveals.items():
            if isinstance(reveal, DroppedReveal):
                self.leaves[frozenset({holder, owner}), shared] = Seed(reveal.leaf_seed)
            else:
                kind = self.self_shares if isinstance(reveal, SurvivorReveal) else self.mask_shares
                kind.setdefault(owner, {})[holder] = reveal.share

    def mask_secret(self, owner: PartyId) -> AgreementSecret | None:
        """s, as the coordinator has it or from t shares; None where neither is there, or the shares give no secret."""
        if owner in self.mask_secrets:
            return self.mask_secrets[owner]
        limbs = self._rebuilt(self.mask_shares, owner)
        try:
            return None if limbs is None else AgreementSecret.from_bytes(shamir.from_limbs(limbs))
        except shamir.CorruptSecret:
            return None

    def self_seed(self, owner: PartyId, shared: bytes) -> Seed | None:
        limbs = self._rebuilt(self.self_shares, owner)
        return None if limbs is None else bindings.self_seed(shared, owner, pack_share(limbs))

    def leaf(self, one: PartyId, other: PartyId, shared: bytes) -> Seed | None:
        """The seed of the mask between two, revealed or from the mask secret of either."""
        if (revealed := self.leaves.get((frozenset({one, other}), shared))) is not None:
            return revealed
        for mine, peer in ((one, other), (other, one)):
            if secret := self.mask_secret(mine):
                return bindings.leaf_seed(shared, mine, secret, self.keys[mine], peer, AgreementKey(self.keys[peer]))
        return None

    def unmasked(
        self, client: PartyId, masked: FieldVector, field_: PrimeField, *, peers: Iterable[PartyId], shared: bytes
    ) -> tuple[FieldVector, list[str]]:
        """What is left of y when every mask is off that is known, and the names of the masks that stay."""
        vector, stay = masked.copy(), []
        own = self.self_seed(client, shared)
        if own is None:
            stay.append(f"the self mask of party {client}")
        else:
            vector = field_.sub(vector, expand(own, SELF_MASK, field_, 0, len(vector)))
        for peer in sorted(set(peers) - {client}):
            leaf = self.leaf(client, peer, shared)
            if leaf is None:
                stay.append(f"the mask between parties {client} and {peer}")
                continue
            mask = expand(leaf, PAIRWISE_MASK, field_, 0, len(vector))
            vector = field_.sub(vector, mask) if client > peer else field_.add(vector, mask)
        return vector, stay

    def _rebuilt(self, shares: Shares, owner: PartyId) -> FieldVector | None:
        held = shares.get(owner, {})
        if len(held) < self.threshold:
            return None
        rows = dict(zip((self.points[one] for one in held), unpack_shares(list(held.values())), strict=True))
        return shamir.reconstruct(rows, threshold=self.threshold, field=M31)
