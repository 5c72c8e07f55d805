"""The story, the numbers of a session, and what becomes of wrong answers and wrong pieces."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from light_room import Held, LightRoom, parties

from mpc import shamir
from mpc.field import M31, FieldVector, PrimeField
from mpc.prg import Seed
from protocols.errors import AbortReason, DropReason, PartyId, PeerMisbehaved
from protocols.lightsecagg import Client, coding, numbers, story
from protocols.lightsecagg.messages import CODEC, AggregatedPiece, Piece, Relayed, Round
from protocols.machine import Aborted, Machine
from protocols.session import Variant, smallest_cohort


@pytest.mark.parametrize("lost", [None, 3])
def test_the_story_ends_with_the_exact_sum(lost: int | None) -> None:
    room = LightRoom(clients=5, colluding=2, losses=1)
    gone = None if lost is None else PartyId(lost)
    told = story(
        room.inputs,
        params=room.params,
        terms=room.terms,
        identities=room.identities,
        rand=lambda me: room.rand.child(f"client {me}"),
        lost_before_masking=gone,
    )
    assert told.included == frozenset(room.parties) - {gone}
    assert np.array_equal(told.vector, room.plain_sum(told.included))


def test_the_story_is_that_of_the_active_variant() -> None:
    room = LightRoom(variant=Variant.CURIOUS)
    with pytest.raises(ValueError, match="active"):
        story(room.inputs, params=room.params, terms=room.terms, identities=room.identities, rand=lambda me: room.rand)


def test_five_banks_with_two_colluders_and_one_loss() -> None:
    agreed = numbers(LightRoom(clients=5, colluding=2, losses=1).params, 5)
    assert (agreed.privacy, agreed.decode, agreed.pieces, agreed.quorum, agreed.alive) == (2, 4, 2, 4, 4)


@pytest.mark.parametrize("n", range(3, 12))
def test_the_numbers_are_those_of_the_specification(n: int) -> None:
    room = LightRoom()
    for c in range(n - 1):
        for d in range(n + 2):
            agreed = numbers(replace(room.params, colluding=c, losses=d), n)
            assert agreed.privacy >= max(c, 1)
            assert agreed.privacy < agreed.decode <= n
            assert agreed.decode == n - d or agreed.decode == agreed.privacy + 1 > n - d
            assert 2 * agreed.quorum > n + c >= 2 * (agreed.quorum - 1)
            assert not set(agreed.share_points) & set(agreed.mask_points)
            assert 0 not in (*agreed.share_points, *agreed.mask_points)


def test_a_party_whose_terms_count_more_colluders_takes_no_part() -> None:
    room = LightRoom(clients=5, colluding=1)
    room.params = replace(room.params, colluding=2)
    room.hold().require_exact(0, 1, 2, 3, 4)  # planned for more than the terms ask
    client = room.client(PartyId(0), max_colluding=3)
    (invitation,) = room.server().start()
    with pytest.raises(PeerMisbehaved, match="our terms ask for 3"):
        client.receive(PartyId(-1), invitation.message)


def test_a_sum_covers_the_floor() -> None:
    assert smallest_cohort(2) == 4
    LightRoom(clients=4, colluding=2, losses=0).hold().require_exact(0, 1, 2, 3)
    LightRoom(clients=4, colluding=2, losses=1).hold({0: Round.MASKED_INPUT}).require_no_result()


@pytest.mark.parametrize("message", [Piece(PartyId(3), bytes(2**21)), Relayed(PartyId(3), bytes(2**21))])
def test_a_piece_of_more_than_a_mebibyte_travels(message: Any) -> None:
    assert CODEC.decode(CODEC.encode(message)) == message


# What a party remembers


def held_again(room: LightRoom, before: Held, vanish: dict[int, Round]) -> Held:
    """Another session about the same, with what the parties of the one before remember."""
    again = replace(room, seed=room.seed)
    again.params = replace(room.params, nonce=bytes(32))
    machines = again.machines()
    for party in room.parties:
        machines[party] = Client(
            party,
            identity=room.identities[party],
            terms=room.terms,
            rand=room.rand.child(f"again {party}"),
            ledger=before.machines[party].ledger,
        )
        machines[party].set_input(room.inputs[party])  # type: ignore[attr-defined]
    return again.hold(vanish, machines=machines)


def test_a_sum_of_the_same_step_over_other_members_is_not_opened() -> None:
    room = LightRoom(clients=5, colluding=1, losses=1)
    first = room.hold()
    second = held_again(room, first, {4: Round.MASKED_INPUT})
    assert isinstance(second.outcome, Aborted)
    causes = {second.machines[party].outcome.cause for party in room.parties[:4]}
    assert causes == {DropReason.SUMMED_BEFORE}


def test_the_same_sum_may_be_repeated_once_with_a_warning_and_no_more() -> None:
    room = LightRoom(clients=5, colluding=1, losses=1)
    first = room.hold()
    second = held_again(room, first, {})
    second.require_exact(0, 1, 2, 3, 4)
    assert [str(one)[:31] for one in second.machines[PartyId(0)].warnings] == ["this step is summed again: our "]
    held_again(room, second, {}).require_no_result()


def test_before_a_party_confirmed_it_may_try_again_with_whomever() -> None:
    room = LightRoom(clients=5, colluding=1, losses=1)
    first = room.hold({0: Round.MASKED_INPUT, 1: Round.MASKED_INPUT})
    first.require_no_result()
    held_again(room, first, {4: Round.MASKED_INPUT}).require_exact(0, 1, 2, 3)


def test_once_it_confirmed_a_party_sums_the_step_over_the_same_members_or_not_at_all() -> None:
    """Fewer than q answers may open the sum: those who confirmed and were never asked remember it all the same."""
    room = LightRoom(clients=5, colluding=1, losses=1)
    first = room.hold({0: Round.CONFIRM, 1: Round.CONFIRM})
    first.require_no_result()
    held_again(room, first, {4: Round.MASKED_INPUT}).require_no_result()
    held_again(room, first, {}).require_exact(0, 1, 2, 3, 4)


# Wrong answers and wrong pieces


@dataclass
class Liar:
    """A client whose answer is changed on its way out."""

    client: Any
    change: Callable[[bytes], bytes]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def receive(self, sender: PartyId, message: Any) -> Any:
        said = self.client.receive(sender, message)
        return [
            replace(one, message=AggregatedPiece(self.change(one.message.piece)))
            if isinstance(one.message, AggregatedPiece)
            else one
            for one in said
        ]


def plus_one(room: LightRoom, length: int, column: int) -> Callable[[bytes], bytes]:
    def change(packed: bytes) -> bytes:
        piece = room.field.unpack(packed, length)
        piece[column] = (int(piece[column]) + 1) % room.field.modulus
        return room.field.pack(piece)

    return change


def held_with_liars(room: LightRoom, *liars: int, columns: tuple[int, ...] = (0,), gone: Any = None) -> Held:
    machines: dict[PartyId, Machine] = room.machines()
    length = numbers(room.params, room.clients).piece_length(room.params.spec)
    for liar in liars:
        for column in columns:
            machines[PartyId(liar)] = Liar(machines[PartyId(liar)], plus_one(room, length, column))  # type: ignore[assignment]
    return room.hold(gone, machines=machines)


@pytest.mark.parametrize("column", [0, 5, -1])
def test_wrong_answers_are_corrected_as_far_as_there_are_answers_to_spare_and_their_holders_noted(column: int) -> None:
    room = LightRoom(clients=9, colluding=2, losses=4)  # U = 5: nine answers stand two wrong ones
    held = held_with_liars(room, 3, 7, columns=(column,))
    held.require_exact(*range(9))
    assert held.server.unfitting == parties(3, 7)
    assert not held.server.dropped


def test_errors_in_different_places_of_different_answers_are_found_together() -> None:
    room = LightRoom(clients=9, colluding=2, losses=4)
    machines = room.machines()
    length = numbers(room.params, 9).piece_length(room.params.spec)
    for liar, column in ((2, 0), (6, length - 1)):
        machines[PartyId(liar)] = Liar(machines[PartyId(liar)], plus_one(room, length, column))  # type: ignore[assignment]
    held = room.hold(machines=machines)
    held.require_exact(*range(9))
    assert held.server.unfitting == parties(2, 6)


def test_one_wrong_answer_more_than_can_be_corrected_ends_without_a_result_and_blames_nobody() -> None:
    held = held_with_liars(LightRoom(clients=9, colluding=2, losses=4), 1, 3, 7)
    held.require_no_result()
    assert held.outcome == Aborted(AbortReason.UNMASK_INCONSISTENT)
    assert not held.server.unfitting


def test_without_an_answer_to_spare_a_wrong_one_over_the_canaries_ends_the_session() -> None:
    room = LightRoom(clients=5, colluding=2, losses=1)
    spec = room.params.spec
    agreed = numbers(room.params, 5)
    canary = (spec.masked_length - 1) % agreed.piece_length(spec)
    held = held_with_liars(room, 3, columns=(canary,), gone={0: Round.AGGREGATE})  # four answers, U = 4
    held.require_no_result()
    assert held.outcome == Aborted(AbortReason.UNMASK_INCONSISTENT)


def test_without_one_to_spare_and_beside_the_canaries_it_is_as_if_the_holder_had_another_input() -> None:
    """No more is claimed: it holds for every party that its own vector could have been anything."""
    room = LightRoom(clients=5, colluding=2, losses=1)
    held = held_with_liars(room, 3, columns=(0,), gone={0: Round.AGGREGATE})
    assert not isinstance(held.outcome, Aborted)
    assert not np.array_equal(held.outcome.aggregate.vector, room.plain_sum(parties(*range(5))))  # type: ignore[union-attr]
    assert held.server.unfitting == frozenset()


def deal_wrongly(monkeypatch: pytest.MonkeyPatch, dealer: PartyId, *places: int) -> None:
    """That dealer's pieces for these places lie on no polynomial with the others; each opens, and is well signed."""
    real, secret = coding.cut, {}

    def noted(self: Client, *given: Any) -> Any:
        secret[dealer] = self._me
        return deal(self, *given)

    def cut(*given: Any) -> FieldVector:
        rows = real(*given)
        if secret.get(dealer) == dealer:
            for place in places:
                rows[place] = M31.add(rows[place], np.ones_like(rows[place]))
        return rows

    deal = Client._deal
    monkeypatch.setattr(Client, "_deal", noted)
    monkeypatch.setattr(coding, "cut", cut)


def test_a_dealer_of_few_wrong_pieces_is_corrected_and_its_holders_are_noted_not_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The holders said what they were dealt. What the server keeps is therefore no verdict, and nobody is dropped."""
    deal_wrongly(monkeypatch, PartyId(0), 4, 5)
    held = LightRoom(clients=9, colluding=2, losses=4).hold()
    held.require_exact(*range(9))
    assert held.server.unfitting == parties(4, 5)
    assert not held.server.dropped
    assert not held.server.disputes


def test_a_dealer_of_many_wrong_pieces_ends_the_session_and_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    deal_wrongly(monkeypatch, PartyId(0), 3, 4, 5)
    held = LightRoom(clients=9, colluding=2, losses=4).hold()
    assert held.outcome == Aborted(AbortReason.UNMASK_INCONSISTENT)
    assert not held.server.unfitting
    assert all(reason is not DropReason.BAD_SHARE for _, reason in held.server.dropped.values())


def test_a_dealer_of_wrong_pieces_that_is_lost_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    deal_wrongly(monkeypatch, PartyId(0), 3, 4, 5)
    held = LightRoom(clients=9, colluding=2, losses=4).hold({0: Round.MASKED_INPUT})
    held.require_exact(*range(1, 9))


# What decoding costs


@pytest.mark.slow
def test_what_the_server_multiplies_does_not_depend_on_how_many_were_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted products of the decoding are equal; all else that the server multiplies falls with the losses."""
    room = LightRoom(clients=20, colluding=4, losses=6, length=2_000, field=PrimeField.with_bits(26))
    counted: dict[int, tuple[int, int]] = {}
    for lost in (0, 2, 6):  # 0 %, 10 %, 30 %
        counted[lost] = products_of_decoding(room, lost, monkeypatch)
    decoding = {counts[0] for counts in counted.values()}
    assert len(decoding) == 1
    everything = [counts[1] for counts in counted.values()]
    assert everything == sorted(everything, reverse=True)
    assert everything[0] < 1.5 * everything[-1]


def products_of_decoding(room: LightRoom, lost: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Multiplications in matrix products when 20 - lost answers are decoded: those of the one that gives the masks,
    and all."""
    agreed, spec = numbers(room.params, 20), room.params.spec
    rand = room.rand.child("decoding")
    values = spec.field.uniform(14 * agreed.piece_length(spec), rand).reshape(14, -1)
    points = [*agreed.share_points][lost:]
    rows = dict(zip(points, evaluated(values, agreed, points, spec.field), strict=True))
    shapes: list[tuple[int, ...]] = []
    real = PrimeField.matmul

    def matmul(self: PrimeField, a: FieldVector, b: FieldVector) -> FieldVector:
        shapes.append((*a.shape, *b.shape[1:]))
        return real(self, a, b)

    with monkeypatch.context() as patch:
        patch.setattr(PrimeField, "matmul", matmul)
        decoded = coding.decode(rows, agreed, spec, Seed(bytes(32)))
    assert np.array_equal(decoded.masks, values[: agreed.pieces].reshape(-1)[: spec.masked_length])
    products = [int(np.prod(shape)) for shape in shapes]
    masks = [product for product, shape in zip(products, shapes, strict=True) if shape[:2] == (10, 14)]
    return sum(masks), sum(products)


def evaluated(values: FieldVector, agreed: Any, points: list[int], field_: PrimeField) -> FieldVector:
    """By Shamir's own matrices: coefficients through the mask points, then powers."""
    coefficients = shamir._interpolate(list(agreed.mask_points), values, field_)
    return field_.matmul(shamir._powers(tuple(points), len(values), field_), coefficients)
