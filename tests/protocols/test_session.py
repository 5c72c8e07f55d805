"""What a session is, and what a party puts up with."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from conversation import Room
from recorded import ME, parties, recorded

from mpc.field import M31, M61, PrimeField
from mpc.randomness import SeededRandomness, SystemRandomness
from protocols.errors import SERVER, DropReason, PartyId, PeerMisbehaved
from protocols.messages import CODEC, Invitation
from protocols.secagg.states import AwaitingInvitation
from protocols.session import (
    MAX_LENGTH,
    TEST_WIRE,
    WIRE,
    SessionParams,
    Subject,
    Variant,
    VectorSpec,
    domain,
    model_digest,
    most_colluders,
    smallest_cohort,
    smallest_threshold,
)

OTHER = bytes(range(32))
Change = Callable[[SessionParams], SessionParams]


def subject(**changes: Any) -> Change:
    return lambda params: replace(params, subject=replace(params.subject, **changes))


# what differs -> the parameters with that one thing changed; the first ten are those that Terms name
CHANGES: dict[str, Change] = {
    "protocol": lambda params: replace(params, protocol="mesh"),
    "wire version": lambda params: replace(params, wire=WIRE),
    "variant": lambda params: replace(params, variant=Variant.CURIOUS),
    "vector": lambda params: replace(params, spec=VectorSpec(4, params.spec.field)),
    "vector in another field": lambda params: replace(params, spec=VectorSpec(3, PrimeField.with_bits(26))),
    "consortium": subject(consortium=OTHER),
    "consortium version": subject(version=2),
    "coordinator": subject(coordinator=OTHER),
    "model": subject(model=OTHER),
    "configuration": subject(config=OTHER),
    "last record": subject(last_record=OTHER),
    "committee": lambda params: replace(params, aggregators=frozenset({PartyId(1)})),
    "number of rounds an epoch": lambda params: replace(params, rounds_per_epoch=2),
    "accountability": lambda params: replace(params, accountable=True),
}
OPEN_TO_THE_COORDINATOR: dict[str, Change] = {
    "nonce": lambda params: replace(params, nonce=OTHER),
    "colluding": lambda params: replace(params, colluding=1),
    "threshold": lambda params: replace(params, threshold=5),
    "cohort": lambda params: replace(params, cohort=6),
    "losses": lambda params: replace(params, losses=1),
}


def test_the_digest_of_a_session_changes_with_every_field() -> None:
    params = recorded().room.params
    changes = CHANGES | OPEN_TO_THE_COORDINATOR
    digests = {change(params).digest for change in changes.values()} | {params.digest}
    assert len(digests) == len(changes) + 1
    assert len(changes) == len(fields(SessionParams)) - 2 + len(fields(Subject)) + len(fields(VectorSpec))


def test_the_digest_is_the_same_for_who_parsed_the_invitation_from_bytes() -> None:
    params = recorded().room.params
    assert CODEC.decode(CODEC.encode(Invitation(params))).params.digest == params.digest


@pytest.mark.parametrize("name", CHANGES)
def test_an_invitation_that_differs_in_one_thing_from_what_the_party_holds_is_refused(name: str) -> None:
    rec = recorded()
    client = rec.client(AwaitingInvitation)
    with pytest.raises(PeerMisbehaved, match=f"its {name.split(' in ')[0]} is not") as refusal:
        client.receive(SERVER, Invitation(CHANGES[name](rec.room.params)))
    assert (refusal.value.sender, refusal.value.reason) == (SERVER, DropReason.OUTSIDE_TERMS)
    assert client.snapshot() == rec.client_at[AwaitingInvitation]
    assert client.receive(SERVER, rec.heard[Invitation]) == rec.after[AwaitingInvitation][0]


@pytest.mark.parametrize("name", OPEN_TO_THE_COORDINATOR)
def test_what_the_coordinator_may_choose_is_judged_later_when_n_is_known(name: str) -> None:
    room = recorded().room
    room.terms.check_invitation(OPEN_TO_THE_COORDINATOR[name](room.params), TEST_WIRE)


def test_an_invitation_that_plans_for_fewer_colluders_than_our_terms_is_refused_and_for_more_accepted() -> None:
    room = Room(colluding=1)
    client = room.client(ME)
    before = client.snapshot()
    with pytest.raises(PeerMisbehaved, match="plans for 0 colluding parties, our terms ask for 1"):
        client.receive(SERVER, Invitation(replace(room.params, colluding=0)))
    assert client.snapshot() == before
    assert client.receive(SERVER, Invitation(replace(room.params, colluding=2)))


@pytest.mark.parametrize("count", ["colluding", "threshold", "cohort"])
def test_a_count_below_zero_is_no_session(count: str) -> None:
    with pytest.raises(ValueError, match="are counts"):
        replace(recorded().room.params, **{count: -1})  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [0, -1, MAX_LENGTH + 1])
def test_a_vector_of_no_length_is_no_vector(length: int) -> None:
    with pytest.raises(ValueError, match="elements"):
        VectorSpec(length, M31)


@pytest.mark.parametrize(("field", "canaries"), [
    (PrimeField(5), 22), (PrimeField.with_bits(26), 3), (M31, 3), (PrimeField.with_bits(32), 2), (M61, 2),
])  # fmt: skip
def test_canaries_weigh_64_bits_and_are_counted_in_what_travels(field: PrimeField, canaries: int) -> None:
    spec = VectorSpec(10, field)
    assert spec.canaries == canaries
    assert spec.masked_length == 10 + canaries
    assert spec.masked_size == len(field.pack(field.zeros(10 + canaries)))
    assert spec.canaries * field.bits >= 64


@pytest.mark.parametrize(("clients", "colluding", "expected"), [
    (3, 0, 2), (3, 1, 3), (4, 0, 3), (4, 1, 3), (5, 0, 3), (5, 1, 4), (5, 2, 4), (10, 0, 6), (10, 3, 7), (11, 3, 8),
])  # fmt: skip
def test_the_active_threshold_is_the_smallest_with_2t_above_n_plus_c(
    clients: int, colluding: int, expected: int
) -> None:
    threshold = smallest_threshold(Variant.ACTIVE, clients, colluding)
    assert threshold == expected
    assert 2 * threshold > clients + colluding >= 2 * (threshold - 1)


@pytest.mark.parametrize(("colluding", "expected"), [(0, 2), (1, 2), (2, 3), (7, 8)])
def test_the_curious_threshold_is_above_the_colluders_and_never_one(colluding: int, expected: int) -> None:
    assert smallest_threshold(Variant.CURIOUS, 10, colluding) == expected


def test_the_agreed_least_threshold_counts_where_the_rule_asks_for_less() -> None:
    params = replace(recorded().room.params, threshold=5)
    assert [params.threshold_for(clients) for clients in (3, 8, 9, 10)] == [5, 5, 5, 6]


@pytest.mark.parametrize(("colluding", "cohort", "floor"), [(0, 0, 3), (0, 3, 3), (1, 0, 3), (2, 0, 4), (2, 7, 7)])
def test_the_floor_is_the_largest_of_three_colluders_and_two_and_the_cohort(
    colluding: int, cohort: int, floor: int
) -> None:
    assert smallest_cohort(colluding, cohort) == floor
    assert replace(recorded().room.params, colluding=colluding, cohort=cohort).floor == floor


@pytest.mark.parametrize(("parties_", "losses", "most"), [
    (5, 1, 2), (4, 1, 1), (3, 1, None), (3, 0, 1), (5, 0, 3), (5, 2, 0), (5, 3, None), (4, 2, None), (6, 1, 3),
    (7, 2, 2), (7, 3, 0), (2, 0, None), (10, 0, 8), (10, 2, 5), (10, 4, 1), (10, 5, None),
])  # fmt: skip
def test_the_most_colluders_that_a_number_of_parties_and_losses_stands(
    parties_: int, losses: int, most: int | None
) -> None:
    assert most_colluders(parties_, losses) == most


@pytest.mark.parametrize("parties_", range(3, 12))
def test_that_many_colluders_leave_a_session_that_ends_and_one_more_does_not(parties_: int) -> None:
    for losses in range(parties_):
        left = parties_ - losses

        def stands(colluding: int, left: int = left) -> bool:
            return left >= max(smallest_threshold(Variant.ACTIVE, parties_, colluding), smallest_cohort(colluding))

        most = most_colluders(parties_, losses)
        assert most == max((c for c in range(parties_) if stands(c)), default=None)


def test_a_cohort_inside_the_terms_gives_its_threshold() -> None:
    room = recorded().room
    assert room.terms.check_cohort(room.params, room.parties) == 4


@pytest.mark.parametrize(("changes", "clients", "reason"), [
    ({}, (0, 1, 2, 3, 9), DropReason.OUTSIDE_TERMS),
    ({"threshold": 7}, (0, 1, 2, 3, 4, 5), DropReason.OUTSIDE_TERMS),
    ({"colluding": 6}, (0, 1, 2, 3, 4, 5), DropReason.OUTSIDE_TERMS),
    ({}, (0, 1, 2, 3), DropReason.WRONG_SET),
    ({"cohort": 6}, (0, 1, 2, 3, 4), DropReason.WRONG_SET),
    ({}, (), DropReason.OUTSIDE_TERMS),
])  # fmt: skip
def test_a_cohort_outside_the_terms_is_refused(
    changes: dict[str, int], clients: tuple[int, ...], reason: DropReason
) -> None:
    room = recorded().room
    with pytest.raises(PeerMisbehaved) as refusal:
        room.terms.check_cohort(replace(room.params, **changes), map(PartyId, clients))  # type: ignore[arg-type]
    assert refusal.value.reason is reason


def test_the_floor_of_both_sides_is_kept() -> None:
    room = recorded().room
    careful = replace(room.terms, max_colluding=4)
    assert (room.terms.floor, careful.floor) == (5, 6)
    careful.require_floor(len(parties(0, 1, 2, 3, 4, 5)), room.params)
    for terms, params in ((careful, room.params), (room.terms, replace(room.params, cohort=6))):
        with pytest.raises(PeerMisbehaved, match="5 parties, a sum must cover at least 6"):
            terms.require_floor(5, params)


def test_seeded_sessions_have_a_wire_domain_of_their_own() -> None:
    assert domain(SeededRandomness(b"seed")) == TEST_WIRE
    assert domain(SystemRandomness()) == WIRE


def test_the_digest_of_a_model_is_that_of_its_bytes() -> None:
    assert model_digest(b"one") == model_digest(b"one") != model_digest(b"two")
    assert len(model_digest(b"")) == 32
