"""What a server and each of its parties said to each other, as running hashes that both sides can hold.

Of each direction by itself, since the two cross on their way:  h = H('transcript', h before, SHA-256(message)), from
zeros on; a line is H('transcript line', h of what the party said, h of what it was told). A message is its encoding,
as it travels, without a frame. Whoever kept the messages can show that these and no others were exchanged; from the
hash alone nothing can be read.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from hashlib import sha256

from mpc.hashing import DIGEST_BYTES, digest
from protocols.errors import PartyId


class Line:
    """Of one party. Both sides call it alike: `said` is what the party said, wherever it is noted down."""

    def __init__(self) -> None:
        self._said = self._told = bytes(DIGEST_BYTES)

    def said(self, message: bytes) -> None:
        self._said = _after(self._said, sha256(message).digest())

    def told(self, message: bytes) -> None:
        self.told_hashed(sha256(message).digest())

    def told_hashed(self, hashed: bytes) -> None:
        """hashed: SHA-256 of the message, where it went to many."""
        self._told = _after(self._told, hashed)

    @property
    def digest(self) -> bytes:
        return digest("transcript line", self._said, self._told)


class Transcript:
    """Of all parties, at their server: what its machine took, and what it gave out to be sent. Of a session that was
    taken up again after a restart there is none."""

    def __init__(self) -> None:
        self._lines: dict[PartyId, Line] = defaultdict(Line)
        self._is_whole = False

    def begin(self) -> None:
        """The session starts here: nothing was said before."""
        self._is_whole = True

    def said(self, party: PartyId, message: bytes) -> None:
        self._lines[party].said(message)

    def told(self, parties: Iterable[PartyId], message: bytes) -> None:
        hashed = sha256(message).digest()
        for party in parties:
            self._lines[party].told_hashed(hashed)

    @property
    def lines(self) -> Mapping[PartyId, bytes]:
        return {party: self._lines[party].digest for party in sorted(self._lines) if self._is_whole}


def _after(before: bytes, hashed: bytes) -> bytes:
    return digest("transcript", before, hashed)
