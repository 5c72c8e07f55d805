"""Members that deal, check and sum wrongly are found; floor and guard are what an aggregator's ledger says."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from committee_recorded import recorded
from committee_room import CommitteeRoom, Held, parties

from mpc.field import M31, FieldVector
from mpc.randomness import SeededRandomness
from protocols.committee import bindings, client
from protocols.committee.checking import Verdict
from protocols.committee.messages import (
    Card,
    CheckValues,
    Committee,
    Contribution,
    Invitation,
    Receipt,
    Round,
    SumShare,
)
from protocols.errors import AbortReason, DropReason, PartyId
from protocols.ledger import NOTHING_ANSWERED, SmallChange, SummedAgain, contribution_key, differencing_key
from protocols.machine import Aborted, Envelope, Finished
from protocols.secagg import Dispute


class Editing:
    """An honest machine whose messages of one class go through `edit`, which signs them again."""

    def __init__(self, room: CommitteeRoom, me: int, kind: type, edit: Callable[[Any, Any], Any]) -> None:
        self._member, self._kind, self._edit = room.member(PartyId(me)), kind, edit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._member, name)

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        before = self._member._now.aggregator
        return [self._one(before, envelope) for envelope in self._member.receive(sender, message)]

    def _one(self, before: Any, envelope: Envelope) -> Envelope:
        if not isinstance(envelope.message, self._kind):
            return envelope
        return replace(envelope, message=self._edit(before, envelope.message))


def another(values: bytes) -> bytes:
    """Other elements of M31 in the same number."""
    count = len(values) * 8 // 31
    return M31.pack(M31.uniform(count, SeededRandomness(values)))


def lying_about(room: CommitteeRoom, me: int, clients: tuple[int, ...]) -> Editing:
    """Its check values of these clients are not those of its shares."""
    identity, kappa = room.identities[PartyId(me)], room.numbers.repetitions

    def edit(state: Any, message: CheckValues) -> CheckValues:
        values = M31.unpack(message.values, len(state.candidates) * kappa)
        for one in clients:
            place = sorted(state.candidates).index(one)
            values[place * kappa] ^= 1
        packed = M31.pack(values)
        return CheckValues(bindings.sign_values(identity, state.agreed, packed), packed)

    return Editing(room, me, CheckValues, edit)


def summing_wrongly(room: CommitteeRoom, me: int) -> Editing:
    def edit(state: Any, message: SumShare) -> SumShare:
        share = another(message.share)
        return SumShare(bindings.sign_sum(room.identities[PartyId(me)], state.agreed, state.included, share), share)

    return Editing(room, me, SumShare, edit)


def dealing(monkeypatch: pytest.MonkeyPatch, room: CommitteeRoom, edit: Callable[[FieldVector], None]) -> None:
    """Client 1 deals other shares than it should; its input is what the others' are not."""
    true = client.deal

    def deal(numbers: Any, seed: Any, vector: FieldVector) -> FieldVector:
        rows = true(numbers, seed, vector)
        if np.array_equal(vector, room.inputs[PartyId(1)]):
            edit(rows)
        return rows

    monkeypatch.setattr(client, "deal", deal)


def apart(**given: Any) -> CommitteeRoom:
    return CommitteeRoom(**({"clients": 4, "aggregators": 6, "colluding": 1, "losses": 2, "length": 3} | given))


def require_sum_without(held: Held, *left_out: int) -> None:
    assert isinstance(held.server.outcome, Finished)
    included = frozenset(held.room.inputs) - parties(*left_out)
    assert held.server.outcome.aggregate.included == included
    assert np.array_equal(held.server.outcome.aggregate.vector, held.room.plain_sum(included))


@pytest.mark.parametrize("spoilt", [0, 3, -1], ids=["first block", "last block", "mask"])
def test_a_client_with_one_share_off_its_polynomial_is_left_out_and_in_dispute(
    spoilt: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = apart()

    def edit(rows: FieldVector) -> None:
        rows[2, min(spoilt, rows.shape[1] - 1)] ^= 1

    dealing(monkeypatch, room, edit)
    held = room.hold()
    require_sum_without(held, 1)
    assert held.server.disputes == {Dispute(PartyId(1), PartyId(6))}
    assert held.machines[PartyId(1)].outcome == Aborted(AbortReason.NOT_INCLUDED)


def test_a_client_with_shares_of_no_polynomial_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    room = apart()

    def edit(rows: FieldVector) -> None:
        rows[:, 0] = M31.uniform(len(rows), SeededRandomness(b"no polynomial"))

    dealing(monkeypatch, room, edit)
    require_sum_without(room.hold(), 1)


def test_shares_of_a_polynomial_of_higher_degree_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One degree more than T + ell - 1, in one block of five, and two spare shares to tell it by."""
    room = apart()

    def edit(rows: FieldVector) -> None:
        for point in range(1, len(rows) + 1):
            rows[point - 1, 0] = (int(rows[point - 1, 0]) + point**4) % M31.modulus

    dealing(monkeypatch, room, edit)
    require_sum_without(room.hold(), 1)


def test_without_the_degree_check_an_honest_aggregator_would_be_named_for_such_shares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = apart()
    dealing(monkeypatch, room, lambda rows: rows.__setitem__((2, 0), rows[2, 0] ^ 1))
    for where in ("server", "aggregator"):
        monkeypatch.setattr(f"protocols.committee.{where}.judge", _everybody)
    held = room.hold()
    assert held.server.named == {6}  # an honest aggregator is blamed
    assert 6 in held.server.dropped


def _everybody(numbers: Any, clients: Any, values: Any) -> Verdict:
    return Verdict(frozenset(clients), frozenset(), frozenset())


@pytest.mark.slow
def test_an_aggregator_that_lies_about_one_client_puts_it_out_and_about_two_itself() -> None:
    room = apart()
    held = room.hold(machines={PartyId(7): lying_about(room, 7, (1,))})
    require_sum_without(held, 1)
    assert held.server.disputes == {Dispute(PartyId(1), PartyId(7))}
    assert not held.server.dropped
    held = room.hold(machines={PartyId(7): lying_about(room, 7, (1, 2))})
    require_sum_without(held)
    assert held.server.dropped == {7: (Round.CHECK, DropReason.BAD_SHARE)}


def test_an_aggregator_that_sums_wrongly_is_named_and_corrected() -> None:
    room = apart()
    held = room.hold(machines={PartyId(8): summing_wrongly(room, 8)})
    require_sum_without(held)
    assert held.server.named == {8}
    assert held.server.dropped == {8: (Round.SUM, DropReason.BAD_SHARE)}


def test_more_wrong_sums_than_can_be_corrected_give_no_result() -> None:
    room = apart()
    held = room.hold(machines={PartyId(one): summing_wrongly(room, one) for one in (5, 8)})
    assert held.server.outcome == Aborted(AbortReason.UNMASK_INCONSISTENT, DropReason.BAD_SHARE)
    held.require_no_result()


def test_one_lost_and_none_wrong_or_none_lost_and_one_wrong_is_what_two_spare_shares_stand() -> None:
    room = apart()
    held = room.hold({4: Round.SUM}, machines={PartyId(8): summing_wrongly(room, 8)})
    assert held.server.outcome == Aborted(AbortReason.UNMASK_INCONSISTENT, DropReason.BAD_SHARE)


def test_an_aggregator_that_says_it_holds_nothing_puts_nobody_out() -> None:
    room = apart()
    identity = room.identities[PartyId(9)]

    def edit(state: Any, message: Receipt) -> Receipt:
        clients = frozenset(room.inputs)
        envelopes = b"".join(state.held[one].envelope for one in sorted(clients))
        offered = bindings.offer_digest(state.session, clients, envelopes)
        nothing = replace(message, held=frozenset())
        return replace(nothing, signature=bindings.sign_receipt(identity, offered, frozenset(), message.nonce))

    held = room.hold(machines={PartyId(9): Editing(room, 9, Receipt, edit)})
    require_sum_without(held)
    assert held.server.disputes == {Dispute(party, PartyId(9)) for party in room.inputs}


def test_a_client_that_seals_nonsense_for_some_is_left_out_before_too_few_can_go_on() -> None:
    room = apart()
    size, identity = room.numbers.piece_size, room.identities[PartyId(1)]

    def edit(state: Any, message: Contribution) -> Contribution:
        sealed = bytes(3 * size) + message.sealed[3 * size :]
        hashes = b"".join(bindings.hash_bytes(sealed[at : at + size]) for at in range(0, len(sealed), size))
        envelope = bindings.envelope_digest(session[0], PartyId(1), message.ephemeral_key, hashes)
        return Contribution(message.ephemeral_key, bindings.sign_contribution(identity, envelope), sealed)

    session: list[bytes] = []
    true = bindings.session_digest
    nonsense = Editing(room, 1, Contribution, edit)

    class Noting:
        """Overhears D from the card."""

        def __getattr__(self, name: str) -> Any:
            return getattr(nonsense, name)

        def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
            if isinstance(message, Card):
                session.append(true(room.params.digest, message.entries))
            return nonsense.receive(sender, message)

    held = room.hold(machines={PartyId(1): Noting()})
    require_sum_without(held, 1)
    assert {(one.dealer, one.holder) for one in held.server.disputes} == {(1, 4), (1, 5), (1, 6)}


def test_an_input_that_is_not_zero_where_the_canaries_lie_gives_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    room = apart()
    true = client.deal

    def deal(numbers: Any, seed: Any, vector: FieldVector) -> FieldVector:
        whole = np.concatenate([vector, M31.zeros(numbers.spec.canaries)])
        rows = true(numbers, seed, vector)
        if np.array_equal(vector, room.inputs[PartyId(1)]):
            whole[-1] = 1
            blocks = numbers.packing.pack(whole)
            noise = M31.uniform(numbers.packing.privacy * blocks.shape[1], SeededRandomness(b"n")).reshape(1, -1)
            rows[:, : numbers.blocks] = numbers.packing.split(blocks, noise)
        return rows

    monkeypatch.setattr(client, "deal", deal)
    held = room.hold()
    held.require_no_result()
    assert held.server.outcome == Aborted(AbortReason.UNMASK_INCONSISTENT)


# The ledger: floor and guard are the committee's


def after(held: Held, room: CommitteeRoom) -> dict[PartyId, Any]:
    """The same consortium's members, with the ledgers that the session left."""
    return {me: room.member(me, ledger=held.machines[me].ledger) for me in room.parties}


@pytest.mark.slow
def test_a_step_that_was_opened_is_not_opened_again_over_others() -> None:
    """Rule 13: the second session of the same model over one party less ends where its set would be certified."""
    room = CommitteeRoom(length=3, aggregators=4)
    held = room.hold()
    key = differencing_key(room.terms.subject)
    assert [held.machines[PartyId(one)].ledger.times(key) for one in (0, 6)] == [0, 1]
    second = room.hold({4: Round.CONTRIBUTE}, machines=after(held, room))
    second.require_no_result()
    refused = [second.machines[PartyId(one)].outcome for one in (5, 6, 7, 8)]
    assert {outcome.cause for outcome in refused} == {DropReason.SUMMED_BEFORE}


@pytest.mark.slow
def test_the_same_set_may_be_summed_once_more_and_everybody_is_warned() -> None:
    room = CommitteeRoom(length=3, aggregators=4)
    held = room.hold()
    second = room.hold(machines=after(held, room))
    second.require_exact(0, 1, 2, 3, 4)
    assert second.machines[PartyId(6)].warnings == (SummedAgain(1),)
    third = room.hold(machines=after(second, room))
    third.require_no_result()


@pytest.mark.slow
def test_a_client_contributes_to_one_step_no_oftener_than_its_terms_allow() -> None:
    room = CommitteeRoom(length=3, aggregators=4)
    key = contribution_key(differencing_key(room.terms.subject))
    ledger = NOTHING_ANSWERED
    for times in (1, 2):
        ledger = room.hold(machines={PartyId(1): room.member(PartyId(1), ledger=ledger)}).machines[PartyId(1)].ledger
        assert ledger.times(key) == times
    held = room.hold(machines={PartyId(1): room.member(PartyId(1), ledger=ledger)})
    assert held.machines[PartyId(1)].outcome == Aborted(AbortReason.REFUSED, DropReason.SUMMED_BEFORE)
    held = room.hold(
        machines={PartyId(1): room.member(PartyId(1), terms=replace(room.terms, retries_after_reveal=2), ledger=ledger)}
    )
    held.require_exact(0, 1, 2, 3, 4)


@pytest.mark.slow
def test_a_change_of_one_member_is_warned_of_and_refused_where_the_terms_are_strict() -> None:
    first = CommitteeRoom(length=3, aggregators=4)
    held = first.hold()
    room = CommitteeRoom(length=3, aggregators=4)
    subject = replace(room.terms.subject, model=bytes(32))
    room.terms, room.params = replace(room.terms, subject=subject), replace(room.params, subject=subject)
    second = room.hold({4: Round.CONTRIBUTE}, machines=after(held, room))
    second.require_exact(0, 1, 2, 3)
    assert second.machines[PartyId(6)].warnings == (SmallChange(frozenset(), parties(4)),)
    room.terms = replace(room.terms, strict=True)
    room.hold({4: Round.CONTRIBUTE}, machines=after(held, room)).require_no_result()


def test_the_ledger_holds_the_session_while_it_is_open() -> None:
    rec = recorded()
    assert rec.member(Invitation).ledger.sessions == ()
    assert len(rec.member(Committee).ledger.sessions) == 1
    assert rec.ended().ledger.sessions == ()
