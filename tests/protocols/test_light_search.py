"""Every view that a lying server can choose for every honest client, played on the real machines and combined.

What is found: no honest sum of fewer than max(q, U) - c inputs, and never a single input, where 2q > n + c; and with a
load-bearing check taken out, a smaller one again. n up to 4. Below that quorum a smaller sum is learnt exactly where
two disjoint groups of honest parties are each large enough to confirm a U3 of its own, one of them to give all of a sum
of masks (U answers, with the colluders'), the other to give anything of one: more than T. The sharing is a ramp, and
between T and U answers something of the data is learnt.

A sum's floor (three parties, c + 2) forbids small sets by itself. It is taken away here, unless a test says otherwise,
so that what is tested is the quorum and not the floor.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from light_room import LightRoom
from light_search import LightPlay

from mpc.keys import VerifyKey
from protocols import session
from protocols.lightsecagg import Client
from protocols.lightsecagg.numbers import Numbers
from protocols.lightsecagg.states import AwaitingConfirmations
from protocols.session import Variant

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _no_floor(request: pytest.FixtureRequest, monkeypatch: Patch) -> None:
    if "with_the_floor" not in request.fixturenames:
        monkeypatch.setattr(session, "smallest_cohort", lambda colluding, cohort=1: 1)


@pytest.fixture
def with_the_floor() -> None:
    """As shipped."""


def play(n: int, c: int, decode: int, *, colluders: int | None = None) -> LightPlay:
    """n parties that plan for c colluders and decode from `decode` answers."""
    room = LightRoom(clients=n, colluding=c, losses=n - decode, length=3)
    played = LightPlay(room, c if colluders is None else colluders)
    assert played.agreed.decode == decode
    return played


def every_setting(n: int) -> list[tuple[int, int, int, int]]:
    """All (n, c, q, U) with two honest parties at least."""
    return [(n, c, q, decode) for c in range(n - 1) for q in range(1, n + 1) for decode in range(max(1, c) + 1, n + 1)]


def slow_case(n: int, c: int, q: int, decode: int) -> Any:
    """CI runs the last quorum that is too low and the first that is not."""
    near = q in ((n + c) // 2, (n + c) // 2 + 1)
    return pytest.param(n, c, q, decode, marks=[pytest.mark.slow, *([] if near else [pytest.mark.exhaustive])])


SLOW = [slow_case(*case) for n in (3, 4) for case in every_setting(n)]


@pytest.mark.parametrize(("n", "c", "q", "decode"), [(3, 1, 2, 2), (3, 0, 2, 2), *SLOW])
def test_too_small_a_sum_is_learnt_exactly_where_two_sets_can_be_answered_for(
    n: int, c: int, q: int, decode: int, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(session, "smallest_threshold", lambda variant, clients, colluding: q)
    finding = play(n, c, decode).smallest_sum()
    assert finding is not None  # the sum that the protocol is for, at the least
    privacy = max(1, c)
    too_small = finding.size < max(q, decode) - c or finding.size == 1
    assert too_small == (max(q, decode) + max(q, privacy + 1) <= n + c)
    assert not (too_small and 2 * q > n + c)


FLOORED = [(3, 0, 3), (3, 1, 2), (3, 1, 3)]
FLOORED_SLOW = [
    pytest.param(4, c, decode, marks=pytest.mark.slow) for c in range(3) for decode in range(max(1, c) + 1, 5)
]


@pytest.mark.usefixtures("with_the_floor")
@pytest.mark.parametrize(("n", "c", "decode"), [*FLOORED, *FLOORED_SLOW])
def test_as_shipped_no_honest_sum_has_fewer_inputs_than_is_claimed_or_less_than_two(
    n: int, c: int, decode: int
) -> None:
    played = play(n, c, decode)
    finding = played.smallest_sum()
    assert finding is not None
    assert finding.size >= max(2, played.agreed.alive - c, max(3, c + 2) - c)


def test_the_sum_that_is_allowed_comes_out_of_the_real_bytes() -> None:
    played = play(3, 1, 2)
    finding = played.smallest_sum()
    assert finding is not None
    assert finding.size == 2
    assert played.carry_out(finding)


@pytest.mark.slow
def test_the_attack_that_is_found_is_real(monkeypatch: Patch) -> None:
    monkeypatch.setattr(session, "smallest_threshold", lambda variant, clients, colluding: 2)
    played = play(3, 1, 2)
    finding = played.smallest_sum()
    assert finding is not None
    assert finding.size == 1
    assert played.carry_out(finding)


@pytest.mark.parametrize(("n", "c", "decode"), [(3, 1, 3), pytest.param(4, 1, 3, marks=pytest.mark.slow)])
def test_with_one_colluder_more_than_the_noise_hides_a_single_mask_is_not_hidden(n: int, c: int, decode: int) -> None:
    finding = play(n, c, decode, colluders=c + 1).smallest_sum()
    assert finding is not None
    assert finding.size == 1


# Each check taken out by itself


def without_count(monkeypatch: Patch) -> None:
    """The client answers for any number of valid confirmations."""
    real = Client._check_quorum

    def check(self: Client, state: AwaitingConfirmations, message: Any) -> None:
        real(self, dataclasses.replace(state, quorum=0), message)

    monkeypatch.setattr(Client, "_check_quorum", check)


def without_my_u3(monkeypatch: Patch) -> None:
    """The client counts confirmations whatever they confirm."""
    real = VerifyKey.verify

    def verify(self: VerifyKey, signature: bytes, label: str, *parts: Any) -> None:
        if label != "lightsecagg confirm":
            real(self, signature, label, *parts)

    monkeypatch.setattr(VerifyKey, "verify", verify)


def without_size_of(which: str) -> Callable[[Patch], None]:
    """The client takes a set of any size for this one."""

    def take_out(monkeypatch: Patch) -> None:
        real = Client._check_subset

        def check(self: Client, inner: Any, outer: Any, agreed: Numbers, params: Any, name: str) -> None:
            small = dataclasses.replace(agreed, decode=0, quorum=0)
            real(self, inner, outer, small if name == which else agreed, params, name)

        monkeypatch.setattr(Client, "_check_subset", check)

    return take_out


LOAD_BEARING = {"q of them": without_count, "on my U3": without_my_u3}


@pytest.mark.slow
@pytest.mark.parametrize("check", LOAD_BEARING)
@pytest.mark.parametrize(("n", "c", "decode"), [(4, 0, 2), (4, 1, 2)])
def test_without_a_load_bearing_check_a_smaller_sum_is_learnt(
    check: str, n: int, c: int, decode: int, monkeypatch: Patch
) -> None:
    intact = play(n, c, decode).smallest_sum()
    assert intact is not None
    LOAD_BEARING[check](monkeypatch)
    played = play(n, c, decode)
    finding = played.smallest_sum()
    assert finding is not None
    assert finding.size < max(2, played.agreed.alive - c) <= intact.size


SECOND_LINE = {"|U2| >= U and q": without_size_of("U2"), "|U3| >= U and q": without_size_of("U3")}


@pytest.mark.slow
@pytest.mark.parametrize("check", SECOND_LINE)
@pytest.mark.parametrize(("n", "c", "decode"), [(3, 0, 2), (4, 1, 2)])
def test_a_check_of_the_second_line_may_fail_alone(check: str, n: int, c: int, decode: int, monkeypatch: Patch) -> None:
    """Pieces do not depend on U2, and q signatures of members of U3 make a U3 large: the two sizes change nothing."""
    intact = play(n, c, decode)
    before = len(intact.views(0))
    SECOND_LINE[check](monkeypatch)
    played = play(n, c, decode)
    finding = played.smallest_sum()
    if check.startswith("|U3|"):
        assert len(played.views(0)) > before  # more is accepted
    assert finding is not None
    assert finding.size >= played.agreed.alive - c  # and nothing more is learnt


def test_the_rule_of_the_shipped_quorum_is_the_one_that_the_search_confirms() -> None:
    for n in range(3, 8):
        for c in range(n - 1):
            assert 2 * session.smallest_threshold(Variant.ACTIVE, n, c) > n + c
