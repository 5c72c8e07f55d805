"""The scenarios that come with the package, each with what must come of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

import simulations
from simulations.scenario import Scenario
from simulations.simulate import Report, simulate
from simulations.sweep import read_sweep

FOLDER = Path(simulations.__file__).parent / "scenarios"
FILES = sorted(FOLDER.glob("*.toml"))
SWEEPS = {"three-protocols"}


def five_banks(report: Report) -> None:
    assert [len(one.included) for one in report.rounds] == [5, 5, 5]
    assert all([lost.stage for lost in one.dropped] == ["confirm"] for one in report.rounds)
    assert all(one.virtual_seconds > 30 for one in report.rounds)


def phones_at_night(report: Report) -> None:
    assert len({len(one.included) for one in report.rounds}) > 1
    assert all(20 < one.virtual_seconds < 700 for one in report.rounds)


def region_outage(report: Report) -> None:
    assert [one.aborted for one in report.rounds].count("too-few") == 1
    assert sum(one.exact is True for one in report.rounds) == 5


def late_answer(report: Report) -> None:
    assert report.rounds[0].included == (0, 1, 2, 4, 5)


def neighbours_of_one(report: Report) -> None:
    assert 7 in report.rounds[0].included
    assert len(report.rounds[0].included) == 14


def hurried_quorum(report: Report) -> None:
    assert report.rounds[5].exact, "it was given up before a quantile hurried nobody who cannot close"


def doubled_and_lost(report: Report) -> None:
    assert sum(one.exact is True for one in report.rounds) > 4
    assert any(lost.reason == "unexpected" for one in report.rounds for lost in one.dropped)


def waits_of_three_steps(report: Report) -> None:
    assert report.rounds[0].virtual_seconds == pytest.approx(16, abs=0.5)


def two_proposers_gone(report: Report) -> None:
    assert report.rounds[0].included == (2, 3, 4, 5, 6), "it was given up when the second proposer was silent too"


def two_groups_without_a_server(report: Report) -> None:
    assert report.rounds[0].exact, "each of two groups had a sum of its own"
    assert report.rounds[0].included == (0, 1, 2, 3, 5)


def patience_in_step(report: Report) -> None:
    assert set(report.rounds[0].included) >= {2, 3, 4, 5, 7}, (
        "each proposer was dropped while its proposal was under way"
    )


def two_rosters_of_five(report: Report) -> None:
    assert [one.included for one in report.rounds] == [(), (), (0, 2, 4, 5, 6), (0, 3, 5, 6, 7), (), ()]


EXPECTED: dict[str, Callable[[Report], None]] = {
    "doubled-and-lost": doubled_and_lost,
    "five-banks": five_banks,
    "hurried-quorum": hurried_quorum,
    "late-answer": late_answer,
    "neighbours-of-one": neighbours_of_one,
    "patience-in-step": patience_in_step,
    "two-groups-without-a-server": two_groups_without_a_server,
    "two-rosters-of-five": two_rosters_of_five,
    "phones-at-night": phones_at_night,
    "region-outage": region_outage,
    "two-proposers-gone": two_proposers_gone,
    "waits-of-three-steps": waits_of_three_steps,
}


def test_every_scenario_has_an_expectation() -> None:
    assert {file.stem for file in FILES} == EXPECTED.keys() | SWEEPS
    assert all(read_sweep(FOLDER / f"{name}.toml") for name in SWEEPS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_of_a_named_scenario_comes_what_must(name: str) -> None:
    report = simulate(Scenario.load(FOLDER / f"{name}.toml"))
    assert all(one.exact is not False for one in report.rounds)
    EXPECTED[name](report)
