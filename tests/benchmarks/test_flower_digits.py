"""The page on Flower shows what the benchmark found: as accurate as plain averaging; and a short run finds it again."""

import json
import re
from pathlib import Path
from statistics import mean

import pytest

pytest.importorskip("flwr")

from benchmarks.flower_digits import (
    NODES,
    RESULTS,
    SEEDS,
    WAYS,
    Net,
    accuracy,
    in_own_process,
    initial,
    lost_in,
    table,
    trained,
)

pytestmark = pytest.mark.slow

FOUND = json.loads(RESULTS.read_text())


def test_the_page_shows_the_results():
    page = (Path(__file__).parents[2] / "docs" / "flower.md").read_text()
    shown = re.search(r"<!-- table -->\n(.*)\n<!-- end -->", page, re.DOTALL)
    assert shown
    assert shown[1] == table(FOUND)


def test_over_three_seeds_secure_sums_are_as_accurate_as_plain_averaging():
    assert tuple(FOUND["seeds"]) == SEEDS
    plain, ours = (FOUND["ways"][way]["accuracy"] for way in ("plain", "veilsum"))
    assert len(plain) == len(ours) == len(SEEDS) >= 3
    assert min(plain) > 0.9
    assert 100 * abs(mean(ours) - mean(plain)) == pytest.approx(FOUND["gap_in_points"])
    assert FOUND["gap_in_points"] < 0.5


def test_every_node_is_lost_in_its_turn():
    assert [lost_in(fl_round) for fl_round in range(1, NODES + 1)] == list(range(NODES))
    assert FOUND["lost_a_round"] == 1
    assert tuple(FOUND["ways"]) == WAYS


def averaged(seed, rounds):
    """Plain averaging over the nodes that are not lost, without Flower: the accuracy."""
    net = initial(seed)
    for fl_round in range(1, rounds + 1):
        kept = [place for place in range(NODES) if place != lost_in(fl_round)]
        results = []
        for place in kept:
            copy = Net()
            copy.load_state_dict(net.state_dict())
            results.append((trained(copy, seed, fl_round, place)[1], copy.state_dict()))
        rows = sum(count for count, _ in results)
        net.load_state_dict({name: sum(n * state[name] for n, state in results) / rows for name in results[0][1]})
    return accuracy(net, seed)


@pytest.mark.exhaustive  # CI trains in the same engine: tests/fl_integration/test_flower_example.py
@pytest.mark.xdist_group("runtime")
def test_six_rounds_in_the_simulation_engine_that_each_lose_a_node_train_as_plain_averaging_does():
    ours = in_own_process("veilsum", seed=3, rounds=6)
    plain = averaged(seed=3, rounds=6)
    assert len(ours["seconds"]) == 6
    assert plain > 0.5
    assert abs(ours["accuracy"] - plain) < 0.05
