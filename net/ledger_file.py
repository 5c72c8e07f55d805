"""A party's ledger as a file, the lock that lets one process at a time answer under its identity, a session's key.

The file is never brought back from a copy: an older one would let this party answer a second time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from mpc.keys import ChannelKey, KeyRefused
from net.errors import LedgerError, NetError
from net.journal import Piece
from net.store import OWNER_ONLY, read_payload, write_whole
from protocols.errors import WireError
from protocols.ledger import NOTHING_ANSWERED, Ledger
from protocols.wire import Codec


class KeyFile:
    """The key of the open session's snapshots, where a framework keeps those. Mode 0600, replaced whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> ChannelKey | None:
        """None where no session is open. Raises NetError when it cannot be read, LedgerError when it is damaged."""
        stored = read_payload(self._path)
        try:
            return None if stored is None else ChannelKey(stored)
        except KeyRefused as exc:
            raise LedgerError(f"{self._path}: no key of a session: remove it, this node joins the next one") from exc

    def write(self, key: ChannelKey) -> None:
        """Raises NetError."""
        write_whole(self._path, key.raw, mode=OWNER_ONLY)

    def erase(self) -> None:
        """Raises NetError."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as exc:
            raise NetError(f"{self._path}: cannot be removed: {exc.strerror}") from exc


@dataclass(frozen=True, slots=True)
class JournaledLedger:
    """A ledger, and the piece of the journal that was written with it and not with another."""

    ledger: Ledger
    last: Piece


class JournaledKeeper(Protocol):
    """A `protocols.ledger.Keeper` of a party that has a journal beside its ledger."""

    def read_journaled(self) -> tuple[Ledger, Piece | None]:
        """The newest, with its piece of the journal, where a session is open that can be taken up."""

    def write(self, ledger: Ledger, last: Piece | None = None) -> None:
        """Returns when it is on disk, whole. last: the piece of the journal that goes with it."""


_CODEC = Codec(Ledger | JournaledLedger, own=True)


class LedgerFile:
    """A `protocols.ledger.Keeper`. The lock is the file `PATH.lock` beside it; the system frees it when we die.

    While a session is open the file also says which piece of the journal goes with it. So a journal that is put back is
    closed: the ledger leads to no other piece than the last one, and its salt is nowhere else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Ledger:
        """Empty where there is no file yet. Raises NetError when it cannot be read, LedgerError when it is damaged."""
        return self.read_journaled()[0]

    def read_journaled(self) -> tuple[Ledger, Piece | None]:
        """With the piece of the journal, where a session is open that can be taken up. Raises as `read`."""
        stored = read_payload(self._path)
        if stored is None:
            return NOTHING_ANSWERED, None
        try:
            kept = _CODEC.decode(stored)
            return (kept.ledger, kept.last) if isinstance(kept, JournaledLedger) else (kept, None)
        except WireError as exc:
            raise LedgerError(
                f"{self._path}: not a ledger, or a damaged one: do not bring back an older copy; wait until the step "
                f"that is being trained has ended for all, then move this file away and start again"
            ) from exc

    def write(self, ledger: Ledger, last: Piece | None = None) -> None:
        """Returns when it is on disk, whole, with mode 0600. Raises NetError; the old ledger is still there then.

        last: the piece of the journal that goes with it.
        """
        kept = ledger if last is None else JournaledLedger(ledger, last)
        write_whole(self._path, _CODEC.encode(kept), mode=OWNER_ONLY)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises LedgerError at once where another process, or another part of this one, holds it."""
        lock = FileLock(f"{self._path}.lock", timeout=0, mode=OWNER_ONLY, thread_local=False, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout as exc:
            raise LedgerError(
                f"{self._path}: another process uses this identity: stop it first, a party runs once"
            ) from exc
        except OSError as exc:
            raise LedgerError(f"{self._path}.lock: cannot be written: {exc.strerror}") from exc
        try:
            yield
        finally:
            lock.release()
