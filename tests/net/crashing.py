"""A process that ends at one of its writes: just before it, or just after. Counted, so that every one can be tried."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from net.framing import Kind
from net.journal import Journal
from net.ledger_file import LedgerFile
from net.peer import Peer

Patch = Callable[[Any, str, Any], None]
"""`setattr`, or a fixture's that takes it back."""


class Killed(Exception):
    """A test ended this process here."""


@dataclass(frozen=True)
class Crash:
    """At what is counted as `number`, from 0, before or after it."""

    number: int
    after: bool

    @classmethod
    def parse(cls, text: str) -> "Crash":
        number, when = text.split("-")
        return cls(int(number), when == "after")

    def __str__(self) -> str:
        return f"{self.number}-{'after' if self.after else 'before'}"


@dataclass
class Writes:
    """What one process, whose files begin with `name`, writes from now on: of its journal, its ledger, its payload.

    die: ends it, once.
    """

    name: str
    die: Callable[[], None]
    crash: Crash | None = None
    seen: list[str] = field(default_factory=list)

    def watch(self, patch: Patch) -> "Writes":
        patch(Journal, "sync", self._around("journal", Journal.sync, lambda journal: journal.path))
        patch(LedgerFile, "write", self._around("ledger", LedgerFile.write, lambda file: file._path))
        for name in ("net.party", "net.coordinator"):
            module = import_module(name)
            patch(module, "write_whole", self._around("payload", module.write_whole, lambda path: path))
        return self

    def watch_frames(self, patch: Patch) -> "Writes":
        """Of a process that has this interpreter to itself: what it sends in sessions is counted too, once it left."""
        write = Peer._write

        async def watched(peer: Peer, frame: Any) -> None:
            await write(peer, frame)
            if frame.kind in (Kind.MESSAGE, Kind.UPLOAD):
                self._count("frame", lambda: None)

        patch(Peer, "_write", watched)
        return self

    def _around(self, what: str, write: Callable[..., Any], path_of: Callable[[Any], Any]) -> Callable[..., Any]:
        def watched(first: Any, *rest: Any, **named: Any) -> None:
            if path_of(first).stem == self.name:
                self._count(what, lambda: write(first, *rest, **named))
            else:
                write(first, *rest, **named)

        return watched

    def _count(self, what: str, write: Callable[[], Any]) -> None:
        number = len(self.seen)
        self.seen.append(what)
        self._die_at(Crash(number, after=False))
        write()
        self._die_at(Crash(number, after=True))

    def _die_at(self, here: Crash) -> None:
        if self.crash == here:
            self.crash = None
            self.die()
