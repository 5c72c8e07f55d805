"""The coordinator's records: one is drawn up, signed and written when a session is over, and every party is given it.
Proofs of who cheated in it lie beside them before that.

Before a task each party hears where the chain ends. A party that missed records asks for them, and the session is held
on the last one by all, or not with it.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

import trio

from mpc.keys import SigningKey
from net.control import Records
from net.framing import Kind
from net.peer import Peer
from net.proofs import FOLDER, ProofsFolder
from net.records import SUFFIX, RecordsFile
from net.workload import Held
from protocols.accounts import GivesProofs
from protocols.evidence import Evidence
from protocols.machine import Aborted, Collector, GivesEvidence, Outcome
from protocols.record import START, Record, RecordError, Summed, dropped, hash_sum
from protocols.roster import Consortium
from protocols.session import SessionParams
from protocols.transcript import Transcript
from protocols.wire import PartySet

MOST_AT_ONCE: Final = 16  # records that answer one request

log = logging.getLogger("veilsum.coordinator")


@dataclass(frozen=True, slots=True)
class Concluded:
    """A session that is over. parties: who was invited. held: what it began with. following: what came of the sum."""

    params: SessionParams
    parties: PartySet
    machine: Collector
    outcome: Outcome
    transcript: Transcript
    held: Held
    following: Held | None


class Recorder:
    """head: the last record, on which the next session is held."""

    def __init__(self, payload: Path, consortium: Consortium, identity: SigningKey) -> None:
        self.head = START
        self._file = RecordsFile(payload.with_suffix(SUFFIX), consortium)
        self._proofs = ProofsFolder(payload.with_suffix(FOLDER), consortium)
        self._consortium = consortium
        self._identity = identity
        self._newest: bytes | None = None  # that nobody was given yet
        self._given: WeakKeyDictionary[Peer, int] = WeakKeyDictionary()

    async def read(self) -> None:
        """Raises RecordsError where the chain on disk is damaged."""
        self.head = await trio.to_thread.run_sync(self._file.head)

    async def write(self, concluded: Concluded) -> None:
        """On disk before anybody hears of the sum: a sum that was given out has its record, after a crash too."""
        try:
            self._newest = await trio.to_thread.run_sync(self._write, concluded)
        except RecordError as exc:
            log.warning("step %d: no record of this session is kept: %s", concluded.held.fl_round, exc)

    def give_out(self, peers: Iterable[Peer]) -> None:
        """What was written, to all who are connected; the others ask for it when they are back."""
        data, self._newest = self._newest, None
        if data is not None:
            for peer in peers:
                peer.post(Kind.RECORD, data)

    def announce(self, peer: Peer) -> None:
        peer.say(Records(self.head.number, self.head.digest))

    async def give(self, peer: Peer, after: int) -> None:
        """Once: what a connection asked for before is on its way."""
        if after <= self._given.get(peer, -1):
            return
        self._given[peer] = after
        for data in await trio.to_thread.run_sync(self._file.after, after, MOST_AT_ONCE):
            peer.post(Kind.RECORD, data)

    def _write(self, concluded: Concluded) -> bytes:
        self._keep_proofs(concluded.machine)
        record = self._drawn_up(concluded).signed(self._identity)
        data = record.to_bytes()
        self._file.append(record, self.head)
        self.head = record.head
        return data

    def _keep_proofs(self, machine: Collector) -> None:
        proofs = machine.proofs if isinstance(machine, GivesProofs) else ()
        for verdict, file in self._proofs.write(self.head.number + 1, proofs).items():
            name = self._consortium.members[verdict.cheater].name
            log.warning("%s broke the protocol: %s: %s proves it", name, verdict.reason, file)

    def _drawn_up(self, concluded: Concluded) -> Record:
        params, machine, members = concluded.params, concluded.machine, self._consortium.members_by_id
        evidence = machine.evidence if isinstance(machine, GivesEvidence) else Evidence()
        return Record(
            number=self.head.number + 1,
            previous=self.head.digest,
            recorder=self._identity.verify_key.raw,
            fl_round=concluded.held.fl_round,
            params=params,
            parties={party: members[party].raw for party in concluded.parties | evidence.parties},
            evidence=evidence,
            dropped=dropped(machine.dropped),
            ending=_ending(concluded),
            transcripts=concluded.transcript.lines,
        )


def _ending(concluded: Concluded) -> Summed | Aborted:
    outcome, following = concluded.outcome, concluded.following
    if isinstance(outcome, Aborted):
        return outcome
    assert following is not None
    return Summed(hash_sum(outcome.aggregate, concluded.params.spec), following.digest)
