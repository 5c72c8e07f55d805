"""Parties that vanish, come late or lie after their input is in the sum: exact and named, or nothing."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conversation import Room, Talk

from mpc.field import M31, FieldVector
from protocols import rebuilding
from protocols.errors import SERVER, AbortReason, DropReason, PartyId
from protocols.exchange import Exchange
from protocols.machine import Aborted, Envelope, Finished, Machine
from protocols.messages import (
    CODEC,
    DroppedReveal,
    FallbackRequest,
    FallbackShares,
    MaskedInput,
    MaskKeyReveal,
    Round,
    SurvivorReveal,
    UnmaskShares,
)
from protocols.secagg import Client, Dispute
from protocols.secagg.unmasking import UnmaskFailed
from protocols.session import Variant

Edit = Callable[[Any], Any]
LIAR, LOST = PartyId(1), PartyId(4)


class Lying:
    """A client that is honest but for what it says in the messages of one class; None is not sent."""

    def __init__(self, client: Client, kind: type, edit: Edit) -> None:
        self._client, self._kind, self._edit = client, kind, edit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        said = self._client.receive(sender, message)
        spoiled = [self._edit(one.message) if isinstance(one.message, self._kind) else one.message for one in said]
        return [replace(one, message=message) for one, message in zip(said, spoiled, strict=True) if message]


def held(
    room: Room, *liars: PartyId, kind: type = UnmaskShares, edit: Edit, lost: dict[int, Round] | None = None
) -> Talk:
    """A session in which the liars' messages of that class go through `edit`."""
    machines: dict[PartyId, Machine] = room.machines()
    for liar in liars:
        machines[liar] = Lying(room.client(liar), kind, edit)  # type: ignore[assignment]
    exchange = Exchange(machines, CODEC, vanish={PartyId(party): at for party, at in (lost or {}).items()})
    return Talk(exchange.run(), machines, exchange)


def require_exact(talk: Talk, room: Room, included: set[int]) -> None:
    assert isinstance(talk.outcome, Finished)
    aggregate = talk.outcome.aggregate
    assert aggregate.included == included
    assert np.array_equal(aggregate.vector, room.plain_sum({PartyId(party) for party in included}))


def require_nothing(talk: Talk, accused: PartyId | None = None) -> None:
    """No sum for anybody, and everybody was told; whom the server suspects it keeps to itself."""
    aborted = Aborted(AbortReason.UNMASK_INCONSISTENT, accused=accused)
    assert talk.outcome == aborted
    for party, machine in talk.exchange.machines.items():
        if party != SERVER:
            assert machine.outcome == Aborted(AbortReason.TOLD)


def other_share(share: bytes) -> bytes:
    """Another share, in the field."""
    limbs = M31.unpack(share, 9)
    return M31.pack(M31.add(limbs, M31.vector([1] * 9)))


def lie_about_self_share_of(owner: int) -> Edit:
    def edit(message: UnmaskShares) -> UnmaskShares:
        reveal = message.reveals[PartyId(owner)]
        assert isinstance(reveal, SurvivorReveal)
        return UnmaskShares(dict(message.reveals) | {PartyId(owner): SurvivorReveal(other_share(reveal.share))})

    return edit


def lie_about_leaf_of(owner: int) -> Edit:
    def edit(message: UnmaskShares) -> UnmaskShares:
        return UnmaskShares(dict(message.reveals) | {PartyId(owner): DroppedReveal(bytes(32))})

    return edit


def lie_about_mask_share_of(owner: int) -> Edit:
    def edit(message: FallbackShares) -> FallbackShares:
        share = message.shares[PartyId(owner)].share
        return FallbackShares({PartyId(owner): MaskKeyReveal(other_share(share))})

    return edit


def add_garbage_to(room: Room) -> Edit:
    def edit(message: MaskedInput) -> MaskedInput:
        spec = room.params.spec
        wrong: FieldVector = spec.field.uniform(spec.masked_length, room.rand.child("garbage"))
        return MaskedInput(spec.field.pack(spec.field.add(spec.field.unpack(message.masked, len(wrong)), wrong)))

    return edit


@pytest.mark.parametrize("variant", list(Variant))
def test_who_vanishes_after_confirming_while_another_was_lost_costs_a_fallback_and_no_exactness(
    variant: Variant,
) -> None:
    room = Room(clients=6, variant=variant)
    frames: list[bytes] = []
    talk = room.talk({5: Round.MASKED_INPUT, 0: Round.UNMASK}, tap=lambda _from, _to, data: frames.append(data))
    require_exact(talk, room, {0, 1, 2, 3, 4})
    asked = [message for message in map(CODEC.decode, frames) if isinstance(message, FallbackRequest)]
    assert asked == ([FallbackRequest(frozenset({PartyId(5)}))] * 4 if variant is Variant.ACTIVE else [])
    assert dict(talk.server.dropped) == {
        PartyId(5): (Round.MASKED_INPUT, DropReason.VANISHED), PartyId(0): (Round.UNMASK, DropReason.VANISHED)
    }  # fmt: skip
    assert talk.server.u5 == {1, 2, 3, 4}


def test_a_survivor_that_vanishes_when_nobody_else_was_lost_costs_no_fallback() -> None:
    room = Room(clients=5)
    frames: list[bytes] = []
    talk = room.talk({0: Round.UNMASK}, tap=lambda _from, _to, data: frames.append(data))
    require_exact(talk, room, {0, 1, 2, 3, 4})
    assert not [one for one in map(CODEC.decode, frames) if isinstance(one, FallbackRequest)]


def test_a_helper_that_vanishes_in_the_fallback_is_not_missed_while_enough_answer() -> None:
    room = Room(clients=7)
    talk = room.talk({6: Round.MASKED_INPUT, 0: Round.UNMASK, 1: Round.FALLBACK})
    require_exact(talk, room, {0, 1, 2, 3, 4, 5})
    assert talk.server.dropped[PartyId(1)] == (Round.FALLBACK, DropReason.VANISHED)


def test_too_few_answers_to_the_fallback_end_the_session_without_a_sum() -> None:
    room = Room(clients=6)
    talk = room.talk({5: Round.MASKED_INPUT, 0: Round.UNMASK, 1: Round.FALLBACK})
    assert talk.outcome == Aborted(AbortReason.TOO_FEW)
    for party in (2, 3, 4):
        assert talk.machines[PartyId(party)].outcome == Aborted(AbortReason.TOLD)


def test_a_wrong_leaf_seed_is_found_by_the_canaries_and_its_liar_by_the_fallback() -> None:
    room = Room()
    talk = held(room, LIAR, edit=lie_about_leaf_of(LOST), lost={LOST: Round.MASKED_INPUT})
    require_exact(talk, room, {0, 1, 2, 3})
    assert talk.server.dropped[LIAR] == (Round.UNMASK, DropReason.BAD_SHARE)
    assert isinstance(talk.machines[PartyId(0)].outcome, Finished)


def test_a_wrong_leaf_seed_that_the_fallback_covers_anyway_names_its_liar_too() -> None:
    room = Room(clients=6)
    talk = held(
        room, LIAR, edit=lie_about_leaf_of(5), lost={5: Round.MASKED_INPUT, 0: Round.UNMASK}
    )  # fmt: skip
    require_exact(talk, room, {0, 1, 2, 3, 4})
    assert talk.server.dropped[LIAR] == (Round.UNMASK, DropReason.BAD_SHARE)


def test_a_wrong_mask_share_beyond_correction_ends_the_session_and_accuses_its_owner() -> None:
    room = Room(clients=6)
    lost = {5: Round.MASKED_INPUT, 0: Round.UNMASK}
    require_nothing(held(room, LIAR, kind=FallbackShares, edit=lie_about_mask_share_of(5), lost=lost), PartyId(5))


def test_a_wrong_mask_share_is_corrected_where_two_more_than_the_threshold_answer() -> None:
    room = Room(clients=9)
    lost = {8: Round.MASKED_INPUT, 0: Round.UNMASK}
    talk = held(room, LIAR, kind=FallbackShares, edit=lie_about_mask_share_of(8), lost=lost)
    require_exact(talk, room, set(range(8)))
    assert talk.server.disputes == {Dispute(dealer=PartyId(8), holder=LIAR)}


def test_a_wrong_self_share_is_corrected_and_the_dispute_recorded() -> None:
    room = Room()
    talk = held(room, LIAR, edit=lie_about_self_share_of(3))
    require_exact(talk, room, {0, 1, 2, 3, 4})
    assert talk.server.disputes == {Dispute(dealer=PartyId(3), holder=LIAR)}
    assert not talk.server.dropped  # which of the two is at fault stays open


def test_a_wrong_self_share_beyond_the_lowest_t_is_not_even_looked_at() -> None:
    room = Room()
    talk = held(room, PartyId(4), edit=lie_about_self_share_of(3))
    require_exact(talk, room, {0, 1, 2, 3, 4})
    assert not talk.server.disputes


def test_more_wrong_self_shares_than_decoding_corrects_are_found_by_the_commitment_while_t_are_right() -> None:
    room = Room()
    talk = held(room, LIAR, PartyId(2), edit=lie_about_self_share_of(3))
    require_exact(talk, room, {0, 1, 2, 3, 4})
    assert not talk.server.disputes  # who it was cannot be told any more


def test_fewer_than_t_right_self_shares_end_the_session_with_nothing() -> None:
    liars = (LIAR, PartyId(2), PartyId(4))
    require_nothing(held(Room(), *liars, edit=lie_about_self_share_of(3)), PartyId(3))


def test_a_liar_about_everybody_is_in_a_dispute_with_the_first_and_avoided_for_the_rest() -> None:
    def edit(message: UnmaskShares) -> UnmaskShares:
        for owner in message.reveals:
            message = lie_about_self_share_of(owner)(message)
        return message

    room = Room()
    talk = held(room, LIAR, edit=edit)
    require_exact(talk, room, {0, 1, 2, 3, 4})
    assert talk.server.disputes == {Dispute(dealer=PartyId(0), holder=LIAR)}


def test_a_wrong_self_share_with_nobody_to_spare_ends_the_session_with_nothing() -> None:
    room = Room(clients=4)
    lost = {3: Round.MASKED_INPUT}
    require_nothing(held(room, LIAR, edit=lie_about_self_share_of(0), lost=lost), PartyId(0))


@pytest.mark.parametrize("lost", [{}, {LOST: Round.MASKED_INPUT}], ids=["all there", "one lost"])
def test_masks_that_do_not_come_off_give_no_sum_at_all(lost: dict[int, Round]) -> None:
    room = Room()
    require_nothing(held(room, LIAR, kind=MaskedInput, edit=add_garbage_to(room), lost=lost))


def test_a_wrong_mask_share_of_the_curious_variant_ends_it_or_is_corrected() -> None:
    def edit(message: UnmaskShares) -> UnmaskShares:
        reveal = message.reveals[LOST]
        assert isinstance(reveal, MaskKeyReveal)
        return UnmaskShares(dict(message.reveals) | {LOST: MaskKeyReveal(other_share(reveal.share))})

    lost = {LOST: Round.MASKED_INPUT}
    spare = Room(variant=Variant.CURIOUS)
    talk = held(spare, LIAR, edit=edit, lost=lost)
    require_exact(talk, spare, {0, 1, 2, 3})
    assert talk.server.disputes == {Dispute(dealer=LOST, holder=LIAR)}
    require_nothing(held(Room(variant=Variant.CURIOUS, threshold=4), LIAR, edit=edit, lost=lost), LOST)


def test_who_comes_too_late_is_told_and_an_input_that_had_arrived_counts() -> None:
    room = Room()
    talk = held(room, LIAR, edit=lambda _: None)
    require_exact(talk, room, {0, 1, 2, 3, 4})
    assert talk.machines[LIAR].outcome == Aborted(AbortReason.TOLD)
    assert talk.server.dropped == {LIAR: (Round.UNMASK, DropReason.TOO_SLOW)}


def test_an_input_that_comes_too_late_is_not_in_the_sum_and_only_a_signed_u3_could_say_so() -> None:
    room = Room()
    talk = held(room, LIAR, kind=MaskedInput, edit=lambda _: None)
    require_exact(talk, room, {0, 2, 3, 4})
    assert talk.machines[LIAR].outcome == Aborted(AbortReason.TOLD)


def test_the_failure_to_rebuild_names_the_owner() -> None:
    assert UnmaskFailed(PartyId(3)).owner == 3
    assert "party 3" in str(UnmaskFailed(PartyId(3)))


# How many may lie


def crowd(
    room: Room, wrong: Mapping[int, FieldVector], owner: int = 0, vanish: Mapping[int, Round] | None = None
) -> Talk:
    """wrong: what each of these adds to its share of this owner's secret."""
    machines: dict[PartyId, Machine] = room.machines()
    for liar, error in wrong.items():
        lying: Any = Lying(room.client(PartyId(liar)), UnmaskShares, add_to_self_share(owner, error))
        machines[PartyId(liar)] = Lying(lying, FallbackShares, add_to_mask_share(owner, error))  # type: ignore[assignment]
    gone = {PartyId(party): at for party, at in (vanish or {}).items()}
    exchange = Exchange(machines, CODEC, vanish=gone)
    return Talk(exchange.run(), machines, exchange)


def add_to_self_share(owner: int, error: FieldVector) -> Edit:
    def edit(message: UnmaskShares) -> UnmaskShares:
        match message.reveals[PartyId(owner)]:
            case SurvivorReveal(share):
                return UnmaskShares({**message.reveals, PartyId(owner): SurvivorReveal(plus(share, error))})
        return message

    return edit


def add_to_mask_share(owner: int, error: FieldVector) -> Edit:
    def edit(message: FallbackShares) -> FallbackShares:
        return FallbackShares({PartyId(owner): MaskKeyReveal(plus(message.shares[PartyId(owner)].share, error))})

    return edit


def plus(share: bytes, error: FieldVector) -> bytes:
    return M31.pack(M31.add(M31.unpack(share, 9), error))


def lost_first(clients: int, lost: int) -> dict[int, Round]:
    return dict.fromkeys(range(clients - lost, clients), Round.MASKED_INPUT)


def at_random(room: Room, liars: Iterable[int]) -> dict[int, FieldVector]:
    return {liar: M31.uniform(9, room.rand.child(f"error of {liar}")) for liar in liars}


def disputes_of(*liars: int) -> set[Dispute]:
    return {Dispute(dealer=PartyId(0), holder=PartyId(liar)) for liar in liars}


CROWDS = [(5, 0), (7, 0), *(pytest.param(*one, marks=pytest.mark.slow) for one in [(9, 0), (9, 1), (12, 1)])]


@pytest.mark.parametrize(("clients", "lost"), CROWDS)
def test_decoding_corrects_half_of_the_answers_beyond_t_and_not_one_more(
    clients: int, lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "MOST_SUBSETS", 0)  # no subset of the answers is tried
    room = Room(clients=clients, length=2)
    half = (clients - lost - room.t) // 2
    for wrong in range(half + 1):
        talk = crowd(room, at_random(room, range(1, 1 + wrong)), vanish=lost_first(clients, lost))
        require_exact(talk, room, set(range(clients - lost)))
        assert talk.server.disputes == disputes_of(*range(1, 1 + wrong))
    too_many = at_random(room, range(1, 2 + half))
    require_nothing(crowd(room, too_many, vanish=lost_first(clients, lost)), PartyId(0))


@pytest.mark.parametrize(("clients", "lost"), CROWDS)
def test_with_the_commitment_all_answers_beyond_t_may_be_wrong_and_not_one_more(clients: int, lost: int) -> None:
    room = Room(clients=clients, length=2)
    spare = clients - lost - room.t
    for wrong in range(1, 1 + spare):
        talk = crowd(room, at_random(room, range(1, 1 + wrong)), vanish=lost_first(clients, lost))
        require_exact(talk, room, set(range(clients - lost)))
        assert talk.server.disputes == (disputes_of(*range(1, 1 + wrong)) if wrong <= (spare + 1) // 2 else set())
    too_many = at_random(room, range(1, 2 + spare))
    require_nothing(crowd(room, too_many, vanish=lost_first(clients, lost)), PartyId(0))


def conspiring(room: Room, liars: Sequence[int], beside: Sequence[int]) -> dict[int, FieldVector]:
    """Errors on a polynomial that is zero at 0 and at the honest `beside`: the secret stays, and all these fit it."""
    factors = {1 + liar: (1 + liar) * math.prod(liar - one for one in beside) for liar in liars}
    return {point - 1: M31.vector([factor % M31.modulus] * 9) for point, factor in factors.items()}


def test_more_liars_than_that_can_make_the_honest_look_wrong_and_cannot_make_a_wrong_sum() -> None:
    """Four of nine, for t = 5: with three honest ones they lie on one polynomial, and two honest ones do not."""
    room = Room(clients=9, length=2)
    liars, beside = (1, 2, 3, 8), (0, 5, 6)
    talk = crowd(room, conspiring(room, liars, beside))
    require_exact(talk, room, set(range(9)))
    assert talk.server.disputes == disputes_of(4, 7)
    few = crowd(room, conspiring(room, liars[:2], (0, 5, 6)))  # as many as decoding corrects
    require_exact(few, room, set(range(9)))
    assert few.server.disputes == disputes_of(1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", range(1, 6))
def test_shares_of_a_mask_secret_are_corrected_by_its_public_key_in_the_same_way(wrong: int) -> None:
    """Eleven of thirteen answer the fallback, for seven."""
    room = Room(clients=13, length=2)
    talk = crowd(room, at_random(room, range(1, 1 + wrong)), 12, {12: Round.MASKED_INPUT, 11: Round.UNMASK})
    assert (len(talk.server.u5), room.t) == (11, 7)
    if wrong > 4:
        require_nothing(talk, PartyId(12))
        return
    require_exact(talk, room, set(range(12)))
    named = {dispute.holder for dispute in talk.server.disputes}
    assert named == (set(range(1, 1 + wrong)) if wrong <= 2 else set())


# Wrong seeds: of each kind, of each wrong party, alone and together


def lie_about_leaves_of(*owners: int) -> Edit:
    def edit(message: UnmaskShares) -> UnmaskShares:
        for owner in owners:
            message = lie_about_leaf_of(owner)(message)
        return message

    return edit


def test_several_who_lie_about_leaf_seeds_of_several_are_all_found_and_the_sum_stands() -> None:
    room = Room(clients=7)
    lost = {5: Round.MASKED_INPUT, 6: Round.MASKED_INPUT}
    talk = held(room, PartyId(0), PartyId(3), edit=lie_about_leaves_of(5, 6), lost=lost)
    require_exact(talk, room, {0, 1, 2, 3, 4})
    liars = {party: found for party, found in talk.server.dropped.items() if party in (0, 3)}
    assert liars == dict.fromkeys([PartyId(0), PartyId(3)], (Round.UNMASK, DropReason.BAD_SHARE))
    assert not talk.server.disputes  # whose key it is is certain: the survivor lied, and nobody else can have


def test_even_when_all_survivors_lie_about_leaf_seeds_the_public_key_gives_them_back() -> None:
    room = Room()
    survivors = [PartyId(party) for party in range(4)]
    talk = held(room, *survivors, edit=lie_about_leaf_of(LOST), lost={LOST: Round.MASKED_INPUT})
    require_exact(talk, room, {0, 1, 2, 3})
    assert set(talk.server.dropped) == {*survivors, LOST}


def test_one_who_lies_about_a_leaf_seed_and_again_in_the_fallback_is_found_twice() -> None:
    room = Room(clients=9)
    lost = {8: Round.MASKED_INPUT}
    machines: dict[PartyId, Machine] = room.machines()
    lying = Lying(room.client(LIAR), UnmaskShares, lie_about_leaf_of(8))
    machines[LIAR] = Lying(lying, FallbackShares, lie_about_mask_share_of(8))  # type: ignore[arg-type,assignment]
    exchange = Exchange(machines, CODEC, vanish={PartyId(8): lost[8]})
    talk = Talk(exchange.run(), machines, exchange)
    require_exact(talk, room, set(range(8)))
    assert talk.server.dropped[LIAR] == (Round.UNMASK, DropReason.BAD_SHARE)
    assert talk.server.disputes == {Dispute(dealer=PartyId(8), holder=LIAR)}


def test_wrong_leaf_seeds_and_wrong_self_shares_at_once_cost_neither_the_sum_nor_a_name() -> None:
    def edit(message: UnmaskShares) -> UnmaskShares:
        return lie_about_self_share_of(0)(lie_about_leaf_of(8)(message))

    room = Room(clients=9)
    talk = held(room, LIAR, edit=edit, lost={8: Round.MASKED_INPUT})
    require_exact(talk, room, set(range(8)))
    assert talk.server.dropped[LIAR] == (Round.UNMASK, DropReason.BAD_SHARE)
    assert talk.server.disputes == {Dispute(dealer=PartyId(0), holder=LIAR)}
