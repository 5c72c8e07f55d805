"""A party's copy of the coordinator's records, each held against what the party saw itself before it is believed.

A record that is not signed, not next in the chain, or not what its signatures prove is never taken into the chain: it
is kept beside it, as evidence. One that is all that, and still says otherwise than we saw, is the coordinator's signed
word against ours: it is kept in both places, and said aloud.
"""

import logging
from pathlib import Path

import trio

from net.events import Happened, OnEvent, PartyEvent
from net.records import SUFFIX, RecordsFile
from protocols.errors import PartyId
from protocols.evidence import Testimony
from protocols.record import START, Record, RecordError, Witnessed, require_follows, verify
from protocols.roster import Consortium

log = logging.getLogger("veilsum.party")


class Witness:
    """head: the last record that we hold. distrust: why the coordinator's records are not taken any more; None where
    they are."""

    def __init__(self, payload: Path, consortium: Consortium, me: PartyId, on_event: OnEvent) -> None:
        self.head = START
        self.distrust: str | None = None
        self._file = RecordsFile(payload.with_suffix(SUFFIX), consortium)
        self._consortium = consortium
        self._me = me
        self._on_event = on_event
        self._own: Witnessed | None = None

    async def read(self) -> None:
        """Raises RecordsError where the chain on disk is damaged."""
        self.head = await trio.to_thread.run_sync(self._file.head)

    def took_part(self, witnessed: Witnessed | None) -> None:
        """A session is over for us; its record comes next."""
        self._own = witnessed

    async def receive(self, data: bytes) -> None:
        """A record that the coordinator sent, asked for or not."""
        fl_round, why = await trio.to_thread.run_sync(self._take, data)
        if why:
            log.warning("a record of the coordinator is contested, and kept as evidence: %s", why)
            self._on_event(PartyEvent(Happened.CONTESTED, fl_round, why))

    def _take(self, data: bytes) -> tuple[int | None, str | None]:
        """The step that it is about, and what is wrong with it."""
        try:
            record = Record.from_bytes(data)
        except RecordError as exc:
            return None, self._refuse(data, str(exc))
        if record.number > self.head.number + 1:
            return record.fl_round, None  # we miss others before it, and ask for all of them at the next task
        try:
            testimony = verify(record, self._consortium)
            known = self._known(record)
            if not known:
                require_follows(record, self.head)
        except RecordError as exc:
            return record.fl_round, self._refuse(data, str(exc))
        if known:
            return record.fl_round, None
        self._file.append(record, self.head)
        self.head = record.head
        return record.fl_round, self._compare(record, testimony, data)

    def _refuse(self, data: bytes, why: str) -> str:
        self.distrust = why
        self._file.contest(data, why)
        return why

    def _known(self, record: Record) -> bool:
        """Whether we hold it. Raises RecordError where we hold another of this number: the coordinator signed both."""
        if record.number > self.head.number:
            return False
        held = Record.from_bytes(self._file.after(record.number - 1, 1)[0])
        if held.digest != record.digest:
            raise RecordError(f"the coordinator signed two records {record.number}")
        return True

    def _compare(self, record: Record, testimony: Testimony, data: bytes) -> str | None:
        own, self._own = self._own, None
        if own is None:
            return None
        if own.seen.params.digest == record.params.digest:
            why = own.contradiction(record, testimony, self._me)
        else:
            why = "there is no record of a session whose sum we were given" if own.aggregate else None
        if why:
            self._file.contest(data, why)
        return why and f"record {record.number}: {why}"
