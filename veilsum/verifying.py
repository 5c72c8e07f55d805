"""`veilsum verify`: reads records, a whole chain or a single one, or the proof of a verdict, and holds them against the
consortium's file.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from net.config import load_consortium
from net.records import RecordsFile
from net.store import write_whole
from protocols import accounts
from protocols.errors import WireError
from protocols.evidence import Testimony, Verdict
from protocols.record import LARGEST_RECORD, START, Head, Record, RecordError, require_follows, verify
from protocols.roster import Consortium
from protocols.session import SessionParams
from veilsum.errors import Fault

_SQLITE: Final = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Proven:
    """A record, and what it proves."""

    record: Record
    testimony: Testimony


@dataclass(frozen=True, slots=True)
class Verified:
    """records: in their order. head: where the chain ends; None of a single record, whose place in it is not known.
    others: how many lie in the same file under other consortium files. contested: why, of what lies beside the chain.
    """

    consortium: Consortium
    records: tuple[Proven, ...]
    head: Head | None
    others: int = 0
    contested: tuple[str, ...] = field(default=())

    @property
    def newest(self) -> Record:
        return self.records[-1].record


@dataclass(frozen=True, slots=True)
class Convicted:
    """What a proof shows, and the session that it is of."""

    consortium: Consortium
    params: SessionParams
    verdict: Verdict


def verify_file(file: Path, consortium_file: Path) -> Verified | Convicted:
    """Raises Fault, or RecordsError and ConfigError, with one line that names what is wrong."""
    consortium = load_consortium(consortium_file)
    data = _read(file)
    if data.startswith(_SQLITE):
        return _chain(file, consortium)
    try:
        proof = accounts.proof_from_bytes(data)
    except WireError:
        return _single(file, data, consortium)
    return _convicted(file, proof, consortium)


def export(verified: Verified, number: int, out: Path) -> None:
    """One record as a file of its own. Raises Fault."""
    for proven in verified.records:
        if proven.record.number == number:
            write_whole(out, proven.record.to_bytes(), mode=0o644)
            return
    raise Fault(f"--record {number}: there are records 1 to {verified.newest.number}")


def _read(file: Path) -> bytes:
    """As much of it as a single record may have, and the head of any other file."""
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST_RECORD + 1)
    except OSError as exc:
        raise Fault(f"{file}: cannot be read: {exc.strerror}") from exc


def _single(file: Path, data: bytes, consortium: Consortium) -> Verified:
    try:
        record = Record.from_bytes(data)
        return Verified(consortium, (Proven(record, verify(record, consortium)),), None)
    except RecordError as exc:
        raise Fault(f"{file}: {exc}") from exc


def _convicted(file: Path, proof: accounts.Proof, consortium: Consortium) -> Convicted:
    try:
        return Convicted(consortium, proof.scene.params, accounts.check(proof, consortium))
    except accounts.NotProven as exc:
        raise Fault(f"{file}: this proves nothing: {exc}") from exc


def _chain(file: Path, consortium: Consortium) -> Verified:
    records = RecordsFile(file, consortium)
    records.require_whole()
    others = records.others()
    proven = tuple(_follow(file, records.chain(), consortium))
    if not proven:
        raise Fault(
            f"{file}: no record under this consortium file is in it, and {others} under others: "
            f"name the file that they were made under"
        )
    return Verified(consortium, proven, proven[-1].record.head, others, tuple(why for why, _ in records.contested()))


def _follow(file: Path, records: Iterable[Record], consortium: Consortium) -> Iterable[Proven]:
    head = START
    for record in records:
        try:
            require_follows(record, head)
            yield Proven(record, verify(record, consortium))
        except RecordError as exc:
            raise Fault(f"{file}: record {record.number}: {exc}") from exc
        head = record.head
