"""Reads along at the wire, and knows what a client must never say."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from protocols.errors import SERVER, PartyId
from protocols.messages import (
    CODEC,
    FallbackShares,
    SurvivorReveal,
    UnmaskShares,
)
from protocols.wire import Codec


@dataclass
class Watch:
    """A tap that keeps every frame, with what each client heard and said, in order."""

    frames: list[tuple[PartyId, PartyId, bytes]] = field(default_factory=list)
    codec: Codec = CODEC

    def __call__(self, sender: PartyId, recipient: PartyId, data: bytes) -> None:
        self.frames.append((sender, recipient, data))

    def said_by(self, client: PartyId) -> list[Any]:
        return [self.codec.decode(data) for sender, _, data in self.frames if sender == client]

    def told_to(self, client: PartyId) -> list[Any]:
        return [
            self.codec.decode(data)
            for sender, recipient, data in self.frames
            if (sender, recipient) == (SERVER, client)
        ]

    def require_discretion(self, client: PartyId) -> None:
        """For a client whose server told it each set once: it answered for those sets and for nothing else."""
        told, said = self.told_to(client), self.said_by(client)
        u2 = _only_set(message.u2 for message in told if hasattr(message, "u2"))
        u3 = _only_set(message.u3 for message in told if hasattr(message, "u3"))
        require_discretion(client, said, u2, u3)


def require_discretion(client: PartyId, said: list[Any], u2: frozenset[PartyId], u3: frozenset[PartyId]) -> None:
    """Of each peer at most one secret, each thing once, for one U2 and one U3. [PROTOCOLS 3A, "never"]"""
    kinds = Counter(type(message).__name__ for message in said)
    for kind in ("MaskedInput", "Confirm", "UnmaskShares", "FallbackShares"):
        assert kinds[kind] <= 1, f"{kind} twice"
    kept = {peer for message in said if isinstance(message, UnmaskShares) for peer in survivors_in(message)}
    given_up = {peer for message in said for peer in mask_secrets_in(message)}
    assert not kept & given_up, "both secrets of one peer"
    assert kept <= u3 <= u2 or not kept
    assert given_up <= u2 - u3
    assert client not in given_up


def survivors_in(message: UnmaskShares) -> set[PartyId]:
    """Whose self mask this helps to remove."""
    return {peer for peer, reveal in message.reveals.items() if isinstance(reveal, SurvivorReveal)}


def mask_secrets_in(message: Any) -> set[PartyId]:
    """Of whose pairwise masks this says something."""
    if isinstance(message, UnmaskShares):
        return set(message.reveals) - survivors_in(message)
    return set(message.shares) if isinstance(message, FallbackShares) else set()


def _only_set(sets: Iterable[frozenset[PartyId]]) -> frozenset[PartyId]:
    distinct = set(sets)
    assert len(distinct) <= 1
    return distinct.pop() if distinct else frozenset()
