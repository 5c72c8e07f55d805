"""Each single check of PROTOCOLS 3A that a client makes, violated by itself.

A row is a message that differs from a good one in one thing, signed by whoever would have to collude. What must come of
it is a named error, and a client that stands where it stood: it still takes the good message, with the same answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from conversation import Room
from recorded import LOST, ME, SILENT, STRANGER, Recorded, parties, recorded

from mpc.keys import KEY_BYTES
from mpc.sealing import seal
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.machine import Aborted, Envelope
from protocols.messages import (
    Abort,
    AdvertiseKeys,
    Confirm,
    DeliverShares,
    FallbackRequest,
    Invitation,
    Result,
    Roster,
    Survivors,
    UnmaskRequest,
)
from protocols.secagg import bindings
from protocols.secagg.states import (
    AwaitingConfirmations,
    AwaitingRoster,
    AwaitingShares,
    AwaitingSurvivors,
    Revealed,
)

U3 = parties(0, 1, 2, 3, 4)
FITTING = {
    AwaitingRoster: Roster, AwaitingShares: DeliverShares, AwaitingSurvivors: Survivors,
    AwaitingConfirmations: UnmaskRequest, Revealed: FallbackRequest,
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    state: type
    make: Callable[[Recorded], Any]
    reason: DropReason
    text: str | None


ROWS: list[Row] = []


def refused(
    state: type, reason: DropReason, *, text: str | None = None
) -> Callable[[Callable[[Recorded], Any]], Callable[[Recorded], Any]]:
    """Registers the message that the function makes: `state` refuses it for `reason`."""

    def register(make: Callable[[Recorded], Any]) -> Callable[[Recorded], Any]:
        ROWS.append(Row(state, make, reason, text))
        return make

    return register


def other_key(rec: Recorded) -> bytes:
    """A good key that stands in nobody's entry."""
    key: bytes = rec.room.identities[SERVER].verify_key.raw
    return key


def keys_of(entry: AdvertiseKeys) -> tuple[bytes, bytes]:
    return entry.channel_key, entry.mask_key


@refused(AwaitingRoster, DropReason.WRONG_SET)
def own_entry_altered(rec: Recorded) -> Any:
    return rec.roster_with(rec.entry(ME, channel_key=other_key(rec)))


@refused(AwaitingRoster, DropReason.WRONG_SET)
def own_entry_with_the_keys_swapped(rec: Recorded) -> Any:
    own = rec.said[ME, AdvertiseKeys]
    return rec.roster_with(rec.entry(ME, channel_key=own.mask_key, mask_key=own.channel_key))


@refused(AwaitingRoster, DropReason.WRONG_SET)
def own_entry_missing(rec: Recorded) -> Any:
    return rec.roster(*(entry for entry in rec.heard[Roster].entries if entry.client != ME))


@refused(AwaitingRoster, DropReason.WRONG_SET)
def no_entries(rec: Recorded) -> Any:
    return rec.roster()


@refused(AwaitingRoster, DropReason.WRONG_SET)
def entries_out_of_order(rec: Recorded) -> Any:
    return rec.roster(*reversed(rec.heard[Roster].entries))


@refused(AwaitingRoster, DropReason.WRONG_SET)
def an_entry_twice(rec: Recorded) -> Any:
    first, *rest = rec.heard[Roster].entries
    return rec.roster(first, first, *rest)


@refused(AwaitingRoster, DropReason.OUTSIDE_TERMS, text="party 9 is not in our consortium")
def an_id_outside_the_consortium(rec: Recorded) -> Any:
    stranger = replace(rec.said[LOST, AdvertiseKeys], client=STRANGER)
    return rec.roster(*rec.heard[Roster].entries[:-1], rec.signed_entry(stranger, LOST))


@refused(AwaitingRoster, DropReason.WRONG_SET, text="4 parties, a sum must cover at least 5")
def fewer_parties_than_a_sum_must_cover(rec: Recorded) -> Any:
    return rec.roster(*rec.heard[Roster].entries[:4])


@refused(AwaitingRoster, DropReason.BAD_KEY, text="the keys of party 3")
def an_entry_signed_by_another_party(rec: Recorded) -> Any:
    return rec.roster_with(rec.signed_entry(rec.said[PartyId(3), AdvertiseKeys], PartyId(2)))


@refused(AwaitingRoster, DropReason.BAD_KEY, text="the keys of party 3")
def an_entry_that_its_party_did_not_sign(rec: Recorded) -> Any:
    return rec.roster_with(replace(rec.said[PartyId(3), AdvertiseKeys], mask_key=other_key(rec)))


@refused(AwaitingRoster, DropReason.BAD_KEY, text="the keys of party 3")
def an_entry_without_a_signature(rec: Recorded) -> Any:
    return rec.roster_with(replace(rec.said[PartyId(3), AdvertiseKeys], signature=b""))


@refused(AwaitingRoster, DropReason.BAD_KEY, text="the keys of party 3")
def an_entry_of_another_session(rec: Recorded) -> Any:
    invite, entry = replace(rec.room.params, nonce=bytes(32)).digest, rec.said[PartyId(3), AdvertiseKeys]
    signature = bindings.sign_keys(rec.room.identities[PartyId(3)], invite, PartyId(3), *keys_of(entry))
    return rec.roster_with(replace(entry, signature=signature))


@refused(AwaitingRoster, DropReason.BAD_KEY, text="twice")
def one_party_with_one_key_for_both_uses(rec: Recorded) -> Any:
    return rec.roster_with(rec.entry(3, mask_key=rec.said[PartyId(3), AdvertiseKeys].channel_key))


@refused(AwaitingRoster, DropReason.BAD_KEY, text="twice")
def another_party_with_our_mask_key(rec: Recorded) -> Any:
    return rec.roster_with(rec.entry(3, mask_key=rec.said[ME, AdvertiseKeys].mask_key))


@refused(AwaitingRoster, DropReason.BAD_KEY, text="twice")
def another_party_with_our_mask_key_as_its_channel_key(rec: Recorded) -> Any:
    return rec.roster_with(rec.entry(3, channel_key=rec.said[ME, AdvertiseKeys].mask_key))


@refused(AwaitingRoster, DropReason.BAD_KEY, text="the keys of party 3")
def a_mask_key_of_low_order(rec: Recorded) -> Any:
    return rec.roster_with(rec.entry(3, mask_key=bytes(KEY_BYTES)))


@refused(AwaitingRoster, DropReason.BAD_KEY, text="the keys of party 3")
def a_channel_key_of_low_order(rec: Recorded) -> Any:
    return rec.roster_with(rec.entry(3, channel_key=(1).to_bytes(KEY_BYTES, "little")))


@refused(AwaitingRoster, DropReason.BAD_KEY, text="the keys of party 3")
def a_key_that_is_not_canonical(rec: Recorded) -> Any:
    return rec.roster_with(rec.entry(3, mask_key=(2**255 - 19 + 9).to_bytes(KEY_BYTES, "little")))


@refused(AwaitingRoster, DropReason.BAD_SIGNATURE)
def a_roster_that_another_coordinator_signed(rec: Recorded) -> Any:
    session = bindings.session_digest(rec.room.params, rec.heard[Roster].entries)
    return replace(rec.heard[Roster], signature=bindings.sign_roster(rec.room.identities[LOST], session))


@refused(AwaitingRoster, DropReason.BAD_SIGNATURE)
def a_roster_signed_for_fewer_parties(rec: Recorded) -> Any:
    return replace(rec.heard[Roster], signature=rec.roster(*rec.heard[Roster].entries[:5]).signature)


@refused(AwaitingRoster, DropReason.BAD_SIGNATURE)
def a_roster_without_a_signature(rec: Recorded) -> Any:
    return replace(rec.heard[Roster], signature=b"")


@refused(AwaitingShares, DropReason.WRONG_SET, text="U2 is not a part")
def a_u2_without_us(rec: Recorded) -> Any:
    return rec.deliver(rec.everybody - {ME})


@refused(AwaitingShares, DropReason.WRONG_SET, text="U2 is not a part")
def a_u2_beyond_u1(rec: Recorded) -> Any:
    return rec.deliver(rec.everybody | {STRANGER}, p9=bytes(86))


@refused(AwaitingShares, DropReason.WRONG_SET, text="U2 has 3 parties, 4 are needed")
def a_u2_below_the_threshold(rec: Recorded) -> Any:
    return rec.deliver(parties(0, 1, 2))


@refused(AwaitingShares, DropReason.WRONG_SET, text="4 parties, a sum must cover at least 5")
def a_u2_below_the_floor(rec: Recorded) -> Any:
    return rec.deliver(parties(0, 1, 2, 3))


@refused(AwaitingShares, DropReason.BAD_SIGNATURE)
def a_u2_signed_as_another(rec: Recorded) -> Any:
    return replace(rec.heard[DeliverShares], signature=rec.deliver(U3).signature)


@refused(AwaitingShares, DropReason.BAD_SIGNATURE)
def a_u2_without_a_signature(rec: Recorded) -> Any:
    return replace(rec.heard[DeliverShares], signature=b"")


@refused(AwaitingShares, DropReason.WRONG_SET, text="bundles of others")
def a_bundle_missing(rec: Recorded) -> Any:
    return rec.deliver(rec.everybody, without=parties(3))


@refused(AwaitingShares, DropReason.WRONG_SET, text="bundles of others")
def a_bundle_of_ourselves(rec: Recorded) -> Any:
    return rec.deliver(rec.everybody, p1=bytes(86))


@refused(AwaitingShares, DropReason.WRONG_SET, text="bundles of others")
def a_bundle_of_somebody_outside_u2(rec: Recorded) -> Any:
    return replace(rec.deliver(U3), bundles=rec.heard[DeliverShares].bundles)


@refused(AwaitingShares, DropReason.SPLIT_VIEW)
def no_bundle_opens(rec: Recorded) -> Any:
    return rec.deliver(rec.everybody, **{f"p{dealer}": bytes(86) for dealer in sorted(rec.everybody - {ME})})


@refused(AwaitingSurvivors, DropReason.WRONG_SET, text="U3 is not a part")
def a_u3_beyond_u2(rec: Recorded) -> Any:
    return rec.survivors(U3 | {STRANGER})


@refused(AwaitingSurvivors, DropReason.WRONG_SET, text="U3 is not a part")
def a_u3_beyond_u2_and_without_us(rec: Recorded) -> Any:
    return rec.survivors(U3 - {ME} | {STRANGER})


@refused(AwaitingSurvivors, DropReason.WRONG_SET, text="U3 has 3 parties, 4 are needed")
def a_u3_below_the_threshold(rec: Recorded) -> Any:
    return rec.survivors(parties(0, 1, 2))


@refused(AwaitingSurvivors, DropReason.WRONG_SET, text="4 parties, a sum must cover at least 5")
def a_u3_below_the_floor(rec: Recorded) -> Any:
    return rec.survivors(parties(0, 1, 2, 3))


@refused(AwaitingSurvivors, DropReason.BAD_SIGNATURE)
def a_u3_signed_as_another(rec: Recorded) -> Any:
    return replace(rec.survivors(U3), signature=rec.survivors(rec.everybody).signature)


@refused(AwaitingSurvivors, DropReason.BAD_SIGNATURE)
def a_u3_signed_over_another_u2(rec: Recorded) -> Any:
    return rec.survivors(U3, u2=U3)


@refused(AwaitingSurvivors, DropReason.BAD_SIGNATURE)
def an_exclusion_that_the_coordinator_did_not_sign(rec: Recorded) -> Any:
    return Survivors(U3 - {ME}, b"")


@refused(AwaitingConfirmations, DropReason.SECOND_ANSWER)
def a_second_and_larger_u3(rec: Recorded) -> Any:
    return rec.survivors(rec.everybody)


@refused(AwaitingConfirmations, DropReason.SECOND_ANSWER)
def a_second_u3_without_us(rec: Recorded) -> Any:
    return rec.survivors(U3 - {ME} | {LOST})


@refused(AwaitingConfirmations, DropReason.BAD_SIGNATURE)
def a_second_u3_that_nobody_signed(rec: Recorded) -> Any:
    return replace(rec.survivors(rec.everybody), signature=bytes(64))


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="3 confirmations, 4 are needed")
def too_few_confirmations(rec: Recorded) -> Any:
    return rec.confirmed(parties(0, 1, 2), U3)


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="0 confirmations")
def no_confirmations(rec: Recorded) -> Any:
    return UnmaskRequest({})


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="outside our U3")
def a_confirmation_from_outside_u3(rec: Recorded) -> Any:
    return rec.confirmed(rec.everybody, U3)


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="outside our U3")
def a_confirmation_of_a_stranger(rec: Recorded) -> Any:
    return UnmaskRequest(dict(rec.heard[UnmaskRequest].confirmations) | {STRANGER: bytes(64)})


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="party 0 did not confirm")
def confirmations_of_another_u3(rec: Recorded) -> Any:
    return rec.confirmed(U3, rec.everybody)


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="party 3 did not confirm")
def one_confirmation_of_another_u3_among_enough_of_ours(rec: Recorded) -> Any:
    other = rec.confirmed(parties(3), rec.everybody).confirmations
    return UnmaskRequest(dict(rec.confirmed(U3, U3).confirmations) | dict(other))


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="party 0 did not confirm")
def confirmations_over_another_u2(rec: Recorded) -> Any:
    return rec.confirmed(U3, U3, u2=U3)


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="party 0 did not confirm")
def our_own_confirmation_under_everybodys_name(rec: Recorded) -> Any:
    return UnmaskRequest(dict.fromkeys(sorted(U3), rec.said[ME, Confirm].signature))


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="party 2 did not confirm")
def a_confirmation_without_a_signature(rec: Recorded) -> Any:
    return UnmaskRequest(dict(rec.heard[UnmaskRequest].confirmations) | {PartyId(2): b""})


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="party 0 did not confirm")
def the_coordinators_own_signatures_over_u3(rec: Recorded) -> Any:
    return UnmaskRequest(dict.fromkeys(sorted(U3), rec.heard[Survivors].signature))


@refused(Revealed, DropReason.WRONG_SET, text="over others")
def a_sum_over_more(rec: Recorded) -> Any:
    return rec.result(rec.everybody, rec.heard[Result].vector)


@refused(Revealed, DropReason.WRONG_SET, text="over others")
def a_sum_without_a_survivor(rec: Recorded) -> Any:
    return rec.result(U3 - {SILENT}, rec.heard[Result].vector)


@refused(Revealed, DropReason.BAD_SIGNATURE)
def another_sum_than_was_signed(rec: Recorded) -> Any:
    return replace(rec.heard[Result], vector=bytes(len(rec.heard[Result].vector)))


@refused(Revealed, DropReason.BAD_SIGNATURE)
def a_sum_without_a_signature(rec: Recorded) -> Any:
    return replace(rec.heard[Result], signature=b"")


@refused(Revealed, DropReason.BAD_LENGTH)
def a_sum_of_another_length(rec: Recorded) -> Any:
    return rec.result(U3, rec.heard[Result].vector + b"\0")


@refused(Revealed, DropReason.BAD_LENGTH)
def a_sum_that_is_not_in_the_field(rec: Recorded) -> Any:
    size = len(rec.heard[Result].vector)
    return rec.result(U3, ((1 << 31) - 1).to_bytes(size, "little"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.make.__name__)
def test_a_client_refuses_it_and_stands_where_it_stood(row: Row) -> None:
    rec = recorded()
    client, message = rec.client(row.state), row.make(rec)
    with pytest.raises(PeerMisbehaved, match=row.text) as refusal:
        client.receive(SERVER, message)
    assert (refusal.value.sender, refusal.value.reason) == (SERVER, row.reason)
    assert client.snapshot() == rec.client_at[row.state]
    good = rec.heard[FITTING[row.state]]
    assert (client.receive(SERVER, good), client.snapshot()) == rec.after[row.state]


@pytest.mark.parametrize(("change", "reason"), [
    ({"threshold": 6}, DropReason.OUTSIDE_TERMS),
    ({"colluding": 5}, DropReason.OUTSIDE_TERMS),
    ({"cohort": 6}, DropReason.WRONG_SET),
])  # fmt: skip
def test_a_roster_whose_size_does_not_carry_what_was_announced_is_refused(
    change: dict[str, int], reason: DropReason
) -> None:
    room = Room(clients=5)
    params = replace(room.params, **change)
    clients = {party: room.client(party) for party in room.parties}
    entries = tuple(client.receive(SERVER, Invitation(params))[0].message for client in clients.values())
    session = bindings.session_digest(params, entries)
    before = clients[ME].snapshot()
    with pytest.raises(PeerMisbehaved) as refusal:
        clients[ME].receive(SERVER, Roster(entries, bindings.sign_roster(room.identities[SERVER], session)))
    assert refusal.value.reason is reason
    assert clients[ME].snapshot() == before


@pytest.mark.parametrize(
    "dropped", [parties(), parties(3), parties(3, 5), parties(1), parties(9), U3], ids=lambda dropped: str(set(dropped))
)
def test_a_fallback_is_answered_for_lost_parties_only(dropped: frozenset[PartyId]) -> None:
    client = recorded().client(Revealed)
    with pytest.raises(PeerMisbehaved, match="a fallback for others") as refusal:
        client.receive(SERVER, FallbackRequest(dropped))
    assert refusal.value.reason is DropReason.WRONG_SET
    assert client.snapshot() == recorded().client_at[Revealed]


def test_exactly_the_threshold_of_confirmations_suffices_and_ours_need_not_be_among_them() -> None:
    rec = recorded()
    client = rec.client(AwaitingConfirmations)
    assert client.receive(SERVER, rec.confirmed(U3 - {ME}, U3)) == rec.after[AwaitingConfirmations][0]


def test_a_client_that_is_not_among_the_survivors_ends_and_says_nothing() -> None:
    rec = recorded()
    client = rec.client(AwaitingSurvivors)
    assert client.receive(SERVER, rec.survivors(rec.everybody - {ME})) == []
    assert client.outcome == Aborted(AbortReason.NOT_INCLUDED)
    assert client.receive(SERVER, rec.heard[Survivors]) == []
    assert client.abort(AbortReason.STOPPED) == []


def broken(rec: Recorded) -> bytes:
    bundle = bytearray(rec.heard[DeliverShares].bundles[PartyId(3)])
    bundle[0] ^= 1
    return bytes(bundle)


def out_of_the_field(rec: Recorded) -> bytes:
    """Sealed as party 3 would, but with limbs that are p itself."""
    state = rec.state(AwaitingShares)
    key = state.opening[PartyId(3)]
    return seal(key, bytes([255] * 70), state.session, PartyId(3), ME)


def from_another_dealer(rec: Recorded) -> bytes:
    bundle: bytes = rec.heard[DeliverShares].bundles[PartyId(2)]
    return bundle


@pytest.mark.parametrize("bundle", [broken, out_of_the_field, from_another_dealer])
def test_a_single_bundle_that_does_not_open_accuses_its_dealer_before_any_input_leaves(
    bundle: Callable[[Recorded], bytes],
) -> None:
    rec = recorded()
    client = rec.client(AwaitingShares)
    answer = client.receive(SERVER, rec.deliver(rec.everybody, p3=bundle(rec)))
    assert answer == [Envelope((SERVER,), Abort(AbortReason.REFUSED, PartyId(3)))]
    assert client.outcome == Aborted(AbortReason.REFUSED, DropReason.BAD_BUNDLE, PartyId(3))


def test_shares_for_a_client_without_an_input_are_the_drivers_fault_and_can_be_shown_again() -> None:
    rec = recorded()
    talker = Room(clients=6, cohort=5, length=3)
    client = talker.client(ME)
    bare = type(client)(ME, identity=talker.identities[ME], terms=talker.terms, rand=talker.rand.child(f"client {ME}"))
    for kind in (Invitation, Roster):
        bare.receive(SERVER, rec.heard[kind])
    before = bare.snapshot()
    with pytest.raises(LocalProtocolError, match="the input must be set"):
        bare.receive(SERVER, rec.heard[DeliverShares])
    assert bare.snapshot() == before
    bare.set_input(talker.inputs[ME])
    assert bare.receive(SERVER, rec.heard[DeliverShares]) == rec.after[AwaitingShares][0]
