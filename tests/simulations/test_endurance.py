"""Random faults, bounded: no wrong sum, and each abort is explained. The long run is a command (docs/simulator.md)."""

from dataclasses import replace

import pytest

from simulations.endurance import ROUNDS_EACH, Counts, endure, explained, random_scenario
from simulations.faults import Exactly, Vanish
from simulations.scenario import Scenario
from simulations.simulate import simulate


def endured(seeds: range) -> Counts:
    total = Counts()
    for seed in seeds:
        total.add(endure(seed, ("secagg",)))
    return total


def test_a_scenario_by_lot_is_the_seeds_and_can_be_kept() -> None:
    assert random_scenario(3) == random_scenario(3) != random_scenario(4)
    for seed in range(50):
        scenario = random_scenario(seed)
        assert Scenario.from_toml(scenario.to_toml()) == scenario


@pytest.mark.slow
def test_no_sum_is_wrong_and_each_abort_is_explained() -> None:
    counts = endured(range(2))
    assert sum(counts.of.values()) == 2 * ROUNDS_EACH
    assert counts.odd == []


@pytest.mark.slow
def test_the_same_for_more_rounds() -> None:
    counts = endured(range(100, 130))
    print(dict(counts.of))  # noqa: T201
    assert counts.odd == []
    assert counts.of["secagg: exact, with losses"] > 20
    assert counts.of["secagg: no sum, too-few"] > 20


def test_an_abort_without_enough_faults_is_not_explained() -> None:
    """A control: the same abort, in a session that planned for as many losses as it met."""
    scenario = Scenario(parties=6, dimension=3, losses=1, dropout=Exactly(0.7))
    (result,) = simulate(scenario).rounds
    assert result.aborted
    assert explained(scenario, result)
    assert not explained(replace(scenario, losses=4), result)
    (one,) = simulate(replace(scenario, dropout=Exactly(0), faults=(Vanish(1, "share"),))).rounds
    assert one.exact
    assert not explained(scenario, one)
