"""What the two ends of a connection say beside the protocol: who they are, which step comes next, who may upload.

Party -> coordinator: Hello, Ready, Want, WantRecords, Offer, Refused, Leave.
Coordinator -> party: Welcome, Refused, Records, Task, Resumed, Grant, Over, Finished.
Between the members of a mesh: Hello, Welcome, Refused, Standing, Want.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from protocols.roster import Consortium
from protocols.session import WIRE, Digest
from protocols.wire import Codec, PartySet, Size

RUN_BYTES: Final = 16
HELLO_LIMIT: Final = 1024  # bytes of a control frame before the hello is accepted
CONTROL_LIMIT: Final = 4096
LARGEST_CLOCK_GAP: Final = 3600  # seconds


class Reason(StrEnum):
    WIRE_VERSION = "wire-version"
    CONSORTIUM = "consortium"
    CLOCK = "clock"
    REPLACED = "replaced"  # a newer connection of the same party took this one's place
    OTHER_MODEL = "other-model"  # the payload of this step is not the one that we computed ourselves
    OTHER_RECORDS = "other-records"  # the records of what was held before are not those that we hold


Run = Annotated[bytes, Size(RUN_BYTES)]
"""Which process of the coordinator a session began in: each draws one, and numbers its own sessions."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The session that a party is in, and how many of its frames it has taken. The coordinator sends what follows."""

    run: Run
    session: int
    taken: int


@dataclass(frozen=True, slots=True)
class Hello:
    wire: str
    consortium: Digest
    clock: int  # the party's, unix seconds
    claim: Claim | None = None  # a party that is in no session has none, nor has a member of a mesh


@dataclass(frozen=True, slots=True)
class Welcome:
    """The party is in the consortium and will be given tasks."""


@dataclass(frozen=True, slots=True)
class Refused:
    reason: Reason
    text: str  # one line for people


@dataclass(frozen=True, slots=True)
class Records:
    """Where the chain of records ends on which the next session is held. Said before each task and before the end."""

    number: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class WantRecords:
    """The records that follow this one are not here: send them."""

    after: int


@dataclass(frozen=True, slots=True)
class Task:
    """A session is about to start. It replaces whatever the party was doing."""

    session: int
    fl_round: int
    payload: Digest
    run: Run


@dataclass(frozen=True, slots=True)
class Resumed:
    """The session that the party claims goes on. taken: how many of the party's frames are here; it sends what
    follows."""

    session: int
    taken: int


@dataclass(frozen=True, slots=True)
class Want:
    """The payload of this task, or of the end, is not here: send it."""

    payload: Digest


@dataclass(frozen=True, slots=True)
class Ready:
    session: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A masked input is ready to be uploaded."""

    session: int
    size: int


@dataclass(frozen=True, slots=True)
class Grant:
    """Upload now."""

    session: int


@dataclass(frozen=True, slots=True)
class Over:
    """The session has ended, whoever was in it to the end."""

    session: int


@dataclass(frozen=True, slots=True)
class Finished:
    """No step is left; this is the last payload."""

    fl_round: int
    payload: Digest


@dataclass(frozen=True, slots=True)
class Leave:
    """This party's process ends: nobody need wait for it to come back."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a member of a mesh stands: which payload it holds, for which step, and what it waits for.

    attempt: at this step, for which it is ready; 0: it is not. begun_with: those with whom it has begun that session,
    itself among them; empty until then.
    """

    fl_round: int
    payload: Digest
    attempt: int
    begun_with: PartySet


Control = (
    Hello | Welcome | Refused | Records | WantRecords | Task | Want | Ready | Resumed | Offer | Grant | Over | Finished
    | Leave | Standing
)  # fmt: skip

CONTROL = Codec(Control)


def check_hello(hello: Hello, consortium: Consortium, role: str, *, now: int) -> Refused | None:
    """Why this party cannot take part, or None. Identities were checked before: this is about files and clocks.

    role: what we are, for people.
    """
    if hello.wire != WIRE:
        return Refused(Reason.WIRE_VERSION, f"this {role} speaks {WIRE}: install the same version on both sides")
    if hello.consortium != consortium.digest:
        ours, theirs = consortium.digest.hex()[:8], hello.consortium.hex()[:8]
        return Refused(
            Reason.CONSORTIUM, f"the consortium files differ ({role} {ours}, party {theirs}): use the same one"
        )
    if abs(gap := hello.clock - now) > LARGEST_CLOCK_GAP:
        side = "ahead of" if gap > 0 else "behind"
        return Refused(Reason.CLOCK, f"the party's clock is {abs(gap)} s {side} the {role}'s: set both")
    return None
