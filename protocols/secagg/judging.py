"""The server's part in an accountable session: it checks what holders sign, and puts proofs together."""

from collections.abc import Mapping
from dataclasses import dataclass

from mpc.keys import AgreementSecret, VerifyKey
from protocols.errors import PartyId
from protocols.messages import AdvertiseKeys, DroppedReveal, FallbackShares, UnmaskShares
from protocols.secagg import bindings
from protocols.secagg.proofs import Opening, Said, Scene, WrongDealing, WrongSeed, WrongShare
from protocols.secagg.vouching import KINDS, Dealing, Secret, reveal_tree, reveals_in, share_digest
from protocols.session import SessionParams
from protocols.wire import PartySet


@dataclass(frozen=True, slots=True)
class Judge:
    """Knows what every dealer vouched for. entries: of U1. shared: D2."""

    params: SessionParams
    entries: Mapping[PartyId, AdvertiseKeys]
    shared: bytes
    u2: PartySet
    dealings: Mapping[PartyId, Dealing]

    def verify(self, identity: VerifyKey, holder: PartyId, message: UnmaskShares | FallbackShares) -> None:
        """Raises BadSignature unless the holder signed each of these reveals beside the digest that it was shown."""
        root = reveal_tree(message, self._accepted(holder, message)).root
        count = len(reveals_in(message))
        bindings.verify_reveals(identity, self.shared, message.round, holder, count, root, message.signature)

    def wrong_share(self, holder: PartyId, message: UnmaskShares | FallbackShares) -> WrongShare | None:
        """The first share in a message that passed `verify` which is not the one that the holder accepted."""
        for owner, reveal in sorted(reveals_in(message).items()):
            if isinstance(reveal, DroppedReveal):
                continue
            kind = KINDS[type(reveal)]
            if share_digest(owner, holder, kind, reveal.share) != self._digest(owner, holder, kind):
                return WrongShare(self._scene, self.u2, self._said(holder, message, owner))
        return None

    def wrong_seed(self, survivor: PartyId, message: UnmaskShares, lost: PartyId, secret: AgreementSecret) -> WrongSeed:
        """For a survivor whose leaf seed is not the one that follows from this mask secret of a lost party."""
        return WrongSeed(self._scene, self.u2, self._said(survivor, message, lost), secret.raw)

    def wrong_dealing(self, dealer: PartyId, kind: Secret, shares: Mapping[PartyId, bytes]) -> WrongDealing:
        """For t shares that the dealer vouched for and that do not give what it committed to."""
        dealing = self.dealings[dealer]
        tree = dealing.tree(dealer)
        beside = Secret.MASK if kind is Secret.SELF else Secret.SELF
        openings = tuple(
            Opening(holder, share, dealing.digest(at, beside), dealing.bundle(at), at, tree.path(at))
            for holder, share in sorted(shares.items())
            for at in [dealing.place(holder)]
        )
        holders = len(dealing.holders)
        return WrongDealing(self._scene, dealer, kind, dealing.commitment, dealing.signature, holders, openings)

    @property
    def _scene(self) -> Scene:
        return Scene(self.params, tuple(self.entries[party] for party in sorted(self.entries)))

    def _digest(self, owner: PartyId, holder: PartyId, kind: Secret) -> bytes:
        dealing = self.dealings[owner]
        return dealing.digest(dealing.place(holder), kind)

    def _accepted(self, holder: PartyId, message: UnmaskShares | FallbackShares) -> dict[PartyId, bytes]:
        return {
            owner: b"" if isinstance(reveal, DroppedReveal) else self._digest(owner, holder, KINDS[type(reveal)])
            for owner, reveal in reveals_in(message).items()
        }

    def _said(self, holder: PartyId, message: UnmaskShares | FallbackShares, owner: PartyId) -> Said:
        reveals, accepted = reveals_in(message), self._accepted(holder, message)
        place = sorted(reveals).index(owner)
        path = reveal_tree(message, accepted).path(place)
        return Said(
            holder, message.round, owner, reveals[owner], accepted[owner], place, len(reveals), path, message.signature
        )  # fmt: skip
