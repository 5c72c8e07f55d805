"""The exhaustive view search, with restarts: each honest client is stopped anywhere, taken up from any snapshot, and
shown anything. As shipped that gives what one life gives; without the ledger's count of steps it gives single inputs.
"""

import pytest
from test_fallback_search import exhaustive, slow
from test_view_search import least_threshold

from protocols import session
from protocols.errors import PartyId
from protocols.standing import Standing
from simulations.attacks import restarts
from simulations.attacks.playing import Played, every_threshold, without_the_rule
from simulations.attacks.restarts import Restarted, RolledBack
from simulations.attacks.views import NOT_MASKED

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _no_floor(monkeypatch: Patch) -> None:
    monkeypatch.setattr(session, "smallest_cohort", lambda colluding, cohort=1: 1)


SESSIONS = [(3, 0), (3, 1), slow(4, 0), slow(4, 1), slow(4, 2), slow(5, 1), slow(5, 2), slow(5, 3)]


@pytest.mark.parametrize(("n", "c"), [*SESSIONS, exhaustive(5, 0)])
def test_two_lives_give_exactly_what_one_gives(n: int, c: int) -> None:
    played = Restarted(n, c, least_threshold(n, c))
    for me, histories in played.histories.items():
        assert set(histories) == {(view,) for view in played.views[me]}


@pytest.mark.parametrize(("n", "c"), SESSIONS)
def test_whatever_is_stopped_and_taken_up_no_smaller_sum_is_learnt(n: int, c: int) -> None:
    played = Restarted(n, c, least_threshold(n, c))
    finding = played.smallest_sum_of_lives()
    assert finding is not None
    assert finding.size >= max(2, played.t - c)
    assert played.carry_out(finding)


def test_of_a_life_only_the_last_snapshot_is_taken_up() -> None:
    played = Restarted(3, 0, 2)
    played.restarts.histories(PartyId(0))
    moments = 1 + 1 + 3 + 5 + 5 + 2  # advertised, shared, masked, fixed, revealed; where somebody dropped, fallback
    assert played.restarts.taken_up == moments
    assert played.restarts.refused == 1 * 1 + 2 * 3 + 3 * 5 + 4 * 5 + 5 * 2  # all that came before each


@pytest.mark.parametrize(("n", "c", "t"), every_threshold(3))
def test_of_one_life_the_two_searches_find_the_same(n: int, c: int, t: int) -> None:
    with without_the_rule(t):
        played = Played(n, c, t)
        once = {client: [(view,) for view in views] for client, views in played.views.items()}
        found, again = restarts.smallest_sum(once, parties=n, threshold=t), played.smallest_sum()
    assert found is not None
    assert again is not None
    assert found.size == again.size


# Without what the ledger is there for


def without_count_of_steps(monkeypatch: Patch) -> None:
    """Any snapshot is taken up, whatever the ledger says."""
    monkeypatch.setattr(Standing, "require_last", lambda *anything, **named: None)


def masked_twice(played: Restarted) -> bool:
    """Whether somebody's input left for two sets U2."""
    histories = [one for of_client in played.histories.values() for one in of_client]
    return any(len({view.u2 for view in history} - {NOT_MASKED}) > 1 for history in histories)


@pytest.mark.parametrize("way", ["the ledger comes back too", "no count of steps"])
def test_without_the_ledger_a_single_input_is_learnt(way: str, monkeypatch: Patch) -> None:
    n, c, t = 3, 0, 2
    assert not masked_twice(Restarted(n, c, t))
    if way == "no count of steps":
        without_count_of_steps(monkeypatch)
        played = Restarted(n, c, t)
    else:
        played = RolledBack(n, c, t)
    assert masked_twice(played)
    finding = played.smallest_sum_of_lives(enough=1)
    assert finding is not None
    assert finding.size == 1
    assert played.carry_out(finding)
