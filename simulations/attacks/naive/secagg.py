"""DELIBERATELY INSECURE. Bonawitz et al., CCS 2017, figure 4 without the underlined parts: both sides of it.

y_u = x_u + PRG(b_u) + sum over v in U2 - {u} of (+ if u > v, else -) PRG(s_uv)
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpc.hashing import kdf
from mpc.keys import AgreementKey, AgreementSecret, ChannelKey, agree_channel, agree_seed
from mpc.randomness import Randomness
from mpc.sealing import open_sealed, seal
from protocols.errors import SERVER, PartyId
from protocols.machine import Envelope
from protocols.wire import PartySet
from simulations.attacks.naive import arithmetic
from simulations.attacks.naive.arithmetic import SCALE, SECRET_BYTES, Reals, Ring
from simulations.attacks.naive.machine import Textbook
from simulations.attacks.naive.messages import (
    AdvertiseKeys,
    DeliverShares,
    Invitation,
    MaskedInput,
    Roster,
    ShareKeys,
    UnmaskRequest,
    UnmaskShares,
)
from simulations.attacks.scripted import NOBODY, Script, said

Train = Callable[[bytes], Reals]  # the update that a party gets from a model

_SALT_BYTES = 16
SHARE_BYTES = 35


class Client(Textbook):
    """A party that follows the protocol and believes everything. train: what it does with the model that it is sent."""

    def __init__(self, me: PartyId, train: Train, rand: Randomness) -> None:
        self.me, self.train, self._rand = me, train, rand
        self._asked: Invitation | None = None
        self._roster: Mapping[PartyId, AdvertiseKeys] = {}
        self._own_shares = b""
        self._has_masked = False

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        match message:
            case Invitation():
                answer: Any = self._advertise(message)
            case Roster():
                answer = self._share(message.entries)
            case DeliverShares() if not self._has_masked:
                answer = self._mask(message.bundles)
            case UnmaskRequest():
                answer = self._unmask(message)
            case _:
                return []
        return [Envelope((SERVER,), answer)]

    @property
    def point(self) -> int:
        return 1 + self.me

    def _advertise(self, invitation: Invitation) -> AdvertiseKeys:
        self._asked = invitation
        self.channel_secret = AgreementSecret.generate(self._rand)
        self.mask_secret = AgreementSecret.generate(self._rand)
        self.self_secret = self._rand.bytes(SECRET_BYTES)
        return AdvertiseKeys(self.point, self.channel_secret.public.raw, self.mask_secret.public.raw)

    def _share(self, roster: Mapping[PartyId, AdvertiseKeys]) -> ShareKeys:
        """To everybody in the roster, whoever that is."""
        assert self._asked is not None
        self._roster = roster
        points = [entry.point for entry in roster.values()]
        of_b, of_s = (
            arithmetic.split(secret, self._asked.threshold, points, self._rand)
            for secret in (self.self_secret, self.mask_secret.raw)
        )
        both = dict(zip(roster, (b + s for b, s in zip(of_b, of_s, strict=True)), strict=True))
        self._own_shares = both.pop(self.me, b"")
        return ShareKeys({peer: self._seal(peer, shares) for peer, shares in both.items()})

    def _mask(self, bundles: Mapping[PartyId, bytes]) -> MaskedInput:
        """Bundles are opened when they are asked for, as in the paper."""
        assert self._asked is not None
        self._has_masked, self._bundles = True, bundles
        vector = arithmetic.encode(self.train(self._asked.model), self._asked.scale)
        vector += self._self_mask(len(vector))
        for peer in bundles:
            add_pairwise(vector, self.me, peer, pair_seed(self.mask_secret, self._roster[peer].mask_key))
        return MaskedInput(arithmetic.pack(vector))

    def _self_mask(self, length: int) -> Ring:
        return arithmetic.mask(self.self_secret, length)

    def _unmask(self, request: UnmaskRequest) -> UnmaskShares:
        return UnmaskShares(
            {owner: self.share_of(owner)[:SHARE_BYTES] for owner in sorted(request.survivors)},
            {owner: self.share_of(owner)[SHARE_BYTES:] for owner in sorted(request.dropped)},
        )

    @property
    def owners(self) -> list[PartyId]:
        """Of whom it holds shares, itself among them."""
        return sorted({self.me, *self._bundles})

    def share_of(self, owner: PartyId) -> bytes:
        """Both shares, of b and of s, that we hold of this party."""
        if owner == self.me:
            return self._own_shares
        sealed = self._bundles[owner]
        return open_sealed(self._key(owner, sealed[:_SALT_BYTES]), sealed[_SALT_BYTES:])

    def _seal(self, peer: PartyId, shares: bytes) -> bytes:
        salt = self._rand.bytes(_SALT_BYTES)
        return salt + seal(self._key(peer, salt), shares)

    def _key(self, peer: PartyId, salt: bytes) -> ChannelKey:
        """Of the pair, the same in both directions."""
        key = AgreementKey(self._roster[peer].channel_key)
        pair = agree_channel(self.channel_secret, key, purpose="naive channel", context=())
        return ChannelKey(kdf(pair.raw, "naive salt", salt))


def pair_seed(mine: AgreementSecret, theirs: bytes) -> bytes:
    """s_uv."""
    return agree_seed(mine, AgreementKey(theirs), purpose="naive pair", context=()).raw


def add_pairwise(vector: Ring, me: PartyId, peer: PartyId, seed: bytes) -> None:
    mask = arithmetic.mask(seed, len(vector))
    np.add(vector, mask, out=vector) if me > peer else np.subtract(vector, mask, out=vector)


@dataclass
class Coordinator:
    """The server, a round a method; each tells the clients and keeps what they answer. `honest` is all of it.

    It is a script, so that an attack says in one line what it does otherwise. known: mask secrets that it has anyhow.
    """

    parties: tuple[PartyId, ...]
    threshold: int
    scale: int = SCALE
    keys: dict[PartyId, AdvertiseKeys] = field(default_factory=dict)
    shares: dict[PartyId, ShareKeys] = field(default_factory=dict)
    masked: dict[PartyId, Ring] = field(default_factory=dict)
    self_shares: dict[PartyId, dict[PartyId, bytes]] = field(default_factory=dict)  # owner -> holder -> share
    mask_shares: dict[PartyId, dict[PartyId, bytes]] = field(default_factory=dict)
    known: dict[PartyId, AgreementSecret] = field(default_factory=dict)

    def honest(self) -> Script[Ring]:
        """The sum over all whose masked input came."""
        yield from self.until_masked()
        survivors, dropped = frozenset(self.masked), frozenset(self.shares) - frozenset(self.masked)
        yield from self.ask(survivors, survivors, dropped)
        return self.total(survivors, dropped)

    def until_masked(self) -> Script[None]:
        yield from self.invite()
        yield from self.show_roster(self.parties, self.keys)
        yield from self.deliver(self.shares)

    def invite(self) -> Script[None]:
        yield from self.invite_to(dict.fromkeys(self.parties, b""))

    def invite_to(self, models: Mapping[PartyId, bytes]) -> Script[None]:
        """By party: the model that it is sent."""
        heard = yield [
            Envelope((party,), Invitation(self.threshold, self.scale, model)) for party, model in models.items()
        ]
        self.keys |= said(heard, AdvertiseKeys)
        points = {entry.point for entry in self.keys.values()}
        if len(points) != len(self.keys) or 0 in points:  # as the textbook says; that p is 0 it does not say
            raise ValueError("points are distinct, and none is 0")

    def show_roster(self, to: Iterable[PartyId], entries: Mapping[PartyId, AdvertiseKeys]) -> Script[None]:
        heard = yield [Envelope(tuple(to), Roster(entries))]
        self.shares |= said(heard, ShareKeys)

    def bundles_for(self, client: PartyId) -> dict[PartyId, bytes]:
        return {
            dealer: one.bundles[client]
            for dealer, one in self.shares.items()
            if dealer != client and client in one.bundles
        }

    def deliver(self, to: Iterable[PartyId]) -> Script[None]:
        yield from self.deliver_these({client: self.bundles_for(client) for client in sorted(to)})

    def deliver_these(self, bundles: Mapping[PartyId, Mapping[PartyId, bytes]]) -> Script[None]:
        heard = yield [Envelope((client,), DeliverShares(of)) for client, of in bundles.items()]
        self.masked |= {client: arithmetic.words(one.masked) for client, one in said(heard, MaskedInput).items()}

    def ask(self, whom: Iterable[PartyId], survivors: PartySet, dropped: PartySet = NOBODY) -> Script[None]:
        heard = yield [Envelope(tuple(sorted(whom)), UnmaskRequest(survivors, dropped))]
        for holder, answer in said(heard, UnmaskShares).items():
            for kept, told in ((self.self_shares, answer.self_shares), (self.mask_shares, answer.mask_shares)):
                for owner, share in told.items():
                    kept.setdefault(owner, {})[holder] = share

    def look_into(self, colluder: Client) -> None:
        """Its memory: its own mask secret, and its shares of everybody's secrets."""
        self.known[colluder.me] = colluder.mask_secret
        for owner in colluder.owners:
            shares = colluder.share_of(owner)
            self.self_shares.setdefault(owner, {})[colluder.me] = shares[:SHARE_BYTES]
            self.mask_shares.setdefault(owner, {})[colluder.me] = shares[SHARE_BYTES:]

    def total(self, survivors: PartySet, dropped: PartySet = NOBODY) -> Ring:
        """Self masks off, and the pairwise masks of those who dropped."""
        total = arithmetic.add_up(self.masked[client] for client in sorted(survivors))
        for client in sorted(survivors):
            total -= self.self_mask(client, len(total))
        for lost in sorted(dropped):
            for client in sorted(survivors & self.peers(lost)):  # what the lost one would have added is missing
                add_pairwise(total, lost, client, pair_seed(self.mask_secret(lost), self.keys[client].mask_key))
        return total

    def peers(self, client: PartyId) -> PartySet:
        """With whom it masks."""
        return frozenset(self.parties) - {client}

    def alone(self, client: PartyId, peers: Iterable[PartyId]) -> Ring:
        """One client's masked input with all of its masks off: what no server is for."""
        vector = self.masked[client] - self.self_mask(client, len(self.masked[client]))
        return self.without_pairs(client, vector, peers)

    def without_pairs(self, client: PartyId, vector: Ring, peers: Iterable[PartyId]) -> Ring:
        vector = vector.copy()
        for peer in peers:
            # the client's own mask secret gives all of its masks, a peer's the one that they share
            mine, other = (client, peer) if self._has_secret(client) else (peer, client)
            add_pairwise(vector, peer, client, pair_seed(self.mask_secret(mine), self.keys[other].mask_key))
        return vector

    def self_mask(self, client: PartyId, length: int) -> Ring:
        return arithmetic.mask(self.rebuild(self.self_shares[client]), length)

    def mask_secret(self, client: PartyId) -> AgreementSecret:
        if client in self.known:
            return self.known[client]
        return AgreementSecret(self.rebuild(self.mask_shares[client]))

    def _has_secret(self, client: PartyId) -> bool:
        return client in self.known or len(self.mask_shares.get(client, ())) >= self.threshold

    def rebuild(self, shares: Mapping[PartyId, bytes]) -> bytes:
        return arithmetic.rebuild(
            {holder: (self.keys[holder].point, share) for holder, share in shares.items()}, self.threshold
        )
