"""The exhaustive view search, with the fallback: every request for it that a client accepts, at any point, and again.

The views that are combined hold each request: `views.Playbook` asks at every point of a session for every set, and goes
on asking. As shipped that gives nothing beside what the reveal's U3 leaves; with either of the two rules taken out that
carry the fallback, a smaller sum is learnt.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from test_view_search import least_threshold

from protocols import session
from protocols.errors import PartyId
from protocols.messages import FallbackRequest, FallbackShares, MaskKeyReveal
from protocols.secagg import Client
from protocols.secagg.states import AwaitingConfirmations, AwaitingSurvivors, Revealed
from simulations.attacks.playing import Played

Patch = pytest.MonkeyPatch
Take = Callable[[Any, Any, Any], Any]


@pytest.fixture(autouse=True)
def _no_floor(monkeypatch: Patch) -> None:
    monkeypatch.setattr(session, "smallest_cohort", lambda colluding, cohort=1: 1)


def slow(*case: int) -> Any:
    return pytest.param(*case, marks=pytest.mark.slow)


def exhaustive(*case: int) -> Any:
    return pytest.param(*case, marks=[pytest.mark.slow, pytest.mark.exhaustive])


CASES = [(3, 0), (3, 1), slow(4, 0), slow(4, 1), slow(4, 2), exhaustive(5, 0), slow(5, 1), slow(5, 2), slow(5, 3)]


@pytest.mark.parametrize(("n", "c"), CASES)
def test_whatever_is_asked_of_the_fallback_no_smaller_sum_is_learnt(n: int, c: int) -> None:
    played = Played(n, c, least_threshold(n, c))
    finding = played.smallest_sum()
    assert finding is not None
    assert finding.size >= max(2, played.t - c)
    for me, views in played.views.items():
        dropped = [view.u2 & ~view.u3 for view in views if any(view.accepts)]
        assert [view.mask_shares for view in views if any(view.accepts)] == dropped, "all that U3 leaves, and no more"
        assert not any(view.freely for view in views), f"party {me} gives mask shares before it reveals"
        assert any(dropped) or played.t == n


# The rules of the fallback, each taken out by itself


def also(before: type[Any], moved: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """The client answers a fallback in this state too, for any party that it holds a mask share of."""

    def take_out(monkeypatch: Patch) -> None:
        real: Take = Client._take

        def take(self: Client, state: Any, message: Any) -> Any:
            if isinstance(state, before) and isinstance(message, FallbackRequest):
                asked = sorted(message.dropped & state.mask_shares.keys())
                return moved(state), FallbackShares({peer: MaskKeyReveal(state.mask_shares[peer]) for peer in asked})
            return real(self, state, message)

        monkeypatch.setattr(Client, "_take", take)

    return take_out


def same(state: Any) -> Any:
    return state


def with_shares_of_survivors(monkeypatch: Patch) -> None:
    """The client keeps the mask shares of U3 beside those of U2 without U3."""
    real = Client._fix_survivors

    def fix(self: Client, state: AwaitingSurvivors, message: Any) -> Any:
        after, said = real(self, state, message)
        if isinstance(after, AwaitingConfirmations):
            after = dataclasses.replace(after, mask_shares=state.mask_shares)
        return after, said

    monkeypatch.setattr(Client, "_fix_survivors", fix)


LOAD_BEARING = {"after U3 is fixed": also(AwaitingSurvivors, same), "of the dropped alone": with_shares_of_survivors}


@pytest.mark.parametrize("rule", LOAD_BEARING)
@pytest.mark.parametrize(("n", "c"), [(3, 0), exhaustive(4, 0), exhaustive(4, 1)])
def test_without_a_load_bearing_rule_of_the_fallback_a_smaller_sum_is_learnt(
    rule: str, n: int, c: int, monkeypatch: Patch
) -> None:
    LOAD_BEARING[rule](monkeypatch)
    played = Played(n, c, least_threshold(n, c))
    finding = played.smallest_sum(enough=1)
    assert finding is not None
    assert finding.size == 1
    assert played.carry_out(finding)


SECOND_LINE = {"after the reveal": also(AwaitingConfirmations, same), "once": also(Revealed, same)}


@pytest.mark.parametrize("rule", SECOND_LINE)
@pytest.mark.parametrize(("n", "c"), [(3, 0), (3, 1), slow(4, 0), slow(4, 1)])
def test_a_rule_of_the_second_line_may_fail_alone(rule: str, n: int, c: int, monkeypatch: Patch) -> None:
    """Once U3 is fixed a client holds mask shares of none of its members, and asked twice it says what it said."""
    SECOND_LINE[rule](monkeypatch)
    played = Played(n, c, least_threshold(n, c))
    finding = played.smallest_sum()
    assert finding is not None
    assert finding.size == max(2, played.t - c)
    early = [view.freely for view in played.views[PartyId(0)]]
    assert any(early) == (rule == "after the reveal" and played.t < n)
