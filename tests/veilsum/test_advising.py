"""After each session the advisor is asked anew, with what was lost."""

from dataclasses import replace

import pytest

from net.config import load_consortium
from net.report import SessionReport
from protocols.errors import AbortReason, DropReason
from protocols.machine import Aborted
from protocols.messages import Round
from veilsum.running import _advising


def report(*dropped: int, absent: frozenset[int] = frozenset()) -> SessionReport:
    lost = dict.fromkeys(dropped, (Round.MASKED_INPUT, DropReason.VANISHED))
    return SessionReport(2, frozenset(), lost, absent, {}, {}, 1.0, Aborted(AbortReason.TOO_FEW))


@pytest.fixture
def agreed(place):
    place.consortium.unlink()
    place.create(["a", "b", "c", "d"], losses=0, colluding=2)
    return load_consortium(place.consortium)


def test_losses_that_were_planned_for_are_no_news(agreed):
    assert _advising(replace(agreed, losses=1, colluding=0))(report(3)) is None


def test_more_losses_than_planned_are_told_once_and_again_when_they_grow(agreed):
    advise = _advising(agreed)
    said = advise(report(1))
    assert said.startswith("1 of 4 parties were lost and 0 planned for")
    assert "does not stand that beside 2 colluding" in said
    assert advise(report(1)) is None
    assert advise(report(1, absent=frozenset({2}))).startswith("2 of 4")
