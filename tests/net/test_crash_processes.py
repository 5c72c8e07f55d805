"""Real processes, real TLS, and SIGKILL at a write or behind a frame; started again, they end with one model.

Every write and every frame: `make exhaustive`. The same in one process, and quicker: `test_net_crashing.py`.
"""

import json
from itertools import product

import pytest
from crashing import Crash
from launcher import DEADLINE, lines

from protocols.families import FAMILIES

pytestmark = pytest.mark.slow

BANKS, VICTIM = 4, 2
GRACE = 15.0
COUNTED = {"bank": 19, "coordinator": 30}  # writes and frames of secagg's session, and some more
CHANGES = {
    **{name: {"protocol": name} for name, family in FAMILIES.items() if family.collector},
    "epochs": {"rounds_per_epoch": 2},
}


@pytest.fixture
def train(launch, tmp_path):
    """Two steps, with one process that kills itself in the first; started again where it did. The sums."""

    def trained(victim, crash, name="secagg"):
        launcher = launch(BANKS, colluding=0, losses=1, patience=DEADLINE, grace=GRACE, **CHANGES[name])
        coordinator = launcher.coordinator(2, crash=crash if victim == "coordinator" else None)
        banks = [
            launcher.bank(place, 2, crash=crash if (victim, place) == ("bank", VICTIM) else None)
            for place in range(BANKS)
        ]
        if victim == "coordinator":
            killed = coordinator.wait(timeout=60) == -9
            coordinator = launcher.coordinator(2) if killed else coordinator
        else:
            killed = banks[VICTIM].wait(timeout=60) == -9
            banks[VICTIM] = launcher.bank(VICTIM, 2) if killed else banks[VICTIM]
        _, err = lines(coordinator)
        assert coordinator.returncode == 0, err
        ends = [lines(bank)[1] for bank in banks]
        assert [bank.returncode for bank in banks] == [0] * BANKS, ends
        models = {(tmp_path / f"{name}.model").read_bytes() for name in ("coordinator", *names())}
        assert len(models) == 1
        return killed, json.loads(models.pop())["sums"]

    return trained


def names():
    return [f"bank-{place}" for place in range(BANKS)]


def case(victim, number, when, name="secagg"):
    return pytest.param(victim, Crash(number, when == "after"), name, id=f"{name}-{victim}-{number}-{when}")


@pytest.mark.parametrize(
    ("victim", "crash", "name"),
    [
        case("bank", 3, "before"),
        case("bank", 12, "after"),
        case("coordinator", 3, "after"),
        case("coordinator", 13, "before"),
        case("coordinator", 8, "after", "secagg+"),
        case("bank", 6, "before", "committee"),
        case("coordinator", 8, "after", "lightsecagg"),
        case("bank", 6, "before", "epochs"),
    ],
)
def test_a_process_that_is_killed_and_started_again_costs_no_sum(train, victim, crash, name):
    assert train(victim, crash, name) == (True, [0b1111, 0b1111])


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("victim", "number", "when"),
    [
        (victim, number, when)
        for victim, counted in COUNTED.items()
        for number, when in product(range(counted), ("before", "after"))
    ],
)
def test_wherever_it_is_killed(train, victim, number, when):
    _, (first, second) = train(victim, Crash(number, when == "after"))
    early = victim == "bank" and number < 2  # before its keys, and what leads to them, are on disk
    assert first in ((0b1011, 0b1111) if early else (0b1111,))
    assert second == 0b1111
