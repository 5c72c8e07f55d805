"""A record as a value: one encoding, one signature, its place in a chain, and what a party holds against it."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from cases import CASES
from hypothesis import given
from hypothesis import strategies as st
from record_rig import Session, adopt, consortium_of, hold, hold_in
from sessions import bounded

from mpc.keys import SigningKey
from mpc.randomness import SeededRandomness
from protocols import evidence as evidences
from protocols.errors import SERVER, AbortReason, DropReason, PartyId
from protocols.evidence import Dispute, Seen, Verdict
from protocols.machine import Aborted, Aggregate
from protocols.messages import Round
from protocols.record import (
    LARGEST_RECORD,
    START,
    Head,
    Lost,
    Record,
    RecordError,
    Summed,
    Witnessed,
    hash_sum,
    require_follows,
    verify,
)
from protocols.roster import Consortium
from protocols.session import TEST_WIRE, WIRE, Variant
from protocols.transcript import Line, Transcript
from protocols.wire import PartySet

SECAGG, MESH = (next(case for case in CASES if case.name == name) for name in ("secagg-active", "mesh"))
LOST = PartyId(3)


@cache
def held() -> Session:
    """Of six, one is lost before its input leaves, and another in the end."""
    return hold(SECAGG, {LOST: Round.MASKED_INPUT, 1: Round.UNMASK}, clients=6)


def require_refused(record: Record, why: str, consortium: Consortium | None = None, wire: str = TEST_WIRE) -> None:
    with pytest.raises(RecordError, match=why):
        verify(record, consortium or held().consortium, wire=wire)


# One encoding, one signature


def test_a_record_comes_back_as_it_was() -> None:
    record = held().record()
    again = Record.from_bytes(record.to_bytes())
    assert again == record
    assert again.to_bytes() == record.to_bytes()
    assert again.digest == record.digest


@pytest.mark.slow
def test_no_bit_of_a_record_can_be_changed() -> None:
    data = held().record().to_bytes()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        with pytest.raises(RecordError):
            verify(Record.from_bytes(bytes(changed)), held().consortium, wire=TEST_WIRE)


def test_no_byte_can_be_added_or_taken_away() -> None:
    data = held().record().to_bytes()
    for other in (data + b"\0", data[:-1], data[1:], b"", data + data):
        with pytest.raises(RecordError, match="no record"):
            Record.from_bytes(other)


@bounded(200)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_an_error_of_its_own(data: bytes) -> None:
    with pytest.raises(RecordError):
        Record.from_bytes(data)


def changed_fields() -> Iterator[tuple[str, Any]]:
    """Every field once, with another value of its type."""
    record = held().record()
    evidence, params, subject = record.evidence, record.params, record.params.subject
    other = bytes(range(32))
    yield "number", 2
    yield "previous", other
    yield "fl_round", 8
    yield "params", replace(params, nonce=other)
    yield "params", replace(params, subject=replace(subject, model=other))
    yield "params", replace(params, subject=replace(subject, config=other))
    yield "params", replace(params, subject=replace(subject, last_record=other))
    yield "params", replace(params, cohort=4)
    yield "parties", {**record.parties, PartyId(0): record.parties[PartyId(1)]}
    for name in ("u1", "u2", "u3", "u4", "u5"):
        yield "evidence", replace(evidence, **{name: getattr(evidence, name) ^ {PartyId(0)}})
    yield "evidence", replace(evidence, foundation=evidence.foundation + b"\0")
    yield "evidence", replace(evidence, confirmations={**evidence.confirmations, PartyId(0): bytes(64)})
    yield "evidence", replace(evidence, disputes=(Dispute(PartyId(0), PartyId(1)),))
    yield "evidence", replace(evidence, verdicts=(Verdict(PartyId(0), "two signatures"),))
    yield "dropped", {**record.dropped, LOST: Lost(Round.SHARE.value, DropReason.VANISHED)}
    yield "dropped", {**record.dropped, LOST: Lost(Round.MASKED_INPUT.value, DropReason.TOO_SLOW)}
    yield "dropped", {}
    yield "ending", Summed(other, record.ending.next_model)  # type: ignore[union-attr]
    yield "ending", Summed(record.ending.aggregate, other)  # type: ignore[union-attr]
    yield "ending", Aborted(AbortReason.STOPPED)
    yield "transcripts", {**record.transcripts, PartyId(0): other}
    yield "signature", bytes(64)


@pytest.mark.parametrize("place", range(sum(1 for _ in changed_fields())))
def test_a_field_that_was_changed_by_anybody_else_breaks_the_signature(place: int) -> None:
    name, value = list(changed_fields())[place]
    record = held().record()
    assert getattr(record, name) != value
    require_refused(replace(record, **{name: value}), "something in it was changed|another consortium file")


def test_a_record_that_another_signed_is_not_the_coordinators() -> None:
    for identity in (held().identity(0), SigningKey.generate(SeededRandomness(b"stranger"))):
        require_refused(held().record().signed(identity), "not by the coordinator")
    forged = replace(held().record().signed(held().identity(0)), recorder=held().identity(SERVER).verify_key.raw)
    require_refused(forged, "something in it was changed")


def test_a_mesh_is_recorded_by_each_of_its_members_and_by_nobody_else() -> None:
    session = hold(MESH)
    for party in session.room.parties:
        record = session.unsigned().signed(session.identity(party))
        assert verify(record, session.consortium, wire=TEST_WIRE).confirmations
    require_refused(session.unsigned().signed(session.identity(SERVER)), "not by a member", session.consortium)


# What the coordinator signs, and is still refused


def lies() -> Iterator[tuple[str, dict[str, Any], str]]:
    session = held()
    record = session.record()
    params, evidence, head = record.params, record.evidence, Head(1, bytes(range(32)))
    other = bytes(range(32))
    yield (
        "another consortium",
        {"params": replace(params, subject=replace(params.subject, consortium=other))},
        "made under another consortium file",
    )
    yield (
        "another version",
        {"params": replace(params, subject=replace(params.subject, version=4))},
        r"another consortium file \(version 4",
    )
    yield (
        "another configuration",
        {"params": replace(params, subject=replace(params.subject, config=other))},
        "another consortium file",
    )
    yield (
        "another coordinator",
        {"params": replace(params, subject=replace(params.subject, coordinator=other))},
        "another consortium file",
    )
    yield "a session of fewer colluders", {"params": replace(params, colluding=0)}, "other terms"
    yield "a curious session", {"params": replace(params, variant=Variant.CURIOUS)}, "other terms"
    yield "another protocol", {"params": replace(params, protocol="lightsecagg")}, "other terms"
    yield "another nonce", {"params": replace(params, nonce=other)}, "did not sign 'advertise keys'"
    yield (
        "another model",
        {"params": replace(params, subject=replace(params.subject, model=other))},
        "did not sign 'advertise keys'",
    )
    yield "no first one", {"number": 2}, "not that of its place"
    yield "a later one that is the first", {"number": 1, "previous": other}, "another last record"
    yield "number nought", {"number": 0}, "not that of its place"
    yield "a place that its session does not know", {"number": head.number + 1, "previous": head.digest}, "last record"
    yield "an identity", {"parties": {**record.parties, PartyId(0): other}}, "party 0 has another identity"
    yield "a stranger", {"parties": {**record.parties, PartyId(9): other}}, "party 9 has another identity"
    yield (
        "somebody who was not there",
        {"parties": {party: key for party, key in record.parties.items() if party != LOST}},
        "whose identity it does not give",
    )
    yield (
        "a round that is none",
        {"dropped": {LOST: Lost("vow", DropReason.VANISHED)}},
        "a round that secagg does not have",
    )
    yield (
        "two lines of a verdict",
        {"evidence": replace(evidence, verdicts=(Verdict(LOST, "one\ntwo"),))},
        "not one short line",
    )
    yield "a long verdict", {"evidence": replace(evidence, verdicts=(Verdict(LOST, "x" * 201),))}, "not one short line"
    yield "one more in the sum", {"evidence": replace(evidence, u3=evidence.u3 | {LOST})}, "did not sign 'confirm'"
    yield (
        "one less in the sum",
        {"evidence": replace(evidence, u3=evidence.u3 - {PartyId(1)})},
        "a confirmation of somebody who has none to give",
    )
    yield "another U2", {"evidence": replace(evidence, u2=evidence.u3)}, "did not sign 'confirm'"
    yield "another U1", {"evidence": replace(evidence, u1=evidence.u3)}, "do not nest"
    yield (
        "a smaller U1",
        {"evidence": replace(evidence, u1=evidence.u1 - {LOST}, u2=evidence.u2 - {LOST})},
        "its roster is not U1",
    )
    yield "a reveal from outside", {"evidence": replace(evidence, u5=evidence.u5 | {LOST})}, "do not nest"
    yield "U4 of others", {"evidence": replace(evidence, u4=evidence.u5 - {PartyId(0)})}, "U4 is not who confirmed"
    yield "a roster of nothing", {"evidence": replace(evidence, foundation=b"")}, "no roster"
    yield (
        "confirmations of nothing",
        {"evidence": replace(evidence, u3=frozenset(), u4=frozenset(), u5=frozenset())},
        "a confirmation of somebody who has none to give",
    )
    yield (
        "too few",
        {
            "evidence": replace(
                evidence, u4=frozenset(), confirmations={p: evidence.confirmations[p] for p in list(evidence.u4)[:3]}
            )
        },
        "3 confirmations of its set, 4 are needed",
    )
    yield (
        "a sum of nobody",
        {"evidence": replace(evidence, u3=frozenset(), u4=frozenset(), u5=frozenset(), confirmations={})},
        "a sum over 0 parties, 3 are the fewest",
    )


@pytest.mark.parametrize("lie", list(lies()), ids=lambda lie: lie[0])
def test_what_its_own_coordinator_signed_is_refused_where_the_members_did_not(lie: Any) -> None:
    _, changes, why = lie
    require_refused(held().record(**changes), why)


def test_a_confirmation_that_was_forged_is_found() -> None:
    evidence, statement = held().unsigned().evidence, ("confirm", bytes(32), b"\x17")
    true = evidence.confirmations[PartyId(0)]
    for forged in (bytes(64), held().identity(1).sign(*statement), held().identity(0).sign(*statement), true[::-1]):
        lie = replace(evidence, confirmations={**evidence.confirmations, PartyId(0): forged})
        require_refused(held().record(evidence=lie), "party 0 did not sign 'confirm'")


def test_a_party_that_never_joined_cannot_be_put_into_u1() -> None:
    """Its keys are the coordinator's own; its signature is missing."""
    from protocols.messages import AdvertiseKeys
    from protocols.secagg.testimony import ROSTER

    session = hold(SECAGG, {LOST: Round.ADVERTISE})
    evidence = session.unsigned().evidence
    entries = session.machines[SERVER]._state.keys
    forged = AdvertiseKeys(LOST, bytes(31) + b"\x09", bytes(31) + b"\x08", session.identity(SERVER).sign("anything"))
    roster = ROSTER.dump(
        [*(entries[party] for party in sorted(evidence.u1 - {PartyId(4)})), forged, entries[PartyId(4)]]
    )
    lie = replace(evidence, u1=evidence.u1 | {LOST}, foundation=roster)
    require_refused(session.record(evidence=lie), "did not sign 'advertise keys'", session.consortium)


def test_what_is_the_coordinators_word_alone_is_believed_and_is_no_more_than_that() -> None:
    """Nobody else signed it, so no check could find it: docs/records.md says so."""
    record = held().record()
    for changes in (
        {"dropped": {LOST: Lost(Round.SHARE.value, DropReason.BAD_KEY)}},
        {"ending": Summed(bytes(32), bytes(32))},
        {"evidence": replace(record.evidence, disputes=(Dispute(PartyId(0), PartyId(1)),))},
        {"transcripts": {}},
        {"fl_round": 99},
    ):
        verify(held().record(**changes), held().consortium, wire=TEST_WIRE)


def test_a_seeded_session_is_no_evidence_among_real_ones() -> None:
    require_refused(held().record(), "another wire version", wire=WIRE)


def test_a_record_that_nobody_would_read_is_not_written() -> None:
    evidence = replace(held().unsigned().evidence, foundation=bytes(LARGEST_RECORD))
    with pytest.raises(RecordError, match="the largest has"):
        held().record(evidence=evidence).to_bytes()
    with pytest.raises(RecordError, match="the largest has"):
        Record.from_bytes(bytes(LARGEST_RECORD + 1))


@pytest.mark.parametrize(
    ("confirmed", "electorate", "colluding", "excludes"), [(4, 5, 2, True), (4, 5, 3, False), (11, 100, 5, False)]
)
def test_another_set_is_excluded_where_two_such_quorums_share_an_honest_member(
    confirmed: int, electorate: int, colluding: int, excludes: bool
) -> None:
    signatures = {PartyId(party): bytes(64) for party in range(confirmed)}
    testimony = evidences.Testimony(confirmations=signatures, quorum=confirmed, electorate=electorate)
    assert testimony.excludes_another(colluding) is excludes


# The chain


@cache
def chain() -> tuple[list[Record], Consortium]:
    """Three sessions of one room, each held on the record of the one before."""
    room = SECAGG.make()
    consortium, head, records = consortium_of(room), START, list[Record]()
    for number in range(3):
        adopt(room, consortium, head.digest)
        room.params = replace(room.params, nonce=bytes([number] * 32))
        records.append(hold_in(room, SECAGG, consortium, head=head).record())
        head = records[-1].head
    return records, consortium


def test_each_record_follows_the_one_before_and_no_other() -> None:
    records, consortium = chain()
    heads = [START, *(record.head for record in records)]
    for place, record in enumerate(records):
        verify(record, consortium, wire=TEST_WIRE)
        require_follows(record, heads[place])
        for other in (*heads[:place], *heads[place + 1 :], Head(place, bytes(range(32)))):
            with pytest.raises(RecordError):
                require_follows(record, other)


def test_the_members_signatures_fix_the_record_before_theirs() -> None:
    """A coordinator that rewrites record 1 has to take the members' signatures of record 2 along, which name it."""
    (first, second, _), consortium = chain()
    rewritten = replace(first, fl_round=first.fl_round + 1).signed(hold_identity())
    moved = replace(second, previous=rewritten.digest)
    with pytest.raises(RecordError, match="another last record"):
        verify(moved.signed(hold_identity()), consortium, wire=TEST_WIRE)
    subject = replace(moved.params.subject, last_record=rewritten.digest)
    with pytest.raises(RecordError, match="did not sign"):
        verify(
            replace(moved, params=replace(moved.params, subject=subject)).signed(hold_identity()),
            consortium, wire=TEST_WIRE,
        )  # fmt: skip


def hold_identity() -> SigningKey:
    return SECAGG.make().identities[SERVER]


# What a party saw itself


def witnessed(session: Session, me: int, **changes: Any) -> Witnessed:
    """What `me` knows, as its own messages give it."""
    party = PartyId(me)
    statement = verify(session.record(), session.consortium, wire=TEST_WIRE).statement
    aggregate = session.machines[party].outcome.aggregate
    line = session.transcript.lines[party]
    return replace(Witnessed(Seen(session.params, statement), aggregate, line), **changes)


def contradiction(own: Witnessed, record: Record, me: int = 0) -> str | None:
    return own.contradiction(record, verify(record, held().consortium, wire=TEST_WIRE), PartyId(me))


def test_what_is_true_contradicts_nobody() -> None:
    own = witnessed(held(), 0)
    assert contradiction(own, held().record()) is None
    for less in ({"aggregate": None}, {"line": None}, {"seen": Seen(held().params, None)}):
        assert contradiction(replace(own, **less), held().record()) is None  # type: ignore[arg-type]


def test_another_set_than_the_confirmed_one_is_a_contradiction() -> None:
    from protocols.secagg import bindings

    own = witnessed(held(), 0)
    other = bindings.confirmation(bytes(32), held().outcome.aggregate.included)
    assert "another set" in str(contradiction(replace(own, seen=Seen(held().params, other)), held().record()))
    nothing = replace(held().unsigned().evidence, u3=frozenset(), u4=frozenset(), u5=frozenset(), confirmations={})
    silent = held().record(evidence=nothing, ending=Aborted(AbortReason.TOO_FEW))
    assert "it names no set" in str(contradiction(own, silent))


def test_another_sum_is_a_contradiction() -> None:
    own = witnessed(held(), 0)
    stopped = held().record(ending=Aborted(AbortReason.STOPPED))
    assert "there was no sum" in str(contradiction(own, stopped))
    assert "not the one that we were given" in str(
        contradiction(own, held().record(ending=Summed(bytes(32), bytes(32))))
    )
    assert own.aggregate is not None
    fewer = Aggregate(own.aggregate.vector, own.aggregate.included - {PartyId(0)})
    assert "not the one that we were given" in str(contradiction(replace(own, aggregate=fewer), held().record()))


def test_another_transcript_is_a_contradiction_where_the_party_stayed_to_the_end() -> None:
    own = witnessed(held(), 0)
    lines = {**held().transcript.lines, PartyId(0): bytes(32)}
    assert "said to each other" in str(contradiction(own, held().record(transcripts=lines)))
    assert contradiction(replace(own, aggregate=None), held().record(transcripts=lines)) is None
    assert contradiction(own, held().record(transcripts={})) is None


def test_the_hash_of_a_sum_is_what_the_coordinator_signed_with_it() -> None:
    from protocols.messages import CODEC, Result
    from protocols.secagg import bindings

    results: list[Any] = []

    def keep(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        message = CODEC.decode(data)
        results.extend([message] if isinstance(message, Result) else [])

    session = hold(SECAGG, tap=keep)
    state = session.machines[SERVER]._state
    (result, *_), ending = results, session.record().ending
    assert isinstance(ending, Summed)
    key = session.identity(SERVER).verify_key
    included: PartySet = result.included
    key.verify(result.signature, "result", state.shared, bindings.bitmap(included), ending.aggregate)
    aggregate = session.outcome.aggregate
    other = Aggregate(np.roll(aggregate.vector, 1), aggregate.included)
    assert hash_sum(other, session.params.spec) != ending.aggregate


# Transcripts


def test_both_sides_of_a_line_have_the_same_hash() -> None:
    """The lines of a session, noted by the parties instead of by the coordinator."""
    lines = {PartyId(party): Line() for party in range(5)}

    def note(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        if sender == SERVER:
            lines[recipient].told(data)
        else:
            lines[sender].said(data)

    session = hold(SECAGG, tap=note)
    assert session.transcript.lines == {party: line.digest for party, line in lines.items()}
    assert len(set(session.transcript.lines.values())) == len(lines)


@bounded(100)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=4)), max_size=5, unique=True), st.data())
def test_a_line_tells_any_two_exchanges_apart(said: list[tuple[bool, bytes]], data: st.DataObject) -> None:
    """Whatever is left out, put in, changed, moved within its direction or said by the other side."""
    other = data.draw(st.lists(st.tuples(st.booleans(), st.binary(max_size=4)), max_size=5))
    directions = [[[body for up, body in exchange if up is way] for way in (True, False)] for exchange in (said, other)]
    assert (line_of(said) == line_of(other)) is (directions[0] == directions[1])


def test_a_line_tells_who_said_what() -> None:
    assert line_of([(True, b"one"), (False, b"two")]) != line_of([(False, b"one"), (True, b"two")])


def line_of(exchange: list[tuple[bool, bytes]]) -> bytes:
    line = Line()
    for up, body in exchange:
        (line.said if up else line.told)(body)
    return line.digest


def test_of_a_session_that_was_taken_up_again_there_is_no_transcript() -> None:
    transcript = Transcript()
    transcript.told([PartyId(0)], b"after a restart")
    assert transcript.lines == {}
