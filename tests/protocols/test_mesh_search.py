"""Peers that lie as they like, the proposer among them, learn no honest sum of fewer than t - c inputs.

Every U2 and U3 is shown to every honest peer on the real machine, every list of sums is offered; all is combined. A
single input is found where 2t <= n + c, and a sum that is too small with a load-bearing check taken out. n is 3 and 4.
The floor of a sum is taken away, so that what is tested is the threshold and not the floor.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from mesh_search import NEVER, MeshPlay, Search

from protocols import session
from protocols.mesh import certifying
from protocols.mesh.states import CertifyingInputs, CertifyingSums

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _no_floor(monkeypatch: Patch) -> None:
    monkeypatch.setattr(session, "smallest_cohort", lambda colluding, cohort=1: 1)


def searched(n: int, c: int, t: int, monkeypatch: Patch) -> Search:
    monkeypatch.setattr(session, "smallest_threshold", lambda variant, clients, colluding: t)
    return Search(MeshPlay(n, c, t))


CASES = [(3, 1, 3)]
LARGER = [
    *(pytest.param(*case, marks=pytest.mark.slow) for case in ((3, 1, 2), (4, 1, 3), (4, 2, 4), (4, 2, 3))),
    pytest.param(4, 1, 2, marks=[pytest.mark.slow, pytest.mark.exhaustive]),
]


@pytest.mark.parametrize(("n", "c", "t"), [*CASES, *LARGER])
def test_no_sum_of_fewer_than_t_minus_c_is_learnt_and_a_single_input_only_below_the_least_threshold(
    n: int, c: int, t: int, monkeypatch: Patch
) -> None:
    search = searched(n, c, t, monkeypatch)
    size = search.smallest_sum()
    assert not search.twice
    assert size is not None  # the sum that the protocol is for, at the least
    assert (size < t - c or size == 1) == (2 * t <= n + c)


def one_vote_is_enough(monkeypatch: Patch) -> None:
    """A certificate of one vote."""
    true = certifying.certify

    def certify(state: Any) -> Any:
        after = true(replace(state, threshold=1))
        return after and replace(after, threshold=state.threshold)

    monkeypatch.setattr(certifying, "certify", certify)


def any_list_will_do(monkeypatch: Patch) -> None:
    """Votes are counted whatever list they are for."""
    true = certifying.certify

    def certify(state: Any) -> Any:
        if state.choice is None:
            return None
        voted = {party: replace(vote, under=state.choice) for party, vote in state.votes.items()}
        after = true(replace(state, votes=voted))
        return after and replace(after, votes=state.votes)

    monkeypatch.setattr(certifying, "certify", certify)


def a_vote_for_every_list(monkeypatch: Patch) -> None:
    """A peer signs a second list when a second proposer comes."""
    choose, vote = certifying.choose, certifying.vote

    def forget(view: Any, state: Any) -> Any:
        return replace(state, votes={party: one for party, one in state.votes.items() if party != view.me})

    def chooses(view: Any, state: Any) -> Any:
        newest = [one for one in state.lists if one.proposer == view.leader(state.holders.dealers)]
        after = choose(view, replace(forget(view, state), lists=tuple(newest))) if newest else choose(view, state)
        return after and replace(state, choice=after.choice)

    def votes(view: Any, state: Any) -> Any:
        own = state.votes.get(view.me)
        return None if own and own.under == state.choice else vote(view, forget(view, state))

    monkeypatch.setattr(certifying, "choose", chooses)
    monkeypatch.setattr(certifying, "vote", votes)


def any_number_of(kind: type) -> Callable[[Patch], None]:
    """The list of this stage may be as short as it likes."""

    def take_out(monkeypatch: Patch) -> None:
        true = certifying.least
        monkeypatch.setattr(
            certifying, "least", lambda view, state: 1 if isinstance(state, kind) else true(view, state)
        )

    return take_out


CONTROLS = [(3, 1, 3), pytest.param(4, 1, 3, marks=pytest.mark.exhaustive)]
LOAD_BEARING = {"|U3| >= t": any_number_of(CertifyingInputs), "t closed columns": any_number_of(CertifyingSums)}


@pytest.mark.slow
@pytest.mark.parametrize("check", LOAD_BEARING)
@pytest.mark.parametrize(("n", "c", "t"), CONTROLS)
def test_without_a_load_bearing_check_a_smaller_sum_is_learnt(
    check: str, n: int, c: int, t: int, monkeypatch: Patch
) -> None:
    LOAD_BEARING[check](monkeypatch)
    size = searched(n, c, t, monkeypatch).smallest_sum()
    assert size is not None
    assert size < t - c


SECOND_LINE = {"t votes": one_vote_is_enough, "one vote a peer": a_vote_for_every_list}


@pytest.mark.slow
@pytest.mark.parametrize("check", SECOND_LINE)
def test_a_check_of_the_second_line_may_fail_alone(check: str, monkeypatch: Patch) -> None:
    """A peer opens one sum of its column and one set of lost columns, of the sizes above: so far that is enough.

    The votes are what makes all of them the same, and the result exact.
    """
    SECOND_LINE[check](monkeypatch)
    n, c, t = 4, 1, 3
    search = searched(n, c, t, monkeypatch)
    assert search.twice == (check == "one vote a peer")
    assert (min(search.need.values()) == 0) == (check == "t votes")  # its own vote is enough
    assert search.smallest_sum() == t - c


def test_votes_for_another_list_open_nothing(monkeypatch: Patch) -> None:
    """And would, if it did not matter for which list they are."""
    monkeypatch.setattr(session, "smallest_threshold", lambda variant, clients, colluding: 3)
    play = MeshPlay(3, 1, 3)
    me, all_ = play.honest[0], play.everybody
    assert play.needs(me, all_, all_, own=True) == 2
    assert play.needs(me, all_, all_, own=True, astray=True) == NEVER
    any_list_will_do(monkeypatch)
    assert play.needs(me, all_, all_, own=True, astray=True) == 2
