"""Every protocol's record of every kind of session: it verifies, proves what it should, and holds no secret."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case, contributors
from record_rig import Session, hold

from mpc.randomness import SeededRandomness
from protocols.errors import SERVER, AbortReason, PartyId
from protocols.evidence import EvidenceRefused, Seen
from protocols.families import FAMILIES, family_of
from protocols.machine import Aborted, Finished, GivesEvidence
from protocols.record import Record, RecordError, verify
from protocols.roster import Consortium
from protocols.session import TEST_WIRE, Variant

QUICK = {"secagg-active", "secagg+-active", "mesh", "epoch-later", "lightsecagg-active", "committee"}


def param(case: Case, *stage: Any) -> Any:
    name = "-".join([case.name, *(one.value for one in stage)])
    return pytest.param(case, *stage, id=name, marks=() if case.name in QUICK else pytest.mark.slow)


every_case = pytest.mark.parametrize("case", [param(case) for case in CASES])
confirmed_case = pytest.mark.parametrize("case", [param(case) for case in CASES if case.variant is Variant.ACTIVE])
parties_case = pytest.mark.parametrize("case", [param(case) for case in CASES if case.family.collector])
every_stage = pytest.mark.parametrize(
    ("case", "stage"), [param(case, stage) for case in CASES for stage in case.stages]
)


@cache
def plain(case: Case) -> Session:
    """A session without a loss, held once."""
    return hold(case)


def require_verified(session: Session) -> Record:
    """It is the same after its bytes, and stands up to the consortium's file; its sets are the session's."""
    record = session.record()
    assert Record.from_bytes(record.to_bytes()) == record
    testimony = verify(record, session.consortium, wire=TEST_WIRE)
    if isinstance(session.outcome, Finished):
        assert record.evidence.u3 == session.outcome.aggregate.included
        if session.params.variant is Variant.ACTIVE:
            assert len(testimony.confirmations) >= testimony.quorum > 1
            assert testimony.statement is not None
            assert testimony.excludes_another(session.params.colluding) or session.params.protocol == "secagg+"
    if session.params.variant is not Variant.ACTIVE:
        assert (testimony.quorum, testimony.confirmations, list(testimony.claims)) == (0, {}, [])
    return record


def test_every_protocol_that_a_consortium_can_agree_on_testifies() -> None:
    for case in CASES:
        machines = case.make().machines()
        assert isinstance(machines.get(SERVER, machines[PartyId(0)]), GivesEvidence), case.name
    families = [*FAMILIES.values(), family_of("secagg", 2)]
    assert len({family.testimony for family in families}) == len(families)


@every_case
def test_the_record_of_a_session_without_a_loss(case: Case) -> None:
    session = plain(case)
    assert isinstance(session.outcome, Finished)
    record = require_verified(session)
    assert record.dropped == {}
    for party, machine in session.machines.items():
        assert isinstance(machine.outcome, Finished), party


@every_stage
def test_the_record_of_a_session_that_lost_a_party_at_any_stage(case: Case, stage: Any) -> None:
    session = hold(case, {3: stage})
    record = require_verified(session)
    known = {party: (lost.round, lost.reason) for party, lost in record.dropped.items()}
    dropped = session.machines[session.keeper].dropped
    assert known == {party: (where.value, why) for party, (where, why) in dropped.items()}


@every_case
def test_the_record_of_a_session_that_was_aborted(case: Case) -> None:
    """With all but one lost when the inputs had left."""
    after = case.stages[case.stages.index(case.family.input_stage) + 1]
    session = hold(case, dict.fromkeys(range(1, 10), after))
    assert isinstance(session.outcome, Aborted)
    assert require_verified(session).ending == session.outcome


@parties_case
def test_what_a_party_says_that_it_signed_is_what_the_record_proves(case: Case) -> None:
    """`seen` of real machines, read while they run."""
    seen: dict[PartyId, Seen] = {}
    running: dict[PartyId, Any] = {}

    def read(*_: object) -> None:
        clients = contributors(running)
        seen.update({me: one.seen for me, one in clients.items() if one.outcome is None and one.seen is not None})

    session = hold(case, tap=read, running=running)
    testimony = verify(session.record(), session.consortium, wire=TEST_WIRE)
    assert seen.keys() == set(session.room.parties)
    assert {one.params for one in seen.values()} == {session.params}
    signed = {me: one.confirmed for me, one in seen.items() if one.confirmed is not None}
    assert signed.keys() == testimony.confirmations.keys()
    assert set(signed.values()) <= {testimony.statement}


@every_case
def test_a_keeper_that_gives_up_at_once_leaves_a_record_of_nothing(case: Case) -> None:
    session = hold(case)
    room = session.room
    fresh = room.machines()[session.keeper]
    fresh.abort(AbortReason.STOPPED)
    session.machines[session.keeper] = fresh
    record = require_verified(session)
    assert record.ending == Aborted(AbortReason.STOPPED)
    assert not record.evidence.u3
    assert not record.evidence.confirmations


@every_case
def test_what_is_shown_is_still_there_after_a_snapshot(case: Case) -> None:
    session = plain(case)
    machine = session.machines[session.keeper]
    ledger = getattr(machine, "ledger", None)
    woken = case.wake(session.room, session.keeper, machine.snapshot(), ledger)
    assert woken.evidence == machine.evidence
    assert machine.evidence.u3


# The coordinator's lies that the members' signatures show, whatever it signs itself


def swapped(session: Session) -> Iterator[tuple[str, dict[str, Any]]]:
    evidence = session.unsigned().evidence
    one = max(evidence.u3)
    yield "without one of the set", {"u3": evidence.u3 - {one}, "u5": evidence.u5 - {one}}
    yield "over another D2", {"foundation": evidence.foundation[:-1] + bytes([evidence.foundation[-1] ^ 1])}
    yield "too few confirmations", {"confirmations": {}, "u4": frozenset()}
    voter = min(evidence.confirmations)
    other = max(evidence.confirmations)
    exchanged = {**evidence.confirmations, voter: evidence.confirmations[other]}
    yield "a confirmation of another's", {"confirmations": exchanged}
    stranger = {**evidence.confirmations, PartyId(40): bytes(64)}
    yield "a confirmation of nobody", {"confirmations": stranger, "u4": frozenset(stranger)}
    yield "others than who confirmed", {"u4": evidence.u4 - {voter}}


def is_refused(lie: Record, consortium: Consortium) -> bool:
    try:
        verify(lie, consortium, wire=TEST_WIRE)
    except RecordError:
        return True
    return False


@confirmed_case
def test_evidence_that_was_changed_before_it_was_signed_does_not_verify(case: Case) -> None:
    session = plain(case)
    evidence = session.unsigned().evidence
    for what, change in swapped(session):
        lie = session.record(evidence=replace(evidence, **change))
        assert is_refused(lie, session.consortium), what


@confirmed_case
def test_confirmations_are_of_one_session_only(case: Case) -> None:
    """The same members, sets and keys; only the model is another."""
    session = plain(case)
    subject = replace(session.params.subject, model=bytes(32))
    lie = session.record(params=replace(session.params, subject=subject))
    with pytest.raises(RecordError, match="did not sign"):
        verify(lie, session.consortium, wire=TEST_WIRE)


@every_case
def test_a_testimony_is_worked_out_from_evidence_of_the_right_form_alone(case: Case) -> None:
    session = plain(case)
    evidence = replace(session.unsigned().evidence, foundation=b"\xc1 is no encoding of anything")
    members = frozenset(session.consortium.members_by_id)
    with pytest.raises(EvidenceRefused):
        case.family.testimony(session.params, members, evidence)


# No secret


class Drawn:
    """Every byte that any randomness of this process gave out while it is in place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.secrets: set[bytes] = set()
        draw = SeededRandomness.bytes

        def noted(rand: SeededRandomness, count: int) -> bytes:
            drawn = draw(rand, count)
            self.secrets.add(drawn)
            return drawn

        monkeypatch.setattr(SeededRandomness, "bytes", noted)


SECRET = {
    "ShareKeys", "DeliverShares", "MaskedInput", "UnmaskShares", "FallbackShares", "RoundStart",
    "Piece", "Relayed", "AggregatedPiece", "Contribution", "Delivery", "CheckValues", "SumShare",
    "Share", "ExplicitShare", "PartialSum", "Recover", "HeldShares",
}  # fmt: skip
"""Messages that carry a secret, sealed, masked or revealed to one who asked by right."""


def leaves(thing: Any) -> Iterator[bytes]:
    """Every piece of bytes in a message that is no signature or key."""
    if isinstance(thing, bytes):
        if len(thing) not in (0, 32, 64):
            yield thing
    elif isinstance(thing, Mapping):
        for one in thing.values():
            yield from leaves(one)
    elif isinstance(thing, tuple):
        for one in thing:
            yield from leaves(one)
    elif is_dataclass(thing):
        for field in fields(thing):
            yield from leaves(getattr(thing, field.name))


def windows(data: bytes, size: int = 8) -> set[bytes]:
    return {data[at : at + size] for at in range(len(data) - size + 1)}


def secrets_of(session: Session, frames: list[bytes], drawn: set[bytes], case: Case) -> set[bytes]:
    """Eight bytes at a time: identities, all randomness, all inputs, all that was said under seal or revealed."""
    found = {identity.raw for identity in session.room.identities.values()} | {one for one in drawn if len(one) >= 8}
    for vector in session.room.inputs.values():
        assert np.any(vector)
        found |= {vector.tobytes(), session.room.field.pack(vector)}
    for data in frames:
        message = case.family.codec.decode(data)
        if type(message).__name__ in SECRET:
            found |= set(leaves(message))
            found |= {one.leaf_seed for one in getattr(message, "reveals", {}).values() if hasattr(one, "leaf_seed")}
    return set().union(*(windows(one) for one in found))


@every_case
def test_nothing_secret_of_a_session_is_in_its_record(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, frames = Drawn(monkeypatch), list[bytes]()
    session = hold(
        case, {3: case.family.input_stage}, tap=lambda sender, to, data: frames.append(data), length=40, clients=6
    )
    record = session.record()
    assert isinstance(session.outcome, Finished)
    secrets = secrets_of(session, frames, drawn.secrets, case)
    assert len(secrets) > 1000
    assert not secrets & windows(record.to_bytes())
    for party in (0, 1):  # and it would be found
        told = replace(record.evidence, foundation=session.identity(party).raw)
        assert secrets & windows(replace(record, evidence=told).to_bytes())
