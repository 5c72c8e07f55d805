"""The secrets of all rounds, shared in one bundle a peer; and what the bundles of the others come to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mpc import shamir
from mpc.field import M31, FieldError
from mpc.hashing import kdf
from mpc.keys import Channel
from mpc.prg import Seed
from mpc.randomness import SeededRandomness
from mpc.sealing import SealBroken, open_sealed, seal
from protocols.epoch import bindings
from protocols.epoch.epochs import BOTH_SHARES, ClientEpoch, PeerKeys, Scope
from protocols.epoch.states import AwaitingShares
from protocols.errors import SERVER, DropReason, PartyId, PeerMisbehaved
from protocols.secagg import bindings as secagg
from protocols.secagg.shares import SHARE_BYTES, pack_shares, unpack_shares


@dataclass(frozen=True, slots=True)
class Dealt:
    """commitments: to b of each round. shares: by place in the roster, of all rounds, of both secrets in turn."""

    commitments: tuple[bytes, ...]
    shares: list[bytes] = field(repr=False)


def roots(first: Seed, rounds: int) -> list[Seed]:
    """a^1 .. a^B."""
    found = [first]
    while len(found) < rounds:
        found.append(bindings.next_root(found[-1]))
    return found


def mask_keys(first: Seed, rounds: int) -> tuple[bytes, ...]:
    """s_pk^1 .. s_pk^B."""
    return tuple(bindings.mask_secret(root).public.raw for root in roots(first, rounds))


def deal(
    me: PartyId, root: Seed, deal_secret: Seed, epoch: bytes, *, threshold: int, parties: int, rounds: int
) -> Dealt:
    """All of it follows from the two secrets and D_E, so that a client that is restored deals the same bytes again."""
    rand = SeededRandomness(kdf(deal_secret.raw, "deal", epoch))
    all_roots = roots(root, rounds)
    selves = [bindings.self_secret(one) for one in all_roots]
    masks = np.stack([shamir.to_limbs(bindings.mask_secret(one).raw) for one in all_roots])
    secrets = np.stack([unpack_shares(selves), masks], axis=1).ravel()  # b^1, s^1, b^2, s^2, ..
    rows = shamir.split(secrets, threshold=threshold, points=range(1, parties + 1), field=M31, rand=rand)
    packed = pack_shares(rows.reshape(-1, shamir.LIMBS))
    shares = [b"".join(packed[at : at + 2 * rounds]) for at in range(0, len(packed), 2 * rounds)]
    commitments = tuple(
        secagg.self_commitment(bindings.keys_digest(epoch, number), me, secret)
        for number, secret in enumerate(selves, start=1)
    )
    return Dealt(commitments, shares)


def seal_all(
    dealt: Mapping[PartyId, bytes], channels: Mapping[PartyId, Channel], me: PartyId, epoch: bytes
) -> dict[PartyId, bytes]:
    """One bundle for each peer, for all rounds."""
    return {peer: seal(channel.sending, dealt[peer], epoch, me, peer) for peer, channel in channels.items()}


def open_all(
    state: AwaitingShares, me: PartyId, bundles: Mapping[PartyId, bytes]
) -> tuple[dict[PartyId, bytes], list[PartyId]]:
    """What every dealer dealt us, and the dealers whose bundle does not open.

    Raises PeerMisbehaved when none does: then it is not a dealer, but the server that showed us something else.
    """
    opened: dict[PartyId, bytes] = {}
    broken: list[PartyId] = []
    for dealer in sorted(bundles):
        try:
            opened[dealer] = open_sealed(state.opening[dealer], bundles[dealer], state.epoch, dealer, me)
            _check_shares(opened[dealer], state.params.rounds_per_epoch)
        except (SealBroken, FieldError):
            broken.append(dealer)
    if broken and len(broken) == len(bundles):
        raise PeerMisbehaved(
            SERVER, DropReason.SPLIT_VIEW, "no bundle opens: we were shown another roster, model or configuration"
        )
    return opened, broken


def epoch_of(state: AwaitingShares, opened: Mapping[PartyId, bytes]) -> ClientEpoch:
    """Before its first round."""
    params = state.params
    return ClientEpoch(
        Scope.of(params.subject, params.rounds_per_epoch), state.epoch, state.threshold, frozenset(state.u1), 1,
        state.root, state.own_shares,
        {dealer: PeerKeys(b"".join(state.u1[dealer].mask_keys), shares) for dealer, shares in opened.items()},
    )  # fmt: skip


def _check_shares(shares: bytes, rounds: int) -> None:
    """Raises FieldError unless they are those of so many rounds, each an element of the field."""
    if len(shares) != rounds * BOTH_SHARES:
        raise FieldError("shares of another number of rounds")
    unpack_shares([shares[at : at + SHARE_BYTES] for at in range(0, len(shares), SHARE_BYTES)])


def own_self_shares(shares: bytes) -> bytes:
    """Of what we dealt ourselves the half that we keep: of our own mask secrets we hold no share."""
    return b"".join(shares[at : at + SHARE_BYTES] for at in range(0, len(shares), BOTH_SHARES))
