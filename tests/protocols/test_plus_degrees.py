"""k and t follow from what was agreed, a client refuses what its own terms do not admit, and draws are fair."""

from collections import Counter
from dataclasses import replace

import pytest
from plus_room import PlusRoom, parties
from scipy.stats import chi2
from test_leakage import run_of_an_input_in

from mpc.field import M31, M61, PrimeField
from mpc.prg import Seed
from protocols.errors import DropReason, PartyId, PeerMisbehaved
from protocols.graph import GraphParameters, failure
from protocols.secagg_plus.degrees import SECURITY_BITS, graph_for, require_graph
from protocols.secagg_plus.drawing import draw_holders, ring
from protocols.secagg_plus.messages import CODEC, MaskedInput, Round
from protocols.session import SessionParams, Terms, Variant

ROOM = PlusRoom(clients=5)
ODDS = 1e-6


def agreed(c: int, d: int, variant: Variant = Variant.ACTIVE, threshold: int = 1) -> tuple[SessionParams, Terms]:
    params = replace(ROOM.params, colluding=c, losses=d, variant=variant, threshold=threshold)
    return params, replace(ROOM.terms, max_colluding=c, variant=variant)


@pytest.mark.parametrize(("n", "degree", "threshold"), [(100, 16, 11), (500, 46, 33), (1000, 52, 37), (10_000, 62, 44)])
def test_the_degrees_are_those_of_the_malicious_solver(n: int, degree: int, threshold: int) -> None:
    params, terms = agreed(n // 20, n // 20)
    assert require_graph(params, n, terms) == GraphParameters(degree, threshold)


@pytest.mark.parametrize(("n", "degree", "threshold"), [(100, 12, 6), (1000, 30, 17), (10_000, 34, 20)])
def test_the_degrees_of_the_curious_variant_are_the_published_ones(n: int, degree: int, threshold: int) -> None:
    params, terms = agreed(n // 20, n // 20, Variant.CURIOUS)
    assert require_graph(params, n, terms) == GraphParameters(degree, threshold)


def test_every_graph_that_is_planned_is_one_that_its_own_terms_admit() -> None:
    for n, c, d in [(n, c, d) for n in (5, 6, 9, 20, 57, 200) for c in range(4) for d in range(3) if c + 2 * d < n - 1]:
        for variant in Variant:
            params, terms = agreed(c, d, variant)
            graph = require_graph(params, n, terms)
            if graph.degree == n - 1 and variant is Variant.ACTIVE:
                assert 2 * graph.threshold - graph.degree > c
                assert n - 1 - d >= graph.threshold
            assert graph.threshold <= graph.degree


@pytest.mark.parametrize(("c", "d"), [(0, 5), (5, 0), (0, 0)])
def test_no_graph_is_planned_on_none_corrupt_or_none_lost(c: int, d: int) -> None:
    assert graph_for(agreed(c, d)[0], 100).degree == 99


def test_a_threshold_may_be_agreed_higher_but_not_above_the_degree() -> None:
    params, terms = agreed(5, 5, threshold=14)
    assert require_graph(params, 100, terms) == GraphParameters(16, 14)
    with pytest.raises(PeerMisbehaved):
        require_graph(replace(params, threshold=17), 100, terms)


@pytest.mark.parametrize("changes", [{"max_colluding": 9}, {"retries_after_reveal": 10**9}])
def test_a_graph_that_is_weaker_than_a_clients_own_terms_is_refused(changes: dict[str, int]) -> None:
    params, terms = agreed(5, 5)
    require_graph(params, 100, terms)
    stricter = replace(terms, **changes)  # type: ignore[arg-type]
    risk = failure(
        100, graph_for(params, 100), stricter.max_colluding / 100, 0.05,
        adversary="malicious", attempts=1 + stricter.retries_after_reveal,
    )  # fmt: skip
    assert risk.insecure > -SECURITY_BITS
    with pytest.raises(PeerMisbehaved) as refusal:
        require_graph(params, 100, stricter)
    assert refusal.value.reason is DropReason.OUTSIDE_TERMS


def test_where_everybody_holds_one_more_colluder_than_planned_may_be_refused() -> None:
    params, terms = agreed(1, 1)
    assert require_graph(params, 5, terms) == GraphParameters(4, 3)
    with pytest.raises(PeerMisbehaved):
        require_graph(params, 5, replace(terms, max_colluding=2))


# Draws


def test_every_set_of_holders_is_drawn_as_often() -> None:
    others, rounds = parties(0, 2, 3, 4, 7), 4000
    drawn = Counter(draw_holders(Seed(bytes(32)), str(at).encode(), others, 2) for at in range(rounds))
    assert len(drawn) == 10
    expected = rounds / 10
    assert sum((count - expected) ** 2 / expected for count in drawn.values()) < chi2.isf(ODDS, 9)


def test_a_draw_is_in_order_repeats_itself_and_depends_on_secret_and_session() -> None:
    others = frozenset(map(PartyId, range(50)))
    first = draw_holders(Seed(bytes(32)), b"D", others, 10)
    assert list(first) == sorted(set(first))
    assert first == draw_holders(Seed(bytes(32)), b"D", others, 10)
    assert first != draw_holders(Seed(bytes(32)), b"another D", others, 10)
    assert first != draw_holders(Seed(b"\1" * 32), b"D", others, 10)


@pytest.mark.parametrize(("n", "degree"), [(9, 4), (30, 6), (6, 5), (7, 6)])
def test_holders_on_the_ring_are_mutual_and_as_many_as_the_degree(n: int, degree: int) -> None:
    u1 = frozenset(map(PartyId, range(n)))
    drawn = ring(b"D", u1, degree)
    for party, holders in drawn.items():
        assert len(holders) == degree
        assert party not in holders
        assert all(party in drawn[holder] for holder in holders)
    assert ring(b"another D", u1, degree) != drawn or degree == n - 1


# Leakage


@pytest.mark.parametrize("variant", Variant)
@pytest.mark.parametrize("field", [M31, M61, PrimeField.with_bits(26)], ids=["M31", "M61", "26 bits"])
def test_no_frame_holds_eight_bytes_of_an_update(field: PrimeField, variant: Variant) -> None:
    room = PlusRoom(clients=6, field=field, variant=variant, length=40)
    frames: list[bytes] = []
    held = room.hold({5: Round.MASKED_INPUT, 4: Round.UNMASK}, tap=lambda _from, _to, data: frames.append(data))
    assert held.outcome is not None
    assert frames
    assert not run_of_an_input_in(frames, room)


def test_masked_inputs_of_one_client_are_uniform_whatever_it_gives() -> None:
    """Chi-square over the 5 elements of a small field, of a vector that is 3 all along."""
    five, counts = PrimeField(5), Counter[int]()
    room = PlusRoom(clients=5, field=five, length=20_000)
    room.inputs = {one: five.vector([3] * room.length) for one in room.parties}

    def tap(sender: PartyId, _to: PartyId, data: bytes) -> None:
        message = CODEC.decode(data)
        if sender == 0 and isinstance(message, MaskedInput):
            masked = five.unpack(message.masked, room.params.spec.masked_length)
            counts.update(masked[: room.length].tolist())

    room.hold(tap=tap).require_exact(frozenset(room.parties))
    statistic = sum((count - room.length / 5) ** 2 / (room.length / 5) for count in counts.values())
    assert len(counts) == 5
    assert statistic < chi2.isf(ODDS, 4)
