"""Every view that a lying server can choose for every honest client, played on the real machines and combined.

What is found: no honest sum of fewer than t - c inputs, and never a single input, wherever 2t > n + c; one of the two
exactly where 2t <= n + c; and with any load-bearing check taken out, a smaller one again. Complete graph, n up to 5.

All honest clients are shown the same U1: with another roster D differs and no bundle of one session opens in the other.
A sum's floor (three parties, c + 2) forbids small sets by itself. It is taken away here, unless a test says otherwise,
so that what is tested is the quorum and not the floor.
"""

import dataclasses
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from conversation import Room

from protocols import session
from protocols.errors import PartyId, PeerMisbehaved
from protocols.secagg import Client, bindings
from protocols.secagg.states import AwaitingConfirmations
from simulations.attacks.playing import Played, every_threshold, without_the_rule

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _no_floor(request: pytest.FixtureRequest, monkeypatch: Patch) -> None:
    if "with_the_floor" not in request.fixturenames:
        monkeypatch.setattr(session, "smallest_cohort", lambda colluding, cohort=1: 1)


@pytest.fixture
def with_the_floor() -> None:
    """As shipped."""


def least_threshold(n: int, c: int) -> int:
    return (n + c) // 2 + 1


def slow_case(n: int, c: int, t: int) -> Any:
    """CI runs the last threshold that is too low and the first that is not, and five honest clients not at all."""
    near = t in (least_threshold(n, c) - 1, least_threshold(n, c)) and n - c < 5
    return pytest.param(n, c, t, marks=[pytest.mark.slow, *([] if near else [pytest.mark.exhaustive])])


SLOW = [slow_case(*case) for n in (4, 5) for case in every_threshold(n)]


@pytest.mark.parametrize(("n", "c", "t"), [*every_threshold(3), *SLOW])
def test_too_small_a_sum_is_learnt_exactly_where_two_quorums_can_miss_each_other(n: int, c: int, t: int) -> None:
    with without_the_rule(t):
        finding = Played(n, c, t).smallest_sum(enough=1)
    assert finding is not None  # the sum that the protocol is for, at the least
    too_small = finding.size < t - c or finding.size == 1
    assert too_small == (2 * t <= n + c)


FLOORED = [(3, 0), (3, 1)]
FLOORED_SLOW = [pytest.param(n, c, marks=pytest.mark.slow) for n, c in [(4, 0), (4, 1), (4, 2), (5, 1), (5, 2), (5, 3)]]


@pytest.mark.usefixtures("with_the_floor")
@pytest.mark.parametrize(("n", "c"), [*FLOORED, *FLOORED_SLOW])
def test_as_shipped_no_honest_sum_has_fewer_than_t_minus_c_inputs_or_less_than_two(n: int, c: int) -> None:
    t = least_threshold(n, c)
    finding = Played(n, c, t).smallest_sum()
    assert finding is not None
    assert finding.size >= max(2, t - c, max(3, c + 2) - c)


def test_a_session_that_a_party_accepts_has_a_threshold_at_which_quorums_meet() -> None:
    for (n, c, t), offered in product(every_threshold(4), range(4)):
        room = Room(clients=n, colluding=c)
        params = dataclasses.replace(room.params, colluding=offered, threshold=t)
        try:
            room.terms.check_invitation(params, params.wire)
            accepted = room.terms.check_cohort(params, room.parties)
        except PeerMisbehaved:
            continue
        assert offered >= c
        assert n + c < 2 * accepted <= 2 * n


def test_the_attack_that_is_found_is_real() -> None:
    with without_the_rule(2):
        played = Played(3, 1, 2)
        finding = played.smallest_sum()
    assert finding is not None
    assert finding.size == 1
    assert played.carry_out(finding)


@pytest.mark.parametrize(("n", "c"), [(3, 0), (3, 1)])
def test_the_sum_that_is_allowed_comes_out_too(n: int, c: int) -> None:
    played = Played(n, c, least_threshold(n, c))
    finding = played.smallest_sum()
    assert finding is not None
    assert finding.size == 2
    assert played.carry_out(finding)


# Each check taken out by itself


def without_size_of(which: str) -> Callable[[Patch], None]:
    """The client takes a set of any size for this one."""

    def take_out(monkeypatch: Patch) -> None:
        real = Client._check_subset

        def check(self: Client, inner: Any, outer: Any, threshold: int, params: Any, name: str) -> None:
            real(self, inner, outer, 0 if name == which else threshold, params, name)

        monkeypatch.setattr(Client, "_check_subset", check)

    return take_out


def without_nesting_of_u3(monkeypatch: Patch) -> None:
    """The client takes a U3 that is no part of its U2."""
    real = Client._check_subset

    def check(self: Client, inner: Any, outer: Any, threshold: int, params: Any, name: str) -> None:
        real(self, inner, outer | inner if name == "U3" else outer, threshold, params, name)

    monkeypatch.setattr(Client, "_check_subset", check)


def without_count(monkeypatch: Patch) -> None:
    """The client reveals for any number of valid confirmations."""
    real = Client._check_quorum

    def check(self: Client, state: AwaitingConfirmations, message: Any) -> None:
        real(self, dataclasses.replace(state, threshold=0), message)

    monkeypatch.setattr(Client, "_check_quorum", check)


def without_my_u3(monkeypatch: Patch) -> None:
    """The client counts confirmations whatever they confirm."""
    monkeypatch.setattr(bindings, "verify_confirmation", lambda *anything: None)


LOAD_BEARING = {"|U2| >= t": without_size_of("U2"), "t of them": without_count, "on my U3": without_my_u3}
MORE_PARTIES = [pytest.param(4, 0, marks=pytest.mark.slow), pytest.param(4, 1, marks=pytest.mark.slow)]


@pytest.mark.parametrize("check", LOAD_BEARING)
@pytest.mark.parametrize(("n", "c"), [(3, 0), *MORE_PARTIES])
def test_without_a_load_bearing_check_a_smaller_sum_is_learnt(check: str, n: int, c: int, monkeypatch: Patch) -> None:
    LOAD_BEARING[check](monkeypatch)
    played = Played(n, c, least_threshold(n, c))
    finding = played.smallest_sum(enough=played.t - c - 1)
    assert finding is not None
    assert finding.size < played.t - c
    assert played.carry_out(finding)


SECOND_LINE = {"U3 within U2": without_nesting_of_u3, "|U3| >= t": without_size_of("U3")}


@pytest.mark.parametrize("check", SECOND_LINE)
@pytest.mark.parametrize(("n", "c"), [(3, 0), *MORE_PARTIES])
def test_a_check_of_the_second_line_may_fail_alone(check: str, n: int, c: int, monkeypatch: Patch) -> None:
    """A client holds and answers for members of its own U2 only, and t signatures on (D2, U3) make a U3 large.

    So these two change nothing while the others stand.
    """
    before = Played(n, c, least_threshold(n, c)).playbook.views(PartyId(0))
    SECOND_LINE[check](monkeypatch)
    played = Played(n, c, least_threshold(n, c))
    finding = played.smallest_sum()
    assert len(played.views[0]) > len(before)  # more is accepted
    assert finding is not None
    assert finding.size == played.t - c  # and nothing more is learnt
