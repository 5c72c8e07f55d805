"""What an epoch leaves behind between its rounds: with a client, and with the server. [PROTOCOLS 3F]

All of the rounds that are over is gone from it. A client's is secret; the server's holds what everybody was shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from mpc.keys import KEY_BYTES, AgreementKey
from mpc.prg import Seed
from protocols.epoch import bindings
from protocols.errors import LocalProtocolError, PartyId
from protocols.ledger import Ledger
from protocols.secagg.shares import SHARE_BYTES
from protocols.session import SessionParams, Subject, Terms, Variant
from protocols.wire import Codec, PartySet, Size

BOTH_SHARES = 2 * SHARE_BYTES  # of one dealer in one round: of its self secret, then of its mask secret
Digest = Annotated[bytes, Size(32)]
Key = Annotated[bytes, Size(32)]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose epoch it is and of how many rounds. Where one of these changes, the next session sets up another."""

    consortium: Digest
    version: int
    coordinator: Digest
    rounds: int

    @classmethod
    def of(cls, subject: Subject, rounds: int) -> "Scope":
        return cls(subject.consortium, subject.version, subject.coordinator, rounds)


@dataclass(frozen=True, slots=True)
class PeerKeys:
    """Of one peer, the round to come first: its public mask keys, and our shares of both its secrets in turn."""

    mask_keys: bytes
    shares: bytes = field(repr=False)

    @property
    def mask_key(self) -> AgreementKey:
        return AgreementKey(self.mask_keys[:KEY_BYTES])

    @property
    def self_share(self) -> bytes:
        return self.shares[:SHARE_BYTES]

    @property
    def mask_share(self) -> bytes:
        return self.shares[SHARE_BYTES:BOTH_SHARES]

    def without(self, rounds: int) -> "PeerKeys":
        return PeerKeys(self.mask_keys[rounds * KEY_BYTES :], self.shares[rounds * BOTH_SHARES :])


@dataclass(frozen=True, slots=True)
class ClientEpoch:
    """A client between two rounds. Secret. `Client(..., epoch=)` goes on from it, once.

    digest: D_E. u1: everybody who has a share point; the threshold is that of their number. number: r of the round to
    come. root: a^r. own_shares: ours of our own self secrets. peers: those who dealt to us. Raises ValueError where
    they do not hold what the rounds from r on need.
    """

    scope: Scope
    digest: Digest
    threshold: int
    u1: PartySet
    number: int
    root: Seed
    own_shares: bytes = field(repr=False)
    peers: Mapping[PartyId, PeerKeys]

    def __post_init__(self) -> None:
        left = self.scope.rounds - self.number + 1
        sizes = {(len(peer.mask_keys), len(peer.shares)) for peer in self.peers.values()}
        if not 1 <= self.number <= self.scope.rounds or len(self.own_shares) != left * SHARE_BYTES:
            raise ValueError("an epoch holds the shares of its rounds to come")
        if not sizes <= {(left * KEY_BYTES, left * BOTH_SHARES)}:
            raise ValueError("of each peer an epoch holds the keys and shares of its rounds to come")

    def to_bytes(self) -> bytes:
        """For a driver that is a new process for each message. Secret, and good only with the ledger beside it."""
        return _CODEC.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> "ClientEpoch":
        """Raises WireError unless `to_bytes` made them."""
        epoch: ClientEpoch = _CODEC.decode(data)
        return epoch

    @property
    def name(self) -> bytes:
        """In its party's ledger, where r is its step."""
        return bindings.epoch_name(self.digest)

    @property
    def own_self_share(self) -> bytes:
        """Of the round to come."""
        return self.own_shares[:SHARE_BYTES]

    def fits(self, terms: Terms) -> bool:
        return self.scope == Scope.of(terms.subject, terms.rounds_per_epoch)

    def require_last(self, ledger: Ledger) -> None:
        """Raises LocalProtocolError where the ledger says that this party has gone further, or knows nothing of it."""
        if (newest := ledger.seq(self.name)) != self.number:
            known = "does not know it" if newest is None else f"says {newest}"
            raise LocalProtocolError(
                f"this epoch is of before round {self.number} and the ledger {known}: it is not the last one; "
                f"throw it away and let the next session set up another"
            )

    def at(self, number: int) -> "ClientEpoch":
        """Before round `number`, which is not before ours: the rounds between are given up and erased."""
        skipped = number - self.number
        root = bindings.root_after(self.root, skipped)
        peers = {peer: keys.without(skipped) for peer, keys in self.peers.items()}
        return replace(self, number=number, root=root, own_shares=self.own_shares[skipped * SHARE_BYTES :], peers=peers)

    def after(self) -> "ClientEpoch | None":
        """When this round's input has left; None after the last round."""
        return None if self.number == self.scope.rounds else self.at(self.number + 1)


_CODEC = Codec(ClientEpoch, own=True)


@dataclass(frozen=True, slots=True)
class MemberKeys:
    """What a member of U1 published, of the round to come first. commitments: none where it shared no keys."""

    channel_key: Key
    mask_keys: tuple[Key, ...]
    commitments: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class ServerEpoch:
    """A server between two rounds. u1: with its keys. number: r of the round to come."""

    scope: Scope
    digest: Digest
    threshold: int
    number: int
    u1: Mapping[PartyId, MemberKeys]

    @property
    def holders(self) -> PartySet:
        """Those who shared their keys, of whom the members of a round come."""
        return frozenset(party for party, keys in self.u1.items() if keys.commitments)

    def fits(self, params: SessionParams, present: PartySet) -> bool:
        """Whether `present` hold another round of it.

        Not with somebody who has no keys in it. And not with t of a larger U1: the next loss would end the round,
        while keys of their own bring the threshold down.
        """
        enough = present == self.u1.keys() or len(present) > self.threshold
        return (
            self.scope == Scope.of(params.subject, params.rounds_per_epoch)
            and self.threshold == params.threshold_for(len(self.u1))
            and params.variant is Variant.ACTIVE
            and present <= self.holders
            and enough
            and len(present) >= params.floor
        )

    def after(self) -> "ServerEpoch | None":
        """When this round has been started; None after the last."""
        if self.number == self.scope.rounds:
            return None
        u1 = {
            party: MemberKeys(keys.channel_key, keys.mask_keys[1:], keys.commitments[1:])
            for party, keys in self.u1.items()
        }
        return replace(self, number=self.number + 1, u1=u1)
