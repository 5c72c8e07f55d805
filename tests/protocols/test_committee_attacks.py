"""Every check of the committee violated alone is refused by that check, and nothing has changed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from committee_recorded import ME, PEER, STRANGER, Recorded, recorded
from committee_room import parties

from mpc.field import M31
from protocols.committee import bindings
from protocols.committee.messages import (
    AdvertiseKey,
    Card,
    Certificate,
    Certify,
    Checks,
    CheckValues,
    Committee,
    Contribution,
    Delivery,
    Invitation,
    Offer,
    Receipt,
    Receipts,
    Result,
    Round,
    SumShare,
    Vow,
    Vows,
)
from protocols.errors import SERVER, AbortReason, DropReason, PartyId, PeerMisbehaved
from protocols.machine import Aborted
from protocols.session import Variant, VectorSpec

ZERO = bytes(32)
FORGED = bytes(64)
ALL = (0, 1, 2, 3, 4)
Make = Callable[[Recorded], Any]


def changed(kind: type, **changes: Any) -> Make:
    """What was heard, with these changes and the signature that it had."""
    return lambda rec: replace(rec.heard[kind], **changes)


def params(**changes: Any) -> Make:
    return lambda rec: Invitation(replace(rec.room.params, **changes))


def delivery(**changes: Any) -> Make:
    """Another client's contribution, with these changes signed by it."""

    def make(rec: Recorded) -> Delivery:
        one = replace(rec.heard[Delivery], **changes)
        envelope = bindings.envelope_digest(rec.session, one.client, one.ephemeral_key, one.hashes)
        return replace(one, signature=bindings.sign_contribution(rec.room.identities[one.client], envelope))

    return make


def twice(rec: Recorded) -> Card:
    card: Card = rec.card_with(rec.entry(3, channel_key=rec.entry(0).channel_key))
    return card


MEMBER: dict[str, tuple[type, DropReason, Make]] = {
    # round 0
    "fewer colluders than our terms ask for": (Invitation, DropReason.OUTSIDE_TERMS, params(colluding=0)),
    "another committee": (Invitation, DropReason.OUTSIDE_TERMS, params(aggregators=parties(0, 1, 3))),
    "another vector": (Invitation, DropReason.OUTSIDE_TERMS, params(spec=VectorSpec(4, M31))),
    "another protocol": (Invitation, DropReason.OUTSIDE_TERMS, params(protocol="secagg")),
    "the curious variant": (Invitation, DropReason.OUTSIDE_TERMS, params(variant=Variant.CURIOUS)),
    "losses that leave no room": (Invitation, DropReason.OUTSIDE_TERMS, params(losses=4)),
    # round 1
    "a card out of order": (Card, DropReason.WRONG_SET, lambda rec: rec.card(*rec.heard[Card].entries[::-1])),
    "a card with a stranger": (
        Card, DropReason.WRONG_SET,
        lambda rec: rec.card(*rec.heard[Card].entries, replace(rec.entry(4), aggregator=STRANGER))),
    "a card of too few": (Card, DropReason.WRONG_SET, lambda rec: rec.card(*rec.heard[Card].entries[:3])),
    "a card with one key twice": (Card, DropReason.BAD_KEY, twice),
    "a key of low order": (Card, DropReason.BAD_KEY, lambda rec: rec.card_with(rec.entry(3, channel_key=ZERO))),
    "a key that its aggregator did not sign": (
        Card, DropReason.BAD_KEY, lambda rec: rec.card_with(replace(rec.entry(3), channel_key=b"\7" * 32))),
    "a card that is not signed": (Card, DropReason.BAD_SIGNATURE, changed(Card, signature=FORGED)),
    "a committee without our own key": (
        Committee, DropReason.WRONG_SET,
        lambda rec: rec.card(
            *(rec.entry(2, commitment=ZERO) if one.aggregator == 2 else one for one in rec.heard[Card].entries),
            kind=Committee)),
    "a committee that is not signed": (Committee, DropReason.BAD_SIGNATURE, changed(Committee, signature=FORGED)),
    "a contribution of no contributor": (Delivery, DropReason.OUTSIDE_TERMS, changed(Delivery, client=STRANGER)),
    "a contribution in another's name": (Delivery, DropReason.BAD_SIGNATURE, changed(Delivery, client=PartyId(4))),
    "a contribution that is not signed": (Delivery, DropReason.BAD_SIGNATURE, changed(Delivery, signature=FORGED)),
    "another ephemeral key": (Delivery, DropReason.BAD_SIGNATURE, changed(Delivery, ephemeral_key=b"\7" * 32)),
    "a piece that was not signed": (Delivery, DropReason.BAD_BUNDLE, changed(Delivery, sealed=bytes(44))),
    "too few hashes": (Delivery, DropReason.BAD_LENGTH, delivery(hashes=bytes(64))),
    # round 2
    "an offer that is not signed": (Offer, DropReason.BAD_SIGNATURE, changed(Offer, signature=FORGED)),
    "an offer with strangers": (Offer, DropReason.OUTSIDE_TERMS, lambda rec: rec.offer(rec.everybody | {STRANGER})),
    "an offer that is cut": (Offer, DropReason.BAD_LENGTH, lambda rec: rec.offer(rec.everybody, bytes(64))),
    "an offer below the floor": (Offer, DropReason.WRONG_SET, lambda rec: rec.offer(parties(1, 2))),
    # round 3
    "receipts without our own": (Receipts, DropReason.WRONG_SET, lambda rec: rec.receipts(p2=None)),
    "receipts with another of ours": (
        Receipts, DropReason.WRONG_SET, lambda rec: rec.receipts(p2=rec.receipt(2, held=parties(0, 1, 2)))),
    "receipts of strangers": (
        Receipts, DropReason.WRONG_SET, lambda rec: rec.receipts(p9=rec.said[PEER, Receipt])),
    "too few receipts": (Receipts, DropReason.WRONG_SET, lambda rec: rec.receipts(p3=None, p4=None)),
    "a receipt that is not signed": (
        Receipts, DropReason.BAD_SIGNATURE,
        lambda rec: rec.receipts(p3=replace(rec.said[PEER, Receipt], held=parties(0)))),
    "a nonce that was not committed to": (
        Receipts, DropReason.BAD_SIGNATURE, lambda rec: rec.receipts(p3=rec.receipt(3, nonce=ZERO))),
    "candidates below the floor": (
        Receipts, DropReason.WRONG_SET,
        lambda rec: rec.receipts(**{f"p{one}": rec.receipt(one, held=parties(0, 1)) for one in (0, 1, 3, 4)})),
    # round 4
    "too few vows": (Vows, DropReason.NO_QUORUM, lambda rec: rec.vows(0, 1, 2)),
    "vows for another challenge": (Vows, DropReason.NO_QUORUM, lambda rec: rec.vows(*ALL, agreed=ZERO)),
    "vows of strangers": (
        Vows, DropReason.NO_QUORUM, lambda rec: Vows({**rec.vows(*ALL).vows, STRANGER: FORGED})),
    # round 5
    "check values without ours": (Checks, DropReason.WRONG_SET, lambda rec: rec.checks(p2=None)),
    "check values of too few": (Checks, DropReason.WRONG_SET, lambda rec: rec.checks(p3=None, p4=None)),
    "check values that are cut": (
        Checks, DropReason.BAD_LENGTH, lambda rec: replace(rec.checks(), values=rec.checks().values[:-1])),
    "check values that are not signed": (
        Checks, DropReason.BAD_SIGNATURE,
        lambda rec: replace(rec.checks(), signatures={**rec.checks().signatures, PEER: FORGED})),
    "check values outside the field": (
        Checks, DropReason.BAD_SIGNATURE, lambda rec: rec.checks(p3=b"\xff" * len(rec.said[PEER, CheckValues].values))),
    "check values that leave nobody": (
        Checks, DropReason.WRONG_SET, lambda rec: rec.checks(p3=bytes(len(rec.said[PEER, CheckValues].values)))),
    # round 6
    "too few signatures on U": (
        Certificate, DropReason.NO_QUORUM, lambda rec: rec.certificate(rec.everybody, 0, 1, 2)),
    "signatures on another U": (
        Certificate, DropReason.NO_QUORUM, lambda rec: rec.certificate(parties(0, 1, 2, 3), *ALL)),
    "signatures under other receipts": (
        Certificate, DropReason.NO_QUORUM, lambda rec: rec.certificate(rec.everybody, *ALL, agreed=ZERO)),
    "signatures of strangers": (
        Certificate, DropReason.NO_QUORUM,
        lambda rec: Certificate({**rec.certificate(rec.everybody, *ALL).signatures, STRANGER: FORGED})),
    # the end
    "a result that is not signed": (Result, DropReason.BAD_SIGNATURE, changed(Result, vector=bytes(12))),
    "a result without a certificate": (
        Result, DropReason.NO_QUORUM, lambda rec: rec.result(certificate={})),
    "a result over another set": (
        Result, DropReason.NO_QUORUM, lambda rec: rec.result(included=parties(0, 1, 2, 3))),
    "a result over a set that others certified": (
        Result, DropReason.WRONG_SET,
        lambda rec: rec.result(
            included=parties(0, 1, 2, 3),
            certificate=rec.certificate(parties(0, 1, 2, 3), *ALL).signatures)),
    "a result below the floor": (
        Result, DropReason.WRONG_SET,
        lambda rec: rec.result(included=parties(1, 2), certificate=rec.certificate(parties(1, 2), *ALL).signatures)),
    "a result of another length": (Result, DropReason.BAD_LENGTH, lambda rec: rec.result(vector=bytes(13))),
}  # fmt: skip


@pytest.mark.parametrize("name", MEMBER)
def test_a_member_refuses_what_its_server_must_not_say_and_stays_as_it_was(name: str) -> None:
    point, reason, make = MEMBER[name]
    rec = recorded()
    member = rec.member(point)
    before, ledger = member.snapshot(), member.ledger
    with pytest.raises(PeerMisbehaved) as refusal:
        member.receive(SERVER, make(rec))
    assert (refusal.value.sender, refusal.value.reason) == (SERVER, reason)
    assert (member.snapshot(), member.ledger) == (before, ledger)


def test_a_second_contribution_of_one_client_is_refused_and_a_re_send_changes_nothing() -> None:
    rec = recorded()
    member = rec.member(Offer)
    before = member.snapshot()
    assert member.receive(SERVER, rec.heard[Delivery]) == []
    assert member.snapshot() == before
    piece = rec.heard[Delivery].sealed
    hashes = bindings.hash_bytes(b"another") * 2 + bindings.hash_bytes(piece) + bindings.hash_bytes(b"") * 2
    with pytest.raises(PeerMisbehaved) as refusal:
        member.receive(SERVER, delivery(hashes=hashes)(rec))
    assert refusal.value.reason is DropReason.SECOND_ANSWER
    assert member.snapshot() == before


def test_a_result_without_us_says_that_we_are_not_in_it() -> None:
    rec = recorded()
    member = rec.member(Receipts)
    others = parties(0, 1, 3, 4)
    member.receive(SERVER, rec.result(included=others, certificate=rec.certificate(others, *ALL).signatures))
    assert member.outcome == Aborted(AbortReason.NOT_INCLUDED)


def test_of_an_offer_only_what_was_signed_alike_is_in_the_receipt() -> None:
    """What the others were sent of client 3 is another contribution."""
    rec = recorded()
    rows = bytearray(rec.heard[Offer].envelopes)
    rows[32 * 3] ^= 1
    (envelope,) = rec.member(Offer).receive(SERVER, rec.offer(rec.everybody, bytes(rows)))
    assert envelope.message.held == {0, 1, 2, 4}


@pytest.mark.parametrize("sealed", [bytes(44), b"", b"\xff" * 44], ids=["zeros", "nothing", "ones"])
def test_a_piece_that_does_not_open_is_not_in_the_receipt(sealed: bytes) -> None:
    rec = recorded()
    hashes = bytearray(32 * 5)
    hashes[64:96] = bindings.hash_bytes(sealed)
    for key in (rec.heard[Delivery].ephemeral_key, ZERO):
        member = rec.member(Delivery)
        member.receive(SERVER, delivery(sealed=sealed, hashes=bytes(hashes), ephemeral_key=key)(rec))
        (envelope,) = member.receive(SERVER, rec.heard[Offer])
        assert envelope.message.held == frozenset()


def test_who_does_not_hold_all_of_the_candidates_is_not_to_go_on() -> None:
    """The server would leave it out; one that asks it all the same is refused."""
    rec = Recorded(losses=1)
    member = rec.member(Delivery)
    (own,) = member.receive(SERVER, rec.heard[Offer])
    with pytest.raises(PeerMisbehaved, match="all of the candidates"):
        member.receive(SERVER, rec.receipts(p2=own.message))


# What members must not say to the server


SERVES: dict[str, tuple[Round, DropReason, Make]] = {
    "a key in another's name": (Round.ADVERTISE, DropReason.BAD_KEY, lambda rec: rec.said[ME, AdvertiseKey]),
    "a key that is not signed": (
        Round.ADVERTISE, DropReason.BAD_KEY, lambda rec: replace(rec.said[PEER, AdvertiseKey], commitment=ZERO)),
    "a key of low order": (Round.ADVERTISE, DropReason.BAD_KEY, lambda rec: rec.entry(3, channel_key=ZERO)),
    "pieces of another size": (
        Round.CONTRIBUTE, DropReason.BAD_LENGTH, lambda rec: replace(rec.said[PEER, Contribution], sealed=b"")),
    "a contribution that is not signed": (
        Round.CONTRIBUTE, DropReason.BAD_SIGNATURE,
        lambda rec: replace(rec.said[PEER, Contribution], signature=FORGED)),
    "an ephemeral key of low order": (
        Round.CONTRIBUTE, DropReason.BAD_KEY, lambda rec: replace(rec.said[PEER, Contribution], ephemeral_key=ZERO)),
    "a receipt that is not signed": (
        Round.RECEIPT, DropReason.BAD_SIGNATURE, lambda rec: replace(rec.said[PEER, Receipt], held=frozenset())),
    "a nonce that was not committed to": (
        Round.RECEIPT, DropReason.BAD_SIGNATURE, lambda rec: rec.receipt(3, nonce=ZERO)),
    "a vow for something else": (Round.VOW, DropReason.BAD_SIGNATURE, lambda rec: rec.said[ME, Vow]),
    "check values that are cut": (
        Round.CHECK, DropReason.BAD_LENGTH, lambda rec: replace(rec.said[PEER, CheckValues], values=b"")),
    "check values that are not signed": (
        Round.CHECK, DropReason.BAD_SIGNATURE,
        lambda rec: replace(rec.said[PEER, CheckValues], signature=FORGED)),
    "a signature on another U": (Round.CERTIFY, DropReason.BAD_SIGNATURE, lambda rec: Certify(FORGED)),
    "a sum that is cut": (
        Round.SUM, DropReason.BAD_LENGTH, lambda rec: replace(rec.said[PEER, SumShare], share=b"")),
    "a sum that is not signed": (
        Round.SUM, DropReason.BAD_SIGNATURE, lambda rec: replace(rec.said[PEER, SumShare], signature=FORGED)),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVES)
def test_the_server_refuses_what_a_member_must_not_say_and_stays_as_it_was(name: str) -> None:
    opened, reason, make = SERVES[name]
    rec = recorded()
    server = rec.server(opened)
    before = server.snapshot()
    with pytest.raises(PeerMisbehaved) as refusal:
        server.receive(PEER, make(rec))
    assert (refusal.value.sender, refusal.value.reason) == (PEER, reason)
    assert server.snapshot() == before


def test_the_key_of_another_aggregator_is_refused() -> None:
    rec = recorded()
    server = rec.server(Round.ADVERTISE)
    server.receive(ME, rec.said[ME, AdvertiseKey])
    with pytest.raises(PeerMisbehaved, match="the key of another"):
        server.receive(PEER, rec.entry(3, channel_key=rec.said[ME, AdvertiseKey].channel_key))
