"""The engines that lose are fair ones: each gives the exact sum when everybody follows it."""

from collections.abc import Callable

import numpy as np
import pytest

from mpc.field import M31
from mpc.packed import Packing
from protocols.errors import SERVER, PartyId
from protocols.lightsecagg.numbers import Numbers
from protocols.session import VectorSpec
from simulations.attacks.naive import additive, arithmetic, coded, committee, messages, secagg, sparse, static
from simulations.attacks.naive.machine import Stage
from simulations.attacks.scene import Scene, levels, reals
from simulations.attacks.scripted import Script, Scripted, hold

SCENE = Scene(b"textbook", clients=6, length=50)
LOSSES = [
    {},
    {2: Stage.MASKED},
    {0: Stage.SHARES, 3: Stage.MASKED},
    {1: Stage.MASKED, 4: Stage.UNMASK, 5: Stage.UNMASK},
]


def stayed(vanish: dict[int, Stage]) -> list[PartyId]:
    """Whose input is in the sum."""
    return [party for party in SCENE.parties if vanish.get(party) not in (Stage.KEYS, Stage.SHARES, Stage.MASKED)]


def held(script: Script[arithmetic.Ring], vanish: dict[int, Stage]) -> arithmetic.Reals:
    seats = {SERVER: Scripted(script), **SCENE.textbook(secagg.Client)}
    gone = {PartyId(party): stage for party, stage in vanish.items()}
    return arithmetic.decode(hold(seats, messages.CODEC, vanish=gone).got)


@pytest.mark.parametrize("vanish", LOSSES, ids=str)
def test_the_sum_over_all_that_stayed_is_exact(vanish: dict[int, Stage]) -> None:
    server = secagg.Coordinator(SCENE.parties, threshold=3)
    assert np.array_equal(held(server.honest(), vanish), SCENE.sum_of(*stayed(vanish)))


@pytest.mark.parametrize("vanish", [*LOSSES[:2], {4: Stage.MASKED, 0: Stage.MASKED}], ids=str)
def test_and_on_a_ring_of_neighbours(vanish: dict[int, Stage]) -> None:
    server = sparse.Coordinator(SCENE.parties, threshold=3, graph=sparse.ring(SCENE.parties, reach=2))
    assert np.array_equal(held(server.honest(), vanish), SCENE.sum_of(*stayed(vanish)))


def test_too_few_shares_are_said_to_be_too_few() -> None:
    server = secagg.Coordinator(SCENE.parties, threshold=5)
    gone = dict.fromkeys((1, 2), Stage.UNMASK)
    with pytest.raises(ValueError, match="4 shares, the threshold is 5"):
        held(server.honest(), gone)


def test_keys_that_last_give_every_round_its_sum() -> None:
    seats = {SERVER: Scripted(static.Coordinator(SCENE.parties, 0).honest_rounds(3)), **SCENE.textbook(static.Client)}
    sums = hold(seats, messages.CODEC).got
    assert len(sums) == 3
    assert all(np.array_equal(arithmetic.decode(one), SCENE.sum_of(*SCENE.parties)) for one in sums)


def test_no_two_rounds_have_the_same_masks() -> None:
    def rounds(server: static.Coordinator) -> Script[list[arithmetic.Ring]]:
        yield from server.set_up()
        first = yield from server.hold_round(1)
        second = yield from server.hold_round(2)
        return [first[SCENE.victim], second[SCENE.victim]]

    seats = {SERVER: Scripted(rounds(static.Coordinator(SCENE.parties, 0))), **SCENE.textbook(static.Client)}
    first, second = hold(seats, messages.CODEC).got
    assert not np.any(first == second)


def test_pieces_add_up() -> None:
    spec, agreed = VectorSpec(SCENE.length, M31), Numbers(SCENE.clients, 1, 4, 0)
    everybody = frozenset(SCENE.parties)
    clients = {
        party: coded.Client(
            party, levels(SCENE.updates[party]), everybody, spec, agreed, SCENE.rand.child(f"c {party}")
        )
        for party in SCENE.parties
    }
    server = Scripted(coded.Coordinator(SCENE.parties, spec, agreed).honest())
    assert np.array_equal(reals(hold({SERVER: server, **clients}, coded.CODEC).got), SCENE.sum_of(*SCENE.parties))


def test_columns_add_up() -> None:
    first, *others = SCENE.parties
    peers = {
        party: additive.Peer(
            party, arithmetic.encode(SCENE.updates[party]), SCENE.parties, SCENE.rand.child(f"p {party}")
        )
        for party in others
    }
    proposer = Scripted(additive.Proposer(SCENE.parties, SCENE.length).honest())
    hold({first: proposer, **peers}, additive.CODEC)
    assert proposer.got is not None
    assert np.array_equal(arithmetic.decode(proposer.got), SCENE.sum_of(*others))


def in_committee(spoil: Callable[[committee.Member], None]) -> arithmetic.Reals:
    """The sum of a committee of which the last member is spoilt."""
    packing = Packing(M31, SCENE.clients, privacy=1, packed=3)
    members = {
        party: committee.Member(
            party, levels(SCENE.updates[party]), SCENE.parties, packing, SCENE.rand.child(f"m {party}")
        )
        for party in SCENE.parties
    }
    spoil(members[SCENE.colluder])
    server = committee.Coordinator(SCENE.parties, packing, SCENE.length)
    rho = M31.uniform(server.blocks, SCENE.rand.child("rho"))
    return reals(hold({SERVER: Scripted(server.honest(rho)), **members}, committee.CODEC).got)


def test_a_committee_adds_up() -> None:
    assert np.array_equal(in_committee(lambda member: None), SCENE.sum_of(*SCENE.parties))


def test_and_leaves_out_who_dealt_no_polynomial() -> None:
    def spoil(member: committee.Member) -> None:
        member._rows[2, 0] ^= 1

    assert np.array_equal(in_committee(spoil), SCENE.sum_of(*SCENE.honest))


def test_numbers_wrap_without_a_word() -> None:
    assert arithmetic.decode(arithmetic.encode(np.array([1.5])), arithmetic.SCALE)[0] == 1.5
    wrapped = arithmetic.encode(np.array([20_000.0])) + arithmetic.encode(np.array([20_000.0]))
    assert arithmetic.decode(wrapped)[0] == 40_000 - 2**16


def test_points_that_are_one_modulo_p_cannot_be_told_apart_until_the_end() -> None:
    secret, p = bytes(range(32)), M31.modulus
    shares = arithmetic.split(secret, 2, [1, 2, p + 1], SCENE.rand.child("shares"))
    points = dict(zip("abc", zip([1, 2, p + 1], shares, strict=True), strict=True))
    assert arithmetic.rebuild({one: points[one] for one in "ab"}, 2) == secret
    assert shares[0] == shares[2]
    with pytest.raises(ValueError, match="not invertible"):
        arithmetic.rebuild({one: points[one] for one in "ac"}, 2)
