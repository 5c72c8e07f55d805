"""What goes wrong in one training, as a value: printed as one line, read back from it, run again.

A fault strikes when the byte after so many is to be carried, and never by the clock. What the processes do meanwhile is
up to them, so the same plan strikes the same bytes and not always the same message.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from protocols.session import Variant


class Way(StrEnum):
    UP = "up"  # from whoever called
    DOWN = "down"


class Action(StrEnum):
    CUT = "cut"  # both ends hear that the connection was reset
    TRUNCATE = "truncate"  # the rest does not come: the end does, in order, wherever in a record that is
    CORRUPT = "corrupt"  # one bit of that byte
    STALL = "stall"  # nothing is carried this way for so many seconds
    DELAY = "delay"  # each later piece of this connection is held so many seconds
    REPLAY = "replay"  # all that the caller said so far is said again, on a connection of its own
    KILL = "kill"  # SIGKILL for the caller's process
    KILL_OTHER = "kill-other"  # for the one that it called


LENGTH: Final = 50
PATIENCE: Final = 6.0

TIMED: Final = frozenset({Action.STALL, Action.DELAY})


@dataclass(frozen=True, slots=True, order=True)
class Link:
    """caller -> who it calls, by their places; answerer None: the coordinator."""

    caller: int
    answerer: int | None = None

    def __str__(self) -> str:
        return str(self.caller) if self.answerer is None else f"{self.caller}>{self.answerer}"


_FAULT = re.compile(
    r"(?P<caller>\d+)(>(?P<answerer>\d+))?(#(?P<connection>\d+))? (?P<way>up|down)@(?P<at>\d+) "
    r"(?P<action>[a-z-]+)( (?P<seconds>\d+(\.\d+)?))?"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Strikes once, after `at` bytes that way: of the link's n-th connection, or of all its connections together.

    seconds: of a stall or a delay, 0 for others.
    """

    link: Link
    way: Way
    at: int
    action: Action
    seconds: float = 0.0
    connection: int | None = None

    def __post_init__(self) -> None:
        if (self.action in TIMED) is not (self.seconds > 0):
            raise ValueError(f"a {self.action} {'needs' if self.action in TIMED else 'has no'} seconds")

    def __str__(self) -> str:
        which = "" if self.connection is None else f"#{self.connection}"
        timed = f" {self.seconds:g}" if self.seconds else ""
        return f"{self.link}{which} {self.way}@{self.at} {self.action}{timed}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        if (found := _FAULT.fullmatch(text)) is None:
            raise ValueError(f"{text!r} is no fault: write it as '3 up@4711 cut' or '3#2 down@120 stall 8'")
        answerer, connection = found["answerer"], found["connection"]
        return cls(
            Link(int(found["caller"]), None if answerer is None else int(answerer)),
            Way(found["way"]),
            int(found["at"]),
            Action(found["action"]),
            float(found["seconds"] or 0),
            None if connection is None else int(connection),
        )


_SETTING = re.compile(
    r"(?P<protocol>[a-z+]+) (?P<variant>[a-z]+) (?P<numbers>\d+( \d+){4})"
    r"( length=(?P<length>\d+))?( patience=(?P<patience>\d+(\.\d+)?))?"
)


@dataclass(frozen=True, slots=True)
class Setting:
    """Who trains, under which protocol. steps: sums that the training is made of. length: elements of an input.
    patience: seconds of a round.
    """

    protocol: str
    variant: Variant
    banks: int
    colluding: int
    losses: int
    rounds_per_epoch: int
    steps: int
    length: int = LENGTH
    patience: float = PATIENCE

    @property
    def is_mesh(self) -> bool:
        return self.protocol == "mesh"

    @property
    def name(self) -> str:
        """Of the row in a table."""
        if self.rounds_per_epoch > 1:
            return f"{self.protocol}, epochs"
        return f"{self.protocol}, {self.variant}" if self.variant is Variant.CURIOUS else self.protocol

    @property
    def links(self) -> tuple[Link, ...]:
        """In a mesh the later member of each pair calls the earlier one."""
        places = range(self.banks)
        if self.is_mesh:
            return tuple(Link(caller, answerer) for caller in places for answerer in range(caller))
        return tuple(Link(caller) for caller in places)

    def __str__(self) -> str:
        numbers = f"{self.banks} {self.colluding} {self.losses} {self.rounds_per_epoch} {self.steps}"
        length = "" if self.length == LENGTH else f" length={self.length}"
        patience = "" if self.patience == PATIENCE else f" patience={self.patience:g}"
        return f"{self.protocol} {self.variant} {numbers}{length}{patience}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        if (found := _SETTING.fullmatch(text)) is None:
            raise ValueError(f"{text!r} is no setting: write it as 'secagg active 5 1 1 1 30 patience=20'")
        banks, colluding, losses, rounds, steps = map(int, found["numbers"].split())
        length, patience = int(found["length"] or LENGTH), float(found["patience"] or PATIENCE)
        return cls(
            found["protocol"], Variant(found["variant"]), banks, colluding, losses, rounds, steps, length, patience
        )


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One line: `secagg active 5 1 1 1 30: 3 up@4711 cut; 0#2 down@120 stall 8`. The numbers before the colon: banks,
    colluding, losses, rounds an epoch, steps; then `length=` and `patience=` where these are not 50 and 6.
    """

    setting: Setting
    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        return f"{self.setting}: {'; '.join(map(str, self.faults))}".rstrip()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError."""
        setting, colon, faults = text.partition(":")
        if not colon:
            raise ValueError(f"{text!r} is no plan: the setting comes before a colon, the faults after it")
        return cls(Setting.parse(setting), tuple(Fault.parse(one.strip()) for one in faults.split(";") if one.strip()))
