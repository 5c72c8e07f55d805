"""What a party process tells whoever started it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Happened(StrEnum):
    CONNECTED = "connected"
    TURNED_AWAY = "turned-away"  # not the coordinator, or it does not admit us; it is dialled again
    LOST = "lost"  # the connection; it is dialled again, and a session that is open waits for it
    RESUMED = "resumed"  # the session that was open goes on
    MET = "met"  # in a mesh: another member; the text is its name
    PARTED = "parted"  # in a mesh: its connection is over
    TASK = "task"  # taken, training starts
    TRAINED = "trained"
    UPLOADING = "uploading"
    SUMMED = "summed"  # the sum is here, and this party's input in it
    ABORTED = "aborted"  # no sum for this party in this session
    ADOPTED = "adopted"  # a payload that others computed: the step before it went on without us
    DECLINED = "declined"  # a task, or a payload, that this party does not take
    CONTESTED = "contested"  # a record of the coordinator that cannot be believed, or says otherwise than we saw
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class PartyEvent:
    """What just happened. fl_round: None where it belongs to none. done, total: bytes, while uploading."""

    what: Happened
    fl_round: int | None = None
    text: str = ""
    done: int = 0
    total: int = 0


OnEvent = Callable[[PartyEvent], None]

BeforeSend = Callable[[int, Any], None]
"""Called with the training step and a protocol message that is ready and has not left."""


def ignore(*_: object) -> None:
    """For whoever wants to hear nothing."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a party process was asked to call."""

    before_send: BeforeSend
    on_event: OnEvent

    def tell(self, what: Happened, fl_round: int | None = None, text: str = "") -> None:
        self.on_event(PartyEvent(what, fl_round, text))
