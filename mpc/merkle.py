"""A Merkle tree over a list: one digest stands for all of it, and a path of log n digests shows one place of it.

Leaves and nodes are SHA-256: of the injective encoding of a label and the parts (`mpc.hashing`), and of two digests
behind a label that no encoding begins with, so that neither can stand for the other. Here it counts that SHA-256 takes
1 us where TupleHash takes 60: who checks a roster hashes a leaf and some ten nodes a peer. Where a level is odd, its
last member moves up as it is. A dozen lines, and the labels are ours: no library is needed.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from mpc.hashing import DIGEST_BYTES, Part, quick_digest

_NODE: Final = b"veilsum merkle node\0"


class BadPath(ValueError):
    """This path does not lead from that leaf, at that place of so many, to any root."""


def leaf(*parts: Part) -> bytes:
    return quick_digest("merkle leaf", *parts)


class MerkleTree:
    """Over `leaves`, in their order; one at the least."""

    __slots__ = ("_levels",)

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            self._levels.append(_level_above(self._levels[-1]))

    @property
    def root(self) -> bytes:
        return self._levels[-1][0]

    def path(self, place: int) -> bytes:
        """The siblings on the way from leaf `place` to the root, the lowest first, joined."""
        siblings = []
        for level in self._levels[:-1]:
            if place ^ 1 < len(level):
                siblings.append(level[place ^ 1])
            place //= 2
        return b"".join(siblings)


def root_from(hashed: bytes, place: int, count: int, path: bytes) -> bytes:
    """The root of a tree of `count` leaves whose leaf `place` is `hashed` and has this path. Raises BadPath."""
    if not 0 <= place < count:
        raise BadPath(f"place {place} of {count}")
    at = 0
    while count > 1:
        if place ^ 1 < count:
            sibling = path[at : at + DIGEST_BYTES]
            hashed = _node(sibling, hashed) if place % 2 else _node(hashed, sibling)
            at += DIGEST_BYTES
        place, count = place // 2, (count + 1) // 2
    if at != len(path):
        raise BadPath(f"a path of {len(path)} bytes where {at} belong")
    return hashed


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    pairs = [_node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return pairs + list(level[2 * len(pairs) :])


def _node(left: bytes, right: bytes) -> bytes:
    """All three parts are of fixed length, so their concatenation is injective."""
    return sha256(_NODE + left + right).digest()
