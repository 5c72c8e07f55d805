"""What verified records say, in plain words and as one JSON line (docs/records.md, docs/json.md)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from protocols.errors import PartyId
from protocols.evidence import Testimony
from protocols.machine import Aborted
from protocols.record import Record, Summed
from protocols.roster import Consortium
from protocols.session import Variant
from veilsum.verifying import Proven, Verified


def told(verified: Verified) -> list[str]:
    """Lines for people."""
    names = _Names(verified.consortium)
    lines = [line for proven in verified.records for line in _record_lines(proven, names)]
    return [*lines, "", *_summary(verified), "", *weighed(_proves(verified), _leaves_open(verified))]


def weighed(proves: Iterable[str], leaves_open: Iterable[str]) -> list[str]:
    """What is proven, and what is not, for people."""
    lines = ["It proves:", *(f"- {one}" for one in proves)]
    return [*lines, "It does not prove:", *(f"- {one}" for one in leaves_open)]


class _Names:
    """A party's name. All that a verified record names are in the consortium's file."""

    def __init__(self, consortium: Consortium) -> None:
        self._cards = consortium.members
        self._recorders = {card.verify_key.raw: card.name for card in consortium.cards}

    def of(self, party: PartyId) -> str:
        return self._cards[party].name

    def each(self, parties: Iterable[PartyId]) -> list[str]:
        return [self.of(party) for party in sorted(parties)]

    def recorder(self, record: Record) -> str:
        return self._recorders[record.recorder]


def _record_lines(proven: Proven, names: _Names) -> list[str]:
    record = proven.record
    where = f"record {record.number}, round {record.fl_round}: "
    lost = "".join(
        f"; {names.of(party)} lost at {one.round} ({one.reason.value})" for party, one in sorted(record.dropped.items())
    )
    disputes = [
        f"  a dispute: what {names.of(one.holder)} holds of {names.of(one.dealer)} does not fit; whose fault is open"
        for one in record.evidence.disputes
    ]
    verdicts = [f"  {names.of(one.cheater)} broke the protocol: {one.reason}" for one in record.evidence.verdicts]
    return [where + _outcome(proven, names) + lost, *disputes, *verdicts]


def _outcome(proven: Proven, names: _Names) -> str:
    record, ending = proven.record, proven.record.ending
    if isinstance(ending, Aborted):
        return f"no sum ({ending.reason.value})"
    return f"the sum of {', '.join(names.each(record.evidence.u3))}; {_confirmations(proven.testimony)}"


def _confirmations(testimony: Testimony) -> str:
    if not testimony.quorum:
        return "nobody confirmed the set"
    confirmed, needed = len(testimony.confirmations), testimony.quorum
    return f"{confirmed} of {testimony.electorate} confirmed the set, {needed} are needed"


def _summary(verified: Verified) -> list[str]:
    consortium, newest = verified.consortium, verified.newest
    under = f"{consortium.name}, version {consortium.version}"
    if verified.head is None:
        return [f"One record under {under}: whether others stand before or after it is not known."]
    count = len(verified.records)
    lines = [f"{count} {'record' if count == 1 else 'records'} under {under}, each bound to the one before it."]
    lines.append(f"The last is {newest.number}, {newest.digest.hex()}: compare it with another member's.")
    if verified.others:
        lines.append(f"{verified.others} more in this file were made under other consortium files: verify those too.")
    return lines + [f"Beside the chain, contested when it came: {_one_line(why)}" for why in verified.contested]


def _proves(verified: Verified) -> list[str]:
    confirmed, keeper = _summed(verified, confirmed=True), _keeper(verified)
    lines = [f"{keeper} signed each line above: nobody else has changed one, taken one out or put one in"]
    if verified.head is not None and confirmed and verified.consortium.coordinator is not None:
        last = confirmed[-1].record.number
        lines.append(f"before record {last} not even {keeper} has: in it members signed which record came before")
    if any(proven.testimony.joined for proven in verified.records):
        lines.append("the members that joined a session signed that they did, for this model and on these terms")
    if confirmed:
        lines.append("as many members as stated signed exactly this set, for this session and for no other")
    if confirmed and all(_excludes_another(proven) for proven in confirmed):
        colluding = verified.consortium.colluding
        cheats = "any member" if not colluding else f"more than {colluding} of the members"
        lines.append(f"no other set of those who joined a session can have as many, unless {cheats} signed two")
    return lines


def _leaves_open(verified: Verified) -> list[str]:
    lines = ["that the sum that was published is the sum over this set", "what anybody put into it"]
    if _summed(verified, confirmed=False):
        lines.append("over whom the sums were that nobody confirmed: that is the coordinator's word")
    lines.append(f"who was lost and why, and what was disputed: that is {_keeper(verified)}'s word")
    if verified.head is not None:
        lines.append("that no record was left out at the end: another member's copy shows it")
    return lines


def _keeper(verified: Verified) -> str:
    has_coordinator = verified.consortium.coordinator is not None
    return "the coordinator" if has_coordinator else _Names(verified.consortium).recorder(verified.newest)


def _summed(verified: Verified, *, confirmed: bool) -> list[Proven]:
    """The records with a sum whose set was confirmed, or was not."""
    return [
        proven
        for proven in verified.records
        if isinstance(proven.record.ending, Summed) and bool(proven.testimony.quorum) is confirmed
    ]


def _excludes_another(proven: Proven) -> bool:
    return proven.testimony.excludes_another(proven.record.params.colluding)


def _one_line(text: str) -> str:
    """What lies beside the chain in a file from elsewhere may be anything."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


# JSON


def to_json(verified: Verified) -> str:
    """One line."""
    names, head = _Names(verified.consortium), verified.head
    return json.dumps(
        {
            "consortium": verified.consortium.name,
            "version": verified.consortium.version,
            "head": None if head is None else {"number": head.number, "digest": head.digest.hex()},
            "records": [_record(proven, names) for proven in verified.records],
            "under_other_files": verified.others,
            "contested": [_one_line(why) for why in verified.contested],
            "proves": _proves(verified),
            "does_not_prove": _leaves_open(verified),
        },
        allow_nan=False,
    )


def _record(proven: Proven, names: _Names) -> dict[str, Any]:
    record, testimony = proven.record, proven.testimony
    params, evidence = record.params, record.evidence
    return {
        "number": record.number,
        "digest": record.digest.hex(),
        "previous": record.previous.hex(),
        "recorder": names.recorder(record),
        "round": record.fl_round,
        "protocol": params.protocol,
        "variant": params.variant.value,
        "session": params.digest.hex(),
        "colluding": params.colluding,
        "losses": params.losses,
        "floor": params.floor,
        "parties": names.each(record.parties),
        "u1": names.each(evidence.u1),
        "u2": names.each(evidence.u2),
        "u3": names.each(evidence.u3),
        "u4": names.each(evidence.u4),
        "u5": names.each(evidence.u5),
        "confirmed_by": names.each(testimony.confirmations),
        "threshold": testimony.quorum if params.variant is Variant.ACTIVE else None,
        "excludes_another_set": _excludes_another(proven) if testimony.confirmations else None,
        "dropped": _dropped(record, names),
        "disputes": [{"dealer": names.of(one.dealer), "holder": names.of(one.holder)} for one in evidence.disputes],
        "verdicts": [{"cheater": names.of(one.cheater), "reason": one.reason} for one in evidence.verdicts],
        "model": params.subject.model.hex(),
        "config": params.subject.config.hex(),
        **_ending(record, names),
        "transcripts": {names.of(party): line.hex() for party, line in sorted(record.transcripts.items())},
    }


def _dropped(record: Record, names: _Names) -> Sequence[Mapping[str, str]]:
    return [
        {"party": names.of(party), "round": one.round, "reason": one.reason.value}
        for party, one in sorted(record.dropped.items())
    ]


def _ending(record: Record, names: _Names) -> dict[str, Any]:
    ending = record.ending
    if isinstance(ending, Summed):
        return {"aggregate": ending.aggregate.hex(), "next_model": ending.next_model.hex(), "aborted": None}
    aborted = {
        "reason": ending.reason.value,
        "cause": ending.cause and ending.cause.value,
        "accused": None if ending.accused is None else names.of(ending.accused),
    }
    return {"aggregate": None, "next_model": None, "aborted": aborted}
