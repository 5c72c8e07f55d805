"""A coordinator that lies as it likes, with c aggregators of its own, learns no sum of fewer clients than the floor.

Every offer, every choice of receipts and every client put out is shown to every honest aggregator on the real machine,
and what is learnt is computed by elimination, check values included. A single input is found exactly where 2q <= A + c,
and with the vows or the certificate taken out alone. The floor is two of three clients; A is 3 and 4.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from committee_search import FLOOR, CommitteePlay, Played

from protocols import session
from protocols.committee import aggregator

Patch = pytest.MonkeyPatch

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _small_floor(monkeypatch: Patch) -> None:
    monkeypatch.setattr(session, "smallest_cohort", lambda colluding, cohort=FLOOR: cohort)


CASES = [(3, 0, 2), (3, 1, 3), (3, 1, 2), (4, 1, 3), (4, 1, 2)]


@pytest.mark.parametrize(("aggregators", "c", "quorum"), CASES)
def test_less_than_the_floor_is_learnt_exactly_where_two_quorums_can_miss_each_other(
    aggregators: int, c: int, quorum: int, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(session, "smallest_threshold", lambda variant, clients, colluding: quorum)
    size = Played(CommitteePlay(aggregators, c)).smallest_sum(enough=1)
    assert size == (1 if 2 * quorum <= aggregators + c else FLOOR)


def without_quorum_in(step: str) -> Callable[[Patch], None]:
    """The aggregator goes on whatever number of the others stands on the same."""

    def take_out(monkeypatch: Patch) -> None:
        true = getattr(aggregator, step)

        def go_on(view: Any, state: Any, message: Any) -> Any:
            return true(replace(view, numbers=replace(view.numbers, quorum=0)), state, message)

        monkeypatch.setattr(aggregator, step, go_on)

    return take_out


LOAD_BEARING = {"q vows": without_quorum_in("answer_challenge"), "q on U": without_quorum_in("answer")}


@pytest.mark.parametrize(("check", "aggregators"), [("q vows", 4), ("q on U", 3)])
def test_without_a_load_bearing_check_a_single_input_is_learnt(
    check: str, aggregators: int, monkeypatch: Patch
) -> None:
    """Without vows, from check values of two challenges; without the certificate, from two sums."""
    LOAD_BEARING[check](monkeypatch)
    assert Played(CommitteePlay(aggregators, 1)).smallest_sum(enough=1) == 1


def test_three_aggregators_of_which_one_lies_need_no_vows_since_all_receipts_must_be_there(monkeypatch: Patch) -> None:
    """q of 3 is 3: the receipts of all, under one offer, fix the challenge by themselves."""
    LOAD_BEARING["q vows"](monkeypatch)
    assert Played(CommitteePlay(3, 1)).smallest_sum() == FLOOR


def test_the_certificate_alone_carries_nothing_where_nobody_lies_about_check_values(monkeypatch: Patch) -> None:
    """With no aggregator of its own the coordinator cannot put a client out for some: U follows from the receipts."""
    LOAD_BEARING["q on U"](monkeypatch)
    assert Played(CommitteePlay(3, 0)).smallest_sum() == FLOOR


def test_one_aggregator_more_than_planned_for_reads_single_inputs() -> None:
    assert Played(CommitteePlay(3, 2, planned=1)).smallest_sum(enough=1) == 1
