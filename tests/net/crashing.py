"""A process that ends at one of its writes: just before it, or just after. Counted, so that every one can be tried."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from net.journal import Journal
from net.ledger_file import LedgerFile


class Killed(Exception):
    """A test ended this process here."""


@dataclass
class Crash:
    """At the write `number` of a process, counted from 0, before or after it. None: nowhere."""

    number: int | None = None
    after: bool = False


@dataclass
class Writes:
    """What one process, whose files begin with `name`, writes from now on: of its journal, its ledger, its payload.

    die: ends it. Called once.
    """

    name: str
    die: Callable[[], None]
    crash: Crash = field(default_factory=Crash)
    seen: list[str] = field(default_factory=list)

    def watch(self, monkeypatch: Any) -> "Writes":
        monkeypatch.setattr(Journal, "sync", self._around("journal", Journal.sync, lambda journal: journal.path))
        monkeypatch.setattr(LedgerFile, "write", self._around("ledger", LedgerFile.write, lambda file: file._path))
        for module in ("net.party", "net.coordinator"):
            write_whole = __import__(module, fromlist=["write_whole"]).write_whole
            monkeypatch.setattr(f"{module}.write_whole", self._around("payload", write_whole, lambda path: path))
        return self

    def _around(self, what: str, write: Callable[..., Any], path_of: Callable[[Any], Any]) -> Callable[..., Any]:
        def watched(first: Any, *rest: Any, **named: Any) -> Any:
            if path_of(first).stem != self.name:
                return write(first, *rest, **named)
            number = len(self.seen)
            self.seen.append(what)
            self._die_at(number, after=False)
            write(first, *rest, **named)
            self._die_at(number, after=True)
            return None

        return watched

    def _die_at(self, number: int, *, after: bool) -> None:
        if (self.crash.number, self.crash.after) == (number, after):
            self.crash = Crash()
            self.die()
