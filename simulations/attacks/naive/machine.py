"""What every textbook machine has in common: it answers, and has no other duties."""

from enum import StrEnum
from typing import Any

from protocols.errors import AbortReason, DropReason, LocalProtocolError, PartyId
from protocols.machine import Aborted, Envelope, Outcome
from protocols.wire import PartySet


class Stage(StrEnum):
    """The rounds of the papers, as far as a party can vanish in one."""

    KEYS = "keys"
    SHARES = "shares"
    MASKED = "masked"
    UNMASK = "unmask"


class Textbook:
    """A participant that an exchange can drive. It has no state in which it would refuse anything."""

    round: StrEnum = Stage.KEYS
    waiting_for: PartySet = frozenset()
    can_close = False
    outcome: Outcome | None = None

    def start(self) -> list[Envelope]:
        return []

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        raise NotImplementedError

    def close_round(self) -> list[Envelope]:
        raise LocalProtocolError("the others close rounds")

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        return []

    def abort(self, reason: AbortReason) -> list[Envelope]:
        self.outcome = Aborted(reason)
        return []

    def snapshot(self) -> bytes:
        raise LocalProtocolError("a textbook keeps its memory, and nothing else")
