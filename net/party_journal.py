"""What a party needs to take its session up again: its machine's snapshot, and every frame that it said.

The piece of the journal first, then the ledger that leads to it, then what was said leaves. Where a process ends
between the first two, the ledger leads to the piece before: the step is taken again, for nothing of it had left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from mpc.keys import SigningKey
from net.control import Task
from net.errors import JournalError
from net.framing import Kind
from net.journal import Journal, Piece, storage_key
from protocols.errors import WireError
from protocols.ledger import Ledger
from protocols.machine import Contributor, HandsOn
from protocols.session import Digest
from protocols.wire import Codec

Keep = Callable[[Ledger, Piece | None], None]
"""Writes the ledger, and which piece of the journal goes with it, and returns when it is on disk."""


@dataclass(frozen=True, slots=True)
class KeptFrame:
    """One that this party said in its session. kind: of `Kind`. size: of its body."""

    kind: int
    size: int
    body: Piece


@dataclass(frozen=True, slots=True)
class KeptSession:
    """context: a digest of what must be as it was. taken: of the server's frames, so many. trained: whether the machine
    has its input, or none is due. snapshot: empty but on its way to the file and from it, for it holds the secrets.
    """

    task: Task
    context: Digest
    taken: int
    trained: bool
    frames: tuple[KeptFrame, ...]
    snapshot: bytes = field(default=b"", repr=False)


_CODEC: Final = Codec(KeptSession, own=True)


class PartyJournal:
    """All calls are for a thread. Those that write raise NetError, those that read JournalError."""

    def __init__(self, path: Path, identity: SigningKey, keep: Keep) -> None:
        self._file = Journal(path, storage_key(identity, "party"))
        self._keep = keep
        self._has_begun = False

    def read(self, last: Piece) -> KeptSession:
        """The session that was open when a process ended; from here on it is ours."""
        try:
            session: KeptSession = _CODEC.decode(self._file.read(last))
        except WireError as exc:
            raise JournalError(f"{self._file.path}: not a journal of this version") from exc
        self._file.resume(last)
        self._has_begun = True
        return session

    def begin(self) -> None:
        """What is written next is of another session: it takes the place of what is there."""
        self._has_begun = False

    def write(self, session: KeptSession, machine: Contributor, said: Sequence[tuple[Kind, bytes]]) -> KeptSession:
        """One step on: with what it said, on disk, and its ledger with it."""
        if not self._has_begun:
            self._file.begin()
            self._has_begun = True
        frames = tuple(KeptFrame(kind, len(body), self._file.put(body)) for kind, body in said)
        session = replace(session, frames=(*session.frames, *frames))
        last = self._file.put(_CODEC.encode(replace(session, snapshot=machine.snapshot())))
        self._file.sync()
        self._keep(machine.ledger, last)
        return session

    def body(self, frame: KeptFrame) -> bytes:
        return self._file.read(frame.body)

    def finish(self, session: KeptSession, machine: Contributor) -> None:
        """The session is over: nothing of it is taken up again. A machine that hands an epoch on stays, without what
        it said, until the next session is written."""
        if isinstance(machine, HandsOn) and machine.epoch is not None:
            self.write(replace(session, frames=()), machine, [])
        else:
            self._keep(machine.ledger, None)
            self._file.erase()

    def burn(self, ledger: Ledger) -> None:
        """What was open when a process ended is not taken up, now or later. ledger: with nothing open."""
        self._keep(ledger, None)
        self._file.erase()

    def close(self) -> None:
        """This process ends. What is on disk stays."""
        self._file.close()
