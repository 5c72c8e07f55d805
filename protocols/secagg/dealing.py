"""Shares on their way: dealt, sealed for each holder, opened by it. [CCS 2017, figure 4, rounds 1 and 2]"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

import numpy as np

from mpc import shamir
from mpc.field import M31
from mpc.hashing import kdf
from mpc.keys import AgreementSecret, Channel
from mpc.prg import Seed
from mpc.randomness import SeededRandomness
from mpc.sealing import SealBroken, open_sealed, seal
from protocols.errors import SERVER, DropReason, PartyId, PeerMisbehaved
from protocols.messages import DeliverShares
from protocols.secagg.shares import pack_share, pack_shares, split_bundles
from protocols.secagg.states import AwaitingShares

NO_SHARE: Final = b""

Bundles = Mapping[PartyId, tuple[bytes, bytes]]  # by dealer: a self share and a mask share


def deal(
    deal_secret: Seed, mask_secret: AgreementSecret, session: bytes, *, threshold: int, points: Mapping[PartyId, int]
) -> tuple[bytes, dict[PartyId, bytes]]:
    """b, and for each holder (at its Shamir point, 1 + its place in the roster) a share of b and one of s.

    All of it follows from the deal secret and D: a client that is restored and shown the same roster deals the same
    bytes again, and no sealing key ever sees a second plaintext.
    """
    rand = SeededRandomness(kdf(deal_secret.raw, "deal", session))
    self_secret = M31.uniform(shamir.LIMBS, rand)
    secrets = np.concatenate([self_secret, shamir.to_limbs(mask_secret.raw)])
    rows = shamir.split(secrets, threshold=threshold, points=list(points.values()), field=M31, rand=rand)
    of_b, of_s = pack_shares(rows[:, : shamir.LIMBS]), pack_shares(rows[:, shamir.LIMBS :])
    both = (b + s for b, s in zip(of_b, of_s, strict=True))
    return pack_share(self_secret), dict(zip(points, both, strict=True))


def seal_bundles(
    dealt: Mapping[PartyId, bytes], channels: Mapping[PartyId, Channel], session: bytes, me: PartyId
) -> dict[PartyId, bytes]:
    """What each holder but the dealer itself gets."""
    return {peer: seal(channels[peer].sending, both, session, me, peer) for peer, both in dealt.items() if peer != me}


def open_bundles(
    state: AwaitingShares, me: PartyId, message: DeliverShares
) -> tuple[dict[PartyId, tuple[bytes, bytes]], list[PartyId]]:
    """All of them, now (rule 9), and the dealers whose bundle does not open.

    Raises PeerMisbehaved when none does: then it is not a dealer, but the server that showed us something else.
    """
    dealers = state.neighbours.owners_in(message.u2) - {me}
    if message.bundles.keys() != dealers:
        raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "bundles of others than U2")
    plain: dict[PartyId, bytes] = {}
    for dealer in sorted(dealers):
        with suppress(SealBroken):
            plain[dealer] = open_sealed(state.opening[dealer], message.bundles[dealer], state.session, dealer, me)
    opened = split_bundles(plain)
    broken = sorted(dealers - opened.keys())
    if broken and len(broken) == len(dealers):
        raise PeerMisbehaved(
            SERVER, DropReason.SPLIT_VIEW, "no bundle opens: we were shown another roster, model or configuration"
        )
    return opened, broken


def held_shares(
    opened: Bundles, me: PartyId, own_self_share: bytes
) -> tuple[dict[PartyId, bytes], dict[PartyId, bytes]]:
    """The self shares of U2 that we hold, our own with them where there is one; and the mask shares of the others."""
    own = {me: own_self_share} if own_self_share else {}
    return {peer: share for peer, (share, _) in opened.items()} | own, {peer: s for peer, (_, s) in opened.items()}


def points_of(u1: Iterable[PartyId], holders: Iterable[PartyId]) -> dict[PartyId, int]:
    """Each holder's Shamir point: 1 + its place in the roster, chosen by nobody. holders: of U1, as callers checked."""
    order = sorted(u1)
    return {party: 1 + bisect_left(order, party) for party in sorted(holders)}
