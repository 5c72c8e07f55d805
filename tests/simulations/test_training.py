"""Federated training through simulated sessions: partitions, and what losses cost in seconds and in accuracy."""

from dataclasses import replace

import numpy as np
import pytest

from fl_integration.aggregation import AggregationError
from simulations.faults import Exactly, Independent
from simulations.network import Device
from simulations.scenario import Scenario
from simulations.training import (
    Outcome,
    SimulatedMean,
    by_dirichlet,
    by_label,
    by_quantity,
    federate,
    linear_task,
    without_losses,
)

RNG = np.random.default_rng(7)
LABELS = RNG.integers(0, 4, 2000)
INPUTS = (RNG.normal(size=(2000, 6)) + np.where(LABELS[:, None] > 1, 0.7, -0.7)).astype(np.float32)
BINARY = (LABELS > 1).astype(np.uint8)
HELD_OUT = np.arange(1600, 2000)
SCENARIO = Scenario(parties=6, losses=2, colluding=0, dropout=Exactly(0.34), devices=(Device(training=2.0),))


def classes(part: np.ndarray) -> int:
    return len(np.unique(LABELS[part]))


def test_a_small_alpha_gives_clients_few_classes_and_a_large_one_all() -> None:
    skewed, even = (by_dirichlet(LABELS, 10, alpha, seed=1) for alpha in (0.05, 100.0))
    for parts in (skewed, even):
        assert sorted(np.concatenate(parts)) == list(range(len(LABELS)))
    dominance = [np.bincount(LABELS[part]).max() / len(part) for part in skewed if len(part)]
    assert np.mean(dominance) > 0.7
    assert all(np.bincount(LABELS[part]).max() < 0.4 * len(part) for part in even)
    assert not all(np.array_equal(one, two) for one, two in zip(skewed, by_dirichlet(LABELS, 10, 0.05, 2), strict=True))


def test_by_quantity_sizes_differ_and_classes_do_not() -> None:
    parts = by_quantity(LABELS, 10, 0.5, seed=1)
    sizes = [len(part) for part in parts]
    assert min(sizes) >= 1
    assert max(sizes) > 4 * min(sizes)
    assert len(np.unique(np.concatenate(parts))) == sum(sizes)
    assert all(classes(part) == 4 for part in parts if len(part) > 50)


def test_by_label_each_client_has_so_many_classes_at_the_most_and_one_more_at_a_seam() -> None:
    parts = by_label(LABELS, 8, 1, seed=1)
    assert sorted(np.concatenate(parts)) == list(range(len(LABELS)))
    assert all(1 <= classes(part) <= 2 for part in parts)


def trained(scenario: Scenario, rounds: int = 4) -> Outcome:
    parts = by_dirichlet(BINARY[:1600], scenario.parties, 0.5, seed=3)
    clients, start, score = linear_task(INPUTS, BINARY, parts, held_out=HELD_OUT, seed=3)
    return federate(clients, start, score, SimulatedMean(scenario=scenario, clip=2.0), rounds=rounds)


@pytest.mark.slow
def test_training_under_losses_learns_and_says_what_it_cost_whom() -> None:
    outcome = trained(SCENARIO)
    assert [report.failure for report in outcome.history.rounds] == [None] * 4
    assert [point.included for point in outcome.curve] == [4] * 4
    assert outcome.curve[-1].score > 0.85
    seconds = [point.seconds for point in outcome.curve]
    assert seconds == sorted(seconds)
    assert seconds[0] > 2
    assert len(outcome.fairness) == 6
    assert all(0 <= score <= 1 for score in outcome.fairness)
    assert sum(cost.included for cost in outcome.costs) == 16
    for cost in outcome.costs:
        assert cost.bytes_up > 1000
    left_out = min(outcome.costs, key=lambda cost: cost.included)
    always = max(outcome.costs, key=lambda cost: cost.included)
    assert left_out.bytes_up < always.bytes_up
    again = trained(SCENARIO)
    assert (again.curve, again.fairness, again.costs) == (outcome.curve, outcome.fairness, outcome.costs)


@pytest.mark.slow
def test_without_losses_the_same_training_includes_everybody() -> None:
    outcome = trained(without_losses(SCENARIO), rounds=2)
    assert [point.included for point in outcome.curve] == [6, 6]


@pytest.mark.slow
def test_a_round_without_a_sum_leaves_the_model_and_the_clock_goes_on() -> None:
    scenario = replace(SCENARIO, dropout=Independent(0.45), losses=1, seed=2)
    outcome = trained(scenario, rounds=5)
    failed = [place for place, report in enumerate(outcome.history.rounds) if report.failure]
    assert failed, "the seed was chosen so that a round fails"
    for place in failed:
        before = outcome.curve[place - 1].score if place else None
        assert before in (None, outcome.curve[place].score)
        assert outcome.curve[place].included == 0


def test_who_is_lost_is_for_the_scenario_to_say() -> None:
    with pytest.raises(AggregationError, match="the scenario says who is lost"):
        SimulatedMean(scenario=SCENARIO)({}, {1: "share"})
