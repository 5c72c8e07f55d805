"""The chain of records on disk: one SQLite file, to which records are only ever added. [PROTOCOLS rule 17]

The coordinator has one and each party has one, of the same form, so that a copy of one stands in for another that is
lost. A file may hold the chains of several consortium files, one after the other. Beside the chains lies what a party
was sent and could not believe: evidence, and no part of any chain.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from net.errors import RecordsError
from net.store import OWNER_ONLY
from protocols.record import START, Head, Record, RecordError, require_follows, verify
from protocols.roster import Consortium

APPLICATION: Final = 0x7665696C  # "veil"
SUFFIX: Final = ".records"
MOST_CONTESTED: Final = 64  # a coordinator cannot fill our disk with what nobody believes
BUSY: Final = 5.0  # seconds to wait for another process that writes

_TABLES: Final = (
    "CREATE TABLE records (consortium BLOB NOT NULL, number INTEGER NOT NULL, record BLOB NOT NULL, "
    "PRIMARY KEY (consortium, number)) WITHOUT ROWID",
    "CREATE TABLE contested (place INTEGER PRIMARY KEY, why TEXT NOT NULL, record BLOB NOT NULL UNIQUE)",
)

_REMEDY: Final = "bring a copy from another member, or move it away and start again"


@dataclass(frozen=True, slots=True)
class RecordsFile:
    """Of one consortium file. Every call opens the file anew, and is for a thread."""

    path: Path
    consortium: Consortium

    def head(self) -> Head:
        """After a look at the whole chain: no gap, each bound to the one before, the last one verified. Raises
        RecordsError.

        The signatures of the others were verified when they came; `veilsum verify` does it again.
        """
        self.require_whole()
        head, last = START, None
        try:
            for last in self.chain():
                require_follows(last, head)
                head = last.head
            if last is not None:
                verify(last, self.consortium)
        except RecordError as exc:
            raise RecordsError(f"{self.path}: the chain of records is broken: {exc}: {_REMEDY}") from exc
        return head

    def chain(self) -> Iterator[Record]:
        """Record by record, in their order, as they lie there. Raises RecordsError.

        Those under other consortium files are looked at too: one of ours may have come to lie among them.
        """
        with self._opened() as database:
            for consortium, number, data in database.execute("SELECT * FROM records ORDER BY consortium, number"):
                record = self._read(consortium, number, data)
                if consortium == self.consortium.digest:
                    yield record

    def others(self) -> int:
        """How many records lie here under other consortium files."""
        with self._opened() as database:
            found = database.execute("SELECT count(*) FROM records WHERE consortium <> ?", (self.consortium.digest,))
            return int(found.fetchone()[0])

    def after(self, number: int, most: int) -> list[bytes]:
        """The encodings of the records that follow, `most` at the most."""
        with self._opened() as database:
            rows = database.execute(
                "SELECT record FROM records WHERE consortium = ? AND number > ? ORDER BY number LIMIT ?",
                (self.consortium.digest, number, most),
            )
            return [data for (data,) in rows]

    def append(self, record: Record, head: Head) -> None:
        """As the next one after `head`. It is on disk when this returns. Raises RecordsError."""
        require_follows(record, head)
        with self._changed() as database:
            (last,) = database.execute(
                "SELECT coalesce(max(number), 0) FROM records WHERE consortium = ?", (self.consortium.digest,)
            ).fetchone()
            if last != head.number:
                raise RecordsError(f"{self.path}: another process writes into it: stop it, a member runs once")
            row = self.consortium.digest, record.number, record.to_bytes()
            database.execute("INSERT INTO records VALUES (?, ?, ?)", row)

    def contest(self, data: bytes, why: str) -> None:
        """Keeps what cannot be believed, once, up to MOST_CONTESTED of them. Raises RecordsError."""
        with self._changed() as database:
            (held,) = database.execute("SELECT count(*) FROM contested").fetchone()
            if held < MOST_CONTESTED:
                database.execute("INSERT OR IGNORE INTO contested (why, record) VALUES (?, ?)", (why, data))

    def contested(self) -> list[tuple[str, bytes]]:
        """Why, and what."""
        with self._opened() as database:
            return list(database.execute("SELECT why, record FROM contested ORDER BY place"))

    def _read(self, consortium: bytes, number: int, data: bytes) -> Record:
        try:
            record = Record.from_bytes(bytes(data))
        except (RecordError, TypeError) as exc:
            raise RecordsError(f"{self.path}: record {number} is damaged: {_REMEDY}") from exc
        if (record.number, record.params.subject.consortium) != (number, consortium):
            raise RecordsError(f"{self.path}: record {number} is in another's place: {_REMEDY}")
        return record

    # The file

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """For reading; empty where there is no file yet, which this does not make."""
        if not self.path.exists() or not self.path.stat().st_size:
            with closing(sqlite3.connect(":memory:")) as database:
                _make(database)
                yield database
            return
        with self._for_people(), closing(self._connect()) as database:
            self._require_ours(database)
            yield database

    @contextmanager
    def _changed(self) -> Iterator[sqlite3.Connection]:
        """For one change, which is on disk afterwards, or did not happen."""
        with self._for_people():
            self._create()
            with closing(self._connect()) as database:
                database.execute("PRAGMA synchronous = FULL")
                self._require_ours(database)
                database.execute("BEGIN IMMEDIATE")
                with database:
                    yield database

    def _connect(self) -> sqlite3.Connection:
        """To a file that is there. For reading too: a change that was cut off is taken back first."""
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        return sqlite3.connect(uri, uri=True, timeout=BUSY, isolation_level=None)

    def _create(self) -> None:
        """With mode 0600, where it is not there."""
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
        if self.path.stat().st_size == 0:
            with closing(self._connect()) as database:
                database.execute("BEGIN IMMEDIATE")
                with database:
                    _make(database)

    def _require_ours(self, database: sqlite3.Connection) -> None:
        """Raises RecordsError on a file of something else."""
        (application,) = database.execute("PRAGMA application_id").fetchone()
        tables = database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name DESC").fetchall()
        if application != APPLICATION or [sql for (sql,) in tables] != list(_TABLES):
            raise RecordsError(f"{self.path}: not a file of records: name another one, or move it away")

    def require_whole(self) -> None:
        """Raises RecordsError on a torn file."""
        with self._opened() as database:
            (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        if found != "ok":
            raise RecordsError(f"{self.path}: the file is torn: {_REMEDY}")

    @contextmanager
    def _for_people(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as exc:
            raise RecordsError(f"{self.path}: cannot be read or written: {exc}") from exc
        except (sqlite3.DatabaseError, UnicodeDecodeError) as exc:
            raise RecordsError(f"{self.path}: not a file of records, or a torn one: {_REMEDY}") from exc
        except OSError as exc:
            raise RecordsError(f"{self.path}: cannot be written: {exc.strerror}") from exc


def _make(database: sqlite3.Connection) -> None:
    database.execute(f"PRAGMA application_id = {APPLICATION}")
    for table in _TABLES:
        database.execute(table)
