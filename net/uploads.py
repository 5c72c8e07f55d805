"""Which parties may upload: so few at a time that a coordinator's memory stays that of a few vectors."""

from dataclasses import dataclass, field
from typing import Final

from protocols.errors import PartyId

MOST_UPLOADS: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One upload, of `size` bytes as it was offered."""

    size: int


@dataclass(slots=True)
class Uploads:
    """Which parties may upload a message: `most` at a time, in the order of their offers. [PROTOCOLS rule 11]"""

    most: int = MOST_UPLOADS
    granted: dict[PartyId, Turn] = field(default_factory=dict)
    _offered: dict[PartyId, Turn] = field(default_factory=dict)

    @property
    def somebody_waits(self) -> bool:
        return bool(self._offered)

    def offer(self, party: PartyId, size: int) -> None:
        """One at a time of each party: what it offers before that one is here is ignored."""
        if party not in self._offered and party not in self.granted:
            self._offered[party] = Turn(size)

    def end(self, party: PartyId) -> None:
        """It has uploaded, or it is gone."""
        self.granted.pop(party, None)
        self._offered.pop(party, None)

    def grant(self) -> dict[PartyId, Turn]:
        """Those whose turn has come."""
        come: dict[PartyId, Turn] = {}
        while self._offered and len(self.granted) < self.most:
            party = next(iter(self._offered))
            come[party] = self.granted[party] = self._offered.pop(party)
        return come
