"""What happened in one training, as its processes told it and as the proxies did it: facts with their times.

All times are of the monotonic clock, which the processes of a machine share.
"""

from dataclasses import dataclass, field

from benchmarks.reliability.faults import Action, Link, Setting
from benchmarks.reliability.proxy import Struck

Places = frozenset[int]


@dataclass(frozen=True, slots=True)
class Listening:
    """A coordinator is there."""

    port: int


@dataclass(frozen=True, slots=True)
class Reported:
    """How one session ended for a coordinator, or for a member of a mesh. absent: who was not in it."""

    begin: float
    end: float
    fl_round: int
    included: Places
    absent: Places
    dropped: tuple[str, ...]
    finished: bool


@dataclass(frozen=True, slots=True)
class Summed:
    """A process made the next payload of a sum. exact: it is the sum of these inputs."""

    at: float
    fl_round: int
    included: Places
    exact: bool


@dataclass(frozen=True, slots=True)
class Happening:
    """A `net.events.PartyEvent`."""

    at: float
    what: str
    fl_round: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A party's message is about to leave."""

    at: float
    fl_round: int
    stage: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A process is about to end with the line for people of this `net.errors` class."""

    at: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A process. status: as the system says it, negative for a signal. stopped: it had been asked to end."""

    at: float
    status: int
    stopped: bool


Fact = Listening | Reported | Summed | Happening | Sent | Failed | Ended


@dataclass(frozen=True, slots=True)
class Told:
    """who: a place, or None for the coordinator."""

    who: int | None
    fact: Fact


@dataclass(slots=True)
class Story:
    """told: in the order in which it was heard. hangs: a line for each process that did not go on, or end, in time.
    models: who -> whose inputs each sum of its stored payload covers. answered: bytes that came back for what was said
    again. pause: the longest that this machine kept a process waiting that was due, in seconds.
    """

    told: list[Told] = field(default_factory=list)
    strikes: list[Struck] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    models: dict[int | None, list[list[int]]] = field(default_factory=dict)
    answered: list[int] = field(default_factory=list)
    seconds: float = 0.0
    pause: float = 0.0


def name(who: int | None) -> str:
    return "the coordinator" if who is None else f"bank {who}"


def victims(struck: Struck, setting: Setting) -> Places:
    """Whom a fault may have cost a session. A coordinator that is killed costs everybody."""
    link, action, banks = struck.fault.link, struck.fault.action, setting.banks
    if action in HARMLESS or (action is Action.STALL and struck.fault.seconds < LOSING_STALL * setting.patience):
        return frozenset()
    if action is Action.KILL:
        return frozenset({link.caller})
    if link.answerer is None:
        return frozenset(range(banks)) if action is Action.KILL_OTHER else frozenset({link.caller})
    return frozenset({link.answerer}) if action is Action.KILL_OTHER else ends(link)


def ends(link: Link) -> Places:
    return frozenset({link.caller} if link.answerer is None else {link.caller, link.answerer})


HARMLESS = frozenset({Action.DELAY, Action.REPLAY})
"""After these nobody may be missing from a sum."""

LOSING_STALL = 0.2  # of a round's patience; an upload may stand still for a quarter of it. A shorter stall loses nobody
