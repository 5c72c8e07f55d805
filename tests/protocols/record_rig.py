"""Sessions of any protocol under a consortium file, and the records that their keepers draw up."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cases import AnyRoom, Case
from epoch_room import EpochRoom

from mpc.hashing import digest
from mpc.keys import SigningKey
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange, Tap
from protocols.machine import Aborted, Finished
from protocols.record import START, Head, Record, Summed, dropped, hash_sum
from protocols.roster import Card, Consortium
from protocols.session import TEST_WIRE, SessionParams
from protocols.transcript import Transcript

NEXT_MODEL = digest("model", b"after it")


def consortium_of(room: AnyRoom) -> Consortium:
    """The file under which this room's session could be held."""
    params = room.params
    cards = [Card.issue(f"bank-{party}", room.identities[party], b"root of %d" % party) for party in room.parties]
    return Consortium(
        name="recorded",
        version=3,
        members=tuple(cards),
        coordinator=None if params.protocol == "mesh" else Card.issue("hub", room.identities[SERVER], b"root"),
        protocol=params.protocol,
        variant=params.variant,
        colluding=params.colluding,
        losses=params.losses,
        max_weight=1,
        training={"model": "tested"},
        aggregators=tuple(cards[party].name for party in sorted(params.aggregators)),
        rounds_per_epoch=params.rounds_per_epoch,
        accountable=params.accountable,
    )


def adopt(room: AnyRoom, consortium: Consortium, last_record: bytes) -> None:
    """From here on the room's sessions are held under this file and on this record."""
    before = room.params
    subject = consortium.subject(before.subject.model, last_record)
    agreed = consortium.params(subject, before.spec, before.nonce)
    room.params = replace(agreed, threshold=before.threshold, cohort=before.cohort, wire=TEST_WIRE)
    room.terms = replace(room.terms, subject=subject)


@dataclass
class Session:
    """One that has been held. machines: of everybody, lost ones too; left: of those who were there to the end."""

    room: AnyRoom
    consortium: Consortium
    params: SessionParams
    machines: dict[PartyId, Any]
    left: dict[PartyId, Any]
    transcript: Transcript
    head: Head

    @property
    def keeper(self) -> PartyId:
        """The coordinator; in a mesh the lowest peer that is left."""
        return SERVER if SERVER in self.machines else min(self.left)

    @property
    def outcome(self) -> Any:
        return self.machines[self.keeper].outcome

    def identity(self, party: int) -> SigningKey:
        return self.room.identities[PartyId(party)]

    def unsigned(self) -> Record:
        machine, outcome = self.machines[self.keeper], self.outcome
        assert isinstance(outcome, Finished | Aborted)
        members = self.consortium.members_by_id
        sum_ = isinstance(outcome, Finished) and Summed(hash_sum(outcome.aggregate, self.params.spec), NEXT_MODEL)
        return Record(
            number=self.head.number + 1,
            previous=self.head.digest,
            recorder=bytes(32),
            fl_round=7,
            params=self.params,
            parties={party: key.raw for party, key in members.items()},
            evidence=machine.evidence,
            dropped=dropped(machine.dropped),
            ending=sum_ or outcome,  # type: ignore[arg-type]
            transcripts=self.transcript.lines,
        )

    def record(self, **changes: Any) -> Record:
        """As its keeper signs it. changes: what it says instead of the truth."""
        return replace(self.unsigned(), **changes).signed(self.room.identities[self.keeper])


def hold(
    case: Case,
    vanish: Mapping[int, Any] | None = None,
    *,
    head: Head = START,
    tap: Tap | None = None,
    running: dict[PartyId, Any] | None = None,
    **given: Any,
) -> Session:
    """A session of this case, held on the record of this head. running: is told of the machines before they start."""
    room = case.make(**given)
    consortium = consortium_of(room)
    adopt(room, consortium, head.digest)
    if case.name == "epoch-later":
        assert isinstance(room, EpochRoom)
        room.hold()
        room.next_step()
    return hold_in(room, case, consortium, vanish, head=head, tap=tap, running=running)


def hold_in(
    room: AnyRoom,
    case: Case,
    consortium: Consortium,
    vanish: Mapping[int, Any] | None = None,
    *,
    head: Head = START,
    tap: Tap | None = None,
    running: dict[PartyId, Any] | None = None,
) -> Session:
    transcript, machines = Transcript(), dict(room.machines())
    transcript.begin()
    if running is not None:
        running.update(machines)

    def note(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        if recipient == SERVER:
            transcript.said(sender, data)
        elif sender == SERVER:
            transcript.told([recipient], data)
        if tap:
            tap(sender, recipient, data)

    gone = {PartyId(party): stage for party, stage in (vanish or {}).items()}
    exchange = Exchange(machines, case.family.codec, vanish=gone, tap=note)
    exchange.run()
    return Session(room, consortium, room.params, machines, dict(exchange.machines), transcript, head)
