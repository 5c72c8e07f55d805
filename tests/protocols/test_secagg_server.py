"""Each single check that the server makes of what a client sends, violated by itself.

It defends the sum of the others: the sender is named, nothing of its message stays, and its good one is still taken.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from recorded import LOST, ME, SILENT, STRANGER, Recorded, parties, recorded

from mpc.field import PrimeField
from mpc.keys import KEY_BYTES
from protocols.errors import AbortReason, DropReason, PartyId, PeerMisbehaved
from protocols.machine import Envelope
from protocols.messages import (
    Abort,
    AdvertiseKeys,
    Confirm,
    DroppedReveal,
    FallbackShares,
    MaskedInput,
    MaskKeyReveal,
    Round,
    ShareKeys,
    SurvivorReveal,
    UnmaskShares,
)
from protocols.secagg import Dispute, bindings
from protocols.session import Variant

PEER = PartyId(2)
U3 = parties(0, 1, 2, 3, 4)
TAKES = {
    Round.ADVERTISE: AdvertiseKeys, Round.SHARE: ShareKeys, Round.MASKED_INPUT: MaskedInput, Round.CONFIRM: Confirm,
    Round.UNMASK: UnmaskShares, Round.FALLBACK: FallbackShares,
}  # fmt: skip
OUT_OF_THE_FIELD = bytes([255] * 35)


@dataclass(frozen=True)
class Row:
    opened: Round
    make: Callable[[Recorded], Any]
    reason: DropReason


ROWS: list[Row] = []
Make = Callable[[Recorded], Any]


def refused(opened: Round, reason: DropReason) -> Callable[[Make], Make]:
    """Registers the message that the function makes: in that round it is refused, from ME, for `reason`."""

    def register(make: Make) -> Make:
        ROWS.append(Row(opened, make, reason))
        return make

    return register


def peers_keys(rec: Recorded) -> AdvertiseKeys:
    keys: AdvertiseKeys = rec.said[PEER, AdvertiseKeys]
    return keys


@refused(Round.ADVERTISE, DropReason.BAD_KEY)
def another_partys_entry(rec: Recorded) -> Any:
    return peers_keys(rec)


@refused(Round.ADVERTISE, DropReason.BAD_KEY)
def our_keys_in_another_partys_name(rec: Recorded) -> Any:
    return rec.signed_entry(replace(rec.said[ME, AdvertiseKeys], client=PEER), ME)


@refused(Round.ADVERTISE, DropReason.BAD_KEY)
def another_partys_mask_key(rec: Recorded) -> Any:
    return rec.entry(ME, mask_key=peers_keys(rec).mask_key)


@refused(Round.ADVERTISE, DropReason.BAD_KEY)
def another_partys_mask_key_as_our_channel_key(rec: Recorded) -> Any:
    return rec.entry(ME, channel_key=peers_keys(rec).mask_key)


@refused(Round.ADVERTISE, DropReason.BAD_KEY)
def one_key_for_both_uses(rec: Recorded) -> Any:
    return rec.entry(ME, mask_key=rec.said[ME, AdvertiseKeys].channel_key)


@refused(Round.ADVERTISE, DropReason.BAD_KEY)
def a_key_of_low_order(rec: Recorded) -> Any:
    return rec.entry(ME, channel_key=bytes(KEY_BYTES))


@refused(Round.ADVERTISE, DropReason.BAD_KEY)
def a_key_that_is_not_canonical(rec: Recorded) -> Any:
    return rec.entry(ME, mask_key=(2**255 - 10).to_bytes(KEY_BYTES, "little"))


@refused(Round.ADVERTISE, DropReason.BAD_KEY)
def keys_without_a_signature(rec: Recorded) -> Any:
    return replace(rec.said[ME, AdvertiseKeys], signature=b"")


@refused(Round.ADVERTISE, DropReason.BAD_KEY)
def keys_signed_for_another_session(rec: Recorded) -> Any:
    own, other = rec.said[ME, AdvertiseKeys], replace(rec.room.params, nonce=bytes(32)).digest
    signature = bindings.sign_keys(rec.room.identities[ME], other, ME, own.channel_key, own.mask_key)
    return replace(own, signature=signature)


def shares(rec: Recorded, **changes: Any) -> ShareKeys:
    """ME's share message with these changes, signed by ME."""
    message = replace(rec.said[ME, ShareKeys], **changes)
    session = bindings.session_digest(rec.room.params, rec.heard[type(rec.roster())].entries)
    signature = bindings.sign_shares(
        rec.room.identities[ME], session, ME, message.commitment, bindings.bundles_digest(message.bundles)
    )
    return replace(message, signature=signature)


def bundles(rec: Recorded) -> dict[PartyId, bytes]:
    return dict(rec.said[ME, ShareKeys].bundles)


@refused(Round.SHARE, DropReason.WRONG_SET)
def a_bundle_missing(rec: Recorded) -> Any:
    kept = bundles(rec)
    del kept[PEER]
    return shares(rec, bundles=kept)


@refused(Round.SHARE, DropReason.WRONG_SET)
def a_bundle_for_a_stranger(rec: Recorded) -> Any:
    return shares(rec, bundles=bundles(rec) | {STRANGER: bytes(86)})


@refused(Round.SHARE, DropReason.WRONG_SET)
def a_bundle_for_ourselves(rec: Recorded) -> Any:
    return shares(rec, bundles=bundles(rec) | {ME: bytes(86)})


@refused(Round.SHARE, DropReason.WRONG_SET)
def no_commitment(rec: Recorded) -> Any:
    return shares(rec, commitment=b"")


@refused(Round.SHARE, DropReason.BAD_SIGNATURE)
def another_commitment_than_was_signed(rec: Recorded) -> Any:
    return replace(rec.said[ME, ShareKeys], commitment=bytes(32))


@refused(Round.SHARE, DropReason.BAD_SIGNATURE)
def another_bundle_than_was_signed(rec: Recorded) -> Any:
    return replace(rec.said[ME, ShareKeys], bundles=bundles(rec) | {PEER: bytes(86)})


@refused(Round.SHARE, DropReason.BAD_SIGNATURE)
def shares_without_a_signature(rec: Recorded) -> Any:
    return replace(rec.said[ME, ShareKeys], signature=b"")


@refused(Round.SHARE, DropReason.BAD_SIGNATURE)
def another_partys_signature_over_the_shares(rec: Recorded) -> Any:
    return replace(rec.said[ME, ShareKeys], signature=rec.said[PEER, ShareKeys].signature)


@refused(Round.MASKED_INPUT, DropReason.BAD_LENGTH)
def no_input(_: Recorded) -> Any:
    return MaskedInput(b"")


@refused(Round.MASKED_INPUT, DropReason.BAD_LENGTH)
def an_input_that_is_too_short(rec: Recorded) -> Any:
    return MaskedInput(rec.said[ME, MaskedInput].masked[:-1])


@refused(Round.MASKED_INPUT, DropReason.BAD_LENGTH)
def an_input_that_is_too_long(rec: Recorded) -> Any:
    return MaskedInput(rec.said[ME, MaskedInput].masked + b"\0")


@refused(Round.MASKED_INPUT, DropReason.BAD_LENGTH)
def an_input_outside_the_field(rec: Recorded) -> Any:
    return MaskedInput((2**31 - 1).to_bytes(rec.room.params.spec.masked_size, "little"))


@refused(Round.MASKED_INPUT, DropReason.BAD_LENGTH)
def bits_behind_the_last_element(rec: Recorded) -> Any:
    masked = bytearray(rec.said[ME, MaskedInput].masked)
    masked[-1] |= 0x80  # 6 elements of 31 bits leave 6 of 192
    return MaskedInput(bytes(masked))


@refused(Round.CONFIRM, DropReason.BAD_SIGNATURE)
def a_confirmation_of_another_u3(rec: Recorded) -> Any:
    return Confirm(rec.confirmed(parties(ME), rec.everybody).confirmations[ME])


@refused(Round.CONFIRM, DropReason.BAD_SIGNATURE)
def a_confirmation_over_another_u2(rec: Recorded) -> Any:
    return Confirm(rec.confirmed(parties(ME), U3, u2=U3).confirmations[ME])


@refused(Round.CONFIRM, DropReason.BAD_SIGNATURE)
def another_partys_confirmation(rec: Recorded) -> Any:
    return rec.said[PEER, Confirm]


@refused(Round.CONFIRM, DropReason.BAD_SIGNATURE)
def a_confirmation_without_a_signature(_: Recorded) -> Any:
    return Confirm(b"")


def reveals(rec: Recorded, **changes: Any) -> UnmaskShares:
    """ME's reveals with that for p2 or p5, say, replaced; None takes it out."""
    changed = dict(rec.said[ME, UnmaskShares].reveals) | {PartyId(int(name[1:])): new for name, new in changes.items()}
    return UnmaskShares({peer: reveal for peer, reveal in changed.items() if reveal is not None})


@refused(Round.UNMASK, DropReason.WRONG_SET)
def a_reveal_missing_for_a_survivor(rec: Recorded) -> Any:
    return reveals(rec, p2=None)


@refused(Round.UNMASK, DropReason.WRONG_SET)
def a_reveal_missing_for_a_lost_party(rec: Recorded) -> Any:
    return reveals(rec, p5=None)


@refused(Round.UNMASK, DropReason.WRONG_SET)
def a_reveal_for_a_stranger(rec: Recorded) -> Any:
    return reveals(rec, p9=SurvivorReveal(bytes(35)))


@refused(Round.UNMASK, DropReason.BAD_SHARE)
def a_leaf_seed_of_a_survivor(rec: Recorded) -> Any:
    return reveals(rec, p2=DroppedReveal(bytes(32)))


@refused(Round.UNMASK, DropReason.BAD_SHARE)
def a_self_share_of_a_lost_party(rec: Recorded) -> Any:
    return reveals(rec, p5=SurvivorReveal(bytes(35)))


@refused(Round.UNMASK, DropReason.BAD_SHARE)
def a_mask_share_before_the_fallback(rec: Recorded) -> Any:
    return reveals(rec, p5=rec.said[ME, FallbackShares].shares[LOST])


@refused(Round.UNMASK, DropReason.BAD_SHARE)
def a_self_share_outside_the_field(rec: Recorded) -> Any:
    return reveals(rec, p2=SurvivorReveal(OUT_OF_THE_FIELD))


@refused(Round.FALLBACK, DropReason.WRONG_SET)
def no_fallback_share(_: Recorded) -> Any:
    return FallbackShares({})


@refused(Round.FALLBACK, DropReason.WRONG_SET)
def a_mask_share_of_a_survivor_too(rec: Recorded) -> Any:
    share = rec.said[ME, FallbackShares].shares[LOST]
    return FallbackShares({LOST: share, SILENT: share})


@refused(Round.FALLBACK, DropReason.BAD_SHARE)
def a_mask_share_outside_the_field(_: Recorded) -> Any:
    return FallbackShares({LOST: MaskKeyReveal(OUT_OF_THE_FIELD)})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.make.__name__)
def test_a_server_refuses_it_from_its_sender_and_nothing_of_it_stays(row: Row) -> None:
    rec = recorded()
    server, kind = rec.server(row.opened), TAKES[row.opened]
    server.receive(PEER, rec.said[PEER, kind])
    before, message = server.snapshot(), row.make(rec)
    with pytest.raises(PeerMisbehaved) as refusal:
        server.receive(ME, message)
    assert (refusal.value.sender, refusal.value.reason) == (ME, row.reason)
    assert server.snapshot() == before
    server.receive(ME, rec.said[ME, kind])
    assert ME not in server.waiting_for


@pytest.mark.parametrize("opened", list(TAKES), ids=str)
def test_a_dropped_party_is_named_with_the_round_whose_answer_never_came(opened: Round) -> None:
    rec = recorded()
    before_it_answered, after = rec.server(opened), rec.server(opened)
    assert before_it_answered.drop(ME, DropReason.MALFORMED) == []
    assert before_it_answered.dropped[ME] == (opened, DropReason.MALFORMED)
    after.receive(ME, rec.said[ME, TAKES[opened]])
    after.drop(ME, DropReason.VANISHED)
    following = [*Round][[*Round].index(opened) + 1]
    nothing_more_is_asked = following in (Round.FALLBACK, Round.DONE)
    assert after.dropped.get(ME) == (None if nothing_more_is_asked else (following, DropReason.VANISHED))


@pytest.mark.parametrize("opened", list(TAKES), ids=str)
def test_dropping_twice_or_somebody_who_was_not_asked_changes_nothing(opened: Round) -> None:
    server = recorded().server(opened)
    server.drop(ME, DropReason.VANISHED)
    before = server.snapshot()
    assert server.drop(ME, DropReason.TOO_SLOW) == server.drop(STRANGER, DropReason.VANISHED) == []
    assert server.snapshot() == before


def test_who_accuses_a_dealer_is_out_and_both_are_in_the_dispute() -> None:
    server = recorded().server(Round.MASKED_INPUT)
    server.receive(ME, Abort(AbortReason.REFUSED, PEER))
    assert server.disputes == {Dispute(dealer=PEER, holder=ME)}
    assert server.dropped == {ME: (Round.MASKED_INPUT, DropReason.ABORTED)}


def test_an_accusation_of_somebody_outside_the_session_is_no_dispute() -> None:
    server = recorded().server(Round.MASKED_INPUT)
    server.receive(ME, Abort(AbortReason.REFUSED, STRANGER))
    assert not server.disputes


def test_who_is_late_is_told_whether_its_input_counts() -> None:
    rec = recorded()
    assert Envelope((LOST,), Abort(AbortReason.NOT_INCLUDED, None)) in rec.closed[Round.MASKED_INPUT]
    assert Envelope((SILENT,), Abort(AbortReason.TOO_SLOW, None)) in rec.closed[Round.UNMASK]


def test_a_curious_session_takes_no_commitment_and_no_leaf_seed() -> None:
    rec = Recorded(variant=Variant.CURIOUS, field=PrimeField.with_bits(26))
    server = rec.server(Round.SHARE)
    with pytest.raises(PeerMisbehaved, match="or no commitment"):
        server.receive(ME, replace(rec.said[ME, ShareKeys], commitment=bytes(32)))
    server = rec.server(Round.UNMASK)
    with pytest.raises(PeerMisbehaved, match="the wrong kind of secret for party 5"):
        server.receive(ME, reveals(rec, p5=DroppedReveal(bytes(32))))
    assert Round.CONFIRM not in rec.server_at
